"""What a measurement of explanations works on: a shard's images, squashed to the network's input, and their maps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from seedbed.data.ahead import read_ahead
from seedbed.data.images import read_picture
from seedbed.data.index import DataIndex, Record
from seedbed.data.normalise import normalisation
from seedbed.data.views import view
from seedbed.devices.memory import Fitting
from seedbed.errors import DataError, ParameterError
from seedbed.explain.call import explain
from seedbed.explain.heatmap_settings import HeatMapSettings
from seedbed.explain.map_scaling import upsample
from seedbed.models.outputs import logits_of


class _Counter(Protocol):
    """What counts in shards."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self: ...


Counter = TypeVar("Counter", bound=_Counter)
"""What counts images: with ``update``, ``to_dict`` and ``from_dict``."""


class Batch(NamedTuple):
    """Images [B, 3, H, W], in 0..1 and normalised; ``start`` is the first one's place in the shard."""

    start: int
    records: list[Record]
    images: Tensor
    inputs: Tensor


class Setting(NamedTuple):
    """A network, the shard's images, how they are explained, and what was counted of the shard before.

    ``explained`` is the same network in the explainer's precision, where that is another one.
    """

    model: nn.Module
    index: DataIndex  # type: ignore[assignment]  # hides tuple.index
    records: Sequence[Record]
    explainer: HeatMapSettings
    device: torch.device
    fit: Fitting
    block: int | None = None
    begun: Mapping[str, Any] | None = None
    explained: nn.Module | None = None

    def counter(self, fresh: Counter, part: str | None = None) -> Counter:
        """What counts: ``fresh``, or one of its kind that goes on from what was begun, or from a part of that."""
        if self.begun is None:
            return fresh
        return type(fresh).from_dict(self.begun if part is None else self.begun[part])

    def sized(self, size: Sequence[int] | None) -> "Setting":
        """The same with images squashed to a size, (h, w), where the explainer says none."""
        if size is None or self.explainer.input.size is not None:
            return self
        height, width = size
        shown = replace(self.explainer.input, size=(height, width))
        return self._replace(explainer=replace(self.explainer, input=shown))

    def batches(self) -> Iterator[Batch]:
        """The shard's images in batches.

        Raises:
            ParameterError: the explainer has no input size, so images do not fit together.
        """
        if self.explainer.input.size is None:
            raise ParameterError(f"Measuring '{self.explainer.method}' needs an explainer with an input size.")
        start, waiting = 0, []
        for item in read_ahead(self.records, lambda record: (record, self._load(record))):
            waiting.append(item)
            at_end_of_block = self.block is not None and (start + len(waiting)) % self.block == 0
            if len(waiting) == self.explainer.batch_size or at_end_of_block:
                yield self._batch(start, waiting)
                start, waiting = start + len(waiting), []
        if waiting:
            yield self._batch(start, waiting)

    def logits(self, batch: Batch) -> Tensor:
        """Class scores [B, C].

        Raises:
            ParameterError: the network does not take images of the explainer's input size.
        """
        try:
            return self.fit(lambda inputs: logits_of(self.model(inputs)), batch.inputs)
        except AssertionError as error:  # timm's checks of the image size
            size = tuple(self.explainer.input.size) if self.explainer.input.size else "of each image"
            raise ParameterError(
                f"The network does not take the explainer's input size {size}: {error} Set explainers.*.input.size."
            ) from error

    def maps(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Maps [B, K, H, W] of the classes ``targets`` [B, K], enlarged to the input's size."""

        def maps(inputs: Tensor, targets: Tensor) -> Tensor:
            network, how = self.explained or self.model, self.explainer
            maps = explain(network, inputs, targets, how.method, **how.options)
            return upsample(maps.float(), (inputs.shape[-2], inputs.shape[-1]))

        return self.fit(maps, inputs, targets)

    def label(self, record: Record) -> int:
        """The one class of an image.

        Raises:
            DataError: it has none or several.
        """
        classes = self.index.class_indices(record)
        if len(classes) != 1:
            raise DataError(
                f"{self.index.root}: image '{record.image}' has {len(classes)} labels; the protocol needs one."
            )
        return classes[0]

    def labels(self, batch: Batch) -> Tensor:
        """The one class of each image, int64 [B].

        Raises:
            DataError: an image has none or several, or the network's classes are not the data set's.
        """
        classes, known = len(self.index.classes), getattr(self.model, "num_classes", None)
        if known is not None and known != classes:
            raise DataError(
                f"{self.index.root}: the network has {known} classes and the data set {classes}; a label is no class "
                "index of this network. Explain the predicted class, or take a network of these classes."
            )
        return torch.tensor([self.label(record) for record in batch.records], device=self.device)

    def statistics(self) -> dict[str, list[float]]:
        """Mean and standard deviation of each channel that the network's input is normalised with."""
        mean, std = normalisation(self.explainer.input.normalize)
        return {"mean": mean.flatten().tolist(), "std": std.flatten().tolist()}

    def _load(self, record: Record) -> Tensor:
        return view(
            read_picture(self.index.root / record.path),
            size=self.explainer.input.size,
            interpolation=self.explainer.input.interpolation,
            multiple=self.explainer.input.multiple,
            normalisation="none",
        )

    def _batch(self, start: int, items: list[tuple[Record, Tensor]]) -> Batch:
        mean, std = (value.to(self.device) for value in normalisation(self.explainer.input.normalize))
        images = torch.stack([pixels for _, pixels in items]).to(self.device)
        return Batch(start, [record for record, _ in items], images, (images - mean) / std)
