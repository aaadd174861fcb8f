"""Your own images in PASCAL VOC's layout, read where they are; also as annotation tools and published lists vary it.

Without ``Annotations/`` the masks give the labels; images may be of any kind; lists may name the files of image and
mask instead of an id (``/JPEGImages/a.jpg /SegmentationClassAug/a.png``); a ``labelmap.txt`` says what the colours of
RGB masks mean.
"""

from collections.abc import Mapping
from pathlib import Path

from seedbed.data.folder import read_own_classes
from seedbed.data.index import NO_CLASSES, Box, DataIndex, Record
from seedbed.data.own_check import index_draft
from seedbed.data.own_draft import Draft, Item, check_labels, files_by_stem, masks_by_image, some
from seedbed.data.own_labels import read_own_text
from seedbed.data.own_layout import EXTENSIONS, VOC_MASKS, find_voc, voc_lists
from seedbed.data.own_masks import read_labelmap
from seedbed.data.voc import VOC_CLASSES, read_annotation
from seedbed.errors import DataError

__all__ = ["draft_voc", "find_voc", "read_own_voc"]


def read_own_voc(base: Path, root: Path) -> DataIndex:
    """Index ``base`` under the data set folder ``root``.

    The splits ``train`` and ``val`` are the lists in ``ImageSets/Segmentation``, or in ``ImageSets/Main`` where there
    is none; ``trainaug`` is the list of that name, or ``train``. Classes are those of ``labelmap.txt`` or
    ``classes.txt``; without them VOC's 20 if the annotations name no other; without masks any, sorted by name.

    Args:
        base: the folder that holds ``JPEGImages``.
        root: the data set's folder.

    Raises:
        DataError: a list, image or annotation is missing or damaged, or the classes of the masks are unknown; all that
            is wrong is listed.
    """
    return index_draft(draft_voc(Path(base), Path(base), voc_lists(Path(base))), Path(root))


def draft_voc(source: Path, base: Path, lists: Mapping[str, Path]) -> Draft:
    """Read lists and annotations, and find the files that they name.

    Args:
        source: the folder that was given.
        base: the folder in it that holds ``JPEGImages``.
        lists: the list of each split; see `voc_lists`.

    Raises:
        DataError: a list or the list of classes cannot be read.
    """
    draft = Draft(source, base)
    draft.labels_in_masks = not (base / "Annotations").is_dir()
    members: dict[str, list[str]] = {}  # by the name that lists, annotations and files share
    listed_masks: dict[str, Path] = {}
    for split, path in lists.items():
        for image in _read_list(draft, base, path, listed_masks):
            members.setdefault(image, []).append(split)
    boxes = {} if draft.labels_in_masks else _boxes(draft, base / "Annotations", sorted(members))
    masks = {**_masks(draft, base, members), **listed_masks}
    draft.classes = _classes(draft, base, boxes, masks)
    images = files_by_stem(base / "JPEGImages", deep=True)
    for image in sorted(members):
        _add(draft, base, image, tuple(members[image]), boxes.get(image, ()), images, masks.get(image))
    if draft.labels_in_masks:
        missing = [item.record.image for item in draft.items if item.record.mask is None]
        if missing:
            draft.problems.append(
                f"{base}: without Annotations/ the masks give the labels, and none is of {some(missing)}."
            )
    return draft


def _read_list(draft: Draft, base: Path, path: Path, masks: dict[str, Path]) -> list[str]:
    """Image ids of a list; where its lines name files, the files of masks are added to ``masks``."""
    images: list[str] = []
    twice: list[str] = []
    for line in read_own_text(path).lstrip("\ufeff").splitlines():
        words = line.split()
        if not words:
            continue
        image = _listed_name(words[0], base)
        if image in images:
            twice.append(image)
            continue
        images.append(image)
        if len(words) > 1 and "/" in words[1]:
            masks[image] = base / words[1].lstrip("/")
    if twice:
        draft.problems.append(f"{path}: lists {some(twice, 10)} more than once.")
    return images


def _listed_name(word: str, base: Path) -> str:
    """What a list calls an image: ``a`` for ``a``, ``a.jpg`` and ``/JPEGImages/a.jpg``; ``sub/a`` in a folder."""
    path = Path(word.lstrip("/"))
    if path.suffix.lower() in EXTENSIONS and (len(path.parts) > 1 or (base / "JPEGImages" / path).is_file()):
        path = path.with_suffix("")
    return path.relative_to("JPEGImages").as_posix() if path.parts[0] == "JPEGImages" else path.as_posix()


def _boxes(draft: Draft, folder: Path, images: list[str]) -> dict[str, tuple[Box, ...]]:
    """Objects of each image's annotation; blanks in names become underscores, as in COCO's layout."""
    found = {}
    for image in images:
        path = folder / f"{image}.xml"
        try:
            boxes = read_annotation(path)
        except DataError as error:
            draft.problems.append(str(error))
            continue
        boxes = [Box("_".join(box.label.split()), box.xmin, box.ymin, box.xmax, box.ymax) for box in boxes]
        for label in dict.fromkeys(box.label for box in boxes):
            if label.lower() in NO_CLASSES or "," in label or ":" in label:
                draft.problems.append(f"{path}: an object cannot be named '{label}'.")
        found[image] = tuple(boxes)
    return found


def _masks(draft: Draft, base: Path, images: Mapping[str, list[str]]) -> dict[str, Path]:
    folder = next((base / name for name in VOC_MASKS if (base / name).is_dir()), None)
    return masks_by_image(draft, folder, images) if folder else {}


def _add(
    draft: Draft,
    base: Path,
    image: str,
    splits: tuple[str, ...],
    boxes: tuple[Box, ...],
    images: Mapping[str, list[Path]],
    mask: Path | None,
) -> None:
    found, before = images.get(image, []), len(draft.problems)
    labels = tuple(dict.fromkeys(box.label for box in boxes))
    check_labels(draft, f"{base}: image '{image}'", labels)
    if not found:
        draft.problems.append(f"{base / 'JPEGImages' / image}.jpg: no such image; the list of images names it.")
    elif len(found) > 1:
        draft.problems.append(f"{base / 'JPEGImages'}: two images are named '{image}': {some(p.name for p in found)}.")
    if len(draft.problems) == before:
        path = draft.path(mask) if mask else None
        name = "__".join(Path(image).parts)
        draft.items.append(Item(Record(name, splits, labels, draft.path(found[0]), path, (0, 0), boxes)))


def _classes(
    draft: Draft, base: Path, boxes: Mapping[str, tuple[Box, ...]], masks: Mapping[str, Path]
) -> tuple[str, ...]:
    labelmap = base / "labelmap.txt"
    if labelmap.is_file():
        classes, draft.colours = read_labelmap(read_own_text(labelmap), labelmap)
        if not masks:
            draft.colours = None
        return classes
    if (base / "classes.txt").is_file():
        return read_own_classes(base / "classes.txt")
    names = {box.label for found in boxes.values() for box in found}
    if names <= set(VOC_CLASSES):
        return VOC_CLASSES
    if masks:
        strange = sorted(names - set(VOC_CLASSES))
        draft.problems.append(
            f"{base}: the annotations name classes that are not VOC's ({some(strange)}), so the values of the masks "
            f"are unknown. Write {base / 'classes.txt'}: one class a line, in the order of the masks' values."
        )
    return tuple(sorted(names))
