"""Measures a GPU with this project's own work, in minutes: prints Markdown tables, writes gpu.json for forecasts.

Trainings at their true size, explainers and their agreement with the CPU, precision and memory layouts, PAR, whole
functions, a saved state, a real lack of memory, and the tests marked `gpu`. What does not fit into the time is named.

python benchmarks/gpu.py --minutes 7 --out build/gpu
snakemake cost --cores all --config preset=paper rates=build/gpu/gpu.json of=exvit_table2
python benchmarks/gpu.py --device cpu --size tiny --minutes 0.5 --out build/gpu    # what its test runs
"""

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

import core_work
import whole_work
import work
from measuring import Clock, Table, first_line, rates_of, sync, timed
from seedbed.devices.torch_device import choose_device
from seedbed.devices.visible import driver_version
from seedbed.errors import ParameterError
from seedbed.explain.call import explain
from seedbed.io.atomic import write_json
from seedbed.params import Preset, read_params, resolve
from seedbed.params.preset import TRAININGS
from seedbed.plan.forecasts.counts import counted
from seedbed.plan.forecasts.units import Unit, Units

REPOSITORY = Path(__file__).resolve().parents[1]
PRESETS = {"full": "paper", "tiny": "demo"}
MARKED = ("tests/unit/test_explain_gpu.py", "tests/unit/test_models_gpu.py", "tests/unit/test_refine_par.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=7.0)
    parser.add_argument("--out", type=Path, default=Path("build/gpu"), metavar="DIR")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--size", choices=tuple(PRESETS), default="full", help="tiny: the networks of preset demo")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    device = choose_device(int(asked.device == "cuda"))
    preset = resolve({**read_params(REPOSITORY / "params.yaml"), "preset": PRESETS[asked.size]})
    bench = Bench(preset, device, asked.out, Clock(60 * asked.minutes))
    found = bench.run()
    write_json(asked.out / "gpu.json", found)
    print(
        f"\nWrote {asked.out / 'gpu.json'}; left out for want of time: {', '.join(bench.clock.left_out) or 'nothing'}."
    )


class Bench:
    """All measurements of a device.

    Args:
        preset: whose networks.
        device: what is measured.
        out: folder for what is written on the way.
        clock: how long it may take.
    """

    def __init__(self, preset: Preset, device: torch.device, out: Path, clock: Clock) -> None:
        self.preset, self.device, self.out, self.clock = preset, device, out, clock
        self.units, self.counts, self.measured = Units(preset), counted(), {}

    def run(self) -> dict[str, Any]:
        """Measure everything; returns what gpu.json holds."""
        header = self.header()
        rates = rates_of(self.device, small=not self.preset.comparable)
        parts: dict[str, Callable[[], Any]] = {
            "state": self.state,
            "out_of_memory": self.out_of_memory,
            "par": lambda: whole_work.par(self.device, 64 if not self.preset.comparable else 448),
            "whole_functions": lambda: whole_work.functions(self.device, self.preset),
            "trainings": self.trainings,
            "explainers": self.explainers,
            "variants": self.variants,
            "marked_tests": self.marked_tests,
        }
        results = {}
        for number, (name, part) in enumerate(parts.items()):
            print(f"\n## {name.replace('_', ' ')}\n", flush=True)
            with self.clock.part(name, 1 / (len(parts) - number)):
                results[name] = part()
        return {"header": header, "rates": {**rates, "name": header["gpu"]}, "units": self.measured, **results}

    def header(self) -> dict[str, Any]:
        """The device, and what is installed."""
        on_gpu = self.device.type == "cuda"
        found = {
            "gpu": torch.cuda.get_device_name() if on_gpu else f"CPU {platform.machine()}",
            "driver": driver_version(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "tf32": [torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32],
            "threads": torch.get_num_threads(),
        }
        print("\n".join(f"- {name}: {value}" for name, value in found.items()), flush=True)
        return found

    # -- trainings

    def training_units(self) -> Iterator[tuple[Unit, Unit, int]]:
        """Each distinct training behind the tables: its step, its loader and its batch."""
        seen = set()
        for dataset in self.preset.datasets:
            for table, _ in TRAININGS.values():
                for name, entry in getattr(self.units.on(dataset), table).items():
                    if entry.train is None:
                        continue
                    step, loaded = self.units.training(table, name, dataset)
                    if step.key in self.counts and step.key not in seen:
                        seen.add(step.key)
                        yield step, loaded, entry.train.batch_size

    def trainings(self) -> list[dict[str, Any]]:
        """Step, speed and memory of every training, and how many loader workers would feed it."""
        table = Table("training", "batch", "ms", "images/s", "TFLOP/s", "peak GiB", "host share", "workers to feed it")
        for step, loaded, batch in self.training_units():
            if not self.clock.goes_on(step.about):
                continue
            row = self.step(step, batch)
            row["workers to feed it"] = round(self._core_seconds(loaded) * row["images/s"], 1)
            self.measured[step.key] = 1 / row["images/s"]
            table.add(training=step.about, **row)
        return table.rows

    def step(self, unit: Unit, batch: int, prepare: Callable[[Any], None] = lambda run: None) -> dict[str, Any]:
        """Time a training's step."""
        with self.built(unit, batch) as step:
            prepare(step.run)
            seconds, host, peak = timed(step, self.device)
        flops = self.counts[unit.key].flops * batch / seconds / 1e12
        row = {"batch": batch, "ms": 1e3 * seconds, "images/s": batch / seconds, "TFLOP/s": flops}
        return {**row, "peak GiB": peak, "host share": host}

    @contextmanager
    def built(self, unit: Unit, images: int) -> Iterator[Any]:
        """What runs a unit on the device; its memory is given back afterwards."""
        with tempfile.TemporaryDirectory() as folder:
            yield work.build(unit.kind, unit.spec, images, self.place, self.device, Path(folder))
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def place(self, what: Any) -> Any:
        """A network or a tensor on the device."""
        return what.to(self.device)

    def _core_seconds(self, loaded: Unit) -> float:
        with tempfile.TemporaryDirectory() as folder:
            load = core_work.build(loaded.kind, loaded.spec, Path(folder))
            return timed(load, torch.device("cpu"), repeats=4)[0]

    # -- explainers

    def explaining_units(self) -> Iterator[Unit]:
        """Each distinct explanation behind the tables."""
        seen = set()
        for dataset in self.preset.datasets:
            for model in self.preset.models:
                for explainer in self.preset.explainers:
                    names = {"dataset": dataset, "model": model, "explainer": explainer}
                    try:
                        unit, *_ = self.units.explanation(names)
                    except ParameterError:
                        continue  # of another network's normalisation
                    if unit.key in self.counts and unit.key not in seen:
                        seen.add(unit.key)
                        yield unit

    def explainers(self) -> list[dict[str, Any]]:
        """Speed of every explanation, and how far its maps are from the CPU's in float32."""
        table = Table("explainer", "ms", "images/s", "TFLOP/s", "peak GiB", "difference from CPU")
        for unit in self.explaining_units():
            if not self.clock.goes_on(unit.about):
                continue
            with self.built(unit, 1) as step:
                seconds, _, peak = timed(step, self.device)
            self.measured[unit.key] = seconds
            row = {"ms": 1e3 * seconds, "images/s": 1 / seconds, "peak GiB": peak}
            row["TFLOP/s"] = self.counts[unit.key].flops / seconds / 1e12
            table.add(explainer=unit.about, **row, **{"difference from CPU": self.difference(unit)})
        return table.rows

    def difference(self, unit: Unit) -> float:
        """Largest difference of a map from the CPU's, as a share of the map's largest value."""
        spec, size = unit.spec, unit.spec["input"]["size"] or [96, 128]
        images, targets, maps = torch.randn(1, 3, *size), torch.tensor([[0]]), []
        for device in (torch.device("cpu"), self.device):
            model = work.network_of(spec).to(device).eval()
            found = explain(model, images.to(device), targets.to(device), spec["method"], **spec["options"])
            maps.append(found.cpu())
        return ((maps[0] - maps[1]).abs().max() / maps[0].abs().max().clamp(min=1e-12)).item()

    # -- the rest

    def variants(self) -> list[dict[str, Any]]:
        """Trainings without deterministic kernels, with TensorFloat-32, in the channels-last layout."""
        table = Table("training", "variant", "ms", "peak GiB")
        wanted = [unit for unit in self.training_units() if unit[0].spec["task"] != "affinity_networks"]
        for unit, _, batch in [*wanted[:2], *wanted[-1:]]:
            for name, (setting, prepare) in VARIANTS.items():
                if self.clock.goes_on(f"{unit.about}, {name}"):
                    with setting():
                        row = self.step(unit, batch, prepare)
                    table.add(training=unit.about, variant=name, ms=row["ms"], **{"peak GiB": row["peak GiB"]})
        return table.rows

    def state(self) -> list[dict[str, Any]]:
        """A training's state written, read and gone on from: whether the next step is the same."""
        table = Table("training", "MiB", "write s", "read s", "same weights")
        unit, _, batch = next(self.training_units())
        with self.built(unit, batch) as first, self.built(unit, batch) as second:
            first()
            begun = time.perf_counter()
            torch.save(first.run.state(), self.out / "state.pt")
            written = time.perf_counter() - begun
            second.run.restore(torch.load(self.out / "state.pt", map_location="cpu"))
            read = time.perf_counter() - begun - written
            first(), second()
            pairs = zip(first.run.model.state_dict().values(), second.run.model.state_dict().values(), strict=True)
            same = all(torch.equal(one, other) for one, other in pairs)
        size = (self.out / "state.pt").stat().st_size / 2**20
        (self.out / "state.pt").unlink()
        table.add(training=unit.about, MiB=size, **{"write s": written, "read s": read, "same weights": same})
        return table.rows

    def out_of_memory(self) -> dict[str, Any]:
        """Whether a real lack of memory halves a batch."""
        if self.device.type != "cuda":
            print("Left out: only a GPU runs out of its memory.")
            return {}
        found = whole_work.out_of_memory(self.device)
        print(found)
        return found

    def marked_tests(self) -> dict[str, Any]:
        """The tests marked `gpu`, in a process of their own."""
        if self.device.type != "cuda":
            print("Left out: they need a GPU.")
            return {}
        sync(self.device)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", *MARKED]
        try:
            done = subprocess.run(
                command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=max(60, self.clock.left())
            )
        except subprocess.TimeoutExpired:
            print("Stopped: the time was up.")
            return {"summary": "stopped"}
        summary = first_line(done.stdout.strip().splitlines()[::-1])
        print(summary)
        return {"summary": summary, "exit": done.returncode}


@contextmanager
def switched(**flags: bool) -> Iterator[None]:
    """PyTorch's flags, set inside: ``deterministic``, ``tf32``."""
    with ExitStack() as stack:
        if "deterministic" in flags:
            stack.callback(
                torch.use_deterministic_algorithms, torch.are_deterministic_algorithms_enabled(), warn_only=True
            )
            torch.use_deterministic_algorithms(flags["deterministic"], warn_only=True)
        for module in (torch.backends.cuda.matmul, torch.backends.cudnn) if "tf32" in flags else ():
            stack.callback(setattr, module, "allow_tf32", module.allow_tf32)
            module.allow_tf32 = flags["tf32"]
        yield


def _channels_last(run: Any) -> None:
    run.model.to(memory_format=torch.channels_last)


VARIANTS: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {
    "as trained": (switched, lambda run: None),
    "not deterministic": (lambda: switched(deterministic=False), lambda run: None),
    "TF32": (lambda: switched(tf32=True), lambda run: None),
    "channels last": (switched, _channels_last),
}


if __name__ == "__main__":
    main()
