"""Erase pixels in the order of a heat map and classify what is left, a bounded number of copies at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seedbed.devices.memory import Fitting, is_out_of_memory
from seedbed.errors import DataError, ParameterError, unknown_name
from seedbed.explain.evaluated import evaluated

Model = Callable[[Tensor], Tensor]

# What becomes of a map that holds NaN; it is counted in either case.
UNDEFINED_RULES = {
    "largest": "NaN ranks above every number in either order, as published; an all-NaN map erases in reading order",
    "skip": "the image is left out",
}


# What an erased pixel becomes, as a value of [0, 1] before normalising; None is each channel's mean.
FILLS: dict[str, float | None] = {"black": 0.0, "mean": None, "white": 1.0}
HAIR = 1e-3  # by which resizing may leave the range


class Prepared(NamedTuple):
    """Normalised images [B, channels, H, W] with their maps [B, H, W] and labels [B]; how many maps held NaN."""

    images: Tensor
    maps: Tensor
    labels: Tensor
    undefined: int


def prepared(
    images: Tensor,
    maps: Tensor,
    labels: Tensor | Sequence[int],
    undefined: str,
    mean: Sequence[float],
    std: Sequence[float],
) -> Prepared:
    """Check and normalise images in [0, 1]; leave those with undefined maps out if ``undefined`` is ``skip``.

    Raises:
        DataError: shapes do not fit, images or maps are not floating point, or images do not lie in [0, 1].
        ParameterError: mean or std are not one number per channel.
    """
    for name, given in (("images", images), ("maps", maps)):
        if not isinstance(given, Tensor):
            raise DataError(f"The {name} must be a torch.Tensor, not {type(given).__name__}.")
    labels = _as_labels(labels, images)
    shape = (len(images), *images.shape[2:])
    if images.ndim != 4 or tuple(maps.shape) != shape or tuple(labels.shape) != shape[:1]:
        raise DataError(
            f"Images {tuple(images.shape)}, maps {tuple(maps.shape)} and labels {tuple(labels.shape)} must be "
            "[B, channels, H, W], [B, H, W] and [B]."
        )
    if not (images.is_floating_point() and maps.is_floating_point()):
        raise DataError(f"Images in [0, 1] and maps must be floating point, got {images.dtype} and {maps.dtype}.")
    if not images.isfinite().all():
        raise DataError("Images in [0, 1] must be finite; these hold NaN or infinity.")
    if not ((images >= -HAIR) & (images <= 1 + HAIR)).all():
        low, high = float(images.min()), float(images.max())
        raise DataError(f"Images must lie in [0, 1], before normalising; these lie in {low:.4g}..{high:.4g}.")
    shift, scale = (channel_values(values, images) for values in (mean, std))
    if not (scale > 0).all():
        raise ParameterError(f"std must be above 0 in each channel, not {list(std)}.")
    nan = maps.isnan().flatten(1).any(1)
    keep = ~nan if undefined == "skip" else torch.ones_like(nan)
    keep_images = keep.to(images.device)
    return Prepared(((images - shift) / scale)[keep_images], maps[keep], labels[keep_images], int(nan.sum()))


def _as_labels(labels: object, images: Tensor) -> Tensor:
    try:
        found = torch.as_tensor(labels, device=images.device)
    except (TypeError, ValueError, RuntimeError):
        found = torch.tensor(torch.nan)
    if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise DataError(f"Labels must be class indices, one whole number for each image, not {labels!r:.60}.")
    return found


def channel_values(values: Sequence[float], images: Tensor) -> Tensor:
    """Return one number per channel as [1, channels, 1, 1]."""
    if len(values) != images.shape[1]:
        raise ParameterError(f"mean and std need {images.shape[1]} numbers, one per channel, not {len(values)}.")
    return torch.tensor(list(values), dtype=images.dtype, device=images.device).view(1, -1, 1, 1)


def check_fill(fill: str) -> str:
    """Return the name of a fill colour, or raise ``ParameterError``."""
    if fill not in FILLS:
        raise ParameterError(unknown_name("fill of erased pixels", fill, FILLS))
    return fill


def fill_values(fill: str, images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return what an erased pixel of the normalised ``images`` becomes, [1, channels, 1, 1]."""
    shift, scale = (channel_values(values, images) for values in (mean, std))
    value = FILLS[fill]
    return torch.zeros_like(shift) if value is None else (value - shift) / scale


def check_rule(undefined: str) -> str:
    """Return the name of a rule for undefined maps, or raise ``ParameterError``."""
    if undefined not in UNDEFINED_RULES:
        raise ParameterError(unknown_name("rule for undefined maps", undefined, UNDEFINED_RULES))
    return undefined


def ranks(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return each pixel's position [B, H * W] from the largest value down and from the smallest up, by one sort.

    Tied pixels go in reading order both ways; NaN comes before every number both ways.
    """
    values, order = maps.flatten(1).sort(dim=1, descending=True, stable=True)
    count, nan = values.shape[1], values.isnan()
    position = torch.arange(count, device=maps.device).expand_as(order)
    tied = (values[:, 1:] == values[:, :-1]) | (nan[:, 1:] & nan[:, :-1])
    edge = torch.zeros_like(nan[:, :1])
    first = position.masked_fill(torch.cat((edge, tied), 1), 0).cummax(1).values  # of each pixel's tie
    last = position.masked_fill(torch.cat((tied, edge), 1), count - 1).flip(1).cummin(1).values.flip(1)
    upward = torch.where(nan, position, nan.sum(1, keepdim=True) + count - 1 - last + position - first)
    down, up = (torch.empty_like(order).scatter_(1, order, ranked) for ranked in (position, upward))
    return down, up


@torch.no_grad()
def erased_logits(
    model: Model, images: Tensor, rank: Tensor, counts: Sequence[int], fill: Tensor, copies_at_once: int
) -> Tensor:
    """Classify every image with its first ``counts[s]`` pixels erased, for every s.

    Args:
        model: gives logits [n, C] of images; a module as it evaluates, whatever its training flag says.
        images: [B, channels, H, W], as the model takes them, B > 0.
        rank: [B, H * W], see ``ranks``; sorted once for all steps.
        counts: S > 0 numbers of pixels.
        fill: [1, channels, 1, 1], what an erased pixel becomes.
        copies_at_once: how many copies enter the model together, at least 1.

    Returns:
        Logits [S, B, C] in at least float32, on the CPU.
    """
    if copies_at_once < 1:
        raise ParameterError(f"copies_at_once must be at least 1, not {copies_at_once}.")
    network = evaluated(model, hooks=True) if isinstance(model, nn.Module) else model
    images, fill = (given.to(_dtype(model, images.dtype)) for given in (images, fill))
    batch = len(images)
    limits = torch.tensor(list(counts), device=images.device)
    rank = rank.to(images.device).view(batch, 1, *images.shape[2:])

    def logits(chunk: Tensor) -> Tensor:
        step, image = chunk // batch, chunk % batch
        erased = rank[image] < limits[step].view(-1, 1, 1, 1)
        scores = _classified(network, torch.where(erased, fill, images[image]))
        return scores.to(torch.promote_types(scores.dtype, torch.float32)).cpu()

    found, fit = [], Fitting("copies of images")
    for chunk in torch.arange(len(counts) * batch, device=images.device).split(copies_at_once):
        found.append(fit(logits, chunk))
    return torch.cat(found).unflatten(0, (len(counts), batch))


def _dtype(model: Model, of_images: torch.dtype) -> torch.dtype:
    """What a network's weights are in; of anything else, what its images are in."""
    weights = model.parameters() if isinstance(model, nn.Module) else iter(())
    return next((weight.dtype for weight in weights if weight.is_floating_point()), of_images)


def _classified(model: Model, images: Tensor) -> Tensor:
    """Logits [n, C] of images."""
    try:
        scores = model(images)
    except (RuntimeError, AssertionError, ValueError, IndexError) as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ParameterError(f"The model does not take images of shape {tuple(images.shape)}: {reason}") from error
    if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != len(images):
        found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ParameterError(f"The model must give logits [n, classes] of {len(images)} images, not {found}.")
    return scores


def of_labels(values: Tensor, labels: Tensor) -> Tensor:
    """Return [..., B] the entries of values [..., B, C] at the labels [B].

    Raises:
        DataError: a label is not among the C classes.
    """
    labels = labels.to(values.device).long()
    wrong = labels[(labels < 0) | (labels >= values.shape[-1])]
    if len(wrong):
        raise DataError(f"Label {int(wrong[0])} is outside the model's classes 0..{values.shape[-1] - 1}.")
    return values.gather(-1, labels.expand(values.shape[:-1]).unsqueeze(-1)).squeeze(-1)
