"""CLIP's tower and CLIP-ES against arrays recorded from the authors' published code, on a narrow network."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from model_recordings import DATA, assert_close, recorded, weights

from seedbed.data.normalise import normalise
from seedbed.data.views import view
from seedbed.explain import explain
from seedbed.explain.box_affinity import box_mask, spread, transition
from seedbed.explain.targets import Pairs
from seedbed.explain.text_cam import softmax_gradcam, text_probabilities
from seedbed.explain.view_fusion import fuse_views
from seedbed.io.heatmaps import HeatMaps
from seedbed.models import create_model, load_weights
from seedbed.models.clip import ClipTower
from seedbed.models.clip_classifier import ClipClassifier
from seedbed.models.texts import Texts
from seedbed.refine.bgr_picture import bgr_less_mean
from seedbed.refine.confident_crf import ConfidentCrf, Refined
from seedbed.refine.mask_making import argmax_refiner
from seedbed.settings.dense_crf import CrfSettings

torch.set_num_threads(1)


def classifier(z: dict[str, np.ndarray], texts: Texts | None = None) -> ClipClassifier:
    texts = texts or Texts(torch.from_numpy(z["text/fg"]), torch.from_numpy(z["text/bg"]))
    given = weights(z)
    model = create_model(
        "clip_vit_base_16",
        len(texts.classes),
        background_texts=len(texts.background),
        logit_scale=float(given["logit_scale"].exp()),
        dim=int(z["cfg/dim"]),
        img_size=int(z["cfg/grid"]) * 16,
        embed_dim=int(z["cfg/width"]),
        depth=int(z["cfg/layers"]),
        num_heads=int(z["cfg/heads"]),
        rounded_positions=True,
    )
    load_weights(model.tower, given, layout="clip_openai")
    model.set_texts(texts)
    return model.eval()


def normalised(picture: np.ndarray) -> torch.Tensor:
    return normalise(torch.from_numpy(picture).permute(2, 0, 1), "clip")[None]


def test_positions():
    z = recorded("clip_es")
    assert_close(classifier(z).tower.positions((4, 5))[0], z["pos/4x5"], 0)


@pytest.mark.parametrize("image", ["voc0", "voc2"])
def test_tower(image):
    z = recorded("clip_es")
    tower = classifier(z).tower
    pixels = torch.from_numpy(z["voc2/input"]) if image == "voc2" else normalised(z["voc0/resized"])
    with torch.no_grad():
        tokens, grid = tower.embed(pixels)
        steps = list(tower.steps(tokens))
    assert grid == z[f"{image}/cam"].shape[1:]
    assert_close(steps[-2].tokens[0], z[f"{image}/tokens_before_last"])
    assert_close(torch.stack([step.attention.mean(1)[0] for step in steps]), z[f"{image}/attn_all"])


def test_steps_are_the_forward_pass():
    tower = classifier(recorded("clip_es")).tower
    images = torch.randn(2, 3, 50, 83, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        *_, last = tower.steps(tower.embed(images)[0])
        torch.testing.assert_close(tower.project(last.tokens[:, 0]), tower(images), rtol=1e-4, atol=1e-5)


def test_76_patches_are_no_text():
    """The published loop runs the last block twice on them."""
    tower = classifier(recorded("clip_es")).tower
    with torch.no_grad():
        tokens, grid = tower.embed(torch.zeros(1, 3, 64, 304))
        assert grid == (4, 19) and len(list(tower.steps(tokens))) == 10


def test_names_and_shapes_of_the_full_size():
    """The published tensors of OpenAI's ViT-B/16 fill the tower, each one, as do timm's."""
    listed = json.loads((DATA / "clip_vit_b16_names.json").read_text())
    tower = create_model("clip_vit_base_16", 20).tower
    openai = {name: torch.zeros(entry["shape_clip"]) for name, entry in listed["tensors"].items()}
    text = {name: torch.zeros(shape) for name, shape in listed["text_tower"].items()}
    assert sorted(load_weights(tower, {**openai, **text}, layout="clip_openai").dropped) == sorted(text)
    timm = {entry["timm"]: torch.zeros(entry["shape_timm"]) for entry in listed["tensors"].values()}
    timm["head.bias"] = torch.zeros(listed["timm_only"]["head.bias"])
    assert load_weights(tower, timm, layout="clip_timm").dropped == ["head.bias"]
    assert isinstance(tower, ClipTower)


VOC, COCO = ("voc0", "voc1", "voc2"), ("coco0", "coco1")
IMAGES = (*VOC, *COCO)


def shown(image: str) -> torch.Tensor:
    """A picture as the pipeline brings it to the network: at its own size, rounded up to whole patches."""
    picture = recorded_pictures()[image.replace("coco", "voc")]
    return view(picture, size=None, interpolation="bicubic", multiple=16, normalisation="clip")[None]


def recorded_pictures() -> dict[str, np.ndarray]:
    z = recorded("clip_es_crf")
    return {image: z[f"{image}/picture"] for image in VOC}


def texts_for(image: str, z: dict[str, np.ndarray]) -> Texts:
    if image in VOC:
        return Texts(torch.from_numpy(z["text/fg"]), torch.from_numpy(z["text/bg"]))
    classes = torch.zeros(80, int(z["cfg/dim"]))
    classes[[*z["coco0/labels"], *z["coco1/labels"]]] = torch.from_numpy(z["text/coco_fg_of_present"])
    return Texts(classes, torch.from_numpy(z["text/coco_bg"]))


def test_pictures_are_resized_as_published():
    z = recorded("clip_es")
    assert_close(shown("voc2"), z["voc2/input"], 1e-6)
    assert_close(shown("voc0"), normalised(z["voc0/resized"]).numpy(), 0)


@pytest.mark.parametrize("image", IMAGES)
def test_probabilities_and_gradcam(image):
    z = recorded("clip_es")
    model = classifier(z, texts_for(image, z))
    targets = torch.from_numpy(z[f"{image}/labels"])[None]
    with torch.no_grad():
        tokens, _ = model.tower.embed(shown(image))
        before, last = list(model.tower.steps(tokens))[-2:]
        embedding = model.tower.project(last.tokens)[:, 1:].mean(1)
        probabilities = text_probabilities(model, embedding, targets)[0]
        found = softmax_gradcam(model, before.tokens, targets, Pairs(torch.zeros_like(targets[0]), targets[0], 1))
    expected = z[f"{image}/scores"]
    competing = torch.cat([probabilities[targets[0]], probabilities[len(model.classes) :]])
    assert_close(competing, torch.from_numpy(expected).softmax(0).numpy() if expected.max() > 1 else expected)
    assert float(probabilities.sum()) == pytest.approx(1, abs=1e-5)
    assert_close(found.unflatten(1, z[f"{image}/cam"].shape[1:]), z[f"{image}/cam"], 4e-5)


@pytest.mark.parametrize("image", VOC)
def test_affinity(image):
    z = recorded("clip_es")
    with torch.no_grad():
        tower = classifier(z).tower
        steps = list(tower.steps(tower.embed(shown(image))[0]))
    affinity = torch.stack([step.attention[0, :, 1:, 1:].mean(0) for step in steps[-8:]]).mean(0)
    assert_close(affinity, z[f"{image}/affinity"])
    assert_close(transition(affinity), z[f"{image}/transition"], 1e-5)


@pytest.mark.parametrize("image", IMAGES)
def test_boxes_and_spreading(image):
    """The masks are exact, also where a region reaches the last row or column."""
    z = recorded("clip_es")
    voc = image.replace("coco", "voc")
    cam = torch.from_numpy(z[f"{image}/cam"])
    mask = box_mask(cam, float(z[f"{image}/box_threshold"]), "open").flatten(1)
    assert_close(mask, z[f"{image}/box_mask"], 0)
    boxes = z[f"{image}/boxes"]
    assert (mask.sum(1) == 0).tolist() == [not _filled(boxes[boxes[:, 0] == k]) for k in range(len(cam))]
    matrices = torch.from_numpy(z[f"{voc}/transition"]).expand(len(cam), -1, -1)
    assert_close(spread(cam.flatten(1), matrices, mask), z[f"{image}/refined"].reshape(len(cam), -1), 2e-5)


def _filled(boxes: np.ndarray) -> bool:
    return bool(((boxes[:, 3] > boxes[:, 1]) & (boxes[:, 4] > boxes[:, 2])).any())


@pytest.mark.parametrize("image", IMAGES)
def test_maps_at_the_size_of_the_picture(image):
    """From the picture to what the store of maps holds."""
    z = {**recorded("clip_es"), **{k: a for k, a in recorded("clip_es_crf").items() if "attn_highres" in k}}
    picture = recorded_pictures()[image.replace("coco", "voc")]
    targets = torch.from_numpy(z[f"{image}/labels"])[None]
    how = {"threshold": float(z[f"{image}/box_threshold"]), "box_ends": "open"}
    maps = explain(classifier(z, texts_for(image, z)), shown(image), targets, "clip_es", **how)[0]
    found = fuse_views([maps], [False], picture.shape[:2], "raw").half()
    expected = z[f"{image}/attn_highres"]
    stride = 1 if image in VOC else 3
    assert_close(found[:, ::stride, ::stride].float(), expected, 1e-3)


@pytest.mark.parametrize("image", VOC)
def test_crf_and_confidence(image):
    """The posteriors differ by a unary term that is computed in float16 there; the masks do not."""
    z = recorded("clip_es_crf")
    picture, labels = recorded_pictures()[image], np.array([0, *(z[f"{image}/keys"] + 1), 255])
    assert (bgr_less_mean(picture) == z[f"{image}/crf_image_bgr"]).all()
    heat = HeatMaps(z[f"{image}/keys"], z[f"{image}/attn_highres"], picture.shape[:2])
    iterations, *kernels = z["expected/crf_settings_iter_posxy_posw_bixy_birgb_biw"]
    crf = CrfSettings(*map(float, kernels), iterations=int(iterations))
    published = ConfidentCrf(crf="clip_es", crf_image="bgr_less_mean")
    q = Refined(published, crf).posteriors(picture, heat)
    assert np.abs(q - z[f"{image}/crf_q"]).max() < 5e-3
    for confidence, name in ((None, "label_unmasked"), (0.95, "label")):
        refine = Refined(replace(published, confidence=confidence), crf)
        masks = labels[refine(picture, heat)]
        assert (masks != z[f"{image}/{name}"]).mean() < 2e-4
    # A power of 1 - max as the background is a constant: max > 1 - max above 1/2, max > (1 - max)² above (3 - √5)/2.
    for alpha, constant in ((1, 0.5), (2, (3 - 5**0.5) / 2)):
        seeds = labels[argmax_refiner(constant)(picture, heat)]
        assert (seeds != z[f"{image}/label_seed_power{alpha}"]).mean() < 1e-3
