"""The checks that every layout of your own data goes through: images and masks are decoded once, then all is compared.

Problems of all images come in one list. What is right but should be known (masks that show what no image is labelled
with, black images, skipped polygons) is said as remarks, with counts.
"""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from seedbed.data.coco_annotations import paint
from seedbed.data.images import read_mask, read_picture
from seedbed.data.index import DataIndex, Record, validate_records
from seedbed.data.own_agreement import Shown, compare_masks
from seedbed.data.own_draft import Draft, Item, check_lists, some
from seedbed.data.own_masks import palette_values, read_coloured
from seedbed.data.own_reduction import IMAGES, Reduction
from seedbed.data.own_source import link_source
from seedbed.data.workers import Workers
from seedbed.errors import DataError
from seedbed.io.atomic import atomic_directory
from seedbed.io.masks import VOID, encode_mask

MASKS = "masks"
_LARGE = 6_000_000
_DARK = 26
"""An image without a value this high, of 255, is nearly black: a tenth of the range."""


def index_draft(
    draft: Draft,
    root: Path,
    *,
    workers: int | None = None,
    say: Callable[[str], None] = logging.warning,
    longest_side: int | None = None,
) -> DataIndex:
    """Decode and compare everything, and index it under the data set folder ``root``.

    Masks that are painted or that are not numbered as ours are written to ``root/masks``.

    Args:
        draft: what the layout's reader found.
        root: the data set's folder.
        workers: processes or threads; None takes all processors.
        say: takes each remark.
        longest_side: what larger images are reduced to.

    Raises:
        DataError: listing every problem.
    """
    check_lists(draft)
    link_source(root, draft.source)
    paints = draft.values is not None or draft.colours is not None
    writes = paints or longest_side is not None
    with ExitStack() as stack:
        masks = stack.enter_context(atomic_directory(root / MASKS)) if writes else None
        images = stack.enter_context(atomic_directory(root / IMAGES)) if longest_side else None
        work = _Examine(root, masks, draft, Reduction(longest_side, images) if longest_side and images else None)
        with _pool(workers, processes=writes) as each:
            found = list(each(work, draft.items))
        draft.problems += [problem for one in found for problem in one.problems]
        found = _with_labels(draft, found)
        by_colour = compare_masks(draft, [one.shown for one in found if one.shown])
        if by_colour and any(one.record.path.startswith(f"{IMAGES}/") for one in found):
            draft.problems.append(f"{draft.place}: masks in VOC's colours in another order cannot be reduced as well.")
        _remark(draft, found)
        draft.refuse()
        records = [one.record for one in found]
        if by_colour:
            masks = masks or stack.enter_context(atomic_directory(root / MASKS))
            records = [_renumbered(root, masks, record, len(draft.classes)) for record in records]
        checked = validate_records(records, draft.classes, str(draft.place))
    for remark in draft.remarks:
        say(remark)
    return DataIndex(root, draft.classes, checked)


@contextmanager
def _pool(workers: int | None, processes: bool) -> Iterator[Callable]:
    """A parallel map: decoding releases Python's lock, painting does not."""
    if processes:
        with Workers(workers) as pool:
            yield pool.map
    else:
        with ThreadPoolExecutor(workers) as pool:
            yield pool.map


@dataclass(frozen=True)
class _Examined:
    """What is known of an image after it was decoded; ``skipped``: its instances whose shapes could not be painted."""

    record: Record
    problems: tuple[str, ...] = ()
    shown: Shown | None = None
    looks: str = ""
    skipped: int = 0


class _Examine:
    """Decodes an image, and reads or paints its mask; light enough to be sent to processes."""

    def __init__(self, root: Path, masks: Path | None, draft: Draft, reduction: Reduction | None = None) -> None:
        self.root, self.masks, self.reduction = root, masks, reduction
        self.paints = draft.values is not None or draft.colours is not None
        self.count, self.values, self.colours = len(draft.classes), draft.values, draft.colours
        self.labels = {name: k for k, name in enumerate(draft.classes, start=1)}

    def __call__(self, item: Item) -> _Examined:
        record = item.record
        try:
            image = read_picture(self.root / record.path)
        except DataError as error:
            return _Examined(record, (str(error),))
        size = image.shape[:2]
        if item.instances and item.instances.size != size:
            text = (
                f"{self.root / record.path}: is {size[0]} x {size[1]}, its annotations are for {item.instances.size}."
            )
            return _Examined(record, (text,))
        record = replace(record, size=size)
        skipped: list[str] = []
        try:
            mask, by_colour = self._mask(item, size, skipped)
        except DataError as error:
            return _Examined(record, (str(error),))
        shown, small = None, False
        if self.reduction is not None and self.reduction.is_needed(size):
            small = True
            record, mask = self.reduction(record, image, mask)
        if mask is not None:
            if self.masks is not None and (self.paints or small):
                record = replace(record, mask=f"{MASKS}/{record.image}.png")
                _write(self.masks, record.image, mask)
            labels = frozenset(self.labels[label] for label in record.labels)
            shown = Shown(record.image, labels, _values(mask), None if by_colour is None else _values(by_colour))
        return _Examined(record, (), shown, _looks(image), len(skipped))

    def _mask(
        self, item: Item, size: tuple[int, int], skipped: list[str]
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """An image's mask, and the same read by its palette's colours where they are VOC's in another order."""
        if item.record.mask is None:
            return None, None
        if self.values is not None and item.instances is not None:
            return paint(item.instances, self.values, skipped), None
        path = self.root / item.record.mask
        if self.colours is not None:
            return read_coloured(path, size, self.colours), None
        mask = read_mask(path, size, self.count)
        return mask, palette_values(path, self.count)


def _write(folder: Path, image: str, mask: np.ndarray) -> None:
    (folder / f"{image}.png").write_bytes(encode_mask(mask))


def _values(mask: np.ndarray) -> frozenset[int]:
    return frozenset(np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist())


def _looks(image: np.ndarray) -> str:
    """``black``, ``of one colour`` or ``nearly black`` for an image that shows nothing; empty for others."""
    highest = int(image.max())
    if highest == 0:
        return "black"
    if (image == image[0, 0]).all():
        return "of one colour"
    return "nearly black" if highest < _DARK else ""


def _with_labels(draft: Draft, found: list[_Examined]) -> list[_Examined]:
    """Labels from the masks where there are no others."""
    if not draft.labels_in_masks:
        return found
    result = []
    for one in found:
        values = sorted(one.shown.values - {0, VOID}) if one.shown else []
        labels = tuple(draft.classes[value - 1] for value in values)
        shown = one.shown and replace(one.shown, labels=frozenset(values))
        result.append(replace(one, record=replace(one.record, labels=labels), shown=shown))
    if not draft.problems and not any(one.record.labels for one in result if "train" in one.record.splits):
        draft.problems.append(
            f"{draft.place}: no mask of the split 'train' shows a class, so there is nothing to learn."
        )
    return result


def _remark(draft: Draft, found: list[_Examined]) -> None:
    for looks in ("black", "nearly black", "of one colour"):
        names = [one.record.image for one in found if one.looks == looks]
        hint = f" (no value above {_DARK - 1} of 255: fewer bits than the file has room for?)" if "ly" in looks else ""
        if names:
            draft.remarks.append(
                f"{draft.place}: {len(names)} of {len(found)} images are {looks}{hint}: {some(names)}."
            )
    pixels = max((one.record.size[0] * one.record.size[1] for one in found), default=0)
    if pixels > _LARGE:
        draft.remarks.append(
            f"{draft.place}: images of up to {pixels / 1e6:.0f} million pixels: some steps take 0.4 GB a "
            "million. longest_side=1024 works on reduced copies."
        )
    skipped = [one for one in found if one.skipped]
    if skipped:
        draft.remarks.append(
            f"{draft.place}: {sum(one.skipped for one in skipped)} instances have no shape that can be painted; their "
            f"labels stand, their boxes are void in the masks. Images: {some(one.record.image for one in skipped)}."
        )


def _renumbered(root: Path, masks: Path, record: Record, count: int) -> Record:
    """A record whose mask is written anew, read by the palette's colours where they are VOC's."""
    if record.mask is None:
        return record
    mask = palette_values(root / record.mask, count)
    if mask is None:
        return record
    _write(masks, record.image, mask)
    return replace(record, mask=f"{MASKS}/{record.image}.png")
