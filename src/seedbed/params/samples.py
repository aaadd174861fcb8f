"""The folder of samples, ``samples=``: real photographs that `papers/evidence.yaml` is measured on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seedbed.errors import ParameterError

FOLDERS = {
    "photographs": ("voc-sample", "folder"),
    "imagenet_photographs": ("imagenet-sample", "imagenet_folder"),
}
"""Data set of the tables -> the folder of the samples that it is, and its kind."""
PSEUDO_MASKS = "pseudo-masks-sample"
"""Masks made elsewhere and their truth, in ``masks`` and ``truth``."""


def sample_values(folder: Path, preset: str, stand_ins: Mapping[str, Any]) -> dict[str, Any]:
    """What a folder of samples adds to a preset: the data sets that lie in it.

    Args:
        folder: of the samples.
        preset: its name.
        stand_ins: the preset's.

    Raises:
        ParameterError: the preset measures no samples, or the folder holds none.
    """
    if not set(FOLDERS) <= set(stand_ins):
        raise ParameterError(f"samples: preset '{preset}' measures nothing on samples. Give --config preset=small.")
    if not folder.is_dir():
        raise ParameterError(f"samples: '{folder}' is not a folder. Give the one that holds {_some_of()}.")
    if len(samples_left_out(folder)) == len(FOLDERS) + 1:
        raise ParameterError(f"samples: {folder} holds none of {_some_of()}. Give the folder around them.")
    found = {
        name: {"kind": kind, "path": str((folder / part).resolve())}
        for name, (part, kind) in FOLDERS.items()
        if (folder / part).is_dir()
    }
    return {"datasets": found, "stand_ins": {name: name for name in found}, "shards": 1}  # jobs take longer to start


def samples_left_out(folder: Path) -> list[str]:
    """Samples that a folder lacks."""
    return [name for name in (*(part for part, _ in FOLDERS.values()), PSEUDO_MASKS) if not (folder / name).is_dir()]


def _some_of() -> str:
    return f"{', '.join(part for part, _ in FOLDERS.values())} and {PSEUDO_MASKS}, or some of them"
