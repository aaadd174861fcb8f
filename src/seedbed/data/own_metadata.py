"""Your own images as Hugging Face's ``imagefolder``: ``metadata.jsonl`` (or ``.csv``) beside the images of a split."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seedbed.data.folder import read_own_classes
from seedbed.data.index import Record
from seedbed.data.own_draft import Draft, Item, check_labels, files_by_stem, masks_by_image
from seedbed.data.own_labels import SPLITS
from seedbed.data.own_layout import folder_split, metadata_rows
from seedbed.errors import DataError

LABELS = ("labels", "label", "classes", "class", "categories", "tags")
"""Columns that hold class names, the first one that is there: one name, or several in a list or separated by commas."""
_FILE = "file_name"


def draft_metadata(source: Path, splits: Mapping[str, Path]) -> Draft:
    """Read the metadata of each split; ``file_name`` is relative to it, labels are names in a column of `LABELS`.

    Classes are those of ``classes.txt``, or all labels, sorted. Masks, if any, lie in ``masks/``.

    Raises:
        DataError: a file cannot be read, or has no column of labels; its columns are named.
    """
    rows = [
        (split_of_row(source, path, row[1], split), path, *row) for split, path in splits.items() for row in _rows(path)
    ]
    rows = [row for row in rows if row[0] in SPLITS]
    names = sorted({label for *_, labels in rows for label in labels})
    path = source / "classes.txt"
    draft = Draft(source, next(iter(splits.values())), read_own_classes(path) if path.is_file() else tuple(names))
    masks = masks_by_image(draft, source / "masks", [Path(name).stem for _, _, _, name, _ in rows])
    folders = {path.parent: files_by_stem(path.parent) for path in splits.values()}
    for split, path, line, name, labels in rows:
        before, image = len(draft.problems), path.parent / name
        check_labels(draft, f"{path}, line {line}", labels)
        if not image.is_file() or ".." in Path(name).parts:
            near = folders[path.parent].get(Path(name).stem)
            hint = f" Is it {near[0].name}?" if near else ""
            draft.problems.append(f"{path}, line {line}: there is no image '{name}' beside it.{hint}")
        if len(draft.problems) == before:
            mask = masks.get(image.stem)
            draft.items.append(
                Item(
                    Record(
                        image.stem,
                        SPLITS[split],
                        labels,
                        draft.path(image),
                        draft.path(mask) if mask else None,
                        (0, 0),
                    )
                )
            )
    return draft


def split_of_row(source: Path, path: Path, name: str, split: str) -> str:
    """An image's split: its metadata's, or where one file beside the folders describes all, its folder's."""
    return folder_split(name) or split if path.parent == source else split


def _rows(path: Path) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Line, file name and labels of each entry."""
    column = None
    for line, row in metadata_rows(path):
        column = column or next((name for name in LABELS if name in row), None)
        if column is None or _FILE not in row:
            raise DataError(
                f"{path}, line {line}: needs 'file_name' and labels as 'labels' (a list of names); it has "
                f"{', '.join(map(repr, row))}. Objects with boxes or masks: export them as COCO."
            )
        yield line, str(row[_FILE]), _names(path, line, row.get(column))


def _names(path: Path, line: int, value: Any) -> tuple[str, ...]:
    """Labels of an entry; blanks within a name become underscores."""
    values = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    if any(isinstance(name, bool) or not isinstance(name, str) for name in values if name is not None):
        raise DataError(f"{path}, line {line}: labels must be names, not {value!r}.")
    names = ("_".join(name.split()) for name in values if name is not None)
    return tuple(dict.fromkeys(name for name in names if name))
