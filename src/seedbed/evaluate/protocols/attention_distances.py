"""What a classifier's layers attend to (AReAM, figure 4); counted by `seedbed.evaluate.attention`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seedbed.evaluate.measurements import Counts, Measurement, measurement, merge_counts

if TYPE_CHECKING:
    from seedbed.evaluate.protocols.shown_network import ShownNetwork


@measurement("attention_statistics", yields="hellinger hellinger_per_layer", maps=False)
class AttentionDistances(Measurement):
    """Hellinger distances within each layer's attention; of a classifier, without any explainer."""

    def count_network(self, shown: ShownNetwork) -> Counts:
        """See `Measurement`."""
        from seedbed.evaluate.attention import AttentionStatistics, count_attention

        begun = AttentionStatistics.from_dict(shown.begun) if shown.begun else None
        measured = (shown.model, shown.index, shown.records, shown.view, shown.device)
        return count_attention(*measured, begun=begun).to_dict()

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """See `Measurement`."""
        from seedbed.evaluate.attention import AttentionStatistics

        return merge_counts(AttentionStatistics, shards)

    @classmethod
    def describe(cls, options: Mapping[str, Any]) -> str:
        """Nothing: the title of the figure says it."""
        return ""
