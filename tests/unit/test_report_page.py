"""The page: all text escaped, everything inside, nothing fetched."""

import base64
import hashlib
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from report_samples import EVIL, METRICS, cells, table

from seedbed.errors import DataError
from seedbed.papers.tables import Figure
from seedbed.report.assets import VENDOR, assets
from seedbed.report.filled_tables import fill_table
from seedbed.report.layers import Case, Images, Layer
from seedbed.report.page import Background, read_fragment, render_figure, render_page, render_table
from seedbed.report.plots import Bar, Bars, Line, Plot

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


def images():
    layers = (
        Layer("maps", "heat", "data:image/png;base64,AA==", 0.25),
        Layer(EVIL, "mask", "data:image/png;base64,BB=="),
    )
    case = Case(EVIL, EVIL, (EVIL,), "worst", "data:image/jpeg;base64,CC==", layers)
    return Images((case,), ("maps", EVIL), {EVIL: "rgb(1, 2, 3)"}, ("rgb(0, 0, 0)", "rgb(9, 9, 9)"), EVIL)


def plots():
    return [Plot(EVIL, EVIL, EVIL, (Line("vit", ((1, 0.5), (2, 0.25))), Line(EVIL, ((1, math.nan),), measured=False)))]


def fragment(given=None, **options):
    given = given or table()
    filled = fill_table(given, cells(), METRICS.__getitem__)
    return render_table(PAPER, given, filled, [EVIL], read=METRICS.__getitem__, **options)


def page(*fragments, **options):
    settings = {"preset": "demo", "about": "About.", "comparable": False}
    return render_page(f"Title {EVIL}", fragments, **settings | options)


def test_labels_captions_and_notes_are_escaped():
    background = Background(
        settings={"ours": {"model": {EVIL: EVIL}}, "other": {}},
        command=EVIL,
        images=images(),
        plots=plots(),
        provenance={EVIL: {EVIL: EVIL}},
    )
    one = fragment(evil_table(), background=background)
    html = page(one, one, run={EVIL: [EVIL]}, about=EVIL, preset=EVIL)
    found = Page(html)
    assert {value for tag, name, value in found.attributes if tag == "script" and name == "type"} == {
        "application/json"
    }
    assert found.tags.count("script") == html.count('<script type="application/json"') + len(assets().scripts)
    assert "b" not in found.tags
    assert "<script>alert" not in html
    assert "".join(found.text).count('alert("x")') > 20
    islands = re.findall(r'<script type="application/json" id="[^"]*">(.*?)</script>', html, re.DOTALL)
    assert all(json.loads(island)[0]["title"] == EVIL for island in islands)


def test_every_number_and_status_is_there():
    text = " ".join("".join(Page(str(fragment().html)).text).split())
    assert "Theirs 61.70cited –cited" in text
    assert "66.2566.00 ± 2.8340.59 – 91.41-0.25" in text  # t = 12.7062 with one degree of freedom, times 2.83 / sqrt 2
    assert "0.200.25+0.05" in text
    assert "70.00not run –submit" in text
    assert "mIoU (%) ↑" in text
    assert "FP (fraction) ↓" in text
    assert "size L" in text


def test_no_difference_where_numbers_may_not_be_compared():
    html = str(fragment(comparable=False).html)
    text = " ".join("".join(Page(html).text).split())
    assert "66.2566.00 ± 2.8340.59 – 91.41 " in text
    assert "Difference" not in html
    assert "-0.25" not in text
    assert html.count('colspan="2"') == 2
    assert str(fragment().html).count('colspan="3"') == 2


def test_a_cell_opens_its_chain_its_files_and_how_to_make_them():
    settings = {"ours": {"model": {"lr": 0.1, "size": 4}}, "big": {"model": {"lr": 0.2, "size": 4, "depth": 3}}}
    html = str(fragment(background=Background(settings=settings, command="snakemake --", plots=plots())).html)
    template = re.search(r'<template id="one_table1-ours-miou">(.*?)</template>', html, re.DOTALL)[1]
    text = " ".join("".join(Page(template).text).split())
    assert "stage heatmaps" in " ".join(re.sub("<[^>]*>", " ", template).split())
    assert "snakemake -- seed0/heatmaps.json" in text
    assert "seed1/heatmaps.json 68.00" in text
    assert "model.lr0.10.2" in text
    assert "model.depth–3" in text
    assert "model.size" not in text
    assert 'data-plots-here="0"' in template
    assert '<template id="one_table1-big-miou">' not in html


def test_an_interval_over_images_stands_beside_a_number_of_one_seed():
    html = str(fragment(background=Background(intervals={("ours", "fp"): (0.2, 0.3)})).html)
    assert "0.250.20 – 0.30" in "".join(Page(html).text)


def test_an_undefined_number_has_no_difference():
    metrics = {path: {"miou": None, "fp": None} for path in METRICS}
    filled = fill_table(table(), cells(), metrics.__getitem__)
    html = render_table(PAPER, table(), filled, [], read=metrics.__getitem__).html
    assert "66.25undefined" in "".join(Page(str(html)).text)
    assert "nan" not in "".join(Page(str(html)).text).lower()


def test_provenance_is_shown_where_it_is_given():
    shown = fragment(background=Background(provenance={"seed0/heatmaps.json": {"data_sha256": "abc"}})).html
    assert "data_sha256" in shown
    assert "data_sha256" not in fragment().html


def test_the_page_opens_offline():
    one = fragment(background=Background(images=images(), plots=plots()))
    html = page(one, one)
    found = Page(html)
    for tag, name, value in found.attributes:
        if name in ("src", "href", "xlink:href", "data", "action"):
            assert value.startswith(("#", "data:")), (tag, name, value)
    assert not {"link", "iframe", "object"} & set(found.tags)
    assert ("img", "src", "data:image/png;base64,AA==") in found.attributes
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_allows_the_scripts_of_the_page_and_nothing_else():
    html = page(fragment())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1].replace("&#39;", "'")
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert len(scripts) == 3
    assert policy.startswith("default-src 'none'; script-src " + " ".join(f"'sha256-{d}'" for d in digests) + ";")


def test_libraries_are_those_that_are_named():
    named = json.loads((VENDOR / "vendored.json").read_text())
    files = {name: digest for library in named.values() for name, digest in library["files"].items()}
    assert {path.name for path in VENDOR.iterdir() if path.suffix in (".js", ".css")} == set(files)
    for name, digest in files.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest


def test_a_figure_is_escaped_and_opens_offline():
    texts = dict.fromkeys(("title", "caption", "question"), EVIL)
    figure = Figure(id="figure1", kind="gallery", status="reproduced", remarks=[EVIL], **texts)
    found = render_figure(PAPER, figure, b"\x89PNG...")
    html = page(found)
    assert found.anchor == "one_figure1"
    assert "<script>alert" not in html
    assert [value for tag, name, value in Page(html).attributes if name == "src"] == [
        "data:image/png;base64,iVBORy4uLg=="
    ]
    switched = Page(str(render_figure(PAPER, figure, b"\x89PNG...", images=images()).html))
    sources = [value for _, name, value in switched.attributes if name == "src"]
    assert [source.partition(";")[0] for source in sources] == ["data:image/jpeg", "data:image/png", "data:image/png"]


def test_bars_show_the_paper_only_where_numbers_compare():
    figure = Figure(id="figure1", kind="bars", status="reproduced", title="t", caption="c")
    bars = [Bars("axes", "IoU", 1, (Bar("a", 20.0, None, 40.0), Bar("b", math.nan, None, None)))]
    shown = str(render_figure(PAPER, figure, b"", bars=bars).html)
    assert "width: 50.0%" in shown
    assert "left: 100.0%" in shown
    assert "undefined" in shown
    hidden = str(render_figure(PAPER, figure, b"", bars=bars, comparable=False).html)
    assert "Paper" not in hidden
    assert "40.0" not in hidden


def test_a_section_is_read_back_from_its_file(tmp_path):
    path = tmp_path / "one" / "table1.fragment.html"
    path.parent.mkdir()
    path.write_text(fragment(evil_table()).html)
    assert read_fragment(path) == fragment(evil_table())
    assert read_fragment(path).summary["counts"] == {"cited": 2, "measured": 2, "not run": 1, "submit": 1}
    path.write_text("<section></section>")
    with pytest.raises(DataError, match="Delete it and run again"):
        read_fragment(path)


def test_archives_are_linked_from_where_the_page_stands():
    given = [replace(cell, archive="results/demo/segmenters/a b/test/submission.tgz") for cell in cells()[-1:]]
    values = fill_table(table(), [*cells()[:-1], *given], METRICS.__getitem__)
    for base, link in (("results/demo", "segmenters/a%20b"), ("results/demo/tables/one", "../../segmenters/a%20b")):
        found = Page(str(render_table(PAPER, table(), values, [], base=base, read=METRICS.__getitem__).html))
        assert ("a", "href", f"{link}/test/submission.tgz") in found.attributes
    hrefs = [value for tag, name, value in Page(str(fragment().html)).attributes if (tag, name) == ("a", "href")]
    assert not [href for href in hrefs if not href.startswith(("#", "data:"))]


@pytest.mark.parametrize(("comparable", "count"), [(False, 1), (True, 0)])
def test_the_head_says_whether_numbers_compare(comparable, count):
    html = page(fragment(), comparable=comparable)
    assert html.count("they are not comparable with the papers'") == count


def test_several_tables_get_links_and_a_drawing_of_their_chains():
    several = page(fragment(), fragment())
    nav = re.search("<nav.*?</nav>", several, re.DOTALL)[0]
    anchors = [value for tag, name, value in Page(nav).attributes if (tag, name) == ("a", "href")]
    assert anchors == ["#overview", "#one_table1", "#one_table1"]
    overview = re.search('<section id="overview".*?</section>', several, re.DOTALL)[0]
    assert "one_table1: mIoU 66.00 ± 2.83" in overview
    assert "nav" not in Page(page(fragment())).tags


def test_the_run_is_shown_where_it_is_given():
    assert "torch" in page(fragment(), run={"libraries": {"torch": "2"}})
    assert "This run</h2>" not in page(fragment())


def test_the_same_input_gives_the_same_page():
    assert page(fragment(), run={"b": 1, "a": 2}) == page(fragment(), run={"a": 2, "b": 1})


def test_a_segmentation_table_shows_what_each_row_learnt_from():
    columns = [column.plain() | {"pipeline": {"stage": "masks"}} for column in table().columns]
    rows = [row.plain() | {"supervision": "I+S"} for row in table().rows]
    html = str(fragment(table(columns=columns, rows=rows)).html)
    assert '<th scope="row">Theirs</th><td>I+S</td>' in html
    assert "Sup." in html
    assert "Sup." not in str(fragment().html)
