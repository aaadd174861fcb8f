"""Published weights of AFA, and of the Mix Transformer that it starts from."""

import re

from timm.models.pvt_v2 import PyramidVisionTransformerV2
from torch import Tensor, nn

from seedbed.errors import DataError, ParameterError
from seedbed.models.afa import AFA
from seedbed.models.weights.conversion import Converted, layout
from seedbed.models.weights.names import renamed

HEAD = ("head.weight", "head.bias")
MIT_NAMES = (
    (r"^patch_embed1\.", "patch_embed."),
    (r"^patch_embed(\d)\.", lambda found: f"stages.{int(found[1]) - 1}.downsample."),
    (r"^block(\d)\.", lambda found: f"stages.{int(found[1]) - 1}.blocks."),
    (r"^norm(\d)\.", lambda found: f"stages.{int(found[1]) - 1}.norm."),
    (r"\.dwconv\.dwconv\.", ".dwconv."),
)
MMSEG_NAMES = (
    (r"^layers\.0\.0\.", "patch_embed."),
    (r"^layers\.(\d)\.0\.", r"stages.\1.downsample."),
    (r"^layers\.(\d)\.1\.", r"stages.\1.blocks."),
    (r"^layers\.(\d)\.2\.", r"stages.\1.norm."),
    (r"\.projection\.", ".proj."),
    (r"\.attn\.attn\.out_proj\.", ".attn.proj."),
    (r"\.ffn\.layers\.0\.", ".mlp.fc1."),
    (r"\.ffn\.layers\.1\.", ".mlp.dwconv."),
    (r"\.ffn\.layers\.4\.", ".mlp.fc2."),
)
DECODER_NAMES = (
    (r"^decoder\.linear_c(\d)\.proj\.", lambda found: f"decoder.levels.{int(found[1]) - 1}."),
    (r"^decoder\.linear_fuse\.conv\.", "decoder.fuse."),
    (r"^decoder\.linear_fuse\.bn\.", "decoder.norm."),
    (r"^decoder\.linear_pred\.", "decoder.predict."),
)


@layout("mit")
def mit(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """ImageNet weights of a Mix Transformer as SegFormer's authors name them (``mit_b1.pth``); their head is left out.

    Args:
        tensors: as published.
        model: AFA's encoder.

    Raises:
        ParameterError: the model is none.
    """
    _check(model, "mit")
    kept = {mit_name(name): tensor for name, tensor in tensors.items() if name not in HEAD}
    return Converted(kept, [name for name in HEAD if name in tensors])


@layout("mit_mmseg")
def mit_mmseg(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """The same weights as converted for OpenMMLab's toolbox: queries, keys and values are packed, linear layers are 1x1
    convolutions.

    Args:
        tensors: as published.
        model: AFA's encoder.

    Raises:
        ParameterError: the model is none.
        DataError: packed tensors are not of thirds.
    """
    _check(model, "mit_mmseg")
    kept = {}
    for name, tensor in tensors.items():
        start, packed, kind = name.partition("attn.attn.in_proj_")
        if packed:
            if len(tensor) % 3:
                raise DataError(f"{name}: queries, keys and values of {len(tensor)} rows are no thirds.")
            width = len(tensor) // 3
            parts = {"q": tensor[:width], "kv": tensor[width:]}
        else:
            parts = {"": tensor}
        for part, each in parts.items():
            ours = renamed(f"{start}attn.{part}.{kind}" if part else name, MMSEG_NAMES)
            kept[ours] = each.flatten(1) if re.search(r"\.fc[12]\.weight$", ours) else each
    return Converted(kept)


@layout("afa")
def afa(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """A published checkpoint of AFA, whole.

    Args:
        tensors, model: as any layout.

    Raises:
        ParameterError: the model is no AFA.
    """
    if not isinstance(model, AFA):
        raise ParameterError(f"Layout 'afa' fills an AFA, not a {type(model).__name__}.")
    found = {}
    for name, tensor in tensors.items():
        module, _, rest = name.partition(".")
        ours = f"encoder.{mit_name(rest)}" if module == "encoder" else renamed(name, DECODER_NAMES)
        found[ours] = tensor
    return Converted(found)


def mit_name(name: str) -> str:
    """Our name of a tensor of a Mix Transformer: ``block1.0.attn.q.weight`` is ``stages.0.blocks.0.attn.q.weight``."""
    return renamed(name, MIT_NAMES)


def _check(model: nn.Module, name: str) -> None:
    if not isinstance(model, PyramidVisionTransformerV2):
        raise ParameterError(f"Layout '{name}' fills AFA's encoder (into: encoder), not a {type(model).__name__}.")
