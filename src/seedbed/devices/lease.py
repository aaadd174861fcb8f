"""Hand out GPUs to the jobs of one machine: a lock file for each GPU, held by whoever computes on it.

The kernel drops an advisory lock with the last process that has it open, SIGKILL included, so nothing is ever left to
clean up. The files themselves stay: deleting one would let two jobs lock two files of the same name.
"""

import os
import random
import stat
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from seedbed.devices.visible import VARIABLE, lock_names, visible_devices
from seedbed.errors import UserError
from seedbed.io.filelock import Lock, lock

FOLDER_VARIABLE = "SEEDBED_DEVICE_LOCKS"
_PAUSE = (0.1, 0.3)  # seconds between tries, at random, so that two who block each other part


class Lease(NamedTuple):
    """GPUs that this process holds until it ends or `give_back` is called.

    Attributes:
        devices: their ids, in the pool's order; empty on a machine without GPUs.
        asked: how many were asked for.
        waited: seconds until they were free.
    """

    devices: tuple[str, ...]
    asked: int
    waited: float
    locks: tuple[IO, ...]

    def give_back(self) -> None:
        """Let others have them."""
        for file in self.locks:
            file.close()


def lease(
    count: int,
    pool: Sequence[str] | None = None,
    folder: Path | None = None,
    on_wait: Callable[[str], None] | None = None,
) -> Lease:
    """Wait until ``count`` GPUs of the pool are free at once, and take them.

    Whoever waits keeps the gate shut behind it, so that jobs are served in the order in which they came and a large one
    is not starved by small ones; and it holds no GPU while it waits, so that nobody waits in a circle. Where the
    folder's file system has no locks, a warning says so and the GPUs are drawn at random.

    Args:
        count: how many; 0 takes none.
        pool: ids to choose from; None: those that this process sees.
        folder: where the lock files lie; None: the machine's and user's own, see `lock_folder`.
        on_wait: told once, in words, that there is something to wait for.

    Returns:
        The lease; without any device where the pool is empty, since then the job computes on the CPU.

    Raises:
        UserError: more are asked for than the pool has, or the folder is not this user's.
    """
    pool = tuple(visible_devices() if pool is None else pool) if count else ()
    if not pool:
        return Lease((), count, 0.0, ())
    if count > len(pool):
        raise UserError(
            f"{count} GPUs are asked for, but only {len(pool)} can be seen ({', '.join(pool)}). Ask for fewer (the "
            f"rule's resource gpu), or show more in {VARIABLE}."
        )
    folder = lock_folder() if folder is None else folder
    names = lock_names(pool)
    start = time.monotonic()
    gate = _opened(folder / f"gate-{'-'.join(sorted(names.values()))[:200]}.lock")
    with gate:
        found = lock(gate, wait=False)
        if found is Lock.NONE:  # nobody's GPUs can be seen: at random, so that jobs spread at least
            return Lease(tuple(sorted(random.sample(pool, count), key=pool.index)), count, 0.0, ())
        if found is Lock.BUSY:
            _tell(on_wait, count, pool)
            on_wait = None
            lock(gate)
        while True:
            taken = _take(count, {device: folder / f"gpu-{name}.lock" for device, name in names.items()})
            if taken:
                return Lease(tuple(taken), count, time.monotonic() - start, tuple(taken.values()))
            _tell(on_wait, count, pool)
            on_wait = None
            time.sleep(random.uniform(*_PAUSE))


def lock_folder() -> Path:
    """The folder of this machine's and user's locks, made if it is missing; one for each job of a Slurm cluster.

    ``SEEDBED_DEVICE_LOCKS`` names another; it must lie on this machine's own disk.

    Raises:
        UserError: the folder belongs to somebody else, or others may write to it.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    # Not TMPDIR, which differs between runs that must see each other.
    base = Path("/tmp") if Path("/tmp").is_dir() else Path(tempfile.gettempdir())
    folder = Path(named) if named else base / f"seedbed-gpus-{os.getuid()}"
    if job := os.environ.get("SLURM_JOB_ID"):
        # Slurm has handed out the GPUs already, and may number those of each job from 0.
        folder = folder.with_name(f"{folder.name}-slurm-{job}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise UserError(
            f"{folder}: is not a folder that you alone can write to, so GPUs cannot be locked in it. Remove it, or "
            f"name another in {FOLDER_VARIABLE}."
        )
    return folder


def _take(count: int, paths: dict[str, Path]) -> dict[str, IO]:
    """Lock ``count`` of the files, by device, or none of them."""
    taken: dict[str, IO] = {}
    for device, path in paths.items():
        file = _opened(path)
        if lock(file, wait=False) is Lock.BUSY:
            file.close()
            continue
        taken[device] = file
        if len(taken) == count:
            return taken
    for file in taken.values():
        file.close()
    return {}


def _opened(path: Path) -> IO:
    return path.open("a")


def _tell(on_wait: Callable[[str], None] | None, count: int, pool: Sequence[str]) -> None:
    if on_wait is not None:
        on_wait(f"waiting for {count} of the GPUs {', '.join(pool)}, which other jobs hold")
