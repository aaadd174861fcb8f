"""Images of a gallery by what a caption says of them: one object, several, a map's peak outside every object."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from seedbed.data.index import DataIndex, Record
from seedbed.errors import DataError
from seedbed.io.heatmaps import HeatMaps
from seedbed.report.gallery import Row, Section, spread, strongest

Maps = Callable[[Sequence[Record]], Mapping[str, HeatMaps]]
"""From images to the maps of a gallery's first column of maps."""
MOST_TRIED = 32
"""Images at equal distances that are explained to find one whose peak lies outside."""


def picked_rows(index: DataIndex, records: Sequence[Record], picks: Sequence[str], maps: Maps) -> list[Row]:
    """A row for each pick, no image twice; a pick that no image meets is left out.

    Args:
        index, records: the data set, and its images to choose from.
        picks: ``one_instance`` and ``several_instances``, by the true boxes, and ``peak_in_background``: the largest
            value of the map lies in no true box.
        maps: explains images.

    Raises:
        DataError: no image has a box, so that nothing is known of its objects.
    """
    boxed = [record for record in records if record.boxes]
    if not boxed:
        raise DataError(f"{index.root}: no image has a box, so none can be picked by its objects.")
    rows: list[Row] = []
    for pick in picks:
        shown = {row.record.image for row in rows}
        fresh = [record for record in boxed if record.image not in shown]
        met = _PICKS[pick](fresh, maps)
        rows += [Row(index, record, None, pick.replace("_", " ")) for record in spread(met, 1)]
    return rows


def unmet_picks(groups: Sequence[Mapping[str, Any]], sections: Sequence[Section]) -> list[str]:
    """Notes of what a figure's groups (``label``, ``picks``) ask for and no image of theirs met."""
    notes = []
    for group in groups:
        wanted = Counter(pick.replace("_", " ") for pick in group.get("picks", ()))
        shown = Counter(row.why for one in sections if one.label == group["label"] for row in one.rows)
        notes += [f"{group['label']}: no image with {pick}." for pick in wanted - shown]
    return notes


def peak_is_outside(record: Record, heat: HeatMaps) -> bool:
    """Whether a map's largest value lies in no true box of its image; False for an undefined map."""
    shown = strongest(heat, None)
    if np.isnan(shown).any():
        return False
    y, x = np.unravel_index(int(shown.argmax()), shown.shape)
    inside = (box.xmin - 1 <= x < box.xmax and box.ymin - 1 <= y < box.ymax for box in record.boxes)
    return not any(inside)


def _of_one(records: Sequence[Record], maps: Maps) -> list[Record]:
    return [record for record in records if len(record.boxes) == 1]


def _of_several(records: Sequence[Record], maps: Maps) -> list[Record]:
    return [record for record in records if len(record.boxes) > 1]


def _peaking_outside(records: Sequence[Record], maps: Maps) -> list[Record]:
    tried = spread(records, min(MOST_TRIED, len(records)))
    found = maps(tried)
    return [record for record in tried if peak_is_outside(record, found[record.image])]


_PICKS: dict[str, Callable[[Sequence[Record], Maps], list[Record]]] = {
    "one_instance": _of_one,
    "several_instances": _of_several,
    "peak_in_background": _peaking_outside,
}
