"""Refinement against arrays recorded from the authors' published code."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from seedbed.explain.cues import merge_mirrored, relevance_to_cue
from seedbed.refine import (
    affinity_labels,
    affinity_loss,
    affinity_offsets,
    affinity_pair_indices,
    attention_affinity_labels,
    attention_affinity_loss,
    cam_to_label,
    chebyshev_window,
    confident_labels,
    confident_labels_from_scores,
    mean_pool,
    pixel_adaptive_refinement,
    propagate_sharpened,
    propagate_with_background,
    random_walk,
    refine_cams_with_background,
    with_background,
    with_constant_background,
)

DATA = Path(__file__).parent / "data"
WALK, CRF, PAR = 1e-4, 1e-5, 1e-6  # largest absolute differences; all recorded values lie in 0..1.01^15

torch.set_num_threads(1)


def recorded(name: str) -> dict[str, np.ndarray]:
    with np.load(DATA / f"{name}.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def afa():
    return {k: torch.from_numpy(v) if v.ndim else float(v) for k, v in recorded("refine_afa_labels").items()}


def cropped(maps, size, width_height):
    """Crop or zero-pad to a square at the recorded offsets, which are drawn width first."""
    h, w = maps.shape[-2:]
    left, top = (int(v) for v in width_height)
    crop = np.zeros((*maps.shape[:-2], size, size), maps.dtype)
    source = maps[..., top if h > size else 0 :, left if w > size else 0 :][..., :size, :size]
    y, x = (0 if h > size else top), (0 if w > size else left)
    crop[..., y : y + source.shape[-2], x : x + source.shape[-1]] = source
    return crop


def spread(scores, keys, channels, size):
    """Put [background, classes] at their channels of a zero stack, padded right and below with zeros."""
    stack = np.zeros((channels, *size), scores.dtype)
    h, w = scores.shape[-2:]
    stack[[0, *(keys + 1)], :h, :w] = scores
    return stack


def upsampled(maps, size):
    return F.interpolate(torch.from_numpy(maps)[None], size=size, mode="bilinear", align_corners=False)[0].numpy()


@pytest.mark.parametrize("case", [0, 1, 2])
def test_par(case):
    z = recorded("refine_par")
    image = torch.from_numpy(z[f"par{case}/image"]).permute(2, 0, 1) / 255
    masks = torch.from_numpy(z[f"par{case}/masks"])
    for iterations in (0, 1, 10, 15):
        ours = pixel_adaptive_refinement(image, masks, iterations=iterations)
        assert np.abs(ours.numpy() - z[f"par{case}/out{iterations}"]).max() < PAR


def test_par_image_scale_dilations_and_flat_image():
    z = recorded("refine_par")
    image, masks = torch.from_numpy(z["par0/image"]).permute(2, 0, 1), torch.from_numpy(z["par0/masks"])
    grey_levels = pixel_adaptive_refinement(image, masks)
    assert np.abs(grey_levels.numpy() - z["par0/out10_255"]).max() < PAR
    near = pixel_adaptive_refinement(image / 255, masks, dilations=(1, 2), iterations=4)
    assert np.abs(near.numpy() - z["par0/out_d12_it4"]).max() < PAR
    flat = pixel_adaptive_refinement(torch.full((3, 29, 40), 0.5), torch.from_numpy(z["par1/masks"]))
    assert np.abs(flat.numpy() - z["par1/flat_out10"]).max() < PAR


def test_par_neighbours():
    """Distances and neighbours of the kernel, seen through it: on a flat image only distances count."""
    z = recorded("refine_par")
    position = torch.from_numpy(-((z["par0/pos"] / z["par0/pos"].std(ddof=1) / 0.3) ** 2)).softmax(dim=0)
    weights = 1 / 48 + 0.01 * position.numpy()
    picture = torch.from_numpy(z["par0/image"]).permute(2, 0, 1) / 255
    flat = torch.full_like(picture, 0.5)
    ours = pixel_adaptive_refinement(flat, picture, iterations=1)[:, ::3, ::5]
    neighbours = z["par0/neighbors"]  # of every third row and fifth column
    assert np.abs(ours.numpy() - np.einsum("n,cnij->cij", weights, neighbours)).max() < PAR
    # A single lit pixel spreads to its neighbours alone, each by its distance.
    lit = torch.zeros(1, 99, 99)
    lit[0, 49, 49] = 1
    spread_out = pixel_adaptive_refinement(torch.full((3, 99, 99), 0.5), lit, iterations=1)[0]
    rings = torch.tensor([spread_out[49 + d, 49] for d in (1, 2, 4, 8, 12, 24)])
    corners = torch.tensor([spread_out[49 + d, 49 + d] for d in (1, 2, 4, 8, 12, 24)])
    # The rows of eight neighbours start with a corner.
    np.testing.assert_allclose(corners.numpy(), weights[::8], rtol=1e-5)
    np.testing.assert_allclose(rings.numpy(), weights[1::8], rtol=1e-5)


def test_par_batch():
    z = recorded("refine_par")
    image, masks = torch.from_numpy(z["par0/image"]).permute(2, 0, 1) / 255, torch.from_numpy(z["par0/masks"])
    images, stacks = torch.stack([image, image.flip(-1)]), torch.stack([masks, masks.flip(-2)])
    assert np.abs(pixel_adaptive_refinement(images, stacks).numpy() - z["par0/batch2_out10"]).max() < PAR


@pytest.mark.parametrize("setting", ["voc", "mct"])
def test_afa_labels(afa, setting):
    get = lambda key: afa[f"{setting}/{key}"]  # noqa: E731
    cams, present, boxes = afa["cams"], afa["cls_labels"], afa["img_box"]
    thresholds, background = (get("low_thre"), get("high_thre")), get("bkg_score")
    assert torch.equal(cam_to_label(cams, present, background=background).byte(), get("pseudo_label_nobox"))
    ours = cam_to_label(cams, present, background=background, thresholds=thresholds, valid_boxes=boxes)
    assert torch.equal(ours.byte(), get("pseudo_label"))
    for downscale, key in ((2, "refined_label"), (1, "refined_label_downscale1")):
        ours = refine_cams_with_background(
            afa["denorm"], cams, present, thresholds=thresholds, valid_boxes=boxes, downscale=downscale
        )
        assert torch.equal(ours.byte(), get(key))


@pytest.mark.parametrize("setting", ["voc", "mct"])
def test_attention_affinity(afa, setting):
    refined, pseudo = afa[f"{setting}/refined_label"], afa[f"{setting}/pseudo_label"]
    for radius, key in ((2, "r2"), (8, "r8"), (None, "nomask")):
        ours = attention_affinity_labels(refined, radius=radius)
        assert torch.equal(ours, afa[f"{setting}/aff_label_{key}"])
    from_pseudo = attention_affinity_labels(pseudo, radius=2)
    assert torch.equal(from_pseudo, afa[f"{setting}/aff_label_from_pseudo_r2"])
    loss = attention_affinity_loss(afa[f"{setting}/aff_pred"], afa[f"{setting}/aff_label_r2"])
    assert float(loss) == pytest.approx(afa[f"{setting}/aff_loss"], abs=1e-6)


def test_afa_window_and_propagation(afa):
    assert torch.equal(chebyshev_window(5, 7, 1).byte(), afa["radius_mask_5x7_r1"])
    window = chebyshev_window(4, 5, 2)
    plain = propagate_sharpened(afa["prop/cams"], afa["prop/aff"], window=window)
    torch.testing.assert_close(plain, afa["prop/out"], rtol=0, atol=1e-6)
    joint = propagate_with_background(afa["prop/cams"], afa["prop/aff"], afa["cls_labels"], window=window)
    torch.testing.assert_close(joint, afa["prop/out_bkg"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", [0, 1, 2])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_affinity_labels(case, kind):
    z = recorded("refine_pairs")
    label_map = z[f"label_{case}"]
    for ours, key in zip(affinity_labels(kind(label_map)), ("bg", "fg", "neg"), strict=True):
        assert np.array_equal(np.asarray(ours), z[f"{key}_{case}"])
    origin, target = affinity_pair_indices(*label_map.shape)
    assert np.array_equal(origin, z[f"ind_from_{case}"])
    assert np.array_equal(target, z[f"ind_to_{case}"])
    assert np.array_equal(affinity_offsets(5), z["offsets_dy_dx"])


def test_mean_pool():
    z = recorded("refine_pairs")
    image = z["image"].astype(np.float32).transpose(2, 0, 1)
    assert np.array_equal(mean_pool(image[:, :48, :80]).transpose(1, 2, 0), z["avgpool8"])
    assert np.array_equal(mean_pool(image).transpose(1, 2, 0), z["avgpool8_ragged"])


@pytest.mark.parametrize("case", ["ds1", "ds2"])
def test_confident_labels_psa(case):
    z = recorded("refine_confident")
    low, high = (cropped(z[f"{case}/{k}"], int(z["crop"]), z[f"{case}/rand_w_h"]) for k in ("la", "ha"))
    if z[f"{case}/flip"]:
        low, high = low[..., ::-1], high[..., ::-1]
    label = confident_labels_from_scores(low, high)
    assert np.array_equal(label, z[f"{case}/label"])
    for ours, key in zip(affinity_labels(label), ("bg", "fg", "neg"), strict=True):
        assert np.array_equal(ours, z[f"{case}/{key}"])


@pytest.mark.parametrize("case", ["ds0", "ds1"])
def test_confident_labels_transcam(case):
    z = {k.removeprefix("transcam/"): v for k, v in recorded("refine_pairs").items()}
    low, high = (cropped(z[f"{case}/{k}"], int(z["crop"]), z[f"{case}/rand_w_h"]) for k in ("la", "ha"))
    if z[f"{case}/flip"]:
        low, high = low[..., ::-1], high[..., ::-1]
    assert np.array_equal(confident_labels(low[::8, ::8], high[::8, ::8], "transcam"), z[f"{case}/label"])


@pytest.mark.parametrize(("walk", "beta", "steps"), [("b16_t8", 16, 256), ("b8_t3", 8, 8)])
def test_random_walk_vit_affinity(walk, beta, steps):
    z = recorded("refine_vit_affinity")
    cells = mean_pool(upsampled(with_background(z["rw/cams"], 4), (96, 96)))
    scores = upsampled(random_walk(cells, z["aff/matrix"], beta, steps), (37, 45))
    assert scores.dtype == np.float64
    assert np.abs(scores[:, ::2, ::2] - z[f"rw/{walk}/scores"]).max() < 1e-10
    assert np.array_equal(np.array([0, *(z["rw/cam_keys"] + 1)])[scores.argmax(axis=0)], z[f"rw/{walk}/pred"])


def test_cues():
    z = recorded("refine_vit_affinity")
    for root in (1, 3):
        ours = relevance_to_cue(torch.from_numpy(z["cue/in"]).reshape(2, 7, 7), root=root)
        for i in range(2):
            assert np.abs(ours[i, ::4, ::4].numpy() - z[f"cue/out_root{root}/{i}"]).max() < 1e-6
    pairs = torch.from_numpy(z["cams/in"])
    cams = merge_mirrored(pairs[:, 0], pairs[:, 1], (37, 45)).numpy()
    assert np.abs(cams - z["cams/out"]).max() < 1e-6
    ids = np.array([0, *(z["cams/keys"] + 1)])
    assert np.array_equal(ids[with_constant_background(cams, 0.2).argmax(axis=0)], z["cams/pred"])
    for alpha, key in ((4, "low"), (32, "high")):
        assert np.abs(with_background(cams, alpha) - z[f"cams/unary_{key}"]).max() < 1e-6


def test_affinity_labels_and_loss_vit_affinity():
    z = recorded("refine_vit_affinity")
    for ours, key in zip(affinity_labels(z["afflabel/in"]), ("bg", "fg", "neg"), strict=True):
        assert np.array_equal(ours, z[f"afflabel/{key}"])
    pairs = torch.from_numpy(z["aff/pairs"]).requires_grad_()
    loss = affinity_loss(pairs, *(torch.from_numpy(z[f"loss/{k}"]) for k in ("bg", "fg", "neg")), eps=1e-6)
    ours = [float(v.detach()) for v in (loss.total, loss.foreground, loss.background, loss.negative)]
    np.testing.assert_allclose(ours, z["loss/values_total_fg_bg_neg"], rtol=1e-6)
    loss.total.backward()
    np.testing.assert_allclose(pairs.grad.flatten()[::17], z["loss/grad_sample"], atol=1e-8)
