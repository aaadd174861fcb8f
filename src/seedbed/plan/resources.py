"""Threads, GPUs, memory and time of each rule's jobs."""

from collections.abc import Callable
from typing import Any

from seedbed.params import Preset
from seedbed.params.preset import TRAININGS
from seedbed.plan.names import Wildcards


class RuleResources:
    """Resources by rule; remembers which rules asked, so that parameters for others are found out.

    Args:
        preset: the checked preset.
    """

    def __init__(self, preset: Preset) -> None:
        self.preset = preset
        self.rules: set[str] = set()

    def threads(self, rule: str) -> int:
        """Threads that the parameters give a rule."""
        self.rules.add(rule)
        return self.preset.resources_for(rule).threads

    def of(self, rule: str) -> dict[str, Any]:
        """``gpu``, ``mem_mb`` (megabytes) and ``runtime`` (minutes).

        Time and memory may differ by data set, a training's also by its network; both grow with each attempt.
        """
        entry = self.preset.resources_for(rule)
        trained = TRAININGS[rule][1] if rule in TRAININGS else None

        def given(wildcards: Wildcards) -> Any:
            network = entry.of(getattr(wildcards, trained)) if trained else entry
            return network.on(getattr(wildcards, "dataset", ""))

        def growing(key: str) -> Callable[[Wildcards, int], int]:
            return lambda wildcards, attempt: getattr(given(wildcards), key) * attempt

        gpu = (lambda wildcards: given(wildcards).gpu) if entry.per_network else entry.gpu
        return {"gpu": gpu, "mem_mb": growing("mem_mb"), "runtime": growing("runtime")}
