"""The pointing game on masks (Zhang et al. 2016): whether a class's map is largest on an object of the class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seedbed.errors import DataError
from seedbed.evaluate.measurements import Counts, Measurement, measurement

if TYPE_CHECKING:
    from seedbed.data.index import DataIndex, Record
    from seedbed.evaluate.protocols.setting import Setting


@measurement("pointing_game", yields="hits hits_of_maps chance", input_size=True, masks=True)
class PointingGame(Measurement):
    """Maps of every label of an image against the mask of that class.

    ``hits`` is the mean over classes of the share of maps that hit, as published; ``hits_of_maps`` the share of all
    maps; ``chance`` the mean over classes of what a point drawn at random hits. A map that is not finite misses; void
    pixels are no object.
    """

    def count(self, setting: Setting) -> Counts:
        """See `Measurement`."""
        counts: Counts = {name: dict(values) for name, values in (setting.begun or {}).items()}
        for batch in setting.batches():
            targets = [setting.index.class_indices(record) for record in batch.records]
            padded = [[*own, *[-1] * (max(map(len, targets)) - len(own))] for own in targets]
            if not padded[0]:
                continue
            maps = setting.maps(batch.inputs, batch.inputs.new_tensor(padded).long()).cpu().numpy()
            for record, own, heats in zip(batch.records, targets, maps, strict=True):
                truth = _truth(setting.index, record, heats.shape[1:])
                for label, heat in zip(own, heats, strict=False):
                    _count(counts, setting.index.classes[label], heat, truth == label + 1)
        return counts

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """See `Measurement`; ``images`` counts maps."""
        names = sorted({name for shard in shards for name in shard})
        if not names:
            raise DataError("No map of a labelled class was counted, so there is nothing to measure.")
        keys = ("maps", "hits", "area", "undefined")
        sums = np.array([[sum(shard.get(name, {}).get(key, 0) for shard in shards) for key in keys] for name in names])
        maps, hits, area, undefined = sums.T
        return {
            "hits": float((hits / maps).mean()),
            "hits_of_maps": float(hits.sum() / maps.sum()),
            "chance": float((area / maps).mean()),
            "images": int(maps.sum()),
            "undefined_maps": int(undefined.sum()),
        }


def _count(counts: Counts, name: str, heat: np.ndarray, there: np.ndarray) -> None:
    """Add one map [H, W] of a class whose objects are ``there``."""
    own = counts.setdefault(name, {"maps": 0, "hits": 0, "area": 0.0, "undefined": 0})
    defined = bool(np.isfinite(heat).all())
    own["maps"] += 1
    own["hits"] += int(defined and there.flat[heat.argmax()])
    own["area"] += float(there.mean())
    own["undefined"] += int(not defined)


def _truth(index: DataIndex, record: Record, size: tuple[int, ...]) -> np.ndarray:
    """Ground truth at the map's size, by nearest neighbour."""
    from PIL import Image

    from seedbed.evaluate.scoring import ground_truth

    height, width = size
    return np.asarray(Image.fromarray(ground_truth(index, record)).resize((width, height), Image.Resampling.NEAREST))
