"""The report in a real browser: nothing is fetched, nothing complains, and all of it works by mouse and by keyboard.

Skipped where there is no Chromium (Debian: apt-get install chromium). ``REPORT=results/demo/report.html`` takes that
report for the screenshots and writes them to docs/images, where the documentation shows them.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_samples import METRICS, cells, table

from seedbed.data.index import DataIndex, Record
from seedbed.io.heatmaps import HeatMaps
from seedbed.io.masks import encode_mask
from seedbed.papers.tables import Figure
from seedbed.report.filled_tables import fill_table
from seedbed.report.gallery import Heat, Masks, Row, Section, Truth
from seedbed.report.layers import open_images
from seedbed.report.page import Background, render_figure, render_page, render_table
from seedbed.report.plots import Bar, Bars, Line, Plot

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine", allow_module_level=True)
browsers = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
PAPER = {"id": "one", "title": "A paper", "citation": "Cited"}
SIZE = (24, 32)


def gallery(folder):
    """Three images: the best, the worst, a sample."""
    records, maps, masks = [], {}, {}
    for k, name in enumerate(("a", "b", "c")):
        truth = np.zeros(SIZE, np.uint8)
        truth[6:18, 4 * k + 2 : 4 * k + 16] = k % 2 + 1
        Image.fromarray(np.full((*SIZE, 3), 60 * (k + 1), np.uint8)).save(folder / f"{name}.jpg")
        (folder / f"{name}.png").write_bytes(encode_mask(truth))
        records.append(Record(name, ("val",), (("cat", "dog")[k % 2],), f"{name}.jpg", f"{name}.png", SIZE))
        maps[name] = HeatMaps(np.array([k % 2]), (truth > 0)[None].astype(np.float32), SIZE)
        masks[name] = truth
    index = DataIndex(folder, ("cat", "dog"), tuple(records))
    columns = [Truth("truth"), Heat("maps", maps), Masks("masks", masks)]
    return [Section("", [Row(index, record, None) for record in records], columns)]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of a table and two figures."""
    folder = tmp_path_factory.mktemp("report")
    sections = gallery(folder)
    scores = {"masks": {"a": 0.9, "b": 0.1, "c": 0.5}}
    plots = [
        Plot("Training of vit", "step", "loss", (Line("vit", ((1, 3.0), (2, 2.0), (3, 1.0)), (0.1, 0.2, 0.3)),)),
        Plot("Other", "x", "y", (Line("other", ((0, 1.0), (5, 2.0))), Line("paper", ((2, 1.5),), measured=False))),
    ]
    background = Background(
        settings={"ours": {"model": {"lr": 0.1}}, "big": {"model": {"lr": 0.2}}},
        command="snakemake --cores all --",
        images=open_images(sections, chosen={"a": "best", "b": "worst"}, scores=scores, chosen_by="masks"),
        plots=plots,
        provenance={"seed0/heatmaps.json": {"seed": 0}},
    )
    values = fill_table(table(), cells(), METRICS.__getitem__)
    shared = {"comparable": True, "read": METRICS.__getitem__}
    tables = render_table(PAPER, table(), values, ["A note."], background=background, **shared)
    texts = {"title": "Bars and images", "caption": "Figure 1.", "status": "reproduced"}
    figures = [
        render_figure(PAPER, Figure(id="figure1", kind="gallery", **texts), b"", images=open_images(sections)),
        render_figure(
            PAPER,
            Figure(id="figure2", kind="bars", **texts),
            b"",
            bars=[Bars("", "IoU (%)", 1, (Bar("vit", 20.0, 1.0, 40.0), Bar("cnn", 10.0, None, None)))],
        ),
    ]
    path = folder / "report.html"
    html = render_page(
        "A report",
        [tables, *figures],
        preset="demo",
        about="About.",
        comparable=False,
        run={"libraries": {"torch": "2"}},
    )
    path.write_text(html, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def chromium():
    with browsers.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS), headless=True)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, report):
    """The page; at the end of each test nothing was fetched, logged or thrown."""
    page = chromium.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if not request.url.startswith("data:") else None)
    page.goto(report.as_uri())
    page.wait_for_function("document.querySelectorAll('.plot canvas').length === 2")
    yield page
    page.close()
    assert set(complaints) == {report.as_uri()}


def column(page, number):
    """Texts of a column of the table of numbers."""
    return [
        cell.inner_text().split("\n")[0] for cell in page.locator(f".numbers tbody tr > :nth-child({number})").all()
    ]


def accessible(page):
    """Fail with what axe-core finds."""
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_a_table_sorts_by_a_click_and_by_the_keyboard(opened):
    assert column(opened, 1) == ["Theirs", "Ours", "Big"]
    paper = opened.locator(".numbers thead th", has_text="Paper").first
    for order, numbers in (("ascending", ["61.70", "66.25", "70.00"]), ("descending", ["70.00", "66.25", "61.70"])):
        paper.click()
        browsers.expect(paper).to_have_attribute("aria-sort", order)
        assert column(opened, 2) == numbers
    measured = opened.locator(".numbers thead th", has_text="Measured").first
    measured.locator("[tabindex='0'], [role='button']").first.focus()
    for order, place in (("ascending", 2), ("descending", 0)):  # what has no number is the least
        opened.keyboard.press("Enter")
        browsers.expect(measured).to_have_attribute("aria-sort", order)
        assert column(opened, 3)[place] == "66.00 ± 2.83"


def test_a_table_is_filtered(opened):
    field = opened.locator("#one_table1").get_by_label("Filter rows")
    field.fill("big")
    browsers.expect(opened.locator(".numbers tbody tr")).to_have_count(1)
    assert column(opened, 1) == ["Big"]
    field.fill("zzz")
    browsers.expect(opened.locator("#one_table1").get_by_text("No row fits the filter.")).to_be_visible()


def test_a_number_opens_what_is_behind_it_and_gives_the_focus_back(opened):
    number = opened.get_by_role("button", name="66.00 ± 2.83")
    number.focus()
    opened.keyboard.press("Enter")
    dialog = opened.get_by_role("dialog")
    assert dialog.get_by_text("seed1/heatmaps.json", exact=True).is_visible()
    assert dialog.get_by_text("snakemake --cores all -- seed0/heatmaps.json").is_visible()
    assert dialog.get_by_text("model.lr").is_visible()
    assert dialog.locator(".plot canvas").count() == 1
    accessible(opened)
    opened.keyboard.press("Escape")
    assert dialog.count() == 0
    assert number.evaluate("button => button === document.activeElement")


def test_layers_are_switched_and_images_chosen(opened):
    viewer = opened.locator("#one_table1 [data-viewer]")
    shown = lambda: [image.get_attribute("data-title") for image in viewer.locator(".layer:visible").all()]  # noqa: E731
    assert shown() == ["masks"] * 3
    viewer.get_by_label("masks", exact=True).focus()
    opened.keyboard.press("ArrowLeft")  # radio buttons, as browsers know them
    assert shown() == ["maps"] * 3
    viewer.get_by_label("image", exact=True).check()
    assert shown() == []
    viewer.get_by_label("worst").check()
    assert [name.inner_text() for name in viewer.locator(".name:visible").all()] == ["b"]
    viewer.get_by_label("side by side").check()
    assert shown() == ["truth", "maps", "masks"]
    assert viewer.locator(".tiles figcaption:visible").all_inner_texts()[-1].split() == ["masks", "10.0", "%"]
    slider = viewer.get_by_label("Layer over image")
    slider.fill("25")
    opacity = viewer.locator(".layer.mask:visible").first.evaluate("image => getComputedStyle(image).opacity")
    assert float(opacity) == 0.25


def test_curves_are_read_by_pointer_and_by_keys(opened):
    plot = opened.locator("#one_table1 .plot").first
    canvas = plot.locator(".canvas")
    canvas.focus()
    opened.keyboard.press("ArrowRight")
    assert plot.locator("output").all_inner_texts() == ["1", "3 ± 0.1"]
    opened.keyboard.press("End")
    assert plot.locator("output").all_inner_texts() == ["3", "1 ± 0.3"]
    box = plot.locator(".u-over").bounding_box()
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert plot.locator("output").all_inner_texts() == ["2", "2 ± 0.2"]


def test_light_and_dark(opened):
    ground = "getComputedStyle(document.body).backgroundColor"
    light = opened.evaluate(ground)
    accessible(opened)
    opened.get_by_role("button", name="Dark").press("Space")
    assert opened.evaluate(ground) != light
    assert opened.get_by_role("button", name="Dark").get_attribute("aria-pressed") == "true"
    accessible(opened)
    opened.reload()
    assert opened.evaluate("document.documentElement.dataset.theme") == "dark"
    opened.evaluate("localStorage.clear()")


def test_a_script_that_is_not_ours_does_not_run(chromium, report, tmp_path):
    """The policy of the page refuses what some text smuggled in, even unescaped."""
    evil = tmp_path / "report.html"
    evil.write_text(report.read_text(encoding="utf-8").replace("</main>", "<script>window.evil = 1</script></main>"))
    page = chromium.new_page()
    page.goto(evil.as_uri())
    assert page.evaluate("window.evil") is None
    assert page.evaluate("typeof DataTable") == "function"
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_screenshots(chromium, report, tmp_path, theme):
    """What the documentation shows: the head of the report, and what is behind a number."""
    given = os.environ.get("REPORT")
    folder = IMAGES if given else tmp_path
    size = (1280, 1240 if theme == "light" else 800)
    page = chromium.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=theme)
    page.goto(Path(given).resolve().as_uri() if given else report.as_uri())
    page.wait_for_selector(".plot canvas")
    if theme == "dark":
        page.locator("button.open").first.click()
        page.wait_for_selector("dialog .plot canvas")
    else:
        viewer = page.locator("[data-viewer]").first
        viewer.get_by_label("side by side").check()
        page.locator("section").nth(1).evaluate("section => section.scrollIntoView()")
    path = folder / f"report_{theme}.png"
    page.screenshot(path=path)
    page.close()
    image = Image.open(path).convert("P", palette=Image.Palette.ADAPTIVE, colors=128)
    image.save(path, optimize=True)
    assert image.size == size
    assert path.stat().st_size < 300_000
