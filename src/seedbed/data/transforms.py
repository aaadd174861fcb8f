"""Augmentation by name: a list of steps from the parameters becomes one torchvision v2 transform.

A step is a one-entry mapping, ``{name: argument}``, such as ``{horizontal_flip: 0.5}``. Pictures and masks go through
the same random choices; masks are resized by nearest neighbour and padded with void.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

from seedbed.data.normalise import normalisation
from seedbed.data.scaling import RandomScale, ResizeLongSide, require
from seedbed.errors import ParameterError, unknown_name

VOID = 255


def build_transform(steps: Sequence[Mapping[str, Any]]) -> v2.Transform:
    """Return the transform that ``steps`` describe.

    Raises:
        ParameterError: a step is unknown, or its argument does not fit.
    """
    return v2.Compose([_build(step) for step in steps]) if steps else v2.Identity()


class PadToAndCrop(v2.Transform):
    """Random crop of a fixed size; a smaller picture is laid on zeros, its mask on ``mask_fill``.

    Args:
        size: side of the crop.
        mask_fill: label of the padding: void, or 0 where it was trained as background (MCTformer's segmentation).
        place: where a smaller picture lies: at ``random``, or in the top left ``corner``, as the published
            segmentation code pads.
    """

    def __init__(self, size: int, mask_fill: int = VOID, place: str = "random") -> None:
        super().__init__()
        require(int(size) > 0 and 0 <= int(mask_fill) <= VOID, "need a positive size and a fill of 0..255")
        require(place in ("random", "corner"), "place must be random or corner")
        self.size, self.mask_fill, self.place = int(size), int(mask_fill), place

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = v2.functional.get_size(flat_inputs[0])
        top, left = (int(torch.randint(0, abs(side - self.size) + 1, ())) for side in (height, width))
        laid = self.place == "random"
        pad_top, pad_left = (top if laid and height < self.size else 0), (left if laid and width < self.size else 0)
        pad = [pad_left, pad_top, max(0, self.size - width - pad_left), max(0, self.size - height - pad_top)]
        return {"pad": pad, "top": 0 if height < self.size else top, "left": 0 if width < self.size else left}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        fill = self.mask_fill if isinstance(inpt, tv_tensors.Mask) else 0
        if any(params["pad"]):
            inpt = v2.functional.pad(inpt, params["pad"], fill=fill)
        return v2.functional.crop(inpt, params["top"], params["left"], self.size, self.size)


class ColourShift(v2.Transform):
    """Multiply a normalised picture by ``1 + N(0, gain)`` and add ``N(0, shift)`` to each channel."""

    def __init__(self, gain: float, shift: float) -> None:
        super().__init__()
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


class RandomShift(v2.Transform):
    """Move the picture by up to ``pixels`` each way; the border repeats, the mask's border is void."""

    def __init__(self, pixels: int) -> None:
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


class HsvShift(v2.Transform):
    """Add up to ``strength`` to hue, saturation and value of an 8-bit picture, as OpenCV scales them (TransCAM).

    Hue in steps of 2 degrees, saturation and value of 255, each drawn uniformly from ``-strength..strength``.
    """

    def __init__(self, strength: int) -> None:
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


def _squash(size: Sequence[int] | int) -> v2.Transform:
    height, width = (size, size) if isinstance(size, int) else size
    return v2.Resize((height, width), interpolation=InterpolationMode.BILINEAR, antialias=True)


def _normalise(name: str) -> v2.Transform:
    mean, std = normalisation(name)
    return v2.Compose(
        [v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean.flatten().tolist(), std.flatten().tolist())]
    )


STEPS: dict[str, Callable[..., v2.Transform]] = {
    "resize": _squash,
    "resize_long_side": lambda bounds: ResizeLongSide(*bounds),
    "random_scale": lambda options: (
        RandomScale(*options["bounds"], **{key: value for key, value in options.items() if key != "bounds"})
        if isinstance(options, Mapping)
        else RandomScale(*options)
    ),
    "horizontal_flip": v2.RandomHorizontalFlip,
    "hsv_shift": HsvShift,
    "color_jitter": lambda strengths: v2.ColorJitter(*strengths),
    "random_resized_crop": lambda options: v2.RandomResizedCrop(
        options["size"], tuple(options.get("scale", (0.08, 1.0))), interpolation=InterpolationMode.BICUBIC
    ),
    "rand_augment": lambda options: v2.RandAugment(options["operations"], options["magnitude"]),
    "random_erasing": lambda probability: v2.RandomErasing(probability, value="random"),
    "crop": lambda options: (
        PadToAndCrop(options)
        if isinstance(options, int)
        else PadToAndCrop(options["size"], options["mask_fill"], options.get("place", "random"))
    ),
    "shift": lambda pixels: RandomShift(pixels),
    "normalize": _normalise,
    "colour_shift": lambda strengths: ColourShift(*strengths),
}


def _build(step: Mapping[str, Any]) -> v2.Transform:
    if len(step) != 1:
        raise ParameterError(f"An augmentation step has one name and one argument, not {dict(step)}.")
    ((name, argument),) = step.items()
    if name not in STEPS:
        raise ParameterError(unknown_name("augmentation step", name, STEPS))
    try:
        return STEPS[name](argument)
    except (TypeError, ValueError, KeyError) as error:
        raise ParameterError(f"Augmentation step '{name}': argument {argument!r} does not fit ({error}).") from None
