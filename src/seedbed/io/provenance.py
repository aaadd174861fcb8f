"""What made an artifact: parameters, data checksum, code version, library versions, seed and device.

No clock, host or user name enters, so the same inputs give the same bytes.
"""

import functools
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import seedbed

_LIBRARIES = ("numpy", "scipy", "torch", "torchvision", "timm", "h5py", "safetensors", "pillow", "pydensecrf2")


def provenance(
    parameters: Mapping[str, Any],
    *,
    code: str = "",
    data: str | None = None,
    seed: int | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Return the record that artifacts carry.

    Args:
        parameters: what the rule received, JSON-compatible.
        code: digest of the code that the artifact depends on, see `seedbed.io.identity`.
        data: checksum of the data set, as its card gives it.
        seed: seed of everything random.
        device: ``cpu``, or the GPU's name.
    """
    return {
        "parameters": json.loads(json.dumps(parameters, default=str)),
        "data_sha256": data,
        "code": {"seedbed": seedbed.__version__, "sha256": code},
        "libraries": library_versions(),
        "seed": seed,
        "device": device,
    }


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = [("python", platform.python_version())]
    for name in _LIBRARIES:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue  # conda names one of them differently; a library that is not installed made nothing
    return tuple(found)


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries whose arithmetic enters results."""
    return dict(_versions())


def digest_files(paths: Iterable[str | Path]) -> str:
    """Return one sha256 over names and contents of ``paths``; neither their folders nor their order matter."""
    entries = {path.resolve(): f"{path.name}\0{file_sha256(path)}\n" for path in map(Path, paths)}
    return hashlib.sha256("".join(sorted(entries.values())).encode()).hexdigest()


def file_sha256(path: str | Path) -> str:
    """Return the sha256 of a file's bytes as 64 hex digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
