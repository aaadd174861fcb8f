"""Galleries: a row an image (or an image's class), a column a stage."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from seedbed.data.images import read_mask, read_picture
from seedbed.data.index import DataIndex, Record
from seedbed.errors import DataError
from seedbed.io.heatmaps import HeatMaps
from seedbed.refine.resize import at_picture_size
from seedbed.report.drawing import (
    draw_grid,
    draw_histogram,
    draw_matrix,
    frame_boxes,
    frame_peak,
    overlay_heatmap,
    overlay_mask,
)

HEAT_SCALE = "heat maps: each from 0 to its own largest value; grey: undefined (0/0)"


class Row(NamedTuple):
    """What a gallery's row shows: an image, one of its classes or None for all of them, and why it was picked."""

    index: DataIndex  # type: ignore[assignment]  # hides tuple.index
    record: Record
    label: int | None
    why: str = ""

    def image(self) -> np.ndarray:
        """The image, uint8 [H, W, 3]."""
        return read_picture(self.index.root / self.record.path)

    def title(self) -> str:
        """Class names, one a line."""
        return "\n".join(self.record.labels if self.label is None else [self.index.classes[self.label]])

    def heading(self, section: str) -> str:
        """What stands beside the row: its section, why it was picked, its classes."""
        return "\n".join(filter(None, (section, self.why, self.title())))


class Column(Protocol):
    """A titled column; ``draw`` returns uint8 [h, w, 3]."""

    @property
    def title(self) -> str: ...

    def draw(self, row: Row) -> np.ndarray: ...


class Original(NamedTuple):
    """The images themselves."""

    title: str = "image"

    def draw(self, row: Row) -> np.ndarray:
        return row.image()


class Truth(NamedTuple):
    """Ground-truth masks, of the row's class alone if it has one; where there is none, true boxes on a dark image."""

    title: str = "ground truth"

    def draw(self, row: Row) -> np.ndarray:
        if row.record.mask is None:
            boxes = [(box.xmin - 1, box.ymin - 1, box.xmax - 1, box.ymax - 1) for box in row.record.boxes]
            return frame_boxes(row.image() // 4, boxes, (255, 255, 255))
        return overlay_mask(row.image(), truth_mask(row))


class Heat(NamedTuple):
    """Heat maps over their images: of the row's class, or the strongest of all; ``peak`` frames the largest value."""

    title: str
    maps: Mapping[str, HeatMaps]
    peak: bool = False

    def draw(self, row: Row) -> np.ndarray:
        heat = strongest(self.maps[row.record.image], row.label)
        painted = overlay_heatmap(row.image(), _unit(heat))
        return frame_peak(painted, heat) if self.peak else painted


class Histogram(NamedTuple):
    """Distribution of a heat map's values, with its peak marked."""

    title: str
    maps: Mapping[str, HeatMaps]

    def draw(self, row: Row) -> np.ndarray:
        return draw_histogram(strongest(self.maps[row.record.image], row.label).ravel())


class Matrix(NamedTuple):
    """Affinity matrices [N, N] themselves, bright where a patch (row) attends to another (column)."""

    title: str
    matrices: Mapping[str, np.ndarray]

    def draw(self, row: Row) -> np.ndarray:
        return draw_matrix(self.matrices[row.record.image])


class Masks(NamedTuple):
    """Masks over their images."""

    title: str
    masks: Mapping[str, np.ndarray]

    def draw(self, row: Row) -> np.ndarray:
        return overlay_mask(row.image(), self.masks[row.record.image])


class Section(NamedTuple):
    """Rows that are drawn with the same columns, under a label of their own (empty for none)."""

    label: str
    rows: Sequence[Row]
    columns: Sequence[Column]


def draw_gallery(sections: Sequence[Section], kind: str = "png") -> bytes:
    """Return a PNG or PDF of all sections below one another; titles stand above the first row and where they change."""
    images, labels, titles = [], [], []
    for section in sections:
        for row in section.rows:
            images.append([column.draw(row) for column in section.columns])
            labels.append(row.heading(section.label))
            titles.append([column.title for column in section.columns])
    changed = {k: titles[k] for k in range(1, len(titles)) if titles[k] != titles[k - 1]}
    heat = any(isinstance(column, Heat) for section in sections for column in section.columns)
    return draw_grid(images, titles[0], labels, changed, HEAT_SCALE if heat else "", kind=kind)


def interleave(sections: Sequence[Section]) -> list[Section]:
    """Sections of the same images, image by image: each image's rows of all sections below one another."""
    return [
        section._replace(rows=[section.rows[place]]) for place in range(len(sections[0].rows)) for section in sections
    ]


def rows_of(
    index: DataIndex, records: Sequence[Record], count: int, per_class: bool = False, subjects: Sequence[str] = ()
) -> list[Row]:
    """Rows for ``count`` images.

    Args:
        index, records: the data set, and its images to choose from.
        count: how many are shown; fewer if there are not so many.
        per_class: a row for each of an image's classes.
        subjects: classes to show, in turn; images are spread over ``records`` where the data set knows none of them.
    """
    known = [index.class_index(name) for name in subjects if name in index.classes]
    if known:
        return _rows_of_subjects(index, records, count, known)
    chosen = choose(records, count)
    if not per_class:
        return [Row(index, record, None) for record in chosen]
    return [Row(index, record, label) for record in chosen for label in index.class_indices(record)]


def truth_mask(row: Row) -> np.ndarray:
    """Ground truth of a row's image, uint8 [H, W]; of the row's class alone if it has one."""
    if row.record.mask is None:
        raise DataError(f"Image '{row.record.image}' has no ground-truth mask.")
    mask = read_mask(row.index.root / row.record.mask, row.record.size, len(row.index.classes))
    return mask if row.label is None else np.where(mask == row.label + 1, mask, 0)


def unknown_subjects(subjects: Sequence[str], indices: Sequence[DataIndex]) -> list[str]:
    """A note about classes that the paper shows and none of the data sets has; nothing where there are none."""
    absent = [name for name in subjects if not any(name in index.classes for index in indices)]
    return [f"The paper shows {', '.join(absent)}; the data set has no such class."] if absent else []


def choose(records: Sequence[Record], count: int) -> list[Record]:
    """Pick images: half with several labels where there are any, spread evenly over the split."""
    several = [record for record in records if len(record.labels) > 1]
    single = [record for record in records if len(record.labels) <= 1]
    wanted = min(len(several), max(count // 2, count - len(single)))
    return spread(several, wanted) + spread(single, min(count - wanted, len(single)))


def strongest(heat: HeatMaps, label: int | None) -> np.ndarray:
    """The map [H, W] of a class, or the largest of all classes at each pixel; zeros where there is none.

    Undefined maps are passed over; NaN if there is no other.
    """
    chosen = np.full(len(heat.classes), True) if label is None else heat.classes == label
    defined = chosen & ~np.isnan(heat.maps).any(axis=(1, 2))
    if chosen.any() and not defined.any():
        return np.full(heat.size, np.nan, np.float32)
    kept = at_picture_size(heat).maps[defined]
    return kept.max(0) if len(kept) else np.zeros(heat.size, np.float32)


def _rows_of_subjects(index: DataIndex, records: Sequence[Record], count: int, labels: Sequence[int]) -> list[Row]:
    """Images of each class in turn, no image twice."""
    rows: list[Row] = []
    waiting = {label: [r for r in records if label in index.class_indices(r)] for label in labels}
    while len(rows) < count and any(waiting.values()):
        for label in labels:
            shown = {row.record.image for row in rows}
            fresh = [record for record in waiting[label] if record.image not in shown]
            waiting[label] = fresh[1:]
            if fresh and len(rows) < count:
                rows.append(Row(index, fresh[0], label))
    return rows


def _unit(heat: np.ndarray) -> np.ndarray:
    return heat / max(float(heat.max()), 1e-6)


def spread(records: Sequence[Record], count: int) -> list[Record]:
    """``count`` images at equal distances, or none of none."""
    if not records:
        return []
    return [records[(2 * k + 1) * len(records) // (2 * count)] for k in range(count)]
