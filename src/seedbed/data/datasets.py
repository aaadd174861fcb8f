"""Torch data sets over an index, and the batch order that makes training resumable.

Everything random about a sample depends on (seed, epoch, position) alone, so the number of loader processes, a kill and
a resume change nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from torchvision import tv_tensors

from seedbed.data.images import read_picture
from seedbed.data.index import DataIndex, Record
from seedbed.data.scaling import start_batch
from seedbed.errors import DataError

SampleKey = tuple[int, int]
"""(position in the data set, seed of the sample's augmentation)."""


class LabelledPictures(Dataset):
    """Images with multi-hot labels: ``(float32 [3, H, W], float32 [C])``; a transform must normalise.

    With ``views=2`` a sample is ``(view, other view, labels)``, each view augmented on its own.
    """

    def __init__(self, index: DataIndex, records: Sequence[Record], transform: Callable, views: int = 1) -> None:
        self.index, self.records, self.transform, self.views = index, records, transform, views

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: SampleKey) -> tuple[Tensor, ...]:
        position, seed = key
        record = self.records[position]
        image = _as_image(read_picture(self.index.root / record.path))
        labels = torch.zeros(len(self.index.classes))
        labels[list(self.index.class_indices(record))] = 1
        with seeded(seed):
            return (*(self.transform(image).as_subclass(Tensor) for _ in range(self.views)), labels)


class MaskedPictures(Dataset):
    """Images with masks: ``(float32 [3, H, W], int64 [H, W])``; masks come from ``masks`` by image id."""

    def __init__(
        self, index: DataIndex, records: Sequence[Record], masks: Mapping[str, np.ndarray], transform: Callable
    ) -> None:
        self.index, self.records, self.masks, self.transform = index, records, masks, transform

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: SampleKey) -> tuple[Tensor, Tensor]:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[SampleKey]) -> list[tuple[Tensor, Tensor]]:
        """A batch at once, for transforms that share a choice; the seed of the global batch's first sample makes it."""
        with seeded(keys.batch_seed if isinstance(keys, Share) else keys[0][1]):
            start_batch(self.transform)
        return [self._sample(*key) for key in keys]

    def _sample(self, position: int, seed: int) -> tuple[Tensor, Tensor]:
        record = self.records[position]
        image = read_picture(self.index.root / record.path)
        mask = self.masks[record.image]
        if mask.shape != image.shape[:2]:
            raise DataError(f"{record.path}: the mask is {mask.shape}, its image {image.shape[:2]}.")
        with seeded(seed):
            pixels, labels = self.transform(_as_image(image), tv_tensors.Mask(torch.from_numpy(mask)))
        return pixels.as_subclass(Tensor), labels.as_subclass(Tensor).long()


class Share(list[SampleKey]):
    """A rank's sample keys of a global batch, and the seed of that batch's first sample."""

    batch_seed: int


class ResumableBatches(Sampler[list[SampleKey]]):
    """Batches of sample keys for steps ``first_step .. total_steps``; each epoch is a new permutation.

    Args:
        length: number of samples.
        batch_size: samples of a global batch; the incomplete last batch of an epoch is dropped, unless the data set is
            smaller than one batch.
        total_steps: steps of the whole training.
        seed: seed of the order and of the augmentation.
        first_step: steps that are already done.
        rank, world_size: this process takes the ``rank``-th of ``world_size`` shares of each global batch; see `share`.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        total_steps: int,
        seed: int,
        first_step: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.length, self.batch_size, self.total_steps, self.seed = length, min(batch_size, length), total_steps, seed
        self.first_step, self.rank, self.world_size = first_step, rank, world_size

    def __len__(self) -> int:
        return self.total_steps - self.first_step

    def __iter__(self) -> Iterator[list[SampleKey]]:
        per_epoch = steps_per_epoch(self.length, self.batch_size)
        epoch, order = -1, np.empty(0, np.int64)
        for step in range(self.first_step, self.total_steps):
            if step // per_epoch != epoch:
                epoch = step // per_epoch
                order = np.random.default_rng((self.seed, epoch)).permutation(self.length)
            start = step % per_epoch * self.batch_size
            chosen = order[start : start + self.batch_size]
            keys = Share(
                self._key(epoch, position) for position in chosen[share(len(chosen), self.rank, self.world_size)]
            )
            keys.batch_seed = self._key(epoch, chosen[0])[1]
            yield keys

    def _key(self, epoch: int, position: np.int64) -> SampleKey:
        return int(position), sample_seed(self.seed, epoch, int(position))


def share(count: int, rank: int, size: int) -> slice:
    """Rows of ``count`` that belong to ``rank``: contiguous, the first ranks have one more where they do not divide."""
    small, larger = divmod(count, size)
    start = rank * small + min(rank, larger)
    return slice(start, start + small + (rank < larger))


def steps_per_epoch(length: int, batch_size: int) -> int:
    """Full batches in one pass over the data, at least one."""
    return max(1, length // batch_size)


def sample_seed(seed: int, epoch: int, position: int) -> int:
    """A 63-bit seed for one sample of one epoch."""
    return int(np.random.SeedSequence((seed, epoch, position)).generate_state(1, np.uint64)[0] >> 1)


def _as_image(image: np.ndarray) -> tv_tensors.Image:
    return tv_tensors.Image(torch.from_numpy(image.copy()).permute(2, 0, 1))


class seeded:
    """Seed torch's generator inside the block and put it back afterwards."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __enter__(self) -> None:
        self.state = torch.get_rng_state()
        torch.default_generator.manual_seed(self.seed)  # the CPU generator alone: no device is touched

    def __exit__(self, *_: object) -> None:
        torch.set_rng_state(self.state)
