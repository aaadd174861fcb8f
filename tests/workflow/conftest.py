"""One finished run of the whole chain on the micro data set, shared by the tests that only look at it."""

import shutil

import pytest
from snakemake_runs import run


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Working directory after a clean run of the default target; treat it as read-only."""
    workdir = tmp_path_factory.mktemp("micro")
    done = run(workdir)
    assert done.returncode == 0, done.stdout[-4000:]
    return workdir


@pytest.fixture
def copy_of_finished(finished, tmp_path):
    """A copy to change; time stamps are kept, so that Snakemake sees nothing new."""
    target = tmp_path / "run"
    shutil.copytree(finished, target, copy_function=shutil.copy2)
    return target
