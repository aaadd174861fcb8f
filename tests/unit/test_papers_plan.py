"""From a table to the files that hold its numbers."""

import json
from dataclasses import asdict, replace

import pytest
import yaml

from seedbed.errors import ParameterError
from seedbed.papers import Cell, Layout, Table, missing_names, read_papers, seeds_of, table_cells
from seedbed.papers.plan import histories, measure, measurement_of, trained_on_the_way
from seedbed.params import Preset
from seedbed.params.data import Published
from seedbed.params.stages import Resources
from seedbed.plan.describe import describe, footnotes
from seedbed.report.filled_tables import Value, show

INPUT = {"normalize": "half"}
TRAIN = {"augment": [], "loss": "cross_entropy", "lr": 0.1, "batch_size": 4, "epochs": 2}
CRF = {"gaussian_sxy": 3, "gaussian_weight": 3, "bilateral_sxy": 80, "bilateral_srgb": 13, "bilateral_weight": 10}
EXPLAINER = {"method": "cam", "input": {"size": (96, 96)}, "fusion": "raw", "background": 0.4, "sweep": False}
PRESET = Preset.model_validate(
    {
        "name": "small",
        "about": "A test.",
        "comparable": False,
        "seeds": [3, 5],
        "shards": 1,
        "protocols": {"localization": {"threshold": 0.5, "as_published": True}},
        "stand_ins": {"voc12": "shapes"},
        "own": {"model": "vit", "explainer": "maps", "refiner": "argmax"},
        "datasets": {"shapes": {"kind": "shapes", "seed": 0, "size": 48, "train": 4, "trainaug": 8, "val": 4}},
        "weights": {"w": {"kind": "timm", "tag": "t"}},
        "models": {
            "vit": {"architecture": "vit", "input": INPUT, "train": TRAIN},
            "fixed": {"architecture": "vit", "input": INPUT, "weights": "w"},
            "single": {
                "architecture": "vit", "input": INPUT, "train": TRAIN,
                "prediction": {"scales": [0.5, 1], "crf": "psa"},
            },
        },
        "explainers": {
            "maps": EXPLAINER,
            "swept": {**EXPLAINER, "sweep": True},
            "coarse": {**EXPLAINER, "input": {}, "scales": [0.5, 1], "flip": True, "store_stride": 4},
        },
        "crf": {"psa": CRF},
        "affinity_networks": {
            "net": {
                "architecture": "affinitynet",
                "labels": {"crf": "psa", "alpha_low": 4, "alpha_high": 32, "rule": "psa"},
                "input": INPUT,
                "train": TRAIN,
            }
        },
        "refiners": {
            "argmax": {"kind": "argmax"},
            "truth": {"kind": "truth"},
            "crf": {"kind": "dense_crf", "crf": "psa"},
            "strong_crf": {"kind": "dense_crf", "crf": "psa", "alpha": 2},
            "walk": {"kind": "random_walk", "network": "net", "alpha": 16, "beta": 8, "log2_steps": 8},
            "flat_walk": {
                "kind": "random_walk", "network": "net", "background": 0.3, "beta": 8, "log2_steps": 2, "crf": "psa",
            },
            "padded_walk": {
                "kind": "random_walk", "network": "net", "background": 0.3, "beta": 8, "log2_steps": 2, "crf": "psa",
                "crf_on": "labels", "crf_extent": "padded",
            },
        },
        "segmenters": {
            "deeplab": {"architecture": "deeplab", "train": TRAIN, "input": INPUT},
            "voc": {
                "architecture": "deeplab", "train": TRAIN, "input": INPUT,
                "scales": [0.5, 1], "flip": True, "crf": "psa",
            },
            "other_test": {
                "architecture": "deeplab", "train": TRAIN, "input": INPUT, "trained_as": "deeplab",
                "scales": [0.5, 1], "flip": True,
            },
        },
    }
)  # fmt: skip
LAYOUT = Layout("small")
CHAIN = {"dataset": "voc12", "split": "train", "model": "vit", "explainer": "maps"}


def table(rows, columns=None, **more):
    base = {"id": "table1", "title": "T", "caption": "C", "question": "Q", "pipeline": CHAIN, "rows": rows}
    column = {"id": "miou", "title": "mIoU", "unit": "%", "better": "higher"}
    column["pipeline"] = {"stage": "heatmaps", "metric": "miou"}
    return Table.model_validate({**base, "columns": columns or [column], **more})


def row(name="ours", **more):
    head = {"id": name, "label": name.title(), "status": "reproduced", "supervision": "I"}
    return {**head, "reported": {"miou": 50.1}, **more}


def measured(**more):
    names = {"stage": "heatmaps", "dataset": "shapes", "split": "train", "model": "vit", "metric": "miou"}
    given = {**names, "explainer": "maps", **more}
    return measurement_of({key: value for key, value in given.items() if value is not None})


def test_a_measured_cell_names_one_file_a_seed():
    (cell,) = table_cells(table([row()]), PRESET, LAYOUT)
    assert cell == Cell(
        row="ours",
        column="miou",
        status="measured",
        reported=50.1,
        measurement=measured(),
        sources=tuple(f"results/small/heatmaps/shapes/train/vit/maps/seed{k}/heatmaps.json" for k in (3, 5)),
    )


def test_cited_rows_need_no_pipeline():
    (cell,) = table_cells(table([row(status="cited")], pipeline={}), PRESET, LAYOUT)
    assert (cell.status, cell.measurement, cell.sources) == ("cited", None, ())


def test_a_null_cell_is_not_measured_and_shows_what_is_printed():
    columns = [{"id": name, "title": name, "unit": "%", "better": "higher"} for name in "abc"]
    given = table([row(reported={"a": 50.0, "b": 60.0}, cells={"b": None, "c": None})], columns)
    given.pipeline.update(stage="heatmaps", metric="miou")
    measured, printed, nothing = table_cells(given, PRESET, LAYOUT)
    assert [cell.status for cell in (measured, printed, nothing)] == ["measured", "cited", "nothing"]
    assert [show(Value(cell), 1) for cell in (printed, nothing)] == ["60.0 (cited)", "-"]


def test_cells_lie_over_rows_over_columns_over_the_table():
    column = lambda name: {"id": name, "title": name, "unit": "%", "better": "higher", "pipeline": {"model": "column"}}  # noqa: E731
    rows = [row(reported={}, pipeline={"model": "row"}, cells={"b": {"model": "cell"}}), row("other", reported={})]
    given = table(rows, [column("a"), column("b")], pipeline={**CHAIN, "stage": "heatmaps", "metric": "miou"})
    missing = [cell.missing for cell in table_cells(given, PRESET, LAYOUT)]
    assert missing == [("model row",), ("model cell",), ("model column",), ("model column",)]


@pytest.mark.parametrize(
    ("pipeline", "missing"),
    [
        ({"model": "big"}, ("model big",)),
        ({"dataset": "cub200"}, ("dataset cub200",)),
        ({"stage": "masks", "refiner": "r", "explainer": "e"}, ("explainer e", "refiner r")),
    ],
)
def test_what_the_preset_lacks_is_named(pipeline, missing):
    cells = table_cells(table([row(pipeline=pipeline)]), PRESET, LAYOUT)
    assert cells[0].status == "not run"
    assert cells[0].missing == missing
    assert missing_names(cells) == tuple(sorted(missing))


@pytest.mark.parametrize(
    ("pipeline", "lacking"),
    [
        ({"metric": "miou"}, "stage"),
        ({"stage": "heatmaps"}, "metric"),
        ({"stage": "masks", "metric": "miou"}, "refiner"),
        ({"stage": "segmentation", "metric": "miou"}, "refiner, segmenter"),
    ],
)
def test_an_incomplete_pipeline_is_an_error(pipeline, lacking):
    columns = [{"id": "miou", "title": "mIoU", "unit": "%", "better": "higher", "pipeline": pipeline}]
    with pytest.raises(ParameterError, match=rf"table1, row 'ours', column 'miou': its pipeline lacks {lacking}\."):
        table_cells(table([row()], columns), PRESET, LAYOUT)


def test_cells_that_only_a_server_can_measure():
    chain = {
        "stage": "segmentation",
        "split": "test",
        "refiner": "walk",
        "segmenter": "deeplab",
        "metric": "submission",
    }
    given = table([row(pipeline=chain)])
    (cell,) = table_cells(given, PRESET, LAYOUT)
    assert (cell.status, cell.sources, cell.archive) == ("submit", (), None)
    assert cell.measurement.segmenter == "deeplab"
    assert cell.missing == ("the test images of shapes (--config datasets__shapes__test=<how many>)",)
    assert f"Its archive needs {cell.missing[0]}." in " ".join(footnotes(given, [cell], PRESET))
    with_test = PRESET.datasets["shapes"].model_copy(update={"test": 4})
    preset = PRESET.model_copy(update={"datasets": {"shapes": with_test}})
    (cell,) = table_cells(given, preset, LAYOUT)
    assert cell.archive == "results/small/segmenters/shapes/vit/maps/walk/deeplab/seed3/test/submission.tgz"
    assert (cell.status, cell.sources, cell.missing) == ("submit", (), ())
    assert f"upload {cell.archive}." in " ".join(footnotes(given, [cell], preset))


def test_test_pictures_of_voc_are_optional():
    assert Published(kind="voc12").lacks_test() == "optional=[voc12_test]"
    assert Published(kind="voc12", optional=["a"]).lacks_test() == "optional=[a, voc12_test]"
    assert Published(kind="voc12", optional=["voc12_test"]).lacks_test() is None
    assert Published(kind="coco14").lacks_test() is None


@pytest.mark.parametrize(
    ("measurement", "path"),
    [
        (measured(), "heatmaps/shapes/train/vit/maps/seed7/heatmaps.json"),
        (
            measured(stage="localization", subset="large"),
            "heatmaps/shapes/train/vit/maps/seed7/localization_large.json",
        ),
        (measured(stage="layerwise"), "heatmaps/shapes/train/vit/maps/seed7/layerwise.json"),
        (measured(stage="masks", refiner="walk"), "masks/shapes/train/vit/maps/walk/seed7/metrics.json"),
        (
            measured(stage="segmentation", refiner="walk", segmenter="deeplab", split="val"),
            "segmenters/shapes/vit/maps/walk/deeplab/seed7/val/metrics.json",
        ),
        (
            measured(stage="attention_statistics", explainer=None),
            "classifiers/shapes/vit/seed7/train/attention_statistics.json",
        ),
    ],
)
def test_paths(measurement, path):
    assert measurement.path(LAYOUT, 7) == f"results/small/{path}"


@pytest.mark.parametrize(
    ("measurement", "seeds"),
    [
        (measured(), [3, 5]),
        (measured(model="fixed"), [3]),
        (measured(model="fixed", stage="masks", refiner="argmax"), [3]),
        (measured(model="fixed", stage="masks", refiner="crf"), [3]),
        (measured(model="fixed", stage="masks", refiner="walk"), [3, 5]),
        (measured(model="fixed", stage="segmentation", refiner="argmax", segmenter="deeplab"), [3, 5]),
        (measured(stage="masks", refiner="argmax"), [3, 5]),
    ],
)
def test_one_seed_where_nothing_is_trained(measurement, seeds):
    assert seeds_of(measurement, PRESET, PRESET.seeds) == seeds


def test_cells_survive_json():
    rows = [row("a"), row("b", status="cited"), row("c", pipeline={"model": "big"})]
    for cell in table_cells(table(rows), PRESET, LAYOUT):
        assert Cell.from_plain(asdict(cell)) == cell
        assert Cell.from_plain(json.loads(json.dumps(asdict(cell)))) == cell


def test_a_segmenter_that_is_trained_as_another_has_its_training_and_scores_of_its_own():
    found = measured(stage="segmentation", refiner="walk", segmenter="other_test", split="val")
    assert found.path(LAYOUT, 5) == "results/small/segmenters/shapes/vit/maps/walk/other_test/seed5/val/metrics.json"
    assert trained_on_the_way(found, PRESET) == {"model": "vit", "network": "net", "segmenter": "deeplab"}
    history = "results/small/segmenters/shapes/vit/maps/walk/deeplab/seed5/history.csv"
    assert histories(found, PRESET, LAYOUT, 5)["deeplab"] == history
    told = describe(found, PRESET)
    assert "then deeplab (the image's own size, scales 0.5/1 and mirrored, no CRF)" in told


def test_a_segmenter_is_trained_as_one_that_is_trained():
    values = PRESET.plain()
    for wrong in ("deplab", "other_test"):
        values["segmenters"]["other_test"]["trained_as"] = wrong
        with pytest.raises(ParameterError, match=r"segmenters\.other_test\.trained_as: Unknown segmenter that is tr"):
            Preset.model_validate(values).check_references()


def test_histories_of_the_whole_chain():
    chain = measured(stage="segmentation", refiner="walk", segmenter="deeplab")
    assert histories(chain, PRESET, LAYOUT, 5) == {
        "vit": "results/small/classifiers/shapes/vit/seed5/history.csv",
        "net": "results/small/affinity/shapes/vit/maps/net/seed5/history.csv",
        "deeplab": "results/small/segmenters/shapes/vit/maps/walk/deeplab/seed5/history.csv",
    }
    assert histories(measured(model="fixed"), PRESET, LAYOUT, 5) == {}
    assert set(histories(measured(model="fixed", stage="masks", refiner="walk"), PRESET, LAYOUT, 5)) == {"net"}


@pytest.mark.parametrize(
    ("measurement", "text"),
    [
        (measured(), "background threshold fixed at 0.4, no CRF"),
        (measured(metric="miou_best"), "background threshold the best of a sweep on this split, no CRF"),
        (
            measured(explainer="swept", metric="miou_at_background"),
            "background threshold fixed at 0.4, no CRF",
        ),
        (measured(explainer="swept"), "background threshold the best of a sweep on this split, no CRF"),
        (measured(stage="masks", refiner="argmax"), "refined by argmax (constant background 0.4, no CRF)"),
        (
            measured(stage="masks", refiner="crf"),
            "refined by crf (constant background 0.4, CRF 'psa': 10 iterations, Gaussian sxy 3 weight 3, "
            "bilateral sxy 80 srgb 13 weight 10)",
        ),
        (measured(stage="masks", refiner="strong_crf"), "(background (1 - max)^2, CRF 'psa'"),
        (
            measured(stage="masks", refiner="walk"),
            "refined by walk (background (1 - max)^16, random walk beta 8, t 256, no CRF)",
        ),
        (measured(stage="masks", refiner="flat_walk"), "(constant background 0.3, random walk beta 8, t 4, CRF 'psa'"),
        (
            measured(stage="segmentation", refiner="argmax", segmenter="voc", split="val"),
            "then voc (the image's own size, scales 0.5/1 and mirrored, CRF 'psa'",
        ),
        (
            measured(stage="segmentation", refiner="argmax", segmenter="deeplab"),
            "deeplab (the image's own size, scale 1, no CRF)",
        ),
        (measured(stage="masks", refiner="padded_walk"), "weight 10 on its winners of the padded image)"),
        (measured(), "maps maps (input 96 x 96, scale 1, stored as float16), background"),
        (
            measured(explainer="coarse"),
            "(the image's own size, scales 0.5/1 and mirrored, stored as float16 at 1/4 of",
        ),
        (
            measured(stage="layerwise", explainer="coarse"),
            "(the image's own size, scales 0.5/1 and mirrored, float32)",
        ),
        (measured(stage="localization", explainer="coarse"), "maps coarse (the image's own size, scale 1, float32)"),
        (measured(stage="attention_statistics", explainer=None), "shapes train, network vit"),
        (measured(stage="layerwise"), "threshold the best of each layer's sweep on this split, no CRF"),
        (measured(stage="localization", subset="single_class"), "shapes train (single class images), network vit"),
        (measured(stage="localization"), "measured by localization (threshold 0.5, as_published True)"),
    ],
)
def test_descriptions_spell_out_split_threshold_and_crf(measurement, text):
    described = describe(measurement, PRESET)
    assert text in described
    assert described.startswith(f"shapes {measurement.split}")
    assert ", network vit" in described


def test_footnotes():
    rows = [row("ours"), row("theirs", status="cited"), row("big", pipeline={"model": "big"})]
    given = table(rows)
    notes = footnotes(given, table_cells(given, PRESET, LAYOUT), PRESET)
    assert notes[0].startswith("Ours: shapes train, network vit, maps maps (input 96 x 96, scale 1, stored as float16)")
    assert notes[1:] == [
        "mIoU is the mean over all classes of the data set (a class in neither map counts 0).",
        "`not run`: preset 'small' has no model big.",
        "Mean ± standard deviation over 2 seeds (3, 5).",
        "Networks compute in float32.",
        "Preset 'small' uses stand-in data and small networks: not comparable with the paper.",
    ]
    swept = row("swept", cells={"best": {"explainer": "swept"}})
    columns = [{"id": name, "title": name.title(), "unit": "%", "better": "higher"} for name in ("fixed", "best")]
    given = table([swept | {"reported": {}}], columns, pipeline={**CHAIN, "stage": "heatmaps", "metric": "miou"})
    notes = footnotes(given, table_cells(given, PRESET, LAYOUT), PRESET)
    assert notes[0].startswith("Swept (Fixed): shapes train")
    assert notes[1].startswith("Swept (Best): shapes train")
    given, single = table(rows), PRESET.model_copy(update={"seeds": [3], "comparable": True})
    notes = footnotes(given, table_cells(given, single, LAYOUT), single)
    assert notes[-2] == "One seed (3); set `seeds` to see the spread."


@pytest.mark.parametrize(
    ("precision", "bf16", "note"),
    [
        ("float32", True, "float32, on a GPU too; trained in bfloat16 there: vit."),
        ("float32", False, "float32, on a GPU too."),
        ("tf32", True, "float32, on a GPU with factors rounded to TensorFloat-32; trained in bfloat16 there: vit."),
    ],
)
def test_a_footnote_says_how_a_gpu_multiplies(precision, bf16, note):
    vit = PRESET.models["vit"]
    models = {**PRESET.models, "vit": vit.model_copy(update={"train": replace(vit.train, bf16=bf16)})}
    gpus = {"explain": Resources(gpu=1)}
    preset = PRESET.model_copy(update={"precision": precision, "resources": gpus, "models": models})
    given = table([row("ours")])
    assert f"Networks compute in {note}" in footnotes(given, table_cells(given, preset, LAYOUT), preset)


def test_a_row_names_the_weights_that_its_networks_start_from():
    told = describe(measured(stage="localization", model="fixed"), PRESET)
    assert "shapes train, network fixed from t, maps maps" in told


def test_maps_computed_in_float64_say_so():
    maps = PRESET.explainers["maps"].model_copy(update={"precision": "float64"})
    preset = PRESET.model_copy(update={"explainers": {**PRESET.explainers, "maps": maps}})
    assert "scale 1, computed in float64, stored as float16" in describe(measured(stage="heatmaps"), preset)
    assert "scale 1, float64" in describe(measured(stage="localization"), preset)


def test_paths_of_artifacts_are_distinct_and_take_wildcards():
    paths = {
        LAYOUT.index("{d}"), LAYOUT.card("{d}"), LAYOUT.weights("{w}"), LAYOUT.classifier("{d}", "{m}", "{seed}"),
        LAYOUT.heatmaps("{d}", "{s}", "{m}", "{e}", "{seed}"), LAYOUT.affinity("{d}", "{m}", "{e}", "{n}", "{seed}"),
        LAYOUT.masks("{d}", "{s}", "{m}", "{e}", "{r}", "{seed}"), LAYOUT.table("{p}", "{t}"),
        LAYOUT.segmenter("{d}", "{m}", "{e}", "{r}", "{g}", "{seed}"), LAYOUT.figure("{p}", "{f}"),
        LAYOUT.tracking("{p}", "{t}"),
    }  # fmt: skip
    assert len(paths) == 11
    assert LAYOUT.masks("d", "s", "m", "e", "r", 4) == "results/small/masks/d/s/m/e/r/seed4"
    assert LAYOUT.log("results/small/masks/d") == "results/small/logs/masks/d.log"
    assert LAYOUT.benchmark("data/d") == "results/small/benchmarks/data/d.tsv"
    assert replace(LAYOUT, results="out").root == "out/small"


PAPER = {"id": "one", "title": "T", "citation": "C", "tables": [table([row()]).plain()]}


def write(folder, name="one", **changes):
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({**PAPER, **changes}))


def test_reading_papers(tmp_path):
    write(tmp_path)
    write(tmp_path, "two", id="two")
    papers = read_papers(tmp_path)
    assert list(papers) == ["one", "two"]
    assert papers["one"].table("table1") == table([row()])
    assert papers["one"].head() == {"id": "one", "title": "T", "citation": "C"}
    with pytest.raises(ParameterError, match=r"one: Unknown table 'tabel1'. Did you mean 'table1'"):
        papers["one"].table("tabel1")
    with pytest.raises(ParameterError, match="one: Unknown figure 'figure9'"):
        papers["one"].figure("figure9")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": "two"}, "its id is 'two', but the file is named 'one'"),
        ({"titel": "T"}, "titel: unknown key. Did you mean 'title'"),
        (
            {"tables": [{**PAPER["tables"][0], "rows": [row(reported={"miuo": 1})]}]},
            r"row 'ours': Unknown column 'miuo'. Did you mean 'miou'",
        ),
        ({"tables": [{**PAPER["tables"][0], "rows": [row(), row()]}]}, r"row ids \['ours'\] come more than once"),
        (
            {"tables": [{**PAPER["tables"][0], "columns": PAPER["tables"][0]["columns"] * 2}]},
            r"column ids \['miou'\] come more than once",
        ),
        ({"tables": [{**PAPER["tables"][0], "rows": [row(status="done")]}]}, r"tables\.table1\.rows\.ours\.status: "),
    ],
)
def test_papers_that_do_not_fit_are_named(tmp_path, change, problem):
    write(tmp_path, **change)
    with pytest.raises(ParameterError, match=rf"one\.yaml: .*{problem}"):
        read_papers(tmp_path)


def test_folders_without_papers_and_broken_yaml(tmp_path):
    with pytest.raises(ParameterError, match="holds no paper"):
        read_papers(tmp_path)
    (tmp_path / "one.yaml").write_text("a: [1")
    with pytest.raises(ParameterError, match=r"one\.yaml: not valid YAML"):
        read_papers(tmp_path)


def test_a_network_that_predicts_masks_itself_needs_no_other_name():
    pipeline = {"dataset": "voc12", "split": "val", "model": "single", "stage": "prediction", "metric": "miou"}
    measurement, missing = measure(pipeline, PRESET, "here")
    path = measurement.path(LAYOUT, 3)
    assert not missing and path == "results/small/predictions/shapes/single/seed3/val/metrics.json"
    described = describe(measurement, PRESET)
    assert described.startswith("shapes val, network single, masks that the network predicts itself (the image's own")
    assert "own size, scales 0.5/1, CRF 'psa': 10 iterations" in described
    assert trained_on_the_way(measurement, PRESET) == {"model": "single"}
    assert list(histories(measurement, PRESET, LAYOUT, 3)) == ["single"]
    (cell,) = table_cells(table([row(pipeline={**pipeline, "metric": "submission"})]), PRESET, LAYOUT)
    assert (cell.status, cell.archive) == ("submit", None)


def test_a_network_without_a_section_on_masks_predicts_none():
    pipeline = {"dataset": "voc12", "split": "val", "model": "vit", "stage": "prediction", "metric": "miou"}
    with pytest.raises(ParameterError, match=r"models\.vit: has no section `prediction`, .* \(those that do: single\)"):
        measure(pipeline, PRESET, "here")


def test_ground_truth_as_masks_needs_neither_a_network_nor_maps():
    """One set of masks and one training, whatever networks the tables around it name."""
    pipeline = {**CHAIN, "split": "val", "refiner": "truth", "segmenter": "deeplab", "stage": "segmentation"}
    bare = {key: value for key, value in pipeline.items() if key not in ("model", "explainer")}
    for names in (pipeline, bare, {**bare, "model": "not in this preset"}):
        found, missing = measure({**names, "metric": "miou"}, PRESET, "here")
        assert not missing and (found.model, found.explainer) == ("none", "none")
        assert found.path(LAYOUT, 3) == "results/small/segmenters/shapes/none/none/truth/deeplab/seed3/val/metrics.json"
    assert trained_on_the_way(found, PRESET) == {"segmenter": "deeplab"}
    history = "results/small/segmenters/shapes/none/none/truth/deeplab/seed3/history.csv"
    assert histories(found, PRESET, LAYOUT, 3) == {"deeplab": history}
    described = describe(found, PRESET)
    assert described.startswith("shapes val, masks truth (ground truth as masks: full supervision), then deeplab (")
    masks, _ = measure({**bare, "stage": "masks", "metric": "miou"}, PRESET, "here")
    assert masks.path(LAYOUT, 3) == "results/small/masks/shapes/val/none/none/truth/seed3/metrics.json"
    assert seeds_of(masks, PRESET, PRESET.seeds) == [3]
    (cell,) = table_cells(table([row(pipeline={**pipeline, "metric": "miou"}, supervision="F")]), PRESET, LAYOUT)
    assert Cell.from_plain(json.loads(json.dumps(asdict(cell)))) == cell


def test_ground_truth_needs_a_data_set_with_masks():
    boxes = PRESET.model_copy(update={"datasets": {"imagenet": Published(kind="imagenet")}, "stand_ins": {}})
    given = {"dataset": "imagenet", "split": "val", "refiner": "truth", "stage": "masks", "metric": "miou"}
    with pytest.raises(ParameterError, match="here: ground truth needs masks; data set 'imagenet' has none such"):
        measure(given, boxes, "here")


def test_a_row_or_a_table_chooses_over_which_classes_miou_is_taken():
    rows = [row(), row("theirs", pipeline={"miou": "in_truth"})]
    cells = table_cells(table(rows), PRESET, LAYOUT)
    assert [cell.measurement.metric for cell in cells] == ["miou", "miou_in_truth"]
    assert cells[0].sources == cells[1].sources
    notes = footnotes(table(rows), cells, PRESET)
    assert "mIoU of Ours is the mean over all classes of the data set (a class in neither map counts 0)." in notes
    assert "mIoU of Theirs is the mean over the classes that occur in the ground truth." in notes
    whole = table([row()], pipeline={**CHAIN, "miou": "in_either"})
    notes = footnotes(whole, table_cells(whole, PRESET, LAYOUT), PRESET)
    assert "mIoU is the mean over the classes that occur in the ground truth or in the prediction." in notes


def test_no_other_number_has_such_a_choice():
    given = {**CHAIN, "stage": "heatmaps", "metric": "pixel_accuracy", "miou": "in_truth"}
    assert measure(given, PRESET, "here")[0].metric == "pixel_accuracy"
    with pytest.raises(ParameterError, match=r"here: miou chooses among the means of heatmaps, .* not of layerwise"):
        measure({**given, "stage": "layerwise", "metric": "best_miou"}, PRESET, "here")


def test_rows_of_a_segmentation_table_say_what_they_learnt_from():
    with pytest.raises(ValueError, match="row 'ours' lacks its supervision: I, I\\+T, I\\+S or F"):
        table([row(supervision=None)])
    column = {"id": "miou", "title": "IoU", "unit": "%", "better": "higher"}
    column["pipeline"] = {"stage": "localization", "metric": "iou"}
    assert not table([row(supervision=None)], [column]).measures_segmentation
    with_cell = [row(cells={"miou": {"stage": "masks"}}, supervision="I+S")]
    assert table(with_cell, [column]).measures_segmentation


@pytest.mark.parametrize(
    ("pipeline", "problem"),
    [
        ({"explaner": "x"}, r"tables\.table1\.rows\.ours\.pipeline\.explaner: unknown key. Did you mean 'explainer'"),
        ({"stage": "mask"}, r"rows\.ours\.pipeline\.stage: Unknown stage 'mask'. Did you mean 'masks'"),
        ({"miou": "in_thruth"}, r"rows\.ours\.pipeline\.miou: .* Did you mean 'in_truth'"),
        ({"subset": "one_class"}, r"rows\.ours\.pipeline\.subset: Input should be 'single_class' or 'two_classes'"),
    ],
)
def test_mistakes_in_a_pipeline_are_named(tmp_path, pipeline, problem):
    write(tmp_path, tables=[{**PAPER["tables"][0], "rows": [row(pipeline=pipeline)]}])
    with pytest.raises(ParameterError, match=problem):
        read_papers(tmp_path)


def test_ground_truth_as_masks_is_a_row_of_full_supervision():
    refiners = {**PRESET.plain()["refiners"], "truth": {"kind": "truth"}}
    preset = Preset.model_validate({**PRESET.plain(), "refiners": refiners})
    bound = row(supervision="F", pipeline={"stage": "masks", "refiner": "truth"})
    (cell,) = table_cells(table([bound]), preset, LAYOUT, [3])
    assert cell.sources == ("results/small/masks/shapes/train/none/none/truth/seed3/metrics.json",)


def test_what_nothing_is_measured_for_has_no_measurement_to_ask_for():
    (cell,) = table_cells(table([row(status="cited")], pipeline={}), PRESET, LAYOUT)
    with pytest.raises(ValueError, match="row 'ours', column 'miou': cited, so that nothing is measured"):
        _ = cell.measured


@pytest.mark.parametrize(
    "given",
    [
        measured(subset="single_class"),
        measured(stage="attention_statistics", explainer=None),
        measured(stage="prediction", explainer=None),
        measured(stage="masks", refiner="walk"),
        measured(stage="segmentation", refiner="walk", segmenter="deeplab"),
    ],
    ids=lambda given: given.stage,
)
def test_a_cell_is_rebuilt_from_plain_values(given):
    cell = Cell("ours", "miou", "measured", None, given, ("metrics.json",))
    assert Cell.from_plain(json.loads(json.dumps(asdict(cell)))) == cell


def test_a_measurement_has_the_names_of_its_kind_and_no_others():
    with pytest.raises(TypeError, match="refiner"):
        measured(stage="masks")
    with pytest.raises(TypeError, match="segmenter"):
        measured(stage="masks", refiner="walk", segmenter="deeplab")
