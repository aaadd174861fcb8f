"""Your own images in YOLO's layout: a text file an image, a polygon or box a line, in fractions of width and height."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from seedbed.data.coco_annotations import CocoImage, CocoInstances
from seedbed.data.images import picture_size
from seedbed.data.own_coco import draft_instances
from seedbed.data.own_draft import Draft, files_by_stem
from seedbed.data.own_labels import read_own_text
from seedbed.errors import DataError

_NAMES = ("data.yaml", "dataset.yaml", "classes.txt", "obj.names", "labels/classes.txt")


def draft_yolo(source: Path, splits: Mapping[str, Path]) -> Draft:
    """Read the label files of each split, beside whose folder ``labels`` the images lie in ``images``.

    An image without a label file, or with an empty one, is background. Lines of five numbers are boxes; images of a
    split with a polygon anywhere get masks.

    Raises:
        DataError: nothing names the classes.
    """
    path, names = _names(source)
    draft = Draft(source, path)
    categories = {number: "_".join(str(name).split()) for number, name in sorted(names.items())}
    instances, folders = {}, {}
    for split, labels in splits.items():
        folders[split] = _images_folder(labels)
        images = images_of_labels(labels)
        listed = [_image(draft, number, image, labels, categories) for number, image in enumerate(images)]
        instances[split] = CocoInstances(labels, categories, tuple(image for image in listed if image))
    return draft_instances(draft, instances, folders.get)


def images_of_labels(labels: Path) -> list[Path]:
    """The images whose label files lie in the folder ``labels``, sorted; in the folder ``images`` beside it."""
    return sorted(found[0] for found in files_by_stem(_images_folder(labels)).values())


def _images_folder(labels: Path) -> Path:
    return labels.parent.parent / Path(*("images" if part == "labels" else part for part in labels.parts[-2:]))


def _image(draft: Draft, number: int, image: Path, labels: Path, categories: Mapping[int, str]) -> CocoImage | None:
    path = labels / f"{image.stem}.txt"
    try:
        size = picture_size(image)
        lines = read_own_text(path).splitlines() if path.is_file() else []
    except DataError as error:
        draft.problems.append(str(error))
        return None
    annotations = []
    for line, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            annotation = _annotation(text, size)
            if annotation["category_id"] not in categories:
                raise ValueError(f"there is no class {annotation['category_id']}")
        except ValueError as error:
            draft.problems.append(f"{path}, line {line}: {error}.")
            continue
        annotations.append({"id": f"{image.stem}, line {line}", **annotation})
    return CocoImage(number, image.name, size, tuple(annotations))


def _annotation(text: str, size: tuple[int, int]) -> dict[str, Any]:
    """A line as COCO writes it.

    Raises:
        ValueError: it is neither a box nor a polygon.
    """
    first, *rest = text.split()
    numbers, (height, width) = [float(value) for value in rest], size
    if not all(0 <= value <= 1.001 for value in numbers):
        raise ValueError("a number is outside 0..1, the share of the image's width or height")
    if len(numbers) == 4:
        x, y, w, h = numbers
        return {
            "category_id": int(first),
            "bbox": [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height],
        }
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError(f"{len(numbers)} numbers are neither a box (4) nor a polygon (x and y of 3 points or more)")
    xs, ys = [x * width for x in numbers[::2]], [y * height for y in numbers[1::2]]
    polygon = [side for point in zip(xs, ys, strict=True) for side in point]
    box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    return {"category_id": int(first), "segmentation": [polygon], "bbox": box}


def _names(source: Path) -> tuple[Path, dict[int, str]]:
    """Class names by number, and the file that gives them."""
    path = next((source / name for name in _NAMES if (source / name).is_file()), None)
    if path is None:
        raise DataError(f"{source}: YOLO's labels need a data.yaml with 'names', or a classes.txt.")
    if path.suffix != ".yaml":
        lines = [line.strip() for line in read_own_text(path).lstrip("\ufeff").splitlines() if line.strip()]
        return path, dict(enumerate(lines))
    try:
        names: Any = (yaml.safe_load(read_own_text(path)) or {}).get("names")
    except (yaml.YAMLError, AttributeError) as error:
        raise DataError(f"{path}: is not YAML ({error}).") from None
    if isinstance(names, list):
        return path, dict(enumerate(names))
    if isinstance(names, dict) and all(str(key).isdigit() for key in names):
        return path, {int(key): name for key, name in names.items()}
    raise DataError(f"{path}: needs 'names', a list of classes or a mapping from numbers to them.")
