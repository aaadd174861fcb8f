"""COCO average precision and recall of heat maps taken as instances (eX-ViT, table 4).

The paper does not say how a map becomes scored instances. Here, for each class present: the map is scaled to [0, 1] by
its extremes and cut at Otsu's threshold; each connected region above it is an instance, or all that lies above it is
one; it is scored by its mean relevance times the classifier's probability of the class. pycocotools does the rest.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as rle_tools
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from seedbed.errors import DataError, ParameterError
from seedbed.evaluate.instance_regions import Instance, check_connectivity, check_sizes, map_instances
from seedbed.settings.checked import checked

METRICS = ("ap", "ap_medium", "ap_large", "ar", "ar_medium", "ar_large")
MOST_INSTANCES = 100  # of a class in an image that COCO counts, the best first
LAST_IOU, IOU_STEP = 0.95, 0.05
_EVERYTHING = (0, 1e10)


class InstanceScores:
    """Accumulates instances and truth over images; the order of updates and merges does not change the result.

    Args:
        medium, large: (from, to) areas in pixels of medium and large instances; COCO's by default: 32² to 96², and
            above. Images of 96 pixels have no large ones by that measure.
        connectivity: 4 or 8 neighbours connect a region.
        whole_maps: whether all that lies above the threshold is one instance, as in Chefer et al. (ICCV 2021), instead
            of each connected region.
        first_iou: AP and AR are means over overlaps from here to 0.95 in steps of 0.05: COCO's 0.5, or the 0.2 of
            Chefer et al.

    Raises:
        ParameterError: an area range or the connectivity is none, or no whole number of steps leads to 0.95.
    """

    @checked
    def __init__(
        self,
        medium: tuple[float, float] = (32**2, 96**2),
        large: tuple[float, float] = (96**2, 1e10),
        connectivity: int = 8,
        whole_maps: bool = False,
        first_iou: float = 0.5,
    ) -> None:
        for name, (low, high) in (("medium", medium), ("large", large)):
            if not 0 <= low < high:
                raise ParameterError(f"The area range {name}=({low}, {high}) must be ascending and not negative.")
        check_connectivity(connectivity)
        self.medium, self.large, self.connectivity = tuple(medium), tuple(large), connectivity
        self.whole_maps, self.first_iou = whole_maps, first_iou
        self._overlaps = overlaps(first_iou)
        self._images: dict[str, tuple[int, int]] = {}
        self._truth: list[dict[str, Any]] = []
        self._found: list[dict[str, Any]] = []
        self._undefined = 0

    @checked
    def update(
        self,
        image: str,
        maps: np.ndarray,
        classes: Sequence[int],
        probabilities: Sequence[float],
        truth: Sequence[Instance],
    ) -> int:
        """Count one image and return how many instances its maps gave.

        Args:
            image: the image's id.
            maps: [K, H, W] floating, at the image's size, any range. A constant map or one that holds NaN gives no
                instance and is counted as undefined.
            classes: class index of each map, from 0.
            probabilities: the classifier's probability of each class, 0..1.
            truth: all true instances of the image.

        Raises:
            DataError: the image was counted before, or lengths, probabilities or shapes do not fit.
        """
        maps = np.asarray(maps)
        if image in self._images:
            raise DataError(f"Image '{image}' was counted before.")
        if maps.ndim != 3 or not len(maps) == len(classes) == len(probabilities):
            raise DataError(
                f"Image '{image}': maps {maps.shape}, {len(classes)} classes and {len(probabilities)} probabilities "
                "must be [K, H, W], K and K."
            )
        if not all(0 <= probability <= 1 for probability in probabilities):
            raise DataError(f"Image '{image}': probabilities must lie in 0..1; they are {list(probabilities)}.")
        check_sizes(image, truth, maps.shape[1:])
        self._images[image] = maps.shape[1:]
        self._truth += [_truth_entry(image, instance) for instance in truth]
        before = len(self._found)
        for heat, label, probability in zip(maps, classes, probabilities, strict=True):
            regions = map_instances(heat, self.connectivity, whole=self.whole_maps)
            self._undefined += regions is None
            for region, relevance in regions or ():
                score = float(relevance * probability)
                self._found.append({"image": image, "category_id": int(label), "segmentation": region, "score": score})
        return len(self._found) - before

    def merge(self, other: InstanceScores) -> None:
        """Add what another accumulator of the same settings has counted; their images must differ."""
        if other._settings() != self._settings():
            raise DataError("Cannot merge instance scores of different settings.")
        if both := sorted(set(self._images) & set(other._images)):
            raise DataError(f"Image '{both[0]}' was counted twice.")
        self._images |= other._images
        self._truth += other._truth
        self._found += other._found
        self._undefined += other._undefined

    def result(self) -> dict[str, float | int | None]:
        """Return ``METRICS`` as fractions, with ``images``, ``instances``, ``true_instances`` and ``undefined_maps``.

        AP is the mean over classes and over the thresholds ``first_iou`` .. 0.95 of the overlap, AR the recall with at
        most 100 instances a class and image. A measure is None if no true instance has the size it is about.

        Raises:
            DataError: no image was counted.
        """
        if not self._images:
            raise DataError("No image was counted yet, so there is nothing to measure.")
        counted = {
            "images": len(self._images),
            "instances": len(self._found),
            "true_instances": len(self._truth),
            "undefined_maps": self._undefined,
        }
        if not self._truth:
            return {**dict.fromkeys(METRICS), **counted}
        ap, ar = self._coco()
        return {**dict(zip(METRICS, (*ap, *ar), strict=True)), **counted}

    def to_dict(self) -> dict[str, Any]:
        """Return what was counted as plain numbers, texts and lists, for JSON; ``from_dict`` reads it back."""
        return {
            "settings": self._settings(),
            "images": self._images,
            "truth": self._truth,
            "found": self._found,
            "undefined_maps": self._undefined,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> InstanceScores:
        """Rebuild an accumulator from ``to_dict``."""
        made = cls(**values["settings"])
        made._images = {image: tuple(size) for image, size in values["images"].items()}
        made._truth, made._found = list(values["truth"]), list(values["found"])
        made._undefined = int(values["undefined_maps"])
        return made

    def _settings(self) -> dict[str, Any]:
        names = ("medium", "large", "connectivity", "whole_maps", "first_iou")
        return {name: getattr(self, name) for name in names}

    def _coco(self) -> tuple[list[float | None], list[float | None]]:
        """AP and AR for all, medium and large instances."""
        numbers = {image: number for number, image in enumerate(sorted(self._images), start=1)}
        labels = sorted({entry["category_id"] for entry in self._truth})
        truth = COCO()
        truth.dataset = {
            "images": [
                {"id": n, "height": self._images[i][0], "width": self._images[i][1]} for i, n in numbers.items()
            ],
            "categories": [{"id": label, "name": str(label)} for label in labels],
            "annotations": _numbered(self._truth, numbers),
        }
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress
            truth.createIndex()
            found = COCO()
            found.dataset = {**truth.dataset, "annotations": _numbered(self._found, numbers)}
            found.createIndex()
            run = COCOeval(truth, found, iouType="segm")
            run.params.areaRng = [list(_EVERYTHING), list(self.medium), list(self.large)]
            run.params.areaRngLbl = ["all", "medium", "large"]
            run.params.maxDets = [MOST_INSTANCES]
            run.params.iouThrs = self._overlaps
            run.evaluate()
            run.accumulate()
        precision, recall = run.eval["precision"], run.eval["recall"]  # [T, R, K, A, 1] and [T, K, A, 1]
        return [_mean(precision[:, :, :, a]) for a in range(3)], [_mean(recall[:, :, a]) for a in range(3)]


def overlaps(first: float) -> np.ndarray:
    """Thresholds of the overlap from ``first`` to 0.95, ascending, float64.

    Raises:
        ParameterError: it is not above 0, or no whole number of steps of 0.05 leads from it to 0.95.
    """
    steps = (LAST_IOU - first) / IOU_STEP
    if not 0 < first <= LAST_IOU or abs(steps - round(steps)) > 1e-6:
        raise ParameterError(f"first_iou must be one of 0.05, 0.10 .. {LAST_IOU}, not {first}.")
    return np.linspace(first, LAST_IOU, round(steps) + 1)


def _truth_entry(image: str, instance: Instance) -> dict[str, Any]:
    return {
        "image": image,
        "category_id": int(instance.label),
        "segmentation": instance.segmentation,
        "area": float(instance.area),
        "iscrowd": int(instance.crowd),
    }


def _numbered(entries: Sequence[Mapping[str, Any]], numbers: Mapping[str, int]) -> list[dict[str, Any]]:
    """Copies of entries with the ids that pycocotools wants; it writes into them."""
    numbered = []
    for number, entry in enumerate(sorted(entries, key=lambda entry: entry["image"]), start=1):
        area = entry["area"] if "area" in entry else float(rle_tools.area(entry["segmentation"]))
        numbered.append({"iscrowd": 0, **entry, "area": area, "id": number, "image_id": numbers[entry["image"]]})
    return numbered


def _mean(values: np.ndarray) -> float | None:
    """Mean of what is defined; pycocotools marks the rest with -1."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else None
