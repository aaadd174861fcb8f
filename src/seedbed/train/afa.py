"""Training of AFA (Ru et al., CVPR 2022): classification, affinities, a decoder taught by maps that walk along them."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.data.grey_levels import grey_levels
from seedbed.errors import ParameterError
from seedbed.models.afa import AFA, AFAOutput
from seedbed.models.bilinear import bilinear
from seedbed.refine.lattice_energy import bilateral_energy
from seedbed.refine.losses import attention_affinity_loss
from seedbed.refine.par import DILATIONS
from seedbed.refine.reliable import attention_affinity_labels
from seedbed.train.afa_labels import multi_scale_maps, propagated_labels
from seedbed.train.backbone_losses import check_network
from seedbed.train.counted_steps import CountedSteps
from seedbed.train.counted_together import mean_of_groups
from seedbed.train.objectives import Parts, loss
from seedbed.train.pixel_losses import balanced_cross_entropy
from seedbed.train.toco_labels import SCALES, refined_labels

ENERGY = 1e-7
"""What the energy is multiplied by, before its weight."""


@loss("afa")
class AFAObjective(CountedSteps):
    """The sum of a step's losses, of ``(images, multi-hot labels)``; a pixel that is exactly 0 is padding.

    The classifier learns from the first step; affinities and decoder from `decoder_from` on, both from labels that the
    classifier's maps give, refined along the image; from `propagated_from` on the decoder learns from maps that have
    walked along the affinities. Steps are counted from 0.

    Args:
        thresholds: (low, high) background scores.
        scales: of the maps, each with its mirror image; affinities are those of the largest.
        radius: largest distance in rows and columns of the places that are taught, and over which maps walk.
        pixel_weight, affinity_weight, energy_weight: of the decoder's loss, of the affinities' and of the decoder's
            energy (times 1e-7).
        decoder_from: first step of these. COCO: 5001.
        propagated_from: first step at which maps walk. COCO: 15000.
        par_iterations, par_dilations: of the refinement. COCO: 15 iterations.
        counted_together: images over which a loss counts pairs and pixels: those of one GPU, as published; None: the
            whole batch.
        empty_is_nan: see `balanced_cross_entropy`; as published.

    Raises:
        ParameterError: a number is out of range.
    """

    def __init__(
        self,
        *,
        thresholds: Sequence[float] = (0.35, 0.55),
        scales: Sequence[float] = SCALES,
        radius: int = 8,
        pixel_weight: float = 0.1,
        affinity_weight: float = 0.1,
        energy_weight: float = 0.01,
        decoder_from: int = 2001,
        propagated_from: int = 6000,
        par_iterations: int = 10,
        par_dilations: Sequence[int] = DILATIONS,
        counted_together: int | None = None,
        empty_is_nan: bool = False,
    ) -> None:
        super().__init__()
        if len(thresholds) != 2 or not 0 <= thresholds[0] <= thresholds[1] <= 1:
            raise ParameterError(f"thresholds must be [low, high] with 0 <= low <= high <= 1, got {list(thresholds)}.")
        if not scales or min(scales) <= 0 or radius < 0 or par_iterations < 0:
            raise ParameterError(
                f"scales={list(scales)} must be above 0, radius={radius} and par_iterations={par_iterations} not below."
            )
        if counted_together is not None and counted_together < 1:
            raise ParameterError(f"counted_together={counted_together} must be 1 or more, or null.")
        self.thresholds, self.scales, self.radius = (thresholds[0], thresholds[1]), tuple(scales), radius
        self.weights = {
            "class": 1.0,
            "pixels": pixel_weight,
            "affinity": affinity_weight,
            "energy": energy_weight * ENERGY,
        }
        self.decoder_from, self.propagated_from = decoder_from, propagated_from
        self.refinement: dict[str, Any] = {"iterations": par_iterations, "dilations": tuple(par_dilations)}
        self.counted_together, self.empty_is_nan = counted_together, empty_is_nan

    def bind(self, model: nn.Module) -> None:
        """Check that the network has what this loss reads."""
        check_network(model, AFA)

    def forward(self, model: Any, batch: tuple[Tensor, ...]) -> Parts:
        """Return the loss and its parts, unweighted: ``class``, and once they have begun ``pixels``, ``affinity`` and
        ``energy``.
        """
        (images, labels), step = batch, self.next_step()
        output: AFAOutput = model(images)
        parts = {"class": F.multilabel_soft_margin_loss(output.logits.float(), labels)}
        if step >= self.decoder_from:
            found = self.labels(model, images, labels, propagated=step >= self.propagated_from)
            parts |= self.losses(images, output, *found)
        total: Any = sum(self.weights[name] * part for name, part in parts.items())
        return total, {name: part.detach() for name, part in parts.items()}

    @torch.no_grad()
    def labels(self, model: AFA, images: Tensor, labels: Tensor, *, propagated: bool) -> tuple[Tensor, Tensor]:
        """Labels int64 [B, H, W] that teach the affinities, and those that teach the decoder."""
        maps, affinity, grid = multi_scale_maps(model, images, self.scales)
        inside = (images != 0).any(dim=1)
        with torch.autocast(images.device.type, enabled=False):
            plain = refined_labels(images, maps, labels, inside, self.thresholds, **self.refinement)
            if not propagated:
                return plain, plain
            given = (images, maps, affinity, grid, labels, inside, self.thresholds)
            return plain, propagated_labels(*given, radius=self.radius, **self.refinement)

    def losses(self, images: Tensor, output: AFAOutput, pairs_of: Tensor, taught: Tensor) -> dict[str, Tensor]:
        """``pixels``, ``affinity`` and ``energy`` of what the network gave, by labels int64 [B, H, W] of both kinds."""
        with torch.autocast(images.device.type, enabled=False):
            scores = bilinear(output.scores.float(), (images.shape[-2], images.shape[-1]))
            cell = images.shape[-1] // output.maps.shape[-1]
            pairs = attention_affinity_labels(pairs_of, radius=self.radius, cell=cell)
            inside = (images != 0).any(dim=1)
            of_pixels, together = partial(balanced_cross_entropy, empty_is_nan=self.empty_is_nan), self.counted_together
            return {
                "pixels": mean_of_groups(of_pixels, together, scores, taught),
                "affinity": mean_of_groups(attention_affinity_loss, together, output.affinity.float(), pairs),
                "energy": bilateral_energy(grey_levels(images), scores, taught, inside),
            }
