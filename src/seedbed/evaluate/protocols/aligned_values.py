"""How far attention reaches the bound of equation 5 of eX-ViT (beyond the papers, which measure it nowhere)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seedbed.evaluate.measurements import Counts, Measurement, measurement, merge_counts

if TYPE_CHECKING:
    from seedbed.evaluate.protocols.shown_network import ShownNetwork


@measurement(
    "value_alignment",
    yields="alignment alignment_per_layer alignment_chance uniform uniform_per_layer greatest greatest_per_layer",
    maps=False,
)
class AlignedValues(Measurement):
    """Cosine of attention and values in each layer; of an eX-ViT with either attention, without any explainer."""

    def count_network(self, shown: ShownNetwork) -> Counts:
        """See `Measurement`."""
        from seedbed.evaluate.value_alignment import image_alignments

        return shown.each(lambda image, record: image_alignments(shown.model, image))

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """The means, and of each list the mean over layers beside it, such as ``alignment``."""
        from seedbed.evaluate.image_means import ImageMeans

        result = merge_counts(ImageMeans, shards)
        lists = {name.removesuffix("_per_layer"): value for name, value in result.items() if isinstance(value, list)}
        return {**result, **{name: sum(value) / len(value) for name, value in lists.items()}}

    @classmethod
    def describe(cls, options: Mapping[str, Any]) -> str:
        """See `Measurement`."""
        return "share of equation 5's bound that attention reaches, row by row, mean over heads, queries and images"
