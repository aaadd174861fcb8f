"""Names of published tensors turned into ours."""

import re
from collections.abc import Callable, Iterable

Rule = tuple[str, str | Callable[[re.Match[str]], str]]
"""A pattern, and what takes its place."""


def renamed(name: str, rules: Iterable[Rule]) -> str:
    """A name after every rule in turn."""
    for theirs, ours in rules:
        name = re.sub(theirs, ours, name)
    return name
