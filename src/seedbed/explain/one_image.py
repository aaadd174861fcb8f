"""One image, all methods: what speaks for the classes that a network sees in it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import timm.data
import torch
from torch import Tensor, nn

from seedbed.data.views import InputView, view
from seedbed.errors import ParameterError, UserError, unknown_name
from seedbed.explain.call import explain
from seedbed.explain.evaluated import evaluated
from seedbed.explain.map_scaling import min_max, upsample
from seedbed.explain.method_registry import get_method, methods
from seedbed.io.heatmaps import HeatMaps
from seedbed.models.outputs import logits_of
from seedbed.settings.checked import checked

ALL = "all"
LONGEST_SIDE = 1024  # of the maps: a photograph of 12 million pixels would take a gigabyte


class Explained(NamedTuple):
    """Maps of one image by method.

    Attributes:
        classes: int [K], the classes explained, most probable first.
        probabilities: float [K].
        maps: method -> float32 [K, h, w] in 0..1, in the image's proportions, its size if no side is above
            ``LONGEST_SIDE``. A map that is 0/0 is NaN. A signed map has 0 at 0.5 and ends at a percentile of its
            magnitudes (`signed_range`), since a few pixels hold most of it; others go from least to largest.
        raw: method -> the same as the method gives them, float32.
        signed: methods with a map that has negative values.
        refused: method -> why it cannot explain this network; only if all methods were asked for.
    """

    classes: np.ndarray
    probabilities: np.ndarray
    maps: dict[str, np.ndarray]
    raw: dict[str, np.ndarray]
    signed: frozenset[str]
    refused: dict[str, str]


@checked
def explain_picture(
    model: nn.Module,
    image: np.ndarray,
    names: Sequence[str] = (ALL,),
    top: int = 3,
    device: torch.device | None = None,
    *,
    how: InputView | None = None,
    multi_label: bool = False,
) -> Explained:
    """Explain the most probable classes of an image.

    Args:
        model: classifier.
        image: uint8 [H, W, 3].
        names: methods, or ``all`` for every one that can explain the network.
        top: how many classes.
        device: where to compute.
        how: how the image is brought to the network; by default as timm's ``pretrained_cfg`` of the network says.
        multi_label: the classes do not exclude each other, so each has the sigmoid of its logit as its probability.

    Raises:
        ParameterError: a method does not exist.
        UserError: a method that was named, or every one of all, cannot explain the network; the text says why and which
            can.
    """
    device = device or torch.device("cpu")
    model = evaluated(model.to(device), hooks=True)
    inputs = network_input(model, image, how).to(device, next(model.parameters()).dtype)
    with torch.no_grad():
        logits = logits_of(model(inputs))[0].float().cpu()
    probabilities = logits.sigmoid() if multi_label else logits.softmax(0)
    values, classes = probabilities.topk(min(top, len(probabilities)))
    raw, refused = {}, {}
    size = map_size(image.shape[:2])
    for name in _chosen(names):
        reason = get_method(name).why_not(model)
        if reason is not None and list(names) == [ALL]:
            refused[name] = reason
            continue
        found = explain(model, inputs, classes[None].to(device), name)[0]
        raw[name] = upsample(found.float(), size).cpu()
    if not raw:
        raise UserError(f"No method can explain this {type(model).__name__}: {next(iter(refused.values()))}.")
    signed = frozenset(name for name, maps in raw.items() if (maps < 0).any())
    maps = {name: (signed_range if name in signed else min_max)(found).numpy() for name, found in raw.items()}
    return Explained(
        classes.numpy(), values.numpy(), maps, {name: found.numpy() for name, found in raw.items()}, signed, refused
    )


@checked
def signed_range(maps: Tensor, share: float = 0.99) -> Tensor:
    """Scale signed maps [..., h, w] to [0, 1]: 0 becomes 0.5, the ends are a quantile of the magnitudes.

    Args:
        maps: floating; a map that holds NaN stays NaN throughout, a map of zeros becomes 0.5.
        share: of the pixels that are not cut.
    """
    magnitudes = np.abs(maps.flatten(-2).numpy())
    limit = torch.from_numpy(np.quantile(magnitudes, share, axis=-1)).to(maps)[..., None, None]
    largest = maps.abs().amax((-2, -1), keepdim=True)
    limit = torch.where(limit > 0, limit, largest)  # nearly all zeros
    scaled = 0.5 + 0.5 * (maps / torch.where(limit > 0, limit, 1.0)).clamp(-1, 1)
    return torch.where(largest.isnan(), torch.nan, scaled)


def map_size(size: tuple[int, int]) -> tuple[int, int]:
    """The size (h, w) of the maps of an image of ``size``."""
    shrink = min(1.0, LONGEST_SIDE / max(size))
    height, width = (max(1, round(side * shrink)) for side in size)
    return height, width


def network_input(model: nn.Module, image: np.ndarray, how: InputView | None = None) -> Tensor:
    """The image as ``how``, or else the network's own configuration, asks for it: float32 [1, 3, h, w]."""
    if how is not None:
        multiple = getattr(how, "multiple", 1)  # that of maps; a network's own input has none
        options: Any = {"interpolation": how.interpolation, "multiple": multiple}
        return view(image, size=how.size, normalisation=how.normalize, **options)[None]
    settings = timm.data.resolve_model_data_config(model)
    own_size = getattr(getattr(model, "patch_embed", None), "img_size", None)
    size = tuple(own_size or settings["input_size"][-2:])
    pixels = view(image, size=size, interpolation="bicubic", normalisation="none")
    mean, std = (torch.tensor(settings[key]).view(3, 1, 1) for key in ("mean", "std"))
    return ((pixels - mean) / std)[None]


def as_heatmaps(explained: Explained, size: tuple[int, int]) -> list[tuple[str, HeatMaps]]:
    """Entries of a heat-map store, one a method: the maps as the method gives them."""
    return [(name, HeatMaps(explained.classes, maps, size)) for name, maps in explained.raw.items()]


def _chosen(names: Sequence[str]) -> list[str]:
    known = [method.name for method in methods()]
    if list(names) == [ALL]:
        return known
    for name in names:
        if name not in known:
            raise ParameterError(unknown_name("explanation method", name, [*known, ALL]))
    return list(names)
