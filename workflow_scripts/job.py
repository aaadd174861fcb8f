"""What every workflow script shares: its log, its errors, its device and the provenance of what it writes."""

import contextlib
import functools
import gc
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

# What imports make lives as long as the job: looking through it for garbage is a third of a start. On again in `job`.
gc.disable()

# Sums are split over threads, so the count is part of a result: one, unless training's parameters say otherwise.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

# The library beside the workflow, also where a job's environment holds only what it needs (`--sdm conda`, a container).
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from seedbed.devices.heap import keep_freed_memory  # noqa: E402
from seedbed.devices.launch import launch, rank  # noqa: E402 (threads are counted when numpy and torch are imported)
from seedbed.devices.lease import Lease, lease  # noqa: E402
from seedbed.devices.torch_device import choose_device  # noqa: E402
from seedbed.devices.visible import VARIABLE, wanted_devices  # noqa: E402
from seedbed.errors import UserError  # noqa: E402
from seedbed.io.notice import notice  # noqa: E402
from seedbed.io.provenance import provenance  # noqa: E402

keep_freed_memory()


def _take_devices() -> Lease | UserError:
    """Hold the GPUs that the rule asks for, and show this process no others; before torch is imported.

    A mistake is returned, so that `job` can report it.
    """
    snakemake = sys.modules["__main__"].snakemake

    def say(what: str) -> None:
        print(f"Rule {snakemake.rule}: {what}.", file=sys.stderr, flush=True)

    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # that of nvidia-smi
    try:
        held = lease(wanted_devices(dict(snakemake.resources.items())), on_wait=say)
    except UserError as error:
        return error
    os.environ[VARIABLE] = ",".join(held.devices)
    return held


# The processes of a shared training use what the one that started them holds.
DEVICES = _take_devices() if rank() is None else None


def _die_with_snakemake() -> None:
    """End this process soon after the Snakemake that started it is gone, so that no orphan works beside a new run.

    A script that was started alone (`alone.py`) has none.
    """
    if "alone" in sys.modules["__main__"].__dict__:
        return
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


class Job:
    """A running rule."""

    def __init__(self, snakemake: Any, terminal: Any) -> None:
        self.snakemake, self.terminal = snakemake, terminal

    def say(self, text: str) -> None:
        """Put what a user should know on the terminal as well as into the log."""
        logging.warning("%s", text)
        self.show(f"Note of rule {self.snakemake.rule}: {text}")

    def show(self, text: str) -> None:
        """Put text on the terminal."""
        print(f"\n{text}\n", file=self.terminal, flush=True)

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

    @functools.cached_property
    def device(self) -> Any:
        """A GPU if the rule declares one and the machine has one, else the CPU; the log says which."""
        wanted = wanted_devices(dict(self.snakemake.resources.items()))
        precision = self.snakemake.params.get("precision", "float32")  # results that name none have that
        chosen = choose_device(wanted, rank() or 0, precision=precision)
        if wanted:
            logging.info("%d GPUs asked for; computing on %s", wanted, chosen)
        return chosen

    def leave_the_rest_to_the_first(self) -> None:
        """End this process here if it is one of several that trained together, and not the first."""
        if rank():
            raise SystemExit(0)

    def identity(self, parameter: str) -> Any:
        """What of a parameter decides the result: all of it, but for options that say what their absence says."""
        given = self.snakemake.params[parameter]
        return getattr(given, "identity", given)

    def provenance(self, data: str | None = None, **more: Any) -> dict[str, Any]:
        """The record for what this rule writes."""
        parameters = dict(self.snakemake.params.items()) | more
        code = parameters.pop("code", "")
        return provenance(parameters, code=code, data=data, seed=self.seed, device=self._device_name())

    def _device_name(self) -> str:
        if "torch" not in sys.modules or self.device.type == "cpu":
            return "cpu"
        import torch

        return torch.cuda.get_device_name()


@contextlib.contextmanager
def _notices_shown(rule: str, terminal: TextIO) -> Iterator[None]:
    """Show the library's notices in the terminal, as well as in the log."""
    handler = logging.StreamHandler(terminal)
    handler.setFormatter(logging.Formatter(f"Rule {rule}: %(message)s"))
    notice.addHandler(handler)
    try:
        yield
    finally:
        notice.removeHandler(handler)


@contextlib.contextmanager
def job(snakemake: Any, shared: bool = False) -> Iterator[Job]:
    """Send progress and messages to the rule's log, and end with one clear line where the user can mend the cause.

    A ``shared`` script runs once on each GPU that the rule asks for, at the same time; see `seedbed.train.ranks`.
    """
    gc.freeze()  # nor is it looked through later, or when the interpreter is taken apart
    gc.enable()
    terminal = sys.stderr
    _die_with_snakemake()
    with contextlib.ExitStack() as stack:
        if snakemake.log:
            Path(snakemake.log[0]).parent.mkdir(parents=True, exist_ok=True)
            if rank() is None:
                Path(snakemake.log[0]).write_text("")
            sys.stderr = stack.enter_context(Path(snakemake.log[0]).open("a", buffering=1))
        level = logging.WARNING if rank() else logging.INFO
        logging.basicConfig(stream=sys.stderr, level=level, format="%(asctime)s %(message)s", force=True)
        logging.captureWarnings(True)
        stack.enter_context(_notices_shown(snakemake.rule, terminal))
        try:
            if isinstance(DEVICES, UserError):
                raise DEVICES
            if shared and DEVICES is not None and len(DEVICES.devices) > 1:
                raise SystemExit(launch([sys.executable, sys.argv[0]], len(DEVICES.devices)))
            yield Job(snakemake, terminal)
        except UserError as error:
            if rank():
                time.sleep(10)  # the first process most likely says the same, and the launcher then ends this one
            logging.error("%s", error)
            print(f"\nError in rule {snakemake.rule}: {error}\n", file=terminal, flush=True)
            sys.stderr = terminal
            raise SystemExit(1) from None
        except SystemExit:
            raise
        except KeyboardInterrupt:
            traceback.print_exc()
            print(f"\nRule {snakemake.rule}: interrupted.\n", file=terminal, flush=True)
            sys.stderr = terminal
            raise SystemExit(130) from None
        except BaseException:
            traceback.print_exc()
            print(f"\nError in rule {snakemake.rule}; the log is {snakemake.log}.\n", file=terminal, flush=True)
            raise
        finally:
            sys.stderr = terminal
            gc.freeze()  # the process ends: what was imported meanwhile need not be looked through either
