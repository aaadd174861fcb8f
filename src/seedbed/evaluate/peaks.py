"""Where heat maps peak: outside every object or in one, and how many of an image's objects have a peak of their own.

AGCAM's section 3 says that the softmax makes peaks on a homogeneous background, and that sigmoid features do not; its
section 4 that the method finds all instances of a class where others miss some. It measures neither; this does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from scipy import ndimage

from seedbed.errors import DataError, ParameterError, unknown_name
from seedbed.evaluate.localization import WRONG_RULES, check_inside, painted
from seedbed.evaluate.soft_segmentation import unit_range
from seedbed.settings.checked import checked

COUNTS = ("maps", "outside", "images_one", "instances_one", "hit_one", "images_several", "instances_several",
          "hit_several", "skipped", "undefined_maps")  # fmt: skip


class PeakTest:
    """Counts peaks over images; the order of updates and merges does not change the result.

    A map's *peak* is its largest value; it lies outside if no true box holds a pixel of that value. An instance, which
    is a true box, is *hit* if a local maximum of the map lies in it: a pixel above the threshold that none of its eight
    neighbours exceeds. A lit region that reaches into a box from elsewhere does not hit it, and one region over several
    boxes hits those in which it has a maximum of its own.

    Args:
        threshold: local maxima of the map scaled to [0, 1] count above it, in [0, 1).
        wrong: what becomes of an image whose class was predicted wrongly: ``skip`` or ``score``.
    """

    @checked
    def __init__(self, threshold: float = 0.5, wrong: Literal["skip", "score"] = "skip") -> None:
        if not 0 <= threshold < 1:
            raise ParameterError(f"threshold must lie in [0, 1), not {threshold}.")
        if wrong not in WRONG_RULES:
            raise ParameterError(unknown_name("rule for wrong predictions", wrong, WRONG_RULES))
        self.threshold, self.wrong = threshold, wrong
        self._counts = dict.fromkeys(COUNTS, 0)

    @checked
    def update(
        self, heat: np.ndarray, boxes: Sequence[Sequence[int]] | np.ndarray, *, label: int, predicted: int
    ) -> None:
        """Count one image.

        Args:
            heat: [H, W] floating, the map at evaluation size, any range. One that holds NaN or is constant has no peak
                and hits nothing, and is counted as undefined.
            boxes: true boxes (x_min, y_min, x_max, y_max) in the map's pixels, [n, 4] integers with n > 0, ends
                inclusive; see ``seedbed.evaluate.localization.scale_boxes``.
            label, predicted: true and predicted class; if they differ, the image is skipped and counted, unless
                wrong predictions are scored.

        Raises:
            DataError: the map is not [H, W], there is no box, or one is not four numbers or lies outside.
        """
        true = np.asarray(boxes)
        if true.ndim != 2 or true.shape[1:] != (4,) or not len(true):
            raise DataError(f"True boxes must be [n, 4] with n > 0, got {true.shape}.")
        if label != predicted and self.wrong == "skip":
            self._counts["skipped"] += 1
            return
        scaled, shape = unit_range(heat), np.shape(heat)
        check_inside(true, shape, "map")
        insides = [painted(box[None], shape, inclusive=True) for box in true]
        several = "several" if len(true) > 1 else "one"
        self._counts[f"images_{several}"] += 1
        self._counts[f"instances_{several}"] += len(true)
        if scaled is None:
            self._counts["undefined_maps"] += 1
            return
        self._counts["maps"] += 1
        self._counts["outside"] += not np.any([inside[scaled == 1].any() for inside in insides])
        maxima = local_maxima(scaled, self.threshold)
        self._counts[f"hit_{several}"] += sum(bool((maxima & inside).any()) for inside in insides)

    def merge(self, other: PeakTest) -> None:
        """Add what another of the same settings has counted.

        Raises:
            DataError: its settings are others.
        """
        if other._settings() != self._settings():
            raise DataError("Cannot merge counts of peaks of different settings.")
        for name in COUNTS:
            self._counts[name] += other._counts[name]

    def result(self) -> dict[str, float]:
        """Return shares in [0, 1], and what they are of.

        ``peaks_outside`` is a share of the maps that have a peak; ``instances_hit``, ``instances_hit_one`` and
        ``instances_hit_several`` are shares of all true boxes, of those alone in their image, and of those that are
        not. NaN where there is none of these.

        Raises:
            DataError: no image was counted.
        """
        count = self._counts
        images = count["images_one"] + count["images_several"]
        if not images:
            raise DataError(f"No image was counted ({count['skipped']} were predicted wrongly and skipped).")
        instances = count["instances_one"] + count["instances_several"]
        return {
            "peaks_outside": _share(count["outside"], count["maps"]),
            "instances_hit": _share(count["hit_one"] + count["hit_several"], instances),
            "instances_hit_one": _share(count["hit_one"], count["instances_one"]),
            "instances_hit_several": _share(count["hit_several"], count["instances_several"]),
            "images": images,
            "images_several": count["images_several"],
            "instances": instances,
            "skipped": count["skipped"],
            "undefined_maps": count["undefined_maps"],
        }

    def to_dict(self) -> dict[str, Any]:
        """Return what was counted as plain numbers, for JSON; ``from_dict`` reads it back."""
        return {**self._settings(), "counts": self._counts}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PeakTest:
        """Rebuild an accumulator from ``to_dict``."""
        made = cls(values["threshold"], values["wrong"])
        made._counts = {name: int(values["counts"][name]) for name in COUNTS}
        return made

    def _settings(self) -> dict[str, object]:
        return {"threshold": self.threshold, "wrong": self.wrong}


@checked
def local_maxima(scaled: np.ndarray, threshold: float) -> np.ndarray:
    """Return bool [H, W]: which pixels of a map [H, W] are above a threshold and not below any of eight neighbours."""
    return (scaled > threshold) & (scaled == ndimage.maximum_filter(scaled, size=3, mode="nearest"))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
