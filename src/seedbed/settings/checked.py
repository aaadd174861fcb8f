"""Arguments checked against their annotations, before anything is computed, with one wording for all functions.

Numbers must be finite, whole where an ``int`` is asked for, and within the bounds of their kind
(`seedbed.settings.kinds`). An array may come as lists or as a tensor, a tensor only as
one. What annotations cannot say, such as that two shapes fit, the functions check themselves.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Literal, ParamSpec, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from seedbed.errors import DataError, ParameterError, UserError, unknown_name
from seedbed.settings.hints import ARRAYS, NUMBERS, allowed, options, wanted

P = ParamSpec("P")
R = TypeVar("R")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function refuse arguments that its annotations do not allow.

    Raises:
        ParameterError: a number, word or other option is of the wrong kind or out of its range.
        DataError: an array, a tensor or a list of them is something else.
    """
    signature = inspect.signature(function)
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = [name for name, parameter in signature.parameters.items() if parameter.kind not in several]

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        hints = _hints(function)
        bound = signature.bind(*args, **kwargs)
        for name in named:
            if name in hints and name in bound.arguments:
                bound.arguments[name] = taken(name, bound.arguments[name], hints[name])
        return function(*bound.args, **bound.kwargs)

    return call


def check_options(function: Callable[..., Any], options: Mapping[str, object]) -> None:
    """Raise ParameterError where an option is not what the function's annotation of it allows."""
    hints = _hints(function)
    for name, value in options.items():
        if name in hints:
            taken(name, value, hints[name])


def check_fields(settings: Any) -> None:
    """Raise ParameterError where a dataclass has a field that its annotation does not allow."""
    kind: Any = type(settings)
    hints = _hints(kind)
    for field in fields(settings):
        value, words = getattr(settings, field.name), _words(hints[field.name])
        if words and value not in words:
            raise ParameterError(unknown_name(field.name, str(value), words))
        taken(field.name, value, hints[field.name])


def taken(name: str, value: Any, hint: Any) -> Any:
    """Return the value, or an array of it, if ``hint`` allows that; else raise an error that names it."""
    if allowed(value, hint) or (isinstance(value, str) and _words(hint)):
        return value  # which words there are, a function says itself
    if any(option is np.ndarray for option in options(hint)):
        try:
            array = np.asarray(value)
        except (TypeError, ValueError, RuntimeError):
            array = np.asarray(None)
        if array.dtype.kind in NUMBERS and array.ndim:
            return array
    raise _error(name, value, hint)


@functools.cache
def _hints(of: Any) -> dict[str, Any]:
    return get_type_hints(of, include_extras=True)


def _words(hint: Any) -> list[str]:
    """The words that a hint lists."""
    listed = (word for option in options(hint) if get_origin(option) is Literal for word in get_args(option))
    return [word for word in listed if isinstance(word, str)]


def _error(name: str, value: object, hint: Any) -> UserError:
    text = wanted(hint)
    kind = DataError if any(word in text for word in ARRAYS.values()) else ParameterError
    return kind(f"{name} must be {text}, not {_shown(value)}.")


def _shown(value: object) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{type(value).__name__} of shape {tuple(shape)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{type(value).__name__} {text[:50]}..."
