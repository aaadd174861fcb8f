"""What a function that explains whole images is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from seedbed.data.views import InputView
from seedbed.settings.kinds import MapPrecision


@dataclass(frozen=True)
class HeatMapSettings:
    """How images are explained.

    Attributes:
        method, options: the explanation method and its options.
        input: how an image is brought to the network at scale 1.
        fusion, fusion_options: how the views' maps become one map a class, see `seedbed.explain.view_fusion`.
        classes: explain an image's ``labels``, or the ``predicted`` class.
        scales: factors on the input's size.
        flip: explain each view's mirror image too.
        store_stride: maps are kept at ``1 / store_stride`` of the image's size.
        precision: what the network computes in while it is explained: on ImageNet weights maps of LRP and transformer
            attribution are far from settled in ``float32`` (docs/explanations.md).
        batch_size: images at once.
    """

    method: str
    input: InputView
    fusion: str
    options: Mapping[str, Any] = field(default_factory=dict)
    fusion_options: Mapping[str, Any] = field(default_factory=dict)
    classes: Literal["labels", "predicted"] = "labels"
    scales: Sequence[float] = (1.0,)
    flip: bool = False
    store_stride: int = 1
    precision: MapPrecision = "float32"
    batch_size: int = 16
