"""The command line: names as they were typed, and the command that a page shows."""

from pathlib import Path

import pytest

from seedbed.plan.command import file_command, names_as_written


def test_settings_and_files_of_the_run_are_in_it():
    settings = ["models__vit__train__lr=0.1", "seeds=[0, 1]", "gres=gpu:a100", "plan=file", "of=x"]
    files = [Path("/p/tests/micro.yaml"), Path("/elsewhere/my own.yaml")]
    assert file_command(settings, files, Path("/p")) == (
        "snakemake --cores all --configfile tests/micro.yaml 'my own.yaml' "
        "--config models__vit__train__lr=0.1 'seeds=[0, 1]' --"
    )
    assert file_command([], [], Path("/p")) == "snakemake --cores all --"


@pytest.mark.parametrize(
    ("setting", "read"),
    [
        ("dataset=007", 7),
        ("image=2012_01", 201201),
        ("masks={a}", {"a": ""}),
        ("dataset=a #b", "a"),
        ("model=1e3", 1000.0),
        ("on=True", True),
    ],
)
def test_names_are_what_was_typed(setting, read):
    name, _, written = setting.partition("=")
    config = {name: read, "seeds": 3, "methods": ["a"]}
    found = names_as_written(config, [setting, "seeds=3", "methods=[a]"], lambda given: {name: read, "seeds": 3})
    assert found == {**config, name: written}


def test_what_something_else_set_stays():
    config = {"dataset": "other", "image": None}
    assert names_as_written(config, ["dataset=7", "image="], lambda given: {"dataset": 7, "image": None}) == config
