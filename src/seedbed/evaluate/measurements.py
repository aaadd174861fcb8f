"""Measurements by name: each in a file of its own, which registers itself, says what it needs and merges its shards.

A measurement is a class. Its keyword-only arguments are its options, which stand under `protocols` in the parameters;
what they hand on to the class that counts are options too. Files import what is heavy where it is used, so that a plan
can describe a measurement, and a job merge its shards, without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from seedbed.errors import ParameterError, unknown_name
from seedbed.io.catalogue import Catalogue

if TYPE_CHECKING:
    from seedbed.evaluate.protocols.setting import Setting
    from seedbed.evaluate.protocols.shown_network import ShownNetwork

Counts = dict[str, Any]
"""What one shard has counted, as plain values."""
EXPLAINED = ("predicted", "target")


class Measurement:
    """What all have in common.

    Attributes:
        name: what it is registered as.
        words: what it is called in footnotes.
    """

    name: ClassVar[str]
    words: ClassVar[str]

    def count(self, setting: Setting) -> Counts:
        """Explain and measure one shard.

        Raises:
            ParameterError: the explainer does not fit.
            DataError: an image lacks what is needed (one label, a box, a mask).
        """
        raise NotImplementedError

    def count_network(self, shown: ShownNetwork) -> Counts:
        """Measure one shard on the classifier itself, for measurements without maps; raises as `count` does."""
        raise NotImplementedError

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """The metrics of all shards together.

        Raises:
            DataError: no image was counted.
        """
        raise NotImplementedError

    @classmethod
    def describe(cls, options: Mapping[str, Any]) -> str:
        """How it measures, for the footnotes of tables; empty if there is nothing to say."""
        told = ", ".join(f"{name} {value}" for name, value in options.items())
        return f"measured by {cls.words} ({told})" if told else f"measured by {cls.words}"


MEASUREMENTS: Catalogue[type[Measurement]] = Catalogue("protocol", "seedbed.evaluate", "measurement")


def measurement(
    name: str,
    *,
    yields: str,
    maps: bool = True,
    input_size: bool = False,
    single_label: bool = False,
    boxes: bool = False,
    masks: bool = False,
    scoring: bool = False,
) -> Callable[[type[Measurement]], type[Measurement]]:
    """Register the decorated class as a measurement; the arguments are literals, which a plan reads as text.

    Args:
        name: in parameter files and in the pipelines of papers, as their stage.
        yields: metrics that tables and figures may ask for, with * for what depends on the data or the options.
        maps: whether it measures an explainer's maps, or else the classifier itself.
        input_size: whether images must fit together, so that the explainer needs an input size.
        single_label: whether each image needs exactly one label.
        boxes, masks: whether each image needs boxes, or a ground-truth mask.
        scoring: whether its options are those of the section `scoring`.
    """

    def register(kind: type[Measurement]) -> type[Measurement]:
        kind.name, kind.words = name, name.replace("_", " ")
        MEASUREMENTS.enter(name, kind)
        return kind

    return register


def build_measurement(name: str, options: Mapping[str, Any]) -> Measurement:
    """Return a measurement with its options.

    Raises:
        ParameterError: the name is unknown, or an option does not fit.
    """
    kind = MEASUREMENTS.find(name)
    try:
        return kind(**options)
    except TypeError as error:
        raise ParameterError(f"protocol '{name}': {error}.") from None


def merge_counts(accumulator: Any, shards: Sequence[Counts]) -> dict[str, Any]:
    """The result of what several shards have counted.

    Args:
        accumulator: the class that counts: ``from_dict``, ``merge``, ``result``.
        shards: what its ``to_dict`` gave, one a shard.
    """
    first, *others = (accumulator.from_dict(shard) for shard in shards)
    for other in others:
        first.merge(other)
    return first.result()


def explains_target(explained: str) -> bool:
    """Whether maps are of an image's label (``target``) instead of the prediction (``predicted``).

    Raises:
        ParameterError: it is neither.
    """
    if explained not in EXPLAINED:
        raise ParameterError(unknown_name("class to explain", str(explained), EXPLAINED))
    return explained == "target"
