"""WeCLIP+ against arrays recorded from the authors' published code, on narrow towers with random weights.

DINOv2's tokens are recorded as its branch was given them; `as published` throughout.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from model_recordings import assert_close, recorded, weights
from torch import Tensor, nn

from seedbed.data.normalise import normalise
from seedbed.data.views import InputView
from seedbed.errors import DataError, ParameterError
from seedbed.explain.box_affinity import box_mask
from seedbed.explain.targets import Pairs
from seedbed.explain.text_cam import softmax_gradcam, stretched, text_probabilities
from seedbed.models import create_model, load_weights
from seedbed.models.texts import Texts, unit
from seedbed.models.weclip import Seen, affinities
from seedbed.models.weclip_plus import Decoded, SeenByBoth, WeClipPlus
from seedbed.models.weclip_plus_weights import branch_name
from seedbed.refine.background import with_background
from seedbed.refine.fusion import fuse_scales
from seedbed.train.objectives import build_objective
from seedbed.train.segmentation import PredictionSettings, scaled_view, views_of
from seedbed.train.weclip_labels import LabelSettings, chosen_attention, pixel_labels, present_classes
from seedbed.train.weclip_plus_labels import enlarged, self_labels, weighted_maps

torch.set_num_threads(1)
VOC = LabelSettings(chosen_from=6, layer_choice="signed", threshold=None)
COCO = LabelSettings(chosen_from=8, layer_choice="signed", threshold=0.7, box_ends="open")
PUBLISHED_LOSS = {"layer_choice": "signed", "threshold": None, "skip_block": True}
PUBLISHED_LOSS |= {"dice_classes": "all", "dice_void": "counted", "empty_is_nan": True, "radius": 2}
CLASSES = ([14, 6], [2])
LABELS = torch.zeros(2, 20)
LABELS[0, CLASSES[0]] = LABELS[1, CLASSES[1]] = 1
OF_LOSSES = 2e-6
STRETCHED = 1e-4  # of maps whose range is a fraction of their values


@pytest.fixture(scope="module")
def z() -> dict[str, np.ndarray]:
    return recorded("weclip_plus")


def given_weights(model: WeClipPlus) -> dict[str, Tensor]:
    """The recorded weights, and a DINOv2 as its own code names it."""
    dino = {f"dino_encoder.{name}": tensor for name, tensor in model.dino.state_dict().items()}
    return {**weights(recorded("weclip_plus_weights")), **dino, "dino_encoder.mask_token": torch.zeros(1, 12)}


@pytest.fixture(scope="module")
def model(z) -> WeClipPlus:
    scale = float(weights(recorded("weclip_plus_weights"))["encoder.logit_scale"].exp())
    model = create_model(
        "weclip_plus_vit_base_16",
        20,
        background_texts=25,
        logit_scale=scale,
        dim=int(z["cfg/dim"]),
        img_size=int(z["cfg/grid"]) * 16,
        embed_dim=int(z["cfg/width"]),
        depth=int(z["cfg/vision_layers"]),
        num_heads=int(z["cfg/heads"]),
        width=int(z["cfg/emb"]),
        decoder_blocks=int(z["cfg/decoder_layers"]),
        dropout=0.0,
        dino={"img_size": 70, "patch_size": 14, "embed_dim": int(z["cfg/dino"]), "depth": 1, "num_heads": 2},
    )
    load_weights(model, given_weights(model), layout="weclip_plus")
    model.set_texts(Texts(torch.from_numpy(z["text/fg"]), torch.from_numpy(z["text/bg"])))
    return model.eval()


@pytest.fixture(scope="module")
def images(z) -> Tensor:
    return torch.stack([normalise(torch.from_numpy(z[f"picture{b}"]).permute(2, 0, 1), "imagenet") for b in (0, 1)])


class RecordedDino(nn.Module):
    """Tokens as they were recorded, for images of the size that they were recorded of."""

    def __init__(self, tokens: np.ndarray) -> None:
        super().__init__()
        self.tokens = torch.from_numpy(tokens)

    def forward(self, images: Tensor) -> Tensor:
        grid = [side // 14 for side in images.shape[-2:]]
        return self.tokens[: len(images)].mT.unflatten(2, grid)


@contextmanager
def recorded_dino(model: WeClipPlus, tokens: np.ndarray) -> Iterator[None]:
    """The network with recorded tokens in the place of its DINOv2."""
    own, model.dino = model.dino, RecordedDino(tokens)
    yield
    model.dino = own


@pytest.fixture(scope="module")
def seen(z, model, images) -> SeenByBoth:
    return model.look(images, skip_block=True)._replace(dino=RecordedDino(z["dino_tokens"])(images))


@pytest.fixture(scope="module")
def decoded(model, seen) -> Decoded:
    with torch.no_grad():
        return model.decode(seen)


def of_image(seen: Seen, b: int) -> Seen:
    attention = [layer[b : b + 1] for layer in seen.attention]
    return seen._replace(levels=[seen.levels[0][b : b + 1]], before=seen.before[b : b + 1], attention=attention)


def test_towers(z, model, images, seen):
    assert_close(model.dino.whole_patches(images)[:, :, ::7, ::7], z["dino_input_sub"])
    assert_close(torch.stack(seen.clip.levels), z["clip_tokens_last"])
    assert_close(seen.clip.before, z["cam_tokens"])
    outputs = [step.tokens for step in model.tower.steps(model.tower.embed(images)[0])]
    for name, given in (("", seen), ("coco/", model.look(images))):
        block = int(z[f"{name}cam_tokens_equal_output_of_block"])
        assert torch.equal(given.clip.before, outputs[block])
    level = outputs[int(z["clip_tokens_equal_output_of_block"])][:, 1:].mT
    assert torch.equal(seen.clip.levels[0].flatten(2), level)


def test_branches_and_decoder(z, decoded):
    width = int(z["cfg/emb"])
    assert_close(decoded.features[:, :width], z["fts_clip"])
    assert_close(decoded.features[:, width:], z["fts_dino"])
    assert_close(affinities(decoded.features), z["affinity_pred"])
    assert_close(decoded.clip, z["seg_clip"])
    assert_close(decoded.dino, z["seg_dino"])
    assert_close(decoded.scores.softmax(1), z["prob"])


def test_only_branches_and_decoder_are_trained(z, model):
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert trained == z["opt/group_sizes_in_parameters"][-1]
    assert not any(each.requires_grad for tower in (model.tower, model.dino) for each in tower.parameters())


@pytest.mark.parametrize("b", [0, 1])
def test_maps(z, model, seen, b):
    """Each step from attention and scores to the maps that are spread."""
    name, classes, clip = f"voc/im{b}", CLASSES[b], of_image(seen.clip, b)
    affinity = torch.from_numpy(z["affinity_pred"])[b : b + 1]
    attention = torch.stack(clip.attention[-6:])
    mixed, kept = chosen_attention(attention, affinity, "signed")
    assert_close((affinity - attention).sum((-2, -1))[:, 0], z[f"{name}/layer_diff"])
    assert kept[:, 0].tolist() == z[f"{name}/layer_kept"].astype(bool).tolist()
    assert_close(mixed[0], z[f"{name}/affinity_in"])
    targets = torch.tensor([classes])
    pairs = Pairs(torch.zeros(len(classes), dtype=torch.long), targets[0], 1)
    maps = softmax_gradcam(model, clip.before, targets, pairs)
    assert_close(maps.unflatten(1, (5, 5)), z[f"{name}/cam"])
    own = torch.from_numpy(z["prob"])[b, targets[0] + 1]
    assert_close(maps.unflatten(1, (5, 5)) * own, z[f"{name}/cam_times_probability"])
    assert z[f"{name}/box_mask_used"].all()
    with torch.no_grad():
        last = next(model.tower.steps(clip.before, first=11)).tokens
        embedding = model.tower.project(last)[:, 1:].mean(1)
        found = text_probabilities(model, embedding, targets)
    present = [*classes, *range(20, 45)]
    assert_close(found[0, present], z[f"{name}/scores"])


def test_labels(z, model, images, seen):
    targets = present_classes(LABELS)
    affinity, probabilities = torch.from_numpy(z["affinity_pred"]), torch.from_numpy(z["prob"])
    maps = weighted_maps(model, seen.clip, targets, affinity, probabilities, VOC)
    for b, order in ((0, [1, 0]), (1, [0])):  # ours are in ascending order
        assert_close(maps[b, order].flatten(1), _stretched(z[f"voc/im{b}/refined"]), STRETCHED)
    shown = with_background(enlarged(maps[:1], (80, 80)), 1.0)[0, [0, 2, 1], ::4, ::4]
    assert_close(shown, z["par_in0_sub"], STRETCHED)
    labels = pixel_labels(images, maps, targets, VOC).numpy()
    assert (labels != z["labels"]).mean() < 1e-3
    assert (z["half/labels"] != labels).mean() < 0.08


def _stretched(refined: np.ndarray) -> np.ndarray:
    return stretched(torch.from_numpy(refined).flatten(1)).numpy()


def test_half_precision_is_not_copied_and_is_near(z, decoded):
    for name in ("clip", "dino"):
        assert_close(getattr(decoded, name), z[f"half/seg_{name}"], 1e-3)


def test_coco(z, model, images):
    """Eight layers, boxes of the maps before they are weighted, and no block left out."""
    classes = sorted(z["labels0"].tolist())
    affinity = torch.from_numpy(z["affinity_pred"])[:1]
    clip = of_image(model.look(images).clip, 0)
    mixed, kept = chosen_attention(torch.stack(clip.attention[-8:]), affinity, "signed")
    assert kept[:, 0].tolist() == z["coco/im0/layer_kept"].astype(bool).tolist()
    assert_close((affinity - torch.stack(clip.attention[-8:])).sum((-2, -1))[:, 0], z["coco/im0/layer_diff"])
    assert_close(mixed[0], z["coco/im0/affinity_in"])
    maps = torch.from_numpy(z["coco/im0/cam"])
    boxes = box_mask(maps, COCO.threshold, COCO.box_ends)
    assert torch.equal(boxes.flatten(1), torch.from_numpy(z["coco/im0/box_mask_used"]).flatten(1).float())
    logits = torch.from_numpy((z["seg_clip"] + z["seg_dino"])[:1] / 2)
    scores = torch.cat([logits] * 4, dim=1)[:, :81].softmax(1)
    network = _CocoTexts(model, z)
    targets = torch.tensor([classes])
    pairs = Pairs(torch.zeros(2, dtype=torch.long), targets[0], 1)
    found = softmax_gradcam(network, clip.before, targets, pairs)
    assert_close(found.unflatten(1, (5, 5)), z["coco/im0/cam"])
    weighted = found.unflatten(1, (5, 5)) * scores[0, targets[0] + 1]
    assert_close(weighted, z["coco/im0/cam_times_probability"])
    with torch.no_grad():
        last = next(model.tower.steps(clip.before, first=11)).tokens
        embedding = model.tower.project(last)[:, 1:].mean(1)
        present = [*classes, *range(80, 103)]
        assert_close(text_probabilities(network, embedding, targets)[0, present], z["coco/im0/scores"])
    maps = weighted_maps(network, clip, targets, affinity, scores, COCO)
    assert_close(maps[0].flatten(1), _stretched(z["coco/im0/refined"]), STRETCHED)
    labels = pixel_labels(images[:1], maps, targets, COCO)
    assert (labels.numpy() != z["coco/labels"]).mean() < 1e-3


class _CocoTexts:
    """The tower with 80 classes, of which the present ones alone were recorded."""

    def __init__(self, model: WeClipPlus, z: dict[str, np.ndarray]) -> None:
        self.tower, self.scores = model.tower, model.scores
        every = unit(torch.ones(80, int(z["cfg/dim"])))
        every[z["labels0"]] = torch.from_numpy(z["text/coco_fg_of_present"])
        self.texts = Texts(every, torch.from_numpy(z["text/coco_bg"]))


@pytest.mark.parametrize("phase", ["early", "late", "void"])
def test_losses_and_gradients(z, phase):
    labels = torch.from_numpy(z["labels"]).long()
    if phase == "void":  # recorded as the code left it: void renamed
        labels = torch.from_numpy(z["loss_void/labels_after_dice"]).long()
        labels[labels == 21] = 255
    before = labels.clone()
    clip, dino, affinity = (
        torch.from_numpy(z[name]).requires_grad_() for name in ("seg_clip", "seg_dino", "affinity_pred")
    )
    threshold = float(z["loss_late/threshold_used_here"])
    loss = build_objective("weclip_plus", self_labels_from=0, self_labels_above=threshold, **PUBLISHED_LOSS)
    found = loss.losses(Decoded(clip, dino, torch.empty(0)), affinity, labels, own=phase == "late")
    mutual = z[f"loss_{phase}/cross_clip"] + z[f"loss_{phase}/cross_dino"]
    for name, theirs in (("pixels", "ce"), ("dice", "dice"), ("affinity", "aff")):
        assert_close(found[name], z[f"loss_{phase}/{theirs}"], OF_LOSSES)
    assert_close(found["mutual"], mutual, OF_LOSSES)
    total = loss.total(found)
    assert_close(total, z[f"loss_{phase}/loss"], OF_LOSSES)
    total.backward()
    assert_close(clip.grad, z[f"loss_{phase}/grad_seg_clip"])
    assert_close(dino.grad, z[f"loss_{phase}/grad_seg_dino"])
    assert_close(affinity.grad[:, ::3, ::3], z[f"loss_{phase}/grad_affinity_sub"])
    assert torch.equal(labels, before)


def test_self_labels(z):
    scores = enlarged(torch.from_numpy((z["seg_clip"] + z["seg_dino"]) / 2), (80, 80))
    threshold = float(z["loss_late/threshold_used_here"])
    labels = self_labels(scores, torch.from_numpy(z["labels"]).long(), threshold)
    assert (labels.numpy() == z["loss_late/labels_after"]).all()
    sure = (scores.softmax(1).amax(1) > threshold).float().mean()
    assert float(sure) == pytest.approx(float(z["loss_late/replaced_share"]))
    assert build_objective("weclip_plus", self_labels_from=1).self_labels_above == z["loss_late/threshold_published"]


def test_a_step_of_training(z, model, images):
    """From pictures and labels to the loss, with gradients in branches and decoder alone."""
    model.zero_grad()
    loss = build_objective("weclip_plus", self_labels_from=1, **PUBLISHED_LOSS)
    with recorded_dino(model, z["dino_tokens"]):
        total, parts = loss(model, (images, LABELS))
    total.backward()
    assert float(total.detach()) == pytest.approx(float(z["loss_early/loss"]), rel=1e-5)
    assert float(parts["dice"]) == pytest.approx(float(z["loss_early/dice"]), rel=1e-5)
    parameters = dict(model.named_parameters())
    for name in (name.removeprefix("grad/") for name in z if name.startswith("grad/")):
        assert_close(parameters[branch_name(name)].grad, z[f"grad/{name}"], 1e-4)


def test_multi_scale_test(z, model):
    how = {"scales": (1.0, 1.5), "scaling": "by_factor", "rounding": "down", "flip": True}
    settings = PredictionSettings(
        input=InputView("imagenet"), fusion="first_grid", longest_side=int(z["test/resize_long"]), **how
    )
    picture, logits, views = z["test/picture"], [], views_of(settings)
    for scale, flip in views:
        shown = scaled_view(picture, settings, scale, flip)[None]
        tokens = z["test/dino_tokens_scale1" if scale == 1 else "test/dino_tokens_scale15"][int(flip)][None]
        with torch.no_grad(), recorded_dino(model, tokens):
            logits.append(model.logits(shown)[0])
    grid = [each.flip(-1) if flip else each for each, (_, flip) in zip(logits, views, strict=True)]
    mean = torch.stack([enlarged(each[None], (5, 7)) for each in grid]).mean(0)
    assert_close(mean, z["test/msc_logits"])
    mirrored = [flip for _, flip in views]
    fused = fuse_scales(logits, picture.shape[:2], settings.fusion, mirrored=mirrored)
    assert (fused.argmax(0).numpy() == z["test/msc_pred"]).all()
    one = fuse_scales(logits[:1], picture.shape[:2], settings.fusion, mirrored=[False])
    assert (one.argmax(0).numpy() == z["test/pred"]).all()


def test_labels_of_a_test_picture(z, model):
    """As the code's validation makes them, which shows PAR a picture of the label's size."""
    settings = PredictionSettings(
        input=InputView("imagenet"), fusion="first_grid", longest_side=112, scaling="by_factor", rounding="down"
    )
    shown, targets = scaled_view(z["test/picture"], settings, 1.0, False)[None], torch.tensor([[2]])
    with torch.no_grad(), recorded_dino(model, z["test/dino_tokens_scale1"][:1]):
        seen = model.look(shown, skip_block=True)
        decoded = model.decode(seen)
    affinity = affinities(decoded.features)
    maps = weighted_maps(model, seen.clip, targets, affinity, decoded.scores.softmax(1), VOC)
    picture = F.interpolate(shown, z["test/picture"].shape[:2], mode="bilinear", align_corners=True)
    assert (pixel_labels(picture, maps, targets, VOC)[0].numpy() != z["test/cam_label"]).mean() < 1e-3


def test_a_checkpoint_without_dino_is_refused(model):
    with pytest.raises(DataError, match="one DINOv2"):
        load_weights(model, weights(recorded("weclip_plus_weights")), layout="weclip_plus")
    with pytest.raises(DataError, match=r"dino\.norm\.weight"):
        lacking = {name: each for name, each in given_weights(model).items() if name != "dino_encoder.norm.weight"}
        load_weights(model, lacking, layout="weclip_plus")
    with pytest.raises(ParameterError, match="WeClipPlus"):
        load_weights(model.tower, given_weights(model), layout="weclip_plus")
