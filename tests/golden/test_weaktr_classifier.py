"""WeakTr against arrays recorded from its authors' published code, on narrow networks with random weights."""

import numpy as np
import pytest
import torch
from model_recordings import assert_close, recorded, weights
from PIL import Image

from seedbed.data.index import DataIndex, Record
from seedbed.data.views import InputView, view
from seedbed.evaluate.confusion import ConfusionMatrix
from seedbed.evaluate.thresholds import ThresholdSweep
from seedbed.explain import explain
from seedbed.explain.dataset_maps import picture_heatmaps
from seedbed.explain.heatmap_settings import HeatMapSettings
from seedbed.io.heatmaps import HeatMaps
from seedbed.models import create_model, load_weights
from seedbed.refine.refiners import Given, build_refiner
from seedbed.settings.dense_crf import CrfSettings
from seedbed.settings.optimisation import TrainSettings
from seedbed.train.groups import parameter_groups
from seedbed.train.loop import fit
from seedbed.train.objectives import build_objective
from seedbed.train.schedule import Schedule

torch.set_num_threads(1)


def classifier():
    z = recorded("weaktr_classifier_weights")
    config = {key: int(z[f"cfg/{key}"]) for key in ("img_size", "patch_size", "embed_dim", "depth", "num_heads")}
    config |= {"mlp_ratio": float(z["cfg/mlp_ratio"]), "drop_path_rate": 0.0}
    config |= {"reduction": float(z["cfg/reduction"]), "feature_reduction": int(z["cfg/feat_reduction"])}
    model = create_model("weaktr_small", int(z["cfg/num_classes"]), **config)
    load_weights(model, weights(z))
    return model.eval()


def of(name, prefix):
    """The arrays of one case of a recording."""
    return {k.removeprefix(f"{prefix}/"): v for k, v in recorded(name).items() if k.startswith(f"{prefix}/")}


@pytest.mark.parametrize("case", range(4))
def test_classifier(case):
    model, z = classifier(), of("weaktr_classifier", f"eval{case}")
    images, targets = torch.from_numpy(z["x"]), torch.arange(4).expand(len(z["x"]), -1)
    output = model(images, attention="heads")
    for name, ours in {
        "logits_class": output.class_logits,
        "logits_patch": output.patch_logits,
        "logits_fine": output.fine_logits,
        "head_map": output.patch_maps,
        "head_weight": output.head_weights,
        "cross_attn": explain(model, images, targets, "weaktr", maps="cross", refine=False),
        "patch_attn": output.patch_attention,
        "cam": explain(model, images, targets, "weaktr", refine=False),
        "fine_cam": explain(model, images, targets, "weaktr"),
    }.items():
        assert_close(ours, z[name])
    if case:
        assert_close(model.positions(tuple(z["size"].tolist())), z["pos_embed"])
    else:
        assert_close(explain(model, images, targets, "weaktr", maps="patch", refine=False), z["cam_patchcam"])
        assert_close(explain(model, images, targets, "weaktr", maps="cross", refine=False), z["cam_cross"])
        assert_close(torch.stack(output.attention), of("weaktr_classifier_attention", "eval0")["attn"])


def test_head_features_and_tokens():
    """What the weights of the heads are made of, on all sizes; outputs and tokens on the first."""
    model, inside = classifier(), of("weaktr_classifier_attention", "eval0")
    outputs, peaks = [], []
    fusion = model.adaptive_attention_fusion
    fusion.register_forward_pre_hook(lambda _, given: peaks.append(given[0]))
    for block in model.blocks:
        block.attn.register_forward_hook(lambda *given: outputs.append(given[2]))
    for case in range(4):
        z = of("weaktr_classifier", f"eval{case}")
        outputs.clear()
        model(torch.from_numpy(z["x"]))
        assert_close(fusion.features(peaks[-1]), z["pooled_feature"])
        assert_close(fusion.scores(peaks[-1]), z["head_score"])
        if case == 0:
            assert_close(torch.stack(outputs), inside["attn_out"])
            tokens, patches = model.tokens(torch.from_numpy(z["x"]))
            assert_close(torch.cat([tokens, patches.flatten(2).mT], dim=1), z["tokens"])


@pytest.mark.parametrize(
    ("recording", "classes", "millions"), [("20", 20, 21.751), ("80", 80, 22.005), ("90", 90, 22.047)]
)
def test_names_and_shapes(recording, classes, millions):
    z = recorded("weaktr_parameters")
    with torch.device("meta"):
        model = create_model("weaktr_small", classes)
    assert_same_parameters(model, z, f"deit_small_{recording}", millions)


def assert_same_parameters(model, z, recording, millions):
    shapes = ([int(n) for n in shape if n >= 0] for shape in z[f"{recording}/shapes"])
    theirs = dict(zip(z[f"{recording}/names"].tolist(), shapes, strict=True))
    assert {name: list(tensor.shape) for name, tensor in model.named_parameters()} == theirs
    assert not list(model.named_buffers())
    total = sum(parameter.numel() for parameter in model.parameters())
    assert total == z[f"{recording}/total"]
    assert round(total / 1e6, 3) == millions


def assert_gradients(model, z):
    """The recorded gradients within 1e-4 of the greatest; nothing else is without one but what is never applied."""
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    for name in (key.removeprefix("grad/") for key in z if key.startswith("grad/")):
        assert_close(gradients[name], z[f"grad/{name}"], 1e-4)
    assert {name for name, gradient in gradients.items() if gradient is None} == set(z["no_grad_names"].tolist())


def test_classifier_losses_and_gradients():
    model, z = classifier().train(), recorded("weaktr_train")
    images, labels = torch.from_numpy(z["batch/x"]).requires_grad_(), torch.from_numpy(z["batch/targets"])
    objective = build_objective("weaktr")
    objective.bind(model)
    total, parts = objective(model, (images, labels))
    total.backward()
    ours = [total.item(), *(parts[name].item() for name in ("class", "patch", "fine"))]
    theirs = [z[f"batch/{name}"] for name in ("loss", "loss_class", "loss_patch", "loss_fine")]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert_close(images.grad, z["batch/grad_x"], 1e-4)
    assert_gradients(model, z)
    output = model(images)
    for name, logits in output.heads.items():
        assert_close(logits, z[f"batch/logits_{name}"])


class Batches(torch.utils.data.Dataset):
    """Recorded batches in their order, whatever the loader asks for; one sample stands for a batch."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, key):
        return torch.zeros(1)


class InOrder:
    """An objective on recorded batches, one a step."""

    def __init__(self, objective, batches, losses):
        self.objective, self.batches, self.losses = objective, iter(batches), losses

    def __call__(self, model, _):
        loss, parts = self.objective(model, next(self.batches))
        self.losses.append(loss.item())
        return loss, parts


def test_two_optimiser_steps_of_the_classifier(tmp_path):
    """By the loop, at the recorded rate: weight decay acts on every trained tensor, but for what has no gradient."""
    model, z, losses = classifier(), recorded("weaktr_train"), []
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    batches = [tuple(torch.from_numpy(z[f"step{k}/{key}"]) for key in ("x", "targets")) for k in range(2)]
    settings = TrainSettings(
        lr=float(z["lr"]),
        weight_decay=float(z["weight_decay"]),
        batch_size=1,
        epochs=1,
        schedule="constant",
        groups="uniform",
    )
    options = {"seed": 0, "state_path": tmp_path / "state", "fingerprint": {}, "device": torch.device("cpu")}
    trained, _ = fit(model, Batches(2), InOrder(build_objective("weaktr"), batches, losses), settings, **options)
    np.testing.assert_allclose(losses, [z["step0/loss"], z["step1/loss"]], rtol=1e-5)
    for name, expected in weights(z, "w_after/").items():
        change, ours = expected - before[name], trained.state_dict()[name] - before[name]
        assert (ours - change).abs().max() <= 1e-3 * change.abs().max(), name


def test_every_trained_tensor_of_the_classifier_is_in_one_decayed_group():
    z = recorded("weaktr_parameters")
    with torch.device("meta"):
        model = create_model("weaktr_small", 20)
    (group,) = parameter_groups("uniform", model, 0.03, {})
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    # The norm that is never applied has no gradient, and so is left alone in the published optimiser too.
    ours = [names[id(parameter)] for parameter in group["params"]] + ["norm.weight", "norm.bias"]
    assert sorted(ours) == sorted(z["deit_small_20/group0"].tolist())
    assert group["weight_decay"] == z["deit_small_20/group0/factors"][1]


def rates(settings, steps, per_epoch, scales=(1.0,)):
    """The learning rates before each step, of groups with these factors."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": settings.lr * scale} for scale in scales]
    optimizer = torch.optim.SGD(groups, lr=settings.lr)
    schedule, found = Schedule(optimizer, settings, steps, per_epoch), []
    for step in range(steps):
        schedule.before_step(step)
        found.append([group["lr"] for group in optimizer.param_groups])
    return np.array(found)


@pytest.mark.parametrize("data", ["voc", "coco"])
def test_rates_of_the_classifier(data):
    z = {key.removeprefix("classifier/"): value for key, value in recorded("weaktr_schedule").items()}
    settings = TrainSettings(
        lr=float(z[f"{data}_base_lr"]) * 64 / 512, batch_size=64, epochs=60, schedule="cosine_epoch", schedule_lag=1,
        warmup_epochs=5, warmup_lr=1e-6, final_lr=1e-5,
    )  # fmt: skip
    np.testing.assert_allclose(rates(settings, 180, 3)[::3, 0], z[f"{data}_lr_per_epoch"], rtol=1e-12)


@pytest.mark.parametrize(("key", "warmup"), [("lr_used", 0), ("lr_used_warmup", 6)])
def test_rates_of_the_segmenter(key, warmup):
    """Up to the end; beyond it, which no run reaches, the published rate is scaled anew at each step."""
    z = {name.removeprefix("segmenter/"): value for name, value in recorded("weaktr_schedule").items()}
    steps, scales = int(z["iterations"]), z["lr_scales"].tolist()
    settings = TrainSettings(
        lr=float(z["lr"]), batch_size=1, iterations=steps, schedule="poly_scaled", power=float(z["power"]),
        final_lr=float(z["min_lr"]), warmup_epochs=warmup,
    )  # fmt: skip
    ours = rates(settings, steps, 1, scales)
    first = 1 if warmup else 0  # the published warm-up begins after the first step, which takes the whole rate
    np.testing.assert_allclose(ours[first:], z[key][first:steps], rtol=1e-12)


class Pictures:
    """Two recorded images as a data set."""

    def __init__(self, root, recording, classes=4):
        (root / "images").mkdir()
        self.z, records = recorded(recording), []
        names = tuple(f"class{k}" for k in range(classes))
        for k in range(2):
            picture, present = self.z[f"pic{k}/image"], self.z[f"pic{k}/cam_keys"]
            Image.fromarray(picture).save(root / "images" / f"{k}.png")
            labels = tuple(names[c] for c in present)
            records.append(Record(f"{k}", ("train",), labels, f"images/{k}.png", None, picture.shape[:2]))
        self.index = DataIndex(root, names, tuple(records))


def test_maps_of_pictures(tmp_path):
    """From files to normalised maps: two scales with their mirror images."""
    data = Pictures(tmp_path, "weaktr_maps")
    settings = HeatMapSettings(
        method="weaktr", input=InputView("imagenet", interpolation="bicubic"), fusion="mctformer",
        scales=data.z["scales"].tolist(), flip=True, batch_size=1,
    )  # fmt: skip
    found = dict(picture_heatmaps(classifier(), data.index, data.index.records, settings, torch.device("cpu")))
    for k, heat in enumerate(found.values()):
        assert heat.classes.tolist() == data.z[f"pic{k}/cam_keys"].tolist()
        assert_close(torch.from_numpy(heat.maps), data.z[f"pic{k}/cams"], 5e-5)


def test_maps_of_views(tmp_path):
    data, model, every = Pictures(tmp_path, "weaktr_maps"), classifier(), torch.arange(4)[None]
    for k in range(2):
        image = data.z[f"pic{k}/image"]
        for number, (scale, flip) in enumerate((s, f) for s in data.z["scales"] for f in (False, True)):
            options = {"interpolation": "bicubic", "normalisation": "imagenet"}
            pixels = view(image, size=None, scale=float(scale), flip=flip, **options)
            assert list(pixels.shape[-2:]) == data.z[f"pic{k}/input_size{number}"].tolist()
            if number == 2:
                assert_close(pixels, data.z[f"pic{k}/input2"], 5e-5)
            maps = explain(model, pixels[None], every, "weaktr", refine=False)
            assert_close(maps[0], data.z[f"pic{k}/cam_fused{number}"], 5e-5)
            assert_close(explain(model, pixels[None], every, "weaktr")[0], data.z[f"pic{k}/cam_refined{number}"], 5e-5)


LABELS = {
    "plain": ({"kind": "argmax"}, None),
    "voc": ({"kind": "label_crf", "crf": "voc"}, CrfSettings(4, 3, 83, 5, 3)),
    "coco": ({"kind": "label_crf", "crf": "coco"}, CrfSettings(3, 3, 50, 5, 10)),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_and_their_scores(case, tmp_path):
    data, (options, crf) = Pictures(tmp_path, "weaktr_labels"), LABELS[case]
    z, records = data.z, data.index.records
    maps = {f"{k}": HeatMaps(z[f"pic{k}/cam_keys"], z[f"pic{k}/cams"], z[f"pic{k}/image"].shape[:2]) for k in range(2)}
    given = Given(data.index, heatmaps=maps, background=float(z[f"{case}/threshold"]), crf=crf)
    masks = dict(build_refiner(options).start(given)(records))
    matrix = ConfusionMatrix(int(z["num_cls"]))
    for k in range(2):
        assert np.array_equal(masks[f"{k}"], z[f"pic{k}/label_{'plain' if case == 'plain' else f'crf_{case}'}"])
        matrix.update(masks[f"{k}"], z[f"pic{k}/gt"])
    assert 100 * matrix.miou("in_either") == pytest.approx(float(z[f"{case}/mIoU"]), rel=1e-9)
    if case == "plain":
        np.testing.assert_allclose(100 * matrix.iou(), z["plain/iou"], rtol=1e-9)
    else:
        own = matrix.counts.diagonal()
        predicted, true = matrix.counts.sum(axis=0), matrix.counts.sum(axis=1)
        either = predicted + true - own
        rates = {"FP": (predicted - own, either), "FN": (true - own, either)}
        for name, (count, over) in {**rates, "precision": (own, predicted), "recall": (own, true)}.items():
            ours = 100 * np.mean(count[over > 0] / over[over > 0])
            assert ours == pytest.approx(float(z[f"{case}/{name}"]), rel=1e-9)


def test_threshold_curve_and_its_early_end():
    z = recorded("weaktr_labels")
    sweep = ThresholdSweep(int(z["num_cls"]), z["curve/thresholds"].tolist())
    for k in range(2):
        sweep.update(z[f"pic{k}/cams"], z[f"pic{k}/cam_keys"] + 1, z[f"pic{k}/gt"])
    np.testing.assert_allclose(100 * sweep.miou_curve("in_either"), z["curve/mIoU"], rtol=1e-9)
    best = sweep.best("early_stop", "in_either")
    assert (best.threshold, 100 * best.miou) == pytest.approx(
        (float(z["curve/early_stop_threshold"]), float(z["curve/early_stop_mIoU"])), rel=1e-9
    )
