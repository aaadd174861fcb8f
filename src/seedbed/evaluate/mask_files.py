"""Masks that somebody made elsewhere, as files in a folder, against the ground truth."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seedbed.data.index import DataIndex, Record
from seedbed.data.own_draft import MASK_EXTENSIONS, files_by_stem, listed, some
from seedbed.data.own_masks import read_voc_colours
from seedbed.errors import DataError
from seedbed.evaluate.confusion import CONVENTIONS, ConfusionMatrix
from seedbed.evaluate.scoring import ground_truth, quality
from seedbed.io.masks import decode_mask, is_coloured

_AT_ONCE = 256


@dataclass
class MaskScores:
    """Scores of masks.

    Attributes:
        classes: class names, the background excluded.
        matrix: counts over all images.
        images: mIoU of each image, over the classes that it or its mask shows.
        files: the mask of each image.
        remarks: what should be known, such as how many images have no mask.
    """

    classes: tuple[str, ...]
    matrix: ConfusionMatrix
    images: dict[str, float] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def metrics(self, convention: str) -> dict[str, Any]:
        """What `quality` returns, ``miou_<convention>`` by each convention, ``void``, and ``images``."""
        means = {f"miou_{name}": self.matrix.miou(name) for name in CONVENTIONS}
        found = quality(self.matrix, self.classes, convention)
        return {**found, **means, "void": self.matrix.void() / self.matrix.labelled(), "images": len(self.images)}

    def worst(self, count: int) -> list[str]:
        """Images of the lowest mIoU, the worst first."""
        return sorted(self.images, key=lambda image: (self.images[image], image))[:count]


def score_mask_files(index: DataIndex, records: Sequence[Record], folder: str | Path) -> MaskScores:
    """Score the masks in ``folder``, named as their images, against the ground truth of ``records``.

    Masks are palette or greyscale images of any depth, or RGB in VOC's colours. A void prediction misses its class.
    Images without a mask are left out and counted.

    Raises:
        DataError: no mask is of an image; or, listed together, masks that cannot be read, are of another size or hold a
            value that is no class.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of masks.")
    place = folder / "masks" if not files_by_stem(folder, MASK_EXTENSIONS) and (folder / "masks").is_dir() else folder
    files = files_by_stem(place, MASK_EXTENSIONS)
    known = [record for record in records if record.mask]
    judged = [record for record in known if record.image in files]
    _require_some(place, files, records, known, judged)
    scores = MaskScores(index.classes, ConfusionMatrix(len(index.classes) + 1))
    scores.remarks = _remarks(place, files, records, known, judged)
    problems: list[str] = []
    for record, path, outcome in _compared(index, judged, files):
        if isinstance(outcome, DataError):
            problems.append(str(outcome))
            continue
        scores.matrix.merge(outcome)
        scores.files[record.image] = path
        if outcome.labelled():
            scores.images[record.image] = outcome.miou("in_either")
    if problems:
        raise DataError(listed(problems))
    return scores


def read_prediction(path: Path) -> np.ndarray:
    """Return a mask as uint8 [H, W]: its numbers, or what its colours are in VOC's palette.

    Raises:
        DataError: it cannot be read, or a colour is not VOC's.
    """
    return read_voc_colours(path) if is_coloured(path) else decode_mask(path, any_depth=True)


def _compared(
    index: DataIndex, records: Sequence[Record], files: dict[str, list[Path]]
) -> Iterator[tuple[Record, Path, ConfusionMatrix | DataError]]:
    """Each image's counts, or what is wrong."""

    def compare(record: Record) -> ConfusionMatrix | DataError:
        path = files[record.image][0]
        try:
            matrix = ConfusionMatrix(len(index.classes) + 1)
            matrix.update(read_prediction(path), ground_truth(index, record), void="miss")
            return matrix
        except DataError as error:
            return error if str(path) in str(error) else DataError(f"{path}: {error}")

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(records), _AT_ONCE):
            some_records = records[start : start + _AT_ONCE]
            for record, outcome in zip(some_records, pool.map(compare, some_records), strict=True):
                yield record, files[record.image][0], outcome


def _require_some(
    place: Path,
    files: dict[str, list[Path]],
    records: Sequence[Record],
    known: Sequence[Record],
    judged: Sequence[Record],
) -> None:
    if not files:
        raise DataError(f"{place}: holds no mask ({', '.join(MASK_EXTENSIONS)}).")
    if not known:
        raise DataError(f"None of the {len(records)} images has a ground-truth mask, so nothing can be scored.")
    if not judged:
        raise DataError(
            f"{place}: none of its {len(files)} masks ({some(files, 3)}) is named as one of {len(known)} images "
            f"({some((record.image for record in known), 3)})."
        )
    twice = [image for record in judged if len(files[image := record.image]) > 1]
    if twice:
        raise DataError(f"{place}: several masks of {some(twice)}.")


def _remarks(
    place: Path,
    files: dict[str, list[Path]],
    records: Sequence[Record],
    known: Sequence[Record],
    judged: Sequence[Record],
) -> list[str]:
    remarks = []
    if len(known) < len(records):
        remarks.append(f"{len(records) - len(known)} of {len(records)} images have no ground-truth mask.")
    missing = [record.image for record in known if record.image not in files]
    if missing:
        remarks.append(f"{place}: {len(missing)} of {len(known)} images have no mask here: {some(missing)}.")
    strangers = sorted(set(files) - {record.image for record in judged})
    if strangers:
        remarks.append(f"{place}: {len(strangers)} masks are of no image that is scored: {some(strangers)}.")
    return remarks
