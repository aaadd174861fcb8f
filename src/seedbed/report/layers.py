"""Images as layers for a page: maps and masks above an image, to be switched; each layer a small image of its own."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from seedbed.data.index import DataIndex
from seedbed.io.masks import VOID, voc_palette
from seedbed.report.drawing import HEAT_COLOURS
from seedbed.report.gallery import Column, Heat, Masks, Original, Row, Section, Truth, strongest, truth_mask

LARGEST = 360
"""Longer side of an embedded image, in pixels."""
_UNDEFINED = 254
_ORDER = ("best", "worst", "sample")


@dataclass(frozen=True)
class Layer:
    """One layer above an image.

    Attributes:
        title: of its column.
        kind: ``heat`` (covers the image), ``mask`` (clear where there is background) or ``drawing`` (stands alone).
        uri: the layer as a data URI.
        score: mIoU of this image, 0..1, or None.
    """

    title: str
    kind: str
    uri: str
    score: float | None = None


@dataclass(frozen=True)
class Case:
    """One image with its layers.

    Attributes:
        name: image id.
        section: label of the rows it belongs to, or empty.
        classes: names of the classes that are shown.
        chosen: why it is shown: ``worst``, ``best`` or ``sample``.
        uri: the image as a data URI.
        layers: in the order of the columns.
    """

    name: str
    section: str
    classes: tuple[str, ...]
    chosen: str
    uri: str
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Images:
    """What a viewer shows.

    Attributes:
        cases: images with their layers.
        titles: titles of all layers.
        colours: class name -> its colour in masks, as CSS.
        scale: colours of heat maps from 0 to 1, as CSS; empty where there are none.
        chosen_by: title of the layer whose scores say what is worst and best, or empty.
    """

    cases: tuple[Case, ...]
    titles: tuple[str, ...]
    colours: Mapping[str, str]
    scale: tuple[str, ...]
    chosen_by: str = ""


def open_images(
    sections: Sequence[Section],
    *,
    chosen: Mapping[str, str] | None = None,
    scores: Mapping[str, Mapping[str, float]] | None = None,
    chosen_by: str = "",
) -> Images:
    """Draw every row of sections as an image with layers.

    Args:
        sections: rows and columns.
        chosen: image -> ``worst`` or ``best``; all others are a sample.
        scores: title of a column -> image -> mIoU.
        chosen_by: title of the column that ``chosen`` goes by.
    """
    chosen, scores = chosen or {}, scores or {}
    cases = [
        Case(
            row.record.image,
            ", ".join(filter(None, (section.label, row.why))),
            tuple(row.title().split("\n")) if row.record.labels else (),
            chosen.get(row.record.image, "sample"),
            _uri(Image.fromarray(row.image()), "JPEG"),
            tuple(
                _layer(column, row, scores.get(column.title, {}).get(row.record.image))
                for column in section.columns
                if not isinstance(column, Original)
            ),
        )
        for section in sections
        for row in section.rows
    ]
    cases.sort(key=lambda case: _ORDER.index(case.chosen))
    titles = dict.fromkeys(layer.title for case in cases for layer in case.layers)
    heat = any(layer.kind == "heat" for case in cases for layer in case.layers)
    colours = {name: colour for s in sections for row in s.rows for name, colour in _colours(row.index, row).items()}
    return Images(tuple(cases), tuple(titles), colours, _scale() if heat else (), chosen_by)


def _layer(column: Column, row: Row, score: float | None) -> Layer:
    score = None if score is None or math.isnan(score) else score
    if isinstance(column, Heat) and not column.peak:
        return Layer(
            column.title, "heat", _uri(_heat_image(strongest(column.maps[row.record.image], row.label))), score
        )
    if isinstance(column, Masks):
        return Layer(column.title, "mask", _uri(_mask_image(column.masks[row.record.image])), score)
    if isinstance(column, Truth) and row.record.mask is not None:
        return Layer(column.title, "mask", _uri(_mask_image(truth_mask(row))), score)
    drawing = Image.fromarray(column.draw(row)).quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return Layer(column.title, "drawing", _uri(drawing), score)


def _heat_image(heat: np.ndarray) -> Image.Image:
    """A map [H, W] from 0 to its largest value as palette colours; grey where it is undefined."""
    from matplotlib import colormaps

    undefined = np.isnan(heat)
    unit = np.clip(np.nan_to_num(heat) / max(float(np.nan_to_num(heat).max()), 1e-6), 0, 1)
    image = Image.fromarray(np.where(undefined, _UNDEFINED, unit * (_UNDEFINED - 1)).astype(np.uint8), mode="P")
    colours = (colormaps[HEAT_COLOURS](np.linspace(0, 1, _UNDEFINED))[:, :3] * 255).astype(np.uint8)
    image.putpalette(np.vstack([colours, np.full((2, 3), 128, np.uint8)]).tobytes())
    return image


def _mask_image(mask: np.ndarray) -> Image.Image:
    """A mask [H, W] in its classes' colours, clear where there is background; void is white."""
    image = Image.fromarray(mask.astype(np.uint8), mode="P")
    palette = np.frombuffer(voc_palette(), np.uint8).reshape(256, 3).copy()
    palette[VOID] = 255
    image.putpalette(palette.tobytes())
    image.info["transparency"] = 0
    return image


def _uri(image: Image.Image, kind: str = "PNG") -> str:
    """An image as a data URI, no side longer than `LARGEST`."""
    factor = LARGEST / max(image.size)
    if factor < 1:
        transparency = image.info.get("transparency")
        smooth = Image.Resampling.LANCZOS if image.mode == "RGB" else Image.Resampling.NEAREST  # indices do not blend
        image = image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))), smooth)
        image.info.update({} if transparency is None else {"transparency": transparency})
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 88} if kind == "JPEG" else {"optimize": True}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _colours(index: DataIndex, row: Row) -> dict[str, str]:
    palette = voc_palette()
    return {
        name: f"rgb({', '.join(str(value) for value in palette[3 * k + 3 : 3 * k + 6])})"
        for name, k in ((name, index.class_index(name)) for name in row.record.labels)
    }


def _scale(steps: int = 9) -> tuple[str, ...]:
    from matplotlib import colormaps

    colours = (colormaps[HEAT_COLOURS](np.linspace(0, 1, steps))[:, :3] * 255).astype(int)
    return tuple(f"rgb({r}, {g}, {b})" for r, g, b in colours)
