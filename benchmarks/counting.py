"""Counts what operators do: floating-point operations, bytes, kernels; and runs networks on tensors without values."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

_NOT_KERNELS = ("aten::empty", "aten::new_empty", "aten::detach", "aten::_unsafe_view", "aten::lift_fresh", "prim::")
_autocast = torch.autocast
Totals = dict[str, dict[str, float]]


class Counting(TorchDispatchMode):
    """Sums up what operators do, in the part that is current: by it ``flops``, ``bytes`` and ``kernels``."""

    def __init__(self) -> None:
        super().__init__()
        self.part = "step"
        self.totals: Totals = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func._overloadpacket
        if packet not in flop_registry and func is not torch.ops.prim.device.default:
            with self:
                found = func.decompose(*args, **kwargs)
            if found is not NotImplemented:
                return found
        out = func(*args, **kwargs)
        total = self.totals.setdefault(self.part, {"flops": 0.0, "bytes": 0.0, "kernels": 0.0})
        if packet in flop_registry:
            total["flops"] += flop_registry[packet](*args, **kwargs, out_val=out)
        if not _is_view(func) and not func.name().startswith(_NOT_KERNELS):
            tensors = [x for x in tree_leaves((args, kwargs, out)) if isinstance(x, Tensor)]
            total["bytes"] += sum(x.numel() * x.element_size() for x in tensors)
            total["kernels"] += bool(tensors)
        return out


def _is_view(func: Any) -> bool:
    """Whether an operator only looks at its input in another way."""
    return any(each.alias_info is not None and not each.alias_info.is_write for each in func._schema.returns)


class Unvalued:
    """Makes tensors and networks that have shapes and no values; what reads a value fails on them."""

    def __init__(self) -> None:
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)

    def __call__(self, what: Any) -> Any:
        """A tensor or a network without values."""
        if isinstance(what, Tensor):
            return self.mode.from_tensor(what)
        done: dict[int, Tensor] = {}
        for module in what.modules():
            for held in (module._parameters, module._buffers):
                for name, tensor in held.items():
                    if tensor is not None:
                        held[name] = done.setdefault(id(tensor), self._like(tensor))
        return what

    def _like(self, tensor: Tensor) -> Tensor:
        empty = self.mode.from_tensor(tensor.detach())
        return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty


@contextmanager
def as_on_a_gpu(bf16: bool = False) -> Iterator[None]:
    """Inside, networks are not moved, since tensors without values cannot be, and bfloat16 is used as on a GPU.

    Args:
        bf16: whether the training asks for it.
    """

    def autocast(kind: str, dtype: Any = None, enabled: bool = True) -> Any:
        return _autocast(kind, dtype, enabled=enabled or (bf16 and dtype is torch.bfloat16))

    with mock.patch.object(nn.Module, "to", lambda self, *_, **__: self), mock.patch("torch.autocast", autocast):
        yield


def count(step: Callable[[], object], optimizer: Any = None) -> Totals:
    """Run a step, and return its totals by part: ``step``, and ``optimizer`` where one is given.

    Args:
        step: runs operators.
        optimizer: whose step is a part of its own.
    """
    counting, handles = Counting(), []
    if optimizer is not None:
        handles.append(optimizer.register_step_pre_hook(lambda *_: setattr(counting, "part", "optimizer")))
        handles.append(optimizer.register_step_post_hook(lambda *_: setattr(counting, "part", "step")))
    try:
        with counting:
            step()
    finally:
        for handle in handles:
            handle.remove()
    return counting.totals
