"""One finished run of the whole chain on the micro data set, shared by the tests that only look at it."""

import shutil

import pytest
from filelock import FileLock
from snakemake_runs import run


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Working directory after a clean run of the default target; treat it as read-only.

    Made once, by the first worker of pytest-xdist that needs it; each worker has a copy of its own, for Snakemake locks
    the folder it works in.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent / "micro" if own.name.startswith("popen-") else own / "shared_micro"
    with FileLock(f"{shared}.lock"):
        if not shared.exists():
            making = shared.with_name(f"{shared.name}.unfinished")
            shutil.rmtree(making, ignore_errors=True)
            done = run(making)
            assert done.returncode == 0, done.stdout[-4000:]
            making.rename(shared)
    return shutil.copytree(shared, own / "micro", copy_function=shutil.copy2)


@pytest.fixture
def copy_of_finished(finished, tmp_path):
    """A copy to change; time stamps are kept, so that Snakemake sees nothing new."""
    target = tmp_path / "run"
    shutil.copytree(finished, target, copy_function=shutil.copy2)
    return target
