"""Heat maps as instances: Otsu's threshold, regions, truth from masks and boxes, and COCO's measures by hand."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle_tools

from seedbed.data.coco_annotations import CocoImage
from seedbed.data.images import read_mask
from seedbed.data.index import Box
from seedbed.errors import DataError, ParameterError
from seedbed.evaluate.coco import METRICS, InstanceScores
from seedbed.evaluate.instance_regions import (
    Instance,
    coco_instances,
    map_instances,
    mask_instances,
    otsu_threshold,
)


def pixels(run_lengths):
    return rle_tools.decode(run_lengths).astype(bool)


def square(shape, top, left, side):
    mask = np.zeros(shape, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def instance(mask, label=0, **more):
    encoded = rle_tools.encode(np.asfortranarray(mask, dtype=np.uint8))
    return Instance(label, {"size": list(mask.shape), "counts": encoded["counts"].decode()}, float(mask.sum()), **more)


# -- Otsu ------------------------------------------------------------------------------------------------------------


def otsu_by_hand(values):
    """The first of 255 edges with the largest variance between the bins' centres below and above it."""
    centres = [(min(int(v * 256), 255) + 0.5) / 256 for v in values]
    best, chosen = -1.0, None
    for k in range(1, 256):
        below, above = [c for c in centres if c < k / 256], [c for c in centres if c > k / 256]
        if below and above:
            gap = sum(above) / len(above) - sum(below) / len(below)
            between = len(below) * len(above) * gap**2
            if between > best * (1 + 1e-12):
                best, chosen = between, k
    return chosen


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=12))
def test_otsu_splits_where_the_variance_between_both_sides_is_largest(inner):
    values = np.array([0.0, *inner, 1.0], np.float32)
    edge = otsu_by_hand(values.tolist())
    threshold = otsu_threshold(values)
    assert threshold == pytest.approx(edge / 256, abs=1e-6)
    assert ((values > threshold) == (values >= edge / 256)).all()


def test_otsu_of_two_values_and_of_two_groups():
    assert 0 < otsu_threshold(np.array([0.0, 1.0])) < 1
    groups = np.concatenate([np.linspace(0, 0.2, 50), np.linspace(0.7, 1, 20)])
    assert 0.2 <= otsu_threshold(groups) < 0.7


# -- regions of a map ------------------------------------------------------------------------------------------------


def test_regions_and_their_relevance_by_hand():
    heat = np.zeros((4, 6))
    heat[0, 0], heat[0, 1], heat[3, 5], heat[2, 4] = 10, 8, 6, 10
    found = map_instances(heat)
    assert [round(relevance, 6) for _, relevance in found] == [0.9, 0.8]  # in the map's own range, 0..10
    masks = [pixels(region) for region, _ in found]
    assert [np.argwhere(mask).tolist() for mask in masks] == [[[0, 0], [0, 1]], [[2, 4], [3, 5]]]
    assert len(map_instances(heat, connectivity=4)) == 3


@given(scale=st.floats(0.01, 100), shift=st.floats(-50, 50))
def test_instances_do_not_depend_on_the_maps_range(scale, shift):
    heat = np.random.default_rng(0).random((5, 7))
    expected, found = map_instances(heat), map_instances(scale * heat + shift)
    assert [region for region, _ in found] == [region for region, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], rel=1e-3)


@pytest.mark.parametrize("heat", [np.zeros((3, 3)), np.full((3, 3), 2.0), np.array([[0, np.nan], [1, 2]])])
def test_undefined_maps_have_no_regions(heat):
    assert map_instances(heat) is None


def test_a_whole_map_is_one_region_however_many_parts_it_has():
    heat = np.zeros((4, 6))
    heat[0, 0], heat[3, 5] = 10, 6
    ((region, relevance),) = map_instances(heat, whole=True)
    assert np.argwhere(pixels(region)).tolist() == [[0, 0], [3, 5]]
    assert relevance == pytest.approx(0.8)  # the mean of 1 and 0.6
    assert map_instances(np.zeros((3, 3)), whole=True) is None


# -- truth -----------------------------------------------------------------------------------------------------------


def test_connected_regions_of_a_mask_are_instances():
    mask = np.array([[1, 1, 0, 2, 255], [0, 0, 0, 2, 2], [1, 0, 0, 0, 0], [0, 1, 0, 0, 2]], np.uint8)
    found = mask_instances(mask)
    assert [(one.label, one.area) for one in found] == [(0, 2), (0, 2), (1, 3), (1, 1)]
    assert [(one.label, one.area) for one in mask_instances(mask, connectivity=4)] == [
        (0, 2), (0, 1), (0, 1), (1, 3), (1, 1),
    ]  # fmt: skip
    assert (pixels(found[2].segmentation) == ((mask == 2) & (np.arange(4)[:, None] < 3))).all()
    assert not any(one.crowd for one in found)


def test_boxes_part_touching_objects_and_join_pieces():
    mask = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1]], np.uint8)
    boxes = [(0, Box("a", 1, 1, 4, 3)), (0, Box("a", 1, 1, 2, 2)), (1, Box("b", 1, 1, 4, 3))]
    small, large = mask_instances(mask, boxes)
    assert small.area == 4
    assert (pixels(small.segmentation) == square((3, 4), 0, 0, 2)).all()
    assert (pixels(large.segmentation) == ((mask == 1) & ~square((3, 4), 0, 0, 2))).all()
    assert mask_instances(mask, []) == []


def test_instances_of_a_coco_picture():
    polygon = [[0.0, 0.0, 4.0, 0.0, 4.0, 2.0, 0.0, 2.0]]
    annotations = (
        {"id": 1, "image_id": 3, "category_id": 18, "segmentation": polygon, "area": 7.5, "iscrowd": 0},
        {"id": 2, "image_id": 3, "category_id": 1, "area": 9, "iscrowd": 1,
         "segmentation": {"size": [4, 5], "counts": [0, 20]}},
    )  # fmt: skip
    found = coco_instances(CocoImage(3, "x.jpg", (4, 5), annotations), {1: 0, 18: 16})
    assert found == [Instance(16, polygon, 7.5, False), Instance(0, {"size": [4, 5], "counts": [0, 20]}, 9.0, True)]
    scores = InstanceScores(medium=(1, 1000))
    heat = np.zeros((1, 4, 5))
    heat[0, :2, :4] = 1
    scores.update("x", heat, [16], [1.0], found)
    assert scores.result()["ap"] == pytest.approx(1.0)


# -- COCO's measures -------------------------------------------------------------------------------------------------


def heat_of(*masks):
    """A map that lights regions up with 1.0, 0.9, ..."""
    heat = np.zeros(masks[0].shape)
    for rank, mask in enumerate(masks):
        heat[mask] = 1 - 0.1 * rank
    return heat[None]


def test_perfect_instances_score_one():
    scores = InstanceScores(medium=(0, 50), large=(50, 1e10))
    one, two = square((20, 20), 1, 1, 5), square((20, 20), 10, 10, 9)
    assert scores.update("a", heat_of(one, two), [3], [0.5], [instance(one, 3), instance(two, 3)]) == 2
    counts = {"images": 1, "instances": 2, "true_instances": 2, "undefined_maps": 0}
    assert scores.result() == pytest.approx({**dict.fromkeys(METRICS, 1.0), **counts})


def test_overlap_decides_how_many_thresholds_are_met():
    """Regions that cover 100 of the truth's 150 pixels: an overlap of 2/3 meets 0.50 to 0.65, four of ten."""
    truth = np.zeros((20, 20), bool)
    truth[:10, :15] = True
    scores = InstanceScores()
    scores.update("a", heat_of(square((20, 20), 0, 0, 10)), [0], [1.0], [instance(truth)])
    result = scores.result()
    assert result["ap"] == pytest.approx(0.4)
    assert result["ar"] == pytest.approx(0.4)
    assert result["ap_medium"] is None  # no true instance of 32² to 96² pixels
    assert result["ar_large"] is None


@pytest.mark.parametrize(("probability", "expected"), [(0.9, 0.5), (0.1, 1.0)])
def test_the_probability_of_the_class_ranks_pictures(probability, expected):
    """A false region in one image, ahead of or behind the right one in another: precision 1/2 or 1 at its recall."""
    right = square((20, 20), 2, 2, 8)
    scores = InstanceScores()
    scores.update("right", heat_of(right), [0], [0.5], [instance(right)])
    scores.update("wrong", heat_of(right), [0], [probability], [])
    assert scores.result()["ap"] == pytest.approx(expected)
    assert scores.result()["ar"] == 1.0


def test_mean_relevance_ranks_regions_of_a_map():
    """Region two is right and less relevant: precision 1/2 at full recall; were it the more relevant, 1."""
    one, two = square((20, 20), 1, 1, 5), square((20, 20), 10, 10, 9)
    for masks, expected in (((one, two), 0.5), ((two, one), 1.0)):
        scores = InstanceScores()
        scores.update("a", heat_of(*masks), [0], [1.0], [instance(two)])
        assert scores.result()["ap"] == pytest.approx(expected)


def test_classes_weigh_the_same_and_missed_ones_count():
    right = square((20, 20), 2, 2, 8)
    scores = InstanceScores()
    scores.update("a", heat_of(right), [0], [1.0], [instance(right, 0), instance(right, 1)])
    result = scores.result()
    assert result["ap"] == pytest.approx(0.5)
    assert result["ar"] == pytest.approx(0.5)


def test_area_ranges_select_by_the_truths_area():
    tiny, big = square((40, 40), 1, 1, 4), square((40, 40), 10, 10, 20)
    scores = InstanceScores(medium=(10, 100), large=(100, 1e10))
    scores.update("a", heat_of(big), [0], [1.0], [instance(tiny), instance(big)])
    result = scores.result()
    assert [result[name] for name in METRICS] == pytest.approx([0.5, 0.0, 1.0, 0.5, 0.0, 1.0], abs=0.01)


def test_what_lies_in_a_crowd_is_neither_right_nor_wrong():
    right, crowd = square((30, 30), 2, 2, 8), square((30, 30), 12, 12, 15)
    stray = square((30, 30), 14, 14, 5)
    results = []
    for truth in ([instance(right), instance(crowd, crowd=True)], [instance(right)]):
        scores = InstanceScores()
        scores.update("a", heat_of(stray, right), [0], [1.0], truth)
        results.append(scores.result()["ap"])
    assert results == pytest.approx([1.0, 0.5])


# -- accumulation ----------------------------------------------------------------------------------------------------


def random_picture(number):
    rng = np.random.default_rng(number)
    labels = [0, int(rng.integers(1, 3))]
    masks = [square((12, 12), *rng.integers(0, 6, 2), 5) for _ in labels]
    maps = rng.random((2, 12, 12)) ** 4 + np.roll(masks, 1, axis=2)
    return (
        maps,
        labels,
        rng.random(2).tolist(),
        [instance(mask, label) for mask, label in zip(masks, labels, strict=True)],
    )


@given(split=st.integers(0, 6), order=st.permutations(range(6)))
@settings(max_examples=15)
def test_order_merges_and_files_change_nothing(split, order):
    expected = InstanceScores(medium=(5, 30), large=(30, 1e5), connectivity=4)
    parts = [InstanceScores(medium=(5, 30), large=(30, 1e5), connectivity=4) for _ in range(2)]
    for number in range(6):
        expected.update(f"p{number}", *random_picture(number))
    for part, chosen in zip(parts, (order[:split], order[split:]), strict=True):
        for number in chosen:
            part.update(f"p{number}", *random_picture(number))
    parts[0].merge(InstanceScores.from_dict(json.loads(json.dumps(parts[1].to_dict()))))
    assert parts[0].result() == expected.result()
    assert expected.result()["ar"] > 0
    assert expected.result() == expected.result()  # measuring changes nothing


def test_undefined_maps_are_counted_and_give_nothing():
    right = square((9, 9), 2, 2, 4)
    scores = InstanceScores()
    maps = np.stack([np.zeros((9, 9)), np.full((9, 9), np.nan), right.astype(float)])
    assert scores.update("a", maps, [0, 1, 2], [1.0, 1.0, 1.0], [instance(right, 2)]) == 1
    assert scores.result()["undefined_maps"] == 2


@pytest.mark.parametrize(("first_iou", "met", "of"), [(0.5, 4, 10), (0.2, 10, 16), (0.65, 1, 7), (0.95, 0, 1)])
def test_thresholds_begin_at_the_first_overlap(first_iou, met, of):
    """An overlap of 2/3 meets 0.20, 0.25 .. 0.65."""
    truth = np.zeros((20, 20), bool)
    truth[:10, :15] = True
    scores = InstanceScores(first_iou=first_iou)
    scores.update("a", heat_of(square((20, 20), 0, 0, 10)), [0], [1.0], [instance(truth)])
    again = InstanceScores.from_dict(json.loads(json.dumps(scores.to_dict())))
    assert (again.result()["ap"], again.result()["ar"]) == pytest.approx((met / of, met / of))


def test_parts_of_a_whole_map_are_one_instance():
    """Two objects of 25 pixels under one map: as one instance of 50 pixels it covers each by half, and finds one."""
    one, two = square((20, 20), 1, 1, 5), square((20, 20), 10, 10, 5)
    found = {}
    for whole in (False, True):
        scores = InstanceScores(whole_maps=whole)
        given = scores.update("a", heat_of(one | two), [0], [1.0], [instance(one), instance(two)])
        found[whole] = given, scores.result()["ar"]
    assert found == {False: (2, 1.0), True: (1, pytest.approx(0.05))}  # of two objects and ten thresholds, one and one


def test_pictures_without_truth_or_maps():
    scores = InstanceScores()
    scores.update("none", np.zeros((0, 9, 9)), [], [], [])
    assert scores.result()["ap"] is None
    scores.update("missed", np.zeros((0, 9, 9)), [], [], [instance(square((9, 9), 1, 1, 3))])
    assert (scores.result()["ap"], scores.result()["ar"]) == (0.0, 0.0)


def test_the_built_in_data_measures_its_own_masks(shapes):
    """Maps that are the masks themselves: with the masks' regions as truth, everything is found."""
    scores = InstanceScores(medium=(0, 200), large=(200, 1e10))
    for record in shapes.split("train"):
        mask = read_mask(shapes.root / record.mask, record.size, len(shapes.classes))
        labels = shapes.class_indices(record)
        maps = np.stack([mask == label + 1 for label in labels]).astype(float)
        scores.update(record.image, maps, labels, [1.0] * len(labels), mask_instances(mask))
    result = scores.result()
    assert (result["ap"], result["ar"]) == pytest.approx((1.0, 1.0))
    assert result["true_instances"] == result["instances"] >= 4


def test_mistakes_are_named():
    with pytest.raises(ParameterError, match=r"medium=\(9, 3\)"):
        InstanceScores(medium=(9, 3))
    with pytest.raises(ParameterError, match="connectivity must be 4 or 8, not 6"):
        InstanceScores(connectivity=6)
    for wrong in (0.0, 0.52, 1.0):
        with pytest.raises(ParameterError, match=f"first_iou must be one of 0.05, 0.10 .. 0.95, not {wrong}"):
            InstanceScores(first_iou=wrong)
    scores = InstanceScores()
    scores.update("a", np.zeros((0, 4, 4)), [], [], [])
    with pytest.raises(DataError, match="'a' was counted before"):
        scores.update("a", np.zeros((0, 4, 4)), [], [], [])
    with pytest.raises(DataError, match="1 classes and 2 probabilities"):
        scores.update("b", np.zeros((2, 4, 4)), [0], [1.0, 1.0], [])
    with pytest.raises(DataError, match=r"probabilities must lie in 0\.\.1"):
        scores.update("c", np.zeros((1, 4, 4)), [0], [3.2], [])
    with pytest.raises(DataError, match="different settings"):
        scores.merge(InstanceScores(connectivity=4))
    with pytest.raises(DataError, match="different settings"):
        scores.merge(InstanceScores(whole_maps=True))
    with pytest.raises(DataError, match="'a' was counted twice"):
        scores.merge(scores)
    with pytest.raises(DataError, match="nothing to measure"):
        InstanceScores().result()


@pytest.mark.parametrize(
    "segmentation",
    [{"size": [8, 8], "counts": [64]}, [[0, 0, 7, 0, 7, 7]]],
)
def test_truth_of_another_size_is_refused(segmentation):
    with pytest.raises(DataError, match=r"Image 'a': a true instance of . x . pixels and maps of 4 x 4 differ"):
        InstanceScores().update("a", np.eye(4)[None], [0], [1.0], [Instance(0, segmentation, 64.0)])


def test_boxes_outside_their_mask_are_refused():
    with pytest.raises(DataError, match=r"lies outside the mask of 4 x 4 pixels"):
        mask_instances(np.ones((4, 4), np.uint8), [(0, Box("cat", 1, 1, 8, 4))])
