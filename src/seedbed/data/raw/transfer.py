"""One HTTP transfer into a partial file, taken up where an earlier one broke off."""

import contextlib
import http.client
import json
import re
import shutil
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import seedbed
from seedbed.data.raw.verify import HEAD, wrong_format
from seedbed.errors import UserError

_CHUNK = 1 << 18
_RETRIED = {408, 425, 429, 500, 502, 503, 504}


class Refused(Exception):
    """This address does not give the file, and asking again will not change that."""


class Interrupted(Exception):
    """The transfer broke off; what came is kept. ``wait`` is what the server asked for, in seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Part:
    """A partial file and, beside it, where its bytes came from.

    Attributes:
        path: the partial file; ``<path>.json`` keeps address, validator and total size.
        trusted: whether a checksum will prove the whole, so that it may be taken up at another address, or without a
            validator.
        spliced: whether bytes of more than one transfer may be in it.
    """

    def __init__(self, path: Path, trusted: bool) -> None:
        self.path, self.trusted = path, trusted
        self._record = path.with_name(f"{path.name}.json")
        self.spliced = self.size() > 0

    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def origin(self) -> Mapping[str, Any]:
        """``url``, ``etag``, ``modified`` and ``total`` of the transfer that began the file; empty if unknown."""
        try:
            content = json.loads(self._record.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def resumable(self, url: str) -> int:
        """From which byte ``url`` may go on; 0 where bytes of two different files could be joined unnoticed."""
        origin = self.origin()
        same_file = origin.get("url") == url and validator(origin)
        return self.size() if self.trusted or same_file else 0

    def complete(self) -> bool:
        """Whether all bytes that the server announced are there."""
        return self.size() > 0 and self.size() == self.origin().get("total")

    def begin(self, origin: Mapping[str, Any]) -> None:
        """Start over with bytes of ``origin``."""
        self.discard()
        self._record.write_text(json.dumps(origin))

    def discard(self) -> None:
        """Remove the file: its content is wrong, or no longer needed."""
        self.path.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)
        self.spliced = False


@dataclass(frozen=True)
class _Answer:
    """What the server's headers say: first byte sent, size of the whole file (None: unknown), identity."""

    first: int
    total: int | None
    origin: Mapping[str, Any]


def validator(origin: Mapping[str, Any]) -> str | None:
    """What If-Range may compare: a strong entity tag, else the date of the last change."""
    etag = origin.get("etag")
    return etag if etag and not etag.startswith("W/") else origin.get("modified")


def transfer(url: str, part: Part, name: str, size: int | None, timeout: float, bar: Any) -> None:
    """Transfer what is missing of ``url`` into ``part``.

    Args:
        name: the file's final name, whose format the first bytes must have.
        size: its size in bytes where known.
        timeout: seconds of silence after which the server counts as gone.
        bar: has ``start(total, done)`` and ``advance(bytes)``.

    Raises:
        Refused: the address gives no such file, another one, or a web page; nothing of it is kept.
        Interrupted: the transfer broke off; what came is in ``part``.
        UserError: the disk is full, or will be.
    """
    if size is not None and part.size() > size:
        part.discard()
    if part.complete() or (part.trusted and part.size() == size):
        return
    offset = part.resumable(url)
    with _ask(url, part, offset, timeout) as response:
        answer = _read_headers(response, url, offset)
        if size is not None and answer.total not in (None, size):
            raise Refused(f"offers {answer.total:,} bytes where {size:,} are expected")
        if answer.first and _changed(part.origin(), answer.origin):
            part.discard()
            raise Interrupted("has another file than when the transfer began")
        _receive(response, answer, part, name, size or answer.total, bar)


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raise unless ``needed`` bytes are free where ``folder`` lies.

    Raises:
        UserError: naming the folder, what is needed and what is free.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        sizes = f"needs {needed:,} bytes, {free:,} are free"
        raise UserError(f"{folder}: {what} {sizes}. Free some space and rerun; nothing was written.")


@contextlib.contextmanager
def _ask(url: str, part: Part, offset: int, timeout: float) -> Iterator[http.client.HTTPResponse]:
    headers = {"User-Agent": f"seedbed/{seedbed.__version__}", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        known = validator(part.origin())
        if part.origin().get("url") == url and known:
            headers["If-Range"] = known
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and offset:
                part.discard()
                raise Interrupted("has fewer bytes than are already here; starting over") from None
            if error.code in _RETRIED:
                raise Interrupted(f"answers {error.code} {error.reason}", _retry_after(error)) from None
            raise Refused(f"answers {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        reason = error.reason
        unknown_host = isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME
        if unknown_host or isinstance(reason, ssl.SSLCertVerificationError):
            raise Refused(f"cannot be reached ({reason})") from None
        raise Interrupted(f"cannot be reached ({reason})") from None
    except (OSError, http.client.HTTPException) as error:
        raise Interrupted(f"broke off before its answer ({error or type(error).__name__})") from None
    with response:
        yield response


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether size or, at the same address, entity tag are known to differ."""
    keys = ("total", "etag") if before.get("url") == now["url"] else ("total",)
    return any(before.get(key) and now[key] and before[key] != now[key] for key in keys)


def _retry_after(error: urllib.error.HTTPError) -> float:
    text = error.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else 0.0


def _read_headers(response: http.client.HTTPResponse, url: str, offset: int) -> _Answer:
    headers = response.headers
    length = headers.get("Content-Length", "")
    first, total = 0, int(length) if length.isdigit() else None
    if response.status == 206:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", "").strip())
        if not span or int(span[1]) != offset:
            raise Refused(f"answers with the range '{headers.get('Content-Range')}' where byte {offset} is asked for")
        first, total = offset, None if span[2] == "*" else int(span[2])
    origin = {"url": url, "etag": headers.get("ETag"), "modified": headers.get("Last-Modified"), "total": total}
    return _Answer(first, total, origin)


def _receive(
    response: http.client.HTTPResponse, answer: _Answer, part: Part, name: str, total: int | None, bar: Any
) -> None:
    chunk = b""
    if answer.first == 0:
        while len(chunk) < HEAD and (more := _read(response, HEAD - len(chunk))):
            chunk += more
        cut = total is not None and len(chunk) < min(HEAD, total)
        problem = None if cut else wrong_format(chunk, name)
        if problem:
            raise Refused(f"what it sends {problem.rstrip('.')}")
    require_space(part.path.parent, (total or 0) - answer.first, f"fetching {name}")
    if answer.first == 0:
        part.begin(answer.origin)
    else:
        part.spliced = True
    bar.start(total, answer.first)
    with part.path.open("ab", buffering=0) as stream:
        while chunk or (chunk := _read(response, _CHUNK)):
            _write(stream, memoryview(chunk), part.path)
            bar.advance(len(chunk))
            chunk = b""
    if total is not None and part.size() != total:
        raise Interrupted(f"broke off after {part.size():,} of {total:,} bytes")


def _read(response: http.client.HTTPResponse, size: int) -> bytes:
    try:
        return response.read1(size)
    except (OSError, http.client.HTTPException) as error:
        raise Interrupted(f"broke off ({error or type(error).__name__})") from None


def _write(stream: Any, rest: memoryview, path: Path) -> None:
    try:
        while rest:
            rest = rest[stream.write(rest) :]
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}). What came is kept; mend it and rerun."
        ) from error
