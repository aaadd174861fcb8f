"""Network weights as safetensors, with provenance in the header."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from seedbed.errors import DataError
from seedbed.io.atomic import write_bytes


def write_weights(path: str | Path, tensors: Mapping[str, torch.Tensor], provenance: Mapping[str, Any]) -> None:
    """Write tensors to a safetensors file, whole or not at all, sorted by name."""
    write_bytes(path, save(_sorted_copy(tensors), metadata={"provenance": json.dumps(provenance, sort_keys=True)}))


def weights_pin(tensors: Mapping[str, torch.Tensor]) -> tuple[int, str]:
    """Bytes and sha256 of the tensors as safetensors without provenance: the same for the same names and values."""
    content = save(_sorted_copy(tensors))
    return len(content), hashlib.sha256(content).hexdigest()


def content_sha256(path: str | Path) -> str:
    """Checksum of a safetensors file's names and values, whatever its provenance says.

    Raises:
        DataError: as `read_weights`.
    """
    return weights_pin(read_weights(path))[1]


def _sorted_copy(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    # Cloned, because the format refuses tensors that share memory, as tied weights do.
    return {name: tensors[name].detach().cpu().clone(memory_format=torch.contiguous_format) for name in sorted(tensors)}


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file by name.

    Raises:
        DataError: the file is missing, truncated or of another format.
    """
    with _open(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)


def read_weights_provenance(path: str | Path) -> dict[str, Any]:
    """Return the provenance of a safetensors file; empty if it was written by other software."""
    with _open(path) as file:
        return json.loads((file.metadata() or {}).get("provenance", "{}"))


def compare_weights(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Say how far two sets of weights differ.

    Returns:
        ``identical`` (same names, shapes and values), ``names`` that only one of them has or whose shapes differ, and
        ``largest_difference`` over the tensors that both have.
    """
    shared = {name for name in one.keys() & other.keys() if one[name].shape == other[name].shape}
    gaps = [float((one[name].double() - other[name].double()).abs().max()) for name in shared if one[name].numel()]
    names = sorted((one.keys() | other.keys()) - shared)
    largest = max(gaps, default=0.0)
    return {"identical": not names and largest == 0, "names": names, "largest_difference": largest}


def _open(path: str | Path) -> Any:
    try:
        return safe_open(str(path), framework="pt")
    except FileNotFoundError:
        raise DataError(f"{path}: no such weights file.") from None
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: not a readable safetensors file ({error}). Delete it and make it again.") from None
