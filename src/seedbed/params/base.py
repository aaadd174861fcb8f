"""What all parameter sections share: unknown keys are errors, values do not change."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0)]
Steps = list[dict[str, Any]]
"""Augmentation steps, ``[{name: argument}, ...]``; see ``seedbed.data.transforms``."""


class Section(BaseModel):
    """A section of params.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    def plain(self) -> dict[str, Any]:
        """The section as plain JSON-compatible values, for rules, checksums and provenance."""
        return self.model_dump(mode="json")
