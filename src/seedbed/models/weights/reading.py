"""Reading a file of weights into named tensors, whatever container it was published in."""

import argparse
import pickle
import struct
from collections.abc import Collection
from pathlib import Path, PosixPath, PurePosixPath
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from seedbed.errors import DataError, ParameterError
from seedbed.io.weights import read_weights as read_safetensors
from seedbed.models.weights.mxnet import LIST_MAGIC, read_params
from seedbed.models.weights.unwrapping import Found, find_weights

PICKLE_SUFFIXES = (".pth", ".pt", ".bin", ".tar", ".ckpt", ".pkl", ".pyth", ".th")
SUFFIXES = (".safetensors", ".params", *PICKLE_SUFFIXES)
_HEAD = 512  # bytes that tell what a file is
_ARCHIVES = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7-Zip", b"Rar!": "RAR"}
_NUMPYS = ("numpy.core.multiarray", "numpy._core.multiarray")  # before and since NumPy 2


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Read named tensors from safetensors, a PyTorch pickle or MXNet's ``.params``, on the CPU.

    Pickles are read with ``weights_only=True``: tensors, plain containers, numbers (NumPy's too) and
    ``argparse.Namespace``, never code. Weights nested in a checkpoint are taken out, a running average before the raw
    weights, and names are without what DataParallel, ``torch.compile`` and other wrappers put before them.

    Raises:
        ParameterError: the suffix is none of those known.
        DataError: the file is missing, broken, something else (a web page, a pointer of Git LFS), or holds no weights.
    """
    return read_checkpoint(path).tensors


def read_checkpoint(path: Path | str, subtree: str = "", parts: Collection[str] = ()) -> Found:
    """`read_weights`, and which entry of the file the weights are; ``subtree`` and ``parts`` as in `find_weights`.

    Raises:
        ParameterError, DataError: as `read_weights`, or there is no such subtree.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"There is no weights file {path}.")
    if path.suffix.lower() not in SUFFIXES:
        raise ParameterError(f"{path} has a suffix that no weights reader knows. Known: {', '.join(SUFFIXES)}.")
    content = _content(path)
    if isinstance(content, dict) and not content:
        raise DataError(f"{path} holds no tensors.")
    return find_weights(content, str(path), subtree, parts)


def _content(path: Path) -> Any:
    """What a file holds, by how it begins: suffixes of published weights do not always tell."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    _require_weights(path, head)
    if head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < path.stat().st_size:
        return read_safetensors(path)
    if head.startswith(struct.pack("<Q", LIST_MAGIC)):
        return {name: torch.from_numpy(array) for name, array in read_params(path).items()}
    if head.startswith((b"PK\x03\x04", b"\x80")) or path.suffix.lower() in PICKLE_SUFFIXES:
        return _read_pickle(path)
    return read_safetensors(path) if path.suffix.lower() == ".safetensors" else read_params(path)


def _require_weights(path: Path, head: bytes) -> None:
    """Refuse what is downloaded in place of weights."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    shown = _first_words(text)
    if not head:
        raise DataError(f"{path} is empty; fetch it again.")
    if text.startswith(b"version https://git-lfs"):
        raise DataError(
            f"{path} begins with '{shown}': it is a pointer of Git LFS, not the weights. Fetch them with `git lfs "
            "pull` in the clone it is from, or from the repository's download link."
        )
    if text.startswith(b"<"):
        raise DataError(
            f"{path} begins with '{shown}': it is a web page, not the weights (a sign-in, a warning or an error that "
            "was saved in their place). Fetch them again, in a browser if need be."
        )
    if kind := next((name for start, name in _ARCHIVES.items() if head.startswith(start)), None):
        raise DataError(f"{path} is compressed ({kind}); unpack it and give the file of weights inside.")
    if text and all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head):
        raise DataError(f"{path} begins with '{shown}': it is text, not weights. Fetch it again.")


def _first_words(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").splitlines()
    return lines[0][:50] if lines else ""


def _read_pickle(path: Path) -> Any:
    try:
        # Training scripts file their command line and their scores, NumPy's numbers among them, beside the weights.
        with torch.serialization.safe_globals(_harmless()), path.open("rb") as file:  # a path's suffix would decide
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        _refuse(path, error)
    except Exception as error:  # a damaged pickle fails in whatever operation it has come to
        raise DataError(f"{path} is not a whole PyTorch checkpoint ({type(error).__name__}: {error}).") from error


def _harmless() -> list[Any]:
    """What a pickle may hold beside tensors: it makes numbers, arrays and plain records, whatever it is given."""
    scalar, array = np.float64(0).__reduce__()[0], np.zeros(1).__reduce__()[0]
    kinds = {type(np.dtype(code)) for code in "?bhilqBHILQefdFDU"}
    named = [
        (made, f"{module}.{name}") for module in _NUMPYS for made, name in ((scalar, "scalar"), (array, "_reconstruct"))
    ]
    return [argparse.Namespace, SimpleNamespace, PosixPath, PurePosixPath, np.ndarray, np.dtype, *kinds, *named]


def _refuse(path: Path, error: Exception) -> NoReturn:
    lines = str(error).rpartition("WeightsUnpickler error:")[2].strip().splitlines()
    raise DataError(
        f"{path} cannot be read as weights alone: {lines[0] if lines else error} If you trust its source, load it "
        "yourself and save its state dict as safetensors."
    ) from error
