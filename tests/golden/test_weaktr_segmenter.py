"""WeakTr's segmentation network against arrays recorded from its authors' published code."""

import numpy as np
import pytest
import torch
from model_recordings import assert_close, recorded, weights

from seedbed.models import create_model, load_weights
from seedbed.refine.crf import dense_crf
from seedbed.refine.fusion import fuse_scales
from seedbed.settings.dense_crf import CrfSettings
from seedbed.settings.optimisation import TrainSettings
from seedbed.train.groups import parameter_groups
from seedbed.train.loop import fit
from seedbed.train.objectives import build_objective
from seedbed.train.segmentation import Smoothing
from seedbed.train.windows import Windows, over_windows

torch.set_num_threads(1)


def segmenter():
    z = recorded("weaktr_segmenter_weights")
    cfg = {key.removeprefix("cfg/"): value.item() for key, value in z.items() if key.startswith("cfg/")}
    ratio = cfg["d_ff"] / cfg["d_model"]
    model = create_model(
        "weaktr_segmenter", cfg["n_cls"], backbone="vit_tiny_patch8_96", img_size=cfg["image_size"],
        patch_size=cfg["patch_size"], unused_classes=len(z["w/encoder.head.bias"]), drop_path_rate=0.0,
        decoder_depth=cfg["decoder_layers"], decoder_heads=cfg["n_heads"], dropout=0.0,
        decoder_mlp_ratio=ratio, mlp_ratio=ratio,
        embed_dim=cfg["d_model"], depth=cfg["n_layers"], num_heads=cfg["n_heads"],
    )  # fmt: skip
    load_weights(model, weights(z), layout="checkpoint")
    return model


@pytest.mark.parametrize("case", range(3))
def test_network(case):
    model = segmenter().eval()
    found = recorded("weaktr_segmenter").items()
    z = {key.removeprefix(f"eval{case}/"): value for key, value in found if key.startswith(f"eval{case}/")}
    images = torch.from_numpy(z["x"])
    with torch.no_grad():
        encoded = model.encode(model._padded(images))
        decoded = model.decoder.tokens(encoded[:, 1:])
        small = model.logits(images)
        assert_close(encoded, z["encoder_tokens"])
        assert_close(model.decoder.cosines(decoded), z["cosine"])
        assert_close(small, z["masks_small"])
        assert_close(model(images)[: len(z["masks"])], z["masks"])
    if "decoder_tokens" in z:
        assert_close(decoded, z["decoder_tokens"])
    if "pos_embed" in z:
        assert_close(model.positions(tuple(small.shape[-2:])), z["pos_embed"])


@pytest.mark.parametrize(("classes", "total"), [(21, 26.322), (81, 26.345), (91, 26.349)])
def test_names_and_shapes(classes, total):
    z, recording = recorded("weaktr_parameters"), f"segmenter_deit_small_{classes}"
    with torch.device("meta"):
        model = create_model("weaktr_segmenter", classes)
    shapes = ([int(n) for n in shape if n >= 0] for shape in z[f"{recording}/shapes"])
    theirs = dict(zip(z[f"{recording}/names"].tolist(), shapes, strict=True))
    assert {name: list(tensor.shape) for name, tensor in model.named_parameters()} == theirs
    assert sum(parameter.numel() for parameter in model.parameters()) == z[f"{recording}/total"]
    assert round(z[f"{recording}/total"] / 1e6, 3) == total


@pytest.mark.parametrize("case", range(5))
def test_clipped_cross_entropy(case):
    recording = recorded("weaktr_clip")
    z = {key.removeprefix(f"case{case}/"): value for key, value in recording.items() if key.startswith(f"case{case}/")}
    logits, labels = torch.from_numpy(z["logits"]).requires_grad_(), torch.from_numpy(z["labels"]).long()
    objective = build_objective(
        "clipped_cross_entropy", start=float(z["start_value"]), cell=int(recording["patch_size"])
    )
    found = objective.costs(logits, labels)
    found.loss.backward()
    assert_close(found.plain, z["ce"], 1e-5)
    np.testing.assert_allclose([found.mean.item(), found.loss.item()], [z["mean_ce"], z["loss"]], rtol=1e-5)
    assert_close(logits.grad, z["grad"], 1e-5)
    assert np.array_equal(logits.grad == 0, z["grad"] == 0)
    assert (found.mean.item() <= objective.start) == z["active"]
    if z["active"]:
        assert_close(found.clipped, z["clipped"], 1e-5)


def test_six_optimiser_steps(tmp_path):
    """By the loop: Nesterov's momentum, two factors, a loss that switches back, and the rates of two epochs."""
    model, z, losses, means = segmenter(), recorded("weaktr_retrain"), [], []
    objective = build_objective("clipped_cross_entropy", start=float(z["start_value"]), cell=int(z["patch_size"]))
    batches = [
        (torch.from_numpy(z[f"batch{k % 3}/im"]), torch.from_numpy(z[f"batch{k % 3}/segmentation"])) for k in range(6)
    ]

    class Steps(torch.utils.data.Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, key):
            return torch.zeros(1)

    def recorded_step(network, _):
        images, labels = batches[len(losses)]
        loss, parts = objective(network, (images, labels.long()))
        losses.append(loss.item())
        means.append(parts["cross_entropy"].item())
        return loss, parts

    settings = TrainSettings(
        lr=float(z["lr"]), batch_size=1, epochs=2, optimizer="sgd", momentum=0.9, nesterov=True, groups="uniform",
        lr_scales={"encoder.": 0.1}, schedule="poly_scaled", power=float(z["power"]), final_lr=float(z["min_lr"]),
        log_every=1,
    )  # fmt: skip
    options = {"seed": 0, "state_path": tmp_path / "state", "fingerprint": {}, "device": torch.device("cpu")}
    trained, history = fit(model, Steps(), recorded_step, settings, **options)
    np.testing.assert_allclose(means, z["step/mean_ce"], rtol=2e-5)
    np.testing.assert_allclose(losses, z["step/loss"], rtol=2e-5)
    np.testing.assert_allclose([row["lr"] for row in history.rows], z["step/lr_per_group"].max(axis=1), rtol=1e-12)
    for name, expected in weights(z, "w_after/").items():
        assert (trained.state_dict()[name] - expected).abs().max() <= 1e-4 * expected.abs().max(), name


def test_groups_of_the_optimiser():
    """Two factors; the published 30 groups, one for each layer, differ in nothing else."""
    z = recorded("weaktr_parameters")
    with torch.device("meta"):
        model = create_model("weaktr_segmenter", 21)
    names, ours = {id(parameter): name for name, parameter in model.named_parameters()}, {}
    for group in parameter_groups("uniform", model, 0.0, {"encoder.": 0.1}):
        ours |= {names[id(p)]: (group["lr_scale"], group["weight_decay"]) for p in group["params"]}
    ours |= dict.fromkeys(("encoder.head.weight", "encoder.head.bias"), (0.1, 0.0))  # without gradient
    theirs, prefix = {}, "segmenter_deit_small_21/group"
    for k in range(30):
        theirs |= dict.fromkeys(z[f"{prefix}{k}"].tolist(), tuple(z[f"{prefix}{k}/factors"].tolist()))
    assert ours == theirs


def views(z):
    """Logits of every view, at its own size, by the windows of the test."""
    model = segmenter().eval()
    scores = over_windows(model.pixel_scores, Windows(32, 24))
    with torch.no_grad():
        for k in range(2):
            images = torch.from_numpy(z[f"test/im{k}"])
            yield from (scores(images)[0], scores(images.flip(-1))[0])


def test_windows_scales_and_mirror_images():
    z, size = recorded("weaktr_segmenter"), tuple(recorded("weaktr_segmenter")["test/ori_shape"].tolist())
    logits, mirrored, windows = list(views(z)), [False, True] * 2, Windows(32, 24)
    for k, found in enumerate(logits):
        assert list(found.shape[-2:]) == z[f"test/resized_size{k}"].tolist()
        places = [[y, x] for y in windows.anchors(found.shape[-2]) for x in windows.anchors(found.shape[-1])]
        assert places == z[f"test/anchors{k}"].tolist()
    for k in (1, 2):
        alone = fuse_scales([logits[k]], size, "mean_probability", mirrored=[mirrored[k]])
        assert_close(alone, z[f"test/prob_single{k}"])
    fused = fuse_scales(logits, size, "mean_probability", mirrored=mirrored)
    assert np.array_equal(fused.argmax(0), z["test/pred"])
    assert np.unique(fused.argmax(0)).tolist() == z["test/keys"].tolist()
    assert_close(fused[z["test/keys"]], z["test/prob_keys"])


CRFS = {"voc": CrfSettings(3, 3, 83, 5, 3), "coco": CrfSettings(1, 3, 67, 3, 4)}


@pytest.mark.parametrize("data", CRFS)
def test_crf_of_the_winning_labels(data):
    z = recorded("weaktr_segmenter")
    _, labels = Smoothing(CRFS[data], "own", "winning")(("one", z["test/image"], z["test/prob_keys"]))
    assert np.array_equal(labels, z[f"test/label_{data}"])
    if data == "voc":
        posteriors = dense_crf(z["test/image"], z["test/prob_keys"], CRFS[data])
        np.testing.assert_allclose(posteriors, z["test/crf_voc"], atol=2e-5)
