"""What all parameter sections share: unknown keys are errors, values do not change."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from seedbed.params.merging import merge

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0)]
MiouConvention = Literal["all_classes", "in_truth", "in_either"]
"""Over which classes a mean IoU is taken; see ``seedbed.evaluate.ConfusionMatrix.miou``."""


def expanded(path: str) -> str:
    """A path with ``~`` at its front replaced, as a shell does where it is not in quotes.

    Raises:
        ValueError: ``~name`` is nobody's.
    """
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:
        raise ValueError(f"'{path}' begins with a user that this machine does not know") from None


def without_braces(path: str) -> str:
    """A path that a rule can have as an input.

    Raises:
        ValueError: it holds a brace, which Snakemake reads as a wildcard.
    """
    if "{" in path or "}" in path:
        raise ValueError(f"'{path}' holds a brace, which no input of a rule may: rename it, or link to it")
    return path


UserPath = Annotated[str, AfterValidator(expanded)]
"""Where a user keeps something."""
InputPath = Annotated[UserPath, AfterValidator(without_braces)]
"""The same, of what is an input of rules."""
Steps = list[dict[str, Any]]
"""Augmentation steps, ``[{name: argument}, ...]``; see ``seedbed.data.transforms``."""


class Section(BaseModel):
    """A section of params.yaml."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False, coerce_numbers_to_str=True
    )

    def plain(self) -> dict[str, Any]:
        """The section as plain JSON-compatible values, for rules, checksums and provenance."""
        return self.model_dump(mode="json")


class Varied(Section):
    """A section that is another one on some data sets, as the papers train longer on COCO than on VOC."""

    per_dataset: dict[str, dict[str, Any]] = Field({}, description="data set -> what is different on it")

    @model_validator(mode="after")
    def _variants_fit(self) -> Self:
        for dataset in self.per_dataset:
            self._fitting(f"per_dataset.{dataset}", self.on, dataset)
        return self

    def on(self, dataset: str) -> Self:
        """The section as it is on a data set."""
        return self._with(self.per_dataset[dataset]) if dataset in self.per_dataset else self

    def _with(self, changes: Mapping[str, Any]) -> Self:
        values = merge(self.model_dump(exclude={"per_dataset"}), changes)
        return type(self).model_validate(values)

    @staticmethod
    def _fitting(where: str, make: Any, name: str) -> None:
        """Say which variant does not fit, and why."""
        try:
            make(name)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
            raise ValueError(f"{where} does not fit: {problems}") from None
