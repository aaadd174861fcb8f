"""How far a map moves when its image is noisy (beyond the papers; eX-ViT claims robustness in section 3.2)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from seedbed.evaluate.measurements import Counts, Measurement, measurement, merge_counts

if TYPE_CHECKING:
    from seedbed.evaluate.protocols.setting import Setting


@measurement("noise", yields="levels cosine cosine_* rank_correlation rank_correlation_*", input_size=True)
class NoisyInputs(Measurement):
    """Similarity of the map of each image's first class to that of the image under growing Gaussian noise.

    Args:
        size: (height, width) that images are squashed to where the explainer has no input size.
        **options: those of `NoiseRobustness`.
    """

    def __init__(self, *, size: Sequence[int] | None = None, **options: Any) -> None:
        from seedbed.evaluate.noise import NoiseRobustness

        self.size = size
        self.test = NoiseRobustness(**options)

    def count(self, setting: Setting) -> Counts:
        """See `Measurement`."""
        test = setting.counter(self.test)
        for batch in setting.sized(self.size).batches():
            targets = [setting.index.class_indices(record)[:1] for record in batch.records]
            chosen = [position for position, own in enumerate(targets) if own]
            if chosen:
                inputs = batch.inputs[chosen]
                labels = inputs.new_tensor([targets[position] for position in chosen]).long()
                numbers = [zlib.crc32(batch.records[position].image.encode()) for position in chosen]
                maps = partial(setting.maps, targets=labels)
                test.update(maps, inputs, numbers, setting.statistics()["std"])
        return test.to_dict()

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """Metrics, and one number a level beside the lists, such as ``cosine_0.1``, for tables."""
        from seedbed.evaluate.map_similarity import named_numbers
        from seedbed.evaluate.noise import NoiseRobustness

        result = merge_counts(NoiseRobustness, shards)
        return {**result, **named_numbers(result, [f"{level:g}" for level in result["levels"]])}
