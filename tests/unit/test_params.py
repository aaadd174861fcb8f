"""params.yaml: overrides, and mistakes that are named with the nearest right word."""

import copy
import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from seedbed.errors import ParameterError
from seedbed.params import Preset, merge, own_name, read_params, resolve
from seedbed.settings.optimisation import Training, TrainSettings

REPOSITORY = Path(__file__).parents[2]
TRAIN = {"augment": [{"normalize": "half"}], "loss": "cross_entropy", "lr": 0.1, "batch_size": 4, "epochs": 2}
SMALL = {
    "about": "A test.",
    "comparable": False,
    "seeds": [0],
    "shards": 2,
    "stand_ins": {"voc12": "shapes"},
    "own": {"model": "vit", "explainer": "maps", "refiner": "walk"},
    "datasets": {"shapes": {"kind": "shapes", "seed": 0, "size": 48, "train": 4, "trainaug": 8, "val": 4}},
    "weights": {"start": {"kind": "timm", "tag": "vit_tiny_patch16_224.augreg_in21k"}},
    "models": {"vit": {"architecture": "vit_tiny", "weights": "start", "input": {"normalize": "half"}, "train": TRAIN}},
    "explainers": {
        "maps": {"method": "cam", "input": {"normalize": "half"}, "fusion": "raw", "background": 0.4, "sweep": False}
    },
    "affinity_networks": {
        "net": {
            "architecture": "affinitynet",
            "labels": {"crf": "small", "alpha_low": 4, "alpha_high": 32, "rule": "psa"},
            "input": {"normalize": "half"},
            "train": {**TRAIN, "loss": "affinity"},
        }
    },
    "refiners": {
        "walk": {"kind": "random_walk", "network": "net", "alpha": 16, "beta": 8, "log2_steps": 8},
        "crf": {"kind": "dense_crf", "crf": "small"},
        "argmax": {"kind": "argmax"},
    },
    "segmenters": {"deeplab": {"architecture": "deeplab", "train": TRAIN, "input": {"normalize": "half"}}},
}
CRF = {"gaussian_sxy": 3, "gaussian_weight": 3, "bilateral_sxy": 80, "bilateral_srgb": 13, "bilateral_weight": 10}


def config(**overrides):
    small = copy.deepcopy(SMALL)
    return {
        "preset": "small",
        "dataset": None,
        "common": {"crf": {"small": CRF}},
        "presets": {"small": small},
    } | overrides


def without(path):
    given = config()
    *parents, last = path.split(".")
    node = given["presets"]["small"]
    for part in parents:
        node = node[part]
    del node[last]
    return given


@pytest.mark.parametrize("preset", read_params(REPOSITORY / "params.yaml")["presets"])
def test_the_repositorys_presets_resolve(preset):
    found = resolve({**read_params(REPOSITORY / "params.yaml"), "preset": preset})
    assert found.name == preset
    assert Preset.model_validate(found.plain()) == found


def test_common_lies_under_the_preset():
    found = resolve(config(common={"crf": {"small": CRF, "other": {**CRF, "iterations": 3}}, "seeds": [5]}))
    assert found.crf["other"].iterations == 3
    assert found.crf["small"].bilateral_srgb == 13
    assert found.seeds == [0]


def test_merging_goes_mapping_by_mapping_and_copies():
    under, over = {"a": {"x": 1, "y": [1, 2]}, "b": 1}, {"a": {"y": [3], "z": {}}, "b": {"c": 2}}
    merged = merge(under, over)
    assert merged == {"a": {"x": 1, "y": [3], "z": {}}, "b": {"c": 2}}
    merged["a"]["y"].append(4)
    merged["a"]["z"]["new"] = 1
    assert (under["a"]["y"], over["a"]) == ([1, 2], {"y": [3], "z": {}})


@pytest.mark.parametrize(
    ("overrides", "read", "expected"),
    [
        ({"models__vit__train__epochs": 7}, lambda p: p.models["vit"].train.epochs, 7),
        ({"seeds": [0, 1, 2]}, lambda p: p.seeds, [0, 1, 2]),
        ({"models": {"vit": {"train": {"lr": 0.5}}}}, lambda p: p.models["vit"].train.lr, 0.5),
        ({"models__vit__train__augment": []}, lambda p: p.models["vit"].train.augment, []),
        ({"refiners__walk__beta": 4}, lambda p: p.refiners["walk"].beta, 4),
        ({"crf__small__iterations": 2}, lambda p: p.crf["small"].iterations, 2),
        ({"scoring__miou": "in_truth"}, lambda p: p.scoring.miou, "in_truth"),
        ({"models__vit__options__depth": 3}, lambda p: p.models["vit"].options, {"depth": 3}),
        ({"models__vit__input__size": [4, 5]}, lambda p: p.models["vit"].input.size, (4, 5)),
        ({"models__vit__train__lr_scales__head": 10.0}, lambda p: p.models["vit"].train.lr_scales, {"head": 10.0}),
        ({"crf__new": {**CRF}}, lambda p: p.crf["new"].iterations, 10),
        ({"resources": {"default": {"threads": 3}}}, lambda p: p.resources_for("any").threads, 3),
        ({"models__vit__train__lr": "1e-3"}, lambda p: p.models["vit"].train.lr, 0.001),
        ({"segmenters__deeplab__crf": "null"}, lambda p: p.segmenters["deeplab"].crf, None),
        ({"models__vit__train": {"epochs": None, "iterations": 9}}, lambda p: p.models["vit"].train.iterations, 9),
    ],
)  # fmt: skip
def test_overrides_from_the_command_line(overrides, read, expected):
    given = config(**overrides)
    before = copy.deepcopy(given)
    assert read(resolve(given)) == expected
    assert given == before


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ({"preset": "smal"}, "preset: Unknown preset 'smal'. Did you mean 'small'?"),
        ({"preset": None}, "preset: Unknown preset 'None'"),
        ({"sedes": [1]}, "sedes: Unknown parameter 'sedes'. Did you mean 'seeds'?"),
        ({"modles__vit__train__lr": 1}, "modles__vit__train__lr: Unknown key of the preset 'modles'. Did you mean 'mo"),
        ({"models__vti__train__lr": 1}, "Unknown key of models 'vti'. Did you mean 'vit'?"),
        ({"models__vit__trian__lr": 1}, "Unknown key of models.vit 'trian'. Did you mean 'train'?"),
        ({"models__vit__train__epoch": 1}, "presets.small.models.vit.train.epoch: unknown key. Did you mean 'epochs'?"),
        ({"models__vit__input__normalise": "half"}, "vit.input.normalise: unknown key. Did you mean 'normalize'?"),
        ({"refiners__walk__bta": 1}, "presets.small.refiners.walk.bta: unknown key. Did you mean 'beta'?"),
        ({"datasets__shapes__szie": 1}, "presets.small.datasets.shapes.szie: unknown key. Did you mean 'size'?"),
        ({"scoring__mioo": 1}, "presets.small.scoring.mioo: unknown key. Did you mean 'miou'?"),
        ({"own__refinr": "x"}, "presets.small.own.refinr: unknown key. Did you mean 'refiner'?"),
        ({"models__vit__train__epochs": "many"}, "small.models.vit.train.epochs: Input should be a valid integer"),
        ({"models__vit__train__epochs": "many"}, "(it is 'many')"),
        ({"models__vit__train__epochs": 2.5}, "models.vit.train.epochs: Input should be a valid integer"),
        ({"models__vit__train__lr": 0}, "models.vit.train.lr: Input should be greater than 0 (it is 0)"),
        ({"models__vit__train": 3}, "presets.small.models.vit.train: "),
        ({"seeds": []}, "presets.small.seeds: List should have at least 1 item"),
        ({"seeds": [1, 1]}, "presets.small.seeds: a seed is listed twice (it is [1, 1])"),
        ({"seeds": [-1]}, "presets.small.seeds.0: Input should be greater than or equal to 0 (it is -1)"),
        ({"seeds": 3}, "presets.small.seeds: Input should be a valid list (it is 3)"),
        ({"refiners__walk__beta": "x"}, "presets.small.refiners.walk.beta: Input should be a valid number"),
        ({"refiners__walk__kind": "stroll"}, "presets.small.refiners.walk: Input tag 'stroll' found using 'kind'"),
        ({"refiners__walk__background": 0.3}, "presets.small.refiners.walk: set either alpha or background"),
        ({"refiners__walk__alpha": None}, "presets.small.refiners.walk: set either alpha or background"),
        ({"models__vit__train__iterations": 9}, "models.vit.train: set either epochs or iterations, and not both"),
        ({"models__vit__train__epochs": None}, "models.vit.train: set either epochs or iterations, and not both"),
        (
            {"models__vit__train__augment": [{"normalize": "imagenet"}], "models__vit__input__normalize": "half"},
            "presets.small.models.vit: train.augment normalizes by 'imagenet', but input.normalize is 'half'; write",
        ),
        ({"models__vit__train__augment": [["flip"]]}, "presets.small.models.vit.train.augment.0: "),
        ({"datasets__shapes__train": 9}, "presets.small.datasets.shapes: train is the first part of trainaug"),
        (
            {"segmenters__deeplab__fusion": "first_grid_largest"},
            "segmenters.deeplab: fusion first_grid_largest joins views with their mirror images: set flip: true",
        ),
        ({"explainers__maps__background": 1.5}, "explainers.maps.background: Input should be less than or equal to 1"),
        ({"name": "other"}, "name: the preset is named by its key, 'small'"),
        ({"dataset": "/no/such/folder"}, "dataset: '/no/such/folder' is not a folder. Give the folder of"),
        ({"dataset": 5}, "dataset: '5' is not a folder"),
        ({"presets": {"small": None}}, "presets.small: must hold a mapping of parameters (it is None)"),
    ],
)  # fmt: skip
def test_mistakes_are_named(overrides, problem):
    with pytest.raises(ParameterError, match=re.escape(problem)):
        resolve(config(**overrides))


def test_all_mistakes_are_named_at_once():
    with pytest.raises(ParameterError) as caught:
        resolve(config(shards=0, seeds=[], refiners__walk__bta=1))
    lines = str(caught.value).splitlines()
    assert lines[0] == "params.yaml does not fit:"
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "presets.small.seeds",
        "presets.small.shards",
        "presets.small.refiners.walk.bta",
    ]


@pytest.mark.parametrize("path", ["datasets", "own.model", "models.vit.architecture", "refiners.walk.kind"])
def test_missing_keys_are_named(path):
    with pytest.raises(ParameterError, match=re.escape(f"presets.small.{path.removesuffix('.kind')}: ")):
        resolve(without(path))


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ({"stand_ins__voc12": "shaps"}, "stand_ins.voc12: Unknown data set 'shaps'. Did you mean 'shapes'?"),
        ({"own__model": "vot"}, "own.model: Unknown model 'vot'. Did you mean 'vit'?"),
        ({"own__explainer": "map"}, "own.explainer: Unknown explainer 'map'. Did you mean 'maps'?"),
        ({"own__refiner": "wlak"}, "own.refiner: Unknown refiner 'wlak'. Did you mean 'walk'?"),
        ({"models__vit__weights": "strat"}, "models.vit.weights: Unknown weights 'strat'. Did you mean 'start'?"),
        ({"affinity_networks__net__weights": "clasifier"}, "affinity_networks.net.weights: Unknown weights 'clasi"),
        ({"affinity_networks__net__labels__crf": "smal"}, "affinity_networks.net.labels.crf: Unknown CRF 'smal'."),
        ({"refiners__walk__crf": "smal"}, "refiners.walk.crf: Unknown CRF 'smal'. Did you mean 'small'?"),
        ({"refiners__crf__crf": "smal"}, "refiners.crf.crf: Unknown CRF 'smal'. Did you mean 'small'?"),
        ({"refiners__walk__network": "ned"}, "refiners.walk.network: Unknown affinity network 'ned'."),
        ({"segmenters__deeplab__weights": "x"}, "segmenters.deeplab.weights: Unknown weights 'x'"),
        ({"segmenters__deeplab__crf": "smal"}, "segmenters.deeplab.crf: Unknown CRF 'smal'. Did you mean 'small'?"),
    ],
)  # fmt: skip
def test_names_that_refer_to_nothing(overrides, problem):
    with pytest.raises(ParameterError, match=re.escape(f"presets.small.{problem}")):
        resolve(config(**overrides))


def test_the_rows_own_classifier_is_a_name_for_weights():
    assert (
        resolve(config(affinity_networks__net__weights="classifier")).affinity_networks["net"].weights == "classifier"
    )


def test_your_own_pictures_become_a_data_set(tmp_path):
    folder = tmp_path / "my images (1)"
    folder.mkdir()
    found = resolve(config(dataset=str(folder)))
    assert own_name(str(folder)) == "own_my-images--1-"
    assert found.datasets["own_my-images--1-"].path == str(folder)
    assert set(found.datasets) == {"shapes", "own_my-images--1-"}


def test_a_network_that_never_sees_your_labels_makes_no_masks_of_them(tmp_path):
    (tmp_path / "mine").mkdir()
    bare = {"architecture": "vit_tiny", "input": {"normalize": "half"}}
    given = config(dataset=str(tmp_path / "mine"), models={"bare": bare}, own__model="bare")
    with pytest.raises(ParameterError, match=r"own\.model: 'bare' is not trained here.*Networks that are: vit\."):
        resolve(given)
    assert resolve({**given, "dataset": None}).own.model == "bare"
    assert resolve({**given, "models__bare__checkpoint": "/mine.pth"}).own.model == "bare"


def test_what_a_preset_answers():
    found = resolve(config(resources={"default": {"threads": 2}, "explain": {"gpu": 1}}))
    assert found.dataset_for("voc12") == "shapes"
    assert found.dataset_for("cub200") == "cub200"
    assert found.resources_for("explain").gpu == 1
    assert found.resources_for("other").threads == 2
    assert resolve(config()).resources_for("other").threads == 1


def test_a_training_may_take_what_its_network_and_its_data_set_need():
    own = {
        "gpu": 1,
        "runtime": 60,
        "per_dataset": {"shapes": {"runtime": 90}},
        "per_network": {"vit": {"gpu": 2, "runtime": 30}},
    }
    entry = resolve(config(resources={"train_classifier": own})).resources_for("train_classifier")
    assert entry.of("another") is entry and (entry.gpu, entry.on("cub200").runtime) == (1, 60)
    assert (entry.of("vit").gpu, entry.of("vit").on("cub200").runtime) == (2, 30)
    assert entry.of("vit").on("shapes").runtime == 90  # a data set's size says more than the number of GPUs
    undone = resolve(config(resources={"train_classifier": own | {"per_network": {"vit": None}}}))
    assert undone.resources_for("train_classifier").of("vit").gpu == 1


@pytest.mark.parametrize(
    ("rule", "changes", "problem"),
    [
        ("train_classifier", {"vti": {"gpu": 2}}, r"resources\.train_classifier\.per_network: .*'vti'.*'vit'"),
        ("explain", {"vit": {"gpu": 2}}, r"resources\.explain\.per_network: .*'vit'.*Known: none"),
        ("train_classifier", {"vit": {"per_dataset": {}}}, "per_network.vit: only threads, gpu, mem_mb and runtime"),
        ("train_classifier", {"vit": {"gpu": -1}}, "per_network.vit does not fit: gpu"),
    ],
)
def test_mistakes_in_a_networks_resources_are_named(rule, changes, problem):
    with pytest.raises(ParameterError, match=problem):
        resolve(config(resources={rule: {"per_network": changes}}))


def test_values_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        resolve(config()).shards = 3


def test_reading_the_file(tmp_path):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(config()))
    assert read_params(tmp_path / "params.yaml") == config()
    for name, content, problem in (
        ("gone.yaml", None, "no such parameter file"),
        ("bad.yaml", "a: [1", "not valid YAML"),
        ("list.yaml", "- 1", "must hold a mapping"),
        ("empty.yaml", "", "must hold a mapping"),
    ):
        if content is not None:
            (tmp_path / name).write_text(content)
        with pytest.raises(ParameterError, match=f"{name}: {problem}"):
            read_params(tmp_path / name)


def test_training_parameters_are_those_of_the_loop():
    """Every setting can be given, has the loop's own default, and reaches the loop."""
    training = TypeAdapter(Training).validate_python(TRAIN)
    assert isinstance(training, TrainSettings)
    settings = {field.name: getattr(training, field.name) for field in fields(TrainSettings)}
    assert TrainSettings(**settings) == TrainSettings(lr=0.1, batch_size=4, epochs=2)


def test_headlines_name_tables():
    preset = resolve(config(headlines=["aream_table2"]))
    preset.check_tables(["aream_table1", "aream_table2"])
    with pytest.raises(ParameterError, match=r"small\.headlines: Unknown table 'aream_table2'\. Did you mean 'aream_t"):
        preset.check_tables(["aream_table1"])
