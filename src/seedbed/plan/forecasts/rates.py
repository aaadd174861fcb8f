"""What machines sustain, as a table or as measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from seedbed.devices.visible import gpu_name
from seedbed.errors import ParameterError, UserError, unknown_name
from seedbed.io.atomic import read_json
from seedbed.plan.forecasts.counts import Count

_TERA, _GIGA, _MICRO = 1e12, 1e9, 1e-6


@dataclass(frozen=True)
class Rates:
    """A device: what it sustains, and what was measured on it.

    Attributes:
        name: for readers.
        memory: GB.
        bf16, float32: 10^12 operations a second.
        bandwidth: GB/s.
        kernel: microseconds to start one.
        measured: seconds of an image, by the key of a unit of `seedbed.plan.forecasts.units`.
    """

    name: str
    memory: float
    bf16: float
    float32: float
    bandwidth: float
    kernel: float
    measured: Mapping[str, float] = field(default_factory=dict)

    def seconds(self, key: str, count: Count, batch: float = 1.0, bf16: bool = False, threads: int = 1) -> float:
        """Seconds of one image of a batch: arithmetic, then memory, unless starting kernels takes longer.

        Args:
            key: of the unit, which may have been measured.
            count: its operations.
            batch: images at once, which share the kernels and what is done once a step.
            bf16: whether products are in bfloat16.
            threads: cores that compute, on a CPU.
        """
        if key in self.measured:
            return self.measured[key]
        flops = _TERA * (self.bf16 if bf16 else self.float32) * threads
        moved = (count.bytes + count.step_bytes / batch) / (_GIGA * self.bandwidth * threads)
        return max(count.flops / flops + moved, count.kernels * _MICRO * self.kernel / batch)


@cache
def table_of_rates() -> dict[str, Any]:
    """The table that comes with the project."""
    return yaml.safe_load(resources.files("seedbed.plan.forecasts").joinpath("rates.yaml").read_text())


def devices() -> dict[str, Rates]:
    """Every device of the table, by its short name."""
    return {name: Rates(**entry) for name, entry in table_of_rates()["devices"].items()}


def asked_rates(config: Mapping[str, Any]) -> tuple[Rates, str]:
    """The rates to forecast with, and a line that says whose they are.

    Args:
        config: the run's, of which ``device`` names a device of the table, and ``rates`` a file that
            `benchmarks/gpu.py` wrote. Without either they are those of this machine's GPU, else of an H100.

    Raises:
        ParameterError: there is no such device in the table.
        UserError: the file is none of `benchmarks/gpu.py`.
    """
    if named := named_rates(config):
        return named
    known = devices()
    words = f"device={'|'.join(known)} asks for another, rates=FILE for what benchmarks/gpu.py measured"
    here = (gpu_name() or "").replace(" ", "")
    for rates in known.values():
        if rates.name.replace(" ", "") in here:
            return rates, f"At rates of the {rates.name} in the project's table, as this machine has one ({words})."
    return known["h100"], f"At rates of one H100 in the project's table ({words})."


def named_rates(config: Mapping[str, Any]) -> tuple[Rates, str] | None:
    """The rates that a run names, as `asked_rates` gives and refuses them; None where it names none."""
    known, name = devices(), config.get("device")
    if config.get("rates"):
        return _measured(config["rates"])
    if not name:
        return None
    if name not in known:
        raise ParameterError(f"device: {unknown_name('device', str(name), known)}")
    return known[name], f"At rates of the {known[name].name} in the project's table, not measured here."


def _measured(file: str | Path) -> tuple[Rates, str]:
    try:
        found = read_json(file)
        rates = Rates(**found["rates"], measured=found["units"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"rates: {file} is not what benchmarks/gpu.py writes (gpu.json): {error}") from None
    return rates, f"At rates measured on a {rates.name} ({file})."
