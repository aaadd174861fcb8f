"""Published checkpoints in place of our own training, to tell a difference of training from one of evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from seedbed.errors import DataError
from seedbed.io.provenance import file_sha256
from seedbed.models.registry import create_model, task_of
from seedbed.models.texts import TENSORS, give_texts
from seedbed.models.weights.loading import load_weights


@dataclass(frozen=True)
class PublishedWeights:
    """A published file.

    Attributes:
        path: where it lies.
        layout: how it names its tensors, see `seedbed.models.load_weights`.
        drop: modules of the file that the network has not, on purpose.
        subtree: entry of the file, or module in it, that holds the network; see `seedbed.models.load_weights`.
    """

    path: str
    layout: str = "checkpoint"
    drop: Sequence[str] = ()
    subtree: str = ""


@dataclass(frozen=True)
class PublishedNetwork:
    """A network and the file that it is filled from.

    Attributes:
        architecture, options: as `create_model` takes them.
        checkpoint: the file.
        num_classes: outputs of a classifier; None for those of the data set.
    """

    architecture: str
    checkpoint: PublishedWeights
    options: Mapping[str, Any] = field(default_factory=dict)
    num_classes: int | None = None


def adopt_checkpoint(
    network: PublishedNetwork, name: str, dataset: str, classes: int, texts: str | Path | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """Load a network's published checkpoint, strictly: every tensor of the network comes from the file.

    Args:
        network: its ``checkpoint`` says where the file lies and how it names its tensors.
        name: the section's name, for the record.
        dataset: name of the data set.
        classes: its classes, without background.
        texts: file of the texts that the network compares images with, which published files lack; None for others.

    Returns:
        The network, and the record that tables quote: ``network``, ``dataset``, ``file``, ``sha256``, ``bytes``,
        ``layout``, ``left_out`` (names of the file's tensors that are not used), ``taken`` (the file's entry that the
        weights are, such as ``model_ema``; only where there is one).

    Raises:
        DataError: the file is missing or broken, would run code, or does not fit; or its layout leaves layers of the
            network untrained.
        ParameterError: the layout is unknown, or there are texts for a network that takes none.
    """
    checkpoint, path = network.checkpoint, Path(network.checkpoint.path)
    model = create_model(network.architecture, _outputs(network, classes), **network.options)
    try:
        found = load_weights(model, path, layout=checkpoint.layout, drop=checkpoint.drop, subtree=checkpoint.subtree)
    except DataError as error:
        hint = (
            f"If it knows other classes than {dataset}'s {classes}, say which data set it is for (checkpoint.dataset)."
        )
        raise DataError(f"The checkpoint of {name} cannot be used on {dataset}. {error} {hint}") from error
    give_texts(model, texts)
    fresh = [layer for layer in found.fresh if texts is None or layer not in TENSORS]
    if fresh:
        layers = ", ".join(fresh[:5])
        raise DataError(
            f"{path}: layout '{checkpoint.layout}' leaves {layers} of {name} untrained; this is no checkpoint."
        )
    record: dict[str, Any] = {"network": name, "dataset": dataset, "file": str(path), "sha256": file_sha256(path)}
    record |= {"bytes": path.stat().st_size, "layout": checkpoint.layout, "left_out": found.dropped}
    return model, record | ({"taken": found.taken} if found.taken else {})


def _outputs(network: PublishedNetwork, classes: int) -> int | None:
    match task_of(network.architecture):
        case "segmentation":
            return classes + 1
        case "affinity":
            return None
        case _:
            return network.num_classes or classes
