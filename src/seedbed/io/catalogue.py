"""A catalogue: what modules enter under a name, beside their code. A look-up imports only the modules of that name.

So no table imports every method, and what a result depends on is what it uses (`seedbed.io.identity`). Names and their
options are read from the source text, see `seedbed.io.registrations`.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Generic, TypeVar

from seedbed.errors import ParameterError, unknown_name
from seedbed.io.registrations import registered_names, registrations

Entry = TypeVar("Entry")


def import_registered(package: str, function: str) -> None:
    """Import every module of a package that enters something by ``function``, in the order of their names."""
    found = registrations(package, function).values()
    for module in sorted({entry.module for entries in found for entry in entries}):
        import_module(module)


class Catalogue(Generic[Entry]):
    """Entries by name.

    Args:
        kind: what an entry is, for errors: ``loss``.
        package: whose modules enter them: ``seedbed.train``.
        function: by which function, called with the name first: ``loss``.
    """

    def __init__(self, kind: str, package: str, function: str) -> None:
        self.kind, self.package, self.function = kind, package, function
        self._entries: dict[str, Entry] = {}

    def enter(self, name: str, entry: Entry) -> None:
        """Enter something under a name that nothing else has."""
        if name in self._entries:
            raise ValueError(f"{self.kind} '{name}' is entered twice")
        self._entries[name] = entry

    def entering(self, name: str) -> Callable[[Entry], Entry]:
        """A decorator that enters what it decorates."""

        def enter(entry: Entry) -> Entry:
            self.enter(name, entry)
            return entry

        return enter

    def find(self, name: str) -> Entry:
        """Return what is entered under a name.

        Raises:
            ParameterError: nothing is; with the nearest match.
        """
        if name not in self._entries:
            for registration in registrations(self.package, self.function).get(name, ()):
                import_module(registration.module)
        if name not in self._entries:
            raise ParameterError(unknown_name(self.kind, str(name), [*self]))
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        """Every name, sorted, whether its module is imported or not."""
        yield from sorted({*registered_names(self.package, self.function), *self._entries})

    def __contains__(self, name: object) -> bool:
        return name in tuple(self)
