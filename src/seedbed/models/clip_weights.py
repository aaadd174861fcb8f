"""Published weights of CLIP's image tower."""

from torch import Tensor, nn

from seedbed.errors import DataError, ParameterError
from seedbed.models.clip import ClipTower
from seedbed.models.weights.conversion import Converted, layout
from seedbed.models.weights.names import renamed

OPENAI_NAMES = (
    (r"^class_embedding$", "cls_token"),
    (r"^positional_embedding$", "pos_embed"),
    (r"^proj$", "head.weight"),
    (r"^conv1\.", "patch_embed.proj."),
    (r"^ln_pre\.", "norm_pre."),
    (r"^ln_post\.", "norm."),
    (r"^transformer\.resblocks\.", "blocks."),
    (r"\.attn\.in_proj_", ".attn.qkv."),
    (r"\.attn\.out_proj\.", ".attn.proj."),
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
)


def clip_name(name: str) -> str:
    """timm's name of a tensor of OpenAI's image tower, ``visual.`` taken off: ``ln_pre.bias`` -> ``norm_pre.bias``."""
    return renamed(name, OPENAI_NAMES)


@layout("clip_openai")
def clip_openai(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """CLIP as OpenAI names its tensors; the text tower, if it is there, is left out.

    Raises:
        ParameterError: the model is no CLIP tower.
    """
    _require_tower(model, "clip_openai")
    whole = any(name.startswith("visual.") for name in tensors)
    left_out = [name for name in tensors if whole and not name.startswith("visual.")]
    named = {clip_name(n.removeprefix("visual.")): t.float() for n, t in tensors.items() if n not in left_out}
    shaped = {"cls_token": lambda t: t.reshape(1, 1, -1), "pos_embed": lambda t: t[None], "head.weight": lambda t: t.T}
    return Converted({name: shaped.get(name, lambda t: t)(t) for name, t in named.items()}, left_out)


@layout("clip_timm")
def clip_timm(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """CLIP's image tower as timm publishes it: its projection has a bias, which is 0 and left out.

    Raises:
        ParameterError: the model is no CLIP tower.
        DataError: that bias is not 0, so that this is another network.
    """
    _require_tower(model, "clip_timm")
    if "head.bias" in tensors and tensors["head.bias"].any():
        raise DataError("head.bias is not 0; the projection of CLIP's image tower has no bias. Take CLIP's weights.")
    kept = {name: tensor for name, tensor in tensors.items() if name != "head.bias"}
    return Converted(kept, [name for name in tensors if name not in kept])


def _require_tower(model: nn.Module, name: str) -> None:
    if not isinstance(model, ClipTower):
        raise ParameterError(f"Layout '{name}' fills a ClipTower, not a {type(model).__name__}.")
