"""How much of a map is rounding: the same map in float32 and in float64 (beyond the papers)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from seedbed.evaluate.image_means import ImageMeans
from seedbed.evaluate.measurements import Counts, Measurement, measurement, merge_counts

if TYPE_CHECKING:
    from seedbed.evaluate.protocols.setting import Setting


@measurement("rounding", yields="largest median_largest worst_largest cosine rank_correlation", input_size=True)
class RoundedMaps(Measurement):
    """The map of each image's first class in both precisions.

    ``largest`` is the mean over images of the largest difference as a share of the float64 map's largest magnitude,
    ``median_largest`` and ``worst_largest`` its median and maximum; ``cosine`` and ``rank_correlation`` are means.
    """

    def count(self, setting: Setting) -> Counts:
        """See `Measurement`."""
        import torch

        from seedbed.evaluate.map_similarity import flat_rows, similarities
        from seedbed.explain.evaluated import explained_on

        found = ImageMeans.from_dict(setting.begun) if setting.begun else ImageMeans()
        singles = setting._replace(explained=None)
        doubles = setting._replace(explained=explained_on(setting.model, setting.device, "float64"))
        for batch in setting.batches():
            targets = torch.tensor([setting.index.class_indices(record)[:1] for record in batch.records])
            one, other = (flat_rows(each.maps(batch.inputs, targets.to(setting.device))) for each in (singles, doubles))
            alike = similarities(one, other)[:, 0]
            largest = abs(one - other).max(axis=-1)[:, 0] / abs(other).max(axis=-1)[:, 0]
            for record, share, (cosine, ranks) in zip(batch.records, largest, alike, strict=True):
                values = {"largest": float(share), "cosine": float(cosine), "rank_correlation": float(ranks)}
                found.add(record.image, values)
        return found.to_dict()

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """See `Measurement`."""
        import numpy as np

        shares = [values["largest"] for shard in shards for values in shard["values"].values()]
        result = merge_counts(ImageMeans, shards)
        return {**result, "median_largest": float(np.median(shares)), "worst_largest": max(shares)}
