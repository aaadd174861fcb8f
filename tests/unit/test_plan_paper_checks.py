"""Names in papers/*.yaml are refused before anything runs, where no preset has them."""

from importlib import import_module
from pathlib import Path

import pytest
import yaml

from seedbed.data.index import SUBSETS
from seedbed.errors import ParameterError
from seedbed.papers import read_papers
from seedbed.papers.measured import metrics, stages
from seedbed.papers.tables import Paper
from seedbed.params import merge, read_params, resolve
from seedbed.params.data import Published
from seedbed.plan.class_names import class_names
from seedbed.plan.paper_checks import check_papers

REPOSITORY = Path(__file__).parents[2]
PARAMS = read_params(REPOSITORY / "params.yaml")
CONTENT = {name: yaml.safe_load((REPOSITORY / "papers" / f"{name}.yaml").read_text()) for name in ("agcam", "exvit")}


def check(table=None, row=None, figure=None, panel=None, preset="demo", **overrides):
    """The demo's checks of one table of AGCAM or one figure of eX-ViT, with changes in its pipelines."""
    agcam, exvit = Paper.model_validate(CONTENT["agcam"]), Paper.model_validate(CONTENT["exvit"])
    changed = agcam.tables[1].plain()
    changed["pipeline"] |= table or {}
    changed["rows"][0]["pipeline"] |= row or {}
    drawn = exvit.figure("figure8").plain()
    drawn |= figure or {}
    drawn["panels"][-1]["pipeline"] |= panel or {}
    given = {**PARAMS, "preset": preset, **overrides}
    papers = {"agcam": Paper.model_validate({**agcam.plain(), "tables": [changed], "figures": []}),
              "exvit": Paper.model_validate({**exvit.plain(), "tables": [], "figures": [drawn]})}  # fmt: skip
    check_papers(papers, resolve(given), given)


@pytest.mark.parametrize("preset", PARAMS["presets"])
def test_the_repositorys_papers_pass(preset):
    given = {**PARAMS, "preset": preset}
    check_papers(read_papers(REPOSITORY / "papers"), resolve(given), given)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"row": {"explainer": "rolout"}}, r"papers/agcam\.yaml, table2, row 'rollout', column 'pixel_accuracy': "
         r"explainer: no preset has the explainer 'rolout'\. Did you mean 'rollout'\?"),
        ({"row": {"model": "vit_base_vok"}}, r"model: no preset has the model 'vit_base_vok'\. Did you mean 'vit_b"),
        ({"table": {"dataset": "voc2012"}}, r"dataset: no preset has the dataset 'voc2012'\. Did you mean 'voc12'"),
        ({"row": {"metric": "iuo"}}, r"metric: Unknown metric of localization 'iuo'\. Did you mean 'iou'"),
        ({"row": {"split": "valid"}}, r"split: Unknown split of shapes 'valid'\. Did you mean 'val'"),
        ({"row": {"stage": "masks", "metric": "miou", "refiner": "argmx"}}, r"no preset has the refiner 'argmx'\. Did"),
        ({"panel": {"metric": "miou_pre_layer"}}, r"papers/exvit\.yaml, figure8, panel .*: metric: Unknown metric of"),
        ({"figure": {"subjects": ["airplane"]}}, r"subjects: Unknown class of voc12 'airplane'\. Did you mean 'aero"),
        ({"figure": {"panels": [{"label": "a", "shows": "points", "models": ["exvit_k1", "exvit_k2"],
                                 "at": "fused_layers", "pipeline": {"stage": "heatmaps", "metric": "miou"}}]}},
         r"figure8, panel 'a': model: no preset has the model 'exvit_k2'"),
        ({"models__vit_base_voc__train__split": "trainaugg"},
         r"presets\.demo\.models\.vit_base_voc\.train\.split: Unknown split of shapes 'trainaugg'\. Did you mean "),
        ({"models__vit_base_voc__held_out": "vall"}, r"vit_base_voc\.held_out: Unknown split of shapes 'vall'"),
        ({"row": {"stage": "masks", "metric": "miou", "refiner": "truth"}},
         "refiner: 'truth' is ground truth, so the row's supervision is F, not I"),
    ],
)  # fmt: skip
def test_mistakes_are_named(changes, problem, monkeypatch):
    supervised = [{**row, "supervision": "I"} for row in CONTENT["agcam"]["tables"][1]["rows"]]
    tables = [merge(table, {"rows": supervised} if place == 1 else {})
              for place, table in enumerate(CONTENT["agcam"]["tables"])]  # fmt: skip
    monkeypatch.setitem(CONTENT, "agcam", {**CONTENT["agcam"], "tables": tables})
    check()
    with pytest.raises(ParameterError, match=problem):
        check(**changes)


def test_what_another_preset_has_is_not_run_here():
    check(row={"explainer": "mine"}, presets=merge(PARAMS["presets"], {"paper": {"explainers": {"mine": {}}}}))


def test_every_stage_says_what_it_yields():
    assert {stage for stage in stages() if "images" not in metrics(stage)} == set()
    assert {"miou_in_truth", "fp"} <= set(metrics("prediction")) and "miou_best" not in metrics("masks")


@pytest.mark.parametrize("kind", ["voc12", "coco14", "imagenet", "imagenet_segmentation", "cub200"])
def test_splits_are_those_that_are_prepared(kind):
    prepared = set(import_module(f"seedbed.data.published.{kind}").EXPECTED) | ({"test"} if kind == "voc12" else set())
    assert set(Published(kind=kind).splits()) == prepared


def test_class_names_are_those_of_the_data():
    from seedbed.data.published import coco14, imagenet_segmentation
    from seedbed.data.shapes_scene import CLASS_NAMES
    from seedbed.data.voc import VOC_CLASSES

    assert class_names("voc12") == VOC_CLASSES and class_names("coco14") == coco14.CLASSES
    assert (
        class_names("shapes") == CLASS_NAMES and class_names("imagenet_segmentation") == imagenet_segmentation.CLASSES
    )
    assert class_names("cub200") is None


def test_subsets_are_those_of_the_index():
    from typing import get_args

    from seedbed.papers.tables import Pipeline

    assert set(get_args(Pipeline.__annotations__["subset"])) == set(SUBSETS)
