"""What a plan makes of your own images: how they are scored, and which background their maps compete with."""

from pathlib import Path

import pytest
from test_own_data import own_folder

from seedbed.errors import ParameterError
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


def test_home_folders_in_quotes(tmp_path, monkeypatch):
    """No shell replaces ``~`` there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    checkpoint = {"models__vit_hybrid__checkpoint": "~/net.pth", "datasets__voc12__path": "~/VOC"}
    found = resolve({**PARAMS, "preset": "paper", "dataset": "~/mine", **checkpoint})
    assert found.datasets["own_mine"].path == str(tmp_path / "mine")
    assert found.datasets["voc12"].path == str(tmp_path / "VOC")
    assert found.models["vit_hybrid-checkpoint"].checkpoint.path == str(tmp_path / "net.pth")


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ({"dataset": "~nobody-here/x"}, "begins with a user that this machine does not know"),
        ({"models__vit_hybrid__checkpoint": "~nobody-here/x"}, "begins with a user"),
        ({"models__vit_hybrid__checkpoint": "/x/{a}.pth"}, "holds a brace"),
        ({"dataset": ".", "longest_side": 0}, "longest_side: Input should be greater than 0"),
        ({"dataset": ".", "longest_side": "large"}, "longest_side: Input should be a valid integer"),
        ({"crf__psa__gaussian_sxy": float("inf")}, "finite number"),
        ({"explainers__vit_affinity_cues__background": float("nan")}, "finite number"),
    ],
)
def test_paths_and_numbers_of_the_command_line(overrides, problem):
    with pytest.raises(ParameterError, match=problem):
        resolve({**PARAMS, "preset": "demo", **overrides})


def test_paths_that_look_like_numbers():
    assert resolve({**PARAMS, "preset": "paper", "datasets__voc12__path": 2012}).datasets["voc12"].path == "2012"
