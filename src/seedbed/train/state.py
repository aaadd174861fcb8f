"""The resume state: everything that lets a killed training go on and end with the same weights."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import torch

from seedbed.io.atomic import atomic_path

_DIGEST = 32  # bytes of a sha256, which stands before what torch writes: torch itself does not see a flipped bit


def save_state(path: Path, fingerprint: dict[str, Any], state: dict[str, Any]) -> None:
    """Write the state, whole or not at all.

    Args:
        path: file of the state.
        fingerprint: settings, data and code of the run, JSON-compatible.
        state: tensors and plain values.
    """
    buffer = io.BytesIO()
    torch.save({"fingerprint": _text(fingerprint), **state}, buffer)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(hashlib.sha256(buffer.getbuffer()).digest())
        stream.write(buffer.getbuffer())


def load_state(path: Path, fingerprint: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """Return the state to go on from, or None, and a line that says why.

    A damaged state, or one of other settings, data or code, is not continued; the next save replaces it. Nothing but
    tensors and plain values is unpickled.
    """
    if not path.exists():
        return None, "starting from the first step"
    content = memoryview(path.read_bytes())
    if hashlib.sha256(content[_DIGEST:]).digest() != bytes(content[:_DIGEST]):
        return None, f"starting from the first step: {path} is damaged"
    state = torch.load(io.BytesIO(content[_DIGEST:]), map_location="cpu", weights_only=True)
    if state.pop("fingerprint") != _text(fingerprint):
        return None, f"starting from the first step: {path} belongs to other settings, data or code"
    return state, f"going on from step {state['step']}, saved in {path}"


def _text(fingerprint: dict[str, Any]) -> str:
    return json.dumps(fingerprint, sort_keys=True, default=str)
