"""The device that PyTorch computes on, set up so that a GPU repeats its results where it can."""

import logging
import os
from typing import TYPE_CHECKING

from seedbed.devices.visible import VARIABLE

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


def choose_device(wanted: int, number: int = 0) -> "torch.device":
    """Return the ``number``-th visible GPU if any are wanted and PyTorch sees one, else the CPU.

    On a GPU, deterministic kernels are chosen; an operation that has none still runs, and its warning names it.

    Args:
        wanted: how many GPUs the job asked for.
        number: which of those visible, from 0.
    """
    import torch

    if not wanted:
        return torch.device("cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    if not torch.cuda.is_available():
        log.warning(
            "No GPU to compute on, so the CPU is used, which is slow (%s=%s; PyTorch is built for CUDA %s)",
            VARIABLE,
            os.environ.get(VARIABLE, ""),
            torch.version.cuda,
        )
        return torch.device("cpu")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    torch.cuda.set_device(number)
    return torch.device("cuda", number)
