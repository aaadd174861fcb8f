"""Scores of masks made elsewhere as files: metrics, a line a class, and the worst images."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seedbed.data.images import read_picture
from seedbed.data.index import DataIndex, Record
from seedbed.evaluate.confusion import CONVENTIONS
from seedbed.evaluate.mask_files import MaskScores, read_prediction
from seedbed.evaluate.scoring import ground_truth
from seedbed.io.atomic import atomic_directory, write_json
from seedbed.report.drawing import draw_grid, overlay_mask

SHOWN = 8
"""Images on the page of the worst."""
_MEANS = {
    "all_classes": "over all classes; one in neither counts 0",
    "in_truth": "over classes that the truth shows",
    "in_either": "over classes that masks or truth show",
}


def write_scores(
    folder: str | Path,
    scores: MaskScores,
    index: DataIndex,
    records: Sequence[Record],
    convention: str,
    provenance: Mapping[str, Any],
) -> None:
    """Write ``metrics.json``, ``classes.csv``, ``images.csv`` and ``worst.png`` below ``folder``, all or nothing."""
    with atomic_directory(folder) as temporary:
        metrics = {**scores.metrics(convention), "remarks": scores.remarks, "provenance": dict(provenance)}
        write_json(temporary / "metrics.json", metrics)
        (temporary / "classes.csv").write_text(_table(class_lines(scores)), encoding="utf-8")
        images = [("image", "miou"), *((image, scores.images[image]) for image in scores.worst(len(scores.images)))]
        (temporary / "images.csv").write_text(_table(images), encoding="utf-8")
        (temporary / "worst.png").write_bytes(draw_worst(scores, index, records))


def class_lines(scores: MaskScores) -> list[tuple[Any, ...]]:
    """A header and a line a class: IoU, and its pixels in the truth, predicted, and right; IoU is empty for neither."""
    counts, iou = scores.matrix.counts, scores.matrix.iou()
    true, right = scores.matrix.true_pixels(), np.diagonal(counts)
    lines: list[tuple[Any, ...]] = [("class", "iou", "pixels_in_truth", "pixels_predicted", "pixels_right")]
    for k, name in enumerate(("background", *scores.classes)):
        value = "" if math.isnan(iou[k]) else float(iou[k])
        lines.append((name, value, int(true[k]), int(counts[:, k].sum()), int(right[k])))
    return lines


def summary(scores: MaskScores) -> str:
    """The scores as text: mIoU by each convention, and each class."""
    count, names = len(scores.images), ("background", *scores.classes)
    lines = [f"{count} images, {len(names)} classes with the background"]
    for name in CONVENTIONS:
        mean, over = 100 * scores.matrix.miou(name), scores.matrix.counted(name).sum()
        lines.append(f"  mIoU {mean:6.2f} %  {name}: {_MEANS[name]} ({over})")
    lines.append(f"  pixels right {100 * scores.matrix.pixel_accuracy():.2f} %")
    width = max(map(len, names))
    for name, value in zip(names, scores.matrix.iou(), strict=True):
        lines.append(f"  {name:{width}}  " + ("    -" if math.isnan(value) else f"{100 * value:6.2f}"))
    return "\n".join([*lines, *scores.remarks])


def draw_worst(scores: MaskScores, index: DataIndex, records: Sequence[Record]) -> bytes:
    """Return a PNG of the images of the lowest mIoU: the image where it is known, the mask, and the truth."""
    known = {record.image: record for record in records}
    worst = [known[name] for name in scores.worst(SHOWN)]
    images_are_known = any(record.path for record in worst)
    rows = []
    for record in worst:
        truth = ground_truth(index, record)
        image = read_picture(index.root / record.path) if record.path else np.zeros((*truth.shape, 3), np.uint8)
        row = [overlay_mask(image, mask) for mask in (read_prediction(scores.files[record.image]), truth)]
        rows.append([image, *row] if images_are_known else row)
    titles = [*(["image"] if images_are_known else []), "mask", "ground truth"]
    return draw_grid(rows, titles, [f"{r.image}\nmIoU {100 * scores.images[r.image]:.1f} %" for r in worst])


def _table(lines: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
