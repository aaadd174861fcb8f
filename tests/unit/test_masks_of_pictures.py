"""From heat maps to masks, image by picture: refiners, posteriors for affinity labels, and the random walk."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from seedbed.data.images import read_picture
from seedbed.data.index import DataIndex
from seedbed.data.views import view
from seedbed.data.workers import Workers
from seedbed.errors import DataError
from seedbed.io.heatmaps import HeatMaps
from seedbed.io.weights import write_weights
from seedbed.models import create_model
from seedbed.params.stages import AffinityLabels, AffinityNetwork, Crf
from seedbed.refine.affinity_walk import random_walk_refiner
from seedbed.refine.confident import mean_pool
from seedbed.refine.crf import dense_crf, dense_crf_labels
from seedbed.refine.crf_image import picture_for_crf
from seedbed.refine.crf_labels import label_crf
from seedbed.refine.mask_making import argmax_refiner, crf_refiner, pseudo_masks, score_stack
from seedbed.refine.pairs import affinity_matrix, affinity_offsets
from seedbed.refine.posteriors import BACKGROUND, confident_posteriors
from seedbed.refine.random_walk_masks import RandomWalk
from seedbed.refine.refiners import Given
from seedbed.refine.resize import at_picture_size

CPU = torch.device("cpu")
CRF = Crf(iterations=3, gaussian_sxy=1.5, gaussian_weight=3, bilateral_sxy=25, bilateral_srgb=7, bilateral_weight=6)


def maps_of(index, shape=(48, 48), seed=0):
    """Random maps in 0..1 of every label, by image id."""
    rng = np.random.default_rng(seed)

    def draw(record):
        classes = np.array(index.class_indices(record))
        return HeatMaps(classes, rng.random((len(classes), *shape), np.float32), record.size)

    return {record.image: draw(record) for record in index.records}


def picture_of(index, record):
    return read_picture(index.root / record.path)


def several(index):
    return next(record for record in index.records if len(record.labels) > 1)


def test_argmax_by_hand(shapes):
    heat = maps_of(shapes)
    found = dict(pseudo_masks(shapes, shapes.split("val"), heat, argmax_refiner(0.4)))
    assert list(found) == [record.image for record in shapes.split("val")]
    for image, mask in found.items():
        maps, classes = heat[image].maps, heat[image].classes
        expected = np.where(maps.max(0) > 0.4, classes[maps.argmax(0)] + 1, 0)
        assert (mask.dtype, mask.shape) == (np.uint8, (48, 48))
        np.testing.assert_array_equal(mask, expected)


def test_background_wins_a_tie(shapes):
    record = shapes.records[0]
    heat = {record.image: HeatMaps(np.array([3]), np.full((1, 48, 48), 0.5, np.float32), (48, 48))}
    ((_, mask),) = pseudo_masks(shapes, [record], heat, argmax_refiner(0.5))
    assert not mask.any()


def test_only_the_classes_of_the_maps_appear(shapes):
    """Whatever the image's labels are, and whatever order the maps come in."""
    record = shapes.records[0]
    maps = np.random.default_rng(0).random((2, 48, 48), np.float32)
    heat = {record.image: HeatMaps(np.array([5, 2]), maps, (48, 48))}
    ((_, mask),) = pseudo_masks(shapes, [record], heat, argmax_refiner(0.2))
    assert np.unique(mask).tolist() == [0, 3, 6]


def test_a_picture_without_classes_is_background(shapes):
    record = shapes.records[0]
    heat = {record.image: HeatMaps(np.zeros(0, int), np.zeros((0, 6, 6), np.float32), (48, 48))}

    def never(*_):
        raise AssertionError("there is nothing to refine")

    ((_, mask),) = pseudo_masks(shapes, [record], heat, never)
    np.testing.assert_array_equal(mask, np.zeros((48, 48), np.uint8))


def test_maps_of_another_picture_are_refused(shapes):
    record = shapes.records[0]
    heat = {record.image: HeatMaps(np.array([0]), np.zeros((1, 6, 6), np.float32), (48, 50))}
    with pytest.raises(DataError, match=r"2026_000000\.jpg: is \(48, 48\), but its heat maps were made for \(48, 50\)"):
        list(pseudo_masks(shapes, [record], heat, argmax_refiner(0.4)))


def test_more_classes_than_a_byte_holds_are_refused(shapes):
    index = DataIndex(shapes.root, tuple(f"c{k}" for k in range(255)), shapes.records)
    with pytest.raises(DataError, match="masks hold 254 classes at most, not 255"):
        list(pseudo_masks(index, shapes.records, {}, argmax_refiner(0.4)))


@pytest.mark.parametrize("alpha", [None, 4.0])
def test_the_crf_refiner_by_hand(shapes, alpha):
    record = several(shapes)
    heat = maps_of(shapes)[record.image]
    ((_, mask),) = pseudo_masks(shapes, [record], {record.image: heat}, crf_refiner(CRF, alpha, 0.4))
    background = (1 - heat.maps.max(0)) ** 4 if alpha else np.full((48, 48), 0.4, np.float32)
    scores = np.concatenate([background[None], heat.maps]).astype(np.float32)
    labels = dense_crf_labels(picture_of(shapes, record), scores, CRF)
    np.testing.assert_array_equal(mask, np.array([0, *(heat.classes + 1)])[labels])


def test_score_stack():
    maps = np.array([[[-1.0, 0.25]], [[0.5, 2.0]]], np.float32)
    np.testing.assert_array_equal(score_stack(maps, None, 0.3)[:, 0], np.float32([[0.3, 0.3], [0, 0.25], [0.5, 1]]))
    np.testing.assert_array_equal(score_stack(maps, 2.0, None)[0, 0], np.float32([0.25, 0]))
    assert maps[0, 0, 0] == -1


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 9))
def test_enlarged_maps_stay_within_their_values(seed, height, width):
    maps = np.random.default_rng(seed).random((2, height, width)).astype(np.float32)
    found = at_picture_size(HeatMaps(np.array([0, 1]), maps, (17, 23)))
    assert (found.maps.shape, found.maps.dtype) == ((2, 17, 23), np.float32)
    assert found.maps.min() >= maps.min() - 1e-6
    assert found.maps.max() <= maps.max() + 1e-6


def test_enlargement_by_hand():
    """Half-pixel centres: a ramp of two becomes 0, 1/4, 3/4, 1; undefined maps become 0; own size stays as it is."""
    ramp = np.array([[[0.0, 1.0]], [[np.nan, 1.0]]], np.float32)
    found = at_picture_size(HeatMaps(np.array([0, 1]), ramp, (1, 4)))
    np.testing.assert_allclose(found.maps, [[[0, 0.25, 0.75, 1]], [[0, 0.25, 0.75, 1]]], atol=1e-7)
    whole = HeatMaps(np.array([0]), np.array([[[0.5, np.nan]]], np.float32), (1, 2))
    np.testing.assert_array_equal(at_picture_size(whole).maps, np.float32([[[0.5, 0]]]))
    empty = HeatMaps(np.zeros(0, int), np.zeros((0, 3, 3), np.float32), (6, 6))
    assert at_picture_size(empty).classes.size == 0


def test_posteriors_are_the_crfs_under_two_backgrounds(shapes):
    labels = AffinityLabels(crf="any", alpha_low=2, alpha_high=8, rule="psa")
    heat, records = maps_of(shapes, (12, 12)), [several(shapes), shapes.records[-1]]
    found = {image: (low, high) for image, low, high in confident_posteriors(shapes, records, heat, labels, CRF)}
    assert list(found) == [record.image for record in records]
    for record in records:
        maps = at_picture_size(heat[record.image]).maps
        for part, alpha in zip(found[record.image], (2, 8), strict=True):
            scores = np.concatenate([((1 - maps.max(0)) ** alpha)[None], maps]).astype(np.float32)
            expected = dense_crf(picture_of(shapes, record), scores, CRF)
            np.testing.assert_allclose(part.maps, expected, atol=1e-5)
            np.testing.assert_array_equal(part.classes, [BACKGROUND, *heat[record.image].classes])
            assert part.size == (48, 48)
        assert found[record.image][0].maps[0].mean() > found[record.image][1].maps[0].mean()


def test_posteriors_may_be_stored_smaller(shapes):
    labels = AffinityLabels(crf="any", constants=(0.6, 0.25), rule="transcam")
    heat, records = maps_of(shapes, (48, 48)), [several(shapes)]
    coarse = labels.model_copy(update={"store_stride": 5})
    ((_, whole, _),) = confident_posteriors(shapes, records, heat, labels, CRF)
    ((_, small, _),) = confident_posteriors(shapes, records, heat, coarse, CRF)
    assert small.maps.shape[-2:] == (10, 10) and small.size == whole.size == (48, 48)
    np.testing.assert_allclose(small.maps[:, 0, 0], whole.maps[:, :5, :5].mean((1, 2)), atol=1e-6)
    np.testing.assert_allclose(small.maps.sum(0), 1, atol=1e-5)


class Pairs(nn.Module):
    """Affinities of neighbouring cells from their mean colours: alike is 1, unlike less."""

    def __init__(self, radius, stride):
        super().__init__()
        self.radius, self.stride = radius, stride
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, pictures):
        cells = F.avg_pool2d(pictures, self.stride)
        _, _, h, w = cells.shape
        rows, columns = h - self.radius + 1, w - 2 * (self.radius - 1)
        inner = cells[..., :rows, self.radius - 1 : self.radius - 1 + columns]
        differences = [
            (cells[..., dy : dy + rows, self.radius - 1 + dx :][..., :columns] - inner).abs().mean(1)
            for dy, dx in affinity_offsets(self.radius).tolist()
        ]
        return SimpleNamespace(pairs=torch.exp(-self.scale * torch.stack(differences, 1).flatten(2)))

    def features(self, pictures):
        return F.avg_pool2d(pictures, self.stride)


TRAIN = {"augment": [], "loss": "affinity", "lr": 0.1, "batch_size": 1, "epochs": 1}


def network(size):
    return AffinityNetwork.model_validate(
        {
            "architecture": "pairs",
            "stride": 4,
            "radius": 3,
            "labels": {"crf": "any", "alpha_low": 2, "alpha_high": 8, "rule": "psa"},
            "input": {"size": size, "normalize": "half"},
            "train": TRAIN,
        }
    )


def dense_walk(cells, pairs, beta, steps):
    """Columns of the squared affinities summed to one, and the vectors taken through them step by step."""
    _, h, w = cells.shape
    weights = affinity_matrix(pairs, h, w)
    weights = np.asarray(weights.todense() if hasattr(weights, "todense") else weights) ** beta
    transition = weights / weights.sum(0, keepdims=True)
    vectors = cells.reshape(len(cells), -1)
    for _ in range(steps):
        vectors = vectors @ transition
    return vectors.reshape(cells.shape)


def walked_by_hand(picture, heat, settings, size):
    """The refiner's chain for an image of 44 x 42 or squashed: pad or squash, pool, walk, enlarge, crop."""
    maps = heat.maps
    background = (1 - maps.max(0)) ** settings.alpha if settings.alpha else np.full(maps.shape[1:], settings.background)
    scores = torch.from_numpy(np.concatenate([background[None], maps]).astype(np.float32))
    pixels = view(picture, size=size, normalisation="half")
    height, width = picture.shape[:2]
    if size is None:
        pixels = F.pad(pixels, (0, -width % 4, 0, -height % 4))
        target = (height + -height % 4, width + -width % 4)
    else:
        scores = F.interpolate(scores[None], size, mode="bilinear", align_corners=False)[0]
        target = (height, width)
    cells = mean_pool(scores.numpy().astype(np.float64), 4)
    with torch.no_grad():
        pairs = Pairs(3, 4)(pixels[None]).pairs[0].double().numpy()
    walked = dense_walk(cells, pairs, settings.beta, 2**settings.log2_steps)
    return F.interpolate(torch.from_numpy(walked)[None], target, mode="bilinear")[0, :, :height, :width].numpy()


@pytest.mark.parametrize("size", [None, (32, 40)])
@pytest.mark.parametrize("background", [{"alpha": 2}, {"background": 0.3}])
def test_the_random_walk_refiner_by_hand(size, background):
    settings = RandomWalk(network="n", beta=2, log2_steps=3, **background)
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (44, 42, 3), np.uint8)
    heat = HeatMaps(np.array([1, 4]), rng.random((2, 44, 42), np.float32), (44, 42))
    refine = random_walk_refiner(settings, network(size), Pairs(3, 4), None, CPU, 3)
    expected = walked_by_hand(picture, heat, settings, size)
    found = refine(picture, heat)
    assert found.shape == (44, 42)
    margin = np.sort(expected, axis=0)
    clear = margin[-1] - margin[-2] > 1e-6
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(found[clear], expected.argmax(0)[clear])


@pytest.mark.parametrize("crf", [None, CRF])
def test_processes_beside_the_network_change_nothing(shapes, crf):
    settings = RandomWalk(network="n", beta=2, log2_steps=3, alpha=2)
    refine = random_walk_refiner(settings, network(None), Pairs(3, 4), crf, CPU, 7)
    rng, records = np.random.default_rng(3), shapes.split("val")[:5]
    heat = {
        record.image: HeatMaps(np.arange(number), rng.random((number, *record.size), np.float32), record.size)
        for number, record in enumerate(records)  # the first has no class
    }
    alone = list(pseudo_masks(shapes, records, heat, refine))
    with Workers(2) as workers:
        beside = list(pseudo_masks(shapes, records, heat, refine.walk, see=refine.see, workers=workers))
    assert [image for image, _ in alone] == [image for image, _ in beside] == [record.image for record in records]
    for (_, one), (_, other) in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(mask.any() for _, mask in alone)


def test_the_crf_after_the_walk_sees_a_distribution():
    settings = RandomWalk(network="n", beta=2, log2_steps=2, alpha=2)
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (48, 48, 3), np.uint8)
    heat = HeatMaps(np.array([1]), rng.random((1, 48, 48), np.float32), (48, 48))
    walked = walked_by_hand(picture, heat, settings, None)
    probabilities = (walked / walked.sum(0)).astype(np.float32)
    expected = dense_crf_labels(picture, probabilities, CRF)
    found = random_walk_refiner(settings, network(None), Pairs(3, 4), CRF, CPU, 3)(picture, heat)
    assert float((found == expected).mean()) > 0.99


@pytest.mark.parametrize("how", ["own", "rebuilt_float64"])
def test_a_crf_on_labels_sees_only_the_winners(how):
    settings = RandomWalk(
        network="n",
        beta=2,
        log2_steps=2,
        background=0.45,
        crf="c",
        crf_on="labels",
        crf_image=how,
    )
    rng = np.random.default_rng(2)
    picture = rng.integers(0, 256, (48, 48, 3), np.uint8)
    heat = HeatMaps(np.array([1, 4]), rng.random((2, 48, 48), np.float32), (48, 48))
    labels = np.array([0, 2, 5])[walked_by_hand(picture, heat, settings, None).argmax(0)]
    expected = label_crf(picture_for_crf(picture, how), labels, 7, preset=CRF)
    found = random_walk_refiner(settings, network(None), Pairs(3, 4), CRF, CPU, 7)(picture, heat)
    assert len(np.unique(expected)) > 1 and float((np.array([0, 2, 5])[found] == expected).mean()) > 0.99


def transcam_walk(**changes):
    fixed = {"network": "n", "beta": 2, "log2_steps": 2, "background": 0.45}
    return RandomWalk(**fixed, **changes)


def test_the_crf_may_see_the_padded_picture():
    """Its result is cropped, so that the padding, of the mean colour and without scores, speaks along the border."""
    settings = transcam_walk(crf="c", crf_on="labels", crf_extent="padded")
    rng = np.random.default_rng(2)
    picture = rng.integers(0, 256, (45, 41, 3), np.uint8)
    heat = HeatMaps(np.array([1, 4]), rng.random((2, 45, 41), np.float32), (45, 41))
    padded = np.zeros((3, 48, 44), np.float32)
    padded[:, :45, :41] = np.concatenate([np.full((1, 45, 41), 0.45, np.float32), heat.maps])
    cells = mean_pool(padded.astype(np.float64), 4)
    pixels = F.pad(view(picture, size=None, normalisation="half"), (0, 3, 0, 3))
    with torch.no_grad():
        pairs = Pairs(3, 4)(pixels[None]).pairs[0].double().numpy()
    walked = F.interpolate(torch.from_numpy(dense_walk(cells, pairs, 2, 4))[None], (48, 44), mode="bilinear")[0].numpy()
    shown = np.full((48, 44, 3), [123, 116, 103], np.uint8)
    shown[:45, :41] = picture
    expected = label_crf(shown, np.array([0, 2, 5])[walked.argmax(0)], 7, preset=CRF)
    found = random_walk_refiner(settings, network(None), Pairs(3, 4), CRF, CPU, 7)(picture, heat)
    assert found.shape == (45, 41) and len(np.unique(expected)) > 1
    assert float((np.array([0, 2, 5])[found] == expected[:45, :41]).mean()) > 0.99


@pytest.mark.parametrize(("size", "radius"), [((44, 28), 3), ((44, 24), 2), ((20, 44), 2)])
def test_the_radius_shrinks_on_small_images(size, radius):
    rng = np.random.default_rng(3)
    picture = rng.integers(0, 256, (*size, 3), np.uint8)
    heat = HeatMaps(np.array([1]), rng.random((1, *size), np.float32), size)
    refine = random_walk_refiner(transcam_walk(shrink_radius=True), network(None), Pairs(3, 4), None, CPU, 3)
    pixels = view(picture, size=None, normalisation="half")
    with torch.no_grad():
        pairs = Pairs(radius, 4)(pixels[None]).pairs[0].double().numpy()
    cells = mean_pool(np.concatenate([np.full((1, *size), 0.45), heat.maps.astype(np.float64)]), 4)
    walked = dense_walk(cells, pairs, 2, 4)
    expected = F.interpolate(torch.from_numpy(walked)[None], size, mode="bilinear")[0].numpy().argmax(0)
    assert float((refine(picture, heat) == expected).mean()) > 0.99


@pytest.mark.parametrize(
    ("size", "shrink"), [((16, 44), True), ((44, 16), True), ((8, 100), False), ((12, 16), False), ((1, 1), True)]
)
def test_maps_of_an_image_too_small_for_a_pair_stay_as_they_are(size, shrink):
    """Pairs of radius 3 need 3 x 5 cells of 4 pixels, or 5 x 5 where the radius shrinks."""
    rng = np.random.default_rng(5)
    refine = random_walk_refiner(transcam_walk(shrink_radius=shrink), network(None), Pairs(3, 4), None, CPU, 3)
    heat = HeatMaps(np.array([1]), rng.random((1, *size), np.float32), size)
    cells = mean_pool(np.concatenate([np.full((1, *size), 0.45), heat.maps.astype(np.float64)]), 4)
    whole = F.interpolate(torch.from_numpy(cells)[None], scale_factor=4, mode="bilinear")[0].numpy()
    found = refine(rng.integers(0, 256, (*size, 3), np.uint8), heat)
    np.testing.assert_array_equal(found, whole.argmax(0)[: size[0], : size[1]])


def test_images_too_small_for_a_walk_are_counted_and_named(shapes, tmp_path, caplog):
    model = create_model("affinitynet_resnet38_tiny")
    write_weights(tmp_path / "w.safetensors", model.state_dict(), {})
    sizes, records = ((48, 80), (30, 31), (48, 64), (8, 96)), []
    for record, size in zip(shapes.records[:4], sizes, strict=True):
        Image.new("RGB", size[::-1], (90, 60, 30)).save(tmp_path / f"{record.image}.png")
        records.append(replace(record, path=str(tmp_path / f"{record.image}.png"), size=size))
    index = DataIndex(shapes.root, shapes.classes, tuple(records))
    maps = {
        r.image: HeatMaps(np.array(index.class_indices(r)), np.full((len(r.labels), 6, 6), 0.9), r.size)
        for r in records
    }
    plain = {"architecture": "affinitynet_resnet38_tiny", "input": {"normalize": "imagenet"}, "stride": 8}
    ready = Given(index, CPU, maps, network=plain, weights=tmp_path / "w.safetensors")
    make = RandomWalk(network="n", beta=2, log2_steps=2, background=0.45).start(ready)
    with caplog.at_level(logging.WARNING, logger="seedbed.terminal"):
        masks = dict(make(records))
    assert [mask.shape for mask in masks.values()] == [*sizes]
    assert "3 of 4 images have too few cells of 8 pixels for a random walk" in caplog.text
    assert caplog.text.rstrip().endswith(", ".join(records[k].image for k in (1, 2, 3)))


def test_a_walk_over_a_flat_picture_spreads_evenly(shapes):
    """Where all affinities are one, far steps make every cell like its surroundings: a single label remains."""
    settings = RandomWalk(network="n", beta=1, log2_steps=9, background=0.2)
    picture = np.full((48, 48, 3), 128, np.uint8)
    maps = np.zeros((1, 48, 48), np.float32)
    maps[0, :30] = 0.9
    found = random_walk_refiner(settings, network(None), Pairs(3, 4), None, CPU, 2)(
        picture, HeatMaps(np.array([0]), maps, (48, 48))
    )
    assert np.unique(found).tolist() == [1]
