"""The energy of a dense CRF as a loss: probabilities that change where neighbouring pixels look alike cost.

Tang et al., "On Regularized Losses for Weakly-supervised CNN Segmentation" (ECCV 2018), with a gate for what is
uncertain, as AFA and ToCo train with (Ru et al. 2022, 2023). Their compiled extension is replaced by the project's
permutohedral lattice.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seedbed.errors import DataError, ParameterError
from seedbed.refine.permutohedral import build_lattice
from seedbed.refine.reliable import IGNORE
from seedbed.settings.checked import checked


@checked
def bilateral_energy(
    images: Tensor,
    scores: Tensor,
    labels: Tensor,
    inside: Tensor,
    *,
    sxy: float = 100.0,
    srgb: float = 15.0,
    downscale: int = 2,
) -> Tensor:
    """``-1/B sum_{image, class, pixel} s G f``, at ``1 / downscale`` of the resolution, with

        s = softmax(scores) inside the picture, 0 outside
        G = what the largest probability leaves to 1 (inside), and 1 where the label is 255
        f_i = sum_j exp(-|d_ij|^2 / 2) s_j, j = i included, on the lattice and not normalised; d_ij in x, y and colour

    The gradient is ``-2/B G f`` inside the picture, as published: the gate counts as constant, and the factor 2 leaves
    out that the gate breaks the symmetry.

    Args:
        images: ``[B, 3, H, W]`` float, grey levels 0..255.
        scores: ``[B, C, H, W]``, before the softmax.
        labels: ``[B, H, W]`` integer, 255 where uncertain.
        inside: ``[B, H, W]`` bool, where the image shows its picture and not padding.
        sxy: standard deviation of the distance in pixels of the full resolution.
        srgb: standard deviation of the colour in grey levels.
        downscale: resolution divisor.

    Returns:
        A 0-d tensor, unweighted: ToCo and AFA multiply it by 1e-7. Gradients flow to ``scores``.

    Raises:
        DataError: the shapes do not fit each other.
        ParameterError: a width is not above 0.
    """
    if scores.ndim != 4 or {tuple(x.shape[-2:]) for x in (images, labels, inside)} != {tuple(scores.shape[-2:])}:
        raise DataError(
            f"Images {tuple(images.shape)}, scores {tuple(scores.shape)}, labels {tuple(labels.shape)} and inside "
            f"{tuple(inside.shape)} must be of one size."
        )
    if not (sxy > 0 and srgb > 0 and downscale >= 1):
        raise ParameterError(f"sxy={sxy} and srgb={srgb} must be above 0, downscale={downscale} 1 or more.")
    size = (scores.shape[-2] // downscale, scores.shape[-1] // downscale)
    probabilities = F.interpolate(scores.float().softmax(1), size=size, mode="bilinear", align_corners=False)
    picture, region, certain = (
        F.interpolate(x.float(), size=size, mode="nearest")
        for x in (images, inside[:, None], (labels != IGNORE)[:, None])
    )
    gate = torch.where(certain != 0, (region - probabilities.detach().amax(1, keepdim=True)).relu(), 1.0)
    widths = (sxy / downscale, srgb)
    return _Energy.apply(probabilities, picture, region, gate, widths)


@torch.no_grad()
def bilateral_sums(picture: Tensor, values: Tensor, widths: tuple[float, float]) -> Tensor:
    """f of `bilateral_energy`: [C, h, w] float32 summed over a picture [3, h, w] in grey levels; (sxy, srgb)."""
    height, width = picture.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=picture.device), torch.arange(width, device=picture.device), indexing="ij"
    )
    places = torch.stack([x, y]).flatten(1).float() / widths[0]
    lattice = build_lattice(torch.cat([places, picture.flatten(1) / widths[1]]))
    return lattice.filter(values.flatten(1).t().contiguous()).t().unflatten(1, (height, width))


class _Energy(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, probabilities: Tensor, picture: Tensor, region: Tensor, gate: Tensor, widths: tuple[float, float]
    ) -> Tensor:
        shown = probabilities * region
        sums = torch.stack([bilateral_sums(*each, widths) for each in zip(picture, shown, strict=True)])
        context.save_for_backward(-2 / len(shown) * gate * sums * region)
        return -(shown * gate * sums).sum() / len(shown)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = context.saved_tensors
        return gradient * slope, None, None, None, None
