"""Augmentation by name: a list of steps from the parameters becomes one torchvision v2 transform.

A step is a one-entry mapping, ``{name: argument}``, such as ``{horizontal_flip: 0.5}``, or by the names of its options,
``{crop: {size: 321, mask_fill: 0}}``; what is no mapping is the first option's value. Images and masks go through the
same random choices; masks are resized by nearest neighbour and padded with void.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

from seedbed.data.normalise import normalisation
from seedbed.data.scaling import RandomScale, ResizeLongSide, require
from seedbed.errors import ParameterError
from seedbed.io.catalogue import Catalogue

VOID = 255
INPUT = "input"
"""Argument of the step ``normalize`` that stands for what the network's input is normalised with."""
STEPS: Catalogue[Callable[[Any], v2.Transform]] = Catalogue("augmentation step", "seedbed.data", "augmentation")


def build_transform(steps: Sequence[Mapping[str, Any]], normalize: str | None = None) -> v2.Transform:
    """Return the transform that ``steps`` describe.

    Args:
        steps: one-entry mappings.
        normalize: what the network's input is normalised with; the step ``{normalize: input}`` does so.

    Raises:
        ParameterError: a step is unknown, or its argument does not fit.
    """
    if normalize is None and {"normalize": INPUT} in [dict(step) for step in steps]:
        raise ParameterError("Augmentation step 'normalize': 'input' needs a network, whose input it is.")
    known = [{"normalize": normalize} if dict(step) == {"normalize": INPUT} else step for step in steps]
    return v2.Compose([_build(step) for step in known]) if known else v2.Identity()


def augmentation(name: str) -> Callable[[Callable], Callable]:
    """Register the decorated class or function as a step of that name; its options are its keyword-only arguments."""

    def register(build: Callable[..., v2.Transform]) -> Callable[..., v2.Transform]:
        first = next(iter(inspect.signature(build).parameters))
        STEPS.enter(name, lambda given: build(**(given if isinstance(given, Mapping) else {first: given})))
        return build

    return register


class PadToAndCrop(v2.Transform):
    """Random crop of a fixed size; a smaller image is laid on zeros, its mask on ``mask_fill``.

    Args:
        size: side of the crop.
        mask_fill: label of the padding: void, or 0 where it was trained as background (MCTformer's segmentation).
        place: where a smaller image lies: at ``random``, or in the top left ``corner``, as the published
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


@augmentation("resize")
def _squash(*, size: int | tuple[int, int]) -> v2.Transform:
    height, width = (size, size) if isinstance(size, int) else size
    return v2.Resize((height, width), interpolation=InterpolationMode.BILINEAR, antialias=True)


@augmentation("resize_long_side")
def _resize_long_side(*, bounds: tuple[int, int]) -> v2.Transform:
    low, high = bounds
    return ResizeLongSide(low, high)


@augmentation("random_scale")
def _random_scale(
    *,
    bounds: tuple[float, float],
    filter: Literal["pil", "cv2_linear", "cv2_cubic"] = "pil",
    rounding: Literal["nearest", "down"] = "nearest",
    per_batch: bool = False,
) -> v2.Transform:
    low, high = bounds
    return RandomScale(low, high, filter, rounding, per_batch)


@augmentation("crop")
def _crop(*, size: int, mask_fill: int = VOID, place: Literal["random", "corner"] = "random") -> v2.Transform:
    return PadToAndCrop(size, mask_fill, place)


@augmentation("random_resized_crop")
def _random_resized_crop(*, size: int, scale: tuple[float, float] = (0.08, 1.0)) -> v2.Transform:
    return v2.RandomResizedCrop(size, tuple(scale), interpolation=InterpolationMode.BICUBIC)


@augmentation("horizontal_flip")
def _horizontal_flip(*, probability: float) -> v2.Transform:
    return v2.RandomHorizontalFlip(probability)


@augmentation("color_jitter")
def _color_jitter(*, strengths: tuple[float, float, float, float]) -> v2.Transform:
    """Strengths of brightness, contrast, saturation and hue."""
    return v2.ColorJitter(*strengths)


@augmentation("rand_augment")
def _rand_augment(*, operations: int, magnitude: int) -> v2.Transform:
    return v2.RandAugment(operations, magnitude)


@augmentation("random_erasing")
def _random_erasing(*, probability: float) -> v2.Transform:
    return v2.RandomErasing(probability, value="random")


@augmentation("normalize")
def _normalise(*, name: Literal["input", "half", "imagenet", "clip"]) -> v2.Transform:
    mean, std = normalisation(name)
    return v2.Compose(
        [v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean.flatten().tolist(), std.flatten().tolist())]
    )


def _build(step: Mapping[str, Any]) -> v2.Transform:
    if len(step) != 1:
        raise ParameterError(f"An augmentation step has one name and one argument, not {dict(step)}.")
    ((name, argument),) = step.items()
    build = STEPS.find(name)
    try:
        return build(argument)
    except (TypeError, ValueError, KeyError) as error:
        raise ParameterError(f"Augmentation step '{name}': argument {argument!r} does not fit ({error}).") from None
