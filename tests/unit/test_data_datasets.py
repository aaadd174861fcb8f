"""Samples depend on (seed, epoch, position) alone; batches go on where they stopped."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from seedbed.data.datasets import (
    LabelledPictures,
    MaskedPictures,
    ResumableBatches,
    sample_seed,
    seeded,
    steps_per_epoch,
)
from seedbed.data.images import read_mask, read_picture
from seedbed.data.normalise import normalise
from seedbed.data.transforms import build_transform
from seedbed.errors import DataError

PLAIN = build_transform([{"normalize": "half"}])
RANDOM = build_transform([{"shift": 4}, {"horizontal_flip": 0.5}, {"color_jitter": [0.3] * 4}, {"normalize": "half"}])
MOVED = build_transform([{"shift": 4}, {"horizontal_flip": 0.5}, {"normalize": "half"}])


def truths(index):
    return {r.image: read_mask(index.root / r.mask, r.size, len(index.classes)) for r in index.records}


def positions(batches):
    return [[position for position, _ in batch] for batch in batches]


def test_a_labelled_picture(shapes):
    records = shapes.split("trainaug")
    pictures = LabelledPictures(shapes, records, PLAIN)
    assert len(pictures) == 8
    for position, record in enumerate(records):
        pixels, labels = pictures[position, 0]
        expected = normalise(torch.from_numpy(read_picture(shapes.root / record.path).copy()).permute(2, 0, 1), "half")
        torch.testing.assert_close(pixels, expected)
        assert type(pixels) is torch.Tensor
        assert labels.tolist() == [float(name in record.labels) for name in shapes.classes]


def test_a_sample_depends_on_its_seed_alone(shapes):
    pictures = LabelledPictures(shapes, shapes.records, RANDOM)
    torch.manual_seed(1)
    first = pictures[3, 17][0]
    torch.manual_seed(2)
    assert torch.equal(pictures[3, 17][0], first)
    assert not torch.equal(pictures[3, 18][0], first)


def test_augmenting_leaves_the_callers_generator_alone(shapes):
    pictures = LabelledPictures(shapes, shapes.records, RANDOM)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    pictures[0, 9]
    assert torch.equal(torch.rand(3), expected)
    with pytest.raises(ZeroDivisionError), seeded(3):
        raise ZeroDivisionError
    torch.manual_seed(5)
    with seeded(3):
        torch.rand(100)
    assert torch.equal(torch.rand(3), expected)


def test_two_views_are_augmented_each_on_its_own(shapes):
    one, other, labels = LabelledPictures(shapes, shapes.records, RANDOM, views=2)[2, 7]
    assert one.shape == other.shape
    assert not torch.equal(one, other)
    assert labels.shape == (6,)


def test_picture_and_mask_of_one_sample_move_together(shapes):
    masks = truths(shapes)
    plain = MaskedPictures(shapes, shapes.records, masks, PLAIN)
    pixels, labels = plain[1, 0]
    assert (pixels.dtype, labels.dtype) == (torch.float32, torch.int64)
    np.testing.assert_array_equal(labels.numpy(), masks[shapes.records[1].image])
    # The image's own brightness as a mask: where the moved mask is not void, it must equal the moved image.
    bright = {r.image: read_picture(shapes.root / r.path)[..., 0] // 2 for r in shapes.records}
    for seed in range(10):
        pixels, labels = MaskedPictures(shapes, shapes.records, bright, MOVED)[1, seed]
        inside = labels != 255
        assert torch.equal(((pixels[0] * 0.5 + 0.5) * 255).round().long()[inside] // 2, labels[inside])


def test_a_mask_of_another_size_is_named(shapes):
    masks = {record.image: np.zeros((48, 47), np.uint8) for record in shapes.records}
    with pytest.raises(DataError, match=r"2026_000001\.jpg: the mask is \(48, 47\), its image \(48, 48\)"):
        MaskedPictures(shapes, shapes.records, masks, PLAIN)[1, 0]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_loader_processes_change_nothing(shapes, workers):
    pictures = LabelledPictures(shapes, shapes.records, RANDOM)
    sampler = ResumableBatches(len(pictures), 4, 7, seed=3)
    expected = [torch.stack([pictures[key][0] for key in batch]) for batch in sampler]
    for (found, _), wanted in zip(
        DataLoader(pictures, batch_sampler=sampler, num_workers=workers), expected, strict=True
    ):
        assert torch.equal(found, wanted)


lengths = st.integers(1, 40)
seeds = st.integers(0, 2**31)


@given(lengths, st.integers(1, 12), seeds)
def test_every_epoch_is_a_permutation(length, batch_size, seed):
    per_epoch = steps_per_epoch(length, batch_size)
    batches = positions(ResumableBatches(length, batch_size, 3 * per_epoch, seed))
    epochs = [batches[k * per_epoch : (k + 1) * per_epoch] for k in range(3)]
    for epoch in epochs:
        seen = [position for batch in epoch for position in batch]
        assert len(seen) == len(set(seen))
        assert set(seen) <= set(range(length))
        assert len(seen) == (length // batch_size * batch_size or length)
    if length > 20:
        assert epochs[0] != epochs[1]


@given(lengths, st.integers(1, 12), seeds, st.data())
def test_resuming_gives_the_same_tail(length, batch_size, seed, data):
    total = data.draw(st.integers(1, 30))
    first = data.draw(st.integers(0, total))
    whole = list(ResumableBatches(length, batch_size, total, seed))
    tail = ResumableBatches(length, batch_size, total, seed, first_step=first)
    assert len(whole) == total
    assert len(tail) == total - first
    assert list(tail) == whole[first:]
    assert list(tail) == whole[first:]


@given(lengths, st.integers(1, 12), seeds, st.integers(1, 5))
def test_processes_share_out_each_global_batch(length, batch_size, seed, world_size):
    whole = list(ResumableBatches(length, batch_size, 12, seed))
    ranks = [ResumableBatches(length, batch_size, 12, seed, rank=r, world_size=world_size) for r in range(world_size)]
    for batch, *shares in zip(whole, *ranks, strict=True):
        assert sorted(key for share in shares for key in share) == sorted(batch)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_data_set_smaller_than_a_batch_is_one_batch():
    assert [sorted(batch) for batch in positions(ResumableBatches(3, 16, 4, seed=0))] == [[0, 1, 2]] * 4
    assert steps_per_epoch(3, 16) == 1
    assert steps_per_epoch(33, 16) == 2


@given(seeds, st.integers(0, 2**32 - 1), st.integers(0, 10**6))
def test_sample_seeds_fit_a_generator_and_differ(seed, epoch, position):
    value = sample_seed(seed, epoch, position)
    assert 0 <= value < 2**63
    torch.Generator().manual_seed(value)
    others = {sample_seed(seed + 1, epoch, position), sample_seed(seed, epoch, position + 1)}
    assert value not in others
    assert value == sample_seed(seed, epoch, position)


def test_seeds_of_order_and_samples_change_with_the_runs_seed():
    one, other = (list(ResumableBatches(30, 10, 3, seed)) for seed in (0, 1))
    assert positions([one[0]]) != positions([other[0]])
    assert {seed for _, seed in one[0]}.isdisjoint(seed for _, seed in other[0])
    samples = [seed for batch in ResumableBatches(10, 10, 6, 0) for _, seed in batch]
    assert len(set(samples)) == 60
