"""Work that does not fit into a GPU's memory: batches halved until they do, a training that says what to set."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from seedbed.errors import UserError

log = logging.getLogger(__name__)


# What CUDA and its libraries say where PyTorch's own allocator was not asked, or had nothing left to give to them.
_NO_MEMORY = re.compile(
    r"out of memory|CU(BLAS|DNN|SPARSE|SOLVER)_STATUS_(ALLOC_FAILED|INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED)"
    r"|CUBLAS_STATUS_NOT_INITIALIZED|unable to find an engine to execute this computation",
    re.IGNORECASE,
)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error of PyTorch's means that the GPU's memory is used up; cuBLAS and cuDNN raise plain ones."""
    return isinstance(error, torch.OutOfMemoryError) or bool(_NO_MEMORY.search(str(error)))


@contextmanager
def training_fits(samples: int) -> Iterator[None]:
    """Explain what to set where a training does not fit into the GPU's memory: its batch is part of its result.

    Args:
        samples: in a batch.

    Raises:
        UserError: it does not fit.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        problem = str(error).split("\n")[0]
    else:
        return
    raise UserError(
        f"The training with batches of {samples} does not fit into the GPU's memory: {problem} Share a batch among "
        "more GPUs (the rule's resource gpu; the result stays the same), take a GPU with more memory or one that "
        "nobody else uses, or change the training: bf16: true, a smaller crop, or a smaller batch_size."
    )


class Fitting:
    """Works on batches, in parts where the memory demands it; what fitted once bounds the batches to come.

    Only for work whose result for a picture does not depend on the other pictures of its batch.

    Args:
        what: what is worked on, for the log.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.largest: int | None = None  # rows that fit; None as long as everything has

    def __call__(self, work: Callable[..., Tensor], *batch: Tensor) -> Tensor:
        """Return ``work(*batch)``, or its results for parts of the batch laid end to end.

        Args:
            work: takes tensors of the same number of rows, and gives a tensor with as many.
            batch: those tensors, all of the same length.

        Raises:
            UserError: a single row does not fit.
        """
        parts: list[Tensor] = []
        rows, done = len(batch[0]), 0
        while done < rows or not parts:
            size = min(rows - done, self.largest or rows)
            part, problem = None, ""
            try:
                part = work(*(tensor[done : done + size] for tensor in batch))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                problem = str(error).split("\n")[0]
            # Out of the handler, which keeps the tensors of the failed call alive.
            if part is None:
                self._halve(size, tuple(batch[0].shape[1:]), problem)
            else:
                parts.append(part)
                done += size
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _halve(self, size: int, shape: tuple[int, ...], problem: str) -> None:
        torch.cuda.empty_cache()
        if size <= 1:
            raise UserError(
                f"One of the {self.what} alone, of shape {shape}, does not fit into the GPU's memory: {problem} Use a "
                "smaller input or smaller scales, a GPU with more memory, or the CPU (the rule's resource gpu: 0)."
            )
        self.largest = size // 2
        log.warning("%d %s do not fit into the GPU's memory; going on with %d at once", size, self.what, self.largest)
