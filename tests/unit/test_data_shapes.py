"""The built-in scenes: the same from the same seed, and labels, masks and boxes that agree."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed.data.images import read_mask
from seedbed.data.shapes import make_shapes
from seedbed.data.shapes_scene import CLASS_NAMES, VOID, render_scene
from seedbed.errors import ParameterError

SIZES = {"size": 48, "train": 2, "trainaug": 3, "val": 2, "single_object": False}


def digests(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path):
    for name, seed in {"a": 0, "b": 0, "c": 1}.items():
        make_shapes(tmp_path / name, seed=seed, **SIZES)
    assert len(digests(tmp_path / "a")) == 3 * 5 + 3
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    pictures = [{v for k, v in digests(tmp_path / name).items() if k.endswith(".jpg")} for name in ("a", "c")]
    assert pictures[0].isdisjoint(pictures[1])


def test_a_picture_does_not_depend_on_how_many_others_there_are(tmp_path):
    make_shapes(tmp_path / "a", seed=0, **SIZES)
    make_shapes(tmp_path / "b", seed=0, **SIZES | {"trainaug": 5, "val": 4})
    few, many = digests(tmp_path / "a" / "VOCdevkit"), digests(tmp_path / "b" / "VOCdevkit")
    assert {name: few[name] for name in few if not name.endswith(".txt")}.items() <= many.items()


def test_splits(shapes):
    members = {split: {record.image for record in shapes.split(split)} for split in shapes.splits()}
    assert shapes.splits() == {"train": 4, "trainaug": 8, "val": 4}
    assert members["train"] < members["trainaug"]
    assert members["trainaug"].isdisjoint(members["val"])
    assert shapes.classes == CLASS_NAMES


def test_held_out_pictures_may_be_called_test(tmp_path):
    index = make_shapes(tmp_path, seed=0, **SIZES | {"val": 0, "test": 3})
    assert index.splits() == {"test": 3, "train": 2, "trainaug": 3}
    both = make_shapes(tmp_path, seed=0, **SIZES | {"test": 3})
    images = {split: {record.image for record in both.split(split)} for split in ("trainaug", "val", "test")}
    assert sum(map(len, images.values())) == len(set.union(*images.values())) == 8


def test_train_cannot_exceed_trainaug(tmp_path):
    with pytest.raises(ParameterError, match=r"train \(4\) must not exceed trainaug \(3\)"):
        make_shapes(tmp_path, seed=0, **SIZES | {"train": 4})


def test_a_smaller_data_set_replaces_a_larger_one(tmp_path):
    make_shapes(tmp_path, seed=0, **SIZES | {"trainaug": 6})
    index = make_shapes(tmp_path, seed=0, **SIZES)
    assert len(list((tmp_path / "VOCdevkit" / "JPEGImages").iterdir())) == len(index.records) == 5


def test_records_and_files_agree(shapes):
    for record in shapes.records:
        mask = read_mask(shapes.root / record.mask, record.size, len(shapes.classes))
        present = {shapes.classes[value - 1] for value in np.unique(mask) if 0 < value < VOID}
        assert present == set(record.labels) == {box.label for box in record.boxes}


@given(st.integers(0, 2**40), st.sampled_from([32, 48, 64, 96]), st.booleans())
@settings(max_examples=60)
def test_masks_boxes_and_classes_agree(seed, size, single_object):
    scene = render_scene((seed, 5), size, single_object)
    assert (scene.image.shape, scene.image.dtype) == ((size, size, 3), np.uint8)
    assert (scene.mask.shape, scene.mask.dtype) == ((size, size), np.uint8)
    assert len(scene.classes) == len(scene.boxes)
    assert 1 <= len(scene.classes) <= (1 if single_object else 3)
    assert set(np.unique(scene.mask)) - {0, VOID} == {label + 1 for label in scene.classes}
    for label in set(scene.classes):
        covered = np.zeros_like(scene.mask, bool)
        for other, (xmin, ymin, xmax, ymax) in zip(scene.classes, scene.boxes, strict=True):
            assert 1 <= xmin <= xmax <= size
            assert 1 <= ymin <= ymax <= size
            if other == label:
                covered[ymin - 1 : ymax, xmin - 1 : xmax] = True
        assert covered[scene.mask == label + 1].all()


@given(st.integers(0, 2**40))
@settings(max_examples=30)
def test_void_lies_on_both_sides_of_every_contour(seed):
    mask = render_scene((seed,), 64).mask
    for labels in (mask, mask.T):
        touching = (labels[:-1] != labels[1:]) & (labels[:-1] != VOID) & (labels[1:] != VOID)
        assert not touching.any()


@given(st.integers(0, 2**40), st.sampled_from([48, 96]))
@settings(max_examples=30)
def test_the_same_seed_gives_the_same_scene(seed, size):
    one, two = render_scene((seed, 1), size), render_scene((seed, 1), size)
    np.testing.assert_array_equal(one.image, two.image)
    np.testing.assert_array_equal(one.mask, two.mask)
    assert (one.classes, one.boxes) == (two.classes, two.boxes)


def test_boxes_are_tight():
    """Void lies one pixel outside the object as well, so that all that is not background is the box and a margin."""
    for seed in range(20):
        scene = render_scene((seed,), 96, single_object=True)
        ((xmin, ymin, xmax, ymax),) = scene.boxes
        rows, columns = np.nonzero(scene.mask)
        assert (rows.min() + 1, columns.min() + 1) == (max(1, ymin - 1), max(1, xmin - 1))
        assert (rows.max() + 1, columns.max() + 1) == (min(96, ymax + 1), min(96, xmax + 1))


def test_statistics_of_the_scenes():
    """Foreground and void as in PASCAL VOC's segmentation pictures: a fifth to a quarter, and about 5 %."""
    scenes = [render_scene((0, number), 96) for number in range(150)]
    foreground = np.mean([((scene.mask > 0) & (scene.mask < VOID)).mean() for scene in scenes])
    void = np.mean([(scene.mask == VOID).mean() for scene in scenes])
    labels = np.mean([len(set(scene.classes)) for scene in scenes])
    counts = np.bincount([label for scene in scenes for label in set(scene.classes)], minlength=6)
    assert 0.14 < foreground < 0.25
    assert 0.03 < void < 0.08
    assert 1.4 < labels < 2.0
    assert counts.min() > 0.5 * counts.max()
    assert 0.5 < np.mean([scene.image.std() for scene in scenes]) / 40 < 1.5


def test_single_objects_are_single_and_central():
    scenes = [render_scene((1, number), 96, single_object=True) for number in range(60)]
    assert all(len(scene.classes) == 1 for scene in scenes)
    centres = [((box[0] + box[2]) / 192, (box[1] + box[3]) / 192) for scene in scenes for box in scene.boxes]
    assert np.abs(np.array(centres) - 0.5).max() < 0.35
