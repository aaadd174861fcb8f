"""The evaluation protocols of the explanation papers against what their published code returned."""

from pathlib import Path

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from seedbed.evaluate.localization import METRICS, BoxLocalization, lit_boxes, painted
from seedbed.evaluate.perturbation import AreaBetweenCurves, PerturbationTest
from seedbed.evaluate.soft_segmentation import SoftSegmentation, f1_of_rows, precision_recall, unit_range
from seedbed.explain import upsample

DATA = Path(__file__).parent / "data"
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


def recorded(name: str) -> dict[str, np.ndarray]:
    with np.load(DATA / f"protocols_{name}.npz") as arrays:
        return dict(arrays)


def enlarged(maps: np.ndarray) -> np.ndarray:
    return upsample(torch.from_numpy(maps), (224, 224)).numpy()


def segmentation_maps(arrays: dict) -> list[np.ndarray]:
    return [*enlarged(arrays["maps14"]), arrays["pixmap"]]


def test_soft_segmentation_of_each_picture():
    arrays = recorded("segmentation")
    for index, heat in enumerate(segmentation_maps(arrays)):
        truth = arrays["masks"][index]
        measure = SoftSegmentation()
        single = measure.update(heat, truth)
        assert single["correct"] == arrays["correct"][index]
        assert single["labeled"] == arrays["labeled"][index]
        assert single["average_precision"] == pytest.approx(arrays["ap"][index], abs=1e-5)
        assert single["f1_rows"] == pytest.approx(arrays["f1_rows"][index].mean(), abs=1e-12)
        iou = arrays["inter"][index] / arrays["union"][index]
        result = measure.result()
        assert [result["iou_background"], result["iou_foreground"]] == pytest.approx(iou.tolist(), abs=1e-12)
        scaled = unit_range(heat)
        if scaled is None:
            assert np.isnan(arrays["pred_scores"][index]).all()
        else:
            np.testing.assert_allclose(scaled[::16, ::16], arrays["pred_scores"][index], atol=1e-6)
            predicted = scaled > scaled.mean(dtype=np.float64)
            np.testing.assert_allclose(f1_of_rows(predicted, truth == 1), arrays["f1_rows"][index], atol=1e-12)


def test_soft_segmentation_of_the_data_set_so_far():
    arrays = recorded("segmentation")
    measure = SoftSegmentation()
    for index, heat in enumerate(segmentation_maps(arrays)):
        measure.update(heat, arrays["masks"][index])
        result = measure.result()
        found = [result[name] for name in ("pixel_accuracy", "miou", "map", "f1_rows")]
        assert found == pytest.approx(arrays["running_pixacc_miou_map_mf1"][index].tolist(), abs=1e-5)
    assert measure.result()["undefined_maps"] == 1


def test_soft_segmentation_ignores_unlabelled_pixels():
    arrays = recorded("segmentation")
    measure = SoftSegmentation()
    single = measure.update(enlarged(arrays["maps14"])[0], arrays["ign/mask"])
    assert (single["correct"], single["labeled"]) == (arrays["ign/correct"], arrays["ign/labeled"])
    assert single["average_precision"] == pytest.approx(arrays["ign/ap"].item(), abs=1e-5)
    result, iou = measure.result(), arrays["ign/inter"] / arrays["ign/union"]
    assert [result["iou_background"], result["iou_foreground"]] == pytest.approx(iou.tolist(), abs=1e-12)


def test_precision_recall_curve_of_all_pixels():
    """Recorded from the smallest score up, with an end at recall 0; maps of one value only are left out."""
    arrays = recorded("segmentation")
    maps, used = segmentation_maps(arrays), np.flatnonzero(arrays["pr_used"])
    scores = np.concatenate([unit_range(maps[index]).ravel() for index in used])
    labels = np.concatenate([(arrays["masks"][index] == 1).ravel() for index in used])
    precision, recall, _ = precision_recall(scores, labels)
    assert len(precision) + 1 == arrays["pr_len"]
    for values, end, name in ((precision, 1.0, "pr_precision"), (recall, 0.0, "pr_recall")):
        found = np.append(values[::-1], end)[arrays["pr_index"]]
        np.testing.assert_allclose(found, arrays[name], rtol=1e-12)


@pytest.fixture(scope="module")
def perturbed() -> dict:
    arrays = recorded("perturbation")
    config = {key.removeprefix("cfg/"): value for key, value in arrays.items() if key.startswith("cfg/")}
    model = VisionTransformer(**{key: tuple(v.tolist()) if v.ndim else v.item() for key, v in config.items()}).eval()
    model.load_state_dict({k.removeprefix("w/"): torch.from_numpy(v) for k, v in arrays.items() if k[:2] == "w/"})
    images = torch.from_numpy(arrays["image_u8"]).repeat_interleave(8, 2).repeat_interleave(8, 3).float() / 255
    maps = torch.from_numpy(recorded("perturbation_maps")["vis_rank"].astype(np.float32)) / 50175
    return {"arrays": arrays, "call": (model, images, maps, torch.from_numpy(arrays["target"]))}


@torch.no_grad()
def test_unperturbed_logits(perturbed):
    model, images, _, _ = perturbed["call"]
    np.testing.assert_allclose(model((images - 0.5) / 0.5), perturbed["arrays"]["logits"], atol=1e-5)


@pytest.mark.parametrize("schedule", ["per", "100"])
def test_perturbation(perturbed, schedule):
    arrays, test = perturbed["arrays"], PerturbationTest(schedule)
    found = test.update(*perturbed["call"], **HALF, copies_at_once=7)
    names = {"hits": "hits", "log_ratio": "dissimilarities", "logit_difference": "logit_diff"}
    names["probability_difference"] = "prob_diff"
    for order, short in (("positive", "pos"), ("negative", "neg")):
        published = f"chefer/{schedule}_{short}/"
        assert found["hits"].tolist() == arrays[published + "model_hits"].tolist()
        for ours, theirs in names.items():
            expected = arrays[f"{published}perturbations_{theirs}"]
            np.testing.assert_allclose(found[f"{ours}_{order}"], expected, atol=1e-4)
        if schedule == "per":
            assert test.result()[f"auc_{order}"] == pytest.approx(arrays[f"re_auc/{short}"].item(), abs=1e-12)


def test_area_between_curves(perturbed):
    arrays, curves = perturbed["arrays"], AreaBetweenCurves()
    found = curves.update(*perturbed["call"], **HALF)
    np.testing.assert_allclose(found["lerf"], arrays["abpc/LeRF"], atol=1e-4)
    np.testing.assert_allclose(found["morf"], arrays["abpc/MoRF"], atol=1e-4)
    result = curves.result()
    assert result["lerf"] == pytest.approx(arrays["abpc/auc_LeRF"].item(), abs=1e-6)
    assert result["morf"] == pytest.approx(arrays["abpc/auc_MoRF"].item(), abs=1e-6)
    assert result["abpc"] == pytest.approx(arrays["abpc/abpc_score"].item(), abs=1e-6)
    difference = np.subtract(result["curve_lerf"], result["curve_morf"])
    np.testing.assert_allclose(difference, arrays["abpc/abpc_mean"], atol=1e-6)


@pytest.mark.parametrize("name", ["0.5", "0.3", "mean"])
def test_boxes(name):
    arrays = recorded("localization")
    threshold = None if name == "mean" else float(name)
    for index, heat in enumerate(enlarged(arrays["maps14"])):
        boxes = lit_boxes(unit_range(heat), threshold)
        assert boxes.tolist() == arrays[f"pred_boxes_thr{name}/{index}"].tolist()


def test_painted_areas():
    arrays = recorded("localization")
    for index, heat in enumerate(enlarged(arrays["maps14"])):
        boxes = lit_boxes(unit_range(heat), 0.5), arrays[f"gt_boxes/{index}"]
        areas = [painted(box, heat.shape, inclusive=True).sum() for box in boxes]
        assert areas == arrays[f"seg_area/{index}"].tolist()


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_localization(threshold):
    arrays = recorded("localization")
    assert [name.removesuffix("uracy") for name in METRICS] == arrays["metric_names"].tolist()
    measure = BoxLocalization(threshold)
    for index, heat in enumerate(enlarged(arrays["maps14"])):
        label, predicted = int(arrays["label"][index]), int(arrays["pred"][index])
        single = measure.update(heat, arrays[f"gt_boxes/{index}"], label=label, predicted=predicted)
        expected = arrays[f"per_image_thr{threshold}"][index]
        assert (single is None) == bool(np.isnan(expected).all())
        if single is not None:
            np.testing.assert_allclose(list(single.values()), expected, rtol=1e-6)
    result = measure.result()
    np.testing.assert_allclose([result[name] for name in METRICS], arrays[f"mean_thr{threshold}"], rtol=1e-6)
    assert (result["images"], result["skipped"]) == (arrays[f"num_img_thr{threshold}"], 1)
