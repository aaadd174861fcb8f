"""Which timm Vision Transformers can be explained, and why others cannot.

A step that is not known exactly would be explained wrongly without a sign; so anything unknown is refused by name.
"""

from typing import Any

from timm.layers import GELU, Attention, GELUTanh, LayerScale, Mlp, QuickGELU, RmsNorm, Swish
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn

_ACTIVATIONS = (nn.GELU, GELU, GELUTanh, QuickGELU, nn.ReLU, nn.SiLU, Swish)
_OWN_STEPS = ("forward", "forward_features", "forward_head", "pool", "_pos_embed")


def not_a_vit(model: nn.Module) -> str | None:
    """Say why ``model`` is not a timm Vision Transformer with a linear head; None if it is one."""
    if not isinstance(model, VisionTransformer):
        return "it is not a timm VisionTransformer"
    known = VisionTransformerDistilled if isinstance(model, VisionTransformerDistilled) else VisionTransformer
    changed = [name for name in _OWN_STEPS if getattr(type(model), name) is not getattr(known, name)]
    if changed:
        return f"its class overrides {', '.join(changed)}"
    if getattr(model, "attn_pool", None) is not None or model.global_pool not in ("token", "avg"):
        return f"its pooling is '{model.global_pool}'; 'token' and 'avg' are understood"
    heads = [model.head, model.head_dist] if isinstance(model, VisionTransformerDistilled) else [model.head]
    odd = next((head for head in heads if not _is_linear(head)), None)
    if odd is not None:
        return f"it has no linear classification head but {type(odd).__name__}"
    return _odd_norms(model, ("norm", "fc_norm"))


def unreadable(model: Any) -> str | None:
    """Say why ``model`` is not a Vision Transformer whose every step is understood; None if it is one."""
    reason = not_a_vit(model) or _odd_norms(model, ("norm_pre",))
    if reason:
        return reason
    if len(model.blocks) == 0:
        return "it has no blocks"
    for index, block in enumerate(model.blocks):
        reason = _unreadable_block(block)
        if reason:
            return f"block {index}: {reason}"
    return None


def _unreadable_block(block: nn.Module) -> str | None:
    if type(block) is not Block:
        return f"its type is {type(block).__name__}; timm's pre-norm Block is understood"
    attention, mlp = block.attn, block.mlp
    if isinstance(block.norm1, nn.Identity) or isinstance(block.norm2, nn.Identity):
        return "it has no norm1 or no norm2"
    if type(attention) is not Attention:
        return f"its attention is {type(attention).__name__}; timm's Attention is understood"
    if not isinstance(attention.norm, nn.Identity) or getattr(attention, "gate", None) is not None:
        return "its attention output is normalised or gated before the projection"
    if type(mlp) is not Mlp or not isinstance(mlp.norm, nn.Identity):
        return f"its MLP is not timm's plain two-layer Mlp ({type(mlp).__name__})"
    for name, layer in {"qkv": attention.qkv, "proj": attention.proj, "fc1": mlp.fc1, "fc2": mlp.fc2}.items():
        if not _is_linear(layer):
            return f"{name} is {type(layer).__name__}, not a plain linear layer"
    if type(mlp.act) not in _ACTIVATIONS:
        return f"its activation {type(mlp.act).__name__} is not known to act on each element alone"
    if any(type(scale) not in (nn.Identity, LayerScale) for scale in (block.ls1, block.ls2)):
        return "its LayerScale is not timm's"
    return _odd_norms(block, ("norm1", "norm2")) or _odd_norms(attention, ("q_norm", "k_norm"))


def _odd_norms(owner: nn.Module, names: tuple[str, ...]) -> str | None:
    for name in names:
        norm = getattr(owner, name)
        if not isinstance(norm, nn.LayerNorm | RmsNorm | nn.RMSNorm | nn.Identity):
            return f"{name} is {type(norm).__name__}; LayerNorm and RmsNorm are understood"
        if not isinstance(norm, nn.Identity) and len(norm.normalized_shape) != 1:
            return f"{name} normalises over several axes"
    return None


def _is_linear(layer: nn.Module) -> bool:
    """Whether a layer computes what nn.Linear does; reparametrised weights are fine, adapters are not."""
    return isinstance(layer, nn.Linear) and type(layer).forward is nn.Linear.forward
