"""A folder of ground-truth masks alone, without their images, as a data set that masks can be scored on."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from seedbed.data.folder import read_own_classes
from seedbed.data.index import DataIndex, Record
from seedbed.data.own_draft import MASK_EXTENSIONS, files_by_stem, listed
from seedbed.data.voc import VOC_CLASSES
from seedbed.errors import DataError
from seedbed.io.masks import VOID, decode_mask, voc_palette

SPLIT = "all"


def read_truth_folder(folder: str | Path) -> DataIndex:
    """Index the masks in ``folder`` (or its ``truth``) by name.

    Their one split is ``all``, and records have no image (an empty path). Classes are those of a ``classes.txt`` in the
    folder or beside it; without one VOC's, if the masks have VOC's palette and no other value; else ``class_1`` up to
    the highest value.

    Raises:
        DataError: the folder holds no mask, or masks cannot be read; all of them are listed.
    """
    folder = Path(folder)
    files = files_by_stem(folder, MASK_EXTENSIONS)
    if not files and (folder / "truth").is_dir():
        return read_truth_folder(folder / "truth")
    if not files:
        raise DataError(f"{folder}: holds no ground-truth mask ({', '.join(MASK_EXTENSIONS)}).")
    twice = [f"{folder}: two masks are named '{name}'." for name, paths in files.items() if len(paths) > 1]
    with ThreadPoolExecutor() as pool:
        each = list(pool.map(_highest_and_size, [paths[0] for paths in files.values()]))
    problems = twice + [str(one) for one in each if isinstance(one, DataError)]
    if problems:
        raise DataError(listed(problems))
    found = [one for one in each if not isinstance(one, DataError)]
    records = [
        Record(name, (SPLIT,), (), "", str(paths[0].resolve()), size)
        for (name, paths), (_, size) in zip(files.items(), found, strict=True)
    ]
    classes = _classes(folder, max(highest for highest, _ in found), Path(records[0].mask or ""))
    return DataIndex(folder, classes, tuple(sorted(records, key=lambda record: record.image)))


def _highest_and_size(path: Path) -> tuple[int, tuple[int, int]] | DataError:
    try:
        mask = decode_mask(path, any_depth=True)
    except DataError as error:
        return error
    return int(np.where(mask == VOID, 0, mask).max(initial=0)), mask.shape


def _classes(folder: Path, highest: int, first: Path) -> tuple[str, ...]:
    for place in (folder, folder.parent):
        if (place / "classes.txt").is_file():
            return read_own_classes(place / "classes.txt")
    if highest <= len(VOC_CLASSES) and _has_voc_palette(first):
        return VOC_CLASSES
    return tuple(f"class_{k}" for k in range(1, max(highest, 1) + 1))


def _has_voc_palette(path: Path) -> bool:
    with Image.open(path) as image:
        colours = bytes(image.getpalette("RGB") or ()) if image.mode == "P" else b""
    return len(colours) > 3 and voc_palette().startswith(colours[: 3 * (len(VOC_CLASSES) + 1)])
