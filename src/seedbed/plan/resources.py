"""Threads, GPUs, memory and time of each rule's jobs."""

from collections.abc import Callable
from typing import Any

from seedbed.data.own_size import largest_megapixels
from seedbed.papers import Layout
from seedbed.params import Preset
from seedbed.params.data import Folder
from seedbed.params.preset import TRAININGS
from seedbed.plan.names import Wildcards


class RuleResources:
    """Resources by rule; remembers which rules asked, so that parameters for others are found out.

    Args:
        preset: the checked preset.
        layout: where the indices of data sets lie.
    """

    def __init__(self, preset: Preset, layout: Layout) -> None:
        self.preset, self.layout = preset, layout
        self.rules: set[str] = set()
        self._largest: dict[str, float] = {}

    def threads(self, rule: str) -> int | Callable[[Wildcards], int]:
        """Threads that the parameters give a rule; a training's may differ by its network."""
        self.rules.add(rule)
        entry = self.preset.resources_for(rule)
        if not any("threads" in (others or {}) for others in entry.per_network.values()):
            return entry.threads
        return lambda wildcards: entry.of(getattr(wildcards, TRAININGS[rule][1])).threads

    def of(self, rule: str) -> dict[str, Any]:
        """``gpu``, ``mem_mb`` (megabytes) and ``runtime`` (minutes).

        Time and memory may differ by data set, a training's also by its network; both grow with each attempt, and with
        the size of your own images.
        """
        entry = self.preset.resources_for(rule)
        trained = TRAININGS[rule][1] if rule in TRAININGS else None

        def given(wildcards: Wildcards) -> Any:
            network = entry.of(getattr(wildcards, trained)) if trained else entry
            dataset = getattr(wildcards, "dataset", "")
            return network.on(dataset).for_images(self._megapixels(dataset))

        def growing(key: str) -> Callable[[Wildcards, int], int]:
            return lambda wildcards, attempt: getattr(given(wildcards), key) * attempt

        gpu = (lambda wildcards: given(wildcards).gpu) if entry.per_network else entry.gpu
        return {"gpu": gpu, "mem_mb": growing("mem_mb"), "runtime": growing("runtime")}

    def _megapixels(self, dataset: str) -> float:
        """Of the largest image of your own data set; 0 for others, whose resources are set for them."""
        entry = self.preset.datasets.get(dataset)
        if dataset not in self._largest:
            self._largest[dataset] = 0.0
            if isinstance(entry, Folder):
                index = self.layout.index(dataset)
                self._largest[dataset] = largest_megapixels(index, entry.path, entry.longest_side)
        return self._largest[dataset]
