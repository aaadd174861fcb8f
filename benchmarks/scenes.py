"""Made images for benchmarks: smooth ground, objects with edges, grain; an index with labels, boxes and masks."""

from pathlib import Path

import numpy as np
from PIL import Image

from seedbed.data.index import Box, DataIndex, Record

QUALITY = 92


def scene(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """An image, uint8 [H, W, 3], and the number of the object at each pixel, 0 for the ground."""
    draw = np.random.default_rng(seed)
    coarse = Image.fromarray(draw.integers(40, 216, (6, 8, 3), dtype=np.uint8))
    image = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(np.float32)
    rows, columns = np.mgrid[:height, :width]
    objects = np.zeros((height, width), np.uint8)
    for number in range(1, 4):
        centre, radii = draw.uniform(0.25, 0.75, 2) * (height, width), draw.uniform(0.12, 0.3, 2) * min(height, width)
        inside = ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2 < 1
        stripes = 24 * np.sin(columns / draw.uniform(3, 9))[..., None]
        image[inside] = (draw.integers(0, 256, 3) + stripes)[inside]
        objects[inside] = number
    image += draw.normal(0, 6, (height, width, 1)) + draw.normal(0, 3, (height, width, 3))
    return image.clip(0, 255).astype(np.uint8), objects


def made_index(root: Path, size: tuple[int, int], classes: int, labels: int, images: int = 1) -> DataIndex:
    """Images of one size as JPEG below ``root``, each with the first ``labels`` classes, a box and a mask."""
    height, width = size
    names, records = tuple(f"class{number}" for number in range(classes)), []
    for number in range(images):
        image, objects = scene(height, width, number)
        Image.fromarray(image).save(root / f"{number}.jpg", quality=QUALITY)
        mask = np.where(objects > labels, 0, objects).astype(np.uint8)
        Image.fromarray(mask).save(root / f"{number}.png")
        rows, columns = np.nonzero(mask == 1) if (mask == 1).any() else np.nonzero(mask == 0)
        box = Box(names[0], *(int(x) + 1 for x in (columns.min(), rows.min(), columns.max(), rows.max())))
        records.append(
            Record(str(number), ("split",), names[:labels], f"{number}.jpg", f"{number}.png", (height, width), (box,))
        )
    return DataIndex(root, names, tuple(records))


def made_samples(root: Path) -> Path:
    """A folder as ``samples=`` takes it, of three photographs with labels and one of ImageNet's layout."""
    photographs, imagenet = root / "voc-sample", root / "imagenet-sample"
    for folder in (photographs, imagenet):
        (folder / "images").mkdir(parents=True)
        for number in range(3):
            Image.fromarray(scene(64, 64, number)[0]).save(folder / f"images/{number}.jpg", quality=QUALITY)
    (photographs / "labels.csv").write_text("image,split,labels\n0,train,a\n1,train,b\n2,val,a\n")
    (photographs / "classes.txt").write_text("a\nb\n")
    (imagenet / "classes.csv").write_text("image,index\n0,0\n")
    return root


def made_maps(size: tuple[int, int], labels: int, seed: int = 0) -> np.ndarray:
    """Heat maps, float32 [K, H, W] in 0..1: bumps over the scene's objects."""
    height, width = size
    _, objects = scene(height, width, seed)
    maps = []
    for number in range(1, labels + 1):
        small = Image.fromarray((objects == number).astype(np.float32)).resize((width // 16 + 1, height // 16 + 1))
        maps.append(np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).clip(0, 1))
    return np.stack(maps).astype(np.float32)
