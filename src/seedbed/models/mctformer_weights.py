"""Published weights that MCTformer starts from."""

from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.models.mctformer import MCTformer
from seedbed.models.weights.conversion import Converted, layout
from seedbed.models.weights.plain_deit import require_plain_deit, resize_positions


@layout("mctformer_deit")
def mctformer_deit(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """DeiT (timm's names) as MCTformer's starting point: class token and its position once per class, positions of
    the patches copied, or resized bicubically to another grid; the head starts afresh, as does MCTformer+'s unused
    table of positions.

    Raises:
        ParameterError: the model is no MCTformer.
        DataError: the tensors are not a plain, square, single-token ViT's.
    """
    if not isinstance(model, MCTformer):
        raise ParameterError(f"Layout 'mctformer_deit' fills an MCTformer, not a {type(model).__name__}.")
    require_plain_deit(tensors)
    converted = {name: tensor for name, tensor in tensors.items() if not name.startswith(("head.", "pos_embed"))}
    class_position, patch_positions = tensors["pos_embed"][:, :1], tensors["pos_embed"][:, 1:]
    converted["cls_token"] = tensors["cls_token"].repeat(1, model.num_classes, 1)
    converted |= model.position_tensors(
        class_position.repeat(1, model.num_classes, 1), resize_positions(patch_positions, model.side)
    )
    fresh = ("head",) if "pos_embed" in converted else ("head", "pos_embed")
    return Converted(converted, [name for name in tensors if name.startswith("head.")], fresh)
