"""What ToCo trains on: two views of an image, a source of small crops, and where the first view shows the picture.

Ru et al., CVPR 2023. All four come out of one step, as channels of one tensor.
"""

from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

from seedbed.data.grey_levels import normalised
from seedbed.data.scaling import require
from seedbed.data.transforms import PadToAndCrop, augmentation


@augmentation("toco_views")
class ToCoViews(v2.Transform):
    """From an 8-bit image [3, H, W] to float32 [10, size, size].

    - channels 0 to 2: the first view, a crop of the scaled and mirrored image, zeros where that is smaller;
    - 3 to 5: the second view, an area of the whole image;
    - 6 to 8: the source of local crops, of the first view's crop; all three with colours of their own, normalised with
      ImageNet's mean and standard deviation;
    - 9: 1 where the first view shows the picture, 0 where padding.

    Args:
        size: side of the views.
        scale: bounds of the factor on both sides of the image, which are rounded down.
        area: bounds of the share of the image that the second view shows.
        jitter: strengths of brightness, contrast, saturation and hue, drawn for four views of five.
        grey: probability of a view without colours.
        blur: bounds of the radius: always of the first view, of every second source, of every tenth second view.
        as_published: mirror the first view and the source each on its own after the crop, and channel 9 not at all: in
            half of all images the source lies the other way round than the view that chooses and judges its crops, and
            padding on the left counts as on the right. Otherwise all three are mirrored together.
    """

    def __init__(
        self,
        *,
        size: int,
        scale: tuple[float, float] = (0.5, 2.0),
        area: tuple[float, float] = (0.4, 1.0),
        jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.2, 0.1),
        grey: float = 0.2,
        blur: tuple[float, float] = (0.1, 2.0),
        as_published: bool = False,
    ) -> None:
        super().__init__()
        require(int(size) > 0, "need a positive size")
        require(0 < scale[0] <= scale[1] and 0 < area[0] <= area[1] <= 1, "need 0 < low <= high, of area up to 1")
        require(0 <= grey <= 1 and 0 <= blur[0] <= blur[1], "need grey in 0..1 and 0 <= low <= high of blur")
        self.scale, self.blur, self.as_published = tuple(scale), tuple(blur), as_published
        self.crop = PadToAndCrop(size, mask_fill=0)
        self.second = v2.RandomResizedCrop(size, tuple(area), interpolation=InterpolationMode.BICUBIC)
        self.colours = v2.Compose([v2.RandomApply([v2.ColorJitter(*jitter)], 0.8), v2.RandomGrayscale(grey)])
        self.solarise = v2.RandomSolarize(128, 0.2)

    def forward(self, image: Tensor) -> Tensor:
        picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
        scaled = _mirrored(self._scaled(picture), _happens(0.5))
        whole = tv_tensors.Mask(torch.ones(scaled.height, scaled.width))
        cropped, inside = self.crop(scaled, whole)
        flips = [_happens(0.5), _happens(0.5)]
        if not self.as_published:
            flips[1], inside = flips[0], inside.flip(-1) if flips[0] else inside
        first = self._shown(_mirrored(cropped, flips[0]), blur=1.0)
        source = self._shown(_mirrored(cropped, flips[1]), blur=0.5)
        second = self.solarise(self._shown(_mirrored(self.second(picture), _happens(0.5)), blur=0.1))
        views = [normalised(_pixels(view)) for view in (first, second, source)]
        return torch.cat([*views, inside.as_subclass(Tensor).float()[None]])

    def _scaled(self, picture: Image.Image) -> Image.Image:
        low, high = self.scale
        factor = low + (high - low) * torch.rand(()).item()
        sides = (max(1, int(picture.width * factor)), max(1, int(picture.height * factor)))
        return picture.resize(sides, Image.Resampling.BILINEAR)

    def _shown(self, picture: Image.Image, blur: float) -> Image.Image:
        """The picture with other colours, blurred by that probability."""
        coloured, (low, high) = self.colours(picture), self.blur
        radius = low + (high - low) * torch.rand(()).item()
        return coloured.filter(ImageFilter.GaussianBlur(radius)) if _happens(blur) else coloured


def _happens(probability: float) -> bool:
    return torch.rand(()).item() < probability


def _mirrored(picture: Image.Image, mirror: bool) -> Image.Image:
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror else picture


def _pixels(picture: Any) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)
