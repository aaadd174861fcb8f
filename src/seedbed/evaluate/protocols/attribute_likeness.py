"""How alike the attributes of an eX-ViT are (beyond the papers; L_div is to make them independent)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seedbed.evaluate.measurements import Counts, Measurement, measurement, merge_counts

if TYPE_CHECKING:
    from seedbed.evaluate.protocols.shown_network import ShownNetwork


@measurement(
    "attributes",
    yields="feature_cosine feature_cosine_absolute feature_cosine_largest contribution_cosine "
    "contribution_cosine_absolute contribution_cosine_largest",
    maps=False,
)
class AttributeLikeness(Measurement):
    """Cosines between the attributes of each image; of an eX-ViT, without any explainer."""

    def count_network(self, shown: ShownNetwork) -> Counts:
        """See `Measurement`."""
        from seedbed.evaluate.attribute_cosines import attribute_likeness

        return shown.each(
            lambda image, record: attribute_likeness(shown.model, image, shown.index.class_indices(record))
        )

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """See `Measurement`."""
        from seedbed.evaluate.image_means import ImageMeans

        return merge_counts(ImageMeans, shards)

    @classmethod
    def describe(cls, options: Mapping[str, Any]) -> str:
        """See `Measurement`."""
        return (
            "cosines over the pairs of an image's attributes, of their features G_s and of what each adds to the class "
            "map (classes of the image), mean over images"
        )
