"""Your own images: ``images/``, ``labels.csv``, ``classes.txt`` and, for evaluation only, ``masks/``.

``labels.csv`` has the columns ``image,split,labels``: the image's name without extension, ``train`` or ``val``, and
class names separated by spaces (none is allowed); see `seedbed.data.own_labels`. Nothing is copied: the index points at
the files where they are.
"""

from collections.abc import Mapping
from pathlib import Path

from seedbed.data.index import DataIndex, Record, parse_classes
from seedbed.data.own_check import index_draft
from seedbed.data.own_draft import Draft, Item, check_labels, files_by_stem, masks_by_image
from seedbed.data.own_labels import SPLITS, LabelRow, read_labels, read_own_text
from seedbed.data.own_layout import EXTENSIONS
from seedbed.errors import DataError, unknown_name


def read_folder(source: Path, root: Path) -> DataIndex:
    """Index the folder ``source`` under the data set folder ``root``; every image and mask is decoded once.

    ``train`` images also form the split ``trainaug``, on which networks train.

    Raises:
        DataError: listing every problem found: missing or corrupt images, unknown splits and labels, ids listed twice,
            masks of another size, with values that are no class, or that contradict the labels.
    """
    return index_draft(draft_folder(Path(source)), Path(root))


def draft_folder(source: Path) -> Draft:
    """Read the table, and find the files that it names.

    Raises:
        DataError: a part of the layout is missing, or the table as a whole cannot be read.
    """
    if not (source / "images").is_dir():
        raise DataError(f"{source}: has no folder 'images'. Your own data needs images/, labels.csv and classes.txt.")
    table = source / "labels.csv"
    if not table.is_file():
        raise DataError(f"{table}: no such file. It needs the columns image,split,labels.")
    draft = Draft(source, table, read_own_classes(source / "classes.txt"))
    rows, images = read_labels(table, draft.problems), files_by_stem(source / "images")
    masks = masks_by_image(draft, source / "masks", [row.image for row in rows])
    for row in rows:
        _add(draft, row, images, masks.get(row.image))
    return draft


def read_own_classes(path: Path) -> tuple[str, ...]:
    """Class names of a file that a person wrote, one a line, in any usual encoding; checked as in `read_classes`."""
    if not path.is_file():
        raise DataError(f"{path}: no such file. It must name the classes, one a line.")
    return parse_classes(read_own_text(path), path)


def _add(draft: Draft, row: LabelRow, images: Mapping[str, list[Path]], mask: Path | None) -> None:
    where, before = f"{draft.place}, line {row.line}", len(draft.problems)
    if row.split not in SPLITS:
        draft.problems.append(f"{where}: {unknown_name('split', row.split, SPLITS)}")
    check_labels(draft, where, row.labels)
    found = images.get(row.image, [])
    if not found:
        hint = " Leave the extension out." if Path(row.image).suffix.lower() in EXTENSIONS else ""
        folder, kinds = draft.source / "images", ", ".join(EXTENSIONS)
        draft.problems.append(f"{where}: there is no image '{row.image}' in {folder} ({kinds}).{hint}")
    elif len(found) > 1:
        names = ", ".join(path.name for path in found)
        draft.problems.append(f"{where}: two images are named '{row.image}': {names}.")
    if len(draft.problems) == before:
        path, size = draft.path(found[0]), (0, 0)
        draft.items.append(
            Item(Record(row.image, SPLITS[row.split], row.labels, path, draft.path(mask) if mask else None, size))
        )
