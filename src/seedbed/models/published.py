"""Weights that timm publishes, by ``architecture.tag``."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
from timm.data import ImageNetInfo
from timm.models import get_arch_pretrained_cfgs
from torch import Tensor, nn

from seedbed.data.raw.lock import DataLock, Pin
from seedbed.errors import DataError, ParameterError, unknown_name
from seedbed.io.weights import read_weights, read_weights_provenance, weights_pin, write_weights
from seedbed.models.registry import create_model
from seedbed.models.weights.loading import load_weights


def fetch_timm_weights(tag: str) -> dict[str, Tensor]:
    """Download (or take from timm's cache) the weights of a tag, such as ``vit_base_patch16_224.orig_in21k_ft_in1k``.

    Raises:
        ParameterError: the name has no tag, or timm does not know it. Without a tag timm picks weights that change.
        DataError: they cannot be fetched.
    """
    architecture = tag.partition(".")[0]
    if not timm.is_model(architecture):
        raise ParameterError(f"timm has no model '{architecture}' (from the tag '{tag}').")
    known = get_arch_pretrained_cfgs(architecture)
    if tag not in known:
        raise ParameterError(unknown_name(f"tag of '{architecture}'", tag, known))
    return _pretrained(tag).state_dict()


def keep_timm_weights(tag: str, file: str | Path, *, lock_file: str | Path, made: str | Path) -> Pin:
    """Keep the weights of a tag in ``file``, held to the lock of data, and return their pin.

    What is there already is verified and left as it is. Weights that lie in ``made`` from an earlier run are taken over
    where they are those of the lock, so that nothing is fetched twice.

    Args:
        tag: as `fetch_timm_weights`.
        file: a safetensors file; its folder is made.
        lock_file: the lock of data.
        made: folder of the weights that networks start from.

    Raises:
        ParameterError: as `fetch_timm_weights`.
        DataError: the weights cannot be fetched, or are not those that the lock recorded; the file is named and stays.
    """
    file, lock = Path(file), DataLock(lock_file)
    known = lock.get(f"timm/{tag}")
    weights = read_weights(file) if file.exists() else _taken_over(tag, Path(made), known) or fetch_timm_weights(tag)
    pin = Pin(tag, *weights_pin(weights))
    try:
        lock.hold(f"timm/{tag}", pin)
    except DataError as error:
        raise DataError(f"{file}: {error}" if file.exists() else str(error)) from None
    if not file.exists():
        write_weights(file, weights, {"timm": tag})
    return pin


def _taken_over(tag: str, folder: Path, known: Pin | None) -> dict[str, Tensor] | None:
    """Weights that were fetched under ``tag`` before and still are those of the lock; None if there are none."""
    for path in sorted(folder.glob("*.safetensors")):
        with contextlib.suppress(DataError):  # a damaged file is another rule's business
            if read_weights_provenance(path).get("parameters", {}).get("tag") == tag:
                weights = read_weights(path)
                if known == Pin(tag, *weights_pin(weights)):
                    return weights
    return None


def open_classifier(
    network: Mapping[str, Any], weights: str | None, classes: str | None
) -> tuple[nn.Module, Sequence[str]]:
    """A classifier that is ready to explain, and the names of its classes.

    Args:
        network: ``architecture`` and ``options``.
        weights: file of its weights; None fetches what timm publishes for the architecture.
        classes: file with a class name a line; None takes ImageNet's 1,000.

    Raises:
        ParameterError: the architecture is unknown.
        DataError: weights cannot be fetched or do not fit.
    """
    names = Path(classes).read_text(encoding="utf-8").split("\n")[:-1] if classes else imagenet_names()
    if weights is None:
        return _pretrained(network["architecture"]), names
    model = create_model(network["architecture"], len(names), **network["options"])
    load_weights(model, weights)
    return model, names


def imagenet_names() -> list[str]:
    """Names of ImageNet's 1,000 classes in the order of its classifiers."""
    info = ImageNetInfo()
    return [info.index_to_description(k).split(",")[0] for k in range(1000)]


def _pretrained(name: str) -> nn.Module:
    if not timm.is_model(name.partition(".")[0]):
        raise ParameterError(unknown_name("model", name, timm.list_models(f"{name.split('_')[0]}*")[:20]))
    try:
        return timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError) as error:
        raise DataError(f"timm weights '{name}' cannot be fetched: {error}. Check the network and rerun.") from error
