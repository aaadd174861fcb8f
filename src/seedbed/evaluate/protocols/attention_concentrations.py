"""Where a classifier's attention goes (beyond AReAM); counted by `seedbed.evaluate.attention_concentration`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seedbed.evaluate.measurements import Counts, Measurement, measurement, merge_counts

if TYPE_CHECKING:
    from seedbed.evaluate.protocols.shown_network import ShownNetwork


@measurement(
    "attention_concentration",
    yields="diagonal_per_layer diagonal_shallow diagonal_deep gini_per_layer gini_shallow gini_deep object_per_layer "
    "object_shallow object_deep object_area",
    maps=False,
    masks=True,
)
class AttentionConcentrations(Measurement):
    """The diagonal, few columns and the object in each layer's attention; of a classifier, without any explainer."""

    def count_network(self, shown: ShownNetwork) -> Counts:
        """See `Measurement`."""
        from seedbed.evaluate.attention_concentration import count_concentration
        from seedbed.evaluate.concentration_statistics import ConcentrationStatistics

        begun = ConcentrationStatistics.from_dict(shown.begun) if shown.begun else None
        measured = (shown.model, shown.index, shown.records, shown.view, shown.device)
        return count_concentration(*measured, begun=begun).to_dict()

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """See `Measurement`."""
        from seedbed.evaluate.concentration_statistics import ConcentrationStatistics

        return merge_counts(ConcentrationStatistics, shards)

    @classmethod
    def describe(cls, options: Mapping[str, Any]) -> str:
        """See `Measurement`."""
        return "patch-to-patch attention, mean over heads; shallow, deep: first and last half of the layers"
