"""The objectives of AReAM's backbones: what is added up, where gradients go, and every switch."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset
from training_toys import CPU, Killed, same

from seedbed.errors import ParameterError
from seedbed.models import create_model
from seedbed.refine import (
    attention_affinity_labels,
    fuse_layers,
    inverted_sum,
    layer_losses,
    layer_weights,
    present_maps,
    reliable_labels,
)
from seedbed.train.loop import fit
from seedbed.train.objectives import build_objective
from seedbed.train.settings import TrainSettings

CLASSES = 3
# Small images want a small reach; AFA's dilations would smear every map over the whole image.
REFINE = {"dilations": (1, 2), "downscale": 2, "thresholds": (0.3, 0.6)}
OPTIONS = {"par_dilations": [1, 2], "thresholds": [0.3, 0.6]}
BACKBONES = ("mctformer", "conformer")

torch.set_num_threads(1)


def network(backbone, seed=0, outputs=CLASSES):
    """A small network whose attention is as uneven as a trained one's."""
    torch.manual_seed(seed)
    small = {"embed_dim": 16, "depth": 3, "num_heads": 2, "similarity": 0.0}
    if backbone == "mctformer":
        model = create_model("mctformerv2_tiny", outputs, img_size=32, **small)
    else:
        model = create_model("conformer_tiny_demo", outputs, width=8, stem_width=8, **small)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("attn.qkv.weight"):
                parameter *= 30
    return model


def batch(size=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])[:size]
    coarse = torch.randn(size, 3, 8, 8, generator=generator)
    return F.interpolate(coarse, (32, 32), mode="nearest"), labels


def classification(backbone, output, labels):
    if backbone == "mctformer":
        return sum(F.multilabel_soft_margin_loss(x, labels) for x in (output.class_logits, output.patch_logits))
    return F.multilabel_soft_margin_loss(output.conv_logits + output.trans_logits, labels)


def maps_of(backbone, output):
    return output.patch_maps if backbone == "mctformer" else output.conv_maps


@pytest.mark.parametrize("backbone", BACKBONES)
def test_classification_by_hand(backbone):
    model, (pictures, labels) = network(backbone).eval(), batch()
    loss, parts = build_objective(backbone)(model, (pictures, labels))
    torch.testing.assert_close(loss, classification(backbone, model(pictures), labels))
    if backbone == "mctformer":
        torch.testing.assert_close(parts["class"] + parts["patch"], loss.detach())
    else:
        assert parts == {}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_aream_adds_a_tenth_of_equation_16(backbone):
    """All equations one after the other, on the same forward pass."""
    model, (pictures, labels) = network(backbone).eval(), batch()
    loss, parts = build_objective(f"{backbone}_aream", **OPTIONS)(model, (pictures, labels))
    output = model(pictures, attention="mean", scores="mean")
    attention, scores = ([layer[:, -16:, -16:] for layer in kept] for kept in (output.attention, output.scores))
    maps, classes = present_maps(maps_of(backbone, output), labels)
    weights = layer_weights(maps, attention)
    cells = reliable_labels(pictures, fuse_layers(maps, attention, weights), classes, **REFINE)
    pairs = attention_affinity_labels(cells, radius=None, cell=1)
    affinity = inverted_sum(layer_losses(scores, pairs), weights).mean()
    torch.testing.assert_close(parts["affinity"], affinity.detach())
    torch.testing.assert_close(loss, classification(backbone, output, labels) + 0.1 * affinity)
    torch.testing.assert_close(parts["uncertain"], (cells == 255).float().mean())
    assert 0 < parts["uncertain"] < 1


def affinity_of(model, data, name="mctformer_aream", **options):
    _, parts = build_objective(name, **{**OPTIONS, **options})(model, data)
    return float(parts["affinity"]), float(parts["uncertain"])


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_switch_changes_the_loss(backbone):
    model, name = network(backbone).eval(), f"{backbone}_aream"
    samples = [batch(seed=seed) for seed in range(3)]

    def run(**options):
        return [affinity_of(model, data, name, **options) for data in samples]

    usual = run()
    for options in (
        {"weights": "uniform"},
        {"weights": "literal"},
        {"weight_scale": "max"},
        {"weight_scale": "sum"},
        {"invert": False},
        {"threshold_rule": "literal"},
        {"par_iterations": 0},
        {"downscale": 1},
        {"par_dilations": [1, 4]},
        {"sampling": "mean"},
        {"radius": 1},
        {"supervised_layers": [-1]},
        {"thresholds": [0.45, 0.5]},
    ):
        assert run(**options) != usual, options
    assert {uncertain for _, uncertain in run(threshold_rule="literal")} == {0}
    if backbone == "mctformer":
        assert run(maps="fused") != usual


def test_layers_add_up():
    model, data = network("mctformer").eval(), batch()
    parts = [affinity_of(model, data, supervised_layers=[layer])[0] for layer in range(3)]
    assert sum(parts) == pytest.approx(affinity_of(model, data)[0], rel=1e-6)
    alike = affinity_of(model, data, weights="uniform")[0]
    assert alike == pytest.approx(2 / 3 * affinity_of(model, data, weights="uniform", invert=False)[0], rel=1e-5)


def test_padding_is_left_out():
    pictures, labels = batch()
    pictures[:, :, 16:] = 0
    model = network("mctformer").eval()
    padded, plain = (affinity_of(model, (pictures, labels), ignore_padding=given)[1] for given in (True, False))
    assert padded >= 0.5
    assert padded > plain


@pytest.mark.parametrize("backbone", BACKBONES)
def test_gradient_of_the_attention_loss_comes_through_the_scores_alone(backbone):
    """It moves queries and keys; neither the heads, whose maps make the labels, nor the last layer's values."""
    model, data = network(backbone).eval(), batch()
    objective = build_objective(f"{backbone}_aream", loss_weight=1.0, **OPTIONS)
    loss, parts = objective(model, data)
    plain, _ = build_objective(backbone)(model, data)
    assert (loss - plain).item() == pytest.approx(float(parts["affinity"]), rel=1e-5)
    (loss - plain).backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    last = [name for name in gradients if name.endswith("attn.qkv.weight")][-1]
    q, k, v = gradients[last].chunk(3)
    scale = float(q.abs().max())
    assert scale > 1e-6
    assert k.abs().max() > 1e-6
    assert v.abs().max() < 1e-3 * scale
    for name, gradient in gradients.items():
        if "head" in name:
            assert gradient.abs().max() < 1e-3 * scale, name


@pytest.mark.parametrize("backbone", BACKBONES)
def test_gradient_equals_finite_differences(backbone):
    """Labels and weights are constants: the loss is differentiated with those of the unmoved network."""
    model, data = network(backbone).double().eval(), [t.double() for t in batch()]
    objective = build_objective(f"{backbone}_aream", loss_weight=1.0, **OPTIONS)
    reading = objective.read(model, *data, "mean")
    maps, classes = present_maps(reading.maps, data[1])
    attention = [layer.detach().float()[:, -16:, -16:] for layer in reading.attention]
    weights = layer_weights(maps, attention)
    cells = reliable_labels(data[0], fuse_layers(maps, attention, weights), classes, **REFINE)
    pairs = attention_affinity_labels(cells, radius=None, cell=1)

    def frozen():
        scores = model(data[0], attention="mean", scores="mean").scores
        gates = torch.stack([layer[:, -16:, -16:].sigmoid() for layer in scores], dim=1)
        same, different = (pairs == 1)[:, None], (pairs == 0)[:, None]
        pull = ((1 - gates) * same).sum((2, 3)) / same.sum((2, 3)).clamp(min=1)
        push = (gates * different).sum((2, 3)) / different.sum((2, 3)).clamp(min=1)
        return ((1 - weights) * (pull + push)).sum(1).mean().item()

    affinity, _ = objective.supervise(*data, reading)
    affinity.backward()
    assert affinity.item() == pytest.approx(frozen(), rel=1e-5)
    names = [name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 1e-4]
    checked = [name for name in names if "qkv" in name or "norm1" in name]
    assert len(checked) >= 4
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name in checked:
            parameter = parameters[name]
            place = parameter.grad.abs().argmax()
            flat, slope = parameter.view(-1), float(parameter.grad.view(-1)[place])
            start = float(flat[place])
            flat[place] = start + 1e-4
            above = frozen()
            flat[place] = start - 1e-4
            below = frozen()
            flat[place] = start
            assert slope == pytest.approx((above - below) / 2e-4, rel=2e-3), name


@pytest.mark.parametrize("backbone", BACKBONES)
def test_pictures_do_not_influence_each_other(backbone):
    model, (pictures, labels) = network(backbone).eval(), batch(3)
    objective = build_objective(f"{backbone}_aream", **OPTIONS)
    together = objective(model, (pictures, labels))[1]["affinity"]
    alone = [objective(model, (pictures[k : k + 1], labels[k : k + 1]))[1]["affinity"] for k in range(3)]
    torch.testing.assert_close(together, torch.stack(alone).mean())


def test_the_background_output_of_a_conformer_is_left_out():
    model, data = network("conformer", outputs=CLASSES + 1).eval(), batch()
    loss, _ = build_objective("conformer")(model, data)
    output = model(data[0])
    logits = (output.conv_logits + output.trans_logits)[:, 1:]
    torch.testing.assert_close(loss, F.multilabel_soft_margin_loss(logits, data[1]))
    reading = build_objective("conformer_aream").read(model, *data, "mean")
    torch.testing.assert_close(reading.maps, output.conv_maps[:, 1:])
    with pytest.raises(ParameterError, match="5 outputs for 3 classes"):
        build_objective("conformer")(network("conformer", outputs=5), data)


def test_warm_up_is_classification_alone():
    model, data = network("mctformer").eval(), batch()
    objective = build_objective("mctformer_aream", warmup_steps=2, **OPTIONS)
    plain = build_objective("mctformer")(model, data)[0].item()
    seen = [objective(model, data) for _ in range(3)]
    assert [loss.item() for loss, _ in seen[:2]] == [plain, plain]
    assert ["affinity" in parts for _, parts in seen] == [False, False, True]
    assert seen[2][0].item() > plain


class Pictures(Dataset):
    """Six images, each with a square of its class's colour."""

    def __len__(self):
        return 6

    def __getitem__(self, key):
        position, seed = key
        pixels = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 0.2
        pixels[position % 3, 8:24, 8:24] += 2
        return pixels, F.one_hot(torch.tensor(position % 3), CLASSES).float()


def train(path, backbone, kill_at=None):
    settings = TrainSettings(lr=1e-3, batch_size=2, epochs=3, loader_workers=0, save_every_seconds=0, log_every=1)
    objective = build_objective(f"{backbone}_aream", warmup_steps=4, **OPTIONS)

    def after_step(_, step):
        if step + 1 == kill_at:
            raise Killed

    options = {"seed": 0, "state_path": path, "fingerprint": {}, "device": CPU, "after_step": after_step}
    return fit(network(backbone), Pictures(), objective, settings, **options)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_killed_run_knows_how_far_its_warm_up_came(backbone, tmp_path):
    whole, history = train(tmp_path / "whole", backbone)
    with pytest.raises(Killed):
        train(tmp_path / "killed", backbone, kill_at=3)
    resumed, again = train(tmp_path / "killed", backbone)
    assert [("affinity" in row) for row in history.rows] == [False] * 4 + [True] * 5
    assert history.rows == again.rows
    assert same(whole, resumed)


def test_mistakes_are_named():
    for options, message in (
        ({"weights": "entropie"}, "Unknown layer weighting 'entropie'. Did you mean 'entropy'"),
        ({"weight_scale": "mean"}, "Unknown scale of layer weights 'mean'"),
        ({"threshold_rule": "both"}, "Unknown threshold rule 'both'"),
        ({"sampling": "max"}, "Unknown sampling 'max'"),
        ({"maps": "patchcam"}, "Unknown maps of MCTformer 'patchcam'. Did you mean 'patch_cam'"),
        ({"thresholds": [0.5, 0.2]}, r"low <= high <= 1, got \[0.5, 0.2\]"),
        ({"loss_weight": -1}, "loss_weight=-1"),
        ({"downscale": 0}, "downscale=0"),
        ({"threshold": 1}, "loss 'mctformer_aream': .*'threshold'"),
    ):
        with pytest.raises(ParameterError, match=message):
            build_objective("mctformer_aream", **options)
    with pytest.raises(ParameterError, match=r"layers=\[3\]: choose 'all' or a list of numbers from 0 to 2"):
        affinity_of(network("mctformer"), batch(), supervised_layers=[3])
    for name in ("mctformer", "mctformer_aream"):
        with pytest.raises(ParameterError, match="of a MCTformer; the network is a Conformer"):
            build_objective(name).bind(network("conformer"))
    build_objective("conformer").bind(network("conformer"))


@pytest.mark.gpu
def test_a_gpu_is_not_asked_how_far_the_warm_up_has_come():
    objective = build_objective("mctformer_aream", **OPTIONS).cuda()
    assert objective.steps.device == CPU
    assert objective.state_dict()["steps"].device == CPU
