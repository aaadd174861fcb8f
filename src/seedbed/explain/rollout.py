"""Maps from the attention alone: raw attention and attention rollout (Abnar and Zuidema 2020). They know no classes."""

from typing import Literal

from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.explain.forward import attention_only, last_of
from seedbed.explain.method_registry import explainer
from seedbed.explain.support import unreadable
from seedbed.explain.vit import ViT

_FUSIONS = {
    "mean": lambda attention: attention.mean(1),
    "max": lambda attention: attention.amax(1),
    "min": lambda attention: attention.amin(1),
}


@explainer(
    "raw_attention",
    needs=unreadable,
    class_specific=False,
    description="Attention of the class token in the last block, mean over heads",
)
def raw_attention(model: nn.Module, images: Tensor) -> Tensor:
    """Return [B, h, w]: the last block's attention, mean over heads, in the row the classifier reads.

    Without a class token that row is the mean over the pooled tokens' rows; with a distillation token, the mean of
    both.
    """
    vit = ViT(model)
    tokens, grid = vit.embed(images)
    attention = last_of(attention_only(vit, tokens))
    row = vit.readout().row_weights(tokens.shape[1], tokens)
    return (row @ attention.mean(1))[:, vit.prefix :].unflatten(1, grid)


@explainer(
    "rollout",
    needs=unreadable,
    class_specific=False,
    description="Attention rollout: product over blocks of head-averaged attention plus identity",
)
def rollout(
    model: nn.Module,
    images: Tensor,
    *,
    start_layer: int = 0,
    fusion: Literal["mean", "max", "min"] = "mean",
    discard_ratio: float = 0.0,
    normalisation: Literal["rows", "agcam"] = "rows",
) -> Tensor:
    """Return [B, h, w]: the readout's row of B_L ... B_(start+1), with B = (fused attention + I) normalised.

    The row-vector is multiplied from the last block down, so no T x T products are formed.

    Args:
        model: a timm Vision Transformer.
        images: [B, channels, H, W].
        start_layer: blocks before this index are left out; negative counts from the end. The CVPR 2021 evaluation
            scripts use 1, its notebooks and the AGCAM comparison 0.
        fusion: ``mean``, ``max`` or ``min`` over heads.
        discard_ratio: the share, in [0, 1), of each image's smallest fused entries that are set to zero; the class
            token's attention to itself is spared.
        normalisation: ``rows`` divides each row by its sum; ``agcam`` divides entry (i, j) by the sum of row j, as the
            AGCAM paper's code does. They differ unless all rows sum alike (mean fusion, nothing discarded).

    Raises:
        ParameterError: an option out of range.
    """
    if fusion not in _FUSIONS:
        raise ParameterError(f"fusion must be one of {', '.join(_FUSIONS)}, not '{fusion}'.")
    if normalisation not in ("rows", "agcam"):
        raise ParameterError(f"normalisation must be 'rows' or 'agcam', not '{normalisation}'.")
    if not 0 <= discard_ratio < 1:
        raise ParameterError(f"discard_ratio must lie in [0, 1), not {discard_ratio}.")
    vit = ViT(model)
    start = first_layer(start_layer, len(vit))
    tokens, grid = vit.embed(images)
    fused = [
        _discard(_FUSIONS[fusion](attention), discard_ratio)
        for index, attention in enumerate(attention_only(vit, tokens))
        if index >= start
    ]
    length = tokens.shape[1]
    row = vit.readout().row_weights(length, tokens).expand(len(images), 1, length)
    for matrix in reversed(fused):
        row = _step(row, matrix, normalisation)
    return row[:, 0, vit.prefix :].unflatten(1, grid)


def first_layer(start_layer: int, depth: int) -> int:
    """Return ``start_layer`` as an index of ``depth`` blocks, negative ones counted from the end."""
    if not -depth <= start_layer < depth:
        raise ParameterError(f"start_layer must lie in [{-depth}, {depth - 1}] for {depth} blocks, not {start_layer}.")
    return start_layer % depth


def _discard(fused: Tensor, ratio: float) -> Tensor:
    """Set the floor(T * T * ratio) smallest entries of each [T, T] matrix to zero, never entry (0, 0)."""
    flat = fused.flatten(1)
    count = int(flat.shape[1] * ratio)
    if count == 0:
        return fused
    smallest = flat.topk(count, largest=False).indices
    kept = flat.scatter(1, smallest, 0.0)
    kept[:, 0] = flat[:, 0]
    return kept.view_as(fused)


def _step(row: Tensor, fused: Tensor, normalisation: str) -> Tensor:
    """Multiply row vectors [B, 1, T] by the normalised (fused + I), without forming it."""
    sums = fused.sum(2).unsqueeze(1) + 1.0  # [B, 1, T], the row sums of fused + I
    if normalisation == "rows":
        row = row / sums
        return row @ fused + row
    return (row @ fused + row) / sums
