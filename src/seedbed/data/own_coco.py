"""Your own pictures in COCO's layout: pictures are read where they are, polygons are painted as masks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from seedbed.data.boxes import corners
from seedbed.data.coco import CocoImage, CocoInstances, paint, read_instances
from seedbed.data.index import Box, DataIndex, Record, validate_records
from seedbed.data.workers import Workers
from seedbed.errors import DataError
from seedbed.io.atomic import atomic_directory
from seedbed.io.masks import VOID, encode_mask

MASKS = "masks"
SPLITS = {"train": ("train", "trainaug"), "val": ("val",)}


def find_annotations(source: Path) -> dict[str, Path] | None:
    """The annotation file of ``train`` and of ``val`` in ``source/annotations``; None if one of them is missing.

    Of several files that name a split, the one that begins with ``instances`` is meant.

    Raises:
        DataError: several files are left for a split.
    """
    found = {}
    for split in SPLITS:
        files = sorted((source / "annotations").glob(f"*{split}*.json"))
        files = [path for path in files if path.name.startswith("instances")] or files
        if len(files) > 1:
            raise DataError(f"{source}: several files are of '{split}': {', '.join(path.name for path in files)}.")
        if not files:
            return None
        found[split] = files[0]
    return found


def read_own_coco(
    source: Path, annotations: Mapping[str, Path], root: Path, *, workers: int | None = None
) -> DataIndex:
    """Index ``source`` under the data set folder ``root``, and paint masks to ``root/masks``.

    Class k is the k-th category in the order of ids. Pictures without annotations count as background; a split whose
    annotations are boxes alone has no masks.

    Args:
        source: the folder.
        annotations: the file of ``train`` and of ``val``.
        root: the data set's folder.
        workers: processes that paint; None takes all processors.

    Raises:
        DataError: a file is missing or damaged, or the two files differ in their categories.
    """
    with atomic_directory(root / MASKS) as masks, Workers(workers) as pool:
        splits = {split: read_instances(path) for split, path in annotations.items()}
        classes = _classes(splits)
        records = []
        for split, instances in splits.items():
            pictures = _pictures(source, split, instances)
            painted = any(_has_shape(item) for image in instances.images for item in image.annotations)
            work = _Prepare(pictures, split, masks if painted else None, dict(instances.categories))
            records += pool.map(work, instances.images)
        return DataIndex(root, classes, validate_records(records, classes, str(source)))


def _has_shape(annotation: Mapping) -> bool:
    return bool(annotation.get("segmentation"))


def _classes(splits: Mapping[str, CocoInstances]) -> tuple[str, ...]:
    train, val = splits["train"], splits["val"]
    if dict(train.categories) != dict(val.categories):
        differing = sorted(set(train.categories.items()) ^ set(val.categories.items()))
        raise DataError(f"{val.path}: other categories than in {train.path.name}: {differing[:4]}.")
    names = tuple(train.categories.values())
    if len(set(names)) < len(names) or not 0 < len(names) < VOID:
        raise DataError(f"{train.path}: needs 1 to {VOID - 1} categories, each with a name of its own.")
    for name in names:
        if not name or name == "background" or "," in name or ":" in name:
            raise DataError(f"{train.path}: a category cannot be named '{name}'; background is no category.")
    return names


def _pictures(source: Path, split: str, instances: CocoInstances) -> Path:
    """The folder that the file names of a split are relative to."""
    if not instances.images:
        raise DataError(f"{instances.path}: lists no picture.")
    tag = instances.path.stem.rpartition("_")[2]
    places = [
        source / "images" / tag,
        source / tag,
        source / "images" / split,
        source / split,
        source / "images",
        source,
    ]
    name = instances.images[0].file_name
    for place in places:
        if (place / name).is_file():
            return place
    tried = ", ".join(dict.fromkeys(map(str, places)))
    raise DataError(f"{instances.path}: its picture {name} is in none of {tried}.")


@dataclass(frozen=True)
class _Prepare:
    """Makes the record of a picture, and writes its mask unless ``masks`` is None."""

    pictures: Path
    split: str
    masks: Path | None
    names: Mapping[int, str]

    def __call__(self, image: CocoImage) -> Record:
        name, size = Path(image.file_name).stem, image.size
        mask = None
        if self.masks is not None:
            mask = f"{MASKS}/{name}.png"
            values = {category: k for k, category in enumerate(self.names, start=1)}
            (self.masks / f"{name}.png").write_bytes(encode_mask(paint(image, values)))
        labels = tuple(self.names[category] for category in image.categories())
        boxes = tuple(
            Box(self.names[item["category_id"]], *corners(*item["bbox"], size))
            for item in image.annotations
            if len(item.get("bbox", ())) == 4
        )
        picture = str((self.pictures / image.file_name).resolve())
        return Record(name, SPLITS[self.split], labels, picture, mask, size, boxes)
