"""Perturbation tests: erase pixels in the order a heat map ranks them, and watch the classifier.

``PerturbationTest``: accuracy as the most ("positive") or least ("negative") relevant pixels turn black (Chefer et al.,
CVPR 2021), and the area under that curve as [Re] defines it. ``AreaBetweenCurves``: the label's probability as pixels
turn mid-grey, most relevant first (MoRF) or least relevant first (LeRF), and the area between (AGCAM paper, table 4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from seedbed.errors import DataError, ParameterError, unknown_name
from seedbed.evaluate.erasing import (
    Model,
    check_fill,
    check_rule,
    erased_logits,
    fill_values,
    of_labels,
    prepared,
    ranks,
)
from seedbed.settings.checked import checked

ORDERS = ("positive", "negative")

# Pixels erased at each step, given how many there are: tenths of all, or 500 to 4,500.
SCHEDULES: dict[str, Callable[[int], list[int]]] = {
    "per": lambda pixels: [int(pixels * (step / 10)) for step in range(1, 10)],
    "100": lambda pixels: [100 * step for step in range(5, 50, 5)],
}
STEPS = 9

# The area under ten accuracies, the unperturbed one first.
AREAS: dict[str, Callable[[np.ndarray], float]] = {
    # [Re]: trapezoids of width 0.1 over 0 .. 0.9, so that perfect accuracy gives 0.9.
    "trapezoid": lambda curve: float(np.trapezoid(curve, dx=0.1)),
    # The same over its width: perfect accuracy gives 1.
    "normalised": lambda curve: float(np.trapezoid(curve, dx=0.1)) / 0.9,
    "mean": lambda curve: float(np.mean(curve)),
}

# The area under eleven probabilities, 0 to 100 % erased.
CURVE_AREAS: dict[str, Callable[[np.ndarray], float]] = {
    "mean": lambda curve: float(np.mean(curve)),
    "trapezoid": lambda curve: float(np.trapezoid(curve, dx=0.1)),
    "twelfths": lambda curve: float(np.sum(curve)) / 12,
}

_MEASURES = ("hits", "probability_difference", "logit_difference", "log_ratio")

_TENTHS = 11  # 0, 0.1 .. 1 of all pixels


class PerturbationTest:
    """Accumulates accuracy under erasure over images, in both orders.

    Accuracy is always against the given labels, whatever class the maps explain. Tied pixels, which the published code
    leaves to ``topk``, go in reading order.

    Args:
        schedule: ``per`` (10 % to 90 % of all pixels) or ``100`` (500 to 4,500 pixels).
        area: ``trapezoid`` ([Re]), ``normalised`` or ``mean``.
        undefined: ``largest`` (as published) or ``skip``, for maps that hold NaN.
        fill: what an erased pixel becomes: ``black``, the 0 of [0, 1] (as published), ``mean``, the channels' means, or
            ``white``.
    """

    @checked
    def __init__(
        self,
        schedule: Literal["per", "100"] = "per",
        area: Literal["trapezoid", "normalised", "mean"] = "trapezoid",
        undefined: Literal["largest", "skip"] = "largest",
        fill: Literal["black", "mean", "white"] = "black",
    ) -> None:
        for kind, name, known in (("schedule", schedule, SCHEDULES), ("area", area, AREAS)):
            if name not in known:
                raise ParameterError(unknown_name(kind, name, known))
        self.schedule, self.area = schedule, area
        self.undefined, self.fill = check_rule(undefined), check_fill(fill)
        self._images = self._undefined = self._hits = 0
        self._sums = {order: np.zeros((len(_MEASURES), STEPS)) for order in ORDERS}

    @checked
    def update(
        self,
        model: Model,
        images: Tensor,
        maps: Tensor,
        labels: Tensor | Sequence[int],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        copies_at_once: int = 32,
    ) -> dict[str, np.ndarray]:
        """Test a batch of images.

        Args:
            model: gives logits [n, C] of normalised images; a module is put in evaluation mode meanwhile.
            images: [B, channels, H, W] floating in [0, 1], not normalised.
            maps: [B, H, W] floating, any range; larger is more relevant.
            labels: int [B], the true classes.
            mean, std: of each channel; pixels are erased before normalising.
            copies_at_once: how many erased copies enter the model together.

        Returns:
            For the B' images not skipped: ``hits`` [B'], and per order ``hits_<order>``,
            ``probability_difference_<order>`` and ``logit_difference_<order>`` (the largest of any class, after minus
            before) and ``log_ratio_<order>`` (log of the label's probability over the second largest), each [9, B'],
            float64. Empty if all were skipped.

        Raises:
            DataError: shapes do not fit, or a label is not among the logits.
        """
        images, maps, labels, undefined = prepared(images, maps, labels, self.undefined, mean, std)
        found = {}
        if len(images):
            fill = fill_values(self.fill, images, mean, std)
            counts = [0, *SCHEDULES[self.schedule](maps[0].numel())]
            down, up = ranks(maps)
            before, after = erased_logits(model, images, down, counts, fill, copies_at_once).split((1, STEPS))
            found["hits"] = _measures(before, before, labels)["hits"][0]
            logits = {"positive": after, "negative": erased_logits(model, images, up, counts[1:], fill, copies_at_once)}
            for order in ORDERS:
                measured = _measures(before, logits[order], labels)
                found |= {f"{name}_{order}": values for name, values in measured.items()}
        self.add(found, undefined)
        return found

    def add(self, found: Mapping[str, np.ndarray], undefined: int) -> None:
        """Count images as a test of the same settings has measured them.

        Args:
            found: what ``update`` has returned, or some images' columns of it.
            undefined: how many of the images' maps held NaN, those that were skipped included.
        """
        if found:
            self._images += len(found["hits"])
            self._hits += int(found["hits"].sum())
            for order in ORDERS:
                self._sums[order] += np.stack([found[f"{name}_{order}"].sum(1) for name in _MEASURES])
        self._undefined += undefined

    def merge(self, other: PerturbationTest) -> None:
        """Add what another test of the same settings has counted."""
        if self._settings() != other._settings():
            raise DataError(f"Cannot merge perturbation tests of {other._settings()} and {self._settings()}.")
        self._images += other._images
        self._undefined += other._undefined
        self._hits += other._hits
        for order, sums in self._sums.items():
            sums += other._sums[order]

    def result(self) -> dict[str, object]:
        """Return fractions: ``accuracy``, and per order ``auc_<order>`` and ``curve_<order>``, the accuracy first.

        Also the means at each step of the other measures of ``update``, and ``images`` and ``undefined_maps``.

        Raises:
            DataError: no image was tested.
        """
        accuracy = self._hits / _some(self._images)
        values: dict[str, object] = {"accuracy": accuracy}
        for order, sums in self._sums.items():
            means = sums / self._images
            curve = np.concatenate(([accuracy], means[0]))
            values |= {f"auc_{order}": AREAS[self.area](curve), f"curve_{order}": curve.tolist()}
            values |= {f"{name}_{order}": row.tolist() for name, row in zip(_MEASURES[1:], means[1:], strict=True)}
        return {**values, "images": self._images, "undefined_maps": self._undefined}

    def to_dict(self) -> dict[str, object]:
        """Return settings and sums as plain numbers and lists, for JSON; ``from_dict`` reads them back."""
        sums = {order: values.tolist() for order, values in self._sums.items()}
        counted = {"images": self._images, "undefined_maps": self._undefined, "hits": self._hits}
        return {**self._settings(), **counted, "sums": sums}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PerturbationTest:
        """Rebuild a test from ``to_dict``."""
        made = cls(*(values[name] for name in ("schedule", "area", "undefined", "fill")))
        made._images, made._undefined, made._hits = (int(values[k]) for k in ("images", "undefined_maps", "hits"))
        made._sums = {order: np.asarray(values["sums"][order], dtype=np.float64) for order in ORDERS}
        return made

    def _settings(self) -> dict[str, str]:
        return {"schedule": self.schedule, "area": self.area, "undefined": self.undefined, "fill": self.fill}


class AreaBetweenCurves:
    """Accumulates the label's probability as 0, 10 .. 100 % of the pixels are erased in either order, over images.

    Args:
        undefined: ``largest`` (as published) or ``skip``, for maps that hold NaN.
        fill: what an erased pixel becomes: ``mean``, 0 after normalising, which is mid-grey for a mean of 0.5 (as
            published), ``black`` or ``white``.
        area: of a curve: ``mean`` of its eleven values (as published), ``trapezoid`` over 0 .. 1, or ``twelfths``, the
            sum over 12 of the published code's spreadsheet column.
    """

    @checked
    def __init__(
        self,
        undefined: Literal["largest", "skip"] = "largest",
        fill: Literal["black", "mean", "white"] = "mean",
        area: Literal["mean", "trapezoid", "twelfths"] = "mean",
    ) -> None:
        if area not in CURVE_AREAS:
            raise ParameterError(unknown_name("area", area, CURVE_AREAS))
        self.undefined, self.fill, self.area = check_rule(undefined), check_fill(fill), area
        self._images = self._undefined = 0
        self._sums = np.zeros((2, _TENTHS))  # MoRF, LeRF

    @checked
    def update(
        self,
        model: Model,
        images: Tensor,
        maps: Tensor,
        labels: Tensor | Sequence[int],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        copies_at_once: int = 32,
    ) -> dict[str, np.ndarray]:
        """Test a batch of images; arguments and errors as in ``PerturbationTest.update``; maps explain the labels.

        Returns:
            ``morf`` and ``lerf``, the labels' probabilities [11, B'] float64 of the B' images not skipped; empty if
            all were.
        """
        images, maps, labels, undefined = prepared(images, maps, labels, self.undefined, mean, std)
        found = {}
        if len(images):
            fill = fill_values(self.fill, images, mean, std)
            counts = [int(maps[0].numel() * (step / 10)) for step in range(_TENTHS)]
            down, up = ranks(maps)
            # The first and the last step are the same images in both orders.
            ends = erased_logits(model, images, down, [counts[0], counts[-1]], fill, copies_at_once)
            for name, rank in (("morf", down), ("lerf", up)):
                between = erased_logits(model, images, rank, counts[1:-1], fill, copies_at_once)
                probabilities = torch.cat((ends[:1], between, ends[1:])).softmax(-1)
                found[name] = of_labels(probabilities, labels).double().numpy()
            self._sums += np.stack([found["morf"].sum(1), found["lerf"].sum(1)])
        self._images += len(images)
        self._undefined += undefined
        return found

    def merge(self, other: AreaBetweenCurves) -> None:
        """Add what another accumulator of the same rule has counted."""
        if self._settings() != other._settings():
            raise DataError(f"Cannot merge curves of {other._settings()} and {self._settings()}.")
        self._images += other._images
        self._undefined += other._undefined
        self._sums += other._sums

    def result(self) -> dict[str, object]:
        """Return ``lerf`` and ``morf``, areas under 11 mean probabilities, ``abpc``, the area between, and curves.

        Raises:
            DataError: no image was tested.
        """
        morf, lerf = self._sums / _some(self._images)
        area = CURVE_AREAS[self.area]
        return {
            "lerf": area(lerf),
            "morf": area(morf),
            "abpc": area(lerf - morf),
            "curve_lerf": lerf.tolist(),
            "curve_morf": morf.tolist(),
            "images": self._images,
            "undefined_maps": self._undefined,
        }

    def to_dict(self) -> dict[str, object]:
        """Return what was counted as plain numbers and lists, for JSON; ``from_dict`` reads it back."""
        counted = {"images": self._images, "undefined_maps": self._undefined}
        return {**self._settings(), **counted, "sums": self._sums.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AreaBetweenCurves:
        """Rebuild an accumulator from ``to_dict``."""
        made = cls(*(values[name] for name in ("undefined", "fill", "area")))
        made._images, made._undefined = int(values["images"]), int(values["undefined_maps"])
        made._sums = np.asarray(values["sums"], dtype=np.float64)
        return made

    def _settings(self) -> dict[str, str]:
        return {"undefined": self.undefined, "fill": self.fill, "area": self.area}


def _measures(before: Tensor, after: Tensor, labels: Tensor) -> dict[str, np.ndarray]:
    """Return each measure [S, B] of the logits ``after`` [S, B, C], given those before any erasing [1, B, C]."""
    if after.shape[-1] < 2:
        raise DataError(
            "A model of one class has no second largest probability; perturbation needs two classes or more."
        )
    old, new = before.softmax(-1), after.softmax(-1)
    of_label = of_labels(new, labels)
    values = (
        after.argmax(-1) == labels.cpu(),
        new.amax(-1) - old.amax(-1),
        after.amax(-1) - before.amax(-1),
        (of_label / new.topk(2).values[..., 1]).log(),
    )
    return {name: value.double().numpy() for name, value in zip(_MEASURES, values, strict=True)}


def _some(images: int) -> int:
    if images == 0:
        raise DataError("No image was tested yet, so there is nothing to measure.")
    return images
