"""Published weights of VGG-16, for every network on it."""

import re

from torch import Tensor, nn

from seedbed.errors import DataError
from seedbed.models.vgg16 import DEPTHS, LEVELS, WIDTHS
from seedbed.models.weights.conversion import Converted, layout, new_layers

_FULLY_CONNECTED = {"pre_logits.fc1": "fc6", "pre_logits.fc2": "fc7"}


@layout("vgg16_timm")
def vgg16_timm(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """ImageNet weights of timm's ``vgg16`` for any network on our `VGG16`; the new layers start afresh.

    The fully connected layers of 4096 channels start ours of 1024 by decimation (Chen et al. 2015): every
    fourth channel, and of fc6's 7x7 places each third one, which leaves 3x3.

    Raises:
        DataError: a tensor is none of VGG-16's.
    """
    renamed, dropped = {}, []
    for name, tensor in tensors.items():
        if name.startswith("head."):
            dropped.append(name)
            continue
        layer, _, kind = name.rpartition(".")
        if layer in _FULLY_CONNECTED:
            renamed[f"{_FULLY_CONNECTED[layer]}.0.{kind}"] = _decimated(tensor)
        else:
            renamed[f"{_stage(layer)}.0.{kind}"] = tensor
    return Converted(renamed, dropped, new_layers(model))


@layout("vgg16_backbone")
def vgg16_backbone(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """The VGG-16 inside another of our networks; heads are left out, new layers start afresh."""
    kept = {name: tensor for name, tensor in tensors.items() if name.partition(".")[0] in LEVELS}
    return Converted(kept, [name for name in tensors if name not in kept], new_layers(model))


def _decimated(tensor: Tensor) -> Tensor:
    """Of a fully connected layer's weight [4096, C, k, k] or bias [4096] a quarter of the channels and 3x3 places."""
    step = 4096 // WIDTHS[-1]
    kept = tensor[::step]
    if tensor.ndim == 1:
        return kept
    return kept[:, :, ::3, ::3] if tensor.shape[-1] > 1 else kept[:, ::step]


def _stage(layer: str) -> str:
    """Our name of a convolution: ``features.2`` of timm's is the second one of the first stage, ``conv1.1``.

    Raises:
        DataError: there is none of that number.
    """
    place, number = 0, re.fullmatch(r"features\.(\d+)", layer)
    for level, depth in zip(LEVELS, DEPTHS, strict=False):
        for index in range(depth):
            if number and int(number[1]) == place:
                return f"{level}.{index}"
            place += 2  # the convolution and its ReLU
        place += 1  # the pool
    raise DataError(f"'{layer}' is not the name of a layer of timm's vgg16.")
