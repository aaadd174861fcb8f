"""Refinement against its textbook forms, one thread; prints a Markdown table.

OMP_NUM_THREADS=1 python benchmarks/refine.py
OMP_NUM_THREADS=1 python benchmarks/refine.py --side 448 --grid 28 28 --log2-steps 6
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from seedbed.refine import (
    CRF_PRESETS,
    affinity_matrix,
    affinity_pair_indices,
    dense_crf,
    dense_crf_many,
    label_crf,
    pixel_adaptive_refinement,
    random_walk,
    with_background,
)

DILATIONS = (1, 2, 4, 8, 12, 24)
Timed = tuple[float, object]


def timed(call: Callable[[], object], repeats: int) -> Timed:
    """Least CPU time of `repeats` calls, and what the last one gave."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        result = call()
        times.append(time.process_time() - start)
    return min(times), result


def row(step: str, textbook: Timed, ours: Timed, difference: str) -> str:
    return f"| {step} | {textbook[0]:.3f} | {ours[0]:.4f} | {textbook[0] / ours[0]:.1f} | {difference} |"


def stacked_par(image: Tensor, maps: Tensor, iterations: int = 10) -> Tensor:
    """The textbook form: the 48 neighbours of image and maps side by side, [C, 48, H, W], in every iteration."""
    offsets = [(dy * d, dx * d) for d in DILATIONS for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
    height, width = image.shape[-2:]
    margin = max(DILATIONS)

    def neighbours(x: Tensor) -> Tensor:
        padded = F.pad(x[None], (margin,) * 4, mode="replicate")[0]
        views = [padded[:, margin + dy : margin + dy + height, margin + dx : margin + dx + width] for dy, dx in offsets]
        return torch.stack(views, dim=1)

    around = neighbours(image)
    colour = -(((around - image[:, None]).abs() / (around.std(dim=1, keepdim=True) + 1e-8) / 0.3) ** 2).mean(dim=0)
    distance = torch.tensor(offsets).float().norm(dim=1)
    position = -((distance / (distance.std() + 1e-8) / 0.3) ** 2)
    kernel = colour.softmax(dim=0) + 0.01 * position.softmax(dim=0)[:, None, None]
    for _ in range(iterations):
        maps = (neighbours(maps) * kernel).sum(dim=1)
    return maps


def par_rows(side: int, classes: int, present: int, repeats: int) -> list[str]:
    torch.manual_seed(0)
    image, maps = torch.rand(3, side, side), torch.rand(classes, side, side)
    textbook = timed(partial(stacked_par, image, maps), 1)
    rows = []
    for count in (classes, present):
        kept = maps.clone()
        kept[count:] = 0
        ours = timed(partial(pixel_adaptive_refinement, image, kept), repeats)
        difference = (ours[1][:count] - textbook[1][:count]).abs().max().item()
        step = f"PAR, 10 iterations, {side} x {side}, {count} of {classes} classes"
        rows.append(row(step, textbook, ours, f"{difference:.1e}"))
    return rows


def squared_walk(maps: np.ndarray, matrix: np.ndarray, beta: float, log2_steps: int) -> np.ndarray:
    """The textbook form: square the dense float32 transition matrix, then apply it once."""
    transition = matrix**beta
    transition /= transition.sum(axis=0, keepdims=True)
    for _ in range(log2_steps):
        transition = transition @ transition
    return (maps.reshape(len(maps), -1) @ transition).reshape(maps.shape)


def walk_row(grid: tuple[int, int], log2_steps: int, repeats: int) -> str:
    rng = np.random.default_rng(0)
    height, width = grid
    maps = np.zeros((21, height, width), np.float32)
    maps[[0, 3, 7]] = rng.random((3, height, width))
    pairs = rng.random(affinity_pair_indices(height, width)[1].shape, dtype=np.float32)
    matrix = affinity_matrix(pairs, height, width).toarray()
    textbook = timed(partial(squared_walk, maps, matrix, 8, log2_steps), 1)
    ours = timed(partial(random_walk, maps, pairs, 8, 2**log2_steps), repeats)
    difference = np.abs(ours[1] - textbook[1]).max()
    step = f"random walk, {height} x {width} cells, {2**log2_steps} steps, 3 of 21 maps"
    return row(step, textbook, ours, f"{difference:.1e}")


def picture(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A smooth noisy image, uint8 [H, W, 3], and two smooth class maps in 0..1."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 5, 9, 9, generator=generator)
    smooth = F.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)[0]
    noisy = (smooth[:3] + 0.03 * torch.randn(3, height, width, generator=generator)).clamp(0, 1)
    return (noisy * 255).byte().permute(1, 2, 0).contiguous().numpy(), smooth[3:].numpy()


def crf_rows(height: int, width: int, repeats: int) -> list[str]:
    """Our dense CRF against the published implementation, called once for each background, with all labels."""
    image, cams = picture(height, width)
    few = [with_background(cams, alpha) for alpha in (4, 32)]
    many = [np.concatenate([stack, np.zeros((18, height, width), np.float32)]) for stack in few]
    published = replace(CRF_PRESETS["psa"], implementation="pydensecrf")
    rows = []
    for what, stacks in (("3 labels", few), ("21 labels, 3 present", many)):
        textbook = timed(lambda stacks=stacks: [dense_crf(image, stack, published) for stack in stacks], repeats)
        ours = timed(lambda stacks=stacks: dense_crf_many(image, stacks, "psa"), repeats)
        apart = max(np.abs(a - b).max() for a, b in zip(textbook[1], ours[1], strict=True))
        pixels = sum(int((a.argmax(0) != b.argmax(0)).sum()) for a, b in zip(textbook[1], ours[1], strict=True))
        step = f"dense CRF, two backgrounds, {what}, {height} x {width}"
        rows.append(row(step, textbook, ours, f"{apart:.1e}, {pixels} labels"))
    labels = few[0].argmax(axis=0)
    published = replace(CRF_PRESETS["label_crf"], implementation="pydensecrf")
    textbook = timed(partial(label_crf, image, labels, 21, preset=published, merge_absent=False), repeats)
    ours = timed(partial(label_crf, image, labels, 21), repeats)
    pixels = int((textbook[1] != ours[1]).sum())
    return [*rows, row(f"label CRF, 21 labels, 3 present, {height} x {width}", textbook, ours, f"{pixels} labels")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=320, help="image side for PAR")
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--present", type=int, default=3, help="classes of an image")
    parser.add_argument("--grid", type=int, nargs=2, default=(47, 63), help="cells of the random walk")
    parser.add_argument("--log2-steps", type=int, default=8)
    parser.add_argument("--image", type=int, nargs=2, default=(375, 500), help="image height and width for the CRF")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("| step | textbook s | ours s | ratio | largest difference |\n| --- | --- | --- | --- | --- |")
    for line in par_rows(args.side, args.classes, args.present, args.repeats):
        print(line, flush=True)
    print(walk_row(tuple(args.grid), args.log2_steps, args.repeats), flush=True)
    for line in crf_rows(*args.image, args.repeats):
        print(line, flush=True)


if __name__ == "__main__":
    main()
