"""Your own data in one of three layouts, told apart by what lies in the folder.

- ``images/``, ``labels.csv``, ``classes.txt``, optional ``masks/``: `seedbed.data.folder`;
- PASCAL VOC's, ``JPEGImages/``, ``Annotations/``, ``ImageSets/``, optional ``SegmentationClass/``:
  `seedbed.data.own_voc`;
- COCO's, ``annotations/*train*.json`` and ``*val*.json`` beside folders of pictures: `seedbed.data.own_coco`.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from seedbed.data.folder import read_folder
from seedbed.data.index import DataIndex, Record
from seedbed.data.own_coco import find_annotations, read_own_coco
from seedbed.data.own_voc import find_voc, read_own_voc
from seedbed.data.pictures import read_mask, read_picture
from seedbed.errors import DataError

_SHOWN = 20


def read_own(source: str | Path, root: str | Path, *, workers: int | None = None) -> DataIndex:
    """Index the pictures in ``source`` under the data set folder ``root``; every picture and mask is decoded once.

    Pictures are not copied; only COCO's polygons are painted, as masks below ``root``. A ``labels.csv`` decides for the
    first layout, whatever else lies there.

    Args:
        source: the folder, which is not written to.
        root: the data set's folder.
        workers: processes that paint masks; None takes all processors.

    Raises:
        DataError: the folder has none of the layouts or two of them, or its content is at fault; what, is named.
    """
    source, root = Path(source), Path(root)
    if not source.is_dir():
        raise DataError(f"{source}: no such folder. Give the folder of your own data.")
    if (source / "labels.csv").is_file() or ((source / "images").is_dir() and (source / "classes.txt").is_file()):
        return read_folder(source, root)
    voc, coco = find_voc(source), find_annotations(source)
    if voc and coco:
        raise DataError(f"{source}: holds both VOC's layout ({voc}) and COCO's ({coco['train']}). Give one of them.")
    if not voc and not coco:
        raise DataError(
            f"{source}: holds no data in a known layout. It needs images/, labels.csv and classes.txt; or VOC's "
            "JPEGImages/, Annotations/ and ImageSets/; or COCO's annotations/ with a file of 'train' and one of 'val'."
        )
    index = read_own_voc(voc, root) if voc else read_own_coco(source, coco, root, workers=workers)
    _require_readable(index)
    return index


def _require_readable(index: DataIndex) -> None:
    """Decode every picture and mask once, and list every problem found."""
    with ThreadPoolExecutor() as pool:
        outcomes = pool.map(lambda record: _problem(index, record), index.records)
        problems = [problem for problem in outcomes if problem]
    if problems:
        more = f"\n... and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise DataError("\n".join(problems[:_SHOWN]) + more)


def _problem(index: DataIndex, record: Record) -> str | None:
    try:
        size = read_picture(index.root / record.path).shape[:2]
        if size != record.size:
            raise DataError(f"{record.path}: is {size[0]} x {size[1]}, its annotations are for {record.size}.")
        if record.mask:
            read_mask(index.root / record.mask, size, len(index.classes))
    except DataError as error:
        return str(error)
    return None
