"""ResNets of timm's as backbones of dense networks: dilated to stride 8, or undilated at stride 16."""

from typing import Any

import timm
from torch import Tensor, nn

from seedbed.errors import ParameterError


def timm_resnet(architecture: str, **options: Any) -> Any:
    """A ResNet of timm's.

    Args:
        architecture: its name.
        options: what timm's ``create_model`` takes.

    Raises:
        ParameterError: timm has no ResNet of that name, or none with such options.
    """
    try:
        network = timm.create_model(architecture, **options)
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        raise ParameterError(
            f"architecture: '{architecture}' is no ResNet of timm's with {options} ({error})."
        ) from error
    if not isinstance(network, timm.models.ResNet):
        raise ParameterError(f"architecture: '{architecture}' is no ResNet of timm's; resnet18, resnet50, ... are.")
    return network


def dilated_resnet(architecture: str) -> Any:
    """A ResNet of timm's without a classifier, whose last two stages are dilated instead of strided.

    Raises:
        ParameterError: timm has no ResNet of that name.
    """
    return timm_resnet(architecture, num_classes=0, global_pool="", output_stride=8)


def undilated_resnet(architecture: str, **options: Any) -> Any:
    """A ResNet of timm's without a classifier, whose last stage keeps the stride of the one before, 16, undilated.

    So IRN's code has it, and what is built on that.

    Args:
        architecture: name of timm's.
        options: what else timm's ``create_model`` takes: numbers of blocks and channels.

    Raises:
        ParameterError: timm has no ResNet of that name, or none with such options.
    """
    network = timm_resnet(architecture, num_classes=0, global_pool="", **options)
    for module in network.layer4.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
    return network


def resnet_stages(network: Any, images: Tensor) -> list[Tensor]:
    """The pooled stem's output and the four stages', of normalised images [B, 3, H, W]."""
    found = [network.maxpool(network.act1(network.bn1(network.conv1(images))))]
    for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
        found.append(layer(found[-1]))
    return found
