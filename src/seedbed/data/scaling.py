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

CV2_MODES = {"cv2_linear": "bilinear", "cv2_cubic": "bicubic"}
ROUNDINGS: dict[str, Callable[[float], int]] = {"nearest": round, "down": int}


class ResizeLongSide(v2.Transform):
    """Resize so that the longer side has a length drawn uniformly from ``low..high`` (PSA's training scale)."""

    def __init__(self, low: int, high: int) -> None:
        super().__init__()
        require(0 < int(low) <= int(high), "need 0 < low <= high")
        self.low, self.high = int(low), int(high)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = v2.functional.get_size(flat_inputs[0])
        scale = int(torch.randint(self.low, self.high + 1, ())) / max(height, width)
        return {"size": [max(1, round(height * scale)), max(1, round(width * scale))]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return resize(inpt, params["size"])


class RandomScale(v2.Transform):
    """Resize both sides by a factor drawn uniformly from ``low..high``.

    Args:
        low, high: bounds of the factor.
        filter: ``pil`` (bicubic, with antialiasing), or OpenCV's, without: ``cv2_linear`` (MCTformer's segmentation
            network) and ``cv2_cubic`` (TransCAM's). OpenCV's take float pictures, so put ``normalize`` before: linear
            filters and normalisation commute.
        rounding: of the new sides: ``nearest``, or ``down`` as the published segmentation code does.
        per_batch: one factor for all samples of a batch (MCTformer's segmentation network); see `start_batch`.
    """

    def __init__(
        self, low: float, high: float, filter: str = "pil", rounding: str = "nearest", per_batch: bool = False
    ) -> None:
        super().__init__()
        require(0 < low <= high, "need 0 < low <= high")
        require(filter in ("pil", *CV2_MODES), f"filter must be one of pil, {', '.join(CV2_MODES)}")
        require(rounding in ROUNDINGS, f"rounding must be one of {', '.join(ROUNDINGS)}")
        self.low, self.high, self.filter, self.rounding, self.per_batch = low, high, filter, rounding, per_batch
        self.factor: float | None = None

    def draw(self) -> float:
        return self.low + (self.high - self.low) * torch.rand(()).item()

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = v2.functional.get_size(flat_inputs[0])
        if self.per_batch and self.factor is None:
            raise ParameterError("random_scale: per_batch is for segmentation networks; these samples have no batch.")
        scale = self.factor if self.per_batch else self.draw()
        return {"size": [max(1, ROUNDINGS[self.rounding](side * scale)) for side in (height, width)]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return resize(inpt, params["size"]) if self.filter == "pil" else self._like_opencv(inpt, params["size"])

    def _like_opencv(self, inpt: Any, size: list[int]) -> Any:
        if isinstance(inpt, tv_tensors.Mask):
            return tv_tensors.wrap(cv2_nearest(inpt.as_subclass(Tensor), size), like=inpt)
        if not inpt.is_floating_point():
            raise ParameterError(f"Augmentation step 'random_scale' with {self.filter} must come after 'normalize'.")
        mode = CV2_MODES[self.filter]
        scaled = F.interpolate(inpt.as_subclass(Tensor)[None], size=size, mode=mode, align_corners=False)[0]
        return tv_tensors.wrap(scaled, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else scaled


def start_batch(transform: Callable) -> None:
    """Draw what the steps of ``transform`` share over a batch."""
    for step in getattr(transform, "transforms", ()):  # torchvision's Compose keeps them from PyTorch's modules()
        start_batch(step)
    if isinstance(transform, RandomScale) and transform.per_batch:
        transform.factor = transform.draw()


def cv2_nearest(labels: Tensor, size: Sequence[int]) -> Tensor:
    """Resize [..., H, W] to ``size`` by OpenCV's nearest neighbour: source ``floor(i * (1 / (new / old)))``.

    In float64: where a product is a whole number, the usual float32 factor takes another neighbour.
    """
    rows, columns = (
        (torch.arange(new, dtype=torch.float64) * (1 / (new / old))).floor().long().clamp(max=old - 1)
        for new, old in zip(size, labels.shape[-2:], strict=True)
    )
    return labels[..., rows[:, None], columns]


def resize(inpt: Any, size: list[int]) -> Any:
    """Resize a picture (PIL's bicubic filter) or a mask (nearest neighbour) to (height, width)."""
    if isinstance(inpt, tv_tensors.Mask):
        return v2.functional.resize(inpt, size, interpolation=InterpolationMode.NEAREST)
    if inpt.dtype != torch.uint8 or inpt.shape[-3] != 3:
        return v2.functional.resize(inpt, size, interpolation=InterpolationMode.BICUBIC, antialias=True)
    # PIL itself, as published: torchvision's own filter rounds some bytes to the neighbouring grey level.
    picture = Image.fromarray(inpt.permute(1, 2, 0).contiguous().numpy())
    resized = torch.from_numpy(np.array(picture.resize(size[::-1], Image.Resampling.BICUBIC))).permute(2, 0, 1)
    return tv_tensors.wrap(resized, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else resized


def require(fits: bool, message: str) -> None:
    """Refuse an argument of an augmentation step; the step's name is added where it is built."""
    if not fits:
        raise ValueError(message)
