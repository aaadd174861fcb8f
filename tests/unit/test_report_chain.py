"""The drawing of a chain: shared steps once, numbers where they are measured, nothing overlaps."""

import re
from xml.etree import ElementTree

from report_samples import EVIL

from seedbed.report.chain import MOST_NUMBERS, Number, chain_steps, draw_chain


def number(text="mIoU 1.00", **names):
    return Number(
        {"dataset": "shapes", "model": "vit", "explainer": "cam", "split": "val"} | names, text, "#one_table1"
    )


def boxes(svg):
    """(x, y, width, height) of each step."""
    sides = ("x", "y", "width", "height")
    return [tuple(int(rect.get(side)) for side in sides) for rect in ElementTree.fromstring(svg).iter("rect")]


def test_a_step_that_numbers_share_is_one_step():
    steps = chain_steps([number(), number(refiner="crf"), number(refiner="walk", segmenter="deeplab"), number("x")])
    (data,) = steps
    (model,) = data.after.values()
    (maps,) = model.after.values()
    assert [one.text for one in maps.numbers] == ["mIoU 1.00", "x"]
    assert [(step.stage, step.name) for step in maps.after.values()] == [("refiner", "crf"), ("refiner", "walk")]
    assert [step.name for step in maps.after["refiner", "walk"].after.values()] == ["deeplab"]


def test_a_number_of_a_network_alone_stands_at_the_network():
    (data,) = chain_steps([number(explainer=None)])
    (model,) = data.after.values()
    assert len(model.numbers) == 1
    assert not model.after


def test_boxes_lie_apart_and_inside():
    numbers = [
        number(dataset=d, model=m, explainer=e, refiner=r)
        for d in ("a", "b")
        for m in ("m", "n")
        for e in ("e", "f")
        for r in (None, "r", "s")
    ]
    svg = draw_chain(numbers, "t")
    found = boxes(svg)
    assert len(found) == 2 + 4 + 8 + 16
    width, height = (int(re.search(rf'{side}="(\d+)"', svg)[1]) for side in ("width", "height"))
    for k, (x, y, w, h) in enumerate(found):
        assert x >= 0 and x + w <= width and y >= 0 and y + h <= height
        for x1, y1, w1, h1 in found[:k]:
            assert x + w <= x1 or x1 + w1 <= x or y + h <= y1 or y1 + h1 <= y


def test_text_is_escaped_and_links_to_its_section():
    svg = draw_chain([number(EVIL, dataset=EVIL, model=EVIL)], EVIL)
    root = ElementTree.fromstring(svg)
    assert "<script" not in svg
    assert [link.get("href") for link in root.iter("a")] == ["#one_table1"]
    assert root.get("aria-label") == EVIL


def test_many_numbers_of_a_step_are_counted():
    svg = draw_chain([number(str(k)) for k in range(MOST_NUMBERS + 3)], "t")
    assert "and 3 more" in svg
    assert svg.count("<a ") == MOST_NUMBERS


def test_nothing_is_drawn_of_nothing():
    assert draw_chain([], "t") == ""


def test_of_a_long_text_the_name_is_cut_and_the_number_stays():
    (step,) = chain_steps([Number({"dataset": "d"}, "vit_affinity_table4: mIoU 60.32 ± 0.41", "#a")])
    drawn = str(draw_chain([*step.numbers], "t"))
    assert "vit_affinity_t… 60.32 ± 0.41</text>" in drawn
    assert "<title>vit_affinity_table4: mIoU 60.32 ± 0.41</title>" in drawn
