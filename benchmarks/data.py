"""Preparing data sets, on generated stand-ins of true size, against the textbook loop; prints a Markdown table.

Seconds by the clock, because several processes work, and rates per core, which a busy machine disturbs less.
The stand-ins are made anew in a temporary folder; making them is not timed.

OMP_NUM_THREADS=1 python benchmarks/data.py
OMP_NUM_THREADS=1 python benchmarks/data.py --pictures 500 --workers 1
"""

import argparse
import contextlib
import io
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.io
import scipy.sparse
from PIL import Image, ImageDraw
from pycocotools.coco import COCO

from seedbed.data.published import coco14, voc12
from seedbed.data.shapes import make_shapes
from seedbed.io.masks import encode_mask, voc_palette

DISTINCT = 100
"""So many different masks; the rest are links to them."""


class Time(NamedTuple):
    """Seconds by the clock, and seconds of all cores together."""

    wall: float
    cores: float


def timed(call: Callable[[], object]) -> Time:
    start, used = time.perf_counter(), core_seconds()
    call()
    return Time(time.perf_counter() - start, core_seconds() - used)


def core_seconds() -> float:
    """Of this process and of the workers that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def outline(rng: np.random.Generator, height: int, width: int, points: int) -> np.ndarray:
    """A wobbly closed outline, [points, 2] as x, y: as many points and as large as annotators' polygons."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    radius = (
        rng.uniform(0.04, 0.3) * height * (1 + 0.25 * np.sin(angle * rng.integers(3, 9)) + rng.normal(0, 0.05, points))
    )
    centre = rng.uniform((0, 0), (width, height))
    xy = centre + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.clip(xy, 0, (width - 1, height - 1)).round(2)


def jpeg(rng: np.random.Generator, height: int, width: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def sbd_file(rng: np.random.Generator) -> bytes:
    """An SBD class file of 500 x 375 pixels: three objects, twenty sparse boundaries."""
    mask = three_objects(rng)
    boundaries = np.empty((20, 1), object)
    for k in range(20):
        inside = mask == k + 1
        edge = np.zeros(mask.shape, bool)
        edge[1:], edge[:, 1:] = inside[1:] != inside[:-1], edge[:, 1:] | (inside[:, 1:] != inside[:, :-1])
        boundaries[k, 0] = scipy.sparse.csc_matrix(edge)
    present = np.setdiff1d(mask, [0])[:, None]
    buffer = io.BytesIO()
    content = {"Boundaries": boundaries, "Segmentation": mask, "CategoriesPresent": present}
    scipy.io.savemat(buffer, {"GTcls": content}, do_compression=True)
    return buffer.getvalue()


def three_objects(rng: np.random.Generator) -> np.ndarray:
    """A class mask of 500 x 375 pixels."""
    picture = Image.new("L", (500, 375))
    for _ in range(3):
        ImageDraw.Draw(picture).polygon(
            [tuple(point) for point in outline(rng, 375, 500, 80)], int(rng.integers(1, 21))
        )
    return np.asarray(picture)


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def make_voc(root: Path, pictures: int) -> None:
    """VOC with one image in train and one in val, and SBD with so many more."""
    rng = np.random.default_rng(0)
    names = [f"2008_{number:06d}" for number in range(pictures + 2)]
    voc, sbd = root / voc12.VOC, root / voc12.SBD
    xml = (
        b"<annotation><object><name>dog</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
        b"</object></annotation>"
    )
    write(voc / "JPEGImages" / f"{names[0]}.jpg", jpeg(rng, 375, 500))
    write(voc / "Annotations" / f"{names[0]}.xml", xml)
    for name in names[1:]:
        os.link(voc / "JPEGImages" / f"{names[0]}.jpg", voc / "JPEGImages" / f"{name}.jpg")
        os.link(voc / "Annotations" / f"{names[0]}.xml", voc / "Annotations" / f"{name}.xml")
    for name in names[:2]:
        write(voc / "SegmentationClass" / f"{name}.png", encode_mask(np.zeros((375, 500), np.uint8)))
    for number, name in enumerate(names[2:]):
        if number < DISTINCT:
            write(sbd / "cls" / f"{name}.mat", sbd_file(rng))
        else:
            os.link(sbd / "cls" / f"{names[2 + number % DISTINCT]}.mat", sbd / "cls" / f"{name}.mat")
    write(voc / "ImageSets/Segmentation/train.txt", names[0].encode())
    write(voc / "ImageSets/Segmentation/val.txt", names[1].encode())
    write(sbd / "train.txt", "\n".join(names[2:]).encode())
    write(sbd / "val.txt", names[0].encode())


def make_coco(root: Path, pictures: int) -> None:
    """So many training images of 640 x 480 with seven instances each, and one for validation."""
    rng = np.random.default_rng(0)
    categories = [
        {"id": number, "name": name} for number, name in zip(coco14.CATEGORY_IDS, coco14.CLASSES, strict=True)
    ]
    content = jpeg(rng, 480, 640)
    for split, count in (("train", pictures), ("val", 1)):
        images, annotations = [], []
        first = root / coco14.PICTURES[split] / f"COCO_{split}2014_{0:012d}.jpg"
        write(first, content)
        for number in range(count):
            name = f"COCO_{split}2014_{number:012d}.jpg"
            images.append({"id": number, "file_name": name, "height": 480, "width": 640})
            if number:
                os.link(first, first.with_name(name))
            for _ in range(7):
                polygon = outline(rng, 480, 640, int(rng.integers(10, 60))).ravel().tolist()
                annotations.append(
                    {"id": len(annotations), "image_id": number, "category_id": int(rng.choice(coco14.CATEGORY_IDS)),
                     "iscrowd": 0, "area": float(rng.uniform(10, 9e4)), "segmentation": [polygon]}
                )  # fmt: skip
        text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
        write(root / coco14.INSTANCES[split], text.encode())


def looped_sbd(root: Path, target: Path) -> None:
    """The textbook form: read, squeeze and save one file after the other."""
    target.mkdir()
    for path in sorted((root / voc12.SBD / "cls").iterdir()):
        content = scipy.io.loadmat(path, mat_dtype=True, squeeze_me=True, struct_as_record=False)["GTcls"]
        picture = Image.fromarray(content.Segmentation.astype(np.uint8), mode="P")
        picture.putpalette(voc_palette())
        picture.save(target / f"{path.stem}.png")


def looped_coco(root: Path, target: Path) -> None:
    """The textbook form: COCO's own index, one full-size mask an instance."""
    target.mkdir()
    with contextlib.redirect_stdout(None):
        coco = COCO(root / coco14.INSTANCES["train"])
    values = {category: k + 1 for k, category in enumerate(sorted(coco.getCatIds()))}
    for number in coco.getImgIds():
        image = coco.loadImgs(number)[0]
        mask = np.zeros((image["height"], image["width"]), np.uint8)
        for annotation in sorted(coco.loadAnns(coco.getAnnIds(number)), key=lambda entry: -entry["area"]):
            mask[coco.annToMask(annotation) == 1] = values[annotation["category_id"]]
        Image.fromarray(mask).save(target / f"{Path(image['file_name']).stem}.png")


def row(step: str, count: int, textbook: Time | None, ours: Time) -> str:
    shown = (f"{textbook.wall:.2f}", f"{textbook.cores / ours.cores:.1f}") if textbook else ("-", "-")
    rates = f"{count / ours.wall:.0f} | {count / ours.cores:.0f}"
    return f"| {step} | {count} | {shown[0]} | {ours.wall:.2f} | {rates} | {shown[1]} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2, help="processes of ours; the textbook loop has one")
    parser.add_argument("--size", type=int, default=96, help="side of the built-in pictures")
    options = parser.parse_args()
    count = options.pictures
    print("| step | images | textbook s | ours s | images/s | images/s and core | factor per core |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_voc(root / "voc", count)
        textbook = timed(lambda: looped_sbd(root / "voc", root / "sbd_masks"))
        expected = {"train": 1, "trainaug": count + 1, "val": 1}
        ours = timed(lambda: voc12.prepare_voc12(root / "voc", expected=expected, workers=options.workers))
        print(row("SBD .mat to palette PNG, with index (500 x 375)", count, textbook, ours), flush=True)
        make_coco(root / "coco", count)
        textbook = timed(lambda: looped_coco(root / "coco", root / "coco_masks"))
        expected = {"train": count, "trainaug": count, "val": 1}
        ours = timed(lambda: coco14.prepare_coco14(root / "coco", expected=expected, workers=options.workers))
        print(row("COCO instances to semantic PNG, with index (640 x 480)", count, textbook, ours), flush=True)
        parts = {"seed": 0, "size": options.size, "train": 1, "trainaug": count - 1, "val": 1, "single_object": False}
        ours = timed(lambda: make_shapes(root / "shapes", **parts))
        print(row(f"built-in images drawn and indexed ({options.size} x {options.size})", count, None, ours))


if __name__ == "__main__":
    main()
