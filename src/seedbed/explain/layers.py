"""The layers of a Transformer as plain weights: what the methods need besides the forward pass.

A torch module computes its output; explaining it also takes products with its transposed weights, derivatives and
contributions. These small read-only views hold a module's tensors (never copies, unless a type conversion is asked
for).
"""

from dataclasses import dataclass
from typing import overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@overload
def cast(tensor: Tensor, dtype: torch.dtype) -> Tensor: ...


@overload
def cast(tensor: None, dtype: torch.dtype) -> None: ...


def cast(tensor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Return the values of a parameter as ``dtype``, outside any graph; None stays None."""
    return None if tensor is None else tensor.detach().to(dtype)


@dataclass(frozen=True)
class Linear:
    """``y = x W^T + b`` with ``weight`` [out, in] and ``bias`` [out] or None."""

    weight: Tensor
    bias: Tensor | None = None

    @classmethod
    def of(cls, module: nn.Linear, dtype: torch.dtype) -> "Linear":
        return cls(cast(module.weight, dtype), cast(module.bias, dtype))

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def without_bias(self, y: Tensor) -> Tensor:
        """Recover ``x W^T`` from the output ``y``."""
        return y if self.bias is None else y - self.bias

    def vjp(self, gradient: Tensor) -> Tensor:
        """Take the gradient [..., out] at the output to the input [..., in]."""
        return gradient @ self.weight


@dataclass(frozen=True)
class Norm:
    """LayerNorm (``centred``) or RMSNorm over the last axis."""

    weight: Tensor | None
    bias: Tensor | None
    eps: float
    centred: bool = True

    def __call__(self, x: Tensor) -> Tensor:
        if self.centred:
            return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)
        return F.rms_norm(x, x.shape[-1:], self.weight, self.eps)

    def inverse_deviation(self, x: Tensor) -> Tensor:
        """Return the factor [..., 1] by which this layer divides, inverted."""
        return self._standardise(x)[1]

    def linear_vjp(self, x: Tensor, gradient: Tensor) -> Tensor:
        """Take a gradient to the input with the deviation held constant (the mean is still removed)."""
        scaled = self._weighted(gradient) * self.inverse_deviation(x)
        return scaled.sub_(scaled.mean(-1, keepdim=True)) if self.centred else scaled

    def vjp(self, x: Tensor, gradient: Tensor) -> Tensor:
        """Take the gradient at the output to the input ``x``; ``gradient`` may have more samples than ``x`` has."""
        normal, inverse = self._standardise(x)
        scaled = self._weighted(gradient)
        along = (scaled * normal).mean(-1, keepdim=True)
        across = scaled.mean(-1, keepdim=True) if self.centred else 0.0
        return (scaled - across).addcmul_(normal, along, value=-1).mul_(inverse)

    def _weighted(self, gradient: Tensor) -> Tensor:
        return gradient if self.weight is None else gradient * self.weight

    def _standardise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``x`` less its mean over its deviation, and the inverse deviation [..., 1]."""
        if self.centred:
            normal, _, inverse = torch.native_layer_norm(x, x.shape[-1:], None, None, self.eps)
            return normal, inverse
        inverse = (x.square().mean(-1, keepdim=True) + self.eps).rsqrt()
        return x * inverse, inverse


def derivative(activation: nn.Module, x: Tensor) -> Tensor:
    """Return the derivative of an elementwise ``activation`` at ``x``, same shape."""
    if type(activation) is nn.GELU and activation.approximate == "none":
        return torch.ops.aten.gelu_backward(torch.ones_like(x), x)
    # Under inference_mode a tensor cannot enter a graph; its clone can.
    with torch.inference_mode(False), torch.enable_grad():
        leaf = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(activation(leaf.clone()).sum(), leaf)
    return slope
