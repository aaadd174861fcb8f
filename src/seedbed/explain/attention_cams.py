"""Class maps of MCTformer and Conformer, refined by the attention of their own layers (AReAM's two baselines).

``layers`` says whose patch-to-patch attention refines: all (as published), or some, for figures layer by layer. The
attention of the chosen layers is summed with its rows as they are; a map that is normalised later could as well be
refined by their mean (AReAM, equation 5).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seedbed.errors import ParameterError, UserError, unknown_name
from seedbed.explain.evaluated import evaluated
from seedbed.explain.method_registry import explainer
from seedbed.explain.targets import ABSENT, resolve
from seedbed.models.attention_layers import layer_indices, patch_part
from seedbed.models.conformer import Conformer
from seedbed.models.mctformer import MCTformer
from seedbed.models.mctformer_maps import CLASS_ATTENTION_LAYERS, fuse

Layers = Sequence[int] | str | None


class Unrefined(NamedTuple):
    """A network's maps before refinement, and what refines them.

    Attributes:
        maps: [B, K, h, w], of the targets; zero for absent ones.
        affinities: per layer [B, N, N], patch-to-patch attention, averaged over heads.
    """

    maps: Tensor
    affinities: list[Tensor]


def not_an_mctformer(model: nn.Module) -> str | None:
    """Say why ``model`` has no class tokens with a patch head; None if it has."""
    return None if isinstance(model, MCTformer) else "it is not an MCTformer"


def not_a_conformer(model: nn.Module) -> str | None:
    """Say why ``model`` has no convolutional class maps beside a transformer; None if it has."""
    return None if isinstance(model, Conformer) else "it is not a Conformer"


@explainer("cam", needs=not_an_mctformer)
@explainer("mct_cam", needs=not_an_mctformer, description="MCTformer's patch class activation map, cut at 0")
def mct_cam(model: MCTformer, images: Tensor, targets: Tensor | None) -> Tensor:
    """Return [B, K, h, w], >= 0: the patch head's maps without their negative part."""
    model = evaluated(model, hooks=True)
    output = model(images)
    return _of_targets(output.patch_maps.relu(), resolve(targets, output.logits))


@explainer(
    "mct_fused", needs=not_an_mctformer, description="MCTformer's class attention times its patch class activation map"
)
def mct_fused(
    model: MCTformer, images: Tensor, targets: Tensor | None, *, class_attention_layers: int = CLASS_ATTENTION_LAYERS
) -> Tensor:
    """Return [B, K, h, w], >= 0: class-to-patch attention of the last layers times the patch head's maps.

    V2 sums the layers; MCTformer+ takes their mean and the square root of the product.

    Args:
        model: MCTformer-V2 or MCTformer+.
        images: [B, 3, H, W].
        targets: int64 [B, K], or None for the predicted class.
        class_attention_layers: how many of the last layers; the published runs take 3.
    """
    return _mct_unrefined(model, images, targets, class_attention_layers).maps


@explainer(
    "mct_refined", needs=not_an_mctformer, description="MCTformer-R: the fused map refined by the patches' attention"
)
def mct_refined(
    model: MCTformer,
    images: Tensor,
    targets: Tensor | None,
    *,
    layers: Layers = None,
    class_attention_layers: int = CLASS_ATTENTION_LAYERS,
) -> Tensor:
    """Return [B, K, h, w], >= 0: ``sum_j A_ij fused_j`` with A the sum of the layers' patch attention.

    Args:
        model: MCTformer-V2 or MCTformer+.
        images: [B, 3, H, W].
        targets: int64 [B, K], or None for the predicted class.
        layers: whose attention refines, indices from 0 (-1 the last); ``"all"`` or None: every layer's.
        class_attention_layers: as in ``mct_fused``.
    """
    return _refine(_mct_unrefined(model, images, targets, class_attention_layers), layers)


@explainer("cam", needs=not_a_conformer)
@explainer("conv_cam", needs=not_a_conformer, description="Class maps of Conformer's convolutional head")
def conv_cam(model: Conformer, images: Tensor, targets: Tensor | None, *, first_class: int = 0) -> Tensor:
    """Return [B, K, h, w], signed: the convolutional head's maps.

    Args:
        model: Conformer.
        images: [B, 3, H, W], sides divisible by the patch size.
        targets: int64 [B, K], or None for the predicted class.
        first_class: output of class 0; 1 for networks with a background output in front, such as TransCAM's.
    """
    return _conformer_unrefined(model, images, targets, first_class, attention=None).maps


@explainer(
    "transcam", needs=not_a_conformer, description="TransCAM, Conformer-R: its class maps refined by its attention"
)
def transcam(
    model: Conformer, images: Tensor, targets: Tensor | None, *, layers: Layers = None, first_class: int = 0
) -> Tensor:
    """Return [B, K, h, w], signed: ``sum_j A_ij map_j`` with A the sum of the layers' patch attention.

    Args:
        model: Conformer.
        images: [B, 3, H, W], sides divisible by the patch size.
        targets: int64 [B, K], or None for the predicted class.
        layers: whose attention refines, indices from 0 (-1 the last); ``"all"`` or None: every layer's.
        first_class: as in ``conv_cam``.
    """
    return _refine(_conformer_unrefined(model, images, targets, first_class), layers)


@torch.no_grad()
def unrefined(model: nn.Module, images: Tensor, targets: Tensor, method: str, **options: object) -> Unrefined:
    """The maps that ``mct_refined`` or ``transcam`` starts from and each layer's attention, from one forward pass.

    Args:
        model: what the method needs.
        images: float [B, 3, H, W].
        targets: int64 [B, K], -1 = absent.
        method: ``mct_refined`` or ``transcam``.
        options: the method's, without ``layers``.

    Raises:
        ParameterError: the method does not refine, or has no such option.
        UserError: the method cannot explain this network.
    """
    if method not in _UNREFINED:
        raise ParameterError(unknown_name("method that refines maps by attention", method, _UNREFINED))
    needs, read, defaults = _UNREFINED[method]
    for name in options:
        if name not in defaults:
            raise ParameterError(unknown_name(f"option of '{method}' by layer", name, defaults))
    if needs(model) is not None:
        raise UserError(f"'{method}' cannot explain this {type(model).__name__}: {needs(model)}.")
    with torch.autocast(images.device.type, enabled=False):
        return read(model, images, targets, **{**defaults, **options})


@torch.no_grad()
def patch_attention(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Patch-to-patch attention of every layer, averaged over heads: [B, N, N] each, rows not renormalised.

    Args:
        model: `MCTformer` or `Conformer`.
        images: float [B, 3, H, W].

    Raises:
        UserError: it is neither.
    """
    if not_an_mctformer(model) and not_a_conformer(model):
        raise UserError(f"The attention of a {type(model).__name__} is not read; choose an MCTformer or a Conformer.")
    prefix = model.num_classes if isinstance(model, MCTformer) else 1
    model = evaluated(model, hooks=True)
    with torch.autocast(images.device.type, enabled=False):
        attention = model(images, attention="mean").attention
    return patch_part(attention, attention[0].shape[-1] - prefix)


def refined_by_layer(start: Unrefined) -> Tensor:
    """Refine maps by each layer's attention alone: [B, L, K, h, w]. Their sum over L is the published map."""
    flat = start.maps.flatten(2)
    return torch.stack([flat @ matrix.mT for matrix in start.affinities], dim=1).unflatten(3, start.maps.shape[-2:])


def _refine(start: Unrefined, layers: Layers) -> Tensor:
    summed: Any = sum(start.affinities[layer] for layer in layer_indices(layers, len(start.affinities)))
    return (start.maps.flatten(2) @ summed.mT).unflatten(2, start.maps.shape[-2:])


def _mct_unrefined(model: MCTformer, images: Tensor, targets: Tensor | None, class_attention_layers: int) -> Unrefined:
    model = evaluated(model, hooks=True)
    output = model(images, attention="mean")
    maps = _of_targets(fuse(model, output, class_attention_layers)[1], resolve(targets, output.logits))
    return Unrefined(maps, patch_part(output.attention, maps.shape[-2] * maps.shape[-1]))


def _conformer_unrefined(
    model: Conformer, images: Tensor, targets: Tensor | None, first_class: int, attention: str | None = "mean"
) -> Unrefined:
    if not 0 <= first_class < model.num_classes:
        raise ParameterError(f"first_class={first_class}: the network has outputs 0 to {model.num_classes - 1}.")
    model = evaluated(model, hooks=True)
    output = model(images, attention=attention)
    logits = output.logits[:, first_class:]
    maps = _of_targets(output.conv_maps[:, first_class:], resolve(targets, logits))
    return Unrefined(maps, patch_part(output.attention or (), maps.shape[-2] * maps.shape[-1]))


def _of_targets(maps: Tensor, targets: Tensor) -> Tensor:
    """Pick the targets' maps [B, K, h, w] out of [B, C, h, w]; those of absent targets are zero."""
    present = targets != ABSENT
    index = targets.clamp(min=0)[:, :, None, None].expand(-1, -1, *maps.shape[-2:])
    return maps.gather(1, index).masked_fill(~present[:, :, None, None], 0)


_UNREFINED: dict[str, tuple[Callable[[nn.Module], str | None], Callable[..., Unrefined], dict[str, int]]] = {
    "mct_refined": (not_an_mctformer, _mct_unrefined, {"class_attention_layers": CLASS_ATTENTION_LAYERS}),
    "transcam": (not_a_conformer, _conformer_unrefined, {"first_class": 0}),
}
