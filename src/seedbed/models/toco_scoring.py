"""How ToCo looks at an image when it is tested: scales and mirrored views, fused in another order on each data set."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Score = Callable[[Tensor], Tensor]


class Scoring(NamedTuple):
    """A test's views and how their scores become one.

    Attributes:
        scales: factors on the sides, which are rounded down.
        mirror: how a view meets its mirror image; None: there are no mirror images.
        meet: how scales meet.
        size: (h, w) that the image is squeezed to first; None: its own.
    """

    scales: tuple[float, ...] = (1.0,)
    mirror: Callable[[Tensor, Tensor], Tensor] | None = None
    meet: Callable[[Tensor, Tensor], Tensor] = torch.add
    size: tuple[int, int] | None = None

    def scores(self, score: Score, images: Tensor) -> Tensor:
        """Scores [B, C, H, W] of normalised images [B, 3, H, W], float32; ``score`` gives those of a view."""
        size = (images.shape[-2], images.shape[-1])
        shown = images if self.size is None else bilinear(images, self.size)
        total = None
        for scale in self.scales:
            found = self._of_scale(score, shown, scale, size)
            total = found if total is None else self.meet(total, found)
        assert total is not None  # there is a scale
        return total

    def _of_scale(self, score: Score, shown: Tensor, scale: float, size: tuple[int, int]) -> Tensor:
        sides = (int(shown.shape[-2] * scale), int(shown.shape[-1] * scale))
        view = shown if scale == 1 else bilinear(shown, sides)
        plain = bilinear(score(view).float(), size)
        if self.mirror is None:
            return plain
        return self.mirror(plain, bilinear(score(view.flip(-1)).float(), size).flip(-1))


def bilinear(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps [B, C, h, w] at another size, bilinearly, without aligned corners."""
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


SCORINGS = {
    "one_view": Scoring(),
    "voc": Scoring((1.0, 1.5, 1.25), mirror=torch.add, meet=torch.maximum),
    "coco": Scoring((1.0, 1.25, 1.5), mirror=torch.maximum, meet=torch.add, size=(448, 448)),
}
"""As published, by the data set: on VOC the sum of mirrored views and the largest scale, on COCO the reverse."""
