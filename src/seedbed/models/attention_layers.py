"""Choosing among the attention that a transformer's layers leave behind."""

from collections.abc import Sequence

from torch import Tensor

from seedbed.errors import ParameterError


def layer_indices(layers: Sequence[int] | str | None, depth: int) -> list[int]:
    """The chosen layers of ``depth`` as ascending indices from 0.

    Args:
        layers: indices, negative ones counted from the end; ``"all"`` or None: every layer.
        depth: how many there are.

    Raises:
        ParameterError: it is no list of whole numbers, a layer does not exist or comes twice, or none is chosen.
    """
    if layers is None or layers == "all":
        return list(range(depth))
    if isinstance(layers, str) or not all(isinstance(layer, int) and -depth <= layer < depth for layer in layers):
        raise ParameterError(
            f"layers={layers!r}: choose 'all' or a list of numbers from 0 to {depth - 1} (-1 is the last)."
        )
    chosen = sorted({layer % depth for layer in layers})
    if not chosen or len(chosen) != len(layers):
        raise ParameterError(f"layers={layers!r} must name at least one layer of {depth}, and none twice.")
    return chosen


def patch_part(matrices: Sequence[Tensor], patches: int) -> list[Tensor]:
    """Cut the patch-to-patch block [..., N, N] out of each layer's [..., T, T], patches being the last tokens.

    No copies; rows are left as they are, so rows of attention sum to less than 1.
    """
    return [matrix[..., -patches:, -patches:] for matrix in matrices]
