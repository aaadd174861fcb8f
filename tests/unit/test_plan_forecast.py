"""Forecasts worked out by hand, and which jobs of the papers' tables have one."""

from pathlib import Path

import pytest

from seedbed.errors import ParameterError, UserError
from seedbed.io.atomic import write_json
from seedbed.params import read_params, resolve
from seedbed.params.data import ImagenetFolder
from seedbed.plan.forecasts.counts import Count, counted
from seedbed.plan.forecasts.forecast import Forecaster
from seedbed.plan.forecasts.rates import Rates, asked_rates, devices, table_of_rates
from seedbed.plan.forecasts.typical import split_sizes
from seedbed.plan.jobs import Room

REPOSITORY = Path(__file__).parents[2]
VALUES = read_params(REPOSITORY / "params.yaml")
ROUND = Rates("round", memory=24, bf16=100, float32=10, bandwidth=1000, kernel=10)
START = table_of_rates()["start"]
CHAIN = {"dataset": "voc12", "model": "exvit", "explainer": "attribute_guided_map", "seed": "0"}
SHARD = {**CHAIN, "split": "trainaug", "scatteritem": "3-of-8"}
IMAGES = 10582 / 8


def forecaster(rates=ROUND, preset="paper", **overrides):
    preset = resolve({**VALUES, "preset": preset, **overrides})
    return Forecaster(preset, rates, lambda names: {"name": names.protocol, "options": {}})


def with_counts(made, rule, names, threads=8, **given):
    """The forecaster, told that each unit of a job costs what is given for its kind, and nothing else."""
    work = made.work(rule, names, threads)
    units = [*work.beside, *work.after, *([work.network] if work.network else [])]
    made.counts = {unit.key: given.get(unit.kind, Count()) for unit in units}
    return work


def test_arithmetic_memory_and_kernels_become_seconds():
    count = Count(flops=2e12, bytes=5e11, kernels=1000, step_bytes=4e11)
    assert ROUND.seconds("unit", count) == pytest.approx(0.2 + 0.5 + 0.4)
    assert ROUND.seconds("unit", count, batch=4, bf16=True) == pytest.approx(0.02 + 0.5 + 0.1)
    assert ROUND.seconds("unit", Count(flops=1e6, kernels=1000)) == pytest.approx(0.01)  # a kernel takes 10 us to start
    assert ROUND.seconds("unit", Count(flops=1e6, kernels=1000), batch=10) == pytest.approx(0.001)


def test_what_was_measured_goes_before_what_was_counted():
    measured = Rates("real", 80, 1, 1, 1, 1, measured={"unit": 0.25})
    assert measured.seconds("unit", Count(flops=1e15)) == 0.25


def test_a_training_takes_the_longer_of_network_and_loader():
    made = forecaster()
    names = {"dataset": "voc12", "model": "exvit", "seed": "0"}
    fast = {"train": Count(flops=1e12), "load": Count(seconds=0.08)}  # 10 ms of a GPU in bfloat16
    work = with_counts(made, "train_classifier", names, **fast)
    assert work.images == 40_000 * 16
    assert made.seconds("train_classifier", names, 8, 1) == pytest.approx(START["gpu"] + 640_000 * 0.01)
    assert made.seconds("train_classifier", names, 4, 1) == pytest.approx(START["gpu"] + 640_000 * 0.02)  # 4 workers
    assert made.seconds("train_classifier", names, 80, 1) == pytest.approx(START["gpu"] + 640_000 * 0.01)
    two = 640_000 * max(0.01 / (2 * 0.85), 0.01)
    assert made.seconds("train_classifier", names, 8, 2) == pytest.approx(START["gpu"] + two)


def test_epochs_drop_their_last_incomplete_batch():
    made = forecaster()
    names = {"dataset": "voc12", "model": "vit_hybrid", "seed": "0"}
    train = made.preset.models["vit_hybrid"].train
    work = made.work("train_classifier", names, 8)
    assert work.images == train.epochs * (10582 // train.batch_size) * train.batch_size


def test_cores_read_and_fuse_beside_the_network_and_store_after_it():
    made = forecaster()
    costs = {"views": Count(seconds=0.04), "fuse": Count(seconds=0.04), "store": Count(seconds=0.01)}
    with_counts(made, "explain", SHARD, explain=Count(flops=1e11), **costs)
    assert made.seconds("explain", SHARD, 4, 1) == pytest.approx(START["gpu"] + IMAGES * (0.02 + 0.01))
    assert made.seconds("explain", SHARD, 16, 1) == pytest.approx(START["gpu"] + IMAGES * (0.01 + 0.01))


def test_walks_are_made_by_all_cores_beside_the_network():
    made, names = forecaster(), {**SHARD, "refiner": "psa_crf"}
    with_counts(made, "random_walk", names, affinities=Count(flops=3e11), walk=Count(seconds=0.4))
    assert made.seconds("random_walk", names, 8, 1) == pytest.approx(START["gpu"] + IMAGES * 0.05)
    assert made.seconds("random_walk", names, 80, 1) == pytest.approx(START["gpu"] + IMAGES * 0.03)


def test_without_a_gpu_cores_do_it_all():
    made = forecaster(devices()["cpu"])
    names = {**SHARD, "refiner": "psa_crf"}
    with_counts(made, "random_walk", names, affinities=Count(flops=3e9), walk=Count(seconds=0.4))
    taken = START["core"] + IMAGES * (0.1 + 0.4)  # 30 GFLOP/s of a core
    assert made.seconds("random_walk", names, 1, 1) == pytest.approx(taken)
    assert made.seconds("random_walk", names, 1, 0) == pytest.approx(taken)


def test_downloads_take_the_time_of_their_bytes():
    room = (Room("voc12", "fetched", 12.5e6 * 100),)
    assert forecaster().seconds("fetch_source", {"source": "voc12"}, 1, 0, room) == pytest.approx(102)
    assert forecaster().seconds("fetch_source", {"source": "x"}, 1, 0, (Room("voc12", "fetched", None),)) is None


def test_images_of_your_own_are_counted_from_their_lists(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "classes.txt").write_text("cat\n")
    (tmp_path / "labels.csv").write_text("image,split,labels\n" + "".join(f"{n},train,cat\n" for n in range(30)))
    names = {"dataset": f"own_{tmp_path.name}", "split": "train", "model": "m", "explainer": "e", "refiner": "argmax"}
    made = forecaster(preset="small", dataset=str(tmp_path))
    work = with_counts(made, "refine_masks", {**names, "scatteritem": "1-of-2"}, refine=Count(seconds=0.2))
    assert work.images == 15
    assert made.seconds("refine_masks", {**names, "scatteritem": "1-of-2"}, 1, 0) == pytest.approx(START["core"] + 3)


def test_photographs_of_imagenet_are_counted_from_their_table(tmp_path):
    (tmp_path / "classes.csv").write_text("image,index\n" + "".join(f"{n},0\n" for n in range(21)))
    assert split_sizes(ImagenetFolder(kind="imagenet_folder", path=str(tmp_path))) == {
        "val": 21,
        "tenth": 3,
        "fiftieth": 1,
    }
    assert split_sizes(ImagenetFolder(kind="imagenet_folder", path=str(tmp_path / "gone"))) == {}


def test_what_is_not_known_is_not_forecast(tmp_path):
    own = {"dataset": f"own_{tmp_path.name}", "split": "train", "refiner": "argmax", "scatteritem": "1-of-2"}
    made = forecaster(preset="demo", dataset=str(tmp_path))
    assert made.seconds("refine_masks", own, 1, 0) is None  # how many images there are
    bare = Forecaster(forecaster().preset, ROUND, lambda names: {}, counts={})
    assert bare.seconds("explain", SHARD, 4, 1) is None  # what an image costs
    assert bare.seconds("a_rule_of_mine", {}, 1, 0) is None


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        ("train_classifier", {"dataset": "voc12", "model": "exvit", "seed": "0"}),
        ("train_classifier", {"dataset": "coco14", "model": "conformer_aream", "seed": "0"}),
        ("train_affinity_network", {**CHAIN, "network": "psa"}),
        ("train_segmenter", {**CHAIN, "refiner": "psa_crf", "segmenter": "deeplab_v2_resnet38"}),
        ("explain", SHARD),
        ("label_affinities", {**SHARD, "network": "psa"}),
        ("random_walk", {**SHARD, "refiner": "psa_crf"}),
        ("segment", {**SHARD, "split": "val", "refiner": "psa_crf", "segmenter": "deeplab_v2_resnet38"}),
        ("score_heatmaps", {**CHAIN, "split": "train"}),
        ("score_segmentation", {**CHAIN, "split": "val", "refiner": "psa_crf", "segmenter": "deeplab_v2_resnet38"}),
    ],
)
def test_jobs_of_the_papers_have_been_counted(rule, names):
    made = forecaster(devices()["h100"])
    missing = made.missing(made.work(rule, names, 8))
    assert not missing, f"not counted: {missing}. Run python benchmarks/count.py"
    assert made.seconds(rule, names, 8, 1) > 0
    resources = made.preset.resources_for(rule if rule in made.preset.resources else "score")
    limit = 60 * resources.on(names["dataset"]).runtime
    slow = forecaster(devices()["rtx4090"]).seconds(rule, names, resources.threads, resources.gpu)
    assert limit > 3 * slow, "the limit that a scheduler is told is no multiple of the forecast"


def test_counts_agree_with_what_is_known_of_the_networks():
    """ViT-B/16 at 224 x 224 multiplies and adds 17.6 10^9 times an image; a step takes three forward passes."""
    made = forecaster()
    step = made.work("train_classifier", {"dataset": "voc12", "model": "vit_base_voc", "seed": "0"}, 8).network
    assert counted()[step.key].flops == pytest.approx(3 * 2 * 17.6e9, rel=0.1)


def test_rates_are_those_that_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("seedbed.plan.forecasts.rates.gpu_name", lambda: None)
    assert asked_rates({})[0].name == "H100"
    assert asked_rates({"device": "t4"})[0].name == "T4"
    monkeypatch.setattr("seedbed.plan.forecasts.rates.gpu_name", lambda: "NVIDIA GeForce RTX 4090")
    assert asked_rates({})[0].name == "RTX 4090"
    with pytest.raises(ParameterError, match="a100"):
        asked_rates({"device": "a10"})
    measured = {"name": "L4", "memory": 24, "bf16": 1, "float32": 1, "bandwidth": 1, "kernel": 1}
    write_json(tmp_path / "gpu.json", {"rates": measured, "units": {"unit": 2.0}})
    rates, line = asked_rates({"rates": str(tmp_path / "gpu.json")})
    assert rates.measured == {"unit": 2.0} and "L4" in line
    write_json(tmp_path / "other.json", {"rates": {"name": "L4"}})
    with pytest.raises(UserError, match=r"benchmarks/gpu\.py"):
        asked_rates({"rates": str(tmp_path / "other.json")})
