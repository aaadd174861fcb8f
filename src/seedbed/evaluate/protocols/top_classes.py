"""Top-1 and top-5 accuracy of a classifier, as published classifiers are tested and as explanations see images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from seedbed.errors import ParameterError
from seedbed.evaluate.image_means import ImageMeans
from seedbed.evaluate.measurements import Counts, Measurement, measurement, merge_counts

if TYPE_CHECKING:
    import numpy as np

    from seedbed.evaluate.protocols.shown_network import ShownNetwork

TOPS = (1, 5)


@measurement("accuracy", yields="top1 top5 top1_squashed top5_squashed", maps=False)
class TopClasses(Measurement):
    """Shares of images one of whose labels is among the highest scores.

    ``top1`` and ``top5`` are of the centre of the image: its short side is brought to ``size / crop``, and the middle
    is cut out. The others are of the whole image squashed to the network's input.

    Args:
        crop: share of the short side that is cut out; weights of timm's say theirs.
    """

    def __init__(self, *, crop: float = 0.875) -> None:
        self.crop = crop

    def count_network(self, shown: ShownNetwork) -> Counts:
        """See `Measurement`."""
        import torch

        from seedbed.data.images import read_picture
        from seedbed.data.views import view
        from seedbed.models.outputs import logits_of

        if shown.view.size is None:
            raise ParameterError("accuracy needs a network whose input has a size. Set its input.size.")
        size, found = shown.view.size, ImageMeans.from_dict(shown.begun) if shown.begun else ImageMeans()
        how: Any = {"interpolation": shown.view.interpolation, "normalisation": shown.view.normalize}
        for record in shown.records:
            picture = read_picture(shown.index.root / record.path)
            centre = _centre(picture, size, self.crop, shown.view.interpolation)
            both = torch.stack([view(one, size=size, **how) for one in (centre, picture)])
            with torch.inference_mode():
                ranked = logits_of(shown.model(both.to(shown.device))).argsort(dim=1, descending=True).tolist()
            labels = set(shown.index.class_indices(record))
            values: dict[str, float] = {}
            for end, best in zip(("", "_squashed"), ranked, strict=True):
                values |= {f"top{top}{end}": float(bool(labels & set(best[:top]))) for top in TOPS}
            found.add(record.image, values)
        return found.to_dict()

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """See `Measurement`."""
        return merge_counts(ImageMeans, shards)


def _centre(picture: np.ndarray, size: tuple[int, int], crop: float, interpolation: str) -> np.ndarray:
    """The middle of an image [H, W, 3] whose sides were scaled until ``crop`` of them holds ``size``."""
    import numpy as np
    from PIL import Image

    scale = max(math.floor(side / crop) / given for side, given in zip(size, picture.shape[:2], strict=True))
    height, width = (max(side, int(given * scale)) for side, given in zip(size, picture.shape[:2], strict=True))
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    scaled = np.asarray(Image.fromarray(picture).resize((width, height), filters[interpolation]))
    top, left = round((height - size[0]) / 2), round((width - size[1]) / 2)
    return scaled[top : top + size[0], left : left + size[1]]
