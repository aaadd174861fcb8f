"""What a type hint allows, and what it asks for in words."""

import inspect
import math
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Annotated, Any, ForwardRef, Literal, TypeVar, Union, get_args, get_origin

import annotated_types as bounds
import numpy as np

NUMBERS = "biufc"
"""Kinds of NumPy's types that hold numbers."""
ARRAYS = {"ndarray": "a numpy array", "Tensor": "a torch.Tensor"}
_PLAIN = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a word"}
_STRICT = ("Tensor", "Module")
"""Classes that nothing else stands in for; another object in place of a dataclass will do if it has what is used."""
_NO_OBJECTS = (str, int, float, list, tuple, dict, set, bytes, type(None))
_BOUNDS: tuple[tuple[type, str, str, Callable[[Any, Any], bool]], ...] = (
    (bounds.Gt, "gt", "above", lambda value, bound: value > bound),
    (bounds.Ge, "ge", "at least", lambda value, bound: value >= bound),
    (bounds.Lt, "lt", "below", lambda value, bound: value < bound),
    (bounds.Le, "le", "at most", lambda value, bound: value <= bound),
)


def options(hint: Any) -> Iterator[Any]:
    """Yield the hints of a union, the constraints of a type variable, or the hint itself."""
    if get_origin(hint) in (Union, types.UnionType):
        for option in get_args(hint):
            yield from options(option)
    elif isinstance(hint, TypeVar) and hint.__constraints__:
        yield from map(_resolved, hint.__constraints__)
    elif isinstance(hint, TypeVar):
        yield Any
    else:
        yield hint


def _resolved(constraint: Any) -> Any:
    """The class that a quoted constraint, ``"module.Class"``, names, if anybody has imported its module."""
    if not isinstance(constraint, ForwardRef):
        return constraint
    module, _, kind = constraint.__forward_arg__.rpartition(".")
    return getattr(sys.modules.get({"np": "numpy"}.get(module, module)), kind, constraint)


def allowed(value: object, hint: Any) -> bool:
    """Say whether a value is what a hint allows; hints that cannot be checked allow everything."""
    return any(_fits(value, option) for option in options(hint))


def _fits(value: Any, hint: Any) -> bool:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return allowed(value, parts[0]) and all(
            test(value, getattr(bound, slot))
            for bound in parts[1:]
            for kind, slot, _, test in _BOUNDS
            if isinstance(bound, kind)
        )
    if origin is Literal:
        return any(type(value) is type(word) and value == word for word in parts)
    if hint in (int, float, bool, str):
        return _is_plain(value, hint)
    if isinstance(hint, ForwardRef):
        return False  # nobody has imported its module
    if hint is Any or hint is type(None):
        return hint is Any or value is None
    if origin is tuple:
        return _is_tuple(value, parts)
    if origin is not None and inspect.isclass(origin) and issubclass(origin, Iterable):
        return _is_collection(value, origin, parts)
    if origin is Callable or hint is Callable:
        return callable(value)
    if hint is np.ndarray:
        return isinstance(value, np.ndarray) and value.dtype.kind in NUMBERS
    if inspect.isclass(hint) and origin is None and not getattr(hint, "_is_protocol", False):
        if hint.__name__ == "device":
            return isinstance(value, hint | str)
        return isinstance(value, hint) or not (hint.__name__ in _STRICT or isinstance(value, _NO_OBJECTS))
    return True


def _is_plain(value: Any, hint: type) -> bool:
    if hint is bool:
        return isinstance(value, bool | np.bool_)
    if hint is str:
        return isinstance(value, str)
    if isinstance(value, bool | np.bool_):
        return False
    if hint is int:
        return isinstance(value, Integral)
    return isinstance(value, Real | np.floating) and math.isfinite(value)


def _is_tuple(value: Any, parts: Sequence[Any]) -> bool:
    if not _is_sequence(value):
        return False
    if parts[-1:] == (...,):
        return all(allowed(item, parts[0]) for item in _items(value))
    return len(value) == len(parts) and all(map(allowed, _items(value), parts))


def _is_collection(value: Any, origin: type, parts: Sequence[Any]) -> bool:
    if issubclass(origin, Mapping):
        return isinstance(value, Mapping)
    if not _is_sequence(value):
        # Reading an iterator would use it up.
        return not issubclass(origin, Sequence) and isinstance(value, Iterable) and not isinstance(value, str | bytes)
    return all(allowed(item, parts[0]) for item in _items(value))


def _is_sequence(value: Any) -> bool:
    """Lists, tuples and, where numbers are asked for, arrays."""
    if isinstance(value, str | bytes):
        return False
    return value.ndim > 0 if _is_array(value) else isinstance(value, Sequence)


def _items(value: Any) -> Any:
    return value.tolist() if _is_array(value) and value.ndim == 1 else value


def _is_array(value: object) -> bool:
    return any(kind.__name__ in ARRAYS for kind in type(value).__mro__)


def wanted(hint: Any) -> str:
    """Return what a hint asks for, in words."""
    return " or ".join(dict.fromkeys(_said(option) for option in options(hint)))


def _said(hint: Any) -> str:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        limits = [
            f"{text} {getattr(bound, slot)}"
            for bound in parts[1:]
            for kind, slot, text, _ in _BOUNDS
            if isinstance(bound, kind)
        ]
        return " ".join([wanted(parts[0]), " and ".join(limits)]).strip()
    if origin is Literal:
        return f"one of {', '.join(map(repr, parts))}"
    if hint is type(None):
        return "None"
    if origin is tuple and parts[-1:] != (...,):
        return f"{len(parts)} values ({', '.join(map(wanted, parts))})"
    if origin is not None and parts and inspect.isclass(origin) and issubclass(origin, Iterable):
        return f"a list, each {wanted(parts[0])}" if not issubclass(origin, Mapping) else "a mapping"
    name = hint.__forward_arg__ if isinstance(hint, ForwardRef) else getattr(hint, "__name__", str(hint))
    return _PLAIN.get(hint) or ARRAYS.get(name.rpartition(".")[2]) or f"a {name}"
