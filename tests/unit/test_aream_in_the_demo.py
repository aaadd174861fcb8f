"""The demo measures every row of AReAM's tables and every panel of its curves."""

from pathlib import Path

import pytest

from seedbed.papers import Layout, read_papers, table_cells
from seedbed.papers.figures import figure_panels, missing_of
from seedbed.params import read_params, resolve

REPOSITORY = Path(__file__).parents[2]
DEMO = resolve({**read_params(REPOSITORY / "params.yaml"), "preset": "demo"})
AREAM = read_papers(REPOSITORY / "papers")["aream"]


def cells(table):
    return table_cells(AREAM.table(table), DEMO, Layout("demo"))


def test_all_rows_of_table_1_on_both_data_sets():
    made = [cell for cell in cells("table1") if cell.row != "conformer_r_schedule"]
    assert len(made) == 16
    assert {cell.status for cell in made} == {"measured"}
    assert {cell.measurement.dataset for cell in made} == {"shapes", "shapes_coco"}


def test_reproduced_rows_of_table_2():
    found = {(cell.row, cell.column): cell.status for cell in cells("table2")}
    for row in ("mctformer", "transcam", "ours"):
        assert found[row, "val"] == "measured" and found[row, "test"] == "submit"


@pytest.mark.parametrize("figure", ["figure2", "figure4", "figure5", "figure8", "figure9", "figure10"])
def test_figures_lack_nothing(figure):
    figure = next(one for one in AREAM.figures if one.id == figure)
    assert missing_of(figure_panels(figure, DEMO, Layout("demo"))) == ()
