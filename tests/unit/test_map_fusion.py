import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed.errors import DataError, ParameterError
from seedbed.explain.map_fusion import MAP_FUSIONS, fuse_maps

torch.set_num_threads(1)
PLAIN = torch.tensor([[[1.0, 3.0]]])  # one class, 1 x 2
MIRRORED = torch.tensor([[[2.0, 4.0]]])  # un-mirrored: 4, 2


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("psa", [5 / (5 + 1e-5), 5 / (5 + 1e-5)]),  # sum 5, 5
        ("mctformer", [0.0, 0.0]),
        ("transcam", [-1.0, -1.0]),  # below minimum + 1e-5, so set to 0, then minimum and more are taken off
        ("afa", [1 / (1 + 1e-5), 0.0]),  # larger of the two: 4, 3
    ],
)
def test_one_scale_by_hand(variant, expected):
    fused = fuse_maps([(PLAIN, MIRRORED)], (1, 2), variant)[0, 0]
    if variant == "transcam":
        torch.testing.assert_close(fused, torch.tensor([(0 - 5 - 1e-5) / 1e-5] * 2), rtol=1e-3, atol=0)
    else:
        torch.testing.assert_close(fused, torch.tensor(expected))


def test_transcam_by_hand():
    fused = fuse_maps([(torch.tensor([[[-1.0, 0.0, 2.0, 4.0]]]), None)], (1, 4), "transcam")[0, 0]
    expected = [(x - 1e-5) / (4 + 1e-5) for x in (0, 0, 2, 4)]
    torch.testing.assert_close(fused, torch.tensor(expected))
    empty = fuse_maps([(torch.full((1, 2, 2), -3.0), None)], (2, 2), "transcam")
    torch.testing.assert_close(empty, torch.full((1, 2, 2), -1.0))


def test_afa_cuts_each_scale_before_the_sum_and_others_do_not():
    scales = [(torch.tensor([[[-4.0, 1.0]]]), None), (torch.tensor([[[2.0, 1.0]]]), None)]
    torch.testing.assert_close(fuse_maps(scales, (1, 2), "afa")[0, 0], torch.tensor([0.0, 0.0]))  # 2, 2
    torch.testing.assert_close(fuse_maps(scales, (1, 2), "mctformer")[0, 0], torch.tensor([0.0, 1.0]))  # -2, 2


def test_scales_of_any_size_are_upsampled_bilinearly():
    scales = [(torch.tensor([[[0.0, 8.0]]]), None), (torch.zeros(1, 3, 3), None)]
    fused = fuse_maps(scales, (2, 4), "psa")
    torch.testing.assert_close(fused * (8 + 1e-5), torch.tensor([0.0, 2.0, 6.0, 8.0]).expand(1, 2, 4))


@pytest.mark.parametrize("variant", MAP_FUSIONS)
def test_mirroring_image_and_map_mirrors_the_result(variant):
    torch.manual_seed(0)
    a, b = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(
        fuse_maps([(a, b)], (9, 11), variant), fuse_maps([(b, a)], (9, 11), variant).flip(-1), atol=1e-5, rtol=1e-5
    )


@settings(max_examples=20, deadline=None)
@given(variant=st.sampled_from(["psa", "mctformer", "afa"]), seed=st.integers(0, 999), classes=st.integers(1, 3))
def test_results_lie_in_0_to_1_and_classes_do_not_mix(variant, seed, classes):
    torch.manual_seed(seed)
    scales = [(torch.rand(classes, 3, 4), torch.rand(classes, 3, 4)), (torch.rand(classes, 6, 5), None)]
    fused = fuse_maps(scales, (7, 8), variant)
    assert fused.shape == (classes, 7, 8)
    assert fused.min() >= 0
    assert 0.99 < fused.amax(dim=(1, 2)).min() <= fused.max() <= 1
    alone = fuse_maps([(p[:1], None if m is None else m[:1]) for p, m in scales], (7, 8), variant)
    torch.testing.assert_close(fused[:1], alone)


def test_half_precision_maps_are_fused_in_float32():
    assert fuse_maps([(PLAIN.half(), MIRRORED.half())], (1, 2), "psa").dtype == torch.float32


def test_mistakes_are_named():
    with pytest.raises(ParameterError, match="Did you mean 'mctformer'"):
        fuse_maps([(PLAIN, None)], (1, 2), "mctformers")
    with pytest.raises(DataError, match="no maps"):
        fuse_maps([], (1, 2), "psa")


@pytest.mark.parametrize("variant", ["psa", "mctformer", "afa"])
@pytest.mark.parametrize("value", [0.37, -0.37])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5)])
def test_a_constant_map_stays_constant(variant, value, shape):
    """Enlarging leaves rounding of 1e-8, which stretching would make a map of the full range."""
    fused = fuse_maps([(torch.full((1, *shape), value), None)], (37, 53), variant)
    assert (fused == fused[..., :1, :1]).all()
    if value < 0 or variant != "psa":
        assert not fused.any()


def test_psas_fusion_of_a_class_without_evidence_is_empty():
    """A negative maximum would turn the map over: -1 / (-0.5 + 1e-5) = 2."""
    assert not fuse_maps([(torch.tensor([[[-1.0, -0.5]]]), None)], (1, 2), "psa").any()
