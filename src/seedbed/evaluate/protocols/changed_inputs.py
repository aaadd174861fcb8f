"""Whether the map of a changed image is the changed map (beyond the papers; eX-ViT claims robust explanations)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seedbed.errors import DataError
from seedbed.evaluate.measurements import Counts, Measurement, measurement, merge_counts

if TYPE_CHECKING:
    from torch import Tensor

    from seedbed.evaluate.protocols.setting import Batch, Setting


@measurement("equivariance", yields="changes cosine cosine_* rank_correlation rank_correlation_*", input_size=True)
class ChangedInputs(Measurement):
    """Similarity of the map of each image's first class to that of the mirrored, scaled, moved, recoloured image.

    Args:
        size: (height, width) that images are squashed to where the explainer has no input size.
        **options: those of `Equivariance`.
    """

    def __init__(self, *, size: Sequence[int] | None = None, **options: Any) -> None:
        from seedbed.evaluate.equivariance import Equivariance

        self.size = size
        self.test = Equivariance(**options)

    def count(self, setting: Setting) -> Counts:
        """See `Measurement`."""
        test, sized = setting.counter(self.test), setting.sized(self.size)
        for batch in sized.batches():
            targets = [list(setting.index.class_indices(record)[:1]) for record in batch.records]
            chosen = [position for position, own in enumerate(targets) if own]
            if chosen:
                _measure(test, sized, batch, chosen, [targets[position] for position in chosen])
        return test.to_dict()

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """Metrics, and one number a change beside the lists, such as ``cosine_flip``, for tables."""
        from seedbed.evaluate.map_similarity import MapSimilarities, named_numbers  # which needs no torch

        changes = shards[0]["changes"]
        if any((shard["changes"], shard["seed"]) != (changes, shards[0]["seed"]) for shard in shards):
            raise DataError("Shards were measured with different changes. Make them again.")
        result = merge_counts(MapSimilarities, shards)
        return {"changes": changes, **result, **named_numbers(result, changes)}

    @classmethod
    def describe(cls, options: Mapping[str, Any]) -> str:
        """See `Measurement`."""
        told = ", ".join(f"{name} {value}" for name, value in options.items())
        return f"maps of changed images brought back to the image's frame ({told})"


def _measure(test: Any, setting: Setting, batch: Batch, chosen: list[int], targets: list[list[int]]) -> None:
    """Count those images of a batch that have a class."""
    import torch

    statistics = setting.statistics()
    mean, std = (batch.images.new_tensor(statistics[name]).view(-1, 1, 1) for name in ("mean", "std"))
    labels = torch.tensor(targets, device=batch.images.device)

    def maps(images: Tensor) -> Tensor:
        return setting.maps((images - mean) / std, targets=labels)

    test.update(maps, batch.images[chosen], [zlib.crc32(batch.records[place].image.encode()) for place in chosen])
