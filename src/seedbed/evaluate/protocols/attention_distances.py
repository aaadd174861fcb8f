"""What a classifier's layers attend to (AReAM, figure 4); counted by `seedbed.evaluate.attention`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seedbed.evaluate.measurements import Counts, Measurement, measurement, merge_counts


@measurement("attention_statistics", yields="hellinger hellinger_per_layer", maps=False)
class AttentionDistances(Measurement):
    """Hellinger distances within each layer's attention; of a classifier, without any explainer."""

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """See `Measurement`."""
        from seedbed.evaluate.attention import AttentionStatistics

        return merge_counts(AttentionStatistics, shards)

    @classmethod
    def describe(cls, options: Mapping[str, Any]) -> str:
        """Nothing: the title of the figure says it."""
        return ""
