"""What eX-ViT shows of its own reasoning: class maps guided by attributes, single attributes, E-MHA attention."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seedbed.errors import ParameterError, unknown_name
from seedbed.explain.evaluated import evaluated
from seedbed.explain.method_registry import explainer
from seedbed.explain.targets import check_classes, of_classes, resolve
from seedbed.models.exvit import Encoded, ExViT

SIGNS: dict[str, Callable[[Tensor], Tensor]] = {
    "squared": Tensor.square,
    "absolute": Tensor.abs,
    "positive": Tensor.relu,
    "signed": lambda attention: attention,
}


def not_an_exvit(model: nn.Module) -> str | None:
    """Say why ``model`` has no E-MHA encoder; None if it has."""
    return None if isinstance(model, ExViT) else "it is no eX-ViT"


def no_attributes(model: nn.Module) -> str | None:
    """Say why ``model`` has no Attribute-guided Explainer; None if it has."""
    return not_an_exvit(model) or (None if model.attributes is not None else "it has no attributes")


def no_guided_maps(model: nn.Module) -> str | None:
    """Say why the class maps of ``model`` are not made of attributes; None if they are."""
    return not_an_exvit(model) or _head_is_not(model, "attributes")


def no_plain_head(model: nn.Module) -> str | None:
    """Say why ``model`` is not an eX-ViT with a plain class-activation head; None if it is one."""
    return not_an_exvit(model) or _head_is_not(model, "cam")


@explainer(
    "attribute_guided_map",
    needs=no_guided_maps,
    description="eX-ViT's class maps: the classification layer on the attribute-guided features",
)
def attribute_guided_map(
    model: ExViT, images: Tensor, targets: Tensor | None, *, fused_layers: int | None = None, relu: bool = True
) -> Tensor:
    """Return [B, K, h, w]: the 1x1 convolution on M of equation 11, whose spatial mean is the logit.

    Args:
        model: an eX-ViT with the head ``attributes``.
        images: [B, 3, H, W].
        targets: int64 [B, K], or None for the predicted class.
        fused_layers: K of equation 10, if another than the network's own (figure 8).
        relu: leave out what speaks against the class; without, maps are signed.
    """
    model = evaluated(model, hooks=True)
    output = model(images, full=True, fused_layers=fused_layers)
    return of_classes(_rectified(output.class_maps, relu), resolve(targets, output.logits))


@explainer(
    "attribute_maps",
    needs=no_attributes,
    description="What one attribute of eX-ViT looks at, or what it adds to the class map",
)
def attribute_maps(
    model: ExViT,
    images: Tensor,
    targets: Tensor | None,
    *,
    attribute: int = 0,
    show: Literal["weight", "contribution"] = "weight",
    fused_layers: int | None = None,
    relu: bool = True,
) -> Tensor:
    """Return [B, K, h, w] of one of the S attributes; one setting of the method for each attribute makes a gallery.

    Args:
        model: an eX-ViT with attributes.
        images: [B, 3, H, W].
        targets: int64 [B, K], or None for the predicted class.
        attribute: its number, 0 to S - 1.
        show: ``weight``, its weight at each place (equation 8), the same for all classes; or ``contribution``, what it
            adds to the class map: with ``relu`` off, the S contributions add up to ``attribute_guided_map``.
        fused_layers: K of equation 10, if another than the network's own; weights do not depend on it.
        relu: leave out negative values.

    Raises:
        ParameterError: there is no such attribute or way to show it, or the class maps are not made of attributes.
    """
    model = evaluated(model, hooks=True)
    if model.attributes is None:
        raise ParameterError("The network has no attributes to show.")
    if not 0 <= attribute < model.attributes.count:
        raise ParameterError(f"attribute={attribute}: the network has {model.attributes.count}, numbered from 0.")
    if show not in ("weight", "contribution"):
        raise ParameterError(unknown_name("way to show an attribute", show, ("weight", "contribution")))
    if show == "contribution" and model.head_kind != "attributes":
        raise ParameterError("show='contribution' needs class maps made of attributes; the network's head is 'cam'.")
    encoded = model.encode(images, fused_layers=fused_layers)
    weights = model.attributes(encoded.last)
    logits = model.class_maps(encoded, weights).mean(dim=1)
    if show == "weight":
        maps = weights[..., attribute].unsqueeze(1).expand(-1, logits.shape[1], -1)
    else:
        maps = model.contributions(encoded, weights)[..., attribute].transpose(1, 2)
    return of_classes(_rectified(maps.unflatten(2, encoded.grid), relu), resolve(targets, logits))


@explainer(
    "emha_attention",
    needs=not_an_exvit,
    class_specific=False,
    description="Attention that each patch receives in the last layers of eX-ViT, mean over heads and queries",
)
def emha_attention(
    model: ExViT,
    images: Tensor,
    *,
    fused_layers: int | None = None,
    sign: Literal["squared", "absolute", "positive", "signed"] = "squared",
) -> Tensor:
    """Return [B, h, w]: the mean over queries, heads and the last layers of the attention each patch receives.

    Rows of E-MHA have unit length and entries of both signs. Their squares sum to 1, as a softmax's entries do.

    Args:
        model: an eX-ViT; one with softmax attention too, for comparisons.
        images: [B, 3, H, W].
        fused_layers: how many of the last layers; by default the network's own K of equation 10.
        sign: what is averaged: the attention ``squared``, ``absolute``, ``positive`` alone, or ``signed``.

    Raises:
        ParameterError: there are not so many layers, or the sign is unknown.
    """
    if sign not in SIGNS:
        raise ParameterError(unknown_name("sign of emha_attention", sign, SIGNS))
    count = model.fused_layers if fused_layers is None else model.checked_layers(fused_layers)
    record = _Received(SIGNS[sign])
    model = evaluated(model, hooks=True)
    grid = model.encode(images, record).grid
    return torch.stack(record.layers[-count:]).mean(dim=0).unflatten(1, grid)


@explainer("cam", needs=no_plain_head)
def cam_of_exvit(model: ExViT, images: Tensor, targets: Tensor | None, *, fused_layers: int | None = None) -> Tensor:
    """Return [B, K, h, w], signed: the plain head on the mean of the last K layers (table 5's E-MHA-CAM).

    Args:
        model: an eX-ViT with the head ``cam``.
        images: [B, 3, H, W].
        targets: int64 [B, K], or None for the predicted class.
        fused_layers: K of equation 10, if another than the network's own.
    """
    model = evaluated(model, hooks=True)
    output = model(images, full=True, fused_layers=fused_layers)
    return of_classes(output.class_maps, resolve(targets, output.logits))


@torch.no_grad()
def fused_layer_maps(model: ExViT, images: Tensor, targets: Tensor, *, relu: bool = True) -> Tensor:
    """Class maps for every K of equation 10, from one pass through the encoder (figure 8).

    Args:
        model: an eX-ViT with either head.
        images: [B, 3, H, W].
        targets: int64 [B, K], -1 = absent.
        relu: as in ``attribute_guided_map``; the maps of a plain head stay signed.

    Returns:
        [B, L, K, h, w]: entry k - 1 fuses the last k layers, as the explainers do with ``fused_layers=k``.

    Raises:
        ParameterError: a target is no class of the network.
    """
    check_classes(targets, model.num_classes)
    guided = model.head_kind == "attributes"
    model = evaluated(model, hooks=True)
    outputs, grid = model.layer_outputs(images, len(model.blocks))
    weights = model.attributes(outputs[-1]) if guided and model.attributes is not None else None
    maps = []
    for count in range(1, len(outputs) + 1):
        summed: Any = sum(outputs[-count:])
        encoded = Encoded(outputs[-1], summed / count, grid)
        of_all = model.class_maps(encoded, weights).transpose(1, 2).unflatten(2, grid)
        maps.append(of_classes(_rectified(of_all, relu and guided), targets))
    return torch.stack(maps, dim=1)


class _Received:
    """A record of the attention each token receives in every layer, [B, N]; no layer's matrix outlives it."""

    wanted = True

    def __init__(self, sign: Callable[[Tensor], Tensor]) -> None:
        self._sign = sign
        self.layers: list[Tensor] = []

    def add(self, attention: Tensor, scores: Tensor) -> None:
        self.layers.append(self._sign(attention).mean(dim=(1, 2)))


def _rectified(maps: Tensor, relu: bool) -> Tensor:
    return maps.relu() if relu else maps


def _head_is_not(model: Any, kind: str) -> str | None:
    return None if model.head_kind == kind else f"its head is '{model.head_kind}', not '{kind}'"
