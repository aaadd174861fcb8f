"""Reading a file of weights into named tensors, whatever container it was published in."""

import argparse
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seedbed.errors import DataError, ParameterError
from seedbed.io.weights import read_weights as read_safetensors
from seedbed.models.weights.mxnet import read_params

PICKLE_SUFFIXES = (".pth", ".pt", ".bin", ".tar", ".ckpt")
NESTS = ("model", "state_dict")  # keys under which training scripts file the weights


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Read named tensors from ``.safetensors``, a PyTorch pickle or MXNet ``.params``, on the CPU.

    Pickles are read with ``weights_only=True``: tensors, plain containers and ``argparse.Namespace``, never code.
    Weights nested under ``model`` or ``state_dict`` are taken out, and a ``module.`` in front of every name (from
    DataParallel) is removed.

    Raises:
        ParameterError: the suffix is none of those known.
        DataError: the file is missing, broken, or holds no weights.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"There is no weights file {path}.")
    if path.suffix == ".safetensors":
        tensors = read_safetensors(path)
    elif path.suffix == ".params":
        tensors = {name: torch.from_numpy(array) for name, array in read_params(path).items()}
    elif path.suffix in PICKLE_SUFFIXES:
        tensors = state_dict_of(_read_pickle(path), str(path))
    else:
        known = ", ".join((".safetensors", ".params", *PICKLE_SUFFIXES))
        raise ParameterError(f"{path} has a suffix that no weights reader knows. Known: {known}.")
    if not tensors:
        raise DataError(f"{path} holds no tensors.")
    return tensors


def state_dict_of(content: Any, source: str) -> dict[str, Tensor]:
    """Find the named tensors in a checkpoint's content: unnest, then drop a ``module.`` common to all names."""
    nest = next((key for key in NESTS if isinstance(content, Mapping) and isinstance(content.get(key), Mapping)), None)
    if nest is not None:
        return state_dict_of(content[nest], f"{source}[{nest!r}]")
    if not isinstance(content, Mapping):
        raise DataError(f"{source} holds a {type(content).__name__}, not a dictionary of named tensors.")
    if odd := [key for key, value in content.items() if not (isinstance(key, str) and isinstance(value, Tensor))]:
        raise DataError(f"{source} is not a dictionary of named tensors: look at {', '.join(map(repr, odd[:5]))}.")
    if all(name.startswith("module.") for name in content):
        return {name.removeprefix("module."): tensor for name, tensor in content.items()}
    return dict(content)


def _read_pickle(path: Path) -> Any:
    try:
        # Training scripts of the DeiT family file their command line beside the weights.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).rpartition("WeightsUnpickler error:")[2].strip().splitlines()[0]
        raise DataError(
            f"{path} cannot be read as weights alone: {reason} If you trust its source, load it yourself and save its "
            "state dict as safetensors."
        ) from error
    except Exception as error:  # a damaged pickle fails in whatever operation it has come to
        raise DataError(f"{path} is not a whole PyTorch checkpoint ({type(error).__name__}: {error}).") from error
