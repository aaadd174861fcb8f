"""The papers' tables as data: structure, vocabulary, and what the numbers must satisfy among themselves.

Of the four papers that are reproduced, as they are printed. Rows, tables and files beyond them are checked where every
plan checks them, see test_plan_paper_checks.
"""

from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from seedbed.data.published.coco14 import CLASSES as COCO_CLASSES
from seedbed.data.voc import VOC_CLASSES

PAPERS = Path(__file__).parents[2] / "papers"
IDS = ("exvit", "vit_affinity", "aream", "agcam")

# Rows of each table, counted in the papers; those beyond the paper are not counted.
ROWS = {
    "exvit": {
        **{"table1": 9, "table2": 23, "table3": 11, "table4": 7, "table5": 4, "table6": 7, "table7": 7},
    },
    "vit_affinity": {"table1": 1, "table2": 7, "table3": 7, "table4": 4},
    "aream": {"table1": 8, "table2": 15, "figure10_mctformer": 2, "figure10_conformer": 2},
    "agcam": {"table1": 3, "table2": 3, "table3": 3, "table4": 3},
}
FIGURES = {
    "exvit": ["figure4", "figure5", "figure6", "figure7", "figure8", "figure_explanations"],
    "vit_affinity": ["figure1", "figure3", "figure13"],
    "aream": ["figure1", "figure2", "figure3", "figure4", "figure5", "figure8", "figure9", "figure10"],
    "agcam": ["figure1", "figure3", "figure5", "figure6"],
}
# Rows of other people's methods that no paper re-runs, by table.
CITED = {
    ("exvit", "table1"): 4,
    ("exvit", "table2"): 17,
    ("exvit", "table3"): 7,
    ("aream", "table2"): 8,
}

PIPELINE_KEYS = {
    "dataset", "split", "subset", "model", "explainer", "refiner", "segmenter", "stage", "metric", "miou",
}  # fmt: skip
TABLE_KEYS = ["id", "title", "caption", "question", "transposed_in_paper", "pipeline", "columns", "rows", "remarks"]
COLUMN_KEYS = ["id", "title", "unit", "better", "pipeline"]
ROW_KEYS = [
    "id", "label", "source", "status", "supervision", "beyond_paper", "reported", "printed_delta", "attributes",
    "pipeline", "cells",
]  # fmt: skip
FIGURE_KEYS = [
    "id", "title", "caption", "kind", "status", "pipeline", "layers", "x", "y", "groups", "panels", "subjects",
    "remarks",
]  # fmt: skip

METRICS = {
    "heatmaps": {"miou", "fp_over_tp", "fn_over_tp"},
    "masks": {"miou"},
    "segmentation": {"miou", "submission"},
    "prediction": {"miou", "submission"},
    "soft_segmentation": {"pixel_accuracy", "map", "miou"},
    "perturbation": {
        "auc_negative_predicted", "auc_negative_target", "auc_positive_predicted", "auc_positive_target",
    },
    "abpc": {"lerf", "morf", "abpc"},
    "localization": {"pixel_accuracy", "iou", "dice", "precision", "recall"},
    "peaks": {"peaks_outside", "instances_hit_one", "instances_hit_several"},
    "instances": {"ap", "ap_medium", "ap_large", "ar", "ar_medium", "ar_large"},
    "layerwise": {"best_miou", "miou_per_layer", "fp_over_tp_per_layer", "fn_over_tp_per_layer", "gain_per_layer"},
    "attention_statistics": {"hellinger_per_layer"},
    "network_size": {"layers", "hidden_size", "mlp_size", "heads", "parameters", "multiply_adds"},
    "value_alignment": {"alignment_per_layer", "greatest_per_layer", "uniform_per_layer"},
    "noise": {"cosine_0.05", "cosine_0.1", "cosine_0.2", "cosine_0.4", "rank_correlation_0.2"},
}  # fmt: skip
SPLITS = {
    "voc12": {"train", "trainaug", "val", "test"},
    "coco14": {"train", "val"},
    "imagenet": {"val"},
    "imagenet_segmentation": {"val"},
    "cub200": {"test"},
}


class StrictLoader(yaml.SafeLoader):
    """Safe loading that refuses a key given twice and any alias: YAML itself would let the last one win."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key stands twice at {node.start_mark}"
        return super().construct_mapping(node, deep)

    def compose_node(self, parent, index):
        assert not self.check_event(yaml.events.AliasEvent), f"an alias at {self.peek_event().start_mark}"
        return super().compose_node(parent, index)


def load(paper: str) -> dict:
    return yaml.load((PAPERS / f"{paper}.yaml").read_text(encoding="utf-8"), StrictLoader)


DATA = {paper: load(paper) for paper in IDS}
TABLES = [(paper, table) for paper in IDS for table in DATA[paper]["tables"]]
DRAWINGS = [(paper, figure) for paper in IDS for figure in DATA[paper]["figures"] if figure["id"] in FIGURES[paper]]


def name(value) -> str | None:
    return value["id"] if isinstance(value, dict) else value


def table(paper: str, table_id: str) -> dict:
    return next(t for t in DATA[paper]["tables"] if t["id"] == table_id)


def reported(paper: str, table_id: str, row_id: str) -> dict:
    return next(r for r in table(paper, table_id)["rows"] if r["id"] == row_id)["reported"]


def cells(table: dict):
    """Yield (row, column, merged pipeline) of every reproduced cell: table < column < row < cell."""
    for row in table["rows"]:
        if row["status"] == "reproduced":
            for column in table["columns"]:
                own = row.get("cells", {}).get(column["id"], {})
                yield row, column, table.get("pipeline", {}) | column.get("pipeline", {}) | row["pipeline"] | own


def drawn(figure: dict):
    """Yield (panel, merged pipeline) of every panel that shows a result of ours: figure < group < panel."""
    for group in figure.get("groups", [{}]):
        for panel in figure["panels"]:
            if panel.get("status") != "cited":
                parts = figure.get("pipeline", {}), group.get("pipeline", {}), panel.get("pipeline", {})
                yield panel, parts[0] | parts[1] | parts[2]


def assert_keys(given: dict, known: list[str]) -> None:
    places = [known.index(key) for key in given]
    assert all(a < b for a, b in pairwise(places)), f"keys out of order: {list(given)}"


def of_the_paper(item: dict) -> bool:
    """Whether the paper has this row or figure."""
    return not item.get("beyond_paper") and item["status"] in {"cited", "reproduced"}


@pytest.mark.parametrize("paper", IDS)
def test_head_and_inventory(paper):
    data = DATA[paper]
    assert list(data) == ["id", "title", "citation", "tables", "figures"]
    assert data["id"] == paper and data["title"] and data["citation"]
    counted = {t["id"]: sum(map(of_the_paper, t["rows"])) for t in data["tables"]}
    assert {name: count for name, count in counted.items() if count} == ROWS[paper]
    assert [f["id"] for f in data["figures"] if f["id"] in FIGURES[paper]] == FIGURES[paper]
    ids = [item["id"] for item in data["tables"] + data["figures"]]
    assert len(ids) == len(set(ids)) and all(item_id.isidentifier() for item_id in ids)


@pytest.mark.parametrize(("paper", "table"), TABLES, ids=name)
def test_table_structure(paper, table):
    assert_keys(table, TABLE_KEYS)
    assert 0 < len(table["title"]) <= 70
    assert table["caption"] and table["question"] and all(table.get("remarks", ["-"]))
    columns = [column["id"] for column in table["columns"]]
    rows = [row["id"] for row in table["rows"]]
    assert len(columns) == len(set(columns)) and len(rows) == len(set(rows))
    for column in table["columns"]:
        assert_keys(column, COLUMN_KEYS)
        scored = column["unit"] in {"%", "fraction"} and any(map(of_the_paper, table["rows"]))
        assert column["title"] and scored <= (column.get("better") in {"higher", "lower"})
    for row in table["rows"]:
        assert_keys(row, ROW_KEYS)
        assert row["label"] and row["status"] in {"cited", "reproduced"}
        assert ("pipeline" in row) == (row["status"] == "reproduced")
        assert list(row["reported"]) == columns
        assert set(row.get("cells", {})) <= set(columns) and set(row.get("printed_delta", {})) <= set(columns)
        assert all(isinstance(value, str) for value in row.get("attributes", {}).values())
    cited = sum(row["status"] == "cited" for row in table["rows"])
    assert cited == CITED.get((paper, table["id"]), 0)


@pytest.mark.parametrize(("paper", "table"), TABLES, ids=name)
def test_numbers_are_numbers_in_range(paper, table):
    top = {column["id"]: {"%": 100.0, "fraction": 1.0}.get(column["unit"], 1e4) for column in table["columns"]}
    for row in table["rows"]:
        for column, value in row["reported"].items():
            assert value is None or (type(value) is float and 0 < value < top[column]), (row["id"], column)
        assert row.get("beyond_paper", False) == all(value is None for value in row["reported"].values())


@pytest.mark.parametrize(("paper", "table"), TABLES, ids=name)
def test_every_reproduced_cell_has_a_pipeline_of_its_own(paper, table):
    seen = set()
    for row, column, pipeline in cells(table):
        where = (row["id"], column["id"])
        key = tuple(sorted(pipeline.items()))
        assert key not in seen, f"{where} repeats another cell's pipeline"
        seen.add(key)
        if not of_the_paper(row):
            continue
        explained = set() if pipeline["stage"] in {"network_size", "prediction"} else {"explainer"}
        assert {"dataset", "split", "model", "stage", "metric", *explained} <= set(pipeline) <= PIPELINE_KEYS, where
        assert pipeline["split"] in SPLITS[pipeline["dataset"]], where
        assert pipeline["metric"] in METRICS[pipeline["stage"]], where
        assert (pipeline["metric"] == "submission") == (pipeline["split"] == "test" and pipeline["dataset"] == "voc12")
        # What a stage reads: masks come from a refiner, predictions from a network trained on refined masks.
        assert ("refiner" in pipeline) == (pipeline["stage"] in {"heatmaps", "masks", "segmentation", "layerwise"})
        assert ("segmenter" in pipeline) == (pipeline["stage"] == "segmentation"), where
        assert (pipeline.get("refiner") == "argmax") == (pipeline["stage"] in {"heatmaps", "layerwise"}), where


@pytest.mark.parametrize(("paper", "figure"), DRAWINGS, ids=name)
def test_figure_structure(paper, figure):
    assert_keys(figure, FIGURE_KEYS)
    assert 0 < len(figure["title"]) <= 70 and figure["caption"]
    assert figure["kind"] in {"gallery", "curve", "bars", "histogram"} and figure["status"] == "reproduced"
    ours = list(drawn(figure))
    assert any("pipeline" in panel or panel["shows"] == "heatmap" for panel, _ in ours)
    for panel, pipeline in ours:
        assert set(pipeline) <= PIPELINE_KEYS and pipeline["split"] in SPLITS[pipeline["dataset"]]
        if panel["shows"] not in {"image", "truth"}:
            assert "model" in pipeline and pipeline["stage"] in METRICS, panel["label"]
            assert "explainer" in pipeline or pipeline["stage"] == "attention_statistics", panel["label"]
        assert (panel["shows"] == "points") == bool(panel.get("models")) == bool(panel.get("at")), panel["label"]
        if panel["shows"] in {"curve", "bars", "points"}:
            assert pipeline["metric"] in METRICS[pipeline["stage"]], panel["label"]
            assert panel.get("y") or figure.get("y"), panel["label"]
            assert pipeline["metric"].endswith("_per_layer") == (panel["shows"] == "curve"), panel["label"]
        assert panel["shows"].endswith("_per_layer") <= ("layers" in figure and "row" in panel), panel["label"]


# Spot values, each read again in its paper.
@pytest.mark.parametrize(
    ("paper", "table_id", "row", "expected"),
    [
        ("exvit", "table1", "recam", {"local_maps": 56.6, "dense_crf": None}),
        ("exvit", "table1", "exvit", {"local_maps": 59.1, "dense_crf": 65.3}),
        ("exvit", "table2", "segformer", {"validation": 78.7, "test": None}),
        ("exvit", "table2", "oaa", {"validation": 65.2, "test": 66.4}),
        ("exvit", "table3", "dsrg", {"miou": 26.0}),
        (
            "exvit",
            "table4",
            "partial_lrp",
            {"ap": 4.7, "ap_medium": 8.0, "ap_large": 5.1, "ar": 10.4, "ar_medium": 19.9, "ar_large": 8.0},
        ),
        ("exvit", "table5", "resnet38_cam", {"miou": 47.43}),
        ("exvit", "table6", "global_div", {"training": 58.08, "validation": 59.82}),
        ("exvit", "table7", "c128_s4", {"voc": 68.63, "coco": 37.25}),
        (
            "vit_affinity",
            "table2",
            "ours",
            {
                "negative_predicted": 54.13,
                "negative_target": 55.03,
                "positive_predicted": 17.03,
                "positive_target": 16.38,
            },
        ),
        ("vit_affinity", "table3", "lrp", {"pixel_accuracy": 51.09, "map": 55.68, "miou": 32.89}),
        ("vit_affinity", "table4", "ours_affinitynet", {"miou": 50.9}),
        ("aream", "table1", "conformer_r_aream_psa", {"voc": 72.6, "coco": 46.0}),
        ("aream", "table2", "cpn", {"val": 67.8, "test": 68.5}),
        ("aream", "figure10_mctformer", "with_aream", {"best": 63.4, "agg": 66.4}),
        (
            "agcam",
            "table2",
            "lrp_based",
            {"pixel_accuracy": 0.575, "iou": 0.1574, "dice": 0.2348, "precision": 0.7651, "recall": 0.1716},
        ),
        ("agcam", "table4", "ours", {"lerf": 0.5298, "morf": 0.1607, "abpc": 0.3691}),
    ],
)
def test_spot_values(paper, table_id, row, expected):
    assert reported(paper, table_id, row) == expected


@pytest.mark.parametrize("network", ["mctformer_r", "conformer_r"])
@pytest.mark.parametrize("suffix", ["", "_psa"])
def test_printed_deltas_are_differences_of_rows(network, suffix):
    row = next(r for r in table("aream", "table1")["rows"] if r["id"] == f"{network}_aream{suffix}")
    before = reported("aream", "table1", f"{network}{suffix}")
    for column, delta in row["printed_delta"].items():
        assert row["reported"][column] - before[column] == pytest.approx(delta, abs=1e-9)


def test_subjects_are_classes_of_their_data_set():
    """A class spelled otherwise would drop out of a figure, with a note that the data set does not have it."""
    for paper in IDS:
        for figure in load(paper)["figures"]:
            of_dataset = {"voc12": set(VOC_CLASSES), "coco14": set(COCO_CLASSES)}.get(figure["pipeline"].get("dataset"))
            if of_dataset is not None:
                assert set(figure.get("subjects", ())) <= of_dataset, (paper, figure["id"])


def test_abpc_is_the_difference_of_the_areas():
    for row in filter(of_the_paper, table("agcam", "table4")["rows"]):
        value = row["reported"]
        assert value["lerf"] - value["morf"] == pytest.approx(value["abpc"], abs=1.01e-4)


def test_dice_lies_above_iou():
    for table_id in ("table1", "table2", "table3"):
        rows = [row["reported"] for row in table("agcam", table_id)["rows"] if of_the_paper(row)]
        assert len(rows) == 3 and all(row["iou"] < row["dice"] for row in rows)


def test_methods_of_two_papers_have_the_same_numbers():
    ours, theirs = table("exvit", "table2")["rows"], table("aream", "table2")["rows"]
    by_label = {row["label"]: list(row["reported"].values()) for row in ours if of_the_paper(row)}
    shared = [row for row in theirs if row["label"] in by_label]
    assert [row["label"] for row in shared] == ["MCIS", "AuxSegNet", "EPS", "SEAM", "AdvCAM", "RIB"]
    assert all(list(row["reported"].values()) == by_label[row["label"]] for row in shared)


def test_tables_of_one_paper_agree_where_they_measure_the_same():
    assert round(reported("exvit", "table6", "full")["training"], 1) == 59.1
    assert round(reported("exvit", "table7", "c256_s8")["voc"], 1) == reported("exvit", "table2", "exvit")["validation"]
    assert round(reported("exvit", "table7", "c256_s16")["coco"], 1) == reported("exvit", "table3", "exvit")["miou"]
    for network, figure in (("mctformer_r", "figure10_mctformer"), ("conformer_r", "figure10_conformer")):
        assert reported("aream", figure, "without_aream")["agg"] == reported("aream", "table1", network)["voc"]
        assert reported("aream", figure, "with_aream")["agg"] == reported("aream", "table1", f"{network}_aream")["voc"]


def test_cells_that_are_the_same_measurement_share_one_pipeline():
    """Artifacts are addressed by what made them: equal pipelines are computed once."""
    made = {
        (paper, t["id"], row["id"], column["id"]): pipeline for paper, t in TABLES for row, column, pipeline in cells(t)
    }
    assert made["exvit", "table7", "c256_s8", "voc"] == made["exvit", "table2", "exvit", "validation"]
    assert made["exvit", "table7", "c256_s16", "coco"] == made["exvit", "table3", "exvit", "miou"]
    assert made["exvit", "table6", "full", "training"] == made["exvit", "table1", "exvit", "local_maps"]
    without = made["aream", "figure10_conformer", "without_aream", "agg"]
    assert without == made["aream", "table1", "conformer_r", "voc"]
