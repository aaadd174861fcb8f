"""Variants of an entry: what they have from their base, whoever changed that."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from test_params import CRF, SMALL, config

from seedbed.errors import ParameterError
from seedbed.params import read_params, resolve

REPOSITORY = Path(__file__).parents[2]
VARIANT = {"like": "vit", "options": {"depth": 3}, "train": {"loss_options": {"smooth": 0.1}}}


def preset(**overrides):
    return resolve(config(**overrides))


def test_a_variant_is_its_base_but_for_what_it_names():
    found = preset(models={"deep": VARIANT, "deeper": {"like": "deep", "options": {"depth": 9}}}).models
    assert found["deep"].options == {"depth": 3} and found["vit"].options == {}
    assert found["deeper"].options == {"depth": 9} and found["deeper"].train == found["deep"].train
    assert found["deep"].train.loss_options == {"smooth": 0.1}
    assert replace(found["deep"].train, loss_options={}) == found["vit"].train


@pytest.mark.parametrize(
    "overrides",
    [
        {"models__vit__train__epochs": 7},
        {"models": {"vit": {"train": {"epochs": 7}}, "deep": VARIANT}},
        {"presets": {"small": {**SMALL, "models": {"vit": {**SMALL["models"]["vit"], "train": {
            **SMALL["models"]["vit"]["train"], "epochs": 7}}}}}},
    ],
)  # fmt: skip
def test_a_change_of_the_base_reaches_the_variant_wherever_it_is_made(overrides):
    common = {"crf": {"small": CRF}, "models": {"deep": VARIANT}}
    assert preset(common=common, **overrides).models["deep"].train.epochs == 7


def test_a_variants_own_value_stays_and_a_preset_may_add_to_a_variant_of_common():
    common = {"crf": {"small": CRF}, "models": {"deep": VARIANT}}
    found = preset(
        common=common, models__vit__train__lr=0.5, models__deep__train__lr=0.7, models__vit__options__depth=1
    )
    assert (found.models["vit"].train.lr, found.models["deep"].train.lr) == (0.5, 0.7)
    assert found.models["deep"].options == {"depth": 3}
    own = {"vit": SMALL["models"]["vit"], "deep": {"train": {"epochs": 1}}}
    laid = resolve(config(common=common, presets={"small": {**SMALL, "models": own}})).models
    assert (laid["deep"].train.epochs, laid["vit"].train.epochs) == (1, 2)


@pytest.mark.parametrize(
    ("section", "entry", "read"),
    [
        ("datasets", {"like": "shapes", "seed": 5}, lambda e: (e.seed, e.size) == (5, 48)),
        ("weights", {"like": "start"}, lambda e: e.tag == "vit_tiny_patch16_224.augreg_in21k"),
        ("explainers", {"like": "maps", "method": "lrp"}, lambda e: (e.method, e.background) == ("lrp", 0.4)),
        ("crf", {"like": "small", "iterations": 3}, lambda e: (e.iterations, e.bilateral_srgb) == (3, 13)),
        ("affinity_networks", {"like": "net", "radius": 3}, lambda e: (e.radius, e.labels.alpha_low) == (3, 4)),
        ("refiners", {"like": "walk", "crf": "small"}, lambda e: (e.crf, e.beta) == ("small", 8)),
        ("segmenters", {"like": "deeplab", "flip": True}, lambda e: e.flip and e.architecture == "deeplab"),
        ("resources", {"like": "default", "gpu": 1}, lambda e: (e.gpu, e.threads) == (1, 3)),
    ],
)
def test_every_section_of_named_entries_has_variants(section, entry, read):
    given = config(**{section: {"other": entry}})
    given["presets"]["small"]["resources"] = {"default": {"threads": 3}}
    assert read(getattr(resolve(given), section)["other"])


def test_a_variant_varies_by_data_set_as_its_base_does():
    varied = {"per_dataset": {"shapes": {"train": {"epochs": 9}}}}
    found = preset(models={"vit": varied, "deep": VARIANT})
    assert found.on("shapes").models["deep"].train.epochs == 9
    named = preset(models={"vit": varied, "deep": VARIANT}, models__deep__per_dataset__shapes__train__epochs=4)
    assert named.on("shapes").models["deep"].train.epochs == 4
    assert named.on("shapes").models["vit"].train.epochs == 9


def test_a_published_checkpoint_is_of_one_network_alone():
    found = preset(models={"vit": {"checkpoint": "mine.pth"}, "deep": VARIANT}).models
    assert set(found) == {"vit", "vit-checkpoint", "deep"}


@pytest.mark.parametrize(
    ("models", "problem"),
    [
        ({"deep": {"like": "vti"}}, "small.models.deep.like: Unknown entry of the section 'vti'. Did you mean 'vit'?"),
        ({"deep": {"like": ["vit"]}}, "small.models.deep.like: must be the name of another entry of the section"),
        ({"deep": {"like": "deep"}}, "models.deep.like: deep is like deep. Give one of them values of its own"),
        ({"a": {"like": "b"}, "b": {"like": "c"}, "c": {"like": "b"}}, "models.c.like: b is like c is like b. Give"),
    ],
)  # fmt: skip
def test_mistakes_in_a_base_are_named(models, problem):
    with pytest.raises(ParameterError, match=re.escape(problem)):
        preset(models=models)


def test_a_mistake_in_a_base_is_told_once_and_one_in_a_variant_too():
    with pytest.raises(ParameterError) as caught:
        preset(models={"vit": {"train": {"lr": -1}}, "deep": {**VARIANT, "num_classes": 0}, "deeper": {"like": "deep"}})
    keys = [line.split(": ")[0].strip() for line in str(caught.value).splitlines()[1:]]
    assert keys == ["presets.small.models.vit.train.lr", "presets.small.models.deep.num_classes"]


def test_the_repositorys_file_has_no_anchors_and_no_line_over_120_characters():
    text = (REPOSITORY / "params.yaml").read_text()
    assert not [token for token in yaml.scan(text) if isinstance(token, yaml.AnchorToken | yaml.AliasToken)]
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("name", ["demo", "paper"])
def test_an_override_of_exvit_reaches_all_its_variants(name):
    given = {**read_params(REPOSITORY / "params.yaml"), "preset": name}
    changed = resolve({**given, "models__exvit__train__clip_grad": 7.5}).models
    reached = {key for key, entry in changed.items() if entry.train and entry.train.clip_grad == 7.5}
    assert reached == {key for key in changed if key.startswith("exvit")} and len(reached) >= 17


def test_a_preset_may_be_like_another_and_its_entries_reach_what_that_one_has():
    tiny = {
        "like": "small",
        "about": "Smaller.",
        "models": {"vit": {"train": {"epochs": 9}}},
        "stand_ins": {"coco14": None},
    }
    models = {**SMALL["models"], "deep": VARIANT}
    found = resolve(config(preset="tiny", presets={"small": {**SMALL, "models": models}, "tiny": tiny}))
    assert (found.name, found.about, found.seeds) == ("tiny", "Smaller.", SMALL["seeds"])
    assert found.models["deep"].train.epochs == found.models["vit"].train.epochs == 9
    assert found.lacks_dataset("coco14") and found.dataset_for("coco14") == "coco14"
    assert not found.lacks_dataset("voc12")


@pytest.mark.parametrize(
    ("tiny", "problem"),
    [
        ({"like": "smal"}, "presets.tiny.like: Unknown entry of the section 'smal'. Did you mean 'small'?"),
        ({"like": "tiny"}, "presets.tiny.like: tiny is like tiny."),
        ({"like": 3}, "presets.tiny.like: must be the name of another entry"),
    ],
)
def test_a_presets_base_is_checked(tiny, problem):
    with pytest.raises(ParameterError, match=re.escape(problem)):
        resolve(config(preset="tiny", presets={"small": SMALL, "tiny": tiny}))
