"""The workflow from an environment that holds what it depends on and no Seedbed, and from where others look for it."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from snakemake_runs import MICRO, PATIENCE, REPOSITORY, environment, jobs_of

from seedbed.report.archive import PROJECT

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of what an archive of a table holds of the project, and the standard layout."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in (*PROJECT, "workflow"):
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPOSITORY / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory) -> Path:
    """An interpreter with every library of this environment but Seedbed: path files of a path file are not followed."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=PATIENCE)
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


def call(python: Path, checkout: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run Snakemake under an interpreter in a checkout, without help from the caller's environment."""
    variables = {key: value for key, value in environment(checkout).items() if key != "PYTHONPATH"}
    variables["PATH"] = f"{python.parent}{os.pathsep}{variables['PATH']}"
    return subprocess.run(
        [str(python), *arguments],
        cwd=checkout,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_that_interpreter_has_no_seedbed(bare_python, checkout):
    assert "No module named 'seedbed'" in call(bare_python, checkout, "-c", "import seedbed").stdout
    assert call(bare_python, checkout, "-c", "import torch, snakemake").returncode == 0


def test_jobs_run_where_seedbed_is_not_installed(bare_python, checkout):
    arguments = ("-m", "snakemake", "--cores", "1", "--configfile", str(MICRO))
    done = call(bare_python, checkout, *arguments, "--", "data/shapes/card.json")
    assert done.returncode == 0, done.stdout[-3000:]
    assert (checkout / "data/shapes/card.json").is_file()


@pytest.mark.slow
def test_the_snakefile_of_the_catalogue_plans_the_same(bare_python, checkout):
    arguments = ("-m", "snakemake", "-n", "--cores", "1", "--configfile", str(MICRO))
    own = call(bare_python, checkout, *arguments)
    shown = call(bare_python, checkout, *arguments, "--snakefile", "workflow/Snakefile")
    assert own.returncode == shown.returncode == 0, shown.stdout[-3000:]
    named = {"headlines": "all"}  # by the standard layout
    assert jobs_of(shown.stdout) == {named.get(name, name): count for name, count in jobs_of(own.stdout).items()} != {}
