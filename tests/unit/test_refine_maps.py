"""Background channels, attention propagation, cues, scale fusion: hand-computed values and explicit formulas."""

import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

import seedbed.refine
from seedbed.errors import DataError, ParameterError
from seedbed.explain.cues import merge_mirrored, relevance_to_cue
from seedbed.refine import (
    fuse_scales,
    propagate,
    propagate_sharpened,
    propagate_with_background,
    with_background,
    with_constant_background,
)

torch.set_num_threads(1)


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_every_public_name_resolves():
    for name in seedbed.refine.__all__:
        # A dictionary, a class or a function; never the module of that name.
        assert not isinstance(getattr(seedbed.refine, name), ModuleType)
    with pytest.raises(AttributeError, match="no_such_refiner"):
        _ = seedbed.refine.no_such_refiner


def test_numpy_refiners_do_not_import_torch():
    names = "dense_crf, label_crf, affinity_labels, confident_labels, mean_pool, random_walk, with_background"
    code = f"from seedbed.refine import {names}; import seedbed.evaluate, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_power_background_by_hand():
    cams = np.array([[[0.5, 1.0]], [[0.2, 0.0]]])
    assert with_background(cams, 2).tolist() == [[[0.25, 0.0]], [[0.5, 1.0]], [[0.2, 0.0]]]
    assert with_background(cams[:0], 2).tolist() == [[[1.0, 1.0]]]


@given(st.integers(0, 1000), st.sampled_from([1, 4, 16, 32]))
def test_numpy_and_torch_backgrounds_agree(seed, alpha):
    cams = rand(2, 3, 4, 5, seed=seed)
    ours = with_background(cams, alpha)
    np.testing.assert_allclose(ours.numpy(), with_background(cams.numpy(), alpha), rtol=1e-12)
    torch.testing.assert_close(ours[0], with_background(cams[0], alpha))
    assert np.array_equal(with_constant_background(cams, 0.4).numpy(), with_constant_background(cams.numpy(), 0.4))


def test_constant_background_wins_ties():
    cams = np.array([[[0.3, 0.31]]], np.float32)
    stack = with_constant_background(cams, 0.3)
    assert stack.dtype == np.float32
    assert stack.argmax(axis=0).tolist() == [[0, 1]]


def test_background_errors():
    with pytest.raises(ParameterError, match="alpha"):
        with_background(np.zeros((1, 2, 2)), 0)
    with pytest.raises(DataError, match=r"largest value is 1\.5"):
        with_background(np.full((1, 2, 2), 1.5), 4)
    with pytest.raises(DataError, match=r"\[\.\.\., K, h, w\]"):
        with_constant_background(np.zeros((2, 2)), 0.1)


def test_propagation_by_hand():
    cams = torch.tensor([[[1.0, 2.0]]])
    affinity = torch.tensor([[0.5, 0.25], [0.0, 1.0]])
    assert propagate(cams, affinity).tolist() == [[[1.0, 2.0]]]
    assert propagate(cams, affinity, transpose=True).tolist() == [[[0.5, 2.25]]]


def test_propagation_equals_the_sum_over_patches():
    cams, affinity = rand(2, 3, 2, 4), rand(2, 8, 8, seed=1)
    expected = torch.einsum("bij,bcj->bci", affinity, cams.flatten(2)).reshape(cams.shape)
    torch.testing.assert_close(propagate(cams, affinity), expected)
    torch.testing.assert_close(propagate(cams[1], affinity[1]), expected[1])
    shared = propagate(cams, affinity[0])
    torch.testing.assert_close(shared[0], expected[0])
    torch.testing.assert_close(shared[1], propagate(cams[1], affinity[0]))


def test_sharpened_propagation_equals_its_formula():
    cams, affinity, window = rand(2, 3, 2, 2), rand(2, 4, 4, seed=1), rand(4, 4, seed=2) > 0.4
    kept = (affinity * window) ** 3
    expected = torch.einsum("bci,bij->bcj", cams.flatten(2), kept / (kept.sum(dim=1, keepdim=True) + 0.5))
    ours = propagate_sharpened(cams, affinity, window=window, power=3, eps=0.5)
    torch.testing.assert_close(ours.flatten(2), expected)


def test_propagation_with_background_keeps_absent_classes_out():
    cams, affinity = rand(1, 3, 2, 2), rand(1, 4, 4, seed=1)
    ours = propagate_with_background(cams, affinity, torch.tensor([[1, 0, 1]]), background=0.4)
    scores = with_constant_background(cams[:, [0, 2]], 0.4).softmax(dim=1)
    expected = propagate_sharpened(scores, affinity, eps=0.1)
    torch.testing.assert_close(ours[:, [0, 1, 3]], expected)
    assert not ours[:, 2].any()


def test_propagation_errors():
    with pytest.raises(DataError, match="6 x 6"):
        propagate(torch.zeros(1, 2, 3), torch.zeros(5, 5))
    with pytest.raises(DataError, match="Batch sizes differ"):
        propagate(torch.zeros(2, 1, 2, 3), torch.zeros(3, 6, 6))
    with pytest.raises(DataError, match="Batch sizes differ"):
        propagate(torch.zeros(1, 2, 3), torch.zeros(1, 6, 6))
    with pytest.raises(DataError, match="window"):
        propagate_sharpened(torch.zeros(1, 2, 3), torch.zeros(6, 6), window=torch.zeros(5, 5))
    with pytest.raises(DataError, match="labels"):
        propagate_with_background(torch.zeros(1, 2, 2, 3), torch.zeros(6, 6), torch.zeros(1, 3))


def test_cue_is_a_stretched_root():
    relevance = rand(2, 3, 4)
    upsampled = F.interpolate(relevance[None], scale_factor=5, mode="bilinear")[0] ** (1 / 3)
    low, high = upsampled.amin(dim=(1, 2), keepdim=True), upsampled.amax(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(relevance_to_cue(relevance, scale=5), (upsampled - low) / (high - low))
    assert relevance_to_cue(torch.tensor([[0.0, 8.0]]), scale=1).tolist() == [[0.0, 1.0]]
    assert not relevance_to_cue(torch.full((2, 2), 3.0)).any()
    with pytest.raises(DataError, match="not negative"):
        relevance_to_cue(-relevance)
    with pytest.raises(ParameterError, match="root"):
        relevance_to_cue(relevance, root=0)


def test_mirrored_cues_are_flipped_back():
    plain = torch.tensor([[[0.0, 1.0]]])
    assert merge_mirrored(plain, plain.flip(-1), (1, 2)).tolist() == [[[0.0, 1.0]]]
    assert merge_mirrored(plain, plain, (1, 2)).tolist() == [[[0.5, 0.5]]]
    with pytest.raises(DataError, match="differ in shape"):
        merge_mirrored(plain, plain[..., :1], (1, 2))


def test_fusions_equal_their_formulas():
    size, logits = (6, 9), [rand(4, 3, 5).float() * 6, rand(4, 7, 8, seed=1).float() * 6]

    def upsampled(maps, corners):
        return F.interpolate(maps[None], size=size, mode="bilinear", align_corners=corners)[0]

    mean = sum(upsampled(maps, True) for maps in logits) / 2
    torch.testing.assert_close(fuse_scales(iter(logits), size, "mean_logits"), mean.softmax(dim=0))
    best = torch.stack([upsampled(maps, False).softmax(dim=0) for maps in logits]).amax(dim=0)
    torch.testing.assert_close(fuse_scales(logits, size, "max_probability"), best)


@pytest.mark.parametrize("mode", ["mean_logits", "max_probability"])
def test_mirrored_scales_are_flipped_back(mode):
    logits = rand(4, 3, 5)
    once = fuse_scales([logits], (6, 9), mode)
    torch.testing.assert_close(fuse_scales([logits, logits.flip(-1)], (6, 9), mode, mirrored=[False, True]), once)


def test_fusion_errors():
    with pytest.raises(ParameterError, match="Did you mean 'mean_logits'"):
        fuse_scales([], (2, 2), "mean_logit")
    with pytest.raises(DataError, match="no class scores"):
        fuse_scales([], (2, 2), "mean_logits")
    with pytest.raises(DataError, match=r"\[C, h, w\]"):
        fuse_scales([torch.zeros(1, 2, 2, 2)], (2, 2), "mean_logits")
    with pytest.raises(DataError, match="more class scores"):
        fuse_scales([torch.zeros(2, 2, 2)], (2, 2), "mean_logits", mirrored=[])


def test_a_peak_a_hair_above_one_leaves_no_background():
    """(1 - 1.000001) ** 1.5 is no number."""
    cams = np.array([[[1.000001, 0.5]]], np.float32)
    for maps in (cams, torch.from_numpy(cams)):
        assert np.asarray(with_background(maps, 1.5))[0, 0].tolist() == pytest.approx([0, 0.5**1.5])


def test_an_undefined_map_has_no_power_background():
    maps = np.array([[[0.5, np.nan]]], np.float32)
    for kind in (maps, torch.from_numpy(maps)):
        with pytest.raises(DataError, match=r"must lie in 0\.\.1 for a power background"):
            with_background(kind, 4)
