"""Tables and figures as data, read from ``papers/*.yaml``: reported numbers, and the pipeline behind each row."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import TypedDict

from seedbed.errors import ParameterError, unknown_name
from seedbed.papers.measured import SCORED, known_stage
from seedbed.params.base import MiouConvention, Section
from seedbed.params.mistakes import mistakes, named_path

UNITS = {"%": 100.0, "fraction": 1.0, "number": 1.0, "millions": 1e-6, "billions": 1e-9, "hours": 1.0}
"""Unit of a column -> what a metric is multiplied by to be in it."""
Stage = Annotated[str, AfterValidator(known_stage)]


class Pipeline(TypedDict, total=False):
    """Names along the chain, and what is measured at its end."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    dataset: str
    split: str
    subset: Literal["single_class", "two_classes"]
    model: str
    explainer: str
    refiner: str
    segmenter: str
    stage: Stage
    metric: str
    miou: MiouConvention


class Column(Section):
    """A measured quantity; ``better`` where one direction is."""

    id: str
    title: str
    unit: Literal["%", "fraction", "number", "millions", "billions", "hours"]
    better: Literal["higher", "lower"] | None = None
    pipeline: Pipeline = {}


class Row(Section):
    """A method; ``reported`` holds the paper's numbers by column, null where it prints none.

    ``cells`` holds what a column's pipeline has beside or instead of the row's; null where nothing is measured, as the
    seeds of a network that has none: a printed number is cited there.
    """

    id: str
    label: str
    source: str | None = None
    status: Literal["cited", "reproduced"]
    supervision: Literal["I", "I+T", "I+S", "F"] | None = Field(
        None, description="I image labels, I+T image labels and text (CLIP), I+S saliency or SAM, F full masks"
    )
    beyond_paper: bool = False
    reported: dict[str, float | None]
    printed_delta: dict[str, float] = {}
    attributes: dict[str, Any] = {}
    pipeline: Pipeline = {}
    cells: dict[str, Pipeline | None] = {}


class Table(Section):
    """A table, methods as rows; its pipeline lies under its columns', rows' and cells'."""

    id: str
    title: str
    caption: str
    question: str
    transposed_in_paper: bool = False
    pipeline: Pipeline = {}
    columns: list[Column]
    rows: list[Row]
    remarks: list[str] = []

    @model_validator(mode="after")
    def _consistent(self) -> "Table":
        columns = {column.id for column in self.columns}
        for kind, ids in (("column", [c.id for c in self.columns]), ("row", [r.id for r in self.rows])):
            twice = sorted(name for name, count in Counter(ids).items() if count > 1)
            if twice:
                raise ValueError(f"{kind} ids {twice} come more than once")
        for row in self.rows:
            stray = (set(row.reported) | set(row.cells)) - columns
            if stray:
                raise ValueError(f"row '{row.id}': {unknown_name('column', min(stray), columns)}")
            if row.supervision is None and self.measures_segmentation:
                raise ValueError(f"row '{row.id}' lacks its supervision: I, I+T, I+S or F")
        return self

    def pipeline_of(self, row: Row, column: Column) -> dict[str, Any] | None:
        """What a cell measures: the table's pipeline under its column's, its row's and its own; None if nothing."""
        own = row.cells.get(column.id, {})
        if row.status == "cited" or own is None:
            return None
        return {**self.pipeline, **column.pipeline, **row.pipeline, **own}

    @property
    def measures_segmentation(self) -> bool:
        """Whether a column or a row ends in masks of classes."""
        found = [self.pipeline, *(column.pipeline for column in self.columns), *(row.pipeline for row in self.rows)]
        found += [cell for row in self.rows for cell in row.cells.values() if cell is not None]
        return any(pipeline.get("stage") in SCORED for pipeline in found)


class Axis(Section):
    """What an axis of a drawn measurement shows; a fraction is drawn as it is or in percent."""

    title: str
    unit: Literal["%", "fraction"] = "fraction"


class Panel(Section):
    """One part of a figure: an image, or a bar, curve or points of a drawn measurement.

    Attributes:
        row: label of the gallery rows that the panel belongs to; null: all of them.
        axes: title of the axes that a bar or curve is drawn in.
        y: what it measures, where that is not the figure's.
        level: key of a single number that is drawn as a line across a curve.
        models: networks that the points of ``points`` are measured on; those that a preset lacks are left out.
        at: the option of each that says where its point stands; ``training_hours`` without models: the forecast of what
            the trainings behind the panel's number take.
        reported: the paper's numbers, in the unit of ``y``: across a curve, or at ``x`` where it prints a place.
    """

    label: str
    source: str | None = None
    status: Literal["cited", "reproduced"] = "reproduced"
    shows: str | None = None
    row: str | None = None
    axes: str = ""
    y: Axis | None = None
    level: str | None = None
    models: list[str] = []
    at: str = ""
    pipeline: Pipeline = {}
    reported: dict[str, float] = {}


Pick = Literal["peak_in_background", "one_instance", "several_instances"]


class Group(Section):
    """Rows of a gallery that share what lies under their panels, such as a data set.

    Attributes:
        picks: which images are shown, a row each, by what the caption says of them; none: images at equal distances.
    """

    label: str
    pipeline: Pipeline = {}
    picks: list[Pick] = []


class Figure(Section):
    """A figure: a gallery of images or a drawn measurement."""

    id: str
    title: str
    caption: str
    kind: Literal["gallery", "curve", "bars", "histogram"]
    status: Literal["reproduced"]
    question: str | None = None
    pipeline: Pipeline = {}
    groups: list[Group] = []
    panels: list[Panel] = []
    x: Axis | None = None
    y: Axis | None = None
    layers: Literal["all"] | None = None
    subjects: list[str] = []
    remarks: list[str] = []


class Paper(Section):
    """One paper."""

    id: str
    title: str
    citation: str
    tables: list[Table]
    figures: list[Figure] = Field(default=[])

    def head(self) -> dict[str, str]:
        """Id, title and citation."""
        return {"id": self.id, "title": self.title, "citation": self.citation}

    def table(self, name: str) -> Table:
        """The table of that id.

        Raises:
            ParameterError: there is none.
        """
        return _find("table", name, self.id, self.tables)

    def figure(self, name: str) -> Figure:
        """The figure of that id.

        Raises:
            ParameterError: there is none.
        """
        return _find("figure", name, self.id, self.figures)


def read_papers(folder: str | Path) -> dict[str, Paper]:
    """Read every ``*.yaml`` of a folder, by paper id.

    Raises:
        ParameterError: a file is not YAML or does not fit; naming file and key.
    """
    papers = {}
    for path in sorted(Path(folder).glob("*.yaml")):
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            paper = Paper.model_validate(content)
        except yaml.YAMLError as error:
            raise ParameterError(f"{path}: not valid YAML: {error}") from None
        except ValidationError as error:
            found = mistakes(error, Paper, content)
            problems = "\n  ".join(f"{named_path(place, content)}: {text}" for place, text in found)
            raise ParameterError(f"{path}: {problems}") from None
        if paper.id != path.stem:
            raise ParameterError(f"{path}: its id is '{paper.id}', but the file is named '{path.stem}'.")
        papers[paper.id] = paper
    if not papers:
        raise ParameterError(f"{folder}: holds no paper.")
    return papers


def _find(kind: str, name: str, paper: str, candidates: list[Any]) -> Any:
    for candidate in candidates:
        if candidate.id == name:
            return candidate
    raise ParameterError(f"{paper}: {unknown_name(kind, name, [candidate.id for candidate in candidates])}")
