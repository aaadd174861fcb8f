"""The benchmark of a GPU, on the CPU and the demo's networks: everything runs, and a forecast takes what it writes."""

import subprocess
import sys
from pathlib import Path

from seedbed.io.atomic import read_json
from seedbed.plan.forecasts.counts import counted
from seedbed.plan.forecasts.rates import asked_rates

ROOT = Path(__file__).parents[2]


def test_the_benchmark_runs_without_a_gpu_and_feeds_a_forecast(tmp_path):
    command = [sys.executable, "benchmarks/gpu.py", "--device", "cpu", "--size", "tiny", "--minutes", "0"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
    )  # fmt: skip
    assert not done.returncode, done.stderr
    assert "left out for want of time: trainings: " in done.stdout
    found = read_json(tmp_path / "gpu.json")
    for part in ("state", "par", "whole_functions", "trainings", "explainers", "variants"):
        assert found[part], part  # one item each, however short the time
    assert found["state"][0]["same weights"] is True
    assert found["par"][0]["difference from CPU"] == found["explainers"][0]["difference from CPU"] == 0
    assert [row["equal to the CPU's"] for row in found["whole_functions"]] == [1, 1, 1]
    rates, line = asked_rates({"rates": str(tmp_path / "gpu.json")})
    assert rates.measured and set(rates.measured) <= set(counted())
    assert min(rates.bf16, rates.float32, rates.bandwidth, rates.kernel) > 0 and "measured on a CPU" in line
