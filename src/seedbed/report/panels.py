"""Columns of a gallery from plain descriptions: stored maps and masks, or maps explained on the spot."""

from collections.abc import Mapping, Sequence
from typing import Any

from seedbed.data.index import DataIndex, Record, subset
from seedbed.io.heatmaps import HeatMaps, HeatMapStore
from seedbed.io.masks import MaskStore
from seedbed.params.stages import Explainer
from seedbed.report.gallery import Column, Heat, Histogram, Masks, Picture, Section, Truth, rows_of

Spec = Mapping[str, Any]
"""``label``, ``shows`` and, by kind: ``shards``; or ``weights``, ``explainer`` and ``network``, which has
``architecture``, ``num_classes`` and ``options``."""


def open_section(group: Spec, index: DataIndex, count: int, device: Any) -> Section:
    """Rows and columns of a group: ``label``, ``split``, ``subset`` and ``panels``.

    Pictures of two classes get a row for each class, as the papers show them.
    """
    records = subset(index.split(group["split"]), group["subset"])
    rows = rows_of(index, records, count, per_class=group["subset"] == "two_classes")
    chosen = list(dict.fromkeys(row.record for row in rows))
    return Section(group["label"], rows, [open_panel(spec, index, chosen, device) for spec in group["panels"]])


def open_panel(spec: Spec, index: DataIndex, records: Sequence[Record], device: Any) -> Column:
    """The column that a description stands for.

    Args:
        spec: what to show.
        index, records: the data set and the pictures that will be drawn; maps that are not stored are made for them.
        device: where to explain.
    """
    title = spec["label"]
    match spec["shows"]:
        case "image":
            return Picture(title)
        case "truth":
            return Truth(title)
        case "mask" | "prediction":
            return Masks(title, MaskStore(spec["shards"]))
        case "histogram":
            return Histogram(title, _maps(spec, index, records, device))
        case _:
            return Heat(title, _maps(spec, index, records, device))


def _maps(spec: Spec, index: DataIndex, records: Sequence[Record], device: Any) -> Mapping[str, HeatMaps]:
    if "shards" in spec:
        return HeatMapStore(spec["shards"])
    # Heavy, and most galleries show what is stored.
    from seedbed.explain.pictures import picture_heatmaps
    from seedbed.models.registry import create_model
    from seedbed.models.weights.loading import load_weights

    network = spec["network"]
    classes = network["num_classes"] or len(index.classes)
    model = create_model(network["architecture"], classes, **network["options"])
    load_weights(model, spec["weights"])
    return dict(picture_heatmaps(model, index, records, Explainer.model_validate(spec["explainer"]), device))
