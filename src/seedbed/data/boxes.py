"""Boxes from other conventions as PASCAL VOC writes them."""


def corners(x: float, y: float, width: float, height: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return xmin, ymin, xmax, ymax, 1-based and inclusive, of a box given by its corner and extent.

    The box is rounded to whole pixels, at least one, and cut to the image.

    Args:
        x, y: its upper left corner in pixels, counted from 0.
        width, height: its extent in pixels.
        size: (height, width) of the image.
    """
    left, right = _span(x, width, size[1])
    top, bottom = _span(y, height, size[0])
    return left, top, right, bottom


def _span(start: float, extent: float, side: int) -> tuple[int, int]:
    first = min(max(round(start), 0), side - 1) + 1
    last = min(max(round(start + extent), first), side)
    return first, last
