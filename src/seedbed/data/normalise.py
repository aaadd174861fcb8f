"""Named normalisations of images: what networks were trained with."""

import torch
from torch import Tensor

from seedbed.errors import ParameterError, unknown_name

NORMALISATIONS = {
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}


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
