"""PASCAL VOC's layout: JPEGImages, SegmentationClass, Annotations, ImageSets. Read and written here."""

import io
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from seedbed.data.images import picture_size
from seedbed.data.index import Box, Record
from seedbed.errors import DataError
from seedbed.io.masks import encode_mask

VOC_CLASSES = tuple(
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep "
    "sofa train tvmonitor".split()
)

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_voc(root: Path, folder: str, splits: Mapping[str, str]) -> Iterator[Record]:
    """Yield the records of a data set in PASCAL VOC's layout.

    Args:
        root: the data set's folder, to which record paths are relative.
        folder: where JPEGImages and the others lie, relative to ``root``.
        splits: split name -> list file below ``folder/ImageSets`` without ``.txt``, such as ``Segmentation/train``.

    Raises:
        DataError: a list, image or annotation is missing or corrupt.
    """
    base = root / folder
    members: dict[str, list[str]] = {}
    for split, name in splits.items():
        for image in read_image_list(base / "ImageSets" / f"{name}.txt"):
            members.setdefault(image, []).append(split)
    for image in sorted(members):
        objects = read_annotation(base / "Annotations" / f"{image}.xml")
        mask = base / "SegmentationClass" / f"{image}.png"
        file = base / "JPEGImages" / f"{image}.jpg"
        yield Record(
            image=image,
            splits=tuple(members[image]),
            labels=tuple(dict.fromkeys(box.label for box in objects)),
            path=str(file.relative_to(root)),
            mask=str(mask.relative_to(root)) if mask.is_file() else None,
            size=picture_size(file),
            boxes=tuple(objects),
        )


def read_image_list(path: Path) -> list[str]:
    """Image ids of an ImageSets file: the first word of each line.

    Raises:
        DataError: the list is missing, empty, or names an image twice.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such list of images.")
    try:
        images = [line.split()[0] for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text ({error}).") from None
    if not images:
        raise DataError(f"{path}: lists no image.")
    if len(set(images)) < len(images):
        twice = sorted({image for image in images if images.count(image) > 1})
        raise DataError(f"{path}: lists {', '.join(twice[:10])} more than once.")
    return images


def read_annotation(path: Path) -> list[Box]:
    """Objects of an Annotations file, difficult ones included, in file order.

    Raises:
        DataError: the file is missing, not XML, or an object lacks its name or box.
    """
    try:
        objects = ElementTree.parse(path).iter("object")
        return [_box(number, item) for number, item in enumerate(objects, start=1)]
    except FileNotFoundError:
        raise DataError(f"{path}: no such annotation.") from None
    except (ElementTree.ParseError, LookupError, OverflowError, ValueError) as error:
        raise DataError(f"{path}: not a PASCAL VOC annotation ({error}).") from None


def write_voc_item(base: Path, image: str, pixels: np.ndarray, mask: np.ndarray, boxes: Sequence[Box]) -> None:
    """Write image (uint8 [H, W, 3]), mask (uint8 [H, W]) and annotation of one image below ``base``."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=92, subsampling=0)
    (base / "JPEGImages" / f"{image}.jpg").write_bytes(buffer.getvalue())
    (base / "SegmentationClass" / f"{image}.png").write_bytes(encode_mask(mask))
    (base / "Annotations" / f"{image}.xml").write_text(_annotation(image, pixels.shape, boxes), encoding="utf-8")


def write_image_lists(base: Path, lists: Mapping[str, Iterable[str]]) -> None:
    """Write ImageSets files; keys are names such as ``Segmentation/train``."""
    for name, images in lists.items():
        path = base / "ImageSets" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{image}\n" for image in images), encoding="utf-8")


def make_voc_folders(base: Path) -> None:
    """Create the folders that ``write_voc_item`` fills."""
    for name in ("JPEGImages", "SegmentationClass", "Annotations", "ImageSets"):
        (base / name).mkdir(parents=True, exist_ok=True)


def _box(number: int, item: ElementTree.Element) -> Box:
    texts = {key: item.findtext(key) or "" for key in ("name", *(f"bndbox/{corner}" for corner in CORNERS))}
    for key, text in texts.items():
        if not text.strip():
            raise ValueError(f"object {number} has no {key}")
    # Some VOC boxes are written with decimals.
    return Box(texts["name"].strip(), *(round(float(texts[f"bndbox/{corner}"])) for corner in CORNERS))


def _annotation(image: str, shape: tuple[int, ...], boxes: Sequence[Box]) -> str:
    objects = "".join(
        f"\t<object>\n\t\t<name>{box.label}</name>\n\t\t<difficult>0</difficult>\n\t\t<bndbox>\n"
        f"\t\t\t<xmin>{box.xmin}</xmin>\n\t\t\t<ymin>{box.ymin}</ymin>\n"
        f"\t\t\t<xmax>{box.xmax}</xmax>\n\t\t\t<ymax>{box.ymax}</ymax>\n\t\t</bndbox>\n\t</object>\n"
        for box in boxes
    )
    return (
        f"<annotation>\n\t<filename>{image}.jpg</filename>\n\t<size>\n\t\t<width>{shape[1]}</width>\n"
        f"\t\t<height>{shape[0]}</height>\n\t\t<depth>3</depth>\n\t</size>\n\t<segmented>1</segmented>\n"
        f"{objects}</annotation>\n"
    )
