"""Losses that divide by what they count, over as many images as one GPU had when a method was published."""

from collections.abc import Callable

import torch
from torch import Tensor


def mean_of_groups(function: Callable[..., Tensor], size: int | None, *tensors: Tensor) -> Tensor:
    """The mean of a loss over groups of images, computed without autocast.

    Args:
        function: loss of one group, of as many tensors, to a 0-d tensor.
        size: images of a group, the last of which may be smaller; None: the whole batch.
        *tensors: ``[B, ...]`` each.
    """
    with torch.autocast(tensors[0].device.type, enabled=False):
        groups = zip(*(tensor.split(size or len(tensor)) for tensor in tensors), strict=True)
        return torch.stack([function(*group) for group in groups]).mean()
