"""Names and options of the parameters are refused before anything runs: the key, the word, its nearest match."""

import re
from pathlib import Path

import pytest

from seedbed.data.raw.sources import load_sources
from seedbed.errors import ParameterError
from seedbed.io.signatures import Option
from seedbed.models.registry import list_models
from seedbed.params import read_params, resolve
from seedbed.plan.checks import check_options, fits, given_problems
from seedbed.plan.parameter_checks import check_preset, check_sources
from seedbed.plan.timm_source import timm_networks, timm_tags, timm_words

REPOSITORY = Path(__file__).parents[2]
PARAMS = read_params(REPOSITORY / "params.yaml")


def check(preset="demo", **overrides):
    check_preset(resolve({**PARAMS, "preset": preset, **overrides}))


@pytest.mark.parametrize("preset", PARAMS["presets"])
def test_the_repositorys_presets_pass(preset):
    check(preset)


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ({"models__exvit__train__loss": "exvitt"}, "models.exvit.train.loss: Unknown loss 'exvitt'. Did you mean 'ex"),
        ({"segmenters__deeplab_v1_resnet38__train__loss": "exvit"},
         "segmenters.deeplab_v1_resnet38.train.loss: 'exvit' is for the task classifier. For segmentation: "),
        ({"affinity_networks__psa__train__loss": "afinity"}, "psa.train.loss: Unknown loss 'afinity'. Did you mean '"),
        ({"models__exvit__train__loss_options__alpa": 1}, "exvit.train.loss_options.alpa: Unknown option of 'exvit'"),
        ({"models__clip_dinov2_small__parts": {"dinos": {"weights": "vit_tiny_patch8_96"}}},
         "clip_dinov2_small.parts.dinos: 'weclip_plus_vit_tiny_8' has no module 'dinos'. Did you mean 'dino'?"),
        ({"models__clip_dinov2_small__parts__dino__layout": "nativ"},
         "clip_dinov2_small.parts.dino.layout: Unknown weights layout 'nativ'. Did you mean 'native'?"),
        ({"models__clip_dinov2_small__parts__dino__weights": "vit_tinny"}, "clip_dinov2_small.parts.dino.weights: "),
        ({"models__conformer_aream__train__loss_options__warmup_step": 1},
         "loss_options.warmup_step: Unknown option of 'conformer_aream' 'warmup_step'. Did you mean 'warmup_steps'?"),
        ({"models__exvit__train__loss_options__alpha": "1"}, "train.loss_options.alpha: must be float (it is '1')"),
        ({"affinity_networks__psa__train": {"loss_options": {"eps": None}}}, "loss_options.eps: must be float (it i"),
        ({"affinity_networks__psa__labels__rule": "pssa"}, "labels.rule: Unknown confident-label rule 'pssa'. Did you"),
        ({"models__exvit__options__hiden": 3}, "models.exvit.options.hiden: Unknown option of 'exvit_tiny' 'hiden'."),
        ({"models__exvit__options__hidden": 3.5}, "models.exvit.options.hidden: must be int (it is 3.5)"),
        ({"segmenters__deeplab_v1_resnet38__options__width_divisr": 2}, "'width_divisr'. Did you mean 'width_diviso"),
        ({"models__exvit__architecture": "exvit_tinny"}, "exvit.architecture: Unknown network 'exvit_tinny'. Did yo"),
        ({"models__resnet50_cam__architecture": "resnet5O"}, "Unknown network 'resnet5O'. Did you mean 'resnet50'?"),
        ({"models__vit_base__architecture": "vit_base_patch16_224.orig_in21"}, "Unknown published weights 'vit_base"),
        ({"models__vit_base__architecture": "resnet38_tinyy"}, "Unknown network 'resnet38_tinyy'. Did you mean 'res"),
        ({"models__exvit__architecture": "deeplab_v1_resnet38"}, "'deeplab_v1_resnet38' is for the task segmentatio"),
        ({"models__resnet50_cam__options__output_strid": 8}, "resnet50_cam.options.output_strid: timm's resnet50 ta"),
        ({"models__exvit__weights_options__layout": "exvit_diet"}, "layout: Unknown weights layout 'exvit_diet'. Di"),
        ({"models__exvit__weights_options__layuot": "x"}, "weights_options.layuot: Unknown option of weights 'layuo"),
        ({"models__exvit__checkpoint": {"path": "x", "layout": "chekpoint"}},
         "models.exvit.checkpoint.layout: Unknown weights layout 'chekpoint'. Did you mean 'checkpoint'?"),
        ({"models__exvit__train__lr_scales__blokcs": 2}, "train.lr_scales: no parameter of 'exvit_tiny' starts with"),
        ({"models__resnet50_cam__train__lr_scales__fcc": 2}, "no parameter of 'resnet50' starts with 'fcc'. Did you"),
        ({"models__exvit__train__augment": [{"shfit": 3}]}, "train.augment.0: Unknown augmentation step 'shfit'. Di"),
        ({"models__exvit__train__augment": [{"crop": {"size": 4, "place": "corne"}}]},
         "augment.0.crop.place: must be random or corner (it is 'corne'). Did you mean 'corner'?"),
        ({"models__exvit__train__augment": [{"crop": {"size": 4, "mask_fil": 0}}]}, "crop.mask_fil: Unknown option"),
        ({"models__exvit__train__augment": [{"crop": {"mask_fill": 0}}]}, "augment.0.crop: 'crop' needs size."),
        ({"models__exvit__train__augment": [{"color_jitter": 3}]}, "color_jitter.strengths: must be tuple[float, fl"),
        ({"models__exvit__train__augment": [{}]}, "train.augment.0: a step has one name and one argument, not {}"),
        ({"affinity_networks__psa__photometric": [{"color_jiter": 1}]}, "psa.photometric.0: Unknown augmentation st"),
        ({"explainers__lrp__method": "lpr"}, "explainers.lrp.method: Unknown explanation method 'lpr'. Did you mean"),
        ({"explainers__lrp__options__ruls": "x"}, "explainers.lrp.options.ruls: Unknown option of 'lrp' 'ruls'. Did"),
        ({"explainers__lrp__fusion": "minmax"}, "lrp.fusion: Unknown fusion of views 'minmax'. Did you mean 'min_ma"),
        ({"explainers__cam__fusion_options__cutt": True}, "explainers.cam.fusion_options.cutt: Unknown option of 'p"),
        ({"explainers__cam__per_model__conformer__method": "camm"}, "cam.per_model.conformer.method: Unknown explan"),
        ({"models__exvit__per_dataset__shapes_coco__options__hiden": 3}, "exvit.per_dataset.shapes_coco.options.hid"),
        ({"models__exvit__options__head": "camm"}, "options.head: must be attributes or cam (it is 'camm'). Did you"),
        ({"models__exvit__train__loss_options__losses": ["glob", "dis"]}, "(it is ['glob', 'dis']). Did you mean 'glo"),
        ({"protocols__localization__thresold": 3}, "demo.protocols.localization.thresold: Unknown option of 'local"),
        ({"protocols": {"localisation": {}}}, "demo.protocols.localisation: Unknown protocol 'localisation'. Did"),
        ({"protocols__noise__levels": 0.1}, "protocols.noise.levels: must be Sequence[float] (it is 0.1)"),
        ({"models__resnet38_cam__prediction": {}},
         "models.resnet38_cam.prediction: 'resnet38_tiny' has no decoder; networks that have: "),
        ({"own__refiner": "truth"}, "presets.demo.own.refiner: 'truth' is ground truth; masks of your own images are"),
        ({"preset": "paper", "datasets__voc12__options": {"expeted": {}}}, "datasets.voc12.options.expeted: Unknown"),
        ({"preset": "paper", "datasets__voc12__options": {"expected": {"train": "x"}}}, "expected: must be Mapping["),
    ],
)  # fmt: skip
def test_mistakes_are_named(overrides, problem):
    with pytest.raises(ParameterError, match=re.escape(problem)) as caught:
        check(**overrides)
    assert all(
        line.strip().startswith("presets.") for line in str(caught.value).splitlines() if "mistakes:" not in line
    )


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (
            {"datasets__voc12__optional": ["voc12_tets"]},
            "datasets.voc12.optional: Unknown optional file 'voc12_tets'. Did",
        ),
        (
            {"weights__resnet38__source": "resnet38_imagnet"},
            "weights.resnet38.source: Unknown source 'resnet38_imagnet'.",
        ),
    ],
)
def test_sources_are_those_of_the_table(overrides, problem):
    sources = load_sources()
    for preset in PARAMS["presets"]:
        check_sources(resolve({**PARAMS, "preset": preset}), sources)
    with pytest.raises(ParameterError, match=re.escape(f"presets.paper.{problem}")):
        check_sources(resolve({**PARAMS, "preset": "paper", **overrides}), sources)


def test_what_a_base_hands_down_is_said_once():
    taught_alike = [
        name for name, model in resolve(PARAMS).models.items() if model.train and model.train.loss == "exvit"
    ]
    with pytest.raises(ParameterError) as caught:
        check(models__exvit__train__loss="nonsense", models__exvit_dis__options__hiden=1)
    lines = str(caught.value).splitlines()
    assert lines[0] == "2 mistakes:" and len(lines) == 3
    assert (
        lines[1].startswith("  presets.demo.models.exvit.train.loss: ")
        and f"{len(taught_alike) - 1} more entries" in lines[1]
    )
    assert lines[2].startswith("  presets.demo.models.exvit_dis.options.hiden: ")


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (3, "int", True), (3.5, "int", False), ("3", "int", False), (True, "int", False), (3, "float", True),
        ([1, 2], "tuple[int, int]", True), ([1, 2, 3], "tuple[int, int]", False), ("ab", "Sequence[str]", False),
        (["ab"], "Sequence[str]", True), (None, "int | None", True), (None, "int", False), ("x", "Literal['y']", False),
        ({"a": 1}, "Mapping[str, int]", True), (1, "bool", False), (object(), "Layers", True), (1, None, True),
    ],
)  # fmt: skip
def test_values_fit_their_annotations(value, annotation, expected):
    assert fits(value, annotation) == expected


def test_an_option_may_have_several_types():
    known = {"layers": [Option("int", False), Option("Literal['all']", False)]}
    assert list(given_problems("x", "option", {"layers": 3}, known)) == []
    assert list(given_problems("x", "option", {"layers": "al"}, known)) == [
        "x.layers: must be all (it is 'al'). Did you mean 'all'?"
    ]


def test_one_name_with_its_options():
    check_options("here", "seedbed.explain", "explainer", "rollout", {"start_layer": 1}, "method")
    with pytest.raises(ParameterError, match=r"here: Unknown method 'rolout'. Did you mean 'rollout'"):
        check_options("here", "seedbed.explain", "explainer", "rolout", {}, "method")
    with pytest.raises(ParameterError, match=r"here\.start_layr: Unknown option of 'rollout' 'start_layr'"):
        check_options("here", "seedbed.explain", "explainer", "rollout", {"start_layr": 1}, "method")


def test_timms_networks_are_those_that_timm_has():
    import timm

    assert set(timm_networks()) == set(timm.list_models()) - {*list_models()}  # ours are known to timm, once imported
    assert {f"resnet50.{tag}" for tag in ("a1_in1k", "tv_in1k")} <= set(timm_tags("resnet50"))
    assert {"output_stride", "stem_width", "num_classes"} <= timm_words("resnet50")
