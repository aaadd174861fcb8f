"""Named normalisations of images: what networks were trained with."""

import torch
from torch import Tensor

from seedbed.data.normalisations import NORMALISATIONS
from seedbed.errors import ParameterError, unknown_name


def normalisation(name: str) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [3, 1, 1] of a named normalisation of images in 0..1."""
    if name not in NORMALISATIONS:
        raise ParameterError(unknown_name("normalisation", name, NORMALISATIONS))
    mean, std = NORMALISATIONS[name]
    return torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)


def normalise(images: Tensor, name: str) -> Tensor:
    """Turn uint8 images [..., 3, H, W] into normalised float32."""
    mean, std = normalisation(name)
    return (images.float() / 255 - mean.to(images.device)) / std.to(images.device)
