"""One training on several devices, exact: the same weights as on one, whatever the loss and the number of devices.

Each process (rank) reads its share of every global batch. The shares are put together, so that the objective sees the
whole batch on each rank, as on a single device; only the network's forward pass is divided: a rank runs its own share
and the outputs are put together again. So a loss may be normalised by counts, compare images with each other, or keep
a memory, and need not know of ranks. Inside the divided pass

- batch normalisation uses the statistics of the whole batch (`Divided`);
- dropout and stochastic depth draw for the whole batch, and each rank takes its rows;
- anything else random is refused, since it would quietly depend on the number of devices.

The backward pass of "put together" multiplies by the number of ranks, and gradients are then averaged over ranks: paths
through the divided pass add up, and paths around it (a penalty on a weight), which every rank computes whole, count
once.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seedbed.data.datasets import share
from seedbed.devices.launch import MEETING_VARIABLE, rank
from seedbed.errors import ParameterError, UserError

_meetings = itertools.count()  # each is at a file of its own


class Ranks(NamedTuple):
    """This process among those that share a training; ``size`` is 1 for a process of its own."""

    rank: int = 0
    size: int = 1

    def share(self, count: int) -> slice:
        """This rank's rows of ``count``: contiguous, the first ranks have one more where they do not divide."""
        return share(count, self.rank, self.size)

    def wait(self) -> None:
        """Wait until every rank has come to this point."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Join the processes that `seedbed.devices.launch.launch` started; alone where it did not start this one."""
    if rank() is None:
        yield Ranks()
        return
    ranks = Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=f"file://{os.environ[MEETING_VARIABLE]}.{next(_meetings)}",
        rank=ranks.rank,
        world_size=ranks.size,
    )
    try:
        yield ranks
    finally:
        dist.destroy_process_group()


def gather(tensor: Tensor, count: int, ranks: Ranks) -> Tensor:
    """Put the shares [rows, ...] of all ranks together to [count, ...]; see the file's head for its gradient."""
    return _Gather.apply(tensor, count, ranks)


@contextmanager
def divided_forward(networks: Sequence[nn.Module], ranks: Ranks) -> Iterator[None]:
    """Inside the block, ``network(batch)`` runs on this rank's share of the batch and returns the outputs of the whole.

    Every tensor among the arguments must have the batch as its first dimension, and so must every tensor that a network
    returns, alone or inside (named) tuples, lists and dictionaries.
    """
    for network in networks if ranks.size > 1 else ():
        network.forward = partial(_divided, network.forward, type(network).__name__, ranks)
    try:
        yield
    finally:
        for network in networks if ranks.size > 1 else ():
            del network.forward


def _divided(forward: Callable, name: str, ranks: Ranks, *arguments: Any, **options: Any) -> Any:
    counts = {len(part) for part in (*arguments, *options.values()) if isinstance(part, Tensor) and part.ndim}
    if len(counts) != 1:
        raise ParameterError(
            f"{name} cannot be trained on several GPUs: its inputs have {sorted(counts)} rows. Train it on one."
        )
    count = counts.pop()
    mine = ranks.share(count)
    own = mine.stop - mine.start

    def to_share(part: Any) -> Any:
        return part[mine] if isinstance(part, Tensor) and part.ndim else part

    def to_whole(part: Tensor) -> Tensor:
        if not part.ndim or len(part) != own:
            raise ParameterError(
                f"{name} cannot be trained on several GPUs: it returns a tensor of shape {tuple(part.shape)} for {own} "
                "images. Train it on one."
            )
        return gather(part, count, ranks)

    with Divided(count, ranks):
        output = forward(*map(to_share, arguments), **{key: to_share(part) for key, part in options.items()})
    return _each(output, to_whole)


@torch.no_grad()
def average_gradients(parameters: Sequence[nn.Parameter], ranks: Ranks) -> None:
    """Replace each gradient by its mean over the ranks; one message for each kind of number."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    for dtype in dict.fromkeys(gradient.dtype for gradient in gradients):
        own = [gradient for gradient in gradients if gradient.dtype == dtype]
        flat = torch.cat([gradient.flatten() for gradient in own])
        dist.all_reduce(flat)
        flat /= ranks.size
        for gradient, mean in zip(own, flat.split([gradient.numel() for gradient in own]), strict=True):
            gradient.copy_(mean.view_as(gradient))


@torch.no_grad()
def check_agreement(model: nn.Module, ranks: Ranks, step: int) -> None:
    """Raise unless all ranks hold the same weights, bit for bit.

    Raises:
        UserError: they differ.
    """
    sums = [tensor.double().sum() for tensor in model.state_dict().values()]
    own = torch.stack(sums).nan_to_num(nan=-1.0)
    all_of_them = [torch.empty_like(own) for _ in range(ranks.size)]
    dist.all_gather(all_of_them, own)
    if any(not torch.equal(other, own) for other in all_of_them):
        raise UserError(
            f"After step {step} the {ranks.size} GPUs hold different weights, so the result would be worthless. This "
            "points to a faulty GPU or driver; train on one GPU, and please report it."
        )


class Divided(TorchFunctionMode):
    """While a rank runs its share of ``count`` rows: what depends on the batch is done for the whole batch."""

    def __init__(self, count: int, ranks: Ranks) -> None:
        super().__init__()
        self.count, self.mine, self.ranks = count, ranks.share(count), ranks

    def __torch_function__(self, function: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is F.batch_norm:
            return self._batch_norm(*args, **kwargs)
        if function in _DROPOUTS:
            return self._dropout(function, *args, **kwargs)
        if function is Tensor.bernoulli_:
            return args[0].copy_(self._rows(self._like(args[0], 0).bernoulli_(*args[1:], **kwargs)))
        if function in _RANDOM or (function is F.scaled_dot_product_attention and _drops(*args, **kwargs)):
            raise ParameterError(
                f"A layer draws random numbers by '{function.__name__}', which cannot be divided among several GPUs. "
                "Train this network on one."
            )
        return function(*args, **kwargs)

    def _batch_norm(
        self,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training or isinstance(x._base, nn.Parameter):  # timm standardises weights by this function, too
            return F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        dims, shape = [dim for dim in range(x.ndim) if dim != 1], [1, -1] + [1] * (x.ndim - 2)
        count = self._whole_rows(x) * (x.numel() // (len(x) * x.shape[1]))
        mean = _AllSum.apply(wide.sum(dims)) / count
        centred = wide - mean.view(shape)
        variance = _AllSum.apply(centred.square().sum(dims)) / count
        if running_mean is not None and running_var is not None:
            with torch.no_grad():
                running_mean.lerp_(mean.to(running_mean), momentum)
                running_var.lerp_((variance * (count / (count - 1))).to(running_var), momentum)
        y = centred * (variance + eps).rsqrt().view(shape)
        y = y if weight is None else y * weight.view(shape)
        y = y if bias is None else y + bias.view(shape)
        return y.to(x.dtype)

    def _dropout(
        self, function: Callable, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if not training or p == 0:
            return x
        noise = self._rows(function(self._like(x, 1), p, True))
        return x.mul_(noise) if inplace else x * noise

    def _like(self, x: Tensor, value: float) -> Tensor:
        """A tensor like ``x`` with the rows of the whole batch, laid out in memory in the same order."""
        strides: Sequence[int] = x.stride()
        order = sorted(range(x.ndim), key=lambda dim: -strides[dim])
        rows = self._whole_rows(x)
        full = x.new_full([rows if dim == 0 else x.shape[dim] for dim in order], value)
        return full.permute([order.index(dim) for dim in range(x.ndim)])

    def _whole_rows(self, x: Tensor) -> int:
        """Rows that ``x`` would have for the whole batch."""
        own = self.mine.stop - self.mine.start
        if not x.ndim or len(x) % own:
            raise ParameterError(
                f"A layer that depends on the batch gets a tensor of shape {tuple(x.shape)} for {own} images, which "
                "cannot be divided among several GPUs. Train this network on one."
            )
        return len(x) // own * self.count

    def _rows(self, whole: Tensor) -> Tensor:
        """This rank's rows."""
        each = len(whole) // self.count
        return whole[self.mine.start * each : self.mine.stop * each]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, tensor: Tensor, count: int, ranks: Ranks) -> Tensor:
        context.mine, context.size = ranks.share(count), ranks.size
        shares = [ranks._replace(rank=other).share(count) for other in range(ranks.size)]
        longest = shares[0].stop  # the first rank's share is a longest one; messages are of one size
        padded = tensor.new_zeros(longest, *tensor.shape[1:])
        padded[: len(tensor)] = tensor
        parts = [torch.empty_like(padded) for _ in shares]
        dist.all_gather(parts, padded)
        return torch.cat([part[: own.stop - own.start] for part, own in zip(parts, shares, strict=True)])

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient[context.mine] * context.size, None, None


class _AllSum(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


def _each(output: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Apply ``change`` to every tensor of a nested output."""
    if isinstance(output, Tensor):
        return change(output)
    if isinstance(output, dict):
        return {key: _each(part, change) for key, part in output.items()}
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return type(output)(*(_each(part, change) for part in output))
    if isinstance(output, list | tuple):
        return type(output)(_each(part, change) for part in output)
    return output


def _drops(query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, *_: Any, **__: Any) -> bool:
    return dropout_p > 0


_DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d)
_RANDOM = frozenset(
    {
        F.alpha_dropout,
        F.feature_alpha_dropout,
        F.rrelu,
        F.gumbel_softmax,
        torch.bernoulli,
        torch.dropout,
        torch.multinomial,
        torch.normal,
        torch.poisson,
        torch.rand,
        torch.rand_like,
        torch.randint,
        torch.randint_like,
        torch.randn,
        torch.randn_like,
        torch.randperm,
        Tensor.bernoulli,
        Tensor.cauchy_,
        Tensor.exponential_,
        Tensor.geometric_,
        Tensor.log_normal_,
        Tensor.multinomial,
        Tensor.normal_,
        Tensor.random_,
        Tensor.uniform_,
    }
)
