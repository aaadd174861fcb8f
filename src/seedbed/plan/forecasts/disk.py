"""What jobs add on disk, before any of it is there."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from seedbed.data.raw.sources import FileSource, SourceTable
from seedbed.papers import Layout
from seedbed.params import Preset
from seedbed.plan.forecasts.typical import images_of, typical_image
from seedbed.plan.jobs import Room

WEIGHTS = "weights"
# Bytes a pixel after compression, measured on maps of 16-pixel patches, posteriors of a CRF and palette masks.
MAP_BYTES, POSTERIOR_BYTES, MASK_BYTES = 1.3, 0.8, 0.05
NETWORK_BYTES = {"train_classifier": 0.3e9, "train_affinity_network": 0.45e9, "train_segmenter": 0.5e9}


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
        if rule == "label_affinities":
            names = {**names, "split": self.on(names["dataset"]).affinity_networks[names["network"]].train.split}
        return images_of(self.preset.datasets[names["dataset"]], names)

    def _typical(self, dataset: str) -> tuple[float, float]:
        typical = typical_image(self.preset.datasets[dataset])
        return typical.pixels, typical.labels

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
