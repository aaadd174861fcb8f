"""Your own images in COCO's layout: images are read where they are, polygons are painted as masks."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from seedbed.data.boxes import corners
from seedbed.data.coco_annotations import CocoImage, CocoInstances, is_box, read_instances
from seedbed.data.index import NO_CLASSES, Box, DataIndex, Record
from seedbed.data.own_check import MASKS, index_draft
from seedbed.data.own_draft import Draft, Item
from seedbed.data.own_labels import SPLITS
from seedbed.data.own_layout import find_annotations
from seedbed.io.masks import VOID

__all__ = ["draft_coco", "draft_instances", "find_annotations", "read_own_coco"]


def read_own_coco(
    source: Path, annotations: Mapping[str, Path], root: Path, *, workers: int | None = None
) -> DataIndex:
    """Index ``source`` under the data set folder ``root``, and paint masks to ``root/masks``.

    Class k is the k-th category in the order of ids. Images without annotations count as background; a split whose
    annotations are boxes alone has no masks.

    Args:
        source: the folder.
        annotations: the file of ``train`` and of ``val``.
        root: the data set's folder.
        workers: processes that paint; None takes all processors.

    Raises:
        DataError: a file is missing or damaged, or anything in it is at fault; all of it is listed.
    """
    return index_draft(draft_coco(Path(source), annotations), Path(root), workers=workers)


def draft_coco(source: Path, annotations: Mapping[str, Path]) -> Draft:
    """Read the annotation files.

    Raises:
        DataError: a file is missing or is no COCO annotations.
    """
    problems: list[str] = []
    splits = {split: read_instances(path, problems) for split, path in annotations.items()}
    draft = Draft(source, source, problems=problems)
    return draft_instances(draft, splits, lambda split: _images(source, split, splits[split], problems))


def draft_instances(
    draft: Draft, splits: Mapping[str, CocoInstances], folder_of: Callable[[str], Path | None]
) -> Draft:
    """Complete a draft by instances.

    Args:
        draft: to which classes, items and problems are added.
        splits: the instances of each split.
        folder_of: the folder that the file names of a split are relative to; None where there is none.
    """
    draft.classes = _classes(draft, splits)
    categories = dict(splits["train"].categories)
    for split, instances in splits.items():
        if not instances.images:
            draft.problems.append(f"{instances.path}: lists no image.")
            continue
        folder = folder_of(split)
        if folder is None:
            continue
        names = _names(instances)
        painted = any(annotation.get("segmentation") for image in instances.images for annotation in image.annotations)
        for image in instances.images:
            if Path(image.file_name).is_absolute() or ".." in Path(image.file_name).parts:
                draft.problems.append(f"{instances.path}: '{image.file_name}' does not lie in {draft.source}.")
            elif all(annotation["category_id"] in categories for annotation in image.annotations):
                draft.items.append(_item(draft, image, split, names[image.id], folder, painted, categories))
    if any(item.record.mask for item in draft.items):
        draft.values = {category: k for k, category in enumerate(categories, start=1)}
    return draft


def _item(
    draft: Draft, image: CocoImage, split: str, name: str, folder: Path, painted: bool, categories: Mapping[int, str]
) -> Item:
    boxes = tuple(
        Box(categories[annotation["category_id"]], *corners(x, y, width, height, image.size))
        for annotation in image.annotations
        if is_box(annotation.get("bbox"))
        for x, y, width, height in [annotation["bbox"]]
    )
    labels = tuple(categories[category] for category in image.categories())
    mask = f"{MASKS}/{name}.png" if painted else None
    record = Record(name, SPLITS[split], labels, draft.path(folder / image.file_name), mask, image.size, boxes)
    return Item(record, image)


def _names(instances: CocoInstances) -> dict[int, str]:
    """Id of each image: its file's name without folder and extension; with its folder where two are equal otherwise."""
    paths = {image.id: Path(image.file_name).with_suffix("") for image in instances.images}
    count = Counter(path.name for path in paths.values())
    return {key: path.name if count[path.name] == 1 else "__".join(path.parts) for key, path in paths.items()}


def _classes(draft: Draft, splits: Mapping[str, CocoInstances]) -> tuple[str, ...]:
    train = splits["train"]
    for other in splits.values():
        if dict(train.categories) != dict(other.categories):
            differing = sorted(set(train.categories.items()) ^ set(other.categories.items()), key=str)
            draft.problems.append(f"{other.path}: other categories than in {train.path.name}: {differing[:4]}.")
    names = tuple(train.categories.values())
    if len(set(names)) < len(names) or not 0 < len(names) < VOID:
        draft.problems.append(f"{train.path}: needs 1 to {VOID - 1} categories, each with a name of its own.")
    for name in names:
        if not name or name.lower() in NO_CLASSES or "," in name or ":" in name:
            draft.problems.append(f"{train.path}: a category cannot be named '{name}'; background is no category.")
    return names


def _images(source: Path, split: str, instances: CocoInstances, problems: list[str]) -> Path | None:
    """The folder that the file names of a split are relative to; a problem where there is none."""
    tag = instances.path.stem.rpartition("_")[2]
    places = [
        source / "images" / tag,
        source / tag,
        source / "images" / split,
        source / split,
        instances.path.parent,
        source / "images",
        source,
    ]
    name = instances.images[0].file_name
    found = next((place for place in places if (place / name).is_file()), None)
    if found is None:
        tried = ", ".join(dict.fromkeys(map(str, places)))
        problems.append(f"{instances.path}: its image {name} is in none of {tried}.")
    return found
