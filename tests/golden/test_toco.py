"""ToCo's network, maps, labels, losses, one training step and its tests, against arrays recorded from its code."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from model_recordings import assert_close, recorded, weights
from torchvision import tv_tensors

from seedbed.data.grey_levels import grey_levels, normalised, whole_grey_levels
from seedbed.data.transforms import PadToAndCrop
from seedbed.data.views import InputView
from seedbed.errors import DataError
from seedbed.evaluate.confusion import ConfusionMatrix
from seedbed.models import create_model, load_weights
from seedbed.models.toco import bilinear
from seedbed.refine.crf import dense_crf, dense_crf_labels
from seedbed.refine.fusion import fuse_scales
from seedbed.refine.lattice_energy import bilateral_energy, bilateral_sums
from seedbed.refine.mirrored_logits import met_logits
from seedbed.refine.reliable import cam_to_label
from seedbed.settings.dense_crf import CrfSettings
from seedbed.train.groups import parameter_groups
from seedbed.train.objectives import build_objective
from seedbed.train.pixel_losses import balanced_cross_entropy
from seedbed.train.schedule import Schedule, build_optimizer
from seedbed.train.segmentation import PredictionSettings, scaled_pixels
from seedbed.train.settings import TrainSettings
from seedbed.train.toco_crops import crop_candidates, local_crops, with_global_views
from seedbed.train.toco_labels import (
    multi_scale_maps,
    present_maps,
    refined_labels,
    regions,
    same_label,
    token_labels,
)
from seedbed.train.toco_losses import class_token_contrast, patch_token_contrast

torch.set_num_threads(1)
THRESHOLDS = (0.25, 0.7)
UNUSED = {"encoder.head.weight", "encoder.head.bias"}
LENGTHS = {"proj_head.last_layer.weight_g", "proj_head_t.last_layer.weight_g"}
TEN_TIMES = {"classifier": 10, "aux_classifier": 10, "proj_head": 10, "decoder": 10}


def network(recording="toco_weights"):
    z = recorded(recording)
    cfg = {key.removeprefix("cfg/"): array.item() for key, array in z.items() if key.startswith("cfg/")}
    options = {key: cfg[key] for key in ("img_size", "patch_size", "embed_dim", "depth", "num_heads", "decoder_width")}
    options |= {"mlp_ratio": float(cfg["mlp_ratio"]), "auxiliary_block": -cfg["aux_layer"]}
    options |= {"dilation": cfg["decoder_dilation"], "hidden": cfg["proj_hidden"], "outputs": cfg["proj_out"]}
    model = create_model("toco_base", cfg["num_classes"] - 1, bottleneck=cfg["proj_bottleneck"], **options)
    loaded = load_weights(model, weights(z), layout="toco")
    assert set(loaded.dropped) == UNUSED | LENGTHS and not loaded.fresh
    return model.eval()


def tensors(recording, prefix=""):
    return {
        key.removeprefix(prefix): torch.from_numpy(array)
        for key, array in recorded(recording).items()
        if key.startswith(prefix) and array.dtype.kind != "U"
    }


def masks(boxes, size=(48, 48)):
    """Boxes (top, bottom, left, right) as masks."""
    found = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (top, bottom, left, right) in zip(found, boxes.tolist(), strict=True):
        mask[top:bottom, left:right] = True
    return found


@pytest.mark.parametrize("size", ["eval0", "eval1"])
def test_network(size):
    z, model = recorded("toco_network"), network()
    images = torch.from_numpy(z[f"{size}/x"])
    output, (last, early, grid) = model(images), model.tokens(images)
    for name, ours in (
        ("class_token", output.class_token),
        ("patch_tokens", last[:, 1:]),
        ("aux_tokens", early[:, 1:]),
        ("cls", output.logits),
        ("cls_aux", output.auxiliary_logits),
        ("seg", output.scores),
        ("cam", output.maps),
        ("cam_aux", output.auxiliary_maps),
    ):
        assert_close(ours, z[f"{size}/{name}"])
    assert list(output.features.shape) == z[f"{size}/fmap_shape"].tolist()
    assert list(images.shape[-2:]) == z[f"{size}/size"].tolist() and grid == output.maps.shape[-2:]
    torch.testing.assert_close(model.logits(images), output.scores)
    if size == "eval1":
        assert_close(model.embedded(images)[0], z["eval1/tokens_in"], 0)


def test_projection_of_views():
    """The averaged head moves before it is used; outputs stand view after view."""
    z, model = tensors("toco_network", "crops/"), network().train()
    before = {name.removeprefix("w_before/"): array for name, array in z.items() if name.startswith("w_before/")}
    model.load_state_dict({name: array for name, array in before.items() if name not in LENGTHS}, strict=False)
    model.follow(0.9)
    own = {name: array for name, array in z.items() if name.startswith("w_after/")}
    for name, after in own.items():
        if "weight_g" in name:
            assert (after == 1).all()
        else:
            assert_close(model.state_dict()[name.removeprefix("w_after/")], after.numpy(), 1e-6)
    views = [*z["global"], *z["local"]]
    tokens = torch.cat([model(view, part="class_token") for view in views])
    assert_close(model.proj_head_t(tokens[: len(z["out_t"])]), z["out_t"].numpy())
    assert_close(model.proj_head(tokens), z["out_s"].numpy())
    assert_close(model(views[0]).logits, z["cls"].numpy())


@pytest.mark.parametrize("outputs", [21, 81])
def test_names_shapes_and_frozen_tensors(outputs):
    z = recorded("toco_parameters")
    with torch.device("meta"):
        model = create_model("toco_base", outputs - 1)
    names, frozen = z[f"{outputs}/names"].tolist(), set(z[f"{outputs}/frozen"].tolist())
    shapes = [[int(n) for n in shape if n >= 0] for shape in z[f"{outputs}/shapes"]]
    theirs = dict(zip(names, shapes, strict=True))
    assert sum(int(np.prod(shape)) for shape in shapes) == int(z[f"{outputs}/total"])
    ours = {name: list(parameter.shape) for name, parameter in model.named_parameters()}
    assert ours == {name: shape for name, shape in theirs.items() if name not in UNUSED | LENGTHS}
    assert {name for name, p in model.named_parameters() if not p.requires_grad} == frozen - LENGTHS
    published = {name: torch.ones(shape) for name, shape in theirs.items()}
    with torch.device("meta"):
        model = create_model("toco_base", outputs - 1)
    assert set(load_weights(model, published, layout="toco").loaded) == set(ours)
    published["proj_head.last_layer.weight_g"] *= 2
    with pytest.raises(DataError, match="length 1"):
        load_weights(model, published, layout="toco")


def test_parameter_groups():
    """Rates and decay of each tensor; the four published groups are two, since norms are treated as all else."""
    z = recorded("toco_parameters")
    with torch.device("meta"):
        model = create_model("toco_base", 20)
    names = {id(p): name for name, p in model.named_parameters()}
    groups = parameter_groups("uniform", model, 0.01, TEN_TIMES)
    ours = {names[id(p)]: (6e-5 * g["lr_scale"], g["weight_decay"]) for g in groups for p in g["params"]}
    never = UNUSED | set(z["21/frozen"].tolist())
    theirs = {
        name: (float(z[f"group{k}/lr"]), float(z[f"group{k}/weight_decay"]))
        for k in range(4)
        for name in z[f"group{k}/names"].tolist()
        if name not in never
    }
    assert ours.keys() == theirs.keys()
    assert all(ours[name] == pytest.approx(theirs[name]) for name in theirs)


def test_maps_of_views():
    z, model = tensors("toco_maps", "ms/"), network().train()
    assert tuple(z["scales"].tolist()) == (1, 0.5, 1.5)
    for k, scale in enumerate(z["scales"].tolist()):
        sides = [int(side * scale) for side in z["x"].shape[-2:]]
        assert sides == z[f"input_size{k}"].tolist()
        shown = z["x"] if scale == 1 else bilinear(z["x"], sides)
        for ours, theirs in zip(
            model(torch.cat([shown, shown.flip(-1)]), part="maps"), ("raw", "raw_aux"), strict=True
        ):
            assert_close(ours, z[f"{theirs}{k}"].numpy(), 5e-5)
    for ours, theirs in zip(multi_scale_maps(model, z["x"]), ("cam", "cam_aux"), strict=True):
        assert_close(ours, z[theirs].numpy(), 5e-5)


def test_labels_of_pixels():
    z = tensors("toco_labels")
    maps, labels, boxes = z["cams"], z["cls_labels"], z["img_box"].long()
    assert (float(z["low_thre"]), float(z["high_thre"])) == pytest.approx(THRESHOLDS)
    assert torch.equal(present_maps(maps, labels), z["valid_cam"])
    assert torch.equal(cam_to_label(maps, labels, background=0.5), z["label_plain"].long())
    assert torch.equal(cam_to_label(maps, labels, background=0.5, valid_boxes=boxes), z["label_box"].long())
    for background in (None, float(z["bkg_thre"])):  # which is overwritten
        found = cam_to_label(maps, labels, background=background, thresholds=THRESHOLDS, valid_boxes=boxes)
        assert torch.equal(found, z["label_mid"].long())


def test_labels_of_tokens():
    z = tensors("toco_labels")
    given, inside = (z["cams"], z["cls_labels"]), masks(z["img_box"])

    def found(inside, as_published=True):
        return token_labels(*given, inside, (6, 6), THRESHOLDS, as_published)

    assert torch.equal(found(inside), z["token_label"].long())
    assert torch.equal(same_label(found(inside)), z["token_mask"])
    assert torch.equal(found(masks(z["img_box_padded"])), z["token_label_padded"].long())
    whole = torch.ones_like(inside)
    assert torch.equal(found(whole), z["token_label_full_box"].long())
    assert torch.equal(found(whole, as_published=False), z["token_label_full_box"].long())


def test_what_slips_cost_a_padded_image():
    """As published, 7 padded rows of pixels above take all 6 rows of tokens; otherwise the one that is padding."""
    z = tensors("toco_labels")
    whole, inside = z["token_label_full_box"].long(), masks(z["img_box_padded"])
    assert (z["token_label_padded"][0] == 255).all()
    found = token_labels(z["cams"], z["cls_labels"], inside, (6, 6), THRESHOLDS, as_published=False)
    assert (found[0, 0] == 255).all() and torch.equal(found[0, 1:], whole[0, 1:])


@pytest.mark.parametrize("case", ["", "_sparse"])
def test_regions_and_crops(case):
    z = tensors("toco_labels")
    found = regions(z["cams"], z["cls_labels"], THRESHOLDS)
    assert torch.equal(found, z["roi_mask"].long())
    if case:
        found = torch.full_like(found, 2)  # not a single candidate
    side, count = int(z["crop/crop_size"]), int(z["crop/crop_num"])
    candidates = crop_candidates(found, side, count)
    assert candidates.flatten(1).sum(1).tolist() == z[f"crop/count{case}"].tolist()
    order = as_order(candidates, [z[f"crop/randperm{k}{case}"] for k in range(2)])
    crops, flags = local_crops(z["crop/image"], found, candidates, order, side=side, count=count)
    assert torch.equal(with_global_views(flags), z[f"crop/flags{case}"])
    if not case:
        assert torch.equal(crops, z["crop/local_crops"])


def as_order(candidates, permutations):
    """Numbers that put the candidates which a permutation names first in front."""
    order = torch.full((len(candidates), candidates[0].numel()), 9.0)
    for row, mask, first in zip(order, candidates, permutations, strict=True):
        row[mask.flatten().nonzero()[:, 0][first.long()]] = torch.arange(len(first)) / len(first)
    return order


def test_refined_labels():
    z = tensors("toco_labels")
    images = normalised(z["refine/picture"])
    assert torch.equal(images[:, :, :16, :16], z["refine/normalised"])
    assert torch.equal(whole_grey_levels(images), z["refine/denormalised_bytes"].float())
    found = refined_labels(images, z["cams"], z["cls_labels"], masks(z["img_box"]), THRESHOLDS)
    assert torch.equal(found, z["refine/label"].long())


@pytest.mark.parametrize("case", range(4))
def test_box_of_a_crop(case):
    z = tensors("toco_labels", f"box{case}/")
    (height, width), (pad_top, pad_left, top, left) = z["size"].tolist(), z["pad_hw_start_hw"].tolist()
    side = z["filled"].shape[0]
    pad = [pad_left, pad_top, max(0, side - width - pad_left), max(0, side - height - pad_top)]
    inside = PadToAndCrop(side, mask_fill=0).transform(
        tv_tensors.Mask(torch.ones(height, width)), {"pad": pad, "top": top, "left": left}
    )
    assert torch.equal(inside.bool(), z["filled"].bool()) and torch.equal(inside.bool(), masks(z["img_box"][None])[0])


@pytest.mark.parametrize("case", ["ptc0", "ptc1"])
def test_patch_token_contrast(case):
    z = tensors("toco_losses", f"{case}/")
    pairs, features = same_label(z["labels"].long()), z["fmap"].requires_grad_()
    assert torch.equal(pairs, z["mask"])
    loss = patch_token_contrast(features, pairs)
    loss.backward()
    assert_close(loss, z["loss"].numpy(), 1e-5)
    assert_close(features.grad, z["grad"].numpy(), 1e-5)


def test_patch_token_contrast_without_pairs():
    z = tensors("toco_losses", "ptc_empty/")
    assert patch_token_contrast(z["fmap"], torch.full((1, 4, 4), 255)) == z["loss"]


@pytest.mark.parametrize("case", ["ctc0", "ctc1", "ctc2"])
@pytest.mark.parametrize(("else_term", "suffix"), [(True, ""), (False, "_without_else_term")])
def test_class_token_contrast(case, else_term, suffix):
    z = tensors("toco_losses", f"{case}/")
    projected, images = z["student"].requires_grad_(), len(z["flags"])
    views, targets = projected.unflatten(0, (-1, images)), z["teacher"].unflatten(0, (2, images))
    loss = class_token_contrast(views, targets, z["flags"], float(z["temperature"]), else_term)
    loss.backward()
    assert_close(loss, z[f"loss{suffix}"].numpy(), 1e-5)
    assert_close(projected.grad, z[f"grad{suffix}"].numpy(), 1e-5)


@pytest.mark.parametrize("case", ["seg0", "seg1"])
def test_decoder_loss(case):
    z = tensors("toco_losses", f"{case}/")
    scores, labels = z["logits"].requires_grad_(), z["labels"].long()
    loss = balanced_cross_entropy(scores, labels, empty_is_nan=True)
    loss.backward()
    np.testing.assert_allclose(loss.detach(), z["loss"], rtol=1e-5)
    assert_close(scores.grad, z["grad"].numpy(), 1e-5)
    mended = balanced_cross_entropy(scores, labels)
    assert mended.isfinite() and (case == "seg1" or mended.item() == pytest.approx(loss.item(), rel=1e-5))


def test_classification_loss():
    z = tensors("toco_losses", "cls/")
    logits = z["logits"].requires_grad_()
    loss = F.multilabel_soft_margin_loss(logits, z["targets"])
    loss.backward()
    assert_close(loss, z["loss"].numpy(), 1e-5)
    assert_close(logits.grad, z["grad"].numpy(), 1e-5)


def test_energy():
    z = tensors("toco_losses", "energy/")
    picture, scores, inside = z["picture"].float(), z["logits"].requires_grad_(), masks(z["img_box"])
    energy = bilateral_energy(picture, scores, z["labels"].long(), inside)
    energy.backward()
    assert_close(energy[None], z["loss_unit"].numpy(), 1e-4)
    assert_close(energy[None] * 1e-7, z["loss"].numpy(), 1e-4)
    assert_close(scores.grad[:1], z["grad_unit"].numpy(), 1e-4)
    half, shown = z["half_picture"][0], z["half_prob_in_box"]
    assert torch.equal(half, picture[0, :, ::2, ::2])
    assert_close(bilateral_sums(half, shown[0], (50.0, 15.0))[None], z["filtered"].numpy(), 1e-4)
    ours = bilinear(scores.softmax(1), (24, 24)) * inside[:, None, ::2, ::2]
    assert_close(ours[:1], shown.numpy(), 1e-5)


def step_objective(z):
    objective = build_objective(
        "toco", thresholds=[float(z["low_thre"]), float(z["high_thre"])], temperature=float(z["temperature"]),
        crops=4, crop_size=int(z["crop_size"]), decoder_from=0, else_term=True, token_box=True, empty_is_nan=True,
    )  # fmt: skip
    objective.drawn_order = lambda candidates: as_order(candidates, [z["randperm0"], z["randperm1"]])
    return objective


def test_step():
    """One whole iteration of the later phase: labels, losses, gradients, and weights after the optimiser's step."""
    z, model = tensors("toco_step"), network().train()
    thresholds = (float(z["low_thre"]), float(z["high_thre"]))
    objective, inside = step_objective(z), masks(z["img_box"])
    objective.bind(model)
    maps, auxiliary = multi_scale_maps(model, z["x"])
    assert_close(auxiliary, z["cam_aux"].numpy())
    found = regions(auxiliary, z["cls_labels"], thresholds)
    assert torch.equal(found, z["roi_mask"].long())
    assert torch.equal(refined_labels(z["x"], maps, z["cls_labels"], inside, thresholds), z["refined_label"].long())
    tokens = token_labels(auxiliary, z["cls_labels"], inside, (6, 6), thresholds, as_published=True)
    assert torch.equal(tokens, z["token_label"].long())
    candidates = crop_candidates(found, 16, 4)
    assert candidates.flatten(1).sum(1).tolist() == [int(z["randperm_len0"]), int(z["randperm_len1"])]
    _, flags = local_crops(z["local_image"], found, candidates, objective.drawn_order(candidates), side=16, count=4)
    assert torch.equal(with_global_views(flags), z["flags"])

    settings = TrainSettings(
        lr=6e-5, batch_size=2, iterations=20, weight_decay=0.01, groups="uniform", lr_scales=TEN_TIMES,
        schedule="poly_relative", power=0.9, warmup_epochs=1, warmup_lr=1e-6,
    )  # fmt: skip
    optimizer = build_optimizer(model, settings)
    Schedule(optimizer, settings, 20, steps_per_epoch=4).before_step(7)
    assert sorted({group["lr"] for group in optimizer.param_groups}) == pytest.approx(sorted({*z["lr_used"].tolist()}))
    packed = torch.cat([z["x"], z["global2"], z["local_image"], inside[:, None].float()], dim=1)
    total, parts = objective(model, (packed, z["cls_labels"]))
    names = {"class": "cls", "auxiliary": "cls_aux", "patches": "ptc", "tokens": "ctc", "pixels": "seg"}
    for ours, theirs in names.items():
        assert_close(parts[ours], z[f"loss/{theirs}"].numpy())
    assert_close(parts["energy"][None] * 1e-7, z["loss/reg"].numpy(), 1e-4)
    assert_close(total[None], z["loss/total"].numpy())
    assert z["weights"].tolist() == [1, 1, 0.2, 0.5, 0.1, 0.05]

    total.backward()
    parameters = dict(model.named_parameters())
    without = {name for name, p in parameters.items() if p.grad is None}
    assert without | UNUSED | {"proj_head.last_layer.weight_g", "proj_head_t.last_layer.weight_g"} == set(
        recorded("toco_step")["no_grad_names"].tolist()
    )
    optimizer.step()
    for name, array in z.items():
        kind, _, parameter = name.partition("/")
        if kind == "grad":
            assert_close(parameters[parameter].grad, array.numpy(), 1e-3)
        if kind == "w_after":
            assert_close(parameters[parameter], array.numpy())


FUSIONS_OF_TESTS = {
    "voc": ("sum_then_largest", (torch.add, torch.maximum), None),
    "coco": ("largest_then_sum", (torch.maximum, torch.add), (448, 448)),
}


@pytest.mark.parametrize("dataset", ["voc", "coco"])
def test_scores_of_views(dataset):
    """Each view as the pipeline scales it, and their fusion."""
    z, model = tensors("toco_infer"), network("toco_infer_weights")
    fusion, meet, size = FUSIONS_OF_TESTS[dataset]
    settings = PredictionSettings(input=InputView("imagenet", size), fusion=fusion, scaling="linear", rounding="down")
    views, scales = [], z[f"{dataset}/scales"].tolist()
    for k, scale in enumerate(scales):
        shown = scaled_pixels(z["x"][0], settings, scale)
        sizes = z[f"voc/input_size{k}"] if dataset == "voc" else z["coco/input_sizes"][k]
        assert list(shown.shape[-2:]) == sizes.tolist()
        with torch.no_grad():
            both = model.logits(torch.stack([shown, shown.flip(-1)]))
        if dataset == "voc":
            assert_close(both, z[f"voc/raw{k}"].numpy())
        views += [both[0], both[1]]
    picture, mirrored = z["picture"].shape[:2], [False, True] * len(scales)
    unmirrored = (view.flip(-1) if mirror else view for view, mirror in zip(views, mirrored, strict=True))
    assert_close(met_logits(unmirrored, picture, *meet), z[f"{dataset}/logits"][0].numpy())
    fused = fuse_scales(views, picture, fusion, mirrored=mirrored)
    assert_close(fused, z[f"{dataset}/logits"][0].softmax(0).numpy())
    assert torch.equal(fused.argmax(0), z[f"{dataset}/label"].long())


def test_crf_of_the_test():
    z = recorded("toco_infer")
    settings = CrfSettings(
        iterations=10, gaussian_sxy=1, gaussian_weight=1, bilateral_sxy=121, bilateral_srgb=5, bilateral_weight=4
    )
    scores = torch.from_numpy(z["voc/logits"])[0].softmax(0).numpy()
    found = dense_crf(z["picture"], scores, settings)
    assert np.abs(found - recorded("toco_infer_crf")["voc/prob_crf"]).max() <= 1e-5
    assert np.array_equal(dense_crf_labels(z["picture"], scores, settings), z["voc/label_crf"])


def test_score():
    """21 classes, of which the network has five: the mean is over the classes of the truth alone."""
    z, matrix = recorded("toco_infer"), ConfusionMatrix(21)
    matrix.update(z["voc/label"], z["gt"][0])
    of_class = matrix.counts.sum(axis=1)
    recall = matrix.counts.diagonal()[of_class > 0] / of_class[of_class > 0]
    assert matrix.miou("in_truth") == pytest.approx(float(z["voc/miou"]), rel=1e-12)
    assert matrix.pixel_accuracy() == pytest.approx(float(z["voc/pAcc"]), rel=1e-12)
    assert recall.mean() == pytest.approx(float(z["voc/mAcc"]), rel=1e-12)
    np.testing.assert_allclose(matrix.iou(), z["voc/iou"], rtol=1e-12)


def test_grey_levels_of_the_energy_keep_their_fractions():
    x = tensors("toco_step")["x"]
    assert not torch.equal(grey_levels(x), whole_grey_levels(x))


def rates(iterations, warmup, steps):
    """The encoder's rate and the heads' at each step of a training, by the schedule of the published setting."""
    layers = torch.nn.ModuleDict({"encoder": torch.nn.Linear(1, 1), "decoder": torch.nn.Linear(1, 1)})
    settings = TrainSettings(
        lr=6e-5, batch_size=1, iterations=iterations, weight_decay=0.01, groups="uniform", lr_scales={"decoder": 10},
        schedule="poly_relative", power=0.9, warmup_epochs=1, warmup_lr=1e-6,
    )  # fmt: skip
    optimizer = build_optimizer(layers, settings)
    schedule = Schedule(optimizer, settings, iterations, steps_per_epoch=warmup)
    found = []
    for step in steps:
        schedule.before_step(step)
        found.append([group["lr"] for group in optimizer.param_groups])
    group = optimizer.param_groups[0]
    return np.array(found), (group["betas"], group["eps"], group["weight_decay"])


@pytest.mark.parametrize("length", ["small", "long"])
def test_schedule(length):
    """Three recorded steps lie behind the end."""
    z = {key.removeprefix(f"{length}/"): array for key, array in recorded("toco_schedule").items()}
    ours, _ = rates(int(z["iterations"]), int(z["warmup_iterations"]), range(len(z["lr_used"])))
    assert np.abs(ours - z["lr_used"]).max() <= 1e-12


def test_schedule_of_voc():
    z = recorded("toco_schedule")
    ours, (betas, eps, decay) = rates(20000, 1500, z["voc/iterations"].tolist())
    assert np.abs(ours[:, 0] - z["voc/lr_used"]).max() <= 1e-12
    assert betas == tuple(z["betas"].tolist()) and eps == float(z["eps"]) and decay == float(z["weight_decay"])
    assert (float(z["lr"]), float(z["warmup_ratio"]), float(z["power"])) == (6e-5, 1e-6, 0.9)
