"""The resume state: everything that lets a killed training go on and end with the same weights."""

import copy
import hashlib
import io
import itertools
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import torch

from seedbed.io.atomic import atomic_path
from seedbed.io.fingerprint import differences, plain, short_hash, spell
from seedbed.io.notice import notice
from seedbed.train.resume_identity import with_defaults

_DIGEST = 32  # bytes of a sha256, which stands before what torch writes: torch itself does not see a flipped bit
_WHERE_BOTH_HAVE_IT = ("compute_threads",)  # a run on a GPU has none


def save_state(path: Path, fingerprint: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write the state, whole or not at all.

    Args:
        path: file of the state.
        fingerprint: settings, data and code of the run, JSON-compatible.
        state: tensors and plain values.

    Raises:
        UserError: the disk is full, or the folder cannot be written; the state before stays.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(bytes(_DIGEST))
        digested = _Digested(stream)
        torch.save({"fingerprint": json.dumps(plain(fingerprint), sort_keys=True), **state}, digested)
        stream.seek(0)
        stream.write(digested.digest.digest())


def load_state(path: Path, fingerprint: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """Return the state to go on from, or None, and a line that says why; the file stays as it is.

    A damaged state, or one of other settings, data or code, is not continued. Nothing but tensors and plain values is
    unpickled.
    """
    state, message, _ = _load(path, fingerprint)
    return state, message


def take_up_state(path: Path, fingerprint: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """As `load_state`, but a state that is not continued makes room: it is set aside, never deleted or overwritten.

    One that was set aside is taken up again by the run that it belongs to. The terminal says what was set aside, and
    where from the settings differ.
    """
    state, message, owner = _load(path, fingerprint)
    if state is not None:
        return state, message
    if path.exists():
        kept = _free(path.with_name(f"{path.name}.damaged") if owner is None else _name_aside(path, owner))
        path.rename(kept)
        notice.warning("%s. It is kept as %s; delete that if you do not need it.", _sentence(message), kept)
    own = _name_aside(path, fingerprint)
    for aside in sorted(path.parent.glob(f"{own.name}*")):
        state, found = load_state(aside, fingerprint)
        if state is not None:
            aside.rename(path)
            notice.warning("%s, which had been set aside.", _sentence(found))
            return state, found
    return None, message


class StateWriter:
    """Writes states beside the training, one at a time; its end waits for the last one.

    An error of the thread that writes is raised in the training: by the next call, or at the end.
    """

    def __init__(self, save: Callable[[Path, Mapping[str, Any], Mapping[str, Any]], None] = save_state) -> None:
        self._save = save
        self._pool: ThreadPoolExecutor | None = None  # no thread before the processes that read images are forked
        self._writing: Future | None = None

    def write(self, path: Path, fingerprint: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Wait for the write before; copy ``state``, which may change at once, and begin to write the copy."""
        self.wait()
        self._pool = self._pool or ThreadPoolExecutor(1, "resume-state")
        self._writing = self._pool.submit(self._save, path, fingerprint, _on_host(state))

    def check(self) -> None:
        """Raise the error of a write that has failed; waits for nothing."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Wait until nothing is being written, and raise the error of a write that has failed."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def __enter__(self) -> "StateWriter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None:
                self.wait()
        finally:
            if self._pool is not None:
                self._pool.shutdown()  # waits: what ends the training must not cut the state that is being written


class _Digested:
    """A stream to write to that keeps the checksum of what it was given."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.digest = stream, hashlib.sha256()

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self.stream.write(data)

    def flush(self) -> None:
        self.stream.flush()


def _on_host(value: Any) -> Any:
    """A copy of nested values, with tensors in the host's memory, that no later step of the training changes."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        copied = copy.copy(value)  # a network's state carries the versions of its layers beside the tensors
        for key, item in value.items():
            copied[key] = _on_host(item)
        return copied
    if isinstance(value, list | tuple):
        return type(value)(_on_host(item) for item in value)
    return value


def _load(path: Path, fingerprint: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str, dict[str, Any] | None]:
    """What `load_state` returns, and the fingerprint in the file, if it can be read."""
    anew = "starting from the first step"
    if not path.exists():
        return None, anew, None
    content = memoryview(path.read_bytes())
    if hashlib.sha256(content[_DIGEST:]).digest() != bytes(content[:_DIGEST]):
        return None, f"{anew}: {path} is damaged", None
    state = torch.load(io.BytesIO(content[_DIGEST:]), map_location="cpu", weights_only=True)
    owner = json.loads(state.pop("fingerprint"))
    found = _differences(owner, fingerprint)
    if found:
        return None, f"{anew}: {path} belongs to other settings, data or code ({spell(found)})", owner
    return state, f"going on from step {state['step']}, saved in {path}", owner


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    before = {**before, "settings": with_defaults(before.get("settings", {}))}
    now = {**now, "settings": with_defaults(now.get("settings", {}))}
    one_sided = [key for key in _WHERE_BOTH_HAVE_IT if (key in before) != (key in now)]
    return differences(*({key: value for key, value in run.items() if key not in one_sided} for run in (before, now)))


def _name_aside(path: Path, fingerprint: Mapping[str, Any]) -> Path:
    """Where a run's state lies while another run is at work."""
    shared = {key: value for key, value in fingerprint.items() if key not in _WHERE_BOTH_HAVE_IT}
    return path.with_name(f"{path.name}.set-aside-{short_hash(shared)}")


def _free(path: Path) -> Path:
    """The path, or with a number behind it that nothing has yet."""
    numbered = (path.with_name(f"{path.name}.{number}") for number in itertools.count(2))
    return next(name for name in itertools.chain([path], numbered) if not name.exists())


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
