"""Samples, augmentation, optimiser steps and predictions of training, against recordings of the published code."""

import numpy as np
import pytest
import torch
from model_recordings import recorded, weights
from PIL import Image
from torchvision import tv_tensors

from seedbed.data.index import DataIndex, Record
from seedbed.data.normalise import normalise
from seedbed.data.scaling import cv2_nearest
from seedbed.data.transforms import build_transform
from seedbed.evaluate import ConfusionMatrix
from seedbed.io.heatmaps import HeatMaps
from seedbed.models import create_model, load_weights
from seedbed.params.stages import AffinityNetwork, Crf, Segmenter
from seedbed.refine.crf import dense_crf
from seedbed.refine.fusion import fuse_scales
from seedbed.refine.losses import affinity_loss
from seedbed.refine.pairs import affinity_labels
from seedbed.train import segmentation
from seedbed.train.affinity import ConfidentPictures
from seedbed.train.loop import fit
from seedbed.train.schedule import Schedule, build_optimizer
from seedbed.train.segmentation import predict_masks
from seedbed.train.settings import TrainSettings

CPU = torch.device("cpu")
TRAIN = {"loss": "any", "lr": 0.1, "batch_size": 1, "epochs": 1}

torch.set_num_threads(1)


def one_picture(root, picture, classes=20):
    """An index of one image without labels."""
    (root / "images").mkdir()
    Image.fromarray(picture).save(root / "images" / "one.png")
    names = tuple(f"class{k}" for k in range(classes))
    return DataIndex(root, names, (Record("one", ("train",), (), "images/one.png", None, picture.shape[:2]),))


def fixed_offsets(monkeypatch, width_height):
    """Replay the recorded offsets, which the published code draws width first; ours draws the height first."""
    drawn = [int(width_height[1]), int(width_height[0])]
    monkeypatch.setattr("seedbed.data.transforms.torch.randint", lambda *_: torch.tensor(drawn.pop(0)))


def affinity_sample(tmp_path, monkeypatch, picture, low, high, rule, recording):
    """What `ConfidentPictures` gives for the recorded crop and mirroring."""
    network = AffinityNetwork.model_validate({
        "architecture": "any",
        "labels": {"crf": "any", "alpha_low": 4, "alpha_high": 32, "rule": rule},
        "input": {"normalize": "imagenet"},
        "train": {**TRAIN, "augment": [{"crop": 104}, {"horizontal_flip": float(recording["flip"])}]},
    })  # fmt: skip
    index = one_picture(tmp_path, picture)
    stores = ({"one": HeatMaps(np.arange(len(maps)) - 1, maps, maps.shape[-2:])} for maps in (low, high))
    data = ConfidentPictures(index, index.records, *stores, network)
    fixed_offsets(monkeypatch, recording["rand_w_h"])
    return data[0, 0]


def psa_sample(case):
    if case == "ds0":  # as large as the crop, and not mirrored
        return recorded("train_affinity_sample_whole")
    pictures = {k.removeprefix(f"psa/{case}/"): v for k, v in recorded("train_affinity_samples").items()}
    return pictures | {k.removeprefix(f"{case}/"): v for k, v in recorded("refine_confident").items()}


@pytest.mark.parametrize("case", ["ds0", "ds1", "ds2"])
def test_psa_affinity_sample(case, tmp_path, monkeypatch):
    z = psa_sample(case)
    pixels, label = affinity_sample(tmp_path, monkeypatch, z["image"], z["la"], z["ha"], "psa", z)
    np.testing.assert_allclose(pixels.numpy(), z["input"], atol=1e-6)
    assert np.array_equal(label.numpy(), z["label"])
    for ours, key in zip(affinity_labels(label, 5), ("bg", "fg", "neg"), strict=True):
        assert np.array_equal(ours.numpy(), z[key])


@pytest.mark.parametrize("case", ["ds0", "ds1"])
def test_transcam_affinity_sample(case, tmp_path, monkeypatch):
    """Its label maps, one channel a label, stand for the posteriors; padding is confident background."""
    z = {k.removeprefix(f"transcam/{case}/"): v for k, v in recorded("refine_pairs").items()}
    pictures = recorded("train_affinity_samples")
    low, high = (np.stack([z[key] == label for label in range(21)]).astype(np.float32) for key in ("la", "ha"))
    arguments = (pictures[f"transcam/{case}/image"], low, high, "transcam", z)
    pixels, label = affinity_sample(tmp_path, monkeypatch, *arguments)
    np.testing.assert_allclose(pixels.numpy(), pictures[f"transcam/{case}/input"], atol=1e-6)
    assert np.array_equal(label.numpy(), z["label"])
    for ours, key in zip(affinity_labels(label, 5), ("bg", "fg", "neg"), strict=True):
        assert np.array_equal(ours.numpy(), z[key])


@pytest.mark.parametrize("turned", ["", "T_"])
@pytest.mark.parametrize("side", [40, 96, 131])
def test_psa_long_side(side, turned):
    z, key = recorded("train_published"), f"resize_long_{turned}{side}"
    picture = torch.from_numpy(z["misc/image"]).permute(2, 0, 1)
    picture = picture.mT if turned else picture
    ours = build_transform([{"resize_long_side": [side, side]}])(tv_tensors.Image(picture))
    assert np.array_equal(ours.permute(1, 2, 0).numpy(), z[f"misc/{key}"])


def test_psa_normalisation():
    z = recorded("train_published")
    ours = normalise(torch.from_numpy(z["misc/image"]).permute(2, 0, 1), "imagenet").permute(1, 2, 0)
    np.testing.assert_allclose(ours.numpy(), z["misc/normalised"], atol=1e-6)


@pytest.mark.parametrize(("size", "top_left"), [(40, (8, 22)), (70, (6, 6))])
def test_psa_crop_and_padding(size, top_left, monkeypatch):
    """Its crop from the middle, by the random crop's steps: offsets into the image, or of it where it is smaller."""
    z = recorded("train_published")
    fixed_offsets(monkeypatch, top_left[::-1])
    picture = tv_tensors.Image(torch.from_numpy(z["misc/image"]).permute(2, 0, 1))
    ours = build_transform([{"crop": size}])(picture).permute(1, 2, 0)
    assert np.array_equal(ours.numpy(), z[f"misc/center_crop_{size}"])


@pytest.mark.parametrize(("key", "height", "width"), [("0125", 57, 83), ("0125_64", 48, 80)])
def test_labels_of_cells(key, height, width):
    """An eighth of a label map, nearest: each cell's first pixel."""
    z = recorded("train_published")
    labels, expected = torch.from_numpy(z["misc/image"][:height, :width, 0]), z[f"misc/rescale_nearest_{key}"]
    assert np.array_equal(cv2_nearest(labels, expected.shape, 0.125).numpy(), expected)
    assert np.array_equal(labels[::8, ::8][: expected.shape[0], : expected.shape[1]].numpy(), expected)


@pytest.mark.parametrize("percent", [70, 117, 130])
def test_scaling_of_segmentation_training(percent):
    z, scale = recorded("train_published"), percent / 100
    picture = tv_tensors.Image(torch.from_numpy(z["aug/image"]).permute(2, 0, 1))
    label = tv_tensors.Mask(torch.from_numpy(z["aug/label"]))
    step = {"random_scale": {"bounds": [scale, scale], "filter": "cv2_linear", "rounding": "down"}}
    pixels, labels = build_transform([step])(picture, label)
    expected = z[f"aug/scale_im_{percent}"]
    np.testing.assert_allclose(pixels.permute(1, 2, 0).numpy(), expected, atol=2e-5 * expected.max())
    assert np.array_equal(labels.numpy(), z[f"aug/scale_gt_{percent}"])


def test_padding_of_segmentation_training():
    z = recorded("train_published")
    picture = tv_tensors.Image(torch.from_numpy(z["aug/image"]).permute(2, 0, 1))
    label = tv_tensors.Mask(torch.from_numpy(z["aug/label"]))
    crop = {"crop": {"size": 80, "mask_fill": 0, "place": "corner"}}
    pixels, labels = build_transform([crop])(picture, label)
    assert np.array_equal(pixels.permute(1, 2, 0).numpy(), z["aug/pad_image"])
    assert np.array_equal(labels.numpy(), z["aug/pad_label"])


def published_sgd(z, prefix="", **changes):
    """Settings that do what the published optimiser does: the weight decay stands where momentum should."""
    slip = float(z[f"{prefix}momentum_effective"] if prefix else z["sgd_momentum_effective"])
    return TrainSettings(
        lr=float(z[f"{prefix}lr"]), weight_decay=float(z[f"{prefix}wt_dec"]), momentum=slip, optimizer="sgd",
        schedule="poly", power=0.9, groups="own", batch_size=1, loader_workers=0, **changes,
    )  # fmt: skip


class FourParameters(torch.nn.Module):
    """One parameter in each of the four groups."""

    def __init__(self, start):
        super().__init__()
        self.values = torch.nn.ParameterList([torch.from_numpy(row.copy()) for row in start])

    def parameter_groups(self, weight_decay):
        return [
            {"params": [value], "lr_scale": scale, "weight_decay": 0.0 if k % 2 else weight_decay}
            for k, (value, scale) in enumerate(zip(self.values, (1, 2, 10, 20), strict=True))
        ]


def test_psa_optimiser_trace():
    z = recorded("train_published")
    z = {k.removeprefix("misc/"): v for k, v in z.items()}
    steps = int(z["poly/max_step"])
    model, settings = FourParameters(z["poly/p0"]), published_sgd(z, "poly/", iterations=steps)
    optimizer = build_optimizer(model, settings)
    schedule = Schedule(optimizer, settings, steps, steps)
    for step in range(steps):
        schedule.before_step(step)
        np.testing.assert_allclose([group["lr"] for group in optimizer.param_groups], z["poly/lrs"][step], rtol=1e-12)
        for value, gradient in zip(model.values, z["poly/grads"][step], strict=True):
            value.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        ours = np.stack([value.detach().numpy() for value in model.values])
        np.testing.assert_allclose(ours, z["poly/params"][step], rtol=1e-6)


class RecordedSteps:
    """The loss of each recorded batch in turn."""

    def __init__(self, z):
        self.z, self.losses = z, []

    def __call__(self, model, _):
        step = f"step{len(self.losses)}"
        pictures, *pairs = (torch.from_numpy(self.z[f"{step}/{key}"]) for key in ("input", "bg", "fg", "neg"))
        loss = affinity_loss(model(pictures).pairs, *pairs)
        self.losses.append([part.item() for part in (loss.total, loss.background, loss.foreground, loss.negative)])
        return loss.total, {}


class NothingNeeded(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, key):
        return torch.zeros(1)


def test_psa_affinity_training(tmp_path):
    """Four steps of the loop, from the recorded weights to the recorded weights."""
    start = recorded("models_affinitynet_training")
    z = start | recorded("train_affinitynet")
    model = create_model("affinitynet_resnet38", width_divisor=32, dropout=(0, 0))
    load_weights(model, weights(start))
    objective = RecordedSteps(z)
    options = {"seed": 0, "state_path": tmp_path / "state", "fingerprint": {}, "device": CPU}
    trained, _ = fit(model, NothingNeeded(), objective, published_sgd(z, epochs=1), **options)
    parts = ("loss", "bg_loss", "fg_loss", "neg_loss")
    np.testing.assert_allclose(
        objective.losses, [[z[f"step{k}/{part}"] for part in parts] for k in range(4)], rtol=2e-5
    )
    after, ours = weights(z, "w_after/"), trained.state_dict()
    assert len(after) == 39
    for name, expected in after.items():
        assert (ours[name] - expected).abs().max() <= 2e-5 * expected.abs().max(), name
        assert not torch.equal(expected, torch.from_numpy(start[f"w/{name}"]))


@pytest.mark.parametrize("step", range(4))
def test_psa_affinity_counts(step):
    """The pairs that each loss is divided by, seen where all affinities are a half."""
    z = recorded("models_affinitynet_training") | recorded("train_affinitynet")
    labels = [torch.from_numpy(z[f"step{step}/{key}"]).double() for key in ("bg", "fg", "neg")]
    loss = affinity_loss(torch.full_like(labels[0], 0.5), *labels)
    for kind, given, ours in zip(("bg", "fg", "neg"), labels, loss[1:], strict=True):
        count = given.sum().item() * -np.log(0.5 + 1e-5) / ours.item()
        assert count == pytest.approx(float(z[f"step{step}/{kind}_cnt"]), rel=1e-7)


def test_mctformer_segmentation(tmp_path, monkeypatch):
    """Scaled tensors, the maximum of the softmaxes, and a CRF on the image itself, to the recorded label maps."""
    network, z = recorded("models_deeplab_mctformer"), recorded("train_published")
    inside, fused = recorded("train_mctformer_segmentation"), []
    monkeypatch.setattr(segmentation, "fuse_scales", lambda *a, **k: fused.append(fuse_scales(*a, **k)) or fused[-1])
    model = create_model("deeplab_v1_resnet38_mctformer", 21, width_divisor=int(network["divisor"]), head_width=8)
    load_weights(model, weights(network))
    index = one_picture(tmp_path, z["seg/image"])
    settings = Segmenter.model_validate({
        "architecture": "any", "input": {"normalize": "imagenet"}, "scales": z["seg/scales"].tolist(),
        "scaling": "tensor", "rounding": "down", "fusion": "max_probability", "train": {**TRAIN, "augment": []},
    })  # fmt: skip
    crf = Crf(gaussian_sxy=4, gaussian_weight=3, bilateral_sxy=83, bilateral_srgb=5, bilateral_weight=3)
    for given, key in ((None, "seg/pred"), (crf, "seg/pred_crf")):
        ((_, mask),) = predict_masks(model, index, index.records, settings, given, CPU)
        assert np.array_equal(mask, z[key])
        np.testing.assert_allclose(fused[-1].numpy(), inside["max_fused_probs"], atol=1e-6)
    posteriors = dense_crf(z["seg/image"], fused[-1].numpy(), crf)
    np.testing.assert_allclose(posteriors[:6], inside["crf_probs"], atol=2e-5)
    matrix = ConfusionMatrix(21)
    matrix.update(z["seg/pred"], inside["gt"])
    assert matrix.miou("in_either") == pytest.approx(float(inside["miou"]), rel=1e-9)
