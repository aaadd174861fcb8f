"""Shards of a measurement of explanations brought together, without what it took to count them."""

from collections.abc import Sequence
from typing import Any

from seedbed.errors import ParameterError, unknown_name

Counts = dict[str, Any]
"""What one shard has counted, as plain values."""
NAMES = (
    "soft_segmentation",
    "localization",
    "abpc",
    "perturbation",
    "instances",
    "noise",
    "layerwise",
    "attention_statistics",
)


def merge_protocol(name: str, shards: Sequence[Counts]) -> dict[str, Any]:
    """The metrics of all shards together.

    Perturbation has those of the predicted and of the target class, with ``_predicted`` and ``_target`` at their end.

    Raises:
        ParameterError: the protocol is unknown.
        DataError: no picture was counted.
    """
    accumulator = _accumulator(name)
    if name == "noise":
        return _by_level(_merge(accumulator, shards))
    if name != "perturbation":
        return _merge(accumulator, shards)
    merged: dict[str, Any] = {}
    for explained in ("predicted", "target"):
        result = _merge(accumulator, [shard[explained] for shard in shards])
        merged |= {f"{key}_{explained}": value for key, value in result.items()}
    return merged


def _by_level(result: dict[str, Any]) -> dict[str, Any]:
    """One number a level beside the lists, such as ``cosine_0.1``, for tables."""
    single = {
        f"{name}_{level:g}": value
        for name in ("cosine", "rank_correlation")
        for level, value in zip(result["levels"], result[name], strict=True)
    }
    return {**result, **single}


def _merge(accumulator: Any, shards: Sequence[Counts]) -> dict[str, Any]:
    first, *others = (accumulator.from_dict(shard) for shard in shards)
    for other in others:
        first.merge(other)
    return first.result()


def _accumulator(name: str) -> Any:
    """The class that counts for a protocol; some are heavy to import."""
    match name:
        case "soft_segmentation":
            from seedbed.evaluate.soft_segmentation import SoftSegmentation

            return SoftSegmentation
        case "localization":
            from seedbed.evaluate.localization import BoxLocalization

            return BoxLocalization
        case "abpc":
            from seedbed.evaluate.perturbation import AreaBetweenCurves

            return AreaBetweenCurves
        case "perturbation":
            from seedbed.evaluate.perturbation import PerturbationTest

            return PerturbationTest
        case "instances":
            from seedbed.evaluate.coco import InstanceScores

            return InstanceScores
        case "noise":
            from seedbed.evaluate.noise import NoiseRobustness

            return NoiseRobustness
        case "layerwise":
            from seedbed.evaluate.layerwise import LayerGain

            return LayerGain
        case "attention_statistics":
            from seedbed.evaluate.attention import AttentionStatistics

            return AttentionStatistics
        case _:
            raise ParameterError(unknown_name("protocol", name, NAMES))
