"""What every workflow script shares: its log, its errors, its device and the provenance of what it writes."""

import contextlib
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Sums are split over threads, so the count is part of a result: one, unless training's parameters say otherwise.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

from seedbed.errors import UserError  # noqa: E402 (threads are counted when numpy and torch are first imported)
from seedbed.io.provenance import provenance  # noqa: E402


def _die_with_snakemake() -> None:
    """End this process soon after the Snakemake that started it is gone, so that no orphan works beside a new run."""
    grandparent = _parent_of(os.getppid())

    def watch() -> None:
        while _parent_of(os.getppid()) == grandparent:
            time.sleep(1)
        os._exit(1)

    if grandparent is not None:
        threading.Thread(target=watch, daemon=True).start()


def _parent_of(pid: int) -> int | None:
    """Parent of a process, or None where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError, ValueError):
        return None


def gpus_of(resources: Any) -> int:
    """GPUs that a rule asks for, as ``gpu=2`` or, on some clusters, as ``gres="gpu:a100:2"``."""
    name, _, number = str(resources.get("gres", "")).rpartition(":")
    return int(resources.get("gpu", 0) or 0) or (int(number) if name.startswith("gpu") else 0)


class Job:
    """A running rule."""

    def __init__(self, snakemake: Any) -> None:
        self.snakemake = snakemake

    @property
    def seed(self) -> int | None:
        """The row's seed, where the rule has one."""
        return int(self.snakemake.wildcards.seed) if "seed" in self.snakemake.wildcards.keys() else None  # noqa: SIM118

    @property
    def shard(self) -> tuple[int, int]:
        """Number (from 1) and count of the shard, 1 of 1 where the rule has none."""
        item = getattr(self.snakemake.wildcards, "scatteritem", None) or "1-of-1"
        number, count = item.split("-of-")
        return int(number), int(count)

    @property
    def device(self) -> Any:
        """A GPU if the rule declares one and the machine has one, else the CPU."""
        import torch

        return torch.device("cuda" if gpus_of(self.snakemake.resources) and torch.cuda.is_available() else "cpu")

    def provenance(self, data: str | None = None, **more: Any) -> dict[str, Any]:
        """The record for what this rule writes."""
        parameters = dict(self.snakemake.params.items()) | more
        code = [Path(path) for path in self.snakemake.input.get("code", [])]
        return provenance(parameters, code=code, data=data, seed=self.seed, device=self._device_name())

    def _device_name(self) -> str:
        if "torch" not in sys.modules or self.device.type == "cpu":
            return "cpu"
        import torch

        return torch.cuda.get_device_name()


@contextlib.contextmanager
def job(snakemake: Any) -> Iterator[Job]:
    """Send progress and messages to the rule's log, and end with one clear line where the user can mend the cause."""
    terminal = sys.stderr
    _die_with_snakemake()
    with contextlib.ExitStack() as stack:
        if snakemake.log:
            Path(snakemake.log[0]).parent.mkdir(parents=True, exist_ok=True)
            sys.stderr = stack.enter_context(Path(snakemake.log[0]).open("w", buffering=1))
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", force=True)
        logging.captureWarnings(True)
        try:
            yield Job(snakemake)
        except UserError as error:
            logging.error("%s", error)
            print(f"\nError in rule {snakemake.rule}: {error}\n", file=terminal, flush=True)
            sys.stderr = terminal
            raise SystemExit(1) from None
        except BaseException:
            traceback.print_exc()
            print(f"\nError in rule {snakemake.rule}; the log is {snakemake.log}.\n", file=terminal, flush=True)
            raise
        finally:
            sys.stderr = terminal
