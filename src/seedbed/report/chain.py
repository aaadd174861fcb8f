"""The chain behind measured numbers as a drawing: data, network, heat maps, masks, segmentation; inline SVG.

Steps that several numbers share are drawn once, so that the drawing is a forest: its roots are data sets, and a number
stands at the step that it is measured on.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup, escape

STAGES = {
    "dataset": "Data",
    "model": "Classifier",
    "explainer": "Heat maps",
    "refiner": "Pseudo masks",
    "segmenter": "Segmentation network",
}
"""Keys of a measurement in the order data flows -> what the steps of that column are."""
MOST_NUMBERS = 3
"""Numbers that stand at one step; the rest is counted."""
_WIDTH, _GAP, _LINE, _HEAD, _APART, _MARGIN = 220, 40, 17, 44, 14, 8
_NAME, _TEXT = 24, 28
"""Letters of a step's name and of a number that fit its box, in a wide font too."""


@dataclass(frozen=True)
class Number:
    """A measured number in the drawing.

    Attributes:
        measurement: its chain of names, see `seedbed.papers.plan.Measurement.names`.
        text: what is written at its step.
        link: where the text leads, such as ``#exvit_table1``.
    """

    measurement: Mapping[str, Any]
    text: str
    link: str


@dataclass
class Step:
    """One step of the chain: its column, its name, the numbers measured on it, and the steps after it."""

    stage: str
    name: str
    numbers: list[Number] = field(default_factory=list)
    after: dict[tuple[str, str], "Step"] = field(default_factory=dict)

    def lines(self) -> int:
        """Lines of text below the name."""
        return min(len(self.numbers), MOST_NUMBERS + 1)

    def height(self) -> int:
        """Height of its box in pixels."""
        return _HEAD + _LINE * self.lines() + (4 if self.numbers else 0)


def chain_steps(numbers: Iterable[Number]) -> list[Step]:
    """The steps behind numbers, data sets first; each prefix of a chain is one step."""
    root = Step("", "")
    for number in numbers:
        step = root
        for stage in STAGES:
            name = number.measurement.get(stage)
            if name:
                step = step.after.setdefault((stage, name), Step(stage, name))
        step.numbers.append(number)
    return list(root.after.values())


def draw_chain(numbers: Iterable[Number], title: str) -> Markup:
    """Return an SVG element of the chain, in the colours of the page it stands on; nothing where there is no number."""
    steps = chain_steps(numbers)
    if not steps:
        return Markup("")
    boxes: list[Markup] = []
    arrows: list[Markup] = []
    top = _MARGIN + 22
    for step in steps:
        top = _place(step, 0, top, boxes, arrows) + _APART
    columns = list(STAGES.values())
    width = 2 * _MARGIN + len(columns) * _WIDTH + (len(columns) - 1) * _GAP
    heads = [
        Markup('<text class="stage" x="{}" y="{}">{}</text>').format(_left(k), _MARGIN + 10, name)
        for k, name in enumerate(columns)
    ]
    return Markup(
        '<svg class="chain" role="group" aria-label="{}" viewBox="0 0 {} {}" width="{}" height="{}">{}</svg>'
    ).format(title, width, top, width, top, Markup("").join([*heads, *arrows, *boxes]))


def _place(step: Step, before: int, top: int, boxes: list[Markup], arrows: list[Markup]) -> int:
    """Draw a step with its top at ``top`` and all after it; return the bottom of the lowest."""
    column = max(list(STAGES).index(step.stage), before)
    boxes.append(_box(step, _left(column), top))
    bottom, below = top + step.height(), top
    for later in step.after.values():
        right = _left(list(STAGES).index(later.stage))
        arrows.append(_arrow(_left(column) + _WIDTH, top + _HEAD // 2, right, below + _HEAD // 2))
        reached = _place(later, column, below, boxes, arrows)
        bottom, below = max(bottom, reached), reached + _APART
    return bottom


def _box(step: Step, left: int, top: int) -> Markup:
    shown = step.numbers[:MOST_NUMBERS]
    lines = [
        Markup('<a href="{}"><title>{}</title><text class="number" x="{}" y="{}">{}</text></a>').format(
            number.link, number.text, left + 12, top + _HEAD + _LINE * k + 8, _with_number(number.text, _TEXT)
        )
        for k, number in enumerate(shown)
    ]
    if len(step.numbers) > len(shown):
        more = Markup('<text class="more" x="{}" y="{}">and {} more</text>')
        lines.append(more.format(left + 12, top + _HEAD + _LINE * len(shown) + 8, len(step.numbers) - len(shown)))
    return Markup(
        '<g class="step {}"><title>{}: {}</title><rect x="{}" y="{}" width="{}" height="{}" rx="7"></rect>'
        '<text class="name" x="{}" y="{}">{}</text>{}</g>'
    ).format(
        "measured" if step.numbers else "",
        STAGES[step.stage],
        step.name,
        left,
        top,
        _WIDTH,
        step.height(),
        left + 12,
        top + 27,
        _short(step.name, _NAME),
        Markup("").join(lines),
    )


def _arrow(x0: int, y0: int, x1: int, y1: int) -> Markup:
    bend = (x1 - x0) // 2 if x1 - x0 < 2 * _GAP else _GAP
    line = f"M{x0} {y0} C{x0 + bend} {y0} {x1 - bend} {y1} {x1 - 5} {y1}"
    head = f"M{x1 - 7} {y1 - 4} L{x1 - 1} {y1} L{x1 - 7} {y1 + 4} Z"
    return Markup('<path class="arrow" d="{}"></path><path class="head" d="{}"></path>').format(line, head)


def _left(column: int) -> int:
    return _MARGIN + column * (_WIDTH + _GAP)


def _short(text: str, letters: int) -> Markup:
    """Text that fits a box."""
    return escape(text if len(text) <= letters else f"{text[: letters - 1]}…")


def _with_number(text: str, letters: int) -> Markup:
    """A name and its number, ``exvit_table1: mIoU 60.32 ± 0.41``: of one that is too long the name is cut."""
    found = re.search(r" \S+(?: ± \S+)?$", text)
    number = found[0] if found else ""
    return _short(text.removesuffix(number), letters - len(number)) + escape(number)
