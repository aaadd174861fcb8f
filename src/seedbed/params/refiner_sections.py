"""Parameters of what makes masks of heat maps, the section `refiners`: the options that each kind declares."""

import typing
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, create_model, model_validator

from seedbed.io.declarations import declared_fields
from seedbed.io.registrations import Registration, registrations
from seedbed.params.base import Section
from seedbed.settings import kinds

CATALOGUE = ("seedbed.refine", "refiner")


def needs(kind: str, what: str) -> bool:
    """Whether a kind of refiner needs ``maps``, ``affinities`` or ``truth``; see `seedbed.refine.refiners.refiner`."""
    (entry,) = registrations(*CATALOGUE)[kind]
    return bool(entry.keywords.get(what, what == "maps"))


class _Refiner(Section):
    """A refiner of any kind."""

    kind: str

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        (entry,) = registrations(*CATALOGUE)[self.kind]
        either = entry.keywords.get("either", "").split()
        if sum(getattr(self, name) is not None for name in either) != bool(either):
            raise ValueError(f"set either {' or '.join(either)}, and not both")
        return self


def _section(entry: Registration) -> type[Section]:
    text, fields = declared_fields(entry, {**vars(typing), **vars(kinds)})
    options: dict[str, Any] = {
        name: (found.annotation, Field(... if found.required else found.default, description=found.description))
        for name, found in fields.items()
    }
    title = "".join(part.title() for part in entry.name.split("_"))
    return create_model(title, __base__=_Refiner, __doc__=text, kind=(Literal[entry.name], ...), **options)  # type: ignore[arg-type]


SECTIONS = {name: _section(entry) for name, (entry,) in sorted(registrations(*CATALOGUE).items())}
if TYPE_CHECKING:
    Refiner = _Refiner  # a type checker cannot know what the modules declare
else:
    Refiner = Annotated[reduce(or_, SECTIONS.values()), Field(discriminator="kind")]
