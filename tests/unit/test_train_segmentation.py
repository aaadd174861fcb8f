"""Segmentation networks: trained on pseudo masks, and their predictions over scales and mirrored views."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from seedbed.data.images import read_mask, read_picture
from seedbed.data.views import view
from seedbed.data.workers import Workers
from seedbed.errors import DataError
from seedbed.io.masks import MaskStore, write_masks
from seedbed.io.weights import write_weights
from seedbed.params.stages import Crf, Segmenter
from seedbed.refine.crf import dense_crf_labels
from seedbed.train.segmentation import build_segmenter, predict_masks, train_segmenter

CPU = torch.device("cpu")
CRF = Crf(iterations=2, gaussian_sxy=1.5, gaussian_weight=3, bilateral_sxy=25, bilateral_srgb=7, bilateral_weight=6)
TRAIN = {
    "augment": [{"random_scale": [0.8, 1.2]}, {"horizontal_flip": 0.5}, {"crop": 40}, {"normalize": "half"}],
    "loss": "pixel_cross_entropy",
    "lr": 0.01,
    "batch_size": 4,
    "epochs": 1,
    "loader_workers": 0,
}


def settings(train=None, **changes):
    values = {"architecture": "deeplab_v1_resnet38_tiny", "input": {"normalize": "half"}}
    return Segmenter.model_validate({**values, "train": {**TRAIN, **(train or {})}, **changes})


def truths(index):
    return {r.image: read_mask(index.root / r.mask, r.size, len(index.classes)) for r in index.records}


def train(index, given, tmp_path, masks=None, seed=0, weights=None):
    options = {"state_path": tmp_path / "resume.pt", "fingerprint": {}, "device": CPU}
    return train_segmenter(index, masks or truths(index), given, seed=seed, weights=weights, **options)


def equal(one, other):
    first, second = one.state_dict(), other.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_training_is_a_function_of_seed_and_settings(shapes, tmp_path):
    first = train(shapes, settings(), tmp_path / "a")
    write_masks(tmp_path / "masks.zip", truths(shapes).items(), {})
    store = MaskStore([tmp_path / "masks.zip"])
    again = train(shapes, settings({"loader_workers": 2}), tmp_path / "b", masks=store)
    other = train(shapes, settings(), tmp_path / "c", seed=1)
    assert equal(first.model, again.model)
    assert first.history == again.history
    assert not equal(first.model, other.model)


def test_a_missing_mask_is_named(shapes, tmp_path):
    write_masks(tmp_path / "masks.zip", list(truths(shapes).items())[:3], {})
    with pytest.raises(DataError, match=r"No mask for image '2026_00000\d' in 1 shard"):
        train(shapes, settings(), tmp_path, masks=MaskStore([tmp_path / "masks.zip"]))


def test_the_network_has_a_background_and_a_backbone_from_weights(tmp_path):
    model = build_segmenter(settings(), 6, 0, None)
    assert model(torch.zeros(1, 3, 48, 48)).shape[1] == 7
    write_weights(tmp_path / "w.safetensors", build_segmenter(settings(), 6, 1, None).state_dict(), {})
    assert equal(build_segmenter(settings(), 6, 0, tmp_path / "w.safetensors"), build_segmenter(settings(), 6, 1, None))


class Colours(nn.Module):
    """Scores of three classes at a quarter of the size: the colours, but not in the same way on the left and right."""

    def forward(self, pictures):
        scores = F.avg_pool2d(pictures, 4)
        return scores + torch.linspace(0, 1, scores.shape[-1])


def expected_probabilities(picture, scales, flip):
    """Mean of the enlarged scores of every view, mirrored ones turned back; then softmax."""
    scores = []
    for scale in scales:
        for mirrored in (False, True) if flip else (False,):
            pixels = view(picture, size=None, scale=scale, flip=mirrored, normalisation="half")
            maps = Colours()(pixels[None])
            maps = maps.flip(-1) if mirrored else maps
            scores.append(F.interpolate(maps, picture.shape[:2], mode="bilinear", align_corners=True)[0])
    return torch.stack(scores).mean(0).softmax(0).numpy()


@pytest.mark.parametrize(("scales", "flip"), [([1.0], False), ([1.0], True), ([0.5, 1.0, 1.5], True)])
def test_predictions_by_hand(shapes, scales, flip):
    given = settings(scales=scales, flip=flip)
    found = dict(predict_masks(Colours(), shapes, shapes.split("val"), given, None, CPU))
    assert list(found) == [record.image for record in shapes.split("val")]
    for record in shapes.split("val"):
        probabilities = expected_probabilities(read_picture(shapes.root / record.path), scales, flip)
        assert found[record.image].dtype == np.uint8
        np.testing.assert_array_equal(found[record.image], probabilities.argmax(0))


def test_the_crf_sees_picture_and_probabilities(shapes):
    record = shapes.split("val")[0]
    picture = read_picture(shapes.root / record.path)
    ((_, found),) = predict_masks(Colours(), shapes, [record], settings(), CRF, CPU)
    expected = dense_crf_labels(picture, expected_probabilities(picture, [1.0], False), CRF)
    np.testing.assert_array_equal(found, expected)


def test_a_crf_in_processes_beside_the_network_changes_nothing(shapes):
    records = shapes.split("val")[:4]
    alone = dict(predict_masks(Colours(), shapes, records, settings(), CRF, CPU))
    with Workers(2) as workers:
        beside = list(predict_masks(Colours(), shapes, records, settings(), CRF, CPU, workers))
    assert [image for image, _ in beside] == [record.image for record in records]
    for image, mask in beside:
        np.testing.assert_array_equal(mask, alone[image])


def test_a_squashed_input_gives_a_mask_of_the_pictures_size(shapes):
    given = settings(input={"size": [32, 40], "normalize": "half"})
    model = build_segmenter(settings(), 6, 0, None)
    ((_, found),) = predict_masks(model, shapes, shapes.records[:1], given, None, CPU)
    assert found.shape == (48, 48)
    assert found.max() <= 6
