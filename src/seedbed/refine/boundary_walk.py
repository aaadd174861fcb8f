"""IRN's walk (Ahn, Cho and Kwak, CVPR 2019): maps spread within class boundaries, and hardly across them."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import nn

from seedbed.data.views import InputView, view
from seedbed.devices.memory import Fitting
from seedbed.errors import ParameterError
from seedbed.io.heatmaps import HeatMaps
from seedbed.models.pair_affinity import pair_offsets
from seedbed.models.path_affinity import path_affinities
from seedbed.refine.background import with_constant_background
from seedbed.refine.crf import dense_crf_labels
from seedbed.refine.crf_input import distribution
from seedbed.refine.walk import random_walk
from seedbed.settings.dense_crf import CrfSettings

STRIDE = 4  # pixels a cell of the boundaries


class BoundedWalkSettings(Protocol):
    """Numbers of a walk, see `seedbed.refine.boundary_walk_masks.BoundaryWalk`."""

    @property
    def beta(self) -> float: ...
    @property
    def log2_steps(self) -> int: ...
    @property
    def background(self) -> float: ...
    @property
    def walk_radius(self) -> int: ...


class Boundaries:
    """From an image to its class boundaries, by a network.

    Args:
        model: a network with ``boundaries``, see `seedbed.models.irn.BoundaryNetwork`.
        shown: how an image is brought to it.
        device: where it runs.

    Raises:
        ParameterError: the network predicts no boundaries.
    """

    def __init__(self, model: nn.Module, shown: InputView, device: torch.device) -> None:
        if not hasattr(model, "boundaries"):
            raise ParameterError(
                f"A {type(model).__name__} predicts no class boundaries to walk within: take refiners of kind "
                "random_walk for it, or a network such as irn_resnet50."
            )
        self.model: Any = model.to(device).eval()
        self.shown, self.device, self._one = shown, device, Fitting("images at their own size")

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Boundaries in 0..1, float32 [h, w], of an image uint8 [H, W, 3]: a cell for four pixels that it sees."""
        shown = self.shown
        pixels = view(image, size=shown.size, interpolation=shown.interpolation, normalisation=shown.normalize)
        run = lambda x: self.model.boundaries(x.to(self.device))  # noqa: E731
        return self._one(run, pixels[None])[0].float().cpu().numpy()


@dataclass(frozen=True)
class BoundedWalk:
    """From an image, its maps and its boundaries to positions in ``[background, *classes]``; it can be pickled.

    Attributes:
        settings: numbers of the walk.
        crf: of the result, or None.
    """

    settings: BoundedWalkSettings
    crf: CrfSettings | None

    @torch.inference_mode()
    def __call__(self, image: np.ndarray, heat: HeatMaps, boundary: np.ndarray) -> np.ndarray:
        scores = with_constant_background(self.walked(heat.maps, boundary), self.settings.background)
        if self.crf is None:
            return scores.argmax(0)
        return dense_crf_labels(image, distribution(scores), self.crf)

    def walked(self, maps: np.ndarray, boundary: np.ndarray) -> np.ndarray:
        """Maps [K, H, W] after the walk over boundaries [h, w], float32 [K, H, W] whose highest value is 1.

        They start from cells that are no boundary: ``map * (1 - boundary)``. Without any evidence they are 0.
        """
        settings, size = self.settings, maps.shape[-2:]
        cells = F.interpolate(torch.from_numpy(np.clip(maps, 0, 1))[None], boundary.shape, mode="area")[0].numpy()
        affinity = boundary_matrix(boundary, settings.walk_radius)
        moved = random_walk(cells * (1 - boundary), affinity, settings.beta, 2**settings.log2_steps)
        walked = _at_size(moved, size)
        return walked / max(float(walked.max(initial=0)), np.finfo(np.float32).tiny)


def boundary_matrix(boundary: np.ndarray, radius: int) -> sparse.csr_array:
    """The symmetric affinities [N, N] of all cells of a boundary map float32 [h, w], N = h * w, with a unit diagonal.

    Unlike PSA's, cells at the border have all their pairs: beyond the image everything is boundary.
    """
    (height, width), reach = boundary.shape, radius - 1
    walled = F.pad(torch.from_numpy(boundary)[None], (reach, reach, 0, reach), value=1.0)
    pairs = path_affinities(walled, radius)[0].numpy()
    offsets = np.array(pair_offsets(radius), dtype=np.int64).reshape(-1, 2)
    number, source = np.nonzero(pairs)  # pairs with a partner outside are 0
    target = source + offsets[number, 0] * width + offsets[number, 1]
    upper = sparse.coo_array((pairs[number, source], (source, target)), shape=(height * width,) * 2)
    return sparse.csr_array(upper + upper.T + sparse.eye_array(height * width, dtype=pairs.dtype))


def _at_size(moved: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cells [K, h, w] at an image's size: four pixels each, cut off; stretched where the network saw another size."""
    tensor = torch.from_numpy(moved)[None]
    whole = tuple(-(-side // STRIDE) for side in size) == moved.shape[-2:]
    enlarged = tuple(STRIDE * side for side in moved.shape[-2:]) if whole else size
    return F.interpolate(tensor, enlarged, mode="bilinear", align_corners=False)[0, :, : size[0], : size[1]].numpy()
