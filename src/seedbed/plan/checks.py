"""Names and options checked against what is registered, from the source text alone: no torch, no job.

Each check yields one line a problem: the key, the word at fault, and its nearest match.
"""

import functools
import json
import typing
from collections import abc
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from seedbed.errors import ParameterError, nearest, unknown_name
from seedbed.io.annotations import annotated_type
from seedbed.io.registrations import registrations
from seedbed.io.signatures import Option

_NAMES = {
    **{name: getattr(typing, name) for name in ("Any", "Literal", "Optional", "Union")},
    **{name: getattr(abc, name) for name in ("Collection", "Iterable", "Mapping", "Sequence")},
}
"""What an annotation may name, beside Python's own types, to be checked."""


def check_options(
    where: str, package: str, function: str, name: str, options: Mapping[str, Any], kind: str = "option"
) -> None:
    """Check a name and its options against a registry, see `seedbed.io.registrations`.

    Args:
        where: the key of the options, such as ``models.exvit.train.loss_options``.
        package, function: whose modules register, and by which function.
        name: a registered name.
        options: its options.
        kind: what is registered, for the message.

    Raises:
        ParameterError: the name or an option is unknown, one is missing, or a value does not fit its type.
    """
    raise_for([*name_problems(where, package, function, name, kind)])
    raise_for([*option_problems(where, package, function, name, options)])


def raise_for(problems: Collection[str]) -> None:
    """Raise one `ParameterError` that names all problems, each once; nothing if there are none."""
    lines = list(dict.fromkeys(problems))
    if lines:
        raise ParameterError(lines[0] if len(lines) == 1 else "\n  ".join([f"{len(lines)} mistakes:", *lines]))


def name_problems(where: str, package: str, function: str, name: Any, kind: str) -> Iterator[str]:
    """What is wrong with a name: nothing, or that it is not registered."""
    known = registrations(package, function)
    if name not in known:
        yield f"{where}: {unknown_name(kind, str(name), known)}"


def option_problems(where: str, package: str, function: str, name: Any, options: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the options of a registered name; a name that several register takes the options of each."""
    entries = registrations(package, function).get(name, ())
    if not entries or any(entry.options is None for entry in entries):
        return
    known: dict[str, list[Option]] = {}
    for entry in entries:
        for key, option in (entry.options or {}).items():
            known.setdefault(key, []).append(option)
    needed = [key for key, found in known.items() if len(found) == len(entries) and all(o.required for o in found)]
    yield from given_problems(where, f"option of '{name}'", options, known)
    for key in needed:
        if key not in options:
            yield f"{where}: '{name}' needs {key}."


def given_problems(
    where: str, kind: str, options: Mapping[str, Any], known: Mapping[str, Collection[Option]]
) -> Iterator[str]:
    """What is wrong with options that are given, each of which has one type or several."""
    for key, value in options.items():
        if key not in known:
            yield f"{where}.{key}: {unknown_name(kind, str(key), known)}"
        elif not any(fits(value, option.annotation) for option in known[key]):
            annotations = dict.fromkeys(option.annotation for option in known[key])
            words = [word for annotation in annotations for word in _words(annotation)]
            types = " or ".join(words or map(str, annotations))
            wrong = next((item for item in value if item not in words), "") if isinstance(value, list) else value
            yield f"{where}.{key}: must be {types} (it is {value!r}).{nearest(wrong, words)}"


def fits(value: Any, annotation: str | None) -> bool:
    """Whether a value of a YAML file is of the type that an annotation names; True where that type is unknown here."""
    adapter = _adapter(annotation)
    if adapter is None:
        return True
    try:
        adapter.validate_json(json.dumps(value), strict=True)  # so that a list is a tuple, and "3" is no number
    except (ValidationError, TypeError):
        return False
    return True


def _words(annotation: str | None) -> list[str]:
    named = _evaluated(annotation)
    found = [named, *typing.get_args(named)]
    return [word for part in found if typing.get_origin(part) is typing.Literal for word in typing.get_args(part)]


@functools.cache
def _adapter(annotation: str | None) -> TypeAdapter | None:
    named = _evaluated(annotation)
    return None if named is None else TypeAdapter(named)


@functools.cache
def _evaluated(annotation: str | None) -> Any:
    """The type that an annotation of our own source names; None where it names others than `_NAMES`."""
    if annotation is None:
        return None
    try:
        return annotated_type(annotation, _NAMES)
    except (NameError, TypeError):
        return None
