"""Which preset your own images are worked on by: that of published weights, where they are at hand."""

import logging
from pathlib import Path

import pytest

from seedbed.errors import ParameterError
from seedbed.params import resolve
from seedbed.plan.own_preset import own_weights, say_which, with_defaults

PARAMS = Path(__file__).parents[2] / "params.yaml"
TAG = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A run's folder with a folder of images, on a machine without weights; ``cached()`` puts some into the cache."""
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    def cached():
        kept = tmp_path / f"hub/models--timm--{TAG}"
        for name in ("refs", "snapshots/offline"):
            (kept / name).mkdir(parents=True)
        (kept / "refs/main").write_text("offline")
        (kept / "snapshots/offline/model.safetensors").write_text("")

    return cached


def said(given, caplog):
    values = with_defaults(PARAMS, given)
    with caplog.at_level(logging.WARNING, logger="seedbed.terminal"):
        say_which(values, resolve(values))
    return values["preset"], caplog.text


def test_without_weights_the_demo_works_on_your_images_and_says_how_to_get_better(machine, caplog):
    preset, text = said({"dataset": "mine"}, caplog)
    assert preset == "demo" and "--config preset=small" in text and TAG in text


def test_weights_in_the_cache_are_taken(machine, caplog):
    machine()
    preset, text = said({"dataset": "mine"}, caplog)
    assert preset == "small" and f"from weights {TAG}" in text


def test_weights_of_an_earlier_run_are_taken(machine, caplog, tmp_path):
    (tmp_path / "data/archives/timm").mkdir(parents=True)
    (tmp_path / f"data/archives/timm/{TAG}.safetensors").write_text("")
    assert said({"dataset": "mine"}, caplog)[0] == "small"


@pytest.mark.parametrize(
    ("given", "preset"),
    [({"dataset": "mine", "preset": "demo"}, "demo"), ({}, "demo"), ({"dataset": "mine", "own_preset": None}, "demo")],
)
def test_nothing_is_chosen_where_somebody_has_chosen_or_there_are_no_images(machine, caplog, given, preset):
    machine()
    assert said(given, caplog) == (preset, "")


def test_a_preset_that_is_not_there_is_named(machine):
    with pytest.raises(ParameterError, match="Unknown preset 'smal'"):
        with_defaults(PARAMS, {"dataset": "mine", "own_preset": "smal"})


def test_the_chain_of_the_preset_small_starts_from_published_weights():
    assert own_weights(resolve({**with_defaults(PARAMS, {}), "preset": "small"})) == TAG
