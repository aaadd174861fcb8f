"""Heat maps of whole images: scaled and mirrored views, explained in batches and fused to one map a class."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from seedbed.data.ahead import read_ahead
from seedbed.data.images import read_picture
from seedbed.data.index import DataIndex, Record
from seedbed.data.views import view
from seedbed.devices.memory import Fitting
from seedbed.errors import ImageSizeError
from seedbed.explain.call import explain
from seedbed.explain.evaluated import explained_on
from seedbed.explain.heatmap_settings import HeatMapSettings
from seedbed.explain.targets import ABSENT
from seedbed.explain.view_fusion import fuse_views
from seedbed.io.heatmaps import HeatMaps
from seedbed.models.outputs import logits_of


class _Views(NamedTuple):
    record: Record
    size: tuple[int, int]
    views: list[Tensor]


class Explained(NamedTuple):
    """The maps of one image's views, as a network gave them.

    Attributes:
        record: the image.
        size: its (height, width).
        classes: class indices, K of them.
        views: a float32 tensor [..., K, h, w] for each view, of any resolution; see `fuse`.
    """

    record: Record
    size: tuple[int, int]
    classes: tuple[int, ...]
    views: list[Tensor]

    def fuse(self, settings: HeatMapSettings) -> np.ndarray:
        """Fuse the views to float32 [..., K, H, W], at ``1 / store_stride`` of the image's size."""
        stride = settings.store_stride
        height, width = self.size
        size = (-(-height // stride), -(-width // stride))
        leading = self.views[0].shape[:-2]
        if 0 in leading:
            return np.zeros((*leading, *size), np.float32)
        flips = [flip for _, flip in _grid(settings)]
        flat = [maps.flatten(0, -3) for maps in self.views]
        fused = fuse_views(flat, flips, size, settings.fusion, **settings.fusion_options)
        return fused.unflatten(0, leading).numpy()


def picture_heatmaps(
    model: nn.Module,
    index: DataIndex,
    records: Sequence[Record],
    settings: HeatMapSettings,
    device: torch.device,
    block: int | None = None,
    threads: int = 2,
) -> Iterator[tuple[str, HeatMaps]]:
    """Yield (image id, heat maps) of each image, in order.

    Args:
        model: classifier.
        index: the data set.
        records: images to explain.
        settings: method, views, fusion, which classes, and the resolution of the stored maps.
        device: where to compute.
        block: batches end after so many images, see ``seedbed.data.index.together``; None if there are no shards.
        threads: read images ahead of the network, and as many fuse maps behind it.

    Raises:
        DataError: an image cannot be read.
        ParameterError, UserError: the method does not exist or cannot explain this network.
    """

    def run(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        return explain(model, images, targets, settings.method, **settings.options)

    def fused(item: Explained) -> tuple[str, HeatMaps]:
        return item.record.image, HeatMaps(np.asarray(item.classes, np.int64), item.fuse(settings), item.size)

    yield from read_ahead(
        explained_pictures(model, index, records, settings, device, run, block, threads), fused, threads
    )


@torch.no_grad()
def explained_pictures(
    model: nn.Module,
    index: DataIndex,
    records: Sequence[Record],
    settings: HeatMapSettings,
    device: torch.device,
    run: Callable[[nn.Module, Tensor, Tensor], Tensor],
    block: int | None = None,
    threads: int = 2,
) -> Iterator[Explained]:
    """Run something on all views of each image, in batches, and yield its maps of the image's own classes.

    Args:
        model, index, records, settings, device, block, threads: as in `picture_heatmaps`.
        run: takes (model, images [B, 3, H, W], targets [B, K]) and gives maps [B, ..., K, h, w].
    """
    model, fit = explained_on(model, device, settings.precision), Fitting("views of images")

    def maps_of(images: Tensor, targets: Tensor) -> Tensor:
        return run(model, images.to(device), targets).float().cpu()

    loaded = read_ahead(records, lambda record: _views(index, record, settings), threads)
    for batch in _batches(loaded, settings.batch_size, block or max(1, len(records))):
        with _misfits_named(batch):
            classes = _classes(model, index, batch, settings, device, fit)
            targets = _padded(classes, device)
            stacks = map(torch.stack, zip(*(item.views for item in batch), strict=True))
            maps = [fit(maps_of, stack, targets) for stack in stacks]
        for position, (item, own) in enumerate(zip(batch, classes, strict=True)):
            views = [layer[position][..., : len(own), :, :] for layer in maps]
            yield Explained(item.record, item.size, own, views)


@contextmanager
def _misfits_named(batch: list[_Views]) -> Iterator[None]:
    """Name the images whose size the network does not take."""
    try:
        yield
    except ImageSizeError as error:
        names = ", ".join(item.record.image for item in batch[:3]) + (", ..." if len(batch) > 3 else "")
        raise ImageSizeError(f"{names}: {error} Give the explainer an input.size, or leave them out.") from error


def _views(index: DataIndex, record: Record, settings: HeatMapSettings) -> _Views:
    image = read_picture(index.root / record.path)
    options: dict[str, Any] = {
        "size": settings.input.size,
        "interpolation": settings.input.interpolation,
        "multiple": settings.input.multiple,
        "normalisation": settings.input.normalize,
    }
    views = [view(image, scale=scale, flip=flip, **options) for scale, flip in _grid(settings)]
    return _Views(record, image.shape[:2], views)


def _grid(settings: HeatMapSettings) -> list[tuple[float, bool]]:
    return [(scale, flip) for scale in settings.scales for flip in ((False, True) if settings.flip else (False,))]


def _batches(items: Iterable[_Views], size: int, block: int) -> Iterator[list[_Views]]:
    """Neighbours of one block whose views have the same shapes, at most ``size`` at a time."""

    def kind(numbered: tuple[int, _Views]) -> tuple[int, list[tuple[int, ...]]]:
        return numbered[0] // block, [tuple(pixels.shape) for pixels in numbered[1].views]

    for _, same in groupby(enumerate(items), key=kind):
        batch: list[_Views] = []
        for _, item in same:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch


def _classes(
    model: nn.Module,
    index: DataIndex,
    batch: list[_Views],
    settings: HeatMapSettings,
    device: torch.device,
    fit: Fitting,
) -> list[tuple[int, ...]]:
    if settings.classes == "labels":
        return [index.class_indices(item.record) for item in batch]
    first = torch.stack([item.views[0] for item in batch])
    dtype = getattr(torch, settings.precision)
    logits = fit(lambda images: logits_of(model(images.to(device, dtype))), first)
    return [(int(label),) for label in logits.argmax(1)]


def _padded(classes: list[tuple[int, ...]], device: torch.device) -> Tensor:
    longest = max(1, max(map(len, classes)))
    return torch.tensor([[*own, *[ABSENT] * (longest - len(own))] for own in classes], device=device)
