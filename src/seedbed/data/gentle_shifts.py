"""Augmentations of the small networks' trainings, on images so small that crops would lose the objects."""

from typing import Any

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from seedbed.data.scaling import require
from seedbed.data.transforms import VOID, augmentation
from seedbed.errors import ParameterError


@augmentation("shift")
class RandomShift(v2.Transform):
    """Move the image by up to ``pixels`` each way; the border repeats, the mask's border is void."""

    def __init__(self, *, pixels: int) -> None:
        super().__init__()
        require(int(pixels) >= 0, "need 0 pixels or more")
        self.pixels = int(pixels)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        top, left = torch.randint(0, 2 * self.pixels + 1, (2,)).tolist()
        height, width = v2.functional.get_size(flat_inputs[0])
        return {"top": top, "left": left, "height": height, "width": width}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        mode = {"fill": VOID} if isinstance(inpt, tv_tensors.Mask) else {"padding_mode": "edge"}
        padded = v2.functional.pad(inpt, [self.pixels] * 4, **mode)
        return v2.functional.crop(padded, **params)


@augmentation("colour_shift")
class ColourShift(v2.Transform):
    """Multiply a normalised image by ``1 + N(0, gain)`` and add ``N(0, shift)`` to each channel.

    Args:
        strengths: gain and shift.
    """

    def __init__(self, *, strengths: tuple[float, float]) -> None:
        super().__init__()
        gain, shift = strengths
        require(gain >= 0 and shift >= 0, "need strengths of 0 or more")
        self.gain, self.shift = gain, shift

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"gain": 1 + self.gain * torch.randn(()), "shift": self.shift * torch.randn(3, 1, 1)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if isinstance(inpt, tv_tensors.Mask):
            return inpt
        if not inpt.is_floating_point():
            raise ParameterError("Augmentation step 'colour_shift' must come after 'normalize'.")
        return inpt * params["gain"] + params["shift"]
