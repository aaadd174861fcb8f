"""What a layout's reader hands to the common checks of your own data, and how problems are told: all in one list."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from seedbed.data.coco_annotations import CocoImage
from seedbed.data.index import Record
from seedbed.data.own_layout import EXTENSIONS
from seedbed.errors import DataError, unknown_name
from seedbed.io.masks import VOID

_SHOWN = 20
MASK_EXTENSIONS = (".png", ".bmp", ".gif", ".tif", ".tiff")
"""Of masks, in lower or upper case; formats that lose nothing."""
Colours = Mapping[tuple[int, int, int], int]
"""What the colours of coloured masks mean: 0 background, k class k, 255 void."""


class Item(NamedTuple):
    """A record whose size is not known yet, and the instances that its mask is painted from, if any."""

    record: Record
    instances: CocoImage | None = None


@dataclass
class Draft:
    """A data set as its files describe it, before anything is decoded.

    Attributes:
        source: the folder that was given.
        place: the table, list or folder that messages name.
        classes: class names, the background excluded.
        items: its images.
        problems: what is wrong; one message each.
        remarks: what is right but should be known.
        values: COCO's category id -> value in the masks that are painted; None where masks are files.
        colours: what coloured masks mean, where it is known.
        labels_in_masks: there are no labels but those that the masks show.
    """

    source: Path
    place: Path
    classes: tuple[str, ...] = ()
    items: list[Item] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    values: Mapping[int, int] | None = None
    colours: Colours | None = None
    labels_in_masks: bool = False

    def path(self, path: Path) -> str:
        """A file of the source as records name it."""
        return str(self.source.resolve() / path.relative_to(self.source))

    def refuse(self) -> None:
        """Raise a DataError that lists the problems, if there are any."""
        if self.problems:
            raise DataError(listed(self.problems))


def check_lists(draft: Draft) -> None:
    """Add the problems of the data set as a whole: ids, splits, classes and labels."""
    records, problems, place = [item.record for item in draft.items], draft.problems, draft.place
    if not records and not problems:
        problems.append(f"{place}: lists no image.")
    twice = [image for image, count in Counter(record.image for record in records).items() if count > 1]
    if twice:
        splits = {split for record in records if record.image in twice for split in record.splits}
        where = " (in train and val)" if {"train", "val"} <= splits else ""
        problems.append(f"{place}: image ids listed more than once: {some(twice)}{where}.")
    both = [record.image for record in records if "val" in record.splits and {"train", "trainaug"} & set(record.splits)]
    if both:
        problems.append(f"{place}: in train and in val: {some(both)}. What is learnt from cannot measure.")
    if len(draft.classes) >= VOID:
        problems.append(f"{place}: {len(draft.classes)} classes; masks can number {VOID - 1}.")
    if problems:
        return  # what is left of a faulty list says nothing about splits and labels
    train = [record for record in records if "train" in record.splits]
    if not train:
        problems.append(f"{place}: no image is in the split 'train'; networks learn from it.")
    elif not draft.labels_in_masks and not any(record.labels for record in train):
        problems.append(f"{place}: no image of the split 'train' has a label, so there is nothing to learn.")


def check_labels(draft: Draft, where: str, labels: Iterable[str]) -> None:
    """Add the problem of each label that is no class."""
    draft.problems += [
        f"{where}: {unknown_name('label', label, draft.classes)}" for label in labels if label not in draft.classes
    ]


def files_by_stem(folder: Path, extensions: Sequence[str] = EXTENSIONS, *, deep: bool = False) -> dict[str, list[Path]]:
    """Name without extension -> the files of that name in ``folder``; hidden ones are left out.

    Args:
        folder: one that is missing has no files.
        extensions: in lower case.
        deep: also look into its folders; names are relative to ``folder`` then, as ``sub/name``.

    Raises:
        DataError: the folder may not be read.
    """
    found: dict[str, list[Path]] = {}
    try:
        entries = sorted(folder.rglob("*") if deep and folder.is_dir() else folder.iterdir())
    except FileNotFoundError:
        return found
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}).") from None
    for path in entries:
        if path.suffix.lower() in extensions and not path.name.startswith("."):
            found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), []).append(path)
    return found


def masks_by_image(draft: Draft, folder: Path, images: Iterable[str]) -> dict[str, Path]:
    """The masks in ``folder`` of images; what else lies there is counted and named, and is refused if it is all."""
    found = files_by_stem(folder, MASK_EXTENSIONS, deep=True)
    images = set(images)
    several = {stem: paths for stem, paths in found.items() if len(paths) > 1 and stem in images}
    draft.problems += [f"{folder}: two masks of '{k}': {some(path.name for path in v)}." for k, v in several.items()]
    used = {stem: paths[0] for stem, paths in found.items() if stem in images}
    known = {path for paths in found.values() for path in paths}
    rest = sorted(path for path in folder.rglob("*") if path.is_file() and path not in known and path.name[0] != ".")
    strangers = [str(path.relative_to(folder)) for stem in found if stem not in images for path in found[stem]]
    strangers += [str(path.relative_to(folder)) for path in rest]
    if strangers and images:
        text = (
            f"{folder}: {len(used)} of {len(used) + len(strangers)} files are the mask of a listed image; not so "
            f"{some(strangers)}. A mask is named as its image, <image>.png."
        )
        (draft.remarks if used else draft.problems).append(text)
    return used


def listed(problems: Iterable[str]) -> str:
    """One text of many problems, each a line; the first of them if they are very many."""
    problems = list(dict.fromkeys(problems))
    more = f"\n... and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return "\n".join(problems[:_SHOWN]) + more


def some(names: Iterable[str], count: int = 5) -> str:
    """The first of many names."""
    names = list(names)
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")
