"""What a run would cost before it starts: jobs, hours that their declared runtimes allow, and room on disk."""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from seedbed.data.raw.sources import FileSource, SourceTable
from seedbed.papers import Layout
from seedbed.params import Preset
from seedbed.params.data import Published, Shapes

WEIGHTS = "weights"
GIGABYTE = 1e9
# Typical pictures: pixels, and classes a picture.
TYPICAL = {"voc12": (375 * 500, 1.5), "coco14": (480 * 640, 2.9)}
ANY_PICTURE = (375 * 500, 1.0)
# Bytes a pixel after compression, measured on maps of 16-pixel patches, posteriors of a CRF and palette masks.
MAP_BYTES, POSTERIOR_BYTES, MASK_BYTES = 1.3, 0.8, 0.05
NETWORK_BYTES = {"train_classifier": 0.3e9, "train_affinity_network": 0.45e9, "train_segmenter": 0.5e9}


class PlannedJob(NamedTuple):
    """A job that a dry run announces: its rule, wildcards, threads, minutes and GPUs."""

    rule: str
    wildcards: Mapping[str, str]
    threads: int
    minutes: float
    gpus: int


class Room(NamedTuple):
    """Bytes that a job adds to a data set's ``kind``: ``fetched``, ``unpacked`` or ``made``; None: not known."""

    dataset: str
    kind: str
    size: float | None


class CostSheet:
    """Adds up planned jobs.

    Args:
        preset: for the data sets and the resolution at which maps are stored.
        sources: for the sizes of published files.
    """

    def __init__(self, preset: Preset, sources: SourceTable) -> None:
        self.preset, self.sources = preset, sources
        self.jobs: Counter[str] = Counter()
        self.core_minutes: Counter[str] = Counter()
        self.gpu_minutes: Counter[str] = Counter()
        self.room: Counter[tuple[str, str]] = Counter()
        self.unknown: Counter[str] = Counter()

    def add(self, job: PlannedJob) -> None:
        """Count one job."""
        self.jobs[job.rule] += 1
        self.core_minutes[job.rule] += job.minutes * job.threads
        self.gpu_minutes[job.rule] += job.minutes * job.gpus
        for dataset, kind, size in self._room(job):
            self.room[dataset, kind] += size or 0
            self.unknown[dataset] += size is None and kind == "fetched"

    def lines(self) -> list[str]:
        """The sheet: a line a rule, then a line a data set; empty if there is no job."""
        if not self.jobs:
            return []
        found = [f"{'cost at most':28}{'jobs':>8}{'core-hours':>13}{'GPU-hours':>12}"]
        for name in sorted(self.jobs, key=lambda name: (-self.gpu_minutes[name], name)):
            found.append(_hours(name, self.jobs[name], self.core_minutes[name], self.gpu_minutes[name]))
        totals = (sum(counter.values()) for counter in (self.jobs, self.core_minutes, self.gpu_minutes))
        found.append(_hours("all", *totals))
        found.append("Upper bounds from the declared runtimes (params.yaml, presets.*.resources), not forecasts.")
        return found + (self._disk() if self.room or self.unknown else [])

    def _disk(self) -> list[str]:
        found = ["", f"{'disk, about':28}{'to fetch':>12}{'unpacked':>12}{'made':>12}"]
        names = sorted({dataset for dataset, _ in self.room})
        for name in names:
            more = self.unknown[name]
            note = f"  and {more} file{'s' * (more > 1)} of unpublished size" if more else ""
            found.append(_sizes(name, [self.room[name, kind] for kind in ("fetched", "unpacked", "made")]) + note)
        totals = [sum(self.room[name, kind] for name in names) for kind in ("fetched", "unpacked", "made")]
        found.append(_sizes("all", totals))
        return [*found, "Archives stay beside what is unpacked; a training run holds three times its network besides."]

    def _room(self, job: PlannedJob) -> list[Room]:
        names = job.wildcards
        if job.rule == "fetch_source":
            source = self.sources.file(names["source"])
            here = Path(Layout(self.preset.name).archive(source.name, source.file)).exists()
            return [Room(source.dataset or WEIGHTS, "fetched", 0 if here else source.bytes)]
        if job.rule == "unpack_source":
            return [Room(names["dataset"], "unpacked", self._unpacked(names["dataset"], names["source"]))]
        if job.rule in NETWORK_BYTES:
            small = not self.preset.comparable  # the demo's networks
            return [Room(names["dataset"], "made", 2e6 if small else NETWORK_BYTES[job.rule])]
        if job.rule in _PER_PICTURE:
            pictures = self._pictures(job)
            size = None if pictures is None else pictures * _PER_PICTURE[job.rule](self, names)
            return [] if size is None else [Room(names["dataset"], "made", size)]
        return []

    def _unpacked(self, dataset: str, source: str) -> float | None:
        """Bytes of an archive's content, taken as packed, since pictures do not shrink; 0 where it is only linked."""
        if getattr(self.preset.datasets[dataset], "path", None):
            return 0
        entry: FileSource = self.sources.file(source)
        return entry.unpacked or entry.bytes

    def _pictures(self, job: PlannedJob) -> float | None:
        """Pictures that a job works on; None where nobody knows before the data set is read."""
        names, splits = job.wildcards, _splits(self.preset.datasets[job.wildcards["dataset"]])
        split = names.get("split")
        if job.rule == "label_affinities":
            split = self.preset.on(names["dataset"]).affinity_networks[names["network"]].train.split
        count = splits.get(split)
        return count and count / int(names.get("scatteritem", "1-of-1").rpartition("-")[2])

    def _typical(self, dataset: str) -> tuple[float, float]:
        entry = self.preset.datasets[dataset]
        return (entry.size**2, 1.5) if isinstance(entry, Shapes) else TYPICAL.get(entry.kind, ANY_PICTURE)

    def _maps(self, names: Mapping[str, str]) -> float:
        pixels, classes = self._typical(names["dataset"])
        preset = self.preset.on(names["dataset"])
        stride = preset.explainer_of(names["explainer"], names["model"]).store_stride
        return MAP_BYTES * pixels * classes / stride**2

    def _posteriors(self, names: Mapping[str, str]) -> float:
        pixels, classes = self._typical(names["dataset"])
        labels = self.preset.on(names["dataset"]).affinity_networks[names["network"]].labels
        return 2 * POSTERIOR_BYTES * pixels * (classes + 1) / labels.store_stride**2

    def _mask(self, names: Mapping[str, str]) -> float:
        return MASK_BYTES * self._typical(names["dataset"])[0]


_PER_PICTURE: dict[str, Callable[[CostSheet, Mapping[str, str]], float]] = {
    "explain": CostSheet._maps,
    "label_affinities": CostSheet._posteriors,
    "refine_masks": CostSheet._mask,
    "random_walk": CostSheet._mask,
    "segment": CostSheet._mask,
}


def _splits(dataset: Any) -> Mapping[str, int]:
    """Pictures of each split, as far as they are known before the data set is there."""
    if isinstance(dataset, Shapes):
        return {name: getattr(dataset, name) for name in ("train", "trainaug", "val", "test")}
    if isinstance(dataset, Published):
        return dataset.options.get("expected") or _published(dataset.kind)
    return {}


@cache
def _published(kind: str) -> Mapping[str, int]:
    return getattr(import_module(f"seedbed.data.published.{kind}"), "EXPECTED", {})


def _hours(name: str, jobs: int, core_minutes: float, gpu_minutes: float) -> str:
    return f"{name:28}{jobs:>8}{core_minutes / 60:>13.1f}{gpu_minutes / 60:>12.1f}"


def _sizes(name: str, sizes: list[float]) -> str:
    return f"{name:28}" + "".join(f"{size / GIGABYTE:>9.1f} GB" for size in sizes)
