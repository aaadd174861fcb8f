"""Start the processes that share one training, one for each GPU, with PyTorch's elastic launcher.

All are on this machine and find each other through a file; what they send goes over the loopback interface, and nothing
listens on the network.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

MEETING_VARIABLE = "SEEDBED_MEETING"
"""Names the file through which the processes find each other; set in them alone."""


def rank() -> int | None:
    """Number of this process, from 0, among those that share a training; None for a process of its own."""
    return int(os.environ["RANK"]) if MEETING_VARIABLE in os.environ else None


def launch(command: Sequence[str], processes: int) -> int:
    """Run ``command`` in several processes at once, each with its ``rank``, and wait for all.

    If one fails, the others are ended.

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
        before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        try:
            elastic_launch(config, command[0])(*command[1:])
        except ChildFailedError as error:
            return error.get_first_failure()[1].exitcode or 1
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value
    return 0
