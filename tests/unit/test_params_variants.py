"""Sections that are others on some data sets or for some networks."""

import pytest
from test_params import config

from seedbed.errors import ParameterError
from seedbed.params import resolve


def preset(**overrides):
    return resolve(config(**overrides))


def test_a_data_set_changes_what_it_names_and_nothing_else():
    changed = {"options": {"attributes": 16}, "train": {"batch_size": 8, "epochs": None, "iterations": 80}}
    found = preset(models={"vit": {"options": {"attributes": 8, "width": 3}, "per_dataset": {"shapes": changed}}})
    usual, there = found.models["vit"], found.on("shapes").models["vit"]
    assert there.options == {"attributes": 16, "width": 3} and usual.options == {"attributes": 8, "width": 3}
    assert (there.train.batch_size, there.train.epochs, there.train.iterations) == (8, None, 80)
    assert (usual.train.batch_size, usual.train.epochs) == (4, 2) and there.train.lr == usual.train.lr
    assert there.per_dataset == {} and found.on("another").models["vit"] == usual


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (
            {"models": {"vit": {"per_dataset": {"shapes": {"train": {"lr": -1}}}}}},
            r"models\.vit: per_dataset\.shapes does not fit: train\.lr",
        ),
        ({"segmenters__deeplab__per_dataset": {"shapes": {"crff": "small"}}}, "per_dataset.shapes does not fit: crff"),
        ({"models__vit__per_dataset": {"shape": {}}}, r"models\.vit\.per_dataset: .*'shape'.*'shapes'"),
        ({"models__vit__per_dataset": {"shapes": {"weights": "strat"}}}, "models.vit.weights: .*'strat'.*'start'"),
        ({"explainers__maps__per_model": {"vti": {}}}, r"explainers\.maps\.per_model: .*'vti'.*'vit'"),
        ({"explainers__maps__per_model": {"vit": {"sweep": 3}}}, "per_model.vit does not fit: sweep"),
        ({"affinity_networks__net__classifier": "vti"}, r"affinity_networks\.net\.classifier: .*'vti'.*'vit'"),
    ],
)
def test_mistakes_in_variants_are_named(overrides, problem):
    with pytest.raises(ParameterError, match=problem):
        preset(**overrides)


def test_an_explainer_takes_its_networks_normalisation():
    found = preset(explainers={"maps": {"input": {"normalize": None}}}).explainer_of("maps", "vit")
    assert found.input.normalize == "half"
    with pytest.raises(ParameterError, match=r"explainers\.maps: input\.normalize is 'imagenet'.*'vit'.*'half'"):
        preset(explainers={"maps": {"input": {"normalize": "imagenet"}}}).explainer_of("maps", "vit")


def test_an_explainer_may_be_another_for_one_network():
    own = {"vit": {"scales": [1.0, 2.0], "input": {"size": [64, 64]}}}
    found = preset(explainers={"maps": {"per_model": own}})
    assert found.explainers["maps"].scales == [1.0]
    special = found.explainer_of("maps", "vit")
    assert (special.scales, special.input.size, special.per_model) == ([1.0, 2.0], (64, 64), {})
