"""Published weights that MCTformer starts from."""

from collections.abc import Sequence

from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.models.mctformer import MCTformer
from seedbed.models.weights.conversion import Converted, layout
from seedbed.models.weights.plain_deit import plain_deit, resize_positions


@layout("mctformer_deit")
def mctformer_deit(tensors: dict[str, Tensor], model: nn.Module, *, grid: Sequence[int] | None = None) -> Converted:
    """DeiT (timm's names), distilled or not, as MCTformer's starting point: class token and its position once per
    class, positions of the patches copied, or resized bicubically to another grid; the head starts afresh, as does
    MCTformer+'s unused table of positions.

    Args:
        tensors, model: as any layout.
        grid: rows and columns of the source's patches, if they form no square.

    Raises:
        ParameterError: the model is no MCTformer.
        DataError: the tensors are not a DeiT's, or it is not known how its patches lie.
    """
    if not isinstance(model, MCTformer):
        raise ParameterError(f"Layout 'mctformer_deit' fills an MCTformer, not a {type(model).__name__}.")
    deit, classes = plain_deit(tensors), model.num_classes
    converted = deit.tensors | {"cls_token": deit.tensors["cls_token"].repeat(1, classes, 1)}
    converted |= model.position_tensors(
        deit.class_position.repeat(1, classes, 1), resize_positions(deit.patch_positions, model.side, grid)
    )
    fresh = ("head",) if "pos_embed" in converted else ("head", "pos_embed")
    return Converted(converted, deit.left_out, fresh)
