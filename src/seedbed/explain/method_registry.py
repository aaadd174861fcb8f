"""The table of explanation methods. A method is one file; a decorator enters it here.

A method may have several implementations, one for each family of models; each names the capability it needs as a
function that says why a model lacks it. The first implementation that finds nothing to object is used.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from seedbed.errors import ParameterError, UserError, unknown_name
from seedbed.explain.wrappers import network_within, wrapped_in
from seedbed.settings.checked import check_options

Capability = Callable[[nn.Module], str | None]


@dataclass(frozen=True)
class Implementation:
    """``run(model, images, targets, **options)`` gives [B, K, h, w].

    Without classes, ``run(model, images, **options)`` gives [B, h, w].
    """

    run: Callable[..., Tensor]
    needs: Capability
    class_specific: bool

    def check_options(self, method: str, options: dict) -> None:
        """Raise ParameterError where an option is unknown, or of another kind than its annotation."""
        parameters = inspect.signature(self.run).parameters.values()
        known = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
        for name in options:
            if name not in known:
                raise ParameterError(unknown_name(f"option of '{method}'", name, known))
        check_options(self.run, options)


@dataclass(frozen=True)
class Method:
    """A named method; ``beyond_papers`` marks those that none of the four reproduced papers uses."""

    name: str
    description: str
    beyond_papers: bool = False
    implementations: list[Implementation] = field(default_factory=list, compare=False, repr=False)

    def implementation(self, model: nn.Module) -> Implementation | None:
        """What runs this method on ``model``; None if nothing does."""
        if wrapped_in(model):
            return None
        return next((i for i in self.implementations if i.needs(model) is None), None)

    def why_not(self, model: nn.Module) -> str | None:
        """Return why this method cannot explain ``model``, or None if it can."""
        if inner := wrapped_in(model):
            return f"it wraps the network; explain the network itself: model{inner}"
        reasons = [implementation.needs(model) for implementation in self.implementations]
        said = [reason for reason in reasons if reason is not None]
        return "; or ".join(dict.fromkeys(said)) if len(said) == len(reasons) else None


_METHODS: dict[str, Method] = {}


def explainer(
    name: str, *, needs: Capability, description: str = "", beyond_papers: bool = False, class_specific: bool = True
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register the decorated function as the method ``name``, or as one more implementation of it.

    Args:
        name: the method's name in parameter files and tables.
        needs: says why a model cannot be explained by this implementation, or None.
        description: one line; given with one of the implementations.
        beyond_papers: true for a method that none of the four papers uses.
        class_specific: whether the function takes ``targets`` [B, K] (-1 = absent, None = predicted) and returns
            [B, K, h, w]; otherwise it takes none and returns [B, h, w].
    """

    def register(run: Callable[..., Tensor]) -> Callable[..., Tensor]:
        if name not in _METHODS:
            _METHODS[name] = Method(name, description, beyond_papers)
        elif description and not _METHODS[name].description:
            _METHODS[name] = replace(_METHODS[name], description=description)
        _METHODS[name].implementations.append(Implementation(run, needs, class_specific))
        return run

    return register


def methods() -> tuple[Method, ...]:
    """Return all methods, the papers' own first, each with its one-line description."""
    return tuple(sorted(_METHODS.values(), key=lambda method: (method.beyond_papers, method.name)))


def get_method(name: str) -> Method:
    """Return the method of that name; ``ParameterError`` with the nearest match if there is none."""
    if not isinstance(name, str) or name not in _METHODS:
        raise ParameterError(unknown_name("explanation method", name, _METHODS))
    return _METHODS[name]


def supports(model: nn.Module, method: str) -> bool:
    """Say whether ``method`` can explain ``model``; ``explain`` raises an error that says why not."""
    return get_method(method).why_not(model) is None


def implementation_for(model: nn.Module, method: str) -> Implementation:
    """Return what runs ``method`` on ``model``; ``UserError`` with the reason and the methods that can, otherwise.

    A network that something else wraps is not unwrapped: the error says where it is.
    """
    chosen = get_method(method)
    if not isinstance(model, nn.Module):
        raise ParameterError(f"A model must be a torch.nn.Module, not {type(model).__name__}.{_remedy(model, chosen)}")
    if inner := wrapped_in(model):
        raise UserError(f"A {type(model).__name__} wraps the network; explain the network itself: model{inner}.")
    found = chosen.implementation(model)
    if found is None:
        able = [other.name for other in methods() if other.why_not(model) is None]
        raise UserError(
            f"'{method}' cannot explain this {type(model).__name__}: {chosen.why_not(model)}. "
            f"Methods that can: {', '.join(able) or 'none'}.{_remedy(model, chosen)}"
        )
    return found


def _remedy(model: object, method: Method) -> str:
    """Where a network lies within ``model`` that the method can explain, as a sentence."""
    inner = wrapped_in(model) or network_within(model, lambda part: method.why_not(part) is None)
    return f" It holds a network that '{method.name}' can explain: model{inner}." if inner else ""
