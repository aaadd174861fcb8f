"""ResNets of timm's as backbones of dense networks: dilated to stride 8."""

from typing import Any

import timm

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
