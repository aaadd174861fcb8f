"""What may not change a number: how many shards, how many threads, and what breaks on the way (in warm chains)."""

import hashlib
import os
import subprocess
import sys

import pytest
from snakemake_runs import REPOSITORY, TABLE, artifacts, run

pytestmark = pytest.mark.workflow
BENCHMARKS = REPOSITORY / "benchmarks"
RUN = """
import os, sys
from pathlib import Path
from warm_chain import warm_chain
folder, target, *config = sys.argv[1:]
pairs = dict(pair.split("=") for pair in config)
jobs = warm_chain(Path(folder), [target], config={key: int(value) for key, value in pairs.items()})
os.chdir(folder)
for job in jobs:
    job.run()
os._exit(0)
"""


def chain(folder, target, **config):
    """Make a target in a fresh folder."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(folder), target, *(f"{key}={value}" for key, value in config.items())],
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY / 'src'}:{BENCHMARKS}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def digests(folder):
    """Checksums of results that are cut into no shards."""
    root = folder / "results/demo"
    found = (path for path in root.rglob("*") if path.is_file() and "-of-" not in path.name)
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in found
        if path.relative_to(root).parts[0] != "logs"
    }


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_1_3_and_7_shards_give_identical_tables(tmp_path):
    found = []
    for shards in (1, 3, 7):
        chain(tmp_path / str(shards), f"{TABLE}.csv", shards=shards)
        found.append(digests(tmp_path / str(shards)))
    assert len(found[0]) >= 12 and found[0] == found[1] == found[2]


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_threads_that_a_machine_gives_change_no_byte(finished, tmp_path, monkeypatch):
    """One core for two, one thread a rule, and an environment that asks for four: `compute_threads` alone decides."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "4")
    narrow = [
        f"resources__{rule}__threads=1" for rule in ("train_classifier", "train_affinity_network", "train_segmenter")
    ]
    done = run(tmp_path, "--config", *narrow, "--", f"{TABLE}.csv", cores=1, timeout=2000)
    assert done.returncode == 0, done.stdout[-4000:]
    whole, found = artifacts(finished), artifacts(tmp_path)
    assert f"{TABLE}.csv".removeprefix("results/demo/") in found and len(found) >= 20
    for name, digest in found.items():
        assert digest == whole[name], name


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_200_faults_in_a_row(tmp_path):
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "faults.py")],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src")},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=5300,
        check=False,
    )
    assert done.returncode == 0 and "no wrong file" in done.stdout, done.stdout[-3000:]
