"""Accuracy of a classifier on held-out images."""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seedbed.data.ahead import read_ahead
from seedbed.data.images import read_picture
from seedbed.data.index import DataIndex, Record
from seedbed.data.views import InputView, view
from seedbed.devices.memory import Fitting
from seedbed.errors import ParameterError
from seedbed.models.input_size import misplaced
from seedbed.models.outputs import logits_of
from seedbed.settings.checked import checked


def held_out_records(index: DataIndex, split: str) -> tuple[Record, ...]:
    """Images to measure a classifier on; your own data may have none, a published data set always has the split."""
    return index.split(split) if split in index.splits() or split != "val" else ()


def evaluate_classifier(
    model: nn.Module, index: DataIndex, records: Sequence[Record], settings: InputView, device: torch.device
) -> dict[str, Any]:
    """Accuracy on held-out images; only ``images: 0`` where there are none."""
    if not records:
        return {"images": 0}
    scores = predict_scores(model, index, records, settings, device)
    return classification_metrics(scores.numpy(), label_matrix(index, records).numpy(), index.classes)


@torch.inference_mode()
def predict_scores(
    model: nn.Module,
    index: DataIndex,
    records: Sequence[Record],
    settings: InputView,
    device: torch.device,
    batch: int = 32,
) -> Tensor:
    """Class logits of images, float32 [N, C], in the order of ``records``."""
    model, fit = model.to(device).eval(), Fitting("images")
    views = read_ahead(
        records,
        lambda record: view(
            read_picture(index.root / record.path),
            size=settings.size,
            interpolation=settings.interpolation,
            normalisation=settings.normalize,
        ),
    )

    def scores(images: Tensor) -> Tensor:
        if wrong := misplaced(model, (images.shape[-2], images.shape[-1])):
            raise ParameterError(f"The network cannot be measured: {wrong}. Set its input.size.")
        return logits_of(model(images.to(device))).float().cpu()

    return torch.cat([fit(scores, images) for images in _batched(views, batch)])


def label_matrix(index: DataIndex, records: Sequence[Record]) -> Tensor:
    """Multi-hot labels, bool [N, C]."""
    labels = torch.zeros(len(records), len(index.classes), dtype=torch.bool)
    for position, record in enumerate(records):
        labels[position, list(index.class_indices(record))] = True
    return labels


@checked
def classification_metrics(
    scores: np.ndarray, labels: np.ndarray, names: Sequence[str] | None = None
) -> dict[str, Any]:
    """Mean average precision and top-1 accuracy.

    Args:
        scores: float [N, C], any monotone score.
        labels: bool [N, C]; an image may have several.
        names: of the classes; their indices without it.

    Returns:
        ``map``: mean over the classes that occur of their average precision; ``top1``: share of images whose
        highest score is one of their labels; ``images``; ``ap_<name>`` of every class, NaN for one that does not
        occur, or without names ``ap_<k>`` of each that does. Fractions; ``map`` is NaN where no class occurs.
    """
    from sklearn.metrics import average_precision_score

    occurring = np.flatnonzero(labels.any(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        precisions = {int(k): float(average_precision_score(labels[:, k], scores[:, k])) for k in occurring}
    hit = labels[np.arange(len(labels)), scores.argmax(1)]
    return {
        "map": float(np.mean(list(precisions.values()))) if precisions else math.nan,
        "top1": float(hit.mean()),
        "images": len(labels),
        **_named(precisions, names),
    }


def _named(precisions: Mapping[int, float], names: Sequence[str] | None) -> dict[str, float]:
    if names is None:
        return {f"ap_{k}": value for k, value in precisions.items()}
    return {f"ap_{name}": precisions.get(k, math.nan) for k, name in enumerate(names)}


def _batched(views: Iterable[Tensor], size: int) -> Iterable[Tensor]:
    waiting: list[Tensor] = []
    for pixels in views:
        if waiting and (len(waiting) == size or waiting[0].shape != pixels.shape):
            yield torch.stack(waiting)
            waiting = []
        waiting.append(pixels)
    if waiting:
        yield torch.stack(waiting)
