"""Where each value of the parameters is said to be from."""

import pytest
import yaml
from test_params import REPOSITORY, config

from seedbed.errors import ParameterError
from seedbed.params import merge, read_params, resolve
from seedbed.params.origins import layers, lines_of, values_of

COMMON = {"deep": {"like": "vit", "options": {"depth": 3}}}


@pytest.fixture
def told(tmp_path):
    """``told(path, more, **overrides)``: path -> (value, origin); ``more`` is what a further file holds."""

    def told(path, more=None, **overrides):
        given = merge(config(), {"common": {"models": COMMON}})
        files = [tmp_path / "params.yaml", tmp_path / "more.yaml"][: 1 if more is None else 2]
        for file, content in zip(files, (given, more), strict=False):
            file.write_text(yaml.safe_dump(content))
        whole = merge(merge(given, more or {}), overrides)
        found = values_of(path, resolve(whole), layers("small", [str(file) for file in files], overrides))
        return {value.path: (value.value, value.origin.replace(f"{tmp_path}/", "")) for value in found}

    return told


def test_values_are_from_the_preset_what_lies_under_it_or_nowhere(told):
    assert told("crf.small.bilateral_srgb") == {"crf.small.bilateral_srgb": (13.0, "common")}
    found = told("models.vit")
    assert found["models.vit.architecture"] == ("vit_tiny", "presets.small")
    assert found["models.vit.train.power"] == (1.0, "default")
    assert told("seeds") == {"seeds": ([0], "presets.small")}


def test_a_variants_values_are_from_its_base_wherever_that_has_them(told):
    found = told("models.deep", {"presets": {"small": {"models": {"vit": {"train": {"log_every": 3}}}}}}, seeds=[1],
                 models__vit__train__lr=0.5, models__deep__train__batch_size=9)  # fmt: skip
    assert found["models.deep.options.depth"] == (3, "common")
    assert found["models.deep.train.lr"] == (0.5, "like vit: command line")
    assert found["models.deep.train.batch_size"] == (9, "command line")
    assert found["models.deep.train.log_every"] == (3, "like vit: more.yaml: presets.small")
    assert found["models.deep.architecture"] == ("vit_tiny", "like vit: presets.small")


def test_a_further_file_may_hold_overrides(told):
    assert told("seeds", {"seeds": [4]}) == {"seeds": ([4], "more.yaml")}
    assert told("seeds", {"seeds": [4]}, seeds=[5]) == {"seeds": ([5], "command line")}
    assert told("models.vit.train.epochs", {"models": {"vit": {"train": {"epochs": 8}}}}) == {
        "models.vit.train.epochs": (8, "more.yaml")
    }


def test_what_a_preset_has_from_another_is_said_to_be_from_that_one(tmp_path):
    presets = {"tiny": {"like": "small", "seeds": [7], "models": {"vit": {"train": {"log_every": 3}}}}}
    given = merge(config(), {"presets": presets, "preset": "tiny"})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(given))
    chain = layers("tiny", [str(tmp_path / "params.yaml")], {})
    found = {value.path: value.origin for value in values_of("models.vit", resolve(given), chain)}
    assert found["models.vit.architecture"] == "presets.small"
    assert found["models.vit.train.log_every"] == "presets.tiny"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("models.vot", r"models\.vot: Unknown key of models 'vot'\. Did you mean 'vit'\?"),
        ("modles", r"modles: Unknown key of the preset 'modles'\. Did you mean 'models'\?"),
        ("seeds.0", r"seeds\.0: Unknown key of seeds '0'\. Known: none"),
        (None, "of: say of what"),
    ],
)
def test_mistakes_are_named(told, path, problem):
    with pytest.raises(ParameterError, match=problem):
        told(path)


def test_the_repositorys_own_entry_as_lines():
    file = str(REPOSITORY / "params.yaml")
    preset = resolve({**read_params(file), "preset": "demo"})
    lines = lines_of(values_of("models.exvit_dis", preset, layers("demo", [file], {})))
    assert 'models.exvit_dis.options.head: "cam"' in lines[8] and lines[8].endswith("# common")
    assert {line.rsplit("  # ", 1)[1] for line in lines} == {"common", "default", "like exvit: presets.demo"}
