"""Clocks and tables for `gpu.py`, and what a device sustains in products, copies and starts of kernels."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch


class Clock:
    """A time limit shared out among parts; what did not fit is remembered.

    Args:
        seconds: that everything may take.
    """

    def __init__(self, seconds: float) -> None:
        self.end = self.part_end = time.monotonic() + seconds
        self.left_out: list[str] = []
        self.name, self.first = "", True

    @contextmanager
    def part(self, name: str, share: float) -> Iterator[None]:
        """A part that may take a share of the time left; its first item is always measured."""
        self.name, self.first = name, True
        self.part_end = time.monotonic() + share * max(0.0, self.left())
        yield

    def goes_on(self, item: str) -> bool:
        """Whether there is time for an item."""
        fits, self.first = self.first or time.monotonic() < self.part_end, False
        if not fits:
            self.left_out.append(f"{self.name}: {item}")
        return fits

    def left(self) -> float:
        """Seconds until the end."""
        return self.end - time.monotonic()


class Table:
    """A Markdown table that is printed row by row, and kept."""

    def __init__(self, *columns: str) -> None:
        self.columns, self.rows = columns, []
        print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}", flush=True)

    def add(self, **row: Any) -> None:
        """Print and keep a row."""
        self.rows.append(row)
        cells = (row.get(name) for name in self.columns)
        print(
            f"| {' | '.join(f'{cell:.3g}' if isinstance(cell, float) else str(cell) for cell in cells)} |", flush=True
        )


def sync(device: torch.device) -> None:
    """Wait for a device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(
    step: Callable[[], object], device: torch.device, repeats: int | None = None
) -> tuple[float, float, float | None]:
    """Seconds of a step; the share of them after which the host was done with it; peak memory in GiB on a GPU.

    A host's share near 1 means that starting kernels is what takes the time.
    """
    repeats = repeats or (5 if device.type == "cuda" else 2)
    step()
    sync(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    begun = time.perf_counter()
    for _ in range(repeats):
        step()
    host = time.perf_counter() - begun
    sync(device)
    whole = time.perf_counter() - begun
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
    return whole / repeats, host / whole, peak


def rates_of(device: torch.device, small: bool) -> dict[str, float]:
    """What a device sustains, as `seedbed.plan.forecasts.rates.Rates` has it."""
    side, length = (256, 2**18) if small else (8192, 2**28)
    found = {}
    for name, dtype in (("bf16", torch.bfloat16), ("float32", torch.float32)):
        factor = torch.randn(side, side, device=device, dtype=dtype)
        found[name] = 2 * side**3 / timed(lambda factor=factor: factor @ factor, device)[0] / 1e12
    values = torch.randn(length, device=device)
    found["bandwidth"] = 8 * length / timed(lambda: values * 2, device)[0] / 1e9
    tiny = torch.zeros(1, device=device)
    found["kernel"] = timed(lambda: [tiny + 1 for _ in range(1000)], device)[0] / 1000 * 1e6
    memory = torch.cuda.get_device_properties(device).total_memory / 1e9 if device.type == "cuda" else 0.0
    found = {name: float(f"{value:.4g}") for name, value in {**found, "memory": memory}.items()}
    print(f"\n{found}", flush=True)
    return found


def first_line(lines: Sequence[str]) -> str:
    """The first line that is not empty."""
    return next((line for line in lines if line.strip()), "")
