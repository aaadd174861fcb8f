"""GPUs in real Snakemake, on a machine without any: ids are only names to the scheduler and to the locks."""

import itertools
import json
import subprocess
import sys

import pytest
from snakemake_runs import REPOSITORY, environment

pytestmark = pytest.mark.workflow

LIMIT = f"""
checked = lambda call, *arguments: call(*arguments)
include: "{REPOSITORY}/rules/devices.smk"
rule all:
    input: expand("{{number}}.done", number=range(4))
rule one:
    output: "{{number}}.done"
    resources: gpu=int(config.get("gpu", 1))
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
    command = [sys.executable, "-m", "snakemake", "--cores", "8", "--scheduler", "greedy", *arguments]
    variables = {**environment(folder), "CUDA_VISIBLE_DEVICES": visible, "SEEDBED_DEVICE_LOCKS": str(folder / "locks")}
    return subprocess.run(
        command, cwd=folder, env=variables, timeout=100, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
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
    assert "No GPU to compute on, so the CPU is used" in (tmp_path / "0.log").read_text()
