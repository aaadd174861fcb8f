"""The command that a page shows."""

from pathlib import Path

from seedbed.plan.command import file_command


def test_settings_and_files_of_the_run_are_in_it():
    settings = ["models__vit__train__lr=0.1", "seeds=[0, 1]", "gres=gpu:a100", "plan=file", "of=x"]
    files = [Path("/p/tests/micro.yaml"), Path("/elsewhere/my own.yaml")]
    assert file_command(settings, files, Path("/p")) == (
        "snakemake --cores all --configfile tests/micro.yaml 'my own.yaml' "
        "--config models__vit__train__lr=0.1 'seeds=[0, 1]' --"
    )
    assert file_command([], [], Path("/p")) == "snakemake --cores all --"
