"""Options of functions and classes, read from their source."""

import ast
import inspect

import pytest

from seedbed.io.registrations import registrations
from seedbed.io.signatures import Option, definitions, options_of
from seedbed.models.registry import _ENTRIES

SOURCE = """
from seedbed.io.signatures import Option
from elsewhere import Foreign

class Base:
    def __init__(self, width: int, *, depth: int = 3, name: str) -> None: ...

class Bare(Base): ...

class Child(Bare, Unknown):
    def __init__(self, first, *, height: float = 1.0, **more) -> None:
        super().__init__(first, name="child", **more)

class Fields:
    lr: float
    steps: "int" = 3

class Empty: ...

def function(model, scale: float, *, start: int | None = None): ...

def builder(model, *, start: int = 0, **more) -> Child:
    return Child(model, start, **more)

def of_a_foreigner(model, **more):
    return Foreign(**more)

def swallowing(model, **more): ...

def imported(model, **more):
    return Option(**more)
"""
INT, FLOAT = Option("int", False), Option("float", False)


@pytest.mark.parametrize(
    ("name", "skip", "expected"),
    [
        ("function", None, {"start": Option("int | None", False)}),
        ("function", 1, {"scale": Option("float", True), "start": Option("int | None", False)}),
        ("Base", 0, {"width": Option("int", True), "depth": INT, "name": Option("str", True)}),
        ("Base", None, {"depth": INT, "name": Option("str", True)}),
        ("Bare", 1, {"depth": INT, "name": Option("str", True)}),
        ("Child", 1, {"depth": INT, "height": FLOAT}),
        ("Fields", None, {"lr": Option("float", True), "steps": Option("'int'", False)}),
        ("Empty", None, {}),
        ("builder", None, {"start": INT, "depth": INT, "height": FLOAT}),
        ("imported", 1, {"annotation": Option("str | None", True), "required": Option("bool", True)}),
        ("of_a_foreigner", None, None),
        ("swallowing", None, None),
    ],
)
def test_options_of_a_definition(name, skip, expected):
    tree = ast.parse(SOURCE)
    found = options_of(definitions(tree)[name], tree, skip=skip)
    assert found == expected


@pytest.mark.parametrize("name", ["conformer_small", "exvit_tiny", "mctformerv2_tiny", "deeplab_v2_resnet101"])
def test_what_a_network_takes_is_what_python_says(name):
    taken = inspect.signature(_ENTRIES[name].build).parameters
    (entry,) = registrations("seedbed.models", "register")[name]
    assert set(entry.options) == set(taken) - {"num_classes"}


def test_a_networks_options_include_its_backbones():
    found = registrations("seedbed.models", "register")
    for name in ("resnet38_tiny", "deeplab_v1_resnet38_mctformer_tiny", "affinitynet_resnet38"):
        assert "width_divisor" in found[name][0].options, name
    assert "frozen" in found["deeplab_v1_resnet38"][0].options
    assert "waves" in found["mctformer_plus_small"][0].options
    assert found["vit_tiny_r_s8"][0].options is None  # handed on to timm
