"""Batches that do not fit into a GPU's memory: halved until they do."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from seedbed.errors import UserError

log = logging.getLogger(__name__)


class Fitting:
    """Works on batches, in parts where the memory demands it; what fitted once bounds the batches to come.

    Only for work whose result for an image does not depend on the other images of its batch.

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
        rows, done, parts = len(batch[0]), 0, []
        while done < rows or not parts:
            size = min(rows - done, self.largest or rows)
            part, problem = None, ""
            try:
                part = work(*(tensor[done : done + size] for tensor in batch))
            except torch.OutOfMemoryError as error:
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
