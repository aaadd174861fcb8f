"""Augmentation of WeakTr's segmentation network: that of Segmenter, whose steps are mmsegmentation's."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from seedbed.data.hsv_shift import hsv_to_rgb, rgb_to_hsv
from seedbed.data.scaling import cv2_nearest, require
from seedbed.data.transforms import VOID, augmentation
from seedbed.errors import ParameterError


@augmentation("resize_short_side")
class ResizeShortSide(v2.Transform):
    """Resize so that the shorter side is ``side`` times a factor drawn uniformly from ``bounds``.

    An 8-bit image bilinearly, without antialiasing, as OpenCV does; masks by OpenCV's nearest neighbour.
    """

    def __init__(self, *, side: int, bounds: tuple[float, float] = (1.0, 1.0)) -> None:
        super().__init__()
        low, high = bounds
        require(int(side) > 0 and 0 < low <= high, "need a positive side and 0 < low <= high")
        self.side, self.low, self.high = int(side), low, high

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        sides = v2.functional.get_size(flat_inputs[0])
        factor = self.side * (self.low + (self.high - self.low) * torch.rand(()).item()) / min(sides)
        return {"size": [max(1, int(length * factor + 0.5)) for length in sides]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        plain = inpt.as_subclass(Tensor)
        if isinstance(inpt, tv_tensors.Mask):
            return tv_tensors.wrap(cv2_nearest(plain, params["size"]), like=inpt)
        scaled = F.interpolate(plain[None].float(), size=params["size"], mode="bilinear", align_corners=False)[0]
        rounded = scaled if plain.is_floating_point() else scaled.round().clamp(0, 255).to(plain.dtype)
        return tv_tensors.wrap(rounded, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else rounded


@augmentation("balanced_crop")
class BalancedCrop(v2.Transform):
    """Random crop in which no label covers too much, as far as a few tries find one; the last try is taken otherwise.

    A smaller image lies in the top left corner, on zeros, its mask on void.

    Args:
        size: side of the crop.
        most: share that one label may have of the pixels that are not void; a crop of one label alone does not do.
        tries: how often another crop is drawn.
    """

    def __init__(self, *, size: int, most: float = 0.75, tries: int = 10) -> None:
        super().__init__()
        require(int(size) > 0 and 0 < most <= 1 and int(tries) >= 0, "need a positive size, most in 0..1, tries >= 0")
        self.size, self.most, self.tries = int(size), most, int(tries)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        sides = v2.functional.get_size(flat_inputs[0])
        mask = next((part for part in flat_inputs if isinstance(part, tv_tensors.Mask)), None)
        place = self._draw(sides)
        for _ in range(self.tries if mask is not None and self.most < 1 else 0):
            if self._balanced(mask, place):
                break
            place = self._draw(sides)
        return {"place": place, "pad": [0, 0, *(max(0, self.size - length) for length in reversed(sides))]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if any(params["pad"]):
            inpt = v2.functional.pad(inpt, params["pad"], fill=VOID if isinstance(inpt, tv_tensors.Mask) else 0)
        return v2.functional.crop(inpt, *params["place"], self.size, self.size)

    def _draw(self, sides: list[int]) -> tuple[int, int]:
        top, left = (int(torch.randint(0, max(0, length - self.size) + 1, ())) for length in sides)
        return top, left

    def _balanced(self, mask: Any, place: tuple[int, int]) -> bool:
        top, left = place
        labels = mask.as_subclass(Tensor)[..., top : top + self.size, left : left + self.size]
        counts = labels.flatten().bincount(minlength=VOID + 1)[:VOID]
        return int((counts > 0).sum()) > 1 and bool(counts.max() < self.most * counts.sum())


@augmentation("photometric_distortion")
class PhotometricDistortion(v2.Transform):
    """Brightness, contrast, saturation and hue of an 8-bit image, each changed or not with equal chance.

    Contrast comes before the colours or after them, with equal chance too.

    Args:
        brightness: largest shift in grey levels.
        contrast, saturation: (lowest, highest) factor.
        hue: largest shift in degrees.
    """

    def __init__(
        self,
        *,
        brightness: float = 32.0,
        contrast: tuple[float, float] = (0.5, 1.5),
        saturation: tuple[float, float] = (0.5, 1.5),
        hue: float = 36.0,
    ) -> None:
        super().__init__()
        require(brightness >= 0 and hue >= 0, "need a brightness and a hue of 0 or more")
        require(
            0 < contrast[0] <= contrast[1] and 0 < saturation[0] <= saturation[1], "need factors above 0, ascending"
        )
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        drawn, (shifted, contrasted, saturated, turned, early) = torch.rand(4).tolist(), (torch.rand(5) < 0.5).tolist()
        factors = [
            low + (high - low) * u for (low, high), u in zip((self.contrast, self.saturation), drawn, strict=False)
        ]
        return {
            "shift": self.brightness * (2 * drawn[2] - 1) if shifted else 0.0,
            "contrast": factors[0] if contrasted else 1.0,
            "saturation": factors[1] if saturated else 1.0,
            "hue": self.hue * (2 * drawn[3] - 1) / 360 if turned else 0.0,
            "early": early,
        }

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if isinstance(inpt, tv_tensors.Mask):
            return inpt
        if inpt.dtype != torch.uint8:
            raise ParameterError("Augmentation step 'photometric_distortion' must come before 'normalize'.")
        before, after = (params["contrast"], 1.0) if params["early"] else (1.0, params["contrast"])
        shifted = (inpt.as_subclass(Tensor).float() + params["shift"]).clamp(0, 255)
        hue, saturation, value = rgb_to_hsv((shifted * before).clamp(0, 255) / 255)
        coloured = torch.stack([(hue + params["hue"]) % 1, (saturation * params["saturation"]).clamp(0, 1), value])
        changed = (hsv_to_rgb(coloured) * 255 * after).round().clamp(0, 255).to(torch.uint8)
        return tv_tensors.wrap(changed, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else changed
