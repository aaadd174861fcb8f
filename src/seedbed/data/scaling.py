"""Random scales of augmentation, with the filters and the rounding of each published code."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

from seedbed.errors import ParameterError

FILTERS = ("pil", "cv2_linear", "cv2_cubic")
ROUNDINGS: dict[str, Callable[[float], int]] = {"nearest": round, "down": int}


class ResizeLongSide(v2.Transform):
    """Resize so that the longer side has a length drawn uniformly from ``low..high`` (PSA's training scale).

    The shorter side is multiplied, then divided, then rounded half to even: 375 x 500 to 278 gives 208, from 208.5.
    """

    def __init__(self, low: int, high: int) -> None:
        super().__init__()
        require(0 < int(low) <= int(high), "need 0 < low <= high")
        self.low, self.high = int(low), int(high)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = v2.functional.get_size(flat_inputs[0])
        target, longer = int(torch.randint(self.low, self.high + 1, ())), max(height, width)
        return {"size": [max(1, round(side * target / longer)) for side in (height, width)]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return resize(inpt, params["size"])


class RandomScale(v2.Transform):
    """Resize both sides by a factor drawn uniformly from ``low..high``.

    Args:
        low, high: bounds of the factor.
        filter: ``pil`` (bicubic, with antialiasing), or OpenCV's, without: ``cv2_linear`` (MCTformer's segmentation
            network) samples by the ratio of the sides and takes float images, so put ``normalize`` before;
            ``cv2_cubic`` (TransCAM's) samples by the factor and takes both, see `cv2_cubic`. Labels follow suit.
        rounding: of the new sides: ``nearest``, half to even, or ``down`` as MCTformer's segmentation code does.
        per_batch: one factor for all samples of a batch (MCTformer's segmentation network); see `start_batch`.
    """

    def __init__(
        self, low: float, high: float, filter: str = "pil", rounding: str = "nearest", per_batch: bool = False
    ) -> None:
        super().__init__()
        require(0 < low <= high, "need 0 < low <= high")
        require(filter in FILTERS, f"filter must be one of {', '.join(FILTERS)}")
        require(rounding in ROUNDINGS, f"rounding must be one of {', '.join(ROUNDINGS)}")
        self.low, self.high, self.filter, self.rounding, self.per_batch = low, high, filter, rounding, per_batch
        self.factor: float | None = None

    def draw(self) -> float:
        return self.low + (self.high - self.low) * torch.rand(()).item()

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = v2.functional.get_size(flat_inputs[0])
        if self.per_batch and self.factor is None:
            raise ParameterError("random_scale: per_batch is for segmentation networks; these samples have no batch.")
        factor = self.factor if self.per_batch else self.draw()
        return {"size": scaled_sides((height, width), factor, self.rounding), "factor": factor}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if self.filter == "pil":
            return resize(inpt, params["size"])
        scaled = self._like_opencv(inpt, **params)
        return tv_tensors.wrap(scaled, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else scaled

    def _like_opencv(self, inpt: Any, size: list[int], factor: float) -> Tensor:
        pixels, by_factor = inpt.as_subclass(Tensor), self.filter == "cv2_cubic"
        if isinstance(inpt, tv_tensors.Mask):
            return cv2_nearest(pixels, size, factor if by_factor else None)
        if by_factor:
            return cv2_cubic(pixels, size, factor)
        if not pixels.is_floating_point():
            raise ParameterError(f"Augmentation step 'random_scale' with {self.filter} must come after 'normalize'.")
        return F.interpolate(pixels[None], size=size, mode="bilinear", align_corners=False)[0]


def start_batch(transform: Callable) -> None:
    """Draw what the steps of ``transform`` share over a batch."""
    for step in getattr(transform, "transforms", ()):  # torchvision's Compose keeps them from PyTorch's modules()
        start_batch(step)
    if isinstance(transform, RandomScale) and transform.per_batch:
        transform.factor = transform.draw()


def scaled_sides(size: Sequence[int], factor: float, rounding: str) -> list[int]:
    """``size`` (height, width) times ``factor``, rounded as a name of ``ROUNDINGS`` says, at least 1."""
    return [max(1, ROUNDINGS[rounding](side * factor)) for side in size]


def cv2_cubic(pixels: Tensor, size: Sequence[int], factor: float) -> Tensor:
    """Scale [C, H, W] by OpenCV's bicubic filter (a = -0.75, four taps an axis, no antialiasing, repeated border).

    Cell ``i`` looks at ``(i + 0.5) / factor - 0.5``: by the factor, not by the ratio of the sides, which is another one
    where ``size`` was rounded. Overshoot is kept in float images and clipped in 8-bit ones, which are rounded. A
    image that has the size already is returned as it is, as OpenCV does.

    Returns:
        [C, *size] of the kind of ``pixels``.
    """
    if tuple(size) == tuple(pixels.shape[-2:]):
        return pixels
    # In float64, since float32 places a far cell 1e-5 of a pixel off; ATen's operator alone takes size and factor.
    wide = pixels[None].double()
    scaled = torch.ops.aten.upsample_bicubic2d(wide, list(size), False, factor, factor)[0]
    return scaled.to(pixels.dtype) if pixels.is_floating_point() else scaled.round().clamp(0, 255).to(pixels.dtype)


def cv2_nearest(labels: Tensor, size: Sequence[int], factor: float | None = None) -> Tensor:
    """Resize [..., H, W] to ``size`` by OpenCV's nearest neighbour: source ``floor(i * (1 / factor))``.

    Without a factor it is ``new / old`` of each side. In float64: where a product is a whole number, the usual float32
    factor takes another neighbour.
    """
    if tuple(size) == tuple(labels.shape[-2:]):
        return labels
    rows, columns = (
        (torch.arange(new, dtype=torch.float64) * (1 / (factor or new / old))).floor().long().clamp(max=old - 1)
        for new, old in zip(size, labels.shape[-2:], strict=True)
    )
    return labels[..., rows[:, None], columns]


def resize(inpt: Any, size: list[int]) -> Any:
    """Resize an image (PIL's bicubic filter) or a mask (nearest neighbour) to (height, width)."""
    if isinstance(inpt, tv_tensors.Mask):
        return v2.functional.resize(inpt, size, interpolation=InterpolationMode.NEAREST)
    if inpt.dtype != torch.uint8 or inpt.shape[-3] != 3:
        return v2.functional.resize(inpt, size, interpolation=InterpolationMode.BICUBIC, antialias=True)
    # PIL itself, as published: torchvision's own filter rounds some bytes to the neighbouring grey level.
    image = Image.fromarray(inpt.permute(1, 2, 0).contiguous().numpy())
    resized = torch.from_numpy(np.array(image.resize(size[::-1], Image.Resampling.BICUBIC))).permute(2, 0, 1)
    return tv_tensors.wrap(resized, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else resized


def require(fits: bool, message: str) -> None:
    """Refuse an argument of an augmentation step; the step's name is added where it is built."""
    if not fits:
        raise ValueError(message)
