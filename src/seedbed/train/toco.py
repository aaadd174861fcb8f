"""Training of ToCo (Ru et al., CVPR 2023): classification, contrast of tokens, and a decoder taught by its own maps."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.data.grey_levels import grey_levels
from seedbed.errors import ParameterError
from seedbed.models.bilinear import bilinear
from seedbed.models.toco import ToCo, ToCoOutput
from seedbed.refine.lattice_energy import bilateral_energy
from seedbed.refine.par import DILATIONS
from seedbed.train.backbone_losses import check_network
from seedbed.train.counted_steps import CountedSteps
from seedbed.train.counted_together import mean_of_groups
from seedbed.train.objectives import Parts, loss
from seedbed.train.pixel_losses import balanced_cross_entropy
from seedbed.train.toco_crops import crop_candidates, local_crops, with_global_views
from seedbed.train.toco_labels import SCALES, multi_scale_maps, refined_labels, regions, same_label, token_labels
from seedbed.train.toco_losses import class_token_contrast, patch_token_contrast

ENERGY = 1e-7
"""What the published code multiplies its energy by, before the weight of 0.05."""


@loss("toco")
class ToCoObjective(CountedSteps):
    """The sum of a step's losses, of ``(views, multi-hot labels)`` as `seedbed.data.toco_views` makes them.

    Both classifiers learn from the first step. Steps are counted from 0.

    Args:
        thresholds: (low, high) on maps in 0..1: background up to the low one, object from the high one.
        temperature: of the contrast of class tokens. VOC: 0.5; COCO: 1.0, whatever is asked for, as published.
        crops, crop_size: local crops of an image, and their side.
        momentum: share of the averaged projection head that stays in each step.
        patch_weight, token_weight, decoder_weight, energy_weight: of the contrasts of patch tokens and of class tokens,
            of the decoder's loss and of the energy (times 1e-7).
        contrast_from, decoder_from: first step of both contrasts; of the decoder's loss and the energy.
        auxiliary_until: the decoder learns from the auxiliary classifier's maps before this step.
        scales: of the maps that it learns from, each with its mirror image.
        par_iterations, par_dilations: of the refinement of the decoder's labels.
        counted_together: images over which a loss counts pairs and pixels: those of one GPU, as published; None: the
            whole batch.
        else_term: see `class_token_contrast`; as published.
        token_box: whether padding is cut off token labels in pixels, see `token_labels`; as published.
        empty_is_nan: see `balanced_cross_entropy`; as published.

    Raises:
        ParameterError: a number is out of range.
    """

    channels = 10

    def __init__(
        self,
        *,
        thresholds: Sequence[float] = (0.25, 0.7),
        temperature: float = 0.5,
        crops: int = 8,
        crop_size: int = 96,
        momentum: float = 0.9,
        patch_weight: float = 0.2,
        token_weight: float = 0.5,
        decoder_weight: float = 0.1,
        energy_weight: float = 0.05,
        contrast_from: int = 0,
        decoder_from: int = 2001,
        auxiliary_until: int = 0,
        scales: Sequence[float] = SCALES,
        par_iterations: int = 10,
        par_dilations: Sequence[int] = DILATIONS,
        counted_together: int | None = None,
        else_term: bool = False,
        token_box: bool = False,
        empty_is_nan: bool = False,
    ) -> None:
        super().__init__()
        if len(thresholds) != 2 or not 0 <= thresholds[0] <= thresholds[1] <= 1:
            raise ParameterError(f"thresholds must be [low, high] with 0 <= low <= high <= 1, got {list(thresholds)}.")
        if temperature <= 0 or not 0 <= momentum <= 1:
            raise ParameterError(f"temperature={temperature} must be above 0, momentum={momentum} lie in 0..1.")
        if not scales or min(scales) <= 0 or par_iterations < 0:
            raise ParameterError(f"scales={list(scales)} must be above 0, par_iterations={par_iterations} not below.")
        if crops < 1 or crop_size < 2 or crop_size % 2 or (counted_together is not None and counted_together < 1):
            raise ParameterError(
                f"crops={crops} and counted_together={counted_together} must be 1 or more, crop_size={crop_size} even."
            )
        self.thresholds, self.temperature, self.momentum = (thresholds[0], thresholds[1]), temperature, momentum
        self.crops, self.crop_size = crops, crop_size
        self.weights = {
            "class": 1.0,
            "auxiliary": 1.0,
            "patches": patch_weight,
            "tokens": token_weight,
            "pixels": decoder_weight,
            "energy": energy_weight * ENERGY,
        }
        self.contrast_from, self.decoder_from, self.auxiliary_until = contrast_from, decoder_from, auxiliary_until
        self.scales, self.counted_together = tuple(scales), counted_together
        self.refinement = {"iterations": par_iterations, "dilations": tuple(par_dilations)}
        self.else_term, self.token_box, self.empty_is_nan = else_term, token_box, empty_is_nan

    def bind(self, model: nn.Module) -> None:
        """Check that the network has what this loss reads."""
        check_network(model, ToCo)

    def forward(self, model: Any, batch: tuple[Tensor, ...]) -> Parts:
        """Return the loss and its parts, unweighted: ``class``, ``auxiliary``, and once they have begun ``patches`` and
        ``tokens`` (contrasts), ``pixels`` (decoder) and ``energy``.
        """
        (packed, labels), step = batch, self.next_step()
        model.follow(self.momentum)
        images, inside = packed[:, :3], packed[:, 9] > 0.5
        output: ToCoOutput = model(images)
        parts = {
            "class": F.multilabel_soft_margin_loss(output.logits.float(), labels),
            "auxiliary": F.multilabel_soft_margin_loss(output.auxiliary_logits.float(), labels),
        }
        contrast, decode = step >= self.contrast_from, step >= self.decoder_from
        if contrast or decode:
            maps, auxiliary = multi_scale_maps(model, images, self.scales)
        if contrast:
            parts["patches"] = self.patches(output.features, auxiliary, labels, inside)
            parts["tokens"] = self.tokens(model, output.class_token, packed, auxiliary, labels)
        if decode:
            taught = auxiliary if step < self.auxiliary_until else maps
            parts |= self.decoder(images, output.scores, taught, labels, inside)
        total: Any = sum(self.weights[name] * part for name, part in parts.items())
        return total, {name: part.detach() for name, part in parts.items()}

    def patches(self, features: Tensor, auxiliary: Tensor, labels: Tensor, inside: Tensor) -> Tensor:
        """The contrast of patch tokens [B, D, h, w] by labels of the auxiliary maps [B, C, H, W]."""
        grid = (features.shape[-2], features.shape[-1])
        tokens = token_labels(auxiliary, labels, inside, grid, self.thresholds, as_published=self.token_box)
        return mean_of_groups(patch_token_contrast, self.counted_together, features, same_label(tokens))

    def tokens(self, model: Any, token: Tensor, packed: Tensor, auxiliary: Tensor, labels: Tensor) -> Tensor:
        """The contrast of class tokens [B, D] of the first view, the second and local crops."""
        found = regions(auxiliary, labels, self.thresholds)
        candidates = crop_candidates(found, self.crop_size, self.crops)
        order = self.drawn_order(candidates).to(packed.device)
        local, flags = local_crops(packed[:, 6:9], found, candidates, order, side=self.crop_size, count=self.crops)
        views = [token, model(packed[:, 3:6], part="class_token"), model(local.flatten(0, 1), part="class_token")]
        tokens = torch.cat(views)  # [V * B, D], view after view
        with torch.autocast(tokens.device.type, enabled=False):
            projected = model.proj_head(tokens.float()).unflatten(0, (-1, len(token)))
            with torch.no_grad():
                targets = model.proj_head_t(tokens[: 2 * len(token)].float()).unflatten(0, (2, -1))
        return class_token_contrast(projected, targets, with_global_views(flags), self.temperature, self.else_term)

    def drawn_order(self, candidates: Tensor) -> Tensor:
        """In which order an image's candidates [B, h, w] are taken: random numbers [B, h * w].

        From the CPU's generator: those of several GPUs agree, and so do those of a CPU and a GPU.
        """
        return torch.rand(candidates.flatten(1).shape)

    def decoder(
        self, images: Tensor, scores: Tensor, maps: Tensor, labels: Tensor, inside: Tensor
    ) -> dict[str, Tensor]:
        """The decoder's loss and energy; scores [B, C + 1, h, w], maps [B, C, H, W]."""
        with torch.autocast(images.device.type, enabled=False):
            targets = refined_labels(images, maps, labels, inside, self.thresholds, **self.refinement)
            enlarged = bilinear(scores.float(), (images.shape[-2], images.shape[-1]))
            of_pixels = partial(balanced_cross_entropy, empty_is_nan=self.empty_is_nan)
            pixels = mean_of_groups(of_pixels, self.counted_together, enlarged, targets)
            return {"pixels": pixels, "energy": bilateral_energy(grey_levels(images), enlarged, targets, inside)}
