"""ResNets of timm's as backbones of dense networks: dilated to stride 8, batch norms kept as they were learned."""

from typing import Any, Self

import timm
from torch import Tensor, nn

from seedbed.errors import ParameterError


def dilated_resnet(architecture: str) -> Any:
    """A ResNet of timm's without a classifier, whose last two stages are dilated instead of strided.

    Raises:
        ParameterError: timm has no ResNet of that name.
    """
    try:
        backbone = timm.create_model(architecture, num_classes=0, global_pool="", output_stride=8)
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        raise ParameterError(f"architecture: '{architecture}' is no ResNet of timm's that can be dilated.") from error
    if not hasattr(backbone, "layer4"):
        raise ParameterError(f"architecture: '{architecture}' is no ResNet of timm's; resnet18, resnet50, ... are.")
    return backbone


def stages(backbone: Any, images: Tensor) -> list[Tensor]:
    """Outputs of the last three stages for normalised images [B, 3, H, W]: each [B, C_k, ceil(H / 8), ceil(W / 8)]."""
    x = backbone.maxpool(backbone.act1(backbone.bn1(backbone.conv1(images))))
    found = [backbone.layer2(backbone.layer1(x))]
    found.append(backbone.layer3(found[-1]))
    return [*found, backbone.layer4(found[-1])]


class FrozenNorms(nn.Module):
    """Base of networks whose backbone's batch norms stay in inference mode and are not trained."""

    _frozen: tuple[nn.Module, ...] = ()

    def freeze_norms(self, module: nn.Module) -> None:
        """Freeze every batch norm below a module."""
        self._frozen = tuple(one for one in module.modules() if isinstance(one, nn.BatchNorm2d))
        for norm in self._frozen:
            norm.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Switch modes; frozen norms stay in inference mode."""
        super().train(mode)
        for norm in self._frozen:
            norm.eval()
        return self
