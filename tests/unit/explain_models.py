"""Small random models of every supported family, in float64, and what autograd and hooks see in them."""

import timm
import torch
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_hybrid import HybridEmbed
from torch import Tensor, nn

from seedbed.explain import methods, supports

BASE = {
    "img_size": 16,
    "patch_size": 4,
    "embed_dim": 24,
    "depth": 3,
    "num_heads": 3,
    "mlp_ratio": 2.0,
    "num_classes": 5,
}

# name -> (class, overrides, image height and width)
FAMILIES = {
    "class_token": (VisionTransformer, {}, (16, 16)),
    "rectangle": (VisionTransformer, {"img_size": (8, 20)}, (8, 20)),
    "layer_scale": (VisionTransformer, {"init_values": 0.5}, (16, 16)),
    "qk_norm": (VisionTransformer, {"qk_norm": True}, (16, 16)),
    "rms_norm": (VisionTransformer, {"qk_norm": True, "norm_layer": "rmsnorm"}, (16, 16)),
    "no_qkv_bias": (VisionTransformer, {"qkv_bias": False}, (16, 16)),
    "norm_pre": (VisionTransformer, {"pre_norm": True, "act_layer": "quick_gelu"}, (16, 16)),
    "no_final_norm": (VisionTransformer, {"final_norm": False, "act_layer": "relu"}, (16, 16)),
    "no_positions": (VisionTransformer, {"pos_embed": "none"}, (16, 16)),
    "registers": (VisionTransformer, {"reg_tokens": 2, "no_embed_class": True}, (16, 16)),
    "average": (VisionTransformer, {"global_pool": "avg"}, (16, 16)),
    "average_after_norm": (VisionTransformer, {"global_pool": "avg", "fc_norm": False, "reg_tokens": 1}, (16, 16)),
    "average_all": (VisionTransformer, {"global_pool": "avg", "pool_include_prefix": True}, (16, 16)),
    "no_class_token": (VisionTransformer, {"global_pool": "avg", "class_token": False}, (16, 16)),
    "dynamic_size": (VisionTransformer, {"dynamic_img_size": True}, (24, 12)),
    "dynamic_pad": (VisionTransformer, {"dynamic_img_size": True, "dynamic_img_pad": True}, (18, 13)),
    "distilled": (VisionTransformerDistilled, {}, (16, 16)),
    "hybrid": (VisionTransformer, {"embed_layer": "hybrid"}, (16, 16)),
}


class Stem(nn.Sequential):
    """A convolutional network whose batch norm would notice being left in training mode."""

    def __init__(self):
        super().__init__(nn.Conv2d(3, 6, 3, stride=4, padding=1), nn.BatchNorm2d(6), nn.ReLU())


def build(family: str, seed: int = 0, **overrides) -> nn.Module:
    """Return the family's model with every parameter random: no bias, token or LayerScale is zero."""
    kind, options, _ = FAMILIES[family]
    options = {**BASE, **options, **overrides}
    if options.get("embed_layer") == "hybrid":
        options["embed_layer"] = hybrid_embed
        options["patch_size"] = 1
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)  # for what the constructor draws
        model = kind(**options).double()
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            scale = 0.6 / parameter.shape[-1] ** 0.5 if parameter.ndim == 2 else 0.3
            parameter.add_(noise * scale) if parameter.ndim == 1 else parameter.copy_(noise * scale * 2)
    return model.eval()


def hybrid_embed(**kwargs) -> HybridEmbed:
    return HybridEmbed(Stem(), **kwargs)


def images_for(family: str, count: int = 2, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, *FAMILIES[family][2], generator=generator, dtype=torch.float64)


def prefix_tokens(model: nn.Module) -> int:
    return model.num_prefix_tokens


def read_row(model: nn.Module, length: int) -> Tensor:
    """Return the weight [T] of each token in what the classifier reads, from the definition of each pooling."""
    weights = torch.zeros(length, dtype=torch.float64)
    if isinstance(model, VisionTransformerDistilled):
        weights[:2] = 0.5
    elif model.global_pool == "token":
        weights[0] = 1.0
    else:
        first = 0 if model.pool_include_prefix else model.num_prefix_tokens
        weights[first:] = 1.0 / (length - first)
    return weights


class Watched:
    """timm's own forward pass with its attention matrices in the autograd graph, by hooks (the reference way)."""

    def __init__(self, model: nn.Module, images: Tensor, detach_attention_branch: bool = False):
        handles, self.attention = [], []
        for block in model.blocks:
            block.attn.fused_attn = False
            handles.append(block.attn.attn_drop.register_forward_hook(self._keep))
            if detach_attention_branch:
                handles.append(
                    block.norm1.register_forward_hook(lambda _, __, output: output.detach().requires_grad_())
                )
        self.logits = model(images)
        for handle in handles:
            handle.remove()

    def _keep(self, _module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        self.attention.append(output)

    def gradients(self, label: int) -> list[Tensor]:
        return list(torch.autograd.grad(self.logits[0, label], self.attention, retain_graph=True))


def tiny_cnn(name: str = "resnet10t") -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=4).double().eval()


def methods_for_any_vit() -> list[str]:
    """Names of the methods that explain a plain timm Vision Transformer; the others belong to networks of our own."""
    model = build("class_token")
    return [method.name for method in methods() if supports(model, method.name)]
