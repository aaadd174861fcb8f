"""``explain``: the one way in. It checks the arguments, finds the method and keeps the model as it was."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.explain.evaluated import evaluated
from seedbed.explain.hooks import hooked, require_unchanged
from seedbed.explain.method_registry import implementation_for
from seedbed.explain.targets import ABSENT, as_targets, check_classes


@torch.no_grad()
def explain(model: nn.Module, images: Tensor, targets: Tensor | Sequence | None, method: str, **options: Any) -> Tensor:
    """Explain what in each image speaks for a class.

    The model is explained as it evaluates (no dropout, running statistics) whatever its training flag says, on a twin
    that shares its weights: nothing of the model changes at any time, so other threads may use and even train it. Maps
    of an image never depend on the other images of its batch. Half-precision Transformers are explained in float32 from
    their tokens on. Surrounding autocast is suspended.

    Args:
        model: a classifier; what it must be depends on the method, see ``supports``.
        images: float [B, channels, H, W], normalised as the model expects; cast to the model's dtype.
        targets: class indices, int [B] or a list; or [B, K] for several classes per image, which share the forward pass
            (-1 = no class: its map is zero and costs nothing); or None for the class the model predicts.
        method: a name of ``methods()``.
        options: the method's own, see its file.

    Returns:
        Maps [B, h, w] on the patch grid, or [B, K, h, w] for targets [B, K], in the model's dtype, raw (not normalised
        unless the method's definition does it). ``lrp`` reaches the pixels: [B, H, W].

    Raises:
        ParameterError: unknown method or option, targets or images of the wrong shape or type (or of channels or a size
            that the model cannot take), not finite, or a class out of range.
        UserError: the method cannot explain this model; the text says why and which methods can. Or hooks and patched
            forwards change what the model answers, which maps would not show; those that only watch are harmless.
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point():
        found = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise ParameterError(f"Images must be a float tensor [B, channels, H, W]; they are {found}.")
    implementation = implementation_for(model, method)
    implementation.check_options(method, options)
    parameter = next(model.parameters())
    if images.device != parameter.device:
        raise ParameterError(f"The images are on {images.device} and the model is on {parameter.device}.")
    if not images.isfinite().all():
        raise ParameterError("Images must be finite; these hold NaN or infinity.")
    checked, several = as_targets(targets, images)
    with torch.autocast(images.device.type, enabled=False):
        cast = images.to(parameter.dtype)
        others = hooked(model)
        if others and len(cast):
            require_unchanged(model, cast, others)
        twin = evaluated(model)
        try:
            if implementation.class_specific:
                maps = implementation.run(twin, cast, checked, **options)
            else:
                _check_range(twin, checked)
                maps = _for_every_class(implementation.run(twin, cast, **options), checked)
        except (RuntimeError, AssertionError, ValueError, IndexError) as error:
            if not others:
                _require_usable(model, cast, error)
            raise
    return (maps if several else maps.squeeze(1)).to(parameter.dtype)


def _require_usable(model: nn.Module, images: Tensor, error: Exception) -> None:
    """Raise a ParameterError if the model itself cannot take such images, which is why ``error`` came."""
    if isinstance(error, torch.OutOfMemoryError):
        return
    try:
        evaluated(model)(images[:1])
    except (RuntimeError, AssertionError, ValueError, IndexError) as own:
        if not isinstance(own, torch.OutOfMemoryError):
            reason = (str(own).splitlines() or [type(own).__name__])[0]
            raise ParameterError(f"The model does not take images of shape {tuple(images.shape)}: {reason}") from error


def _check_range(model: nn.Module, targets: Tensor | None) -> None:
    """Refuse classes that the model does not have, for methods whose maps know no classes."""
    classes = getattr(model, "num_classes", None)
    if targets is not None and targets.numel():
        check_classes(targets, classes if isinstance(classes, int) and classes > 0 else None)


def _for_every_class(maps: Tensor, targets: Tensor | None) -> Tensor:
    """Repeat maps [B, h, w] that know no classes over the targets [B, K]; those of absent classes are zero."""
    if targets is None:
        return maps.unsqueeze(1)
    return maps.unsqueeze(1) * (targets != ABSENT)[:, :, None, None]
