"""The device that PyTorch computes on, set up so that a GPU repeats its results where it can."""

import logging
import os
import re
from typing import TYPE_CHECKING, get_args

from seedbed.devices.visible import VARIABLE, driver_version
from seedbed.errors import ParameterError, UserError, unknown_name
from seedbed.settings.kinds import Precision

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

DEVICE_VARIABLE = "SEEDBED_DEVICE"
"""Set to ``cpu``, jobs that ask for a GPU compute on the CPU."""

PRECISIONS = get_args(Precision)


def choose_device(wanted: int, number: int = 0, *, precision: str = "float32") -> "torch.device":
    """Return the ``number``-th visible GPU if any are wanted, else the CPU.

    On a GPU, deterministic kernels are chosen; an operation that has none still runs, and its warning names it.

    Args:
        wanted: how many GPUs the job asked for; ``SEEDBED_DEVICE=cpu`` makes it none.
        number: which of those visible, from 0.
        precision: of products and convolutions of float32 on a GPU, see `seedbed.settings.kinds.Precision`.

    Raises:
        UserError: a GPU is wanted, and PyTorch cannot use it: the driver is missing or too old, or PyTorch holds no
            kernels for such a GPU.
        ParameterError: unknown precision.
    """
    if precision not in PRECISIONS:
        raise ParameterError(unknown_name("precision", precision, PRECISIONS))
    import torch

    if not wanted or _cpu_is_asked_for():
        return torch.device("cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    if not torch.cuda.is_available():
        raise UserError(_unusable())
    _check_capability(number)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def _cpu_is_asked_for() -> bool:
    named = os.environ.get(DEVICE_VARIABLE, "")
    if named not in ("", "cpu"):
        raise UserError(f"{DEVICE_VARIABLE}={named}: can only be cpu. Leave it out to compute on the GPU.")
    return named == "cpu"


def _unusable() -> str:
    """Say why PyTorch sees no GPU, and what to do."""
    import torch

    build = torch.version.cuda
    driver = driver_version()
    try:
        torch.cuda.init()
        reason = "it finds no GPU"
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split(" from http")[0].split("\n")[0].rstrip(".")
    if build is None:
        remedy = "Install a PyTorch that is built for CUDA"
    elif driver is None:
        remedy = "Install NVIDIA's driver, and in a container pass its devices on"
    else:
        remedy = "Install a newer driver, or a PyTorch built for an older CUDA"
    return (
        f"The job asked for a GPU, and PyTorch cannot use one: {reason}. PyTorch {torch.__version__} is built for CUDA "
        f"{build or 'none (CPU only)'}, the driver is {driver or 'none that answers'}, {VARIABLE}="
        f"{os.environ.get(VARIABLE, '(not set)')}. {remedy} (docs/gpus.md). To compute on the CPU, which is slow, set "
        f"the rule's resource gpu: 0 or {DEVICE_VARIABLE}=cpu."
    )


def _check_capability(number: int) -> None:
    """Refuse a GPU for which PyTorch holds no kernels; warn of one that computes bfloat16 by emulation."""
    import torch

    if torch.version.cuda is None:
        return  # a build for another maker's GPUs, which says itself what it lacks
    name, found = torch.cuda.get_device_name(number), torch.cuda.get_device_capability(number)
    built = torch.cuda.get_arch_list()
    if not any(_runs(kernel, found) for kernel in built):
        raise UserError(
            f"PyTorch {torch.__version__} for CUDA {torch.version.cuda} holds no kernels for the {name} (sm_{found[0]}"
            f"{found[1]}); it holds {', '.join(built)}. Install a PyTorch built for an older CUDA (docs/gpus.md), take "
            f"another GPU ({VARIABLE}), or compute on the CPU ({DEVICE_VARIABLE}=cpu), which is slow."
        )
    if found < (8, 0):
        log.warning(
            "The %s (sm_%d%d) computes bfloat16 by emulation, which is slow: set bf16: false for trainings",
            name,
            *found,
        )


def _runs(kernel: str, capability: tuple[int, int]) -> bool:
    """Whether code (``sm_86``, or ``compute_90`` to be compiled on the spot) runs on a GPU of that capability."""
    named = re.fullmatch(r"(sm|compute)_(\d+)[a-z]?", kernel)
    if named is None:
        return False
    kind, digits = named.groups()
    built = (int(digits[:-1]), int(digits[-1]))
    return built <= capability if kind == "compute" else built[0] == capability[0] and built[1] <= capability[1]
