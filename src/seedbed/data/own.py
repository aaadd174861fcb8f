"""Your own data, in the layouts that people have; told apart by what lies in the folder.

- ``images/``, ``labels.csv``, ``classes.txt``, optional ``masks/``: `seedbed.data.folder`;
- PASCAL VOC's, ``JPEGImages/``, ``Annotations/``, ``ImageSets/``, optional ``SegmentationClass/``, and how annotation
  tools and published lists vary it: `seedbed.data.own_voc`;
- COCO's, ``annotations/*train*.json`` and ``*val*.json`` beside folders of images, or ``train/_annotations.coco.json``:
  `seedbed.data.own_coco`;
- YOLO's, ``images/``, ``labels/``, ``data.yaml``: `seedbed.data.own_yolo`;
- ``metadata.jsonl`` beside the images of each split: `seedbed.data.own_metadata`.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from seedbed.data.folder import draft_folder
from seedbed.data.index import DataIndex
from seedbed.data.own_check import index_draft
from seedbed.data.own_coco import draft_coco
from seedbed.data.own_draft import Draft
from seedbed.data.own_layout import Found, find_layout
from seedbed.data.own_metadata import draft_metadata
from seedbed.data.own_voc import draft_voc
from seedbed.data.own_yolo import draft_yolo


def read_own(
    source: str | Path,
    root: str | Path,
    *,
    workers: int | None = None,
    say: Callable[[str], None] = logging.warning,
    longest_side: int | None = None,
) -> DataIndex:
    """Index the images in ``source`` under the data set folder ``root``; every image and mask is decoded once.

    Images are not copied: the index names them by the link ``root/source``. Only masks that are painted from polygons,
    or numbered otherwise than ours, are written, below ``root``. A ``labels.csv`` decides for the first layout,
    whatever else lies there.

    Args:
        source: the folder, which is not written to.
        root: the data set's folder.
        workers: processes or threads; None takes all processors.
        say: takes what is right but should be known, such as masks that show what no image is labelled with.
        longest_side: images of a longer side are reduced to it, as copies below ``root``, with their masks and boxes.

    Raises:
        DataError: the folder has none of the layouts or two of them, or its content is at fault; all of it is listed.
    """
    source = Path(source)
    found = find_layout(source)
    draft = _draft(source, found)
    if found.kind != "table" and "val" not in found.splits:
        draft.remarks.append(f"{source}: has no split 'val'; all its images are 'train'.")
    if found.left_out:
        draft.remarks.append(f"{source}: only train and val are read; left out: {', '.join(found.left_out)}.")
    return index_draft(draft, Path(root), workers=workers, say=say, longest_side=longest_side)


def _draft(source: Path, found: Found) -> Draft:
    match found.kind:
        case "table":
            return draft_folder(source)
        case "voc":
            return draft_voc(source, found.base, found.splits)
        case "coco":
            return draft_coco(source, found.splits)
        case "yolo":
            return draft_yolo(source, found.splits)
        case _:
            return draft_metadata(source, found.splits)
