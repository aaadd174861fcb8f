"""What benchmarks/count.py and peak.py do: a step without values, and the parts of it that ask for some."""

import sys
from pathlib import Path

import pytest

from seedbed.params import read_params, resolve
from seedbed.plan.forecasts.units import Units

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def benchmarks():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import count
        import peak

        yield count, peak
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def toco():
    preset = resolve({**read_params(ROOT / "params.yaml"), "preset": "demo"})
    return Units(preset).training("models", "toco", "shapes")[0]


def test_a_step_that_refines_labels_is_counted_on_tensors_without_values(benchmarks, toco, monkeypatch):
    count, _ = benchmarks
    monkeypatch.setattr(count, "VALUES_ASKED", ())  # no second try on the CPU
    found = count.counted(toco)
    assert found["flops"] == pytest.approx(1.084e9, rel=0.01) and found["kernels"] > 3000


def test_the_peak_of_a_step_is_more_than_what_is_kept_between_steps(benchmarks, toco):
    _, peak = benchmarks
    before, most = peak.measured(toco.spec, 2)
    network = peak.work.network_of(toco.spec)
    kept = [4 if each.requires_grad else 1 for each in network.parameters()]  # gradients and two moments
    weights = sum(4 * each.numel() * times for each, times in zip(network.parameters(), kept, strict=True))
    assert weights < before < 1.1 * weights + 4 * 2 * 10 * 96**2 < most  # and the batch
