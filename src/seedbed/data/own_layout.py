"""Which layout a folder of your own data is in, and which splits it has: told from names of files, nothing is decoded.

The plan of a run asks here before anything is read, and indexing asks the same functions.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedbed.data.own_labels import SPLITS, read_labels, read_own_text, split_name
from seedbed.errors import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""Of images, in lower or upper case."""
ROBOFLOW = "_annotations.coco.json"
METADATA = ("metadata.jsonl", "metadata.csv")
VOC_MASKS = ("SegmentationClass", "SegmentationClassAug")
_LOOKED_AT = 10_000_000
WHOLE = "default"
"""What annotation tools call the one subset of a task that was not split; all of it is ``train``."""
_LISTS = ("ImageSets/Segmentation", "ImageSets/Main", "ImageSets/SegmentationAug", "ImageSets", ".")
_KNOWN = (
    "images/, labels.csv and classes.txt; or VOC's JPEGImages/, Annotations/ (or SegmentationClass/) and ImageSets/; "
    "or COCO's annotations/ with a file of 'train' and one of 'val', or <split>/_annotations.coco.json; or YOLO's "
    "images/, labels/ and data.yaml; or <split>/metadata.jsonl"
)


class NoLayoutError(DataError):
    """A folder is in none of the layouts."""


@dataclass(frozen=True)
class Found:
    """A layout and where it lies.

    Attributes:
        kind: ``table`` (labels.csv), ``voc``, ``coco``, ``yolo`` or ``imagefolder``.
        base: the folder that the layout's names are relative to.
        splits: ``train``, and perhaps ``val`` and ``trainaug`` -> what describes it: a list, an annotation file, a
            folder; empty for ``table``.
        left_out: names of other splits, which are not read.
    """

    kind: str
    base: Path
    splits: dict[str, Path]
    left_out: tuple[str, ...] = ()


def find_layout(source: Path) -> Found:
    """Tell a folder's layout. A ``labels.csv`` decides for the first one, whatever else lies there.

    Raises:
        DataError: the folder is missing, has none of the layouts, or two.
    """
    if not source.is_dir():
        raise DataError(f"{source}: no such folder. Give the folder of your own data.")
    described = (source / "images").is_dir() and (source / "classes.txt").is_file()
    if (source / "labels.csv").is_file() or (described and not find_yolo(source)):
        return Found("table", source, {})
    voc, coco = find_voc(source), find_annotations(source)
    if voc and coco:
        first = next(iter(coco.values()))
        raise DataError(f"{source}: holds both VOC's layout ({voc}) and COCO's ({first}). Give one of them.")
    if voc:
        return Found("voc", voc, voc_lists(voc))
    if coco:
        return Found("coco", source, coco, _left_out(source, f"*/{ROBOFLOW}", lambda path: path.parent.name))
    for kind, found in (("yolo", find_yolo(source)), ("imagefolder", find_metadata(source))):
        if found:
            return Found(kind, source, found)
    raise NoLayoutError(f"{source}: holds no data in a known layout. It needs {_KNOWN}.{_near_miss(source)}")


def own_splits(source: str | Path) -> list[str]:
    """Splits of the index that a folder of your own data has images for: ``train``, ``val`` or both; never none.

    Raises:
        DataError: the folder has no known layout, or its table or lists name no image of a split.
    """
    found = find_layout(Path(source))
    if found.kind == "voc":
        named = [split for split, path in found.splits.items() if path.read_bytes().strip()]
    elif found.kind == "table":
        rows = read_labels(found.base / "labels.csv", [])
        named = [row.split for row in rows]
        if not rows:
            raise DataError(f"{found.base / 'labels.csv'}: lists no image.")
        if not set(named) & set(SPLITS):
            raise DataError(
                f"{found.base / 'labels.csv'}: no image is in the split 'train' or 'val'; found: "
                f"{', '.join(repr(name) for name in sorted(set(named))[:10])}."
            )
    elif found.kind == "imagefolder" and found.splits["train"].parent == found.base:
        listed = metadata_rows(found.splits["train"])
        named = [folder_split(str(row.get("file_name"))) or "train" for _, row in listed]
    else:
        named = list(found.splits)
    splits = [split for split in SPLITS if split in named]
    if not splits:
        raise DataError(f"{source}: its lists name no image of 'train' or 'val'.")
    return splits


def has_masks(source: str | Path) -> bool:
    """Whether images of a folder of your own data may have masks, told without decoding anything.

    Raises:
        DataError: the folder has no known layout.
    """
    found = find_layout(Path(source))
    if found.kind == "voc":
        return any(next((found.base / name).rglob("*.*"), None) for name in VOC_MASKS)
    if found.kind == "coco":
        with found.splits["train"].open("rb") as stream:
            return re.search(rb'"segmentation"\s*:\s*[\[{]\s*["\[]', stream.read(_LOOKED_AT)) is not None
    if found.kind == "yolo":
        files = sorted(found.splits["train"].glob("*.txt"))[:100]
        return any(len(line.split()) > 5 for path in files for line in read_own_text(path).splitlines())
    return next((found.base / "masks").rglob("*.*"), None) is not None


def has_one_train(source: str | Path) -> bool:
    """Whether ``train`` and ``trainaug`` of a folder of your own data are the same images: there is no longer list.

    Raises:
        DataError: the folder has no known layout.
    """
    splits = find_layout(Path(source)).splits
    return splits.get("trainaug", splits.get("train")) == splits.get("train")


def is_described(source: str | Path) -> bool:
    """Whether a folder has a layout; one of masks alone has none.

    Raises:
        DataError: it has two.
    """
    try:
        find_layout(Path(source))
    except NoLayoutError:
        return False
    return True


def find_voc(source: Path) -> Path | None:
    """The folder with ``JPEGImages`` and what describes them: ``source``, one in it, or one in its ``VOCdevkit``.

    Raises:
        DataError: there are several.
    """
    places = [source, *sorted(source.glob("*")), *sorted(source.glob("VOCdevkit/*"))]
    found = [place for place in places if _is_voc(place)]
    if len(found) > 1:
        raise DataError(f"{source}: holds several data sets in VOC's layout: {', '.join(map(str, found))}. Give one.")
    return found[0] if found else None


def _is_voc(place: Path) -> bool:
    beside = ("Annotations", "ImageSets", "SegmentationClass", "SegmentationClassAug")
    return (place / "JPEGImages").is_dir() and any((place / name).is_dir() for name in beside)


def voc_lists(base: Path) -> dict[str, Path]:
    """The lists of ``train``, ``trainaug`` and ``val``; of a single list that is not split, ``train`` alone.

    Raises:
        DataError: no folder has both lists.
    """
    for folder in (base / name for name in _LISTS):
        names = {"trainaug": "trainaug", "train_aug": "trainaug", **{name: name for name in (*SPLITS, WHOLE)}}
        lists = {path.stem: path for path in sorted(folder.glob("*.txt"))}
        found = {names.get(split_name(stem), ""): path for stem, path in lists.items()}
        train = found.get("train") or found.get("trainaug")
        if train and "val" in found:
            return {split: found.get(split) or train for split in ("train", "trainaug", "val")}
        if WHOLE in found:
            return {"train": found[WHOLE], "trainaug": found[WHOLE]}
    raise DataError(
        f"{base / 'ImageSets'}: needs train.txt and val.txt in Segmentation or Main, one image id a line; val.txt may "
        "be empty."
    )


def find_annotations(source: Path) -> dict[str, Path] | None:
    """COCO's annotation file of ``train``, and of ``val`` where there is one; None without one of ``train``.

    They are ``annotations/*train*.json`` and ``*val*.json``, or ``train/_annotations.coco.json`` and ``valid/...``, or
    one ``annotations/instances_default.json``. Of several files that name a split, the one that begins with
    ``instances`` is meant.

    Raises:
        DataError: several files are left for a split.
    """
    beside = {split_name(path.parent.name): path for path in sorted(source.glob(f"*/{ROBOFLOW}"))}
    if "train" in beside:
        return {split: beside[split] for split in SPLITS if split in beside}
    files = sorted((source / "annotations").glob("*.json"))
    found = {}
    for split in (*SPLITS, WHOLE):
        named = [path for path in files if _names_split(path.stem, split)]
        named = [path for path in named if path.name.startswith("instances")] or named
        if len(named) > 1:
            raise DataError(f"{source}: several files are of '{split}': {', '.join(path.name for path in named)}.")
        if named:
            found[split] = named[0]
    if "train" in found:
        return {split: found[split] for split in SPLITS if split in found}
    return {"train": found[WHOLE]} if WHOLE in found else None


def find_yolo(source: Path) -> dict[str, Path] | None:
    """The folders of YOLO's label files of ``train`` and ``val``; None where there are none of ``train``."""
    places = [*sorted(source.glob("labels/*")), *sorted(path.parent for path in source.glob("*/labels"))]
    found: dict[str, Path] = {}
    for place in places:
        labels = place if place.parent.name == "labels" else place / "labels"
        if next(labels.glob("*.txt"), None) is not None:
            found.setdefault(split_name(re.sub(r"\d+$", "", place.name)), labels)
    return {split: found[split] for split in SPLITS if split in found} if "train" in found else None


def find_metadata(source: Path) -> dict[str, Path] | None:
    """The ``metadata.jsonl`` (or ``.csv``) of ``train`` and ``val``, or one beside the images; None without any."""
    found: dict[str, Path] = {}
    for place in (source, *sorted(source.glob("*")), *sorted(source.glob("data/*"))):
        for path in (place / name for name in METADATA):
            if path.is_file():
                found.setdefault("train" if place == source else split_name(place.name), path)
    return {split: found[split] for split in SPLITS if split in found} if "train" in found else None


def folder_split(name: str) -> str | None:
    """The split that the first folder of a file's name stands for, ``train``, ``val`` or ``test``; None for others."""
    first = split_name(Path(name).parts[0]) if len(Path(name).parts) > 1 else ""
    return first.lower() if first.lower() in (*SPLITS, "test") else None


def metadata_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (line, entry) of a ``metadata.jsonl`` or ``metadata.csv``.

    Raises:
        DataError: a line is no JSON object; it is named.
    """
    text = read_own_text(path).lstrip("\ufeff")
    if path.suffix == ".csv":
        reader = csv.DictReader(io.StringIO(text, newline=""))
        yield from ((reader.line_num, row) for row in reader)
        return
    for line, content in enumerate(text.splitlines(), start=1):
        if content.strip():
            try:
                row = json.loads(content)
            except ValueError as error:
                raise DataError(f"{path}, line {line}: not JSON ({error}).") from None
            if not isinstance(row, dict):
                raise DataError(f"{path}, line {line}: needs an object with 'file_name' and 'labels'.")
            yield line, row


def _names_split(stem: str, split: str) -> bool:
    words = re.findall(r"[a-z]+", stem.lower())
    return any(split_name(word) == split for word in words)


def _left_out(source: Path, pattern: str, name: Callable[[Path], str]) -> tuple[str, ...]:
    others: Iterable[str] = (name(path) for path in sorted(source.glob(pattern)))
    return tuple(other for other in others if split_name(other) not in SPLITS)


def _near_miss(source: Path) -> str:
    """What a folder that has no layout reminds of, and the step that makes it one."""
    if (source / "obj.names").is_file():
        return " This is YOLO 1.1 of an annotation tool: export again as 'COCO 1.0' or 'Ultralytics YOLO Segmentation'."
    if (source / "annotations.xml").is_file():
        return " annotations.xml is a tool's own format: export again as 'COCO 1.0' or 'Segmentation mask 1.1'."
    if next(source.glob("*/*.json"), None) and not (source / "annotations").is_dir():
        return " Are these files of one image each (LabelMe)? 'labelme2coco <folder>' makes COCO's annotations of them."
    if (source / "images").is_dir():
        return " There is a folder images/, but neither labels.csv nor classes.txt."
    return ""
