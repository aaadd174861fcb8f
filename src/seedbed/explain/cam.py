"""Class activation maps (Zhou et al. 2016): the linear head applied to the features before they are pooled."""

from typing import Any

import torch
from torch import Tensor, nn

from seedbed.errors import UserError
from seedbed.explain.evaluated import evaluated
from seedbed.explain.layers import Linear
from seedbed.explain.method_registry import explainer
from seedbed.explain.support import not_a_vit
from seedbed.explain.targets import Pairs, explain_pairs, of_classes, resolve
from seedbed.explain.vit import Readout, patch_grid, read_readout
from seedbed.models.resnet38 import ResNet38Classifier

_STEPS, _STEPS_OF_HALF = 100, 4
_TRIED = (3, 5)
_TIMM_STEPS = ("forward_features", "forward_head", "get_classifier")


@explainer(
    "cam",
    needs=not_a_vit,
    description="Class activation map: the linear head's weights applied to the final features",
)
def cam_of_vit(model: Any, images: Tensor, targets: Tensor | None) -> Tensor:
    """Return [B, K, h, w], signed: the class's head weights times each final patch token, without the bias.

    With average pooling the map's mean over the pooled tokens is the logit, up to what does not depend on the place
    (a norm after the pooling takes its deviation from the pooled token). With a class token the head, trained on that
    token, is applied to the patch tokens; with a distillation token, the mean of both heads. Any kind of block will
    do.

    Args:
        model: a timm Vision Transformer with a linear head, pooling ``token`` or ``avg``.
        images: [B, channels, H, W].
        targets: int64 [B, K], or None for the predicted class.
    """
    model = evaluated(model, hooks=True)
    tokens = model.forward_features(images)  # the final norm included
    tokens = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
    readout = read_readout(model, tokens.dtype)
    grid = patch_grid(model, images)
    features = _patch_features(readout, tokens, model.num_prefix_tokens)
    weight = _weight_per_token(readout.head.weight, features.shape[-1])

    def explain(pairs: Pairs) -> Tensor:
        return (pairs.take(features) @ weight[pairs.label].unsqueeze(-1)).squeeze(-1)

    return explain_pairs(resolve(targets, _logits(readout, tokens)), explain, grid)


def _logits(readout: Readout, normed: Tensor) -> Tensor:
    """Return the logits from tokens past the final norm."""
    rows = normed[:, readout.rows]
    pooled = rows.mean(1) if readout.mean else rows.flatten(1)
    return readout.head(pooled if readout.norm_after is None else readout.norm_after(pooled))


def _patch_features(readout: Readout, normed: Tensor, prefix: int) -> Tensor:
    """Return the patch tokens [B, N, D] as the head sees them."""
    patches, norm = normed[:, prefix:], readout.norm_after
    if norm is None:
        return patches
    if not readout.mean:
        return norm(patches)
    pooled = normed[:, readout.rows].mean(1, keepdim=True)
    centred = patches - patches.mean(-1, keepdim=True) if norm.centred else patches
    scaled = centred * norm.inverse_deviation(pooled)
    return scaled if norm.weight is None else scaled * norm.weight


def _weight_per_token(weight: Tensor, channels: int) -> Tensor:
    """Sum the parts [C, D] of a head that reads tokens side by side: two halved heads become their mean."""
    return weight.unflatten(1, (-1, channels)).sum(1)


def not_a_cam_cnn(model: Any) -> str | None:
    """Say why ``model`` has no feature map under a linear head that timm's names lead to; None if it has."""
    if isinstance(model, nn.Module) and not not_a_vit(model):
        return "it is a Vision Transformer"
    if not all(callable(getattr(model, name, None)) for name in _TIMM_STEPS):
        return f"it lacks timm's {', '.join(_TIMM_STEPS)}"
    classifier = model.get_classifier()
    if isinstance(classifier, nn.Linear) or (isinstance(classifier, nn.Conv2d) and classifier.kernel_size == (1, 1)):
        return _odd_head(model, classifier)
    return f"its classifier is {type(classifier).__name__}, neither linear nor a 1x1 convolution"


@torch.no_grad()
def _odd_head(model: Any, classifier: Any) -> str | None:
    """Say why logits are not the classifier applied to averaged features; None if they are.

    The head alone is tried, on a small feature map of random numbers, which costs nothing beside the network.
    """
    weight = classifier.weight.detach().flatten(1)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, weight.shape[1], *_TRIED, generator=generator).to(weight)
    given = features.permute(0, 2, 3, 1) if _channels_last(model) else features
    model = evaluated(model)
    try:
        logits = model.forward_head(given)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError):
        return f"{_undefined(model)}: its head takes other features than its classifier"
    if not isinstance(logits, Tensor) or not _is_linear(features, Linear(weight, classifier.bias), logits.flatten(1)):
        return f"{_undefined(model)}: its logits are not its classifier applied to the average of its feature map"
    return None


def _undefined(model: nn.Module) -> str:
    return f"'cam' is not defined for this {type(model).__name__}"


def _channels_last(model: nn.Module) -> bool:
    return getattr(getattr(model, "head", None), "input_fmt", "NCHW") == "NHWC"


@explainer("cam", needs=not_a_cam_cnn)
def cam_of_cnn(model: Any, images: Tensor, targets: Tensor | None) -> Tensor:
    """Return [B, K, h, w], signed: the head's weights applied to the last feature map.

    Its mean is the logit less the bias.

    Args:
        model: a timm network whose head is linear on average-pooled features.
        images: [B, channels, H, W].
        targets: int64 [B, K], or None for the predicted class.

    Raises:
        UserError: the logits are not linear in the average-pooled features, so that no map is defined.
    """
    model = evaluated(model, hooks=True)
    features = model.forward_features(images)
    logits = model.forward_head(features)
    classifier = model.get_classifier()
    weight = classifier.weight.detach().flatten(1)
    if _channels_last(model):
        features = features.permute(0, 3, 1, 2)
    _check_linear(model, features, Linear(weight, classifier.bias), logits.flatten(1))

    def explain(pairs: Pairs) -> Tensor:
        return (weight[pairs.label].unsqueeze(1) @ pairs.take(features).flatten(2)).squeeze(1)

    return explain_pairs(resolve(targets, logits.flatten(1)), explain, tuple(features.shape[-2:]))


def not_psas_classifier(model: nn.Module) -> str | None:
    """Say why ``model`` is not PSA's ResNet38 classifier; None if it is."""
    return None if isinstance(model, ResNet38Classifier) else "it is not PSA's ResNet38 classifier"


@explainer("cam", needs=not_psas_classifier)
def cam_of_resnet38(model: ResNet38Classifier, images: Tensor, targets: Tensor | None) -> Tensor:
    """Return [B, K, h, w], signed: the 1x1 classifier, which has no bias, applied to the last feature map.

    Its mean is the logit. PSA cuts it at 0 before it adds up views (``fusion_options: {cut: true}``).

    Args:
        model: PSA's classifier.
        images: [B, 3, H, W].
        targets: int64 [B, K], or None for the predicted class.
    """
    model = evaluated(model, hooks=True)
    maps = model.fc8(model.taps(images).conv6)
    return of_classes(maps, resolve(targets, maps.mean((2, 3))))


def _check_linear(model: nn.Module, features: Tensor, head: Linear, logits: Tensor) -> None:
    if not _is_linear(features, head, logits):
        raise UserError(
            f"{_undefined(model)}: its logits are not its classifier applied to the average of its feature map. Use "
            "another method, or a network whose head has no hidden layers."
        )


def _is_linear(features: Tensor, head: Linear, logits: Tensor) -> bool:
    """Whether the logits [B, C] are the head applied to the average of the features [B, D, h, w], but for rounding.

    Half precision rounds what enters and leaves the head, which sums in float32 itself; so few of its steps are allowed
    that another pooling shows.
    """
    if features.ndim != 4 or features.shape[1] != head.weight.shape[1]:
        return False
    if not features.numel():
        return True
    precision = torch.finfo(features.dtype)
    steps = _STEPS_OF_HALF if precision.bits < 32 else _STEPS
    weight, bias = head.weight.float(), 0 if head.bias is None else head.bias.float()
    exact = features.float() if precision.bits < 32 else features
    from_pooled = head(features.mean((2, 3))) if precision.bits >= 32 else exact.mean((2, 3)) @ weight.T + bias
    offset = 0 if head.bias is None else head.bias.to(exact).abs()
    tolerance = steps * precision.eps * (exact.abs().mean((2, 3)) @ head.weight.to(exact).abs().T + offset).amax()
    return not ((from_pooled - logits).abs() > tolerance + precision.tiny).any()  # undefined images prove nothing
