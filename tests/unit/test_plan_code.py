"""The code of a result is its script and what its parameters name, and no other method's."""

from importlib import import_module
from pathlib import Path

import pytest

import seedbed
from seedbed.errors import ParameterError
from seedbed.io.catalogue import Catalogue
from seedbed.io.identity import deciding_files
from seedbed.io.registrations import registrations
from seedbed.params import read_params, resolve
from seedbed.plan import code

LIBRARY = Path(seedbed.__file__).parent
ROOT = LIBRARY.parents[1]
OTHERS = ("exvit", "emha", "mctformer", "conformer", "aream", "reliable", "hsv_shift", "foreground_labels")
TABLES = {
    "loss": "seedbed.train.objectives:LOSSES",
    "weights layout": "seedbed.models.weights.conversion:LAYOUTS",
    "augmentation step": "seedbed.data.transforms:STEPS",
    "fusion of views": "seedbed.explain.view_fusion:FUSIONS",
    "fusion mode": "seedbed.refine.fusion:FUSIONS",
    "confident-label rule": "seedbed.refine.confident:RULES",
}


@pytest.fixture(scope="module", params=["demo", "paper"])
def preset(request):
    return resolve({**read_params(ROOT / "params.yaml"), "preset": request.param})


def files_of(script, *modules):
    return {path.stem for path in deciding_files(ROOT / "workflow_scripts" / f"{script}.py", *modules)}


def test_a_script_alone_brings_no_method():
    for script in ("train_classifier", "train_affinity_network", "train_segmenter", "explain", "segment"):
        assert not {name for name in files_of(script) if name.startswith(OTHERS)}, script


def test_the_classifier_of_re_depends_on_no_other_method(preset):
    found = files_of("train_classifier", *code.training_modules(preset.models["vit_hybrid"].plain()))
    assert not {name for name in found if name.startswith(OTHERS)}
    assert {"classification_losses", "any_network", "transforms"} <= found
    assert len(found) < 39


def test_a_training_depends_on_its_loss_layout_and_augmentation(preset):
    found = files_of("train_classifier", *code.training_modules(preset.models["exvit"].plain()))
    assert {"exvit", "exvit_losses", "exvit_weights", "emha"} <= found
    assert not {name for name in found if name.startswith(("conformer", "mctformer_loss", "aream"))}
    found = files_of("train_classifier", *code.training_modules(preset.models["mctformerv2_aream"].plain()))
    assert {"mctformer_aream", "mctformer_loss", "reliable", "par"} <= found


def test_an_affinity_training_depends_on_the_rule_of_its_labels(preset):
    for network in preset.affinity_networks.values():
        (rule,) = code.modules_of("confident-label rule", network.labels.rule)
        assert rule in code.training_modules(network.plain())


def test_maps_depend_on_the_fusion_of_their_views(preset):
    explainer = preset.explainers["vit_affinity_cues"].plain()
    network = preset.models["vit_hybrid"].plain()
    found = set(code.explainer_modules(explainer, network))
    assert {"seedbed.explain.cues", "seedbed.explain.transformer_attribution"} <= found
    panels = [{"shows": "image"}, {"explainer": explainer, "network": preset.models["exvit"].plain()}]
    assert {"seedbed.explain.cues", "seedbed.models.exvit"} <= set(code.panel_modules(panels))


@pytest.mark.parametrize(
    ("model", "without"),
    [
        ("vgg16_cam", {"exvit_maps", "attention_cams"}),
        ("resnet50_cam", {"exvit_maps", "attention_cams"}),
        ("resnet38_cam", {"exvit_maps", "attention_cams"}),
        ("exvit_emha_cam", set()),  # whose encoder is MCTformer's
        ("mctformerv2", {"exvit_maps"}),
    ],
)
def test_maps_depend_on_the_implementation_for_their_own_network(preset, model, without):
    network = preset.models[model].plain()
    found = set(code.explainer_modules(preset.explainers["cam"].plain(), network))
    assert "seedbed.explain.cam" in found
    assert found & {f"seedbed.explain.{name}" for name in ("exvit_maps", "attention_cams")} == {
        f"seedbed.explain.{name}" for name in {"exvit_maps", "attention_cams"} - without
    }


def test_predictions_depend_on_the_fusion_of_scales(preset):
    for segmenter in preset.segmenters.values():
        (fusion,) = code.modules_of("fusion mode", segmenter.fusion)
        assert fusion in code.prediction_modules(segmenter.plain())


@pytest.mark.parametrize("kind", TABLES)
def test_every_registered_name_is_found_by_its_module_alone(kind):
    module, _, table = TABLES[kind].partition(":")
    catalogue = getattr(import_module(module), table)
    assert (catalogue.package, catalogue.function) == code.CATALOGUES[kind]
    assert list(catalogue) == sorted(registrations(catalogue.package, catalogue.function))
    for name in catalogue:
        assert catalogue.find(name) is not None
        assert len(code.modules_of(kind, name)) == 1
    with pytest.raises(ParameterError, match=f"Unknown {kind} 'nonsense'"):
        catalogue.find("nonsense")


def test_nothing_is_entered_twice():
    catalogue = Catalogue("thing", "seedbed.train", "thing")
    catalogue.enter("one", 1)
    assert (catalogue.find("one"), list(catalogue), "one" in catalogue) == (1, ["one"], True)
    with pytest.raises(ValueError, match="twice"):
        catalogue.entering("one")(2)


def test_options_that_a_loss_hands_on_are_known():
    (aream,) = registrations("seedbed.train", "loss")["mctformer_aream"]
    assert {"maps", "thresholds", "loss_weight", "supervised_layers"} <= set(aream.options)
    assert aream.options["loss_weight"].annotation == "float"
