"""The page: all text escaped, everything inside, nothing fetched."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from report_samples import EVIL, METRICS, cells, table

from seedbed.papers.tables import Figure
from seedbed.report.curves import draw_curves
from seedbed.report.filled_tables import fill_table
from seedbed.report.page import render_figure, render_page, render_table

PAPER = {"id": "one", "title": f"A paper {EVIL}", "citation": f"Cited {EVIL}"}
VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; unbalanced tags are an error."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.text, self._open = [], [], [], []
        self.feed(html)
        assert not self._open, self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def evil_table():
    rows = [row.plain() | {"label": EVIL, "attributes": {"<b>": EVIL}} for row in table().rows]
    columns = [column.plain() | {"title": EVIL} for column in table().columns]
    texts = dict.fromkeys(("title", "caption", "question"), EVIL)
    return table(rows=rows, columns=columns, remarks=[EVIL], **texts)


def fragment(given=None, **options):
    given = given or table()
    return render_table(PAPER, given, fill_table(given, cells(), METRICS.__getitem__), [EVIL], **options)


def page(*fragments, **options):
    settings = {"preset": "demo", "about": "About.", "comparable": False}
    return render_page(f"Title {EVIL}", fragments, **settings | options)


def test_labels_captions_and_notes_are_escaped():
    html = page(fragment(evil_table(), provenance={EVIL: {EVIL: EVIL}}), run={EVIL: [EVIL]}, about=EVIL, preset=EVIL)
    found = Page(html)
    assert "script" not in found.tags
    assert "b" not in found.tags
    assert "<script" not in html
    assert "".join(found.text).count('alert("x")') > 10


def test_every_number_and_status_is_there():
    text = " ".join("".join(Page(str(fragment().html)).text).split())
    assert "Theirs 61.70 cited" in text
    assert "66.25 → 66.00 ± 2.83-0.25" in text
    assert "0.20 → 0.25+0.05" in text
    assert "70.00 not run – submit" in text
    assert "mIoU (%) ↑" in text
    assert "FP (fraction) ↓" in text
    assert "size L" in text
    assert '"ours.miou": [ "seed0/heatmaps.json", "seed1/heatmaps.json" ]' in text


def test_an_undefined_number_has_no_difference():
    metrics = {path: {"miou": None, "fp": None} for path in METRICS}
    html = render_table(PAPER, table(), fill_table(table(), cells(), metrics.__getitem__), []).html
    assert "66.25 → undefined" in "".join(Page(str(html)).text)
    assert "nan" not in "".join(Page(str(html)).text).lower()


def test_provenance_is_shown_where_it_is_given():
    shown = fragment(provenance={"seed0/heatmaps.json": {"seed": 0, "data_sha256": "abc"}}).html
    assert "data_sha256" in shown
    assert "data_sha256" not in fragment().html


def test_the_page_opens_offline():
    curves = [draw_curves({"vit": ([1, 2], [0.5, 0.25])}, "step", "loss")] * 2
    found = Page(page(fragment(gallery=b"\x89PNG...", curves=curves), fragment()))
    for tag, name, value in found.attributes:
        if name in ("src", "href", "xlink:href", "data", "action"):
            assert value.startswith(("#", "data:")), (tag, name, value)
    assert not {"script", "link", "iframe", "object"} & set(found.tags)
    assert found.tags.count("svg") == 2
    assert ("img", "src", "data:image/png;base64,iVBORy4uLg==") in found.attributes
    style = re.search(r"<style>(.*?)</style>", page(fragment()), re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style


def test_a_figure_is_escaped_and_opens_offline():
    texts = dict.fromkeys(("title", "caption", "question"), EVIL)
    figure = Figure(id="figure1", kind="gallery", status="reproduced", remarks=[EVIL], **texts)
    found = render_figure(PAPER, figure, b"\x89PNG...")
    html = page(found)
    assert found.anchor == "one_figure1"
    assert "<script" not in html
    assert [value for _, name, value in Page(html).attributes if name == "src"] == [
        "data:image/png;base64,iVBORy4uLg=="
    ]


def test_archives_are_linked_from_where_the_page_stands():
    given = [replace(cell, archive="results/demo/segmenters/a b/test/submission.tgz") for cell in cells()[-1:]]
    values = fill_table(table(), [*cells()[:-1], *given], METRICS.__getitem__)
    for base, link in (("results/demo", "segmenters/a%20b"), ("results/demo/tables/one", "../../segmenters/a%20b")):
        found = Page(str(render_table(PAPER, table(), values, [], base=base).html))
        assert ("a", "href", f"{link}/test/submission.tgz") in found.attributes
    assert "a" not in Page(str(fragment().html)).tags


@pytest.mark.parametrize(("comparable", "count"), [(False, 1), (True, 0)])
def test_the_head_says_whether_numbers_compare(comparable, count):
    html = page(fragment(), comparable=comparable)
    assert html.count("they are not comparable with the papers'") == count


def test_several_tables_get_a_list_of_links():
    anchors = [
        value for tag, name, value in Page(page(fragment(), fragment())).attributes if (tag, name) == ("a", "href")
    ]
    assert anchors == ["#one_table1", "#one_table1"]
    assert "nav" not in Page(page(fragment())).tags


def test_the_run_is_shown_where_it_is_given():
    assert "torch" in page(fragment(), run={"libraries": {"torch": "2"}})
    assert "This run</h2>" not in page(fragment())


def test_the_same_input_gives_the_same_page():
    assert page(fragment(), run={"b": 1, "a": 2}) == page(fragment(), run={"a": 2, "b": 1})


def test_a_segmentation_table_shows_what_each_row_learnt_from():
    columns = [column.plain() | {"pipeline": {"stage": "masks"}} for column in table().columns]
    rows = [row.plain() | {"supervision": "I+S"} for row in table().rows]
    text = " ".join("".join(Page(str(fragment(table(columns=columns, rows=rows)).html)).text).split())
    assert "Sup." in text and "Theirs I+S 61.70 cited" in text
    assert "Sup." not in str(fragment().html)
