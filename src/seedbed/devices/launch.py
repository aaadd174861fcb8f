"""Start the processes that share one training, one for each GPU, with PyTorch's elastic launcher.

All are on this machine and find each other through a file; what they send goes over the loopback interface, and nothing
listens on the network.
"""

import contextlib
import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

MEETING_VARIABLE = "SEEDBED_MEETING"
"""Names the file through which the processes find each other; set in them alone."""


def rank() -> int | None:
    """Number of this process, from 0, among those that share a training; None for a process of its own."""
    return int(os.environ["RANK"]) if MEETING_VARIABLE in os.environ else None


def launch(command: Sequence[str], processes: int) -> int:
    """Run ``command`` in several processes at once, each with its ``rank``, and wait for all.

    If one fails, the others are ended. So they are when this process is told to end meanwhile.

    Args:
        command: program and arguments.
        processes: how many.

    Returns:
        0, or the exit code of the process that failed first.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    with tempfile.TemporaryDirectory(prefix="seedbed-ranks-") as folder:
        environment = {
            MEETING_VARIABLE: str(Path(folder) / "ranks"),
            "GLOO_SOCKET_IFNAME": "lo",
            "NCCL_SOCKET_IFNAME": "lo",
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        }
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id="seedbed",
            rdzv_backend="c10d",
            rdzv_endpoint=str(Path(folder) / "launcher"),
            rdzv_configs={"store_type": "file"},
            logs_specs=DefaultLogsSpecs(log_dir=str(folder)),
            max_restarts=0,
            local_addr="localhost",
        )
        try:
            with _environment(environment), _signal_handlers_kept():
                elastic_launch(config, command[0])(*command[1:])
        except ChildFailedError as error:
            return error.get_first_failure()[1].exitcode or 1
    return 0


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextlib.contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Put back the signal handlers that the launcher replaces and leaves, which raise in this process and its forks."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)
