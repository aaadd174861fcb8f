"""Parameters of jobs: the section `resources`."""

import math
from typing import Any, Self

from pydantic import Field, model_validator

from seedbed.params.base import Positive, Varied
from seedbed.params.merging import merge


class Resources(Varied):
    """What one job of a rule may use; memory and runtime may differ by data set, and a training by its network."""

    threads: Positive = 1
    gpu: int = Field(0, ge=0, description="training rules share one training among them, others use the first")
    mem_mb: Positive = 2000
    runtime: Positive = Field(30, description="limit in minutes, as a scheduler is told; no forecast")
    mem_mb_per_megapixel: int = Field(
        0,
        ge=0,
        description="for your own images, more for each megapixel of the largest beyond the first; runtime grows alike",
    )
    per_network: dict[str, dict[str, Any] | None] = Field(
        {}, description="trained network -> what its training takes instead; null: nothing else"
    )

    @model_validator(mode="after")
    def _jobs_alike(self) -> Self:
        for dataset, changes in self.per_dataset.items():
            if not set(changes) <= {"mem_mb", "runtime"}:
                raise ValueError(f"per_dataset.{dataset}: only mem_mb and runtime may differ")
        for network, others in self.per_network.items():
            if not set(others or ()) <= {"threads", "gpu", "mem_mb", "runtime"}:
                raise ValueError(f"per_network.{network}: only threads, gpu, mem_mb and runtime may differ")
            self._fitting(f"per_network.{network}", self.of, network)
        return self

    def of(self, network: str) -> Self:
        """The section as it is for the training of a network; what a data set changes is laid over it."""
        changes = self.per_network.get(network)
        if changes is None:
            return self
        values = merge(self.model_dump(exclude={"per_network"}), changes)
        return type(self).model_validate(values)

    def for_images(self, megapixels: float) -> Self:
        """The section as it is where the largest image has so many megapixels."""
        beyond = max(0.0, megapixels - 1)
        if not beyond or not self.mem_mb_per_megapixel:
            return self
        memory = self.mem_mb + math.ceil(self.mem_mb_per_megapixel * beyond)
        return self.model_copy(update={"mem_mb": memory, "runtime": math.ceil(self.runtime * (1 + beyond))})
