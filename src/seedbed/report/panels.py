"""Columns of a gallery from plain descriptions: stored maps and masks, or maps explained on the spot."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from seedbed.data.index import DataIndex, Record, subset
from seedbed.io.heatmaps import HeatMaps, HeatMapStore
from seedbed.io.masks import MaskStore
from seedbed.io.plain import from_plain
from seedbed.report.confident import ConfidentBackground, ConfidentForeground
from seedbed.report.gallery import (
    Column,
    Heat,
    Histogram,
    Masks,
    Matrix,
    Original,
    Section,
    Truth,
    interleave,
    rows_of,
)
from seedbed.report.picks import Maps, picked_rows

Spec = Mapping[str, Any]
"""``label``, ``shows`` and, by kind: ``shards``; or ``weights``, ``network`` (``architecture``, ``num_classes``,
``options``) and ``explainer``, or ``input`` for affinity matrices."""
Device = Callable[[], Any]
"""Says where to explain, when there is something to explain: asking imports torch."""
MOST_LAYERS = 6
"""Columns of a panel by layer; of a deeper network, layers at equal distances to the last."""


def open_section(group: Spec, index: DataIndex, count: int, device: Device, also: Sequence[str] = ()) -> Section:
    """Rows and columns of a group: ``label``, ``split``, ``subset``, ``panels``; ``row``, ``subjects`` or ``picks``.

    Images of two classes get a row for each class, as the papers show them. Rows of the images ``also`` come last.
    """
    records = subset(index.split(group["split"]), group["subset"])
    per_class = group["subset"] == "two_classes"
    if group.get("picks"):
        rows = picked_rows(index, records, group["picks"], _first_maps(group["panels"], index, device))
    else:
        rows = rows_of(index, records, count, per_class=per_class, subjects=group.get("subjects", ()))
    named = [record for record in records if record.image in set(also) - {row.record.image for row in rows}]
    rows += rows_of(index, named, len(named), per_class=per_class)
    chosen = list(dict.fromkeys(row.record for row in rows))
    columns = [column for spec in group["panels"] for column in open_columns(spec, index, chosen, device)]
    return Section(" ".join(filter(None, (group["label"], group.get("row")))), rows, columns)


def open_sections(groups: Sequence[Spec], indices: Sequence[DataIndex], count: int, device: Device) -> list[Section]:
    """All groups of a figure; those that differ in their ``row`` alone are shown image by image."""
    opened: dict[str, list[Section]] = {}
    for group, index in zip(groups, indices, strict=True):
        opened.setdefault(group["label"], []).append(open_section(group, index, count, device))
    return [section for sections in opened.values() for section in interleave(sections)]


def open_columns(spec: Spec, index: DataIndex, records: Sequence[Record], device: Device) -> list[Column]:
    """The columns that a description stands for: one, or one a layer; arguments as `open_panel` takes them."""
    match spec["shows"]:
        case "heatmap_per_layer":
            return _heat_by_layer(spec, index, records, device)
        case "affinity_matrix_per_layer":
            return _matrices_by_layer(spec, index, records, device)
        case _:
            return [open_panel(spec, index, records, device)]


def shown_layers(count: int) -> list[int]:
    """Indices of the layers that are shown of a network that has ``count``."""
    if count <= MOST_LAYERS:
        return list(range(count))
    return [count * k // MOST_LAYERS - 1 for k in range(1, MOST_LAYERS + 1)]


def open_panel(spec: Spec, index: DataIndex, records: Sequence[Record], device: Device) -> Column:
    """The column that a description stands for.

    Args:
        spec: what to show.
        index, records: the data set and the images that will be drawn; maps that are not stored are made for them.
        device: where to explain.
    """
    title = spec["label"]
    match spec["shows"]:
        case "image":
            return Original(title)
        case "truth":
            return Truth(title)
        case "mask" | "prediction":
            return Masks(title, MaskStore(spec["shards"]))
        case "confident_foreground":
            return Heat(title, ConfidentForeground(HeatMapStore(spec["shards"])))
        case "confident_background":
            return Heat(title, ConfidentBackground(HeatMapStore(spec["shards"])))
        case "histogram":
            return Histogram(title, _maps(spec, index, records, device))
        case "peaks":
            return Heat(title, _maps(spec, index, records, device), peak=True)
        case _:
            return Heat(title, _maps(spec, index, records, device))


def _maps(spec: Spec, index: DataIndex, records: Sequence[Record], device: Device) -> Mapping[str, HeatMaps]:
    if "shards" in spec:
        return HeatMapStore(spec["shards"])
    # Heavy, and most galleries show what is stored.
    from seedbed.explain.dataset_maps import picture_heatmaps
    from seedbed.explain.heatmap_settings import HeatMapSettings

    settings = from_plain(HeatMapSettings, spec["explainer"])
    return dict(picture_heatmaps(_network(spec, index), index, records, settings, device()))


def _first_maps(panels: Sequence[Spec], index: DataIndex, device: Device) -> Maps:
    """How images are explained in the first column of maps."""
    spec = next(panel for panel in panels if "explainer" in panel or "shards" in panel)
    return lambda records: _maps(spec, index, records, device)


def _heat_by_layer(spec: Spec, index: DataIndex, records: Sequence[Record], device: Device) -> list[Column]:
    from seedbed.evaluate.layerwise import layer_maps
    from seedbed.explain.heatmap_settings import HeatMapSettings

    settings = from_plain(HeatMapSettings, spec["explainer"])
    found = list(layer_maps(_network(spec, index), index, records, settings, device()))
    return [
        Heat(
            f"layer {layer + 1}",
            {r.image: HeatMaps(np.asarray(classes), maps.layers[layer], r.size) for r, classes, maps in found},
        )
        for layer in shown_layers(len(found[0][2].layers))
    ]


def _matrices_by_layer(spec: Spec, index: DataIndex, records: Sequence[Record], device: Device) -> list[Column]:
    from seedbed.data.views import InputView
    from seedbed.evaluate.attention import attention_matrices

    settings = from_plain(InputView, spec["input"])
    found = attention_matrices(_network(spec, index), index, records, settings, device())
    return [
        Matrix(f"layer {layer + 1}", {image: layers[layer] for image, layers in found.items()})
        for layer in shown_layers(len(next(iter(found.values()))))
    ]


def _network(spec: Spec, index: DataIndex) -> Any:
    from seedbed.models.restored import restore_classifier

    return restore_classifier(spec["network"], len(index.classes), spec["weights"])
