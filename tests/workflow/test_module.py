"""The workflow as a module of another one, with a configuration of its own laid over params.yaml."""

import subprocess
import sys

import pytest
from snakemake_runs import REPOSITORY, environment, jobs_of

pytestmark = pytest.mark.workflow

SNAKEFILE = """
module seedbed:
    snakefile: "{repository}/Snakefile"
    config: {config}

use rule * from seedbed{names}

rule all:
    default_target: True
    input: {wanted}
"""
SMALL = {"kind": "shapes", "seed": 2, "size": 96, "train": 4, "trainaug": 4, "val": 2}
TABLE = "results/demo/tables/vit_affinity/table4.csv"


def snakemake(folder, config, wanted, *arguments, names=""):
    text = SNAKEFILE.format(repository=REPOSITORY, config=config, wanted=repr(wanted), names=names)
    (folder / "Snakefile").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--directory", str(folder), *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        env=environment(folder),
        check=False,
    )


def test_another_workflow_plans_a_table_with_a_configuration_of_its_own(tmp_path):
    planned = snakemake(tmp_path, {"preset": "demo", "seeds": [3, 4]}, TABLE, "-n", names=" as seedbed_*")
    assert planned.returncode == 0, planned.stdout[-3000:]
    jobs = jobs_of(planned.stdout)
    assert jobs["seedbed_train_classifier"] == 4 and jobs["seedbed_make_table"] == 1  # vit_hybrid and vgg16_cam
    assert "vit_hybrid/seed4" in planned.stdout and "seed0" not in planned.stdout


def test_another_workflow_runs_its_rules(tmp_path):
    config = {"preset": "demo", "datasets": {"shapes": SMALL}}
    done = snakemake(tmp_path, config, "data/shapes/index.csv")
    assert done.returncode == 0, done.stdout[-3000:]
    assert len((tmp_path / "data/shapes/index.csv").read_text().splitlines()) == 1 + 4 + 2
    assert "Nothing to be done" in snakemake(tmp_path, config, "data/shapes/index.csv").stdout


def test_its_configuration_is_checked_like_the_command_line(tmp_path):
    refused = snakemake(tmp_path, {"preset": "demo", "models__vit_hybird__train__epochs": 3}, TABLE, "-n")
    assert refused.returncode != 0
    assert "vit_hybird" in refused.stdout and "Did you mean 'vit_hybrid'" in refused.stdout
    assert "Traceback" not in refused.stdout
