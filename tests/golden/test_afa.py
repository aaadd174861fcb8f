"""AFA's optimiser, losses, labels and refined propagation, against arrays recorded from its published code."""

import numpy as np
import pytest
import torch
from model_recordings import assert_close, recorded
from torch import nn

from seedbed.data.normalise import normalise
from seedbed.models import create_model
from seedbed.models.afa import bilinear
from seedbed.refine import (
    attention_affinity_labels,
    chebyshev_window,
    picture_from_normalised,
    propagate_with_background,
)
from seedbed.train.afa_labels import refined_scores
from seedbed.train.objectives import build_objective
from seedbed.train.schedule import Schedule, build_optimizer
from seedbed.train.settings import TrainSettings
from seedbed.train.toco_labels import refined_labels

torch.set_num_threads(1)


class TwoGroups(nn.Module):
    """A body, and a head that learns ten times as fast."""

    def __init__(self):
        super().__init__()
        self.body = nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
        self.head = nn.Parameter(torch.tensor([0.3, 0.7]))


def test_optimiser_trace():
    """AdamW, 4 steps of warm-up and linear decay over 12 that the warm-up takes no part in.

    The recorded warm-up starts at a millionth of each group's rate, ours at one rate for all groups; two more recorded
    steps lie behind the end, where its rate stays.
    """
    z, steps = recorded("train_afa"), 12
    model = TwoGroups()
    settings = TrainSettings(
        lr=6e-5, batch_size=1, iterations=steps, weight_decay=0.01, groups="uniform", lr_scales={"head": 10},
        schedule="poly", warmup_epochs=1, warmup_lr=6e-11,
    )  # fmt: skip
    optimizer = build_optimizer(model, settings)
    schedule = Schedule(optimizer, settings, steps, steps_per_epoch=4)
    greatest = z["opt/lrs"].max(axis=0)
    for step in range(steps):
        schedule.before_step(step)
        rates = [group["lr"] for group in optimizer.param_groups]
        assert (np.abs(rates - z["opt/lrs"][step]) <= 2e-6 * greatest).all()
        model.body.grad, model.head.grad = torch.from_numpy(z["opt/grads"][step]).split([3, 2])
        optimizer.step()
        assert_close(torch.cat([model.body, model.head]), z["opt/params"][step], 1e-7)


def test_segmentation_loss():
    z, labels = recorded("train_afa"), recorded("refine_afa_labels")["voc/refined_label"]
    logits = torch.from_numpy(z["voc/seg_logits"])
    loss, _ = build_objective("pixel_cross_entropy", balanced=True)(
        lambda _: logits, (None, torch.from_numpy(labels).long())
    )
    assert loss.item() == pytest.approx(float(z["voc/seg_loss"]), rel=1e-6)


@pytest.mark.parametrize("setting", ["voc", "mct"])
def test_pairs_and_windows(setting):
    z = {k.removeprefix(f"{setting}/"): v for k, v in recorded("refine_afa_labels").items()}
    pairs = attention_affinity_labels(torch.from_numpy(z["refined_label"]), radius=2)
    # The recorded counts are the loss's denominators, one more than there are pairs.
    assert (pairs == 1).sum() + 1 == int(z["pos_count"])
    assert (pairs == 0).sum() + 1 == int(z["neg_count"])
    for radius in (2, 8):
        assert np.array_equal(chebyshev_window(4, 5, radius), z[f"radius_mask{radius}"])


def test_normalised_picture():
    pictures = torch.from_numpy(recorded("refine_afa_labels")["images"]).permute(0, 3, 1, 2)
    assert_close(normalise(pictures, "imagenet"), recorded("models_afa_fusion")["normalised"], 1e-6)


def test_picture_from_normalised():
    normalised, expected = recorded("models_afa_fusion")["normalised"], recorded("refine_afa_labels")["denorm"]
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    for ours, picture in zip(normalised, expected, strict=True):
        grey = picture_from_normalised(ours, mean, std, scale=1)
        assert np.array_equal(grey, np.rint(picture * 255).transpose(1, 2, 0))


def test_propagated_maps_refined():
    """Propagation with background, then pixel-adaptive refinement of what each image shows, at half resolution."""
    z = {k: torch.from_numpy(v) for k, v in recorded("refine_afa_labels").items() if v.ndim}
    window = chebyshev_window(4, 5, 2)
    scores = propagate_with_background(z["prop/cams"], z["prop/aff"], z["cls_labels"], window=window)
    inside = torch.zeros(2, 64, 80, dtype=torch.bool)
    for shown, (top, bottom, left, right) in zip(inside, z["img_box"].tolist(), strict=True):
        shown[top:bottom, left:right] = True
    ours = refined_scores(z["denorm"], bilinear(scores, (64, 80)), z["cls_labels"], inside)
    assert_close(ours, z["prop/refined_cls"].numpy(), 1e-6)


def test_labels_as_the_training_makes_them():
    """From the normalised picture; in 6 % of the bytes ours is one too low, in 1 % the recorded one."""
    z = {k: torch.from_numpy(v) for k, v in recorded("refine_afa_labels").items()}
    normalised = normalise(z["images"].permute(0, 3, 1, 2), "imagenet")
    inside = torch.zeros(2, 64, 80, dtype=torch.bool)
    for shown, (top, bottom, left, right) in zip(inside, z["img_box"].tolist(), strict=True):
        shown[top:bottom, left:right] = True
    given = (normalised, z["cams"], z["cls_labels"], inside, (0.35, 0.55))
    assert (refined_labels(*given) != z["voc/refined_label"]).float().mean() < 0.002


def test_the_grid_of_places():
    """Of the last stage, whose patches do not shrink it; also where keys could not be reduced as far as published."""
    encoder = create_model("afa_mit_b1", 1, embed_dims=(2, 2, 2, 2), num_heads=(1, 1, 1, 1)).encoder
    layers = [encoder.patch_embed, *(stage.downsample for stage in encoder.stages[1:])]
    for height, width, *grid in recorded("models_afa_grids")["down_sizes"].tolist():
        x = torch.zeros(1, 3, height, width)
        for layer in layers:
            x = layer(x).movedim(-1, 1)
        assert list(x.shape[-2:]) == grid
