"""From heat maps to masks by name: one class a kind of refiner, in a file of its own, which registers itself.

A refiner is a frozen dataclass whose fields are its options, in the parameters' own terms: ``crf`` and ``network`` are
names of entries of the sections `crf` and `affinity_networks`. The schema of `refiners` is read from them. Their files
import what is heavy where it is used, so that a plan can describe a refiner without torch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from seedbed.data.index import DataIndex, Record
from seedbed.data.workers import Workers
from seedbed.errors import ParameterError
from seedbed.io.catalogue import Catalogue
from seedbed.io.heatmaps import HeatMaps
from seedbed.io.plain import from_plain
from seedbed.settings.dense_crf import CrfSettings

Value = TypeVar("Value")
MakeMasks = Callable[[Sequence[Record]], Iterator[tuple[str, np.ndarray]]]
"""From images to (image id, uint8 [H, W] mask: 0 background, class index + 1, 255 void) of each."""


@dataclass(frozen=True)
class Given:
    """What masks are made with, beside a refiner's options; None where a refiner does not need it.

    Attributes:
        index: the data set.
        device: where a network runs.
        heatmaps: maps by image id.
        background: the explainer's constant background.
        crf: the CRF that the option ``crf`` names.
        network: parameters of the affinity network that the option ``network`` names, as plain values.
        weights: file of that network's weights.
        workers: processes beside the network, which do the rest; None: this process does it.
    """

    index: DataIndex
    device: Any = None
    heatmaps: Mapping[str, HeatMaps] | None = None
    background: float | None = None
    crf: CrfSettings | None = None
    network: Mapping[str, Any] | None = None
    weights: str | Path | None = None
    workers: Workers | None = None


def required(value: Value | None, what: str) -> Value:
    """Return what was given; ParameterError if it was not."""
    if value is None:
        raise ParameterError(f"Masks and their labels cannot be made without {what}, which was not given.")
    return value


class Words(NamedTuple):
    """What a refiner is described with.

    Attributes:
        background: the explainer's constant background.
        crfs: every CRF by name.
    """

    background: float
    crfs: Mapping[str, CrfSettings]

    def scores(self, alpha: float | None, constant: float | None) -> str:
        """The background that maps compete with, in words."""
        return f"background (1 - max)^{alpha:g}" if alpha is not None else f"constant background {constant:g}"

    def crf(self, name: str | None) -> str:
        """A CRF in words."""
        if name is None:
            return "no CRF"
        crf = self.crfs[name]
        gaussian = f"Gaussian sxy {crf.gaussian_sxy:g} weight {crf.gaussian_weight:g}"
        bilateral = f"sxy {crf.bilateral_sxy:g} srgb {crf.bilateral_srgb:g} weight {crf.bilateral_weight:g}"
        return f"CRF '{name}': {crf.iterations} iterations, {gaussian}, bilateral {bilateral}"


class Refiner(Protocol):
    """A kind of refiner with its options."""

    def describe(self, words: Words) -> str:
        """What it does, for the footnotes of tables."""

    def start(self, given: Given) -> MakeMasks:
        """Make ready to make masks."""


REFINERS: Catalogue[type] = Catalogue("refiner", "seedbed.refine", "refiner")


def refiner(
    name: str, *, maps: bool = True, affinities: bool = False, truth: bool = False, either: str = ""
) -> Callable[[type], type]:
    """Register the decorated dataclass as a kind of refiner; the arguments are literals, which a plan reads as text.

    Args:
        name: in parameter files.
        maps: whether it needs heat maps.
        affinities: whether it needs the affinity network that its option ``network`` names.
        truth: whether it needs ground-truth masks, so that what learns from it is fully supervised.
        either: two options, one of which must be given and not both.
    """
    return REFINERS.entering(name)


def build_refiner(values: Mapping[str, Any]) -> Refiner:
    """Return the refiner that plain values with a ``kind`` describe.

    Raises:
        ParameterError: the kind is unknown, or an option is missing.
    """
    kind = REFINERS.find(values["kind"])
    try:
        return from_plain(kind, values)
    except TypeError as error:
        raise ParameterError(f"refiner '{values['kind']}': {error}.") from None
