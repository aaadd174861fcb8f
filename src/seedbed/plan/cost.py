"""What a run would cost before it starts: jobs, hours that their declared runtimes allow, and room on disk."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from seedbed.data.raw.sources import FileSource, SourceTable
from seedbed.io.registrations import registrations
from seedbed.papers import Layout
from seedbed.params import Preset
from seedbed.params.data import PUBLISHED, Published, Shapes
from seedbed.plan.jobs import PlannedJob, Room

WEIGHTS = "weights"
GIGABYTE = 1e9
# Typical images: pixels, and classes an image.
TYPICAL = {"voc12": (375 * 500, 1.5), "coco14": (480 * 640, 2.9)}
ANY_IMAGE = (375 * 500, 1.0)
# Bytes a pixel after compression, measured on maps of 16-pixel patches, posteriors of a CRF and palette masks.
MAP_BYTES, POSTERIOR_BYTES, MASK_BYTES = 1.3, 0.8, 0.05
NETWORK_BYTES = {"train_classifier": 0.3e9, "train_affinity_network": 0.45e9, "train_segmenter": 0.5e9}


def cost_lines(jobs: Iterable[PlannedJob]) -> list[str]:
    """The cost sheet of the jobs that a run would start: a line a rule, then a line a data set; empty without jobs."""
    count: Counter[str] = Counter()
    core_minutes: defaultdict[str, float] = defaultdict(float)
    gpu_minutes: defaultdict[str, float] = defaultdict(float)
    needed = [job for job in jobs if job.needed]
    for job in needed:
        count[job.rule] += 1
        core_minutes[job.rule] += job.minutes * job.threads
        gpu_minutes[job.rule] += job.minutes * job.gpu
    if not count:
        return []
    found = [f"{'cost at most':28}{'jobs':>8}{'core-hours':>13}{'GPU-hours':>12}"]
    for name in sorted(count, key=lambda name: (-gpu_minutes[name], name)):
        found.append(_hours(name, count[name], core_minutes[name], gpu_minutes[name]))
    found.append(_hours("all", count.total(), sum(core_minutes.values()), sum(gpu_minutes.values())))
    found.append("Upper bounds from the declared runtimes (params.yaml, presets.*.resources), not forecasts.")
    return found + _disk([room for job in needed for room in job.room])


def _disk(rooms: Iterable[Room]) -> list[str]:
    sizes: defaultdict[tuple[str, str], float] = defaultdict(float)
    unknown: Counter[str] = Counter()
    for dataset, kind, size in rooms:
        sizes[dataset, kind] += size or 0
        unknown[dataset] += size is None and kind == "fetched"
    if not sizes:
        return []
    found = ["", f"{'disk, about':28}{'to fetch':>12}{'unpacked':>12}{'made':>12}"]
    names = sorted({dataset for dataset, _ in sizes})
    for name in names:
        more = unknown[name]
        note = f"  and {more} file{'s' * (more > 1)} of unpublished size" if more else ""
        found.append(_sizes(name, [sizes[name, kind] for kind in ("fetched", "unpacked", "made")]) + note)
    totals = [sum(sizes[name, kind] for name in names) for kind in ("fetched", "unpacked", "made")]
    found.append(_sizes("all", totals))
    return [*found, "Archives stay beside what is unpacked; a training run holds three times its network besides."]


class DiskForecast:
    """What jobs add on disk.

    Args:
        preset: for the data sets and the resolution at which maps are stored.
        sources: for the sizes of published files.
    """

    def __init__(self, preset: Preset, sources: SourceTable) -> None:
        self.preset, self.sources, self.on = preset, sources, cache(preset.on)

    def room(self, rule: str, names: Mapping[str, str]) -> list[Room]:
        """What a job of a rule adds, by the names in its path."""
        if rule == "fetch_source":
            source = self.sources.file(names["source"])
            here = Path(Layout(self.preset.name).archive(source.name, source.file)).exists()
            return [Room(source.dataset or WEIGHTS, "fetched", 0 if here else source.bytes)]
        if rule == "unpack_source":
            return [Room(names["dataset"], "unpacked", self._unpacked(names["dataset"], names["source"]))]
        if rule in NETWORK_BYTES:
            small = not self.preset.comparable  # the demo's networks
            return [Room(names["dataset"], "made", 2e6 if small else NETWORK_BYTES[rule])]
        if rule in _PER_IMAGE:
            images = self._images(rule, names)
            size = None if images is None else images * _PER_IMAGE[rule](self, names)
            return [] if size is None else [Room(names["dataset"], "made", size)]
        return []

    def _unpacked(self, dataset: str, source: str) -> float | None:
        """Bytes of an archive's content, taken as packed, since images do not shrink; 0 where it is only linked."""
        if getattr(self.preset.datasets[dataset], "path", None):
            return 0
        entry: FileSource = self.sources.file(source)
        return entry.unpacked or entry.bytes

    def _images(self, rule: str, names: Mapping[str, str]) -> float | None:
        """Images that a job works on; None where nobody knows before the data set is read."""
        splits = _splits(self.preset.datasets[names["dataset"]])
        split = names.get("split")
        if rule == "label_affinities":
            split = self.on(names["dataset"]).affinity_networks[names["network"]].train.split
        count = splits.get(split or "")
        return count and count / int(names.get("scatteritem", "1-of-1").rpartition("-")[2])

    def _typical(self, dataset: str) -> tuple[float, float]:
        entry = self.preset.datasets[dataset]
        return (entry.size**2, 1.5) if isinstance(entry, Shapes) else TYPICAL.get(entry.kind, ANY_IMAGE)

    def _maps(self, names: Mapping[str, str]) -> float:
        pixels, classes = self._typical(names["dataset"])
        preset = self.on(names["dataset"])
        stride = preset.explainer_of(names["explainer"], names["model"]).store_stride
        return MAP_BYTES * pixels * classes / stride**2

    def _posteriors(self, names: Mapping[str, str]) -> float:
        pixels, classes = self._typical(names["dataset"])
        labels = self.on(names["dataset"]).affinity_networks[names["network"]].labels
        return 2 * POSTERIOR_BYTES * pixels * (classes + 1) / labels.store_stride**2

    def _mask(self, names: Mapping[str, str]) -> float:
        return MASK_BYTES * self._typical(names["dataset"])[0]


_PER_IMAGE: dict[str, Callable[[DiskForecast, Mapping[str, str]], float]] = {
    "explain": DiskForecast._maps,
    "label_affinities": DiskForecast._posteriors,
    "refine_masks": DiskForecast._mask,
    "random_walk": DiskForecast._mask,
    "segment": DiskForecast._mask,
    "predict_masks": DiskForecast._mask,
}


def _splits(dataset: Any) -> Mapping[str, int]:
    """Images of each split, as far as they are known before the data set is there."""
    if isinstance(dataset, Shapes):
        return {name: getattr(dataset, name) for name in ("train", "trainaug", "val", "test")}
    if isinstance(dataset, Published):
        return dataset.options.get("expected") or _published(dataset.kind)
    return {}


@cache
def _published(kind: str) -> Mapping[str, int]:
    (entry,) = registrations(*PUBLISHED)[kind]
    return getattr(import_module(entry.module), "EXPECTED", {})


def _hours(name: str, jobs: int, core_minutes: float, gpu_minutes: float) -> str:
    return f"{name:28}{jobs:>8}{core_minutes / 60:>13.1f}{gpu_minutes / 60:>12.1f}"


def _sizes(name: str, sizes: list[float]) -> str:
    return f"{name:28}" + "".join(f"{size / GIGABYTE:>9.1f} GB" for size in sizes)
