"""Masks for use elsewhere: a folder of palette PNGs, COCO's run lengths in one JSON, quality where it is known."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as run_lengths

from seedbed.data.index import DataIndex, Record
from seedbed.evaluate.scoring import ScoringSettings, confusion, scores_of
from seedbed.io.atomic import atomic_directory, write_json
from seedbed.io.masks import VOID, encode_mask
from seedbed.report.overview import draw_overview


class Exported(NamedTuple):
    """What masks are like.

    Attributes:
        images: how many there are.
        covered: mean share of an image's pixels that is an object.
        empty: masks without any object.
        metrics: quality over the images with ground truth, as `score_masks` gives it; None where there is none.
        blank: the same of masks that are background alone, which nobody needs a network for.
    """

    images: int
    covered: float
    empty: int
    metrics: dict[str, Any] | None
    blank: dict[str, Any] | None = None


USEFUL = 2.0
"""How much better than background alone masks must be not to be called useless."""


def export_masks(
    folder: str | Path,
    index: DataIndex,
    records: Sequence[Record],
    masks: Mapping[str, np.ndarray],
    scoring: ScoringSettings,
    provenance: Mapping[str, Any],
) -> Exported:
    """Write the masks of ``records`` below ``folder``, which appears whole or not at all.

    - ``masks/<image>.png``: PASCAL VOC's palette; 0 background, k + 1 class k, 255 void.
    - ``coco.json``: see `coco_annotations`.
    - ``classes.txt``: class names; line k is value k of the masks.
    - ``overview.png``: see `seedbed.report.overview`.
    - ``metrics.json``: see `seedbed.evaluate.scoring.score_masks`, over the images that have ground truth; only where
      there is some.

    Args:
        folder: where to; one that is there is replaced.
        index: the data set.
        records: images to export.
        masks: uint8 [H, W] of each image's size, by image id.
        scoring: mIoU convention.
        provenance: recorded in both JSON files.

    Returns:
        What is worth saying of them; see `summary`.

    Raises:
        DataError: an image has no mask among ``masks``, or sizes or labels do not fit.
    """
    metrics, blank, covered = None, None, []
    judged = [record for record in records if record.mask]
    with atomic_directory(folder) as temporary:
        (temporary / "masks").mkdir()
        for record in records:
            mask = masks[record.image]
            covered.append(float(np.isin(mask, (0, VOID), invert=True).mean()))
            (temporary / "masks" / f"{record.image}.png").write_bytes(encode_mask(mask))
        (temporary / "classes.txt").write_text("".join(f"{name}\n" for name in index.classes), encoding="utf-8")
        write_json(temporary / "coco.json", {"info": dict(provenance), **coco_annotations(index, records, masks)})
        if judged:
            counted = confusion(index, judged, masks)
            metrics, blank = (
                scores_of(matrix, index, judged, scoring) for matrix in (counted, counted.of_background())
            )
            write_json(temporary / "metrics.json", {**metrics, "provenance": dict(provenance)})
        (temporary / "overview.png").write_bytes(draw_overview(index, records, masks))
    return Exported(len(covered), sum(covered) / len(covered), sum(share == 0 for share in covered), metrics, blank)


def summary(exported: Exported, classes: Sequence[str], split: str) -> str:
    """Text of what was exported: the share of objects, and the mean IoU, over which classes, and how many images."""
    images, covered, empty, metrics, blank = exported
    nothing = f", {empty} masks show none" if empty else ""
    text = f"{split}: objects cover {100 * covered:.1f} % of the pixels of {images} images{nothing}."
    if metrics is None:
        return f"{text} No mask of yours to compare with: see overview.png; docs/own_data.md says what moves the share."
    left_out, count = metrics["classes_left_out"], len(classes) + 1
    without = f"; {left_out} that no pixel shows are left out" if left_out else ""
    text += (
        f" mIoU {100 * metrics['miou']:.2f} % over {count - left_out} of {count} classes, the background among "
        f"them{without}; {metrics['images']} images with a mask of yours."
    )
    return text if blank is None else f"{text} {_beside_blank(metrics, blank)}"


def _beside_blank(metrics: Mapping[str, Any], blank: Mapping[str, Any]) -> str:
    """What background alone would score, whose pixels are right where your masks show none; and whether that is all."""
    base = f"Objects cover {100 * (1 - blank['pixel_accuracy']):.1f} % of yours; background alone has "
    base += f"{100 * blank['miou']:.2f} %."
    if metrics["miou"] >= USEFUL * blank["miou"]:
        return base
    return f"{base} These masks are little better: docs/own_data.md says which chain to take for how many images."


def coco_annotations(
    index: DataIndex, records: Sequence[Record], masks: Mapping[str, np.ndarray]
) -> dict[str, list[dict[str, Any]]]:
    """COCO's ``images``, ``categories`` and ``annotations``: one annotation an image and class that its mask shows.

    Category k + 1 is class k; the background and void get no annotation. ``segmentation`` holds compressed run lengths,
    ``area`` pixels, ``bbox`` x, y, width and height.

    Args:
        index: the data set.
        records: the images; their ids count from 1.
        masks: uint8 [H, W], by image id.
    """
    images = [
        {"id": number, "file_name": Path(record.path).name, "height": record.size[0], "width": record.size[1]}
        for number, record in enumerate(records, start=1)
    ]
    found = (
        (number, *item) for number, record in enumerate(records, start=1) for item in _regions(masks[record.image])
    )
    annotations = [
        {
            "id": position,
            "image_id": number,
            "category_id": value,
            "segmentation": {"size": list(packed["size"]), "counts": packed["counts"].decode()},
            "area": int(run_lengths.area(packed)),
            "bbox": [float(side) for side in run_lengths.toBbox(packed)],
            "iscrowd": 0,
        }
        for position, (number, value, packed) in enumerate(found, start=1)
    ]
    categories = [{"id": k + 1, "name": name} for k, name in enumerate(index.classes)]
    return {"images": images, "categories": categories, "annotations": annotations}


def _regions(mask: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each class value of a mask, with the run lengths of its pixels."""
    for value in np.unique(mask):
        if value not in (0, VOID):
            yield int(value), run_lengths.encode(np.asfortranarray(mask == value, dtype=np.uint8))
