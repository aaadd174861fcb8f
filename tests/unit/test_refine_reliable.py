"""Reliable labels and affinity losses: hand-computed cases and explicit loops."""

import math

import numpy as np
import pytest
import torch

from seedbed.errors import DataError, ParameterError
from seedbed.refine import (
    affinity_loss,
    attention_affinity_labels,
    attention_affinity_loss,
    cam_to_label,
    chebyshev_window,
    refine_cams_with_background,
)

torch.set_num_threads(1)


def row_of_cams():
    """One row of pixels; class 0 and 2 are present, class 1 is not."""
    cams = torch.tensor([[0.2, 0.45, 0.5, 0.9], [0.9, 0.9, 0.9, 0.9], [0.1, 0.1, 0.6, 0.1]])
    return cams[None, :, None], torch.tensor([[1, 0, 1]])


def test_cam_to_label_by_hand():
    cams, present = row_of_cams()
    assert cam_to_label(cams, present, background=0.45).tolist() == [[[0, 0, 3, 1]]]
    labels = cam_to_label(cams, present, background=None, thresholds=(0.2, 0.6))
    assert labels.tolist() == [[[0, 255, 255, 1]]]
    boxed = cam_to_label(cams, present, valid_boxes=torch.tensor([[0, 1, 1, 3]]))
    assert boxed.tolist() == [[[255, 0, 3, 255]]]


def test_refined_labels_ignore_what_the_two_backgrounds_disagree_on():
    # Without refinement and resizing, softmax keeps the order, so that each score acts as a plain threshold.
    cams, present = row_of_cams()
    labels = refine_cams_with_background(
        torch.zeros(1, 3, 1, 4), cams, present, thresholds=(0.3, 0.55), downscale=1, refine=lambda image, maps: maps
    )
    assert labels.tolist() == [[[0, 255, 3, 1]]]


def test_refinement_sees_half_the_resolution_and_the_present_classes():
    seen = []

    def spy(image, maps):
        seen.append((tuple(image.shape), tuple(maps.shape)))
        torch.testing.assert_close(maps.sum(dim=1), torch.ones(1, 4, 6))
        return maps

    present = torch.tensor([[1, 0, 1, 0], [0, 0, 1, 0]])
    labels = refine_cams_with_background(torch.rand(2, 3, 8, 12), torch.rand(2, 4, 8, 12), present, refine=spy)
    assert seen == [((1, 3, 4, 6), (1, 3, 4, 6))] * 2 + [((1, 3, 4, 6), (1, 2, 4, 6))] * 2
    assert set(labels[1].unique().tolist()) <= {0, 3, 255}


def test_attention_labels_equal_a_loop():
    label_map = torch.from_numpy(np.random.default_rng(0).choice([0, 1, 255], (2, 8, 12)))
    ours = attention_affinity_labels(label_map, radius=1, cell=4)
    assert ours.shape == (2, 6, 6)
    cells = label_map[:, ::4, ::4].reshape(2, -1)
    for b in range(2):
        for i in range(6):
            for j in range(6):
                near = abs(i // 3 - j // 3) <= 1 and abs(i % 3 - j % 3) <= 1
                a, c = int(cells[b, i]), int(cells[b, j])
                expected = 255 if not near or 255 in (a, c) else int(a == c)
                assert ours[b, i, j] == expected
    everywhere = attention_affinity_labels(label_map, radius=None, cell=4)
    assert torch.equal(everywhere[ours != 255], ours[ours != 255])


def test_attention_labels_of_all_21_classes_stay_apart():
    label_map = torch.arange(21).repeat_interleave(16)[None, None].repeat(1, 16, 1)
    assert torch.equal(attention_affinity_labels(label_map, radius=None)[0], torch.eye(21, dtype=torch.uint8))


def test_window_by_hand():
    assert chebyshev_window(1, 3, 1).int().tolist() == [[1, 1, 0], [1, 1, 1], [0, 1, 1]]
    assert torch.equal(chebyshev_window(2, 3, 0), torch.eye(6, dtype=torch.bool))


def test_label_errors():
    cams, present = row_of_cams()
    with pytest.raises(ParameterError, match="low <= high"):
        cam_to_label(cams, present, thresholds=(0.6, 0.2))
    with pytest.raises(DataError, match="labels"):
        cam_to_label(cams, present[:, :2])
    with pytest.raises(DataError, match="valid_boxes"):
        cam_to_label(cams, present, valid_boxes=torch.zeros(2, 4))
    with pytest.raises(DataError, match="batch or size"):
        refine_cams_with_background(torch.zeros(1, 3, 2, 4), cams, present)
    with pytest.raises(ParameterError, match="downscale"):
        refine_cams_with_background(torch.zeros(1, 3, 1, 4), cams, present)
    with pytest.raises(DataError, match="at least 16"):
        attention_affinity_labels(torch.zeros(1, 15, 40, dtype=torch.long))
    with pytest.raises(ParameterError, match="radius"):
        chebyshev_window(2, 2, -1)


def test_affinity_loss_by_hand():
    pairs = torch.tensor([[[0.5, 0.25, 0.9]]], dtype=torch.float64, requires_grad=True)
    one = torch.eye(3, dtype=torch.uint8)[:, None, None]
    loss = affinity_loss(pairs, one[0], one[1], one[2], eps=1e-6)
    assert loss.background.item() == pytest.approx(math.log(2), rel=1e-5)
    assert loss.foreground.item() == pytest.approx(math.log(4), rel=1e-5)
    assert loss.negative.item() == pytest.approx(math.log(10), rel=1e-4)
    parts = loss.background / 4 + loss.foreground / 4 + loss.negative / 2
    assert loss.total.item() == pytest.approx(parts.item())
    loss.total.backward()
    np.testing.assert_allclose(pairs.grad.flatten(), [-0.5, -1, 5], rtol=1e-4)


def test_affinity_loss_of_no_pairs_is_finite():
    pairs, none = torch.tensor([[[0.0, 1.0]]]), torch.zeros(1, 1, 2)
    assert affinity_loss(pairs, none, none, none).total.item() == 0
    hardest = affinity_loss(pairs, torch.tensor([[[1, 0]]]), none, torch.tensor([[[0, 1]]]))
    assert hardest.total.item() == pytest.approx(0.75 * -math.log(1e-5), rel=1e-2)
    with pytest.raises(DataError, match="do not fit"):
        affinity_loss(pairs, none[..., :1], none, none)


def test_attention_affinity_loss_by_hand():
    probabilities = torch.tensor([[[0.9, 0.4], [0.3, 0.6]]], requires_grad=True)
    labels = torch.tensor([[[1, 0], [255, 1]]], dtype=torch.uint8)
    loss = attention_affinity_loss(probabilities, labels)
    assert loss.item() == pytest.approx(0.5 * (0.1 + 0.4) / 3 + 0.5 * 0.4 / 2)
    loss.backward()
    np.testing.assert_allclose(probabilities.grad.flatten(), [-1 / 6, 1 / 4, 0, -1 / 6], rtol=1e-6)
    with pytest.raises(DataError, match="do not fit"):
        attention_affinity_loss(probabilities, labels[:, :1])
