"""GPUs in real Snakemake, on a machine without any: ids are only names to the scheduler and to the locks."""

import contextlib
import itertools
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from snakemake_runs import REPOSITORY, command, environment, run

from seedbed.devices.lease import lease

pytestmark = pytest.mark.workflow

LIMIT = f"""
checked = lambda call, *arguments: call(*arguments)
include: "{REPOSITORY}/rules/engine.smk"
rule all:
    input: expand("{{number}}.done", number=range(4))
rule one:
    output: "{{number}}.done"
    resources: gpu=lambda wildcards: int(config.get("gpu", 1))
    shell: "date +%s.%N > {{output}}; sleep 0.5; date +%s.%N >> {{output}}; echo {{resources.gpu}} >> {{output}}"
"""

LEASES = """
rule all:
    input: expand("{number}.json", number=range(3)), "cpu.json"
rule one:
    output: "{number}.json"
    wildcard_constraints: number=r"\\d"
    log: "{number}.log"
    resources: gpu=1
    script: "hold.py"
rule cpu:
    output: "cpu.json"
    log: "cpu.log"
    script: "hold.py"
rule large:
    output: "large.json"
    log: "large.log"
    resources: gpu=3
    script: "hold.py"
"""

HOLD = f"""
import json, os, sys, time
sys.path.insert(0, {str(REPOSITORY / "workflow_scripts")!r})
from job import job
start, early = time.time(), "torch" not in sys.modules
with job(snakemake) as this:
    time.sleep(0.5)
    device = str(this.device) if snakemake.output[0] in ("0.json", "cpu.json") else None  # torch is slow to import
    found = [os.environ["CUDA_VISIBLE_DEVICES"], start, time.time(), early, device]
    open(snakemake.output[0], "w").write(json.dumps(found))
"""


def snakemake(folder, content, visible, *arguments):
    """Run a Snakefile with 8 cores in a folder that sees the given devices."""
    folder.mkdir(exist_ok=True)
    (folder / "Snakefile").write_text(content)
    program = [sys.executable, "-m", "snakemake", "--cores", "8", "--scheduler", "greedy", *arguments]
    variables = {**environment(folder), "CUDA_VISIBLE_DEVICES": visible, "SEEDBED_DEVICE_LOCKS": str(folder / "locks")}
    return subprocess.run(
        program, cwd=folder, env=variables, timeout=600, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.parametrize(
    ("visible", "arguments", "at_once", "given"),
    [
        ("0,1", ["--resources", "mem_mb=100000"], 2, 1),  # which replaces a limit that a profile gives
        ("0,1", ["--config", "gpu=3"], 1, 2),  # more than there are: as many as there are
        ("", [], 4, 1),
    ],
)
def test_visible_devices_are_the_limit_by_themselves(tmp_path, visible, arguments, at_once, given):
    done = snakemake(tmp_path, LIMIT, visible, *arguments)
    assert done.returncode == 0, done.stdout
    spans = [[float(line) for line in path.read_text().split()] for path in tmp_path.glob("*.done")]
    assert max(sum(start <= at < end for start, end, _ in spans) for at, _, _ in spans) == at_once
    assert {gpus for *_, gpus in spans} == {given}


def test_jobs_hold_disjoint_devices_and_a_cpu_rule_sees_none(tmp_path):
    """Three jobs at once on two devices: the locks keep them apart, although the scheduler does not."""
    (tmp_path / "hold.py").write_text(HOLD)
    done = snakemake(tmp_path, LEASES, "4,7", "--resources", "gpu=8", "--keep-going", "--", "all", "large.json")
    records = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert set(records) == {"0", "1", "2", "cpu"}, done.stdout
    assert records["cpu"][0] == "" and records["cpu"][4] == "cpu"
    spans = sorted(records[number] for number in "012")
    assert [device for device, *_ in spans] in (["4", "4", "7"], ["4", "7", "7"])
    for (device, _, end, *_), (next_device, start, *_) in itertools.pairwise(spans):
        assert device != next_device or end <= start
    assert all(early for *_, early, _ in records.values())
    assert "waiting for 1 of the GPUs 4, 7" in done.stdout
    assert done.returncode != 0
    assert "Error in rule large: 3 GPUs are asked for, but only 2 can be seen (4, 7)." in done.stdout
    assert "1 GPUs asked for; computing on cpu" in (tmp_path / "0.log").read_text()


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="the device may exist")
def test_a_leased_gpu_that_pytorch_cannot_use_ends_the_job(tmp_path, monkeypatch):
    monkeypatch.delenv("SEEDBED_DEVICE")
    (tmp_path / "hold.py").write_text(HOLD)
    done = snakemake(tmp_path, LEASES, "4", "--", "0.json")
    assert done.returncode != 0 and not (tmp_path / "0.json").exists()
    assert "Error in rule one: The job asked for a GPU, and PyTorch cannot use one" in done.stdout
    assert "CUDA_VISIBLE_DEVICES=4" in done.stdout and "gpu: 0 or SEEDBED_DEVICE=cpu" in done.stdout


@pytest.mark.slow
def test_a_training_on_two_devices_ends_with_the_weights_of_one(tmp_path, monkeypatch):
    """Two CPU processes, since the ids are only names. AdamW makes more of rounding than 1e-6, see docs/gpus.md."""
    target = "results/demo/classifiers/shapes/vit_hybrid/seed0/model.safetensors"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("SEEDBED_DEVICE_LOCKS", str(tmp_path / "locks"))
    found = []
    for gpus in (1, 2):
        folder = tmp_path / str(gpus)
        done = run(folder, "--config", f"resources__train_classifier__gpu={gpus}", "--", target)
        assert done.returncode == 0, done.stdout[-3000:]
        assert ("2 GPUs asked for" in next(folder.rglob("logs/classifiers/**/seed0.log")).read_text()) == (gpus == 2)
        found.append(load_file(folder / target))
    one, two = found
    assert one.keys() == two.keys()
    for name, weight in one.items():
        np.testing.assert_allclose(two[name], weight, atol=1e-4, err_msg=name)
    assert not list(tmp_path.rglob("resume.pt"))


@pytest.mark.slow
def test_no_process_of_a_shared_training_outlives_a_killed_snakemake(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("SEEDBED_DEVICE_LOCKS", str(tmp_path / "locks"))
    changes = ["resources__train_classifier__gpu=2", "models__vit_hybrid__train__epochs=100000"]
    target = "results/demo/classifiers/shapes/vit_hybrid/seed0/model.safetensors"
    started = subprocess.Popen(
        command(tmp_path, "--config", *changes, "--", target),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(tmp_path), start_new_session=True,
    )  # fmt: skip
    wait_until(lambda: list(tmp_path.rglob("resume.pt")), 900)
    assert len(workers_in(tmp_path)) >= 4  # Snakemake, the launcher and two processes
    started.kill()
    started.wait()
    wait_until(lambda: not workers_in(tmp_path), 300)
    held = lease(2, pool=["0", "1"])
    assert held.devices == ("0", "1") and held.waited < 1
    held.give_back()


def wait_until(true, seconds):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def workers_in(folder):
    """Processes that work in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found += [int(entry.name)] if (entry / "cwd").readlink() == folder else []
    return found
