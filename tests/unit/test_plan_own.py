"""What a plan makes of your own images: how they are scored, and which background their maps compete with."""

from pathlib import Path

import pytest
from test_own_data import own_folder

from seedbed.papers import Layout
from seedbed.params import read_params, resolve
from seedbed.params.absent_values import AbsentValues
from seedbed.plan.names import Names

PARAMS = read_params(Path(__file__).parents[2] / "params.yaml")


def names_of(folder, **chosen):
    config = {**PARAMS, "preset": "demo", "dataset": str(folder)}
    return Names(resolve(config), Layout("demo"), AbsentValues({}), **chosen)


@pytest.mark.parametrize(("refiner", "chosen"), [("argmax", True), ("affinitynet", False)])
def test_the_constant_background_is_swept_where_there_are_masks(tmp_path, refiner, chosen):
    """A random walk has a background of its own."""
    source = own_folder(tmp_path / "mine")
    assert names_of(source).sweeps_background("own_mine", refiner) is chosen
    assert not names_of(source, background_chosen=True).sweeps_background("own_mine", refiner)
    assert not names_of(source).sweeps_background("shapes", refiner)
    (source / "masks/a.png").unlink()
    assert not names_of(source).sweeps_background("own_mine", refiner)


def test_your_own_data_is_scored_over_classes_with_pixels(tmp_path):
    source = own_folder(tmp_path / "mine")
    assert names_of(source).scoring("own_mine")["miou"] == "in_either"
    assert names_of(source).scoring("shapes")["miou"] == "all_classes"
    assert names_of(source, scoring_chosen=True).scoring("own_mine")["miou"] == "all_classes"


def test_names_and_options_of_a_folder(tmp_path):
    source = own_folder(tmp_path / "mine")
    given = {**PARAMS, "preset": "demo", "dataset": str(source), "dataset_name": "my set", "longest_side": 512}
    entry = resolve(given).datasets["own_my-set"]
    assert (entry.path, entry.longest_side) == (str(source), 512)
