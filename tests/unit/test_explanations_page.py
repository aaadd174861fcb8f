"""docs/explanations.md: its code runs, and it names every method, option and protocol variant there is."""

import inspect
import re
from pathlib import Path

import pytest
import torch
import yaml

from seedbed.evaluate.erasing import FILLS
from seedbed.evaluate.localization import WRONG_RULES
from seedbed.evaluate.perturbation import AREAS, CURVE_AREAS, SCHEDULES, AreaBetweenCurves, PerturbationTest
from seedbed.evaluate.soft_segmentation import UNDEFINED_RULES
from seedbed.explain import methods
from seedbed.explain.method_registry import get_method

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "docs/explanations.md").read_text()

torch.set_num_threads(1)


def test_the_example_runs(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    found: dict = {}
    exec(code, found)
    assert found["maps"].shape == (1, 3, 12, 12) and found["maps"].max() > 0
    assert found["shown"].shape == (1, 3, 96, 96) and float(found["shown"].max()) == 1.0
    assert {"rollout", "lrp", "attnlrp"} < set(found["able"])


def test_every_method_of_the_papers_is_described():
    for method in methods():
        assert f"`{method.name}`" in TEXT or method.beyond_papers, method.name


def test_what_is_beyond_the_papers_says_so():
    """A method of somebody's own need not be described here."""
    described = [method for method in methods() if f"| `{method.name}`" in TEXT]
    assert len(described) >= 12
    for method in described:
        assert method.beyond_papers == (f"`{method.name}` *(beyond the four papers)*" in TEXT), method.name


@pytest.mark.parametrize(
    "name",
    ["rollout", "gradcam", "lrp", "partial_lrp", "transformer_attribution", "generic_attribution", "attention_sum",
     "attnlrp", "legrad"],
)  # fmt: skip
def test_every_option_is_described(name):
    row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{name}`"))  # the table of methods
    for implementation in get_method(name).implementations:
        for option, parameter in inspect.signature(implementation.run).parameters.items():
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                assert f"`{option}`" in row, option


def test_every_variant_of_a_protocol_is_described_and_the_published_one_is_first():
    protocols = yaml.safe_load((REPOSITORY / "params.yaml").read_text())["common"]["protocols"]
    sections = re.split(r"\n\| `(?=soft_segmentation|perturbation|abpc|localization|instances)", TEXT)[1:]
    described = {section.split("`")[0]: section for section in sections}
    variants = {
        "soft_segmentation": {"explained": ("predicted", "target"), "undefined": UNDEFINED_RULES},
        "perturbation": {"schedule": SCHEDULES, "area": AREAS, "fill": FILLS, "undefined": ("largest", "skip")},
        "abpc": {
            "explained": ("target", "predicted"), "area": CURVE_AREAS, "fill": FILLS, "undefined": ("largest", "skip")
        },
        "localization": {"explained": ("predicted", "target"), "wrong": WRONG_RULES, "as_published": ("true", "false")},
    }  # fmt: skip
    for protocol, options in variants.items():
        for option, values in options.items():
            (line,) = re.findall(rf"\| `{option}` \|(.*)", described[protocol])
            assert all(f"`{value}`" in line for value in values), (protocol, option)
            published = str(protocols[protocol][option]).lower()
            assert line.strip().startswith(f"`{published}`"), (protocol, option)


def test_defaults_of_the_library_are_the_published_ones():
    protocols = yaml.safe_load((REPOSITORY / "params.yaml").read_text())["common"]["protocols"]
    assert PerturbationTest(**protocols["perturbation"])._settings() == PerturbationTest()._settings()
    abpc = {key: value for key, value in protocols["abpc"].items() if key != "explained"}
    assert AreaBetweenCurves(**abpc)._settings() == AreaBetweenCurves()._settings()
