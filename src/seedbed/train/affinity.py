"""Training an affinity network on confident labels ([Re] and PSA, section 3.2 and 3.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from seedbed.data.datasets import SampleKey, seeded
from seedbed.data.images import read_picture
from seedbed.data.index import DataIndex, Record
from seedbed.data.normalise import normalise
from seedbed.data.transforms import build_transform
from seedbed.data.views import InputView
from seedbed.errors import DataError
from seedbed.io.heatmaps import HeatMaps
from seedbed.models.registry import create_model
from seedbed.refine.confident import IGNORE, RULES, confident_labels, confident_labels_from_scores
from seedbed.refine.losses import affinity_loss
from seedbed.refine.pairs import affinity_labels
from seedbed.settings.optimisation import Training
from seedbed.train.classifier import Trained, load_into
from seedbed.train.loop import fit
from seedbed.train.objectives import build_objective, loss


@dataclass(frozen=True)
class LabelSettings:
    """How two CRF runs become labels; ``rule`` as in `seedbed.refine.confident`."""

    rule: str


@dataclass(frozen=True)
class AffinitySettings:
    """An affinity network and its training.

    Attributes:
        architecture, options: as `create_model` takes them.
        labels: what it learns from.
        input: what the network's pixels are normalised with.
        train: its training.
        weights_options: how a weights file fills it, see `load_into`.
        radius: of the neighbourhood, in cells: of the network's pairs and of their labels.
        stride: pixels a cell.
        photometric: augmentation of the image alone, before ``train.augment`` moves all together.
    """

    architecture: str
    labels: LabelSettings
    input: InputView
    train: Training
    options: Mapping[str, Any] = field(default_factory=dict)
    weights_options: Mapping[str, Any] = field(default_factory=dict)
    radius: int = 5
    stride: int = 8
    photometric: Sequence[Mapping[str, Any]] = ()


class ConfidentPictures(Dataset):
    """Images with confident labels on the feature grid: ``(float32 [3, H, W], int64 [h, w])``.

    Image and the two stacks of CRF posteriors go through the same random crop and mirror, the image still in raw
    grey levels, so that padding is black; then it is normalised, and the posteriors are pooled to cells and combined.
    """

    def __init__(
        self,
        index: DataIndex,
        records: Sequence[Record],
        low: Mapping[str, HeatMaps],
        high: Mapping[str, HeatMaps],
        settings: AffinitySettings,
    ) -> None:
        self.index, self.records, self.low, self.high, self.settings = index, records, low, high, settings
        self.photometric = build_transform(settings.photometric)
        self.geometric = build_transform(settings.train.augment)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: SampleKey) -> tuple[Tensor, Tensor]:
        position, seed = key
        record = self.records[position]
        low, high = self.low[record.image].maps, self.high[record.image].maps
        with seeded(seed):
            image = torch.from_numpy(read_picture(self.index.root / record.path).copy()).permute(2, 0, 1)
            pixels = self.photometric(image).float()
            posteriors = _at_size(torch.from_numpy(np.concatenate([low, high])), pixels.shape[-2:])
            joint = self.geometric(torch.cat([pixels, posteriors]))
        margin = self._margin(joint.shape[-2:])
        joint = F.pad(joint, [side * self.settings.stride for side in (margin, margin, 0, margin)])
        stacks = joint[3:].numpy()
        label = self._label(stacks[: len(low)], stacks[len(low) :])
        if margin:
            label[-margin:], label[:, :margin], label[:, -margin:] = IGNORE, IGNORE, IGNORE
        return normalise(joint[:3], self.settings.input.normalize), torch.from_numpy(label.astype(np.int64))

    def _margin(self, size: tuple[int, ...]) -> int:
        """Cells of black to lay around an image whose map has no pair of cells, so that all of its own have.

        As PSA's crop lays a small image on black, which stays undecided.
        """
        radius = self.settings.radius
        height, width = (-(-side // self.settings.stride) for side in size)
        return 0 if height >= radius and width >= 2 * radius - 1 else radius - 1

    def _label(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Confident labels of the cells, from both runs' posteriors [K, H, W]."""
        rule, stride = self.settings.labels.rule, self.settings.stride
        if RULES.find(rule).first_pixel:  # padding, without scores, is background
            first = [stack[:, ::stride, ::stride].argmax(axis=0) for stack in (low, high)]
            return confident_labels(first[0], first[1], rule)
        return confident_labels_from_scores(low, high, rule=rule, pool=stride)


@loss("affinity", task="affinity")
class AffinityObjective:
    """Mean of the background, foreground and negative terms over neighbouring cells."""

    def __init__(self, radius: int, *, eps: float) -> None:
        self.radius, self.eps = radius, eps

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
        images, labels = batch
        terms = affinity_loss(model(images).pairs.float(), *affinity_labels(labels, self.radius), eps=self.eps)
        parts = {"background": terms.background, "foreground": terms.foreground, "negative": terms.negative}
        return terms.total, {name: part.detach() for name, part in parts.items()}


def build_affinity_network(settings: AffinitySettings, seed: int, weights: str | Path | None) -> nn.Module:
    """Return the network, initialised from ``seed`` and then from a weights file (its backbone only)."""
    torch.manual_seed(seed)
    model = create_model(settings.architecture, None, radius=settings.radius, **settings.options)
    if weights is not None:
        load_into(model, weights, **settings.weights_options)
    return model


def train_affinity_network(
    index: DataIndex,
    low: Mapping[str, HeatMaps],
    high: Mapping[str, HeatMaps],
    settings: AffinitySettings,
    *,
    seed: int,
    weights: str | Path | None,
    state_path: Path,
    fingerprint: dict[str, Any],
    device: torch.device,
    circumstances: Mapping[str, Any] | None = None,
) -> Trained:
    """Train on the images of ``settings.train.split`` that have a class; the others hold no pair to learn from."""
    training = settings.train
    records = [record for record in index.split(training.split) if record.labels]
    if not records:
        raise DataError(f"Split '{training.split}': no image has a label, so there are no pairs to learn from.")
    model = build_affinity_network(settings, seed, weights)
    objective = build_objective(training.loss, radius=settings.radius, **training.loss_options)
    data = ConfidentPictures(index, records, low, high, settings)
    options: dict[str, Any] = {"seed": seed, "state_path": state_path, "device": device, "circumstances": circumstances}
    return Trained(*fit(model, data, objective, training, fingerprint=fingerprint, **options))


def _at_size(stack: Tensor, size: tuple[int, int]) -> Tensor:
    if stack.shape[-2:] == size:
        return stack
    return F.interpolate(stack[None], size=tuple(size), mode="bilinear", align_corners=False)[0]
