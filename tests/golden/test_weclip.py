"""WeCLIP against arrays recorded from the authors' published code, on a narrow network with random weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from model_recordings import assert_close, recorded, weights

from seedbed.data.normalise import normalise
from seedbed.data.views import InputView
from seedbed.models import create_model, load_weights
from seedbed.models.texts import Texts
from seedbed.models.weclip import WeClip, affinities
from seedbed.models.weclip_weights import decoder_name
from seedbed.refine.fusion import fuse_scales
from seedbed.refine.reliable import attention_affinity_labels
from seedbed.settings.optimisation import TrainSettings
from seedbed.train.objectives import build_objective
from seedbed.train.schedule import Schedule, build_optimizer
from seedbed.train.segmentation import PredictionSettings, scaled_view
from seedbed.train.weclip_labels import LabelSettings, chosen_attention, pixel_labels, present_classes, refined_maps

torch.set_num_threads(1)
PUBLISHED = LabelSettings(layer_choice="signed", box_ends="open")
LABELS = torch.zeros(2, 20)
LABELS[0, [6, 14]] = LABELS[1, 2] = 1


@pytest.fixture(scope="module")
def early():
    return recorded("weclip")


@pytest.fixture(scope="module")
def model(early) -> WeClip:
    given = weights(early)
    model = create_model(
        "weclip_vit_base_16",
        20,
        background_texts=25,
        logit_scale=float(given["encoder.logit_scale"].exp()),
        dim=int(early["cfg/dim"]),
        img_size=int(early["cfg/grid"]) * 16,
        embed_dim=int(early["cfg/width"]),
        depth=int(early["cfg/vision_layers"]),
        num_heads=int(early["cfg/heads"]),
        width=int(early["cfg/emb"]),
        decoder_blocks=int(early["cfg/decoder_layers"]),
        decoder_heads=int(early["cfg/decoder_heads"]),
        dropout=0.0,
    )
    load_weights(model, given, layout="weclip")
    model.set_texts(Texts(torch.from_numpy(early["text/fg"]), torch.from_numpy(early["text/bg"])))
    return model.eval()


@pytest.fixture(scope="module")
def images(early) -> torch.Tensor:
    return torch.stack([normalise(torch.from_numpy(early[f"picture{b}"]).permute(2, 0, 1), "imagenet") for b in (0, 1)])


@pytest.fixture(scope="module")
def seen(model, images):
    return model.look(images)


def objective(**options):
    options = {"decoder_from": 0, "layer_choice": "signed", "box_ends": "open", "radius": 2, **options}
    return build_objective("weclip", **options)


def test_network(early, model, seen):
    assert_close(torch.stack(seen.levels), early["early/tokens"])
    assert_close(seen.before, early["early/cam_tokens"])
    with torch.no_grad():
        scores, features = model.decode(seen.levels)
    assert_close(features, early["early/fts"])
    assert_close(scores, early["early/seg"])
    assert_close(affinities(features), early["early/affinity_pred"])


def test_only_the_decoder_is_trained(model):
    z = recorded("weclip_test_opt")
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert trained == z["opt/group_sizes_in_parameters"][-1]
    assert not any(parameter.requires_grad for parameter in model.tower.parameters())


@pytest.mark.parametrize("phase", ["early", "late"])
def test_labels(phase, early, model, images, seen):
    z = early if phase == "early" else recorded("weclip_late")
    targets = present_classes(LABELS)
    assert targets.tolist() == [[6, 14], [2, -1]]
    affinity = torch.from_numpy(early["early/affinity_pred"]) if phase == "late" else None
    maps = refined_maps(model, seen, targets, affinity, PUBLISHED)
    for b, count in ((0, 2), (1, 1)):
        assert_close(maps[b, :count].flatten(1), _stretched(z[f"{phase}/im{b}/refined"]), 1e-4)
    labels = pixel_labels(images, maps, targets, PUBLISHED)
    assert (labels.numpy() != z[f"{phase}/labels"]).mean() < 1e-3
    pairs = attention_affinity_labels(torch.from_numpy(z[f"{phase}/labels"]).long(), radius=2)
    assert (pairs.numpy() == z[f"{phase}/aff_label_r2"]).all()


def _stretched(refined: np.ndarray) -> np.ndarray:
    flat = refined.reshape(len(refined), -1)
    lifted = flat - flat.min(1, keepdims=True)
    return lifted / (lifted.max(1, keepdims=True) + 1e-7)


def test_layers_are_chosen_by_a_signed_sum(early, seen):
    """The decoder's affinity cancels: any other would choose the same layers, and an absolute distance need not."""
    z, affinity = recorded("weclip_late"), torch.from_numpy(early["early/affinity_pred"])
    attention = torch.stack(seen.attention[-6:])
    mixed, kept = chosen_attention(attention, affinity, "signed")
    for b in (0, 1):
        assert kept[:, b].tolist() == z[f"late/im{b}/layer_kept"].astype(bool).tolist()
        assert_close(mixed[b], z[f"late/im{b}/affinity_in"])
    assert torch.equal(chosen_attention(attention, torch.zeros_like(affinity), "signed")[1], kept)


@pytest.mark.parametrize("phase", ["early", "late"])
def test_coco_settings(phase, early, model, seen):
    z = recorded("weclip_test_opt")
    settings = replace(PUBLISHED, chosen_from=10, threshold=0.7)
    affinity = None if phase == "early" else torch.from_numpy(z["coco_late/affinity_pred_used"])[None]
    first = seen._replace(
        levels=[level[:1] for level in seen.levels],
        before=seen.before[:1],
        attention=[layer[:1] for layer in seen.attention],
    )
    targets = torch.from_numpy(z[f"coco_{phase}/keys"])[None]
    maps = refined_maps(model, first, targets, affinity, settings)
    assert_close(maps[0].flatten(1), _stretched(z[f"coco_{phase}/refined"]), 1e-4)


@pytest.mark.parametrize("phase", ["early", "late", "void"])
def test_losses_and_gradients(phase, early, model, seen):
    z = early if phase == "early" else recorded("weclip_late" if phase == "late" else "weclip_test_opt")
    scores = torch.from_numpy(early["early/seg"]).requires_grad_()
    labels = torch.from_numpy(z[f"{phase}/labels"]).long()
    found = objective().losses(scores, torch.from_numpy(early["early/affinity_pred"]), labels)
    assert_close(found["pixels"], z[f"{phase}/seg_loss"], 1e-5)
    assert_close(found["affinity"], z[f"{phase}/aff_loss"], 1e-5)
    if phase != "void":
        found["pixels"].backward()
        assert_close(scores.grad, z[f"{phase}/grad_seg"], 1e-5)


def test_a_step_of_training(early, model, images):
    """From pictures and labels to the loss, with gradients in the decoder alone."""
    z = recorded("weclip_late")
    model.zero_grad()
    total, parts = objective(decoder_from=1)(model, (images, LABELS))
    total.backward()
    assert float(parts["pixels"]) == pytest.approx(float(early["early/seg_loss"]), rel=2e-3)
    assert float(total.detach()) == pytest.approx(float(early["early/loss"]), rel=2e-3)
    assert all(parameter.grad is None for parameter in model.tower.parameters())
    parameters = dict(model.named_parameters())
    for name in (name.removeprefix("early/grad/") for name in z if name.startswith("early/grad/")):
        # A tie in the labels moves a pixel in some thousand, and gradients with it.
        assert_close(parameters[decoder_name(name)].grad, z[f"early/grad/{name}"], 0.02)


def test_learning_rates():
    """The decay counts from step 0, so the rate jumps where the warm-up of 50 steps ends."""
    z = recorded("weclip_test_opt")
    network = torch.nn.Linear(2, 2)
    settings = TrainSettings(
        lr=0.002, batch_size=4, iterations=30000, schedule="poly", warmup_epochs=0.0189, warmup_lr=2e-9
    )
    optimizer = build_optimizer(network, settings)
    schedule = Schedule(optimizer, settings, 30000, 2645)
    for step, rate in z["opt/lr_published_voc"]:
        schedule.before_step(int(step))
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate, rel=1e-5)


def test_steps_of_the_optimizer():
    """AdamW with decay on everything, each group at its schedule's rate; beyond the last step nothing is asked."""
    z = recorded("weclip_test_opt")
    network = torch.nn.ParameterDict({"weight": torch.ones(3)})
    settings = TrainSettings(
        lr=0.002, batch_size=1, iterations=20, schedule="poly", warmup_epochs=1, warmup_lr=2e-9, weight_decay=0.01,
        groups="uniform",
    )  # fmt: skip
    optimizer = build_optimizer(network, settings)
    schedule = Schedule(optimizer, settings, 20, 5)
    for step in range(20):
        schedule.before_step(step)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(z["opt/lr_warm5_max20"][step, 3], rel=1e-5)
        network["weight"].grad = torch.tensor([0.1, -0.2, 0.3]) * (1 + step % 3)
        optimizer.step()
        np.testing.assert_allclose(network["weight"].detach(), z["opt/param_group3_after_step"][step], rtol=2e-6)


def test_float16_projections_are_rounding(early, model, seen):
    """The code's attention projects in float16; ours stays in float32, and differs by that rounding alone."""
    with torch.no_grad():
        scores, features = model.decode(seen.levels)
    assert_close(scores, early["half/seg"], 2e-3)
    assert_close(affinities(features), early["half/affinity_pred"], 2e-3)


def test_multi_scale_test(model):
    z = recorded("weclip_test_opt")
    how = {"longest_side": 160, "scales": (1.0, 0.75), "scaling": "by_factor", "rounding": "down", "flip": True}
    settings = PredictionSettings(input=InputView("imagenet"), fusion="first_grid", **how)
    views = [(scale, flip) for scale in settings.scales for flip in (False, True)]
    with torch.no_grad():
        logits = [model.logits(scaled_view(z["test/picture"], settings, *each)[None])[0] for each in views]
    assert_close(torch.stack(logits[:2]), z["test/seg_scale1"])
    assert_close(torch.stack(logits[2:]), z["test/seg_scale075"])
    fused = fuse_scales(logits, z["test/picture"].shape[:2], settings.fusion, mirrored=[flip for _, flip in views])
    assert (fused.argmax(0).numpy() != z["test/msc_pred"]).mean() < 1e-3
