"""Which images of a split a page shows: the worst, the best and a sample, by the score of what is stored for them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seedbed.data.index import DataIndex, Record
from seedbed.evaluate.confusion import CONVENTIONS, ConfusionMatrix
from seedbed.evaluate.intervals import bootstrap_miou
from seedbed.evaluate.scoring import ground_truth
from seedbed.evaluate.thresholds import ThresholdSweep
from seedbed.io.heatmaps import HeatMapStore
from seedbed.io.masks import MaskStore
from seedbed.papers.plan import Cell
from seedbed.papers.tables import Table
from seedbed.refine.resize import at_picture_size

MOST_SCORED = 2000
"""Images that are scored one by one; of a larger split, images at equal distances."""
SAME = 1e-6
"""Largest difference between two sums of the same counts."""
EACH = 3
"""Worst images, and best ones."""


@dataclass
class Scores:
    """Scores of a split image by image.

    Attributes:
        label: title of the scored column.
        matrices: counts by image id.
        whole: whether every image of the split was scored.
    """

    label: str
    matrices: dict[str, ConfusionMatrix] = field(default_factory=dict)
    whole: bool = True

    def miou(self, image: str) -> float:
        """mIoU of one image over the classes that it or its prediction shows; NaN where nothing is labelled."""
        matrix = self.matrices[image]
        return matrix.miou("in_either") if matrix.labelled() else float("nan")

    def ranked(self) -> list[str]:
        """Images with a labelled pixel, the worst first."""
        scored = {image: self.miou(image) for image, matrix in self.matrices.items() if matrix.labelled()}
        return sorted(scored, key=lambda image: (scored[image], image))

    def total(self, convention: str) -> float:
        """mIoU of all images together."""
        matrix = ConfusionMatrix(next(iter(self.matrices.values())).num_classes)
        for one in self.matrices.values():
            matrix.merge(one)
        return matrix.miou(convention)

    def interval(self, convention: str) -> tuple[float, float] | None:
        """95 % interval of the mIoU over images; None unless every image of the split was scored."""
        return bootstrap_miou(list(self.matrices.values()), convention) if self.whole else None


def score_panels(
    panels: Sequence[Mapping[str, Any]],
    index: DataIndex,
    records: Sequence[Record],
    backgrounds: Mapping[str, float],
) -> list[Scores]:
    """Score what is stored: masks and predictions as they are, heat maps over a constant background.

    Args:
        panels: descriptions of columns, see `seedbed.report.panels`.
        index, records: the split. Without ground truth nothing is scored.
        backgrounds: title of a column of heat maps -> the background score that its number was measured with; columns
            without one are not scored.
    """
    judged = [record for record in records if record.mask]
    chosen = judged[:: -(-len(judged) // MOST_SCORED)] if judged else []
    whole = len(chosen) == len(records)
    found = []
    for panel in panels if chosen else ():
        label = panel["label"]
        if panel["shows"] in ("mask", "prediction"):
            matrices = matrices_of_masks(MaskStore(panel["shards"]), index, chosen)
        elif panel["shows"] == "stored" and label in backgrounds:
            matrices = _of_heatmaps(HeatMapStore(panel["shards"]), index, chosen, backgrounds[label])
        else:
            continue
        found.append(Scores(label, matrices, whole))
    return found


def pick(scores: Scores | None, count: int = EACH) -> dict[str, str]:
    """Image -> ``worst`` or ``best``, of each ``count`` and never one image as both; empty without scores."""
    ranked = scores.ranked() if scores else []
    count = min(count, len(ranked) // 2)
    worst, best = ranked[:count], ranked[len(ranked) - count :][::-1]
    return {**dict.fromkeys(worst, "worst"), **dict.fromkeys(best, "best")}


def measured_backgrounds(
    table: Table, cells: Sequence[Cell], read: Callable[[str], Mapping[str, Any]]
) -> dict[str, float]:
    """Title of each row of heat maps -> the background score that the mIoU of its first seed was measured with."""
    labels = {row.id: row.label for row in table.rows}
    found: dict[str, float] = {}
    for cell in cells:
        if not cell.sources or not is_miou(cell.measured.metric):
            continue
        key = "background_best" if cell.measured.metric == "miou_best" else "background"
        if key in read(cell.sources[0]):
            found.setdefault(labels[cell.row], float(read(cell.sources[0])[key]))
    return found


def is_miou(metric: str) -> bool:
    """Whether a metric is a mIoU of whole masks: by the convention of the run or by its own, or of a sweep's best."""
    return metric in ("miou", "miou_best", *(f"miou_{name}" for name in CONVENTIONS))


def cell_intervals(
    table: Table, cells: Sequence[Cell], scores: Sequence[Scores], read: Callable[[str], Mapping[str, Any]]
) -> dict[tuple[str, str], tuple[float, float]]:
    """(row, column) -> interval over images of the cell's mIoU, where the same images give the same mIoU again."""
    labels, by_label = {row.id: row.label for row in table.rows}, {one.label: one for one in scores if one.whole}
    found = {}
    for cell in cells:
        one = by_label.get(labels[cell.row])
        if one is None or not cell.sources or not is_miou(cell.measured.metric):
            continue
        metrics, metric = read(cell.sources[0]), cell.measured.metric
        own = metric.removeprefix("miou_")
        convention = own if own in CONVENTIONS else metrics["provenance"]["parameters"]["scoring"]["miou"]
        # A row's columns may be measured on other images; what is shown belongs to the number beside it.
        if abs(one.total(convention) - (metrics[metric] or 0.0)) < SAME:
            interval = one.interval(convention)
            if interval is not None:
                found[cell.row, cell.column] = interval
    return found


def shown_scores(scores: Sequence[Scores], images: Iterable[str]) -> dict[str, dict[str, float]]:
    """Title of a column -> image -> mIoU, of those ``images`` that were scored."""
    images = list(images)
    return {one.label: {image: one.miou(image) for image in images if image in one.matrices} for one in scores}


def matrices_of_masks(
    masks: Mapping[str, np.ndarray], index: DataIndex, records: Sequence[Record]
) -> dict[str, ConfusionMatrix]:
    """Counts by image id of masks, uint8 [H, W], against the truth."""
    found = {}
    for record in records:
        matrix = ConfusionMatrix(len(index.classes) + 1)
        matrix.update(masks[record.image], ground_truth(index, record), void="miss")
        found[record.image] = matrix
    return found


def _of_heatmaps(
    store: HeatMapStore, index: DataIndex, records: Sequence[Record], background: float
) -> dict[str, ConfusionMatrix]:
    found = {}
    for record in records:
        sweep, heat = ThresholdSweep(len(index.classes) + 1, [background]), at_picture_size(store[record.image])
        labels = [int(label) + 1 for label in np.asarray(heat.classes)]
        sweep.update(heat.maps, labels, ground_truth(index, record))
        found[record.image] = sweep.confusions()[0]
    return found
