"""How large your own images are: memory and time of most steps follow the largest one."""

import csv
from pathlib import Path

from seedbed.data.own_source import largest_files

_TRIED = 20


def largest_megapixels(index: str | Path, folder: str | Path, longest_side: int | None = None) -> float:
    """Megapixels of the largest image of a folder of your own.

    Args:
        index: the data set's ``index.csv``. Before there is one, the headers of the files of most bytes are read.
        folder: your own images.
        longest_side: that copies are reduced to, which the index knows.
    """
    index = Path(index)
    if index.is_file():
        with index.open(newline="", encoding="utf-8") as stream:
            sizes = [(int(row["height"]), int(row["width"])) for row in csv.DictReader(stream)]
    else:
        sizes = [size for path in largest_files(folder, _TRIED) if (size := _size(path))]
        sizes = [_reduced(size, longest_side) for size in sizes]
    return max((height * width for height, width in sizes), default=0) / 1e6


def _size(path: Path) -> tuple[int, int] | None:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None  # no image, or one that indexing refuses


def _reduced(size: tuple[int, int], longest_side: int | None) -> tuple[int, int]:
    share = min(1.0, longest_side / max(size)) if longest_side else 1.0
    return round(size[0] * share), round(size[1] * share)
