"""Augmentation of hue, saturation and value (TransCAM)."""

from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from seedbed.data.scaling import require
from seedbed.data.transforms import augmentation
from seedbed.errors import ParameterError


@augmentation("hsv_shift")
class HsvShift(v2.Transform):
    """Add up to ``strength`` to hue, saturation and value of an 8-bit image, as OpenCV scales them (TransCAM).

    Hue in steps of 2 degrees, saturation and value of 255, each drawn uniformly from ``-strength..strength``.
    """

    def __init__(self, *, strength: int) -> None:
        super().__init__()
        require(strength >= 0, "need a strength of 0 or more")
        self.strength = strength

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        hue, saturation, value = ((2 * torch.rand(3) - 1) * self.strength).tolist()
        return {"hue": hue * 2 / 360, "saturation": saturation / 255, "value": value / 255}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if isinstance(inpt, tv_tensors.Mask):
            return inpt
        if inpt.dtype != torch.uint8:
            raise ParameterError("Augmentation step 'hsv_shift' must come before 'normalize'.")
        hsv = rgb_to_hsv(inpt.float() / 255)
        hue = (hsv[0] + params["hue"]) % 1
        rest = (hsv[1:] + torch.tensor([params["saturation"], params["value"]]).view(2, 1, 1)).clamp(0, 1)
        rgb = hsv_to_rgb(torch.cat([hue[None], rest]))
        return tv_tensors.wrap((rgb * 255).round().clamp(0, 255).to(torch.uint8), like=inpt)


def rgb_to_hsv(rgb: Tensor) -> Tensor:
    """RGB [3, H, W] in 0..1 to hue (0..1), saturation, value."""
    value, low = rgb.amax(0), rgb.amin(0)
    span = value - low
    safe = torch.where(span > 0, span, 1.0)
    red, green, blue = rgb
    hue = torch.where(value == red, (green - blue) / safe % 6, (red - green) / safe + 4)
    hue = torch.where((value == green) & (value != red), (blue - red) / safe + 2, hue)
    hue = torch.where(span > 0, hue / 6, 0.0)
    return torch.stack([hue, torch.where(value > 0, span / value.clamp(min=1e-12), 0.0), value])


def hsv_to_rgb(hsv: Tensor) -> Tensor:
    """Hue (0..1), saturation, value [3, H, W] to RGB in 0..1."""
    hue, saturation, value = hsv
    k = (torch.tensor([5.0, 3.0, 1.0]).view(3, 1, 1) + hue * 6) % 6
    return value - value * saturation * torch.minimum(k, 4 - k).clamp(0, 1)
