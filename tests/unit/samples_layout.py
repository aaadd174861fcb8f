"""A folder of samples of drawn pictures: the layout that `samples=` names."""

from pathlib import Path

import numpy as np
from mini_archives import jpeg
from PIL import Image

from seedbed.io.masks import encode_mask, voc_palette

SIZE = 64
CLASSES = ("cat", "dog")
SAMPLES = Path(__file__).parents[3] / "shared/data"
"""The real ones, beside the project where it has them."""


def sample_folders(root: Path, train: int = 8, val: int = 4, photographs: int = 20) -> Path:
    """Photographs with a square of each class's own colour, ImageNet's layout, and masks made elsewhere."""
    _photographs(root / "voc-sample", train, val)
    _imagenet(root / "imagenet-sample", photographs)
    for part in ("masks", "truth"):
        (root / "pseudo-masks-sample" / part).mkdir(parents=True)
        for number in range(3):
            mask = _square(number, 1 + number % 2, wider=part == "masks")
            picture = Image.fromarray(mask)
            picture.putpalette(voc_palette())
            picture.save(root / f"pseudo-masks-sample/{part}/{number}.png")
    return root


def _photographs(folder: Path, train: int, val: int) -> None:
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    rows = ["image,split,labels"]
    for number in range(train + val):
        label = 1 + number % 2
        mask, noise = _square(number, label), np.random.default_rng(number).integers(0, 60, (SIZE, SIZE, 3))
        image = (noise + np.array([(80, 80, 80), (190, 60, 60), (60, 60, 190)])[mask]).astype(np.uint8)
        Image.fromarray(image).save(folder / f"images/{number:03d}.jpg", quality=92)
        (folder / f"masks/{number:03d}.png").write_bytes(encode_mask(mask))
        rows.append(f"{number:03d},{'train' if number < train else 'val'},{CLASSES[label - 1]}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")


def _imagenet(folder: Path, count: int) -> None:
    (folder / "images").mkdir(parents=True)
    rows = ["image,synset,index,name"]
    for number in range(count):
        (folder / f"images/n{number:03d}.jpg").write_bytes(jpeg(SIZE, SIZE + 8, number))
        rows.append(f'n{number:03d},n{number:03d},{2 * number},"one, two"')
    (folder / "classes.csv").write_text("\n".join(rows) + "\n")


def _square(number: int, label: int, wider: bool = False) -> np.ndarray:
    mask, top = np.zeros((SIZE, SIZE), np.uint8), 8 + 4 * (number % 5)
    mask[top : top + 32, 16 : 48 + 4 * wider] = label
    return mask
