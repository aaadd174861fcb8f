"""Layer-wise relevance propagation, one rule per operation, as in Chefer et al. (CVPR 2021) and its baselines.

Each rule takes the relevance R at an operation's output to its inputs. Two sets differ in linear layers and residuals:

``ours``  the paper's own: all positive contributions share one denominator, residuals are normalised; R is conserved.
``orig``  the baselines' (full and partial LRP): positive inputs and negative inputs have a denominator each, so that a
          linear layer returns up to twice its relevance, and residuals are not normalised.

Only the activating half (alpha 1, beta 0) is ever used. LayerNorm, GELU, softmax and LayerScale pass R on unchanged.
The leading axis of R counts P pairs of image and class; activations have B rows, and ``take`` picks each pair's. Every
rule uses up the relevance it is given: its memory holds the result.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seedbed.errors import ParameterError, unknown_name
from seedbed.explain.layers import Linear

EPSILON = 1e-9

Taking = Callable[[Tensor], Tensor]


def inverse(denominator: Tensor) -> Tensor:
    """Return the factor that a safe division by ``denominator`` multiplies with.

    It is 1 / (denominator + 1e-9), whatever the sign, with 1e-9 in place of a sum of 0; and 0 where the denominator
    is 0.
    """
    factor = (denominator + EPSILON).reciprocal_()
    factor.nan_to_num_(nan=float("nan"), posinf=1 / EPSILON, neginf=-1 / EPSILON)
    return factor.mul_(denominator.sign().abs_())  # several times faster than a mask


class Rules(ABC):
    """A set of rules: the linear rule, and whether residuals are normalised (paper, equation 9).

    An instance serves one call of a method: it reuses one buffer for the layers' signed weights.
    """

    normalise: bool

    def __init__(self) -> None:
        self._buffer: Tensor | None = None

    @abstractmethod
    def linear(self, layer: Linear, x: Tensor, y: Tensor, relevance: Tensor, take: Taking) -> Tensor:
        """Take relevance [P, ..., out] to the input [P, ..., in].

        Args:
            layer: weights [out, in]; the bias gets no relevance.
            x: the layer's input [B, ..., in].
            y: its output [B, ..., out], bias included.
            relevance: [P, ..., out]; used up.
            take: picks the image of each pair.
        """

    def _scratch(self, like: Tensor) -> Tensor:
        """Return memory shaped ``like`` that the next call hands out again."""
        if self._buffer is None or self._buffer.numel() < like.numel():
            self._buffer = torch.empty_like(like).flatten()
        return self._buffer[: like.numel()].view(like.shape)


class Ours(Rules):
    """R_i = sum_j (w_ji x_i)^+ R_j / sum_i' (w_ji' x_i')^+ (paper, equation 3)."""

    normalise = True

    def linear(self, layer: Linear, x: Tensor, y: Tensor, relevance: Tensor, take: Taking) -> Tensor:
        # With z = W x and m = |W| |x|, the positive contributions add up to (z + m) / 2, and z is known from the
        # forward pass. Split the same way, the sum over j takes one product with W and one with |W|.
        magnitude, size = torch.abs(layer.weight, out=self._scratch(layer.weight)), x.abs()
        positive = F.linear(size, magnitude).add_(layer.without_bias(y)).mul_(0.5)
        share = relevance.mul_(take(inverse(positive)))
        signed = (share @ layer.weight).mul_(take(x))
        return signed.addcmul_(share @ magnitude, take(size)).mul_(0.5)


class Original(Rules):
    """As ``Ours``, with one denominator for positive inputs (and weights) and one for negative ones."""

    normalise = False

    def linear(self, layer: Linear, x: Tensor, y: Tensor, relevance: Tensor, take: Taking) -> Tensor:
        total: Any = None
        bounds: dict[str, Any]
        for bounds in ({"min": 0.0}, {"max": 0.0}):
            weight = torch.clamp(layer.weight, **bounds, out=self._scratch(layer.weight))
            part = x.clamp(**bounds)
            share = relevance * take(inverse(F.linear(part, weight)))
            back = (share @ weight).mul_(take(part))
            total = back if total is None else total.add_(back)
        return total


_RULES = {"ours": Ours, "orig": Original}


def rules_named(name: str) -> Rules:
    """Return a new instance of the rules ``ours`` or ``orig``; ``ParameterError`` for any other name."""
    if name not in _RULES:
        raise ParameterError(unknown_name("set of relevance rules", name, _RULES))
    return _RULES[name]()


def through_sum(
    a: Tensor, b: Tensor, total: Tensor, relevance: Tensor, rules: Rules, take: Taking
) -> tuple[Tensor, Tensor]:
    """Split the relevance [P, ...] of ``total = a + b`` in proportion to the summands.

    The rules ``ours`` then scale both shares, sample by sample, so that together they carry the relevance and each
    weighs as much as its absolute sum (paper, equation 9): shares of opposite sign would otherwise grow without
    bound.
    """
    whole = relevance.sum(_inner(relevance), keepdim=True)
    ratio = relevance.mul_(take(inverse(total)))
    of_b = take(b) * ratio
    of_a = ratio.mul_(take(a))
    if rules.normalise:
        sum_a, sum_b = (part.sum(_inner(part), keepdim=True) for part in (of_a, of_b))
        weight = inverse(sum_a.abs() + sum_b.abs()) * whole
        of_a.mul_(sum_a.abs() * weight * inverse(sum_a))
        of_b.mul_(sum_b.abs() * weight * inverse(sum_b))
    return of_a, of_b


def through_product(x: Tensor, y: Tensor, z: Tensor, relevance: Tensor, take: Taking) -> tuple[Tensor, Tensor]:
    """Give half the relevance of ``z = x @ y`` to either factor, in proportion to the products (paper, section 3.2)."""
    share = (relevance * take(inverse(z))).mul_(0.5)
    x, y = take(x), take(y)
    return (share @ y.transpose(-1, -2)).mul_(x), (x.transpose(-1, -2) @ share).mul_(y)


def through_copy(x: Tensor, relevance: Tensor, take: Taking) -> Tensor:
    """Take the summed relevance of the copies of ``x`` to ``x``: ``x * R / x``, so nothing where x is 0."""
    return relevance.mul_(take(inverse(x).mul_(x)))


def _inner(x: Tensor) -> tuple[int, ...]:
    return tuple(range(1, x.ndim))
