"""The plan as a library: what rules read and are given, in milliseconds and without Snakemake."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

from seedbed.data.raw.sources import load_sources
from seedbed.errors import ParameterError, UserError
from seedbed.papers import Layout, read_papers
from seedbed.params import read_params, resolve
from seedbed.plan import Pipeline

ROOT = Path(__file__).parents[2]
CHAIN = {"dataset": "shapes", "model": "vit_hybrid", "explainer": "vit_affinity_cues", "seed": "0"}
MAPS = "results/demo/heatmaps/shapes/{}/vit_hybrid/vit_affinity_cues/seed0"


@cache
def pipeline(preset="demo", **config):
    values = {**read_params(ROOT / "params.yaml"), "preset": preset, **config}
    parts = (read_papers(ROOT / "papers"), Layout(preset), load_sources())
    return Pipeline(resolve(values), *parts, config=config, base=ROOT)


def path(**names):
    """Wildcards of a job."""
    return SimpleNamespace(**CHAIN, **names)


def test_a_random_walk_reads_its_maps_and_the_network_that_was_trained_on_the_same_maps():
    found = pipeline().inputs.random_walk(path(split="val", refiner="affinitynet", scatteritem="1-of-1"))
    affinities = "results/demo/affinity/shapes/vit_hybrid/vit_affinity_cues/affinitynet_hybrid/seed0"
    assert found == {
        "index": "data/shapes/index.csv",
        "card": "data/shapes/card.json",
        "heatmaps": f"{MAPS.format('val')}/1-of-1.h5",
        "weights": f"{affinities}/model.safetensors",
    }


@pytest.mark.parametrize(("dataset", "stored"), [("coco14", "trainaug"), ("cub200", "trainaug"), ("voc12", "train")])
def test_images_that_are_train_and_trainaug_are_explained_once(dataset, stored):
    names = {**CHAIN, "dataset": dataset, "model": "exvit", "explainer": "attribute_guided_map", "split": "train"}
    job, made = SimpleNamespace(**names, refiner="psa_crf", scatteritem="2-of-8"), pipeline("paper").inputs
    maps, masks = (f"results/paper/{kind}/{dataset}/{stored}/exvit" for kind in ("heatmaps", "masks"))
    assert made.score_heatmaps(job)["heatmaps"][1] == f"{maps}/attribute_guided_map/seed0/2-of-8.h5"
    assert made.random_walk(job)["heatmaps"] == f"{maps}/attribute_guided_map/seed0/2-of-8.h5"
    assert made.score_pseudo_masks(job)["masks"][0] == f"{masks}/attribute_guided_map/psa_crf/seed0/1-of-8.zip"
    measured = SimpleNamespace(**names, protocol="noise")  # of its own split, as it stores no maps
    assert f"heatmaps/{dataset}/train/" in made.merge_protocol(measured)["shards"][0]


def test_train_of_voc_is_explained_once_and_what_else_trains_lies_beside_it():
    made, chain = pipeline("paper").inputs, "exvit/attribute_guided_map"
    names = {**CHAIN, "dataset": "voc12", "model": "exvit", "explainer": "attribute_guided_map"}
    job = SimpleNamespace(**names, split="trainaug", refiner="psa_crf", network="psa", scatteritem="2-of-8")
    job.segmenter = "deeplab_v2_resnet38"
    folders = [f"results/paper/heatmaps/voc12/{split}/{chain}/seed0" for split in ("train", "trainaug-train")]
    assert made.label_affinities(job)["heatmaps"] == [f"{folder}/2-of-8.h5" for folder in folders]
    assert pipeline("paper").parameters.label_affinities()["splits"](job) == ["train", "trainaug-train"]
    maps = made.score_heatmaps(job)["heatmaps"]
    assert len(maps) == 16 and maps[0] == f"{folders[0]}/1-of-8.h5" and maps[-1] == f"{folders[1]}/8-of-8.h5"
    masks = [f"results/paper/masks/voc12/{split}/{chain}/psa_crf/seed0" for split in ("train", "trainaug-train")]
    assert made.train_segmenter(job)["masks"] == [f"{at}/{n}-of-8.zip" for at in masks for n in range(1, 9)]
    assert made.train_segmenter(job)["masks"] == made.score_pseudo_masks(job)["masks"]
    job.split = "trainaug-train"
    assert made.random_walk(job)["heatmaps"] == f"{folders[1]}/2-of-8.h5"


@pytest.mark.parametrize(("lists", "stored"), [(("train", "val"), "trainaug"), (("train", "trainaug", "val"), "train")])
def test_own_images_are_explained_once_unless_a_longer_list_trains(tmp_path, lists, stored):
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "Annotations").mkdir()
    for name in lists:
        (tmp_path / f"ImageSets/Main/{name}.txt").write_text("one\n")
    made = pipeline(dataset=str(tmp_path))
    names = {**CHAIN, "dataset": f"own_{tmp_path.name}", "split": "train"}
    assert f"/{stored}/" in made.inputs.score_heatmaps(SimpleNamespace(**names))["heatmaps"][0]
    assert "/val/" in made.inputs.score_heatmaps(SimpleNamespace(**{**names, "split": "val"}))["heatmaps"][0]


def test_ground_truth_as_masks_reads_the_data_set_alone():
    job = SimpleNamespace(
        dataset="shapes", split="trainaug", model="none", explainer="none", refiner="truth", seed="0",
        scatteritem="1-of-1", segmenter="deeplab_v1_resnet38",
    )  # fmt: skip
    found, given = pipeline().inputs.refine_masks(job), pipeline().parameters.refine_masks()
    assert found == {"index": "data/shapes/index.csv", "card": "data/shapes/card.json", "heatmaps": []}
    assert given["refiner"](job) == {"kind": "truth"}
    assert given["background"](job) is None and given["crf"](job) is None
    masks = pipeline().inputs.train_segmenter(job)["masks"]
    splits = ("train", "trainaug-train")  # the first is a part of trainaug
    assert masks == [f"results/demo/masks/shapes/{split}/none/none/truth/seed0/1-of-1.zip" for split in splits]


def test_a_network_tested_in_another_way_is_the_one_that_was_trained():
    names = {"split": "val", "refiner": "affinitynet", "scatteritem": "1-of-1"}
    job = path(segmenter="deeplab_v2_resnet38_multi_scale", **names)
    chain = "shapes/vit_hybrid/vit_affinity_cues/affinitynet"
    weights = f"results/demo/segmenters/{chain}/deeplab_v2_resnet38/seed0/model.safetensors"
    assert pipeline().inputs.segment(job)["weights"] == weights
    assert pipeline().inputs.segment(path(segmenter="deeplab_v2_resnet38", **names))["weights"] == weights
    assert pipeline().parameters.segment()["segmenter"](job)["scales"] == [0.75, 1.0, 1.25]


def test_confident_labels_of_a_figure_are_those_that_the_affinity_network_learns_from():
    (group,) = pipeline().figures.groups(SimpleNamespace(paper="vit_affinity", figure="figure1"))
    folder = "results/demo/affinity/shapes/vit_hybrid/vit_affinity_cues/affinitynet_hybrid/seed0"
    shown = {panel["shows"]: panel.get("shards") for panel in group["panels"]}
    assert shown["confident_foreground"] == [f"{folder}/low/1-of-1.h5"]
    assert shown["confident_background"] == [f"{folder}/high/1-of-1.h5"]
    train = pipeline().preset.affinity_networks["affinitynet_hybrid"].train
    assert group["split"] == train.split  # posteriors of other images are not stored


SINGLE = SimpleNamespace(
    dataset="shapes", split="val", model="resnet38_single_stage", seed="0", scatteritem="1-of-1"
)  # fmt: skip


def test_masks_that_a_network_predicts_itself():
    made, folder = pipeline(), "results/demo/{}/shapes/resnet38_single_stage/seed0"
    assert made.inputs.predict_masks(SINGLE)["weights"] == f"{folder.format('classifiers')}/model.safetensors"
    assert made.inputs.score_prediction(SINGLE)["masks"] == [f"{folder.format('predictions')}/val/1-of-1.zip"]
    given = {key: value(SINGLE) for key, value in made.parameters.predict_masks().items()}
    assert given.keys() == {"code", "network", "input", "prediction", "crf"} and given["crf"] is None
    assert given["prediction"]["scales"] == [1.0]
    with pytest.raises(ParameterError, match=r"models\.vit_hybrid: has no section `prediction`"):
        made.parameters.predict_masks()["prediction"](path(split="val"))


def test_how_masks_are_predicted_trains_nothing_again():
    key = "models__resnet38_single_stage__prediction"
    other = pipeline(**{f"{key}__flip": True, f"{key}__crf": "small"})
    trained, predicted = (
        [repr(getattr(made.parameters, rule)()[given](SINGLE)) for made in (pipeline(), other)]
        for rule, given in (("train_classifier", "model"), ("predict_masks", "prediction"))
    )
    assert trained[0] == trained[1] and predicted[0] != predicted[1]
    assert other.parameters.predict_masks()["crf"](SINGLE)["iterations"] == 5


def test_labels_are_made_of_the_split_that_their_network_trains_on():
    found = pipeline().inputs.label_affinities(path(network="affinitynet_hybrid", scatteritem="1-of-1"))
    split = pipeline().preset.affinity_networks["affinitynet_hybrid"].train.split
    assert split == "trainaug"  # of which train is a part
    assert found["heatmaps"] == [f"{MAPS.format(part)}/1-of-1.h5" for part in ("train", "trainaug-train")]


def test_masks_and_maps_are_read_in_all_their_shards():
    three = pipeline(shards=3)
    masks = three.inputs.train_segmenter(path(refiner="affinitynet", segmenter="deeplab_v1_resnet38"))["masks"]
    assert [name.rpartition("/")[2] for name in masks] == 2 * ["1-of-3.zip", "2-of-3.zip", "3-of-3.zip"]
    assert len(three.inputs.score_heatmaps(path(split="val"))["heatmaps"]) == 3


def test_a_network_that_is_not_trained_is_its_pretrained_weights():
    names = pipeline("paper").names
    untrained = next(n for n, m in names.preset.models.items() if m.train is None and m.checkpoint is None)
    weights = names.preset.models[untrained].weights
    assert names.weights("imagenet", untrained, 0) == f"data/weights/{weights}.safetensors"
    assert (
        names.weights("voc12", "vit_hybrid", 1) == "results/paper/classifiers/voc12/vit_hybrid/seed1/model.safetensors"
    )


def test_a_rule_is_given_what_it_uses_and_the_digest_of_its_code():
    given = pipeline().parameters.explain()
    assert given.keys() == {"code", "explainer", "network"}
    values = {key: value(path(split="val", scatteritem="1-of-1")) for key, value in given.items()}
    assert len(values["code"]) == 64
    assert values["explainer"]["method"] == "transformer_attribution"
    assert values["network"].keys() == {"architecture", "options", "num_classes"}


@pytest.mark.parametrize("change", ["train__save_every_seconds", "train__loader_workers"])
def test_what_changes_no_result_is_no_part_of_what_is_compared(change):
    before, after = (
        repr(made.parameters.train_classifier()["model"](path()))
        for made in (pipeline(), pipeline(**{f"models__vit_hybrid__{change}": 7}))
    )
    assert before == after
    assert before != repr(pipeline(models__vit_hybrid__train__epochs=7).parameters.train_classifier()["model"](path()))


def test_the_explainer_does_not_know_how_its_network_was_trained():
    longer = pipeline(models__vit_hybrid__train__epochs=7)
    for key, value in pipeline().parameters.explain().items():
        job = path(split="val", scatteritem="1-of-1")
        assert repr(value(job)) == repr(longer.parameters.explain()[key](job))


def test_tables_and_figures_are_targets():
    made = pipeline()
    assert made.tables.targets["vit_affinity_table4"] == ("vit_affinity", "table4")
    assert ("vit_affinity", "table4") in made.tables.headlines()
    named = {name for name, _, _ in made.targets()}
    assert {"headlines", "my_masks", "score_masks", "params", *made.tables.targets, *made.figures.targets} <= named


def test_a_table_needs_the_metrics_of_every_measured_cell_and_seed():
    job = SimpleNamespace(paper="vit_affinity", table="table4")
    one, two = (pipeline(seeds=seeds).tables.metrics(job) for seeds in ((0,), (0, 1)))
    assert len(two) == 2 * len(one) and set(one) < set(two)
    assert all(name.endswith(".json") for name in one)


def test_a_number_is_told_by_a_table_that_the_run_makes():
    tables = pipeline().tables
    shared = {}
    for target, names in tables.targets.items():
        for cell in tables.cells(*names):
            for file in cell.sources:
                shared.setdefault(file, {}).setdefault(target, names)
    file, (first, second, *_) = next((file, list(made)) for file, made in shared.items() if len(made) > 1)
    assert set(tables.numbers()) == set(shared)
    assert tables.numbers()[file].label.startswith(f"{first}, ")
    made = tables.files([shared[file][second]], ".csv")
    assert tables.numbers(made)[file].label.startswith(f"{second}, ")


def test_a_network_that_two_rows_train_on_other_masks_keeps_both_histories():
    found = pipeline().tables.histories(SimpleNamespace(paper="vit_affinity", table="table4"))
    masks = {"vit_hybrid/vit_affinity_cues/affinitynet", "none/none/truth"}
    deeplab = {name: path for name, path in found.items() if name.startswith("deeplab_v1_resnet38")}
    labels = ("DeepLab on the refined masks (beyond the paper)", "DeepLab on ground truth (beyond the paper)")
    assert list(deeplab) == [f"deeplab_v1_resnet38, {label}" for label in labels]
    assert set(deeplab.values()) == {
        f"results/demo/segmenters/shapes/{chain}/deeplab_v1_resnet38/seed0/history.csv" for chain in masks
    }


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda made: made.tables.table("vit_afinity", "table4"), "Did you mean 'vit_affinity'"),
        (lambda made: made.tables.table("vit_affinity", "tabel4"), "Did you mean 'table4'"),
        (lambda made: made.tables.asked("exvit_tabel1"), "Did you mean 'exvit_table1'"),
        (lambda made: made.own.masks(), "my_masks needs your images"),
        (lambda made: made.image.inputs(None), "explain_image needs an image"),
        (lambda made: made.scored.inputs(None), "score_masks needs masks"),
    ],
)
def test_what_is_asked_for_wrongly_is_said_with_the_remedy(call, message):
    with pytest.raises(UserError, match=message):
        call(pipeline())


def test_headlines_that_are_no_tables_are_refused_with_the_nearest():
    with pytest.raises(ParameterError, match=r"headlines.*Did you mean 'exvit_table1'"):
        pipeline(headlines=("exvit_tabel1",))


def test_a_training_has_the_resources_of_its_network():
    made = pipeline("paper")
    resources = made.resources.of("train_segmenter")
    job = SimpleNamespace(dataset="voc12", segmenter="deeplab_v1_resnet38")
    assert (resources["gpu"](job), resources["runtime"](job, 2)) == (2, 2 * 430)


def test_resources_of_rules_that_do_not_exist_are_found_out():
    made = pipeline.__wrapped__(resources={"explian": {"threads": 2}})
    for rule in ("explain", "train_classifier", "train_affinity_network", "train_segmenter"):
        made.resources.threads(rule)
    with pytest.raises(ParameterError, match="Did you mean 'explain'"):
        made.check_resources()


def test_planning_imports_neither_torch_nor_snakemake():
    program = """
import sys
from test_plan_pipeline import ROOT, pipeline, read_params
made = pipeline.__wrapped__(**{**read_params(ROOT / "params.yaml"), "preset": "paper"})
made.check()
made.targets()
for names in made.tables.targets.values():
    made.tables.notes(*names)
print([name for name in ("torch", "snakemake", "timm", "matplotlib", "sklearn") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_a_misspelt_device_of_forecasts_is_refused_before_the_first_job():
    """It was a traceback behind the plan."""
    with pytest.raises(ParameterError, match=r"device: Unknown device 'h1000'\. Did you mean 'h100'"):
        pipeline.__wrapped__(**read_params(ROOT / "params.yaml"), device="h1000").check()


def test_rules_that_run_a_network_know_how_a_gpu_multiplies_where_it_is_not_as_always():
    running = ("explain", "run_protocol", "measure_network", "random_walk", "segment", "predict_masks")
    for rule in (*running, "train_classifier", "train_affinity_network", "train_segmenter"):
        assert "precision" not in getattr(pipeline().parameters, rule)()  # so that no older result is made again
        assert getattr(pipeline(precision="tf32").parameters, rule)()["precision"] == "tf32"
    assert pipeline(precision="tf32").page_parameters.draw_figure()["precision"] == "tf32"
    assert "precision" not in pipeline(precision="tf32").parameters.refine_masks()
    with pytest.raises(ParameterError, match="precision"):
        pipeline(precision="tf23")
