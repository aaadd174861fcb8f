"""Segmentation metrics against their textbook forms, one thread; prints a Markdown table.

python benchmarks/evaluate.py
python benchmarks/evaluate.py --pictures 20 --height 480 --width 640 --classes 81
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from seedbed.evaluate import ConfusionMatrix, ThresholdSweep

Picture = tuple[np.ndarray, np.ndarray, np.ndarray]  # maps [K, H, W], labels [K], truth [H, W]


def timed(call: Callable[[], object]) -> tuple[float, object]:
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def looped_miou(pairs: list[tuple[np.ndarray, np.ndarray]], classes: int) -> float:
    """The textbook form: three masks a class and image."""
    hits, true, predicted = np.zeros(classes), np.zeros(classes), np.zeros(classes)
    for prediction, truth in pairs:
        seen = truth < 255
        right = (prediction == truth) & seen
        for c in range(classes):
            predicted[c] += ((prediction == c) & seen).sum()
            true[c] += ((truth == c) & seen).sum()
            hits[c] += ((truth == c) & right).sum()
    return float((hits / (true + predicted - hits + 1e-10)).mean())


def counted_miou(pairs: list[tuple[np.ndarray, np.ndarray]], classes: int) -> float:
    matrix = ConfusionMatrix(classes)
    for prediction, truth in pairs:
        matrix.update(prediction, truth)
    return matrix.miou()


def argmax_masks(pictures: list[Picture], classes: int, threshold: float) -> list[tuple[np.ndarray, np.ndarray]]:
    pairs = []
    for maps, labels, truth in pictures:
        stack = np.zeros((classes, *truth.shape), np.float32)
        stack[labels] = maps
        stack[0] = threshold
        pairs.append((stack.argmax(axis=0).astype(np.uint8), truth))
    return pairs


def swept_curve(pictures: list[Picture], classes: int) -> np.ndarray:
    sweep = ThresholdSweep(classes)
    for picture in pictures:
        sweep.update(*picture)
    return sweep.miou_curve()


def random_pictures(count: int, height: int, width: int, classes: int) -> list[Picture]:
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(count):
        labels = 1 + rng.permutation(classes - 1)[:3]
        maps = rng.random((3, height, width), dtype=np.float32) ** 2
        blocks = rng.choice([0, *labels, 255], (height // 16 + 1, width // 16 + 1)).astype(np.uint8)
        truth = np.kron(blocks, np.ones((16, 16), np.uint8))[:height, :width]
        pictures.append((maps, labels, np.ascontiguousarray(truth)))
    return pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=5)
    parser.add_argument("--height", type=int, default=375)
    parser.add_argument("--width", type=int, default=500)
    parser.add_argument("--classes", type=int, default=21)
    args = parser.parse_args()
    pictures = random_pictures(args.pictures, args.height, args.width, args.classes)
    masks = argmax_masks(pictures, args.classes, 0.3)
    thresholds = [i / 100 for i in range(60)]

    rows = [
        ("masks", lambda: looped_miou(masks, args.classes), lambda: counted_miou(masks, args.classes)),
        (
            "60 thresholds, loops",
            lambda: np.array([looped_miou(argmax_masks(pictures, args.classes, t), args.classes) for t in thresholds]),
            lambda: swept_curve(pictures, args.classes),
        ),
        (
            "60 thresholds, one confusion matrix each",
            lambda: np.array([counted_miou(argmax_masks(pictures, args.classes, t), args.classes) for t in thresholds]),
            lambda: swept_curve(pictures, args.classes),
        ),
    ]
    print(f"{args.pictures} images of {args.height} x {args.width}, {args.classes} classes\n")
    print("| measure | textbook s | ours s | ratio | largest difference |\n| --- | --- | --- | --- | --- |")
    for name, textbook, ours in rows:
        (slow, expected), (fast, measured) = timed(textbook), timed(ours)
        difference = np.abs(np.subtract(measured, expected)).max()
        print(f"| {name} | {slow:.3f} | {fast:.4f} | {slow / fast:.1f} | {difference:.1e} |", flush=True)


if __name__ == "__main__":
    main()
