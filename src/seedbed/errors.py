"""Errors that a user can cause and can mend. Their text names what is at fault and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something outside the code is wrong: a file, a parameter, a name, the machine."""


class DataError(UserError):
    """A data set breaks its own format: a corrupt image, a mask of another size, an unknown label."""


class ParameterError(UserError):
    """A parameter is unknown, ill-typed or out of range."""


class ImageSizeError(ParameterError):
    """A network does not take images of a size."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message for a name that is not in a registry: the nearest match first, then all that are known."""
    known = sorted(known)
    return f"Unknown {kind} '{name}'.{nearest(name, known)} Known: {', '.join(known) or 'none'}."


def nearest(word: object, known: Iterable[str]) -> str:
    """Return a hint for the end of a message, the nearest of the words that are known; empty if none is near."""
    near = get_close_matches(word, known, n=1) if isinstance(word, str) else ()
    return f" Did you mean '{near[0]}'?" if near else ""


def missing_extra(what: str, extra: str, error: ModuleNotFoundError) -> UserError:
    """Return the error for something that needs a library of an extra: what, which library, and how to install it."""
    library = str(error.name).partition(".")[0]
    return UserError(f"{what} needs {library}, which is not installed: pip install 'seedbed[{extra}]'.")
