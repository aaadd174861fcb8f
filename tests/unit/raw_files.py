"""A miniature file to fetch, its source, and how tests fetch it."""

import contextlib
import hashlib
import io
import resource
import tarfile

import numpy as np

from seedbed.data.raw.fetch import Retry, fetch
from seedbed.data.raw.sources import FileSource

QUICK = Retry(attempts=3, first_wait=0.01, factor=2.0)
HTML = b"<!DOCTYPE html><html><body>Please log in</body></html>"
MANUAL = {"manual": True, "instructions": "Log in and take the archive."}


def noise_archive():
    """A tar archive of 410 KiB that does not compress, so that cuts fall inside it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("data/noise.bin")
        entry.size = 400 << 10
        archive.addfile(entry, io.BytesIO(np.random.default_rng(0).bytes(entry.size)))
    return buffer.getvalue()


CONTENT = noise_archive()


def source(*urls, content=None, **more):
    """A source without checksum, or with size and sha256 of ``content``."""
    known = {} if content is None else {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    fields = {"name": "x", "kind": "archive", "version": "1", "file": "x.tar", "licence": "free"}
    fields |= {"page": "http://x.example/get"} | known | more
    return FileSource(urls=urls, **fields)


def get(source, folder, **more):
    options = {"lock_file": folder / "lock.json", "progress": False, "retry": QUICK, "timeout": 5.0} | more
    return fetch(source, folder / "raw", **options)


def left(folder):
    """Files in the folder of raw files, lock files aside."""
    return sorted(path.name for path in (folder / "raw").iterdir() if not path.name.endswith(".lock"))


@contextlib.contextmanager
def quota(size):
    """Inside the block no file can grow beyond so many bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
