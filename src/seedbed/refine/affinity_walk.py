"""The random walk of an image's maps over the affinities that a network predicts for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.data.views import InputView, view
from seedbed.devices.memory import Fitting
from seedbed.io.heatmaps import HeatMaps
from seedbed.models.pair_affinity import pair_affinities
from seedbed.refine.confident import mean_pool
from seedbed.refine.crf import dense_crf_labels
from seedbed.refine.crf_image import picture_for_crf
from seedbed.refine.crf_input import distribution
from seedbed.refine.crf_labels import label_crf
from seedbed.refine.mask_making import score_stack
from seedbed.refine.pairs import shrink_radius
from seedbed.refine.walk import random_walk
from seedbed.settings.dense_crf import CrfSettings


class WalkSettings(Protocol):
    """Numbers of a walk, see `seedbed.refine.random_walk_masks.RandomWalk`."""

    @property
    def alpha(self) -> float | None: ...
    @property
    def background(self) -> float | None: ...
    @property
    def beta(self) -> float: ...
    @property
    def log2_steps(self) -> int: ...
    @property
    def crf_on(self) -> str: ...
    @property
    def crf_image(self) -> str: ...
    @property
    def crf_extent(self) -> str: ...
    @property
    def shrink_radius(self) -> bool: ...


@dataclass(frozen=True)
class WalkedNetwork:
    """An affinity network.

    Attributes:
        architecture, options: as `create_model` takes them.
        input: how an image is brought to it.
        radius: of the neighbourhood, in cells.
        stride: pixels a cell.
    """

    architecture: str
    input: InputView
    options: Mapping[str, Any] = field(default_factory=dict)
    radius: int = 5
    stride: int = 8


@dataclass(frozen=True)
class Walk:
    """What follows an affinity network: the walk of the pooled maps, enlarged to the image, and the CRF.

    It computes on the CPU and can be sent to another process.

    Attributes:
        settings, network: the walk and its affinity network's parameters.
        crf: of the result, or None.
        num_labels: labels of the data set with background, over which a CRF on labels spreads its doubt.
    """

    settings: WalkSettings
    network: WalkedNetwork
    crf: CrfSettings | None
    num_labels: int

    def input(self, image: np.ndarray) -> Tensor:
        """The network's input [3, h, w] of an image."""
        size, stride, shown = self.network.input.size, self.network.stride, self.network.input
        pixels = view(image, size=size, interpolation=shown.interpolation, normalisation=shown.normalize)
        if size is not None:
            return pixels
        return F.pad(pixels, (0, -pixels.shape[-1] % stride, 0, -pixels.shape[-2] % stride))

    def radius(self, cells: tuple[int, int]) -> int:
        """Reach of the pairs on a grid of so many cells; 0 where it has none."""
        return _radius(cells, self.network.radius, self.settings.shrink_radius)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray, heat: HeatMaps, pairs: np.ndarray) -> np.ndarray:
        """Positions in ``[background, *classes]`` [H, W], from pair affinities [n_offsets, n_from] or none."""
        settings, (height, width) = self.settings, image.shape[:2]
        cells = _cells(score_stack(heat.maps, settings.alpha, settings.background), self.network)
        if pairs.size:
            cells = random_walk(cells, pairs.astype(np.float64), settings.beta, 2**settings.log2_steps)
        walked = _enlarge(cells, self.network, (height, width))
        if self.crf is None or settings.crf_extent == "image":
            walked = walked[:, :height, :width]
        winners = walked.argmax(0) if self.crf is None else self._smoothed(image, walked, heat, self.crf)
        return winners[:height, :width]

    def _smoothed(self, image: np.ndarray, walked: np.ndarray, heat: HeatMaps, crf: CrfSettings) -> np.ndarray:
        shown = picture_for_crf(image, self.settings.crf_image, walked.shape[-2:])
        if self.settings.crf_on == "scores":
            return dense_crf_labels(shown, distribution(walked), crf)
        labels = np.concatenate([[0], heat.classes + 1])
        return _smoothed_labels(shown, walked.argmax(0), labels, self.num_labels, crf)


class WalkRefiner:
    """The refiner in its two halves: ``see`` runs the network, ``walk`` does the rest; called, it does both."""

    def __init__(self, walk: Walk, model: nn.Module, device: torch.device) -> None:
        self.walk, self.model, self.device = walk, model.to(device).eval(), device
        self._one = Fitting("padded images")

    @torch.inference_mode()
    def see(self, image: np.ndarray) -> np.ndarray:
        """Pair affinities of an image, [n_offsets, n_from]; empty where it has too few cells for a pair."""
        pixels, network = self.walk.input(image), self.walk.network
        radius = self.walk.radius((-(-pixels.shape[-2] // network.stride), -(-pixels.shape[-1] // network.stride)))
        if not radius:
            return np.zeros((0, 0), np.float32)
        run = lambda x: _pairs(self.model, x.to(self.device), radius, network)  # noqa: E731
        return self._one(run, pixels[None])[0].cpu().numpy()

    def __call__(self, image: np.ndarray, heat: HeatMaps) -> np.ndarray:
        """Positions in ``[background, *classes]`` [H, W]; see `Walk`."""
        return self.walk(image, heat, self.see(image))


def random_walk_refiner(
    settings: WalkSettings,
    network: WalkedNetwork,
    model: nn.Module,
    crf: CrfSettings | None,
    device: torch.device,
    num_labels: int,
) -> WalkRefiner:
    """Refiner for ``pseudo_masks``: walk of the pooled maps, enlarged to the image ([Re], section 4.3; PSA, 3.4).

    With an input size, image and maps are squashed to it; else the image is padded to a multiple of the stride, and
    the result is cropped: before the CRF, or after it (TransCAM). Maps of too few cells for a pair stay as they are,
    see `can_walk`; the published codes end there.

    Args:
        settings, network, model: the walk, its affinity network's parameters and the network.
        crf: of the result, or None.
        device: where the network runs.
        num_labels: labels of the data set with background, over which a CRF on labels spreads its doubt.
    """
    return WalkRefiner(Walk(settings, network, crf, num_labels), model, device)


def _pairs(model: Any, pixels: Tensor, radius: int, network: WalkedNetwork) -> Tensor:
    """Pair affinities of the network's own radius, or of a smaller one."""
    if radius == network.radius:
        return model(pixels).pairs
    return pair_affinities(model.features(pixels), radius)


def can_walk(size: tuple[int, int], network: WalkedNetwork, shrink: bool) -> bool:
    """Whether an image of ``size`` (height, width) has a pair of cells: 5 x 9 cells, or 5 x 5 where radii shrink."""
    height, width = (-(-side // network.stride) for side in network.input.size or size)
    return bool(_radius((height, width), network.radius, shrink))


def _radius(cells: tuple[int, ...], radius: int, shrink: bool) -> int:
    """Radius of the pairs on a grid of so many cells, shrunk as TransCAM's code does; 0 where none fits."""
    height, width = cells
    if shrink:
        radius = shrink_radius(height, width, radius)
    return radius if radius > 1 and height >= radius and width >= 2 * radius - 1 else 0


def _cells(scores: np.ndarray, network: WalkedNetwork) -> np.ndarray:
    """Scores [K, H, W] pooled to the network's cells, float64 [K, h / stride, w / stride]."""
    if network.input.size is not None:
        size = tuple(network.input.size)
        scores = F.interpolate(torch.from_numpy(scores)[None], size, mode="bilinear", align_corners=False)[0].numpy()
    return mean_pool(scores.astype(np.float64), network.stride)


def _enlarge(walked: np.ndarray, network: WalkedNetwork, size: tuple[int, int]) -> np.ndarray:
    """Walked cells at the image's size, or at its padded copy's where it was padded."""
    if network.input.size is None:
        size = (walked.shape[-2] * network.stride, walked.shape[-1] * network.stride)
    return F.interpolate(torch.from_numpy(walked)[None], size, mode="bilinear", align_corners=False)[0].numpy()


def _smoothed_labels(
    image: np.ndarray, winners: np.ndarray, labels: np.ndarray, num_labels: int, field: CrfSettings
) -> np.ndarray:
    """Winners [H, W], positions in ``labels``, after a label CRF over all labels of the data set.

    A label that is not in the image never wins: it has the same low unary everywhere.
    """
    smoothed = label_crf(image, labels[winners], num_labels, preset=field)
    return np.searchsorted(labels, smoothed)
