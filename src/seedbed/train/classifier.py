"""Training a classifier on image-level labels, and its accuracy on held-out images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from seedbed.data.datasets import LabelledPictures, steps_per_epoch
from seedbed.data.index import DataIndex, Record
from seedbed.data.transforms import build_transform
from seedbed.data.views import InputView
from seedbed.errors import DataError, ParameterError, unknown_name
from seedbed.models.input_size import misplaced
from seedbed.models.registry import create_model
from seedbed.models.texts import give_texts
from seedbed.models.weights.loading import load_weights
from seedbed.settings.optimisation import Training
from seedbed.train.best_epoch import BestEpoch, Score
from seedbed.train.loop import fit
from seedbed.train.objectives import build_objective, excludes_other_classes
from seedbed.train.run import History


@dataclass(frozen=True)
class ClassifierSettings:
    """A classification network and its training.

    Attributes:
        architecture, options: as `create_model` takes them.
        input: what the network's pixels are normalised with.
        num_classes: outputs; None for those of the data set.
        weights_options: how a weights file fills it, see `load_into`.
        train: its training; None where there is none.
    """

    architecture: str
    input: InputView
    options: Mapping[str, Any] = field(default_factory=dict)
    num_classes: int | None = None
    weights_options: Mapping[str, Any] = field(default_factory=dict)
    train: Training | None = None


class Trained(NamedTuple):
    """A trained network and how it got there."""

    model: nn.Module
    history: History


def build_classifier(
    settings: ClassifierSettings,
    num_classes: int,
    seed: int,
    weights: str | Path | None,
    texts: str | Path | None = None,
) -> nn.Module:
    """Return the network, initialised from ``seed`` and then from a weights file, as ``settings.weights_options`` say.

    Args:
        settings: architecture and its options.
        num_classes: outputs.
        seed: of the random initial values.
        weights: file of pretrained weights, or None.
        texts: file of the texts that a network compares images with; None for one that compares none.
    """
    torch.manual_seed(seed)
    model = create_model(settings.architecture, num_classes, **settings.options)
    if weights is not None:
        load_into(model, weights, **settings.weights_options)
    give_texts(model, texts)
    return model


def load_into(model: nn.Module, weights: str | Path, into: str = "", **options: Any) -> None:
    """Fill ``model``, or its module named ``into``, from a weights file; ``options`` are those of ``load_weights``.

    Raises:
        ParameterError: there is no such module, or as ``load_weights``.
    """
    modules = dict(model.named_modules())
    if into not in modules:
        raise ParameterError(unknown_name(f"module of {type(model).__name__}", into, filter(None, modules)))
    load_weights(modules[into], weights, **options)


def train_classifier(
    index: DataIndex,
    settings: ClassifierSettings,
    *,
    seed: int,
    weights: str | Path | None,
    state_path: Path,
    fingerprint: dict[str, Any],
    device: torch.device,
    circumstances: Mapping[str, Any] | None = None,
    score: Score | None = None,
    texts: str | Path | None = None,
) -> Trained:
    """Train on the split that ``settings.train`` names; see ``seedbed.train.loop.fit`` for the rest.

    Args:
        score: keeps the network of the epoch that it likes best, see `BestEpoch`; None: the last.

    Raises:
        ParameterError: the settings have no training section, or the network takes no images of the size trained on.
        DataError: no image of the split has a label, or the loss wants exactly one and an image has not.
    """
    training = settings.train
    if training is None:
        raise ParameterError(f"{settings.architecture}: has no section `train`, so there is nothing to train.")
    records = index.split(training.split)
    objective = build_objective(training.loss, **training.loss_options)
    _require_labels(records, training.split, single=excludes_other_classes(training.loss))
    model = build_classifier(settings, settings.num_classes or len(index.classes), seed, weights, texts)
    transform = build_transform(training.augment, settings.input.normalize)
    data = LabelledPictures(index, records, transform, views=getattr(objective, "views", 1))
    options: dict[str, Any] = {"seed": seed, "state_path": state_path, "device": device, "circumstances": circumstances}
    chosen = None
    if score is not None:
        objective = chosen = BestEpoch(objective, score, steps_per_epoch(len(data), training.batch_size))
    height, width = data[0, 0][0].shape[-2:]
    if wrong := misplaced(model, (height, width)):
        raise _of_another_size(settings.architecture, f"{wrong}.")
    try:
        trained = Trained(*fit(model, data, objective, training, fingerprint=fingerprint, **options))
    except AssertionError as error:  # timm's checks of the image size
        raise _of_another_size(settings.architecture, str(error)) from error
    if chosen is None:
        return trained
    trained.history.kept = {"epoch": int(chosen.epoch), "score": float(chosen.best)}
    return trained._replace(model=chosen.result())


def _of_another_size(architecture: str, problem: str) -> ParameterError:
    return ParameterError(
        f"{architecture}: {problem} Let the training's `augment` make images of the network's size "
        "(`resize: [96, 96]`), and give `input.size` and the explainer's the same."
    )


def _require_labels(records: Sequence[Record], split: str, single: bool) -> None:
    if not any(record.labels for record in records):
        raise DataError(f"Split '{split}': no image has a label, so there is nothing to learn.")
    for record in records if single else ():
        if len(record.labels) != 1:
            raise DataError(
                f"Split '{split}': image '{record.image}' has {len(record.labels)} labels, but this loss wants one."
            )
