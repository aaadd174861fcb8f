"""ResNets of timm's as backbones at stride 16 without dilation, as IRN's code has them."""

from typing import Any

import timm
from torch import nn

from seedbed.errors import ParameterError


def resnet_stride16(architecture: str, **options: Any) -> Any:
    """A ResNet of timm's without a classifier, whose last stage keeps the stride of the one before, undilated.

    Args:
        architecture: name of timm's.
        options: what timm's ``create_model`` takes: numbers of blocks and channels.

    Raises:
        ParameterError: timm has no ResNet of that name, or with such options.
    """
    try:
        backbone: Any = timm.create_model(architecture, num_classes=0, global_pool="", **options)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ParameterError(f"architecture: '{architecture}' is no ResNet of timm's with these options.") from error
    if not hasattr(backbone, "layer4"):
        raise ParameterError(f"architecture: '{architecture}' is no ResNet of timm's; resnet18, resnet50, ... are.")
    for module in backbone.layer4.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
    return backbone
