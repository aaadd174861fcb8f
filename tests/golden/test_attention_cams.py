"""MCTformer-R and TransCAM, from an image file to confident labels, against recordings of the published code."""

import numpy as np
import pytest
import torch
from model_recordings import assert_close, conformer, mctformer_plus, mctformer_v2, recorded, weights
from PIL import Image

from seedbed.data.index import DataIndex, Record
from seedbed.explain import explain
from seedbed.explain.attention_cams import patch_attention, refined_by_layer, unrefined
from seedbed.explain.dataset_maps import picture_heatmaps
from seedbed.models import create_model, load_weights
from seedbed.params.stages import AffinityLabels, Crf, Explainer
from seedbed.refine.posteriors import confident_posteriors

CPU = torch.device("cpu")
CLASSES = tuple(f"class{k}" for k in range(20))

torch.set_num_threads(1)


def heatmaps_of(tmp_path, model, z, **settings):
    """The index of the recorded image and the maps of its recorded classes."""
    Image.fromarray(z["image"]).save(tmp_path / "one.png")
    labels = tuple(CLASSES[key] for key in z["cam_keys"])
    record = Record("one", ("train",), labels, "one.png", None, z["image"].shape[:2])
    index = DataIndex(tmp_path, CLASSES, (record,))
    common = {"flip": True, "batch_size": 1, "background": 0.4, "sweep": True}
    explainer = Explainer.model_validate({**common, **settings})
    ((_, heat),) = picture_heatmaps(model, index, [record], explainer, CPU)
    return index, heat


def test_mctformer_pipeline(tmp_path):
    """To the posteriors that its affinity network learns from; the CRF saw the image rebuilt from the input."""
    z = recorded("models_mctformer_pipeline")
    depth = sum(k.endswith("norm1.weight") for k in z)
    model = create_model("mctformerv2_small", 20, img_size=64, embed_dim=36, depth=depth, num_heads=3)
    load_weights(model, weights(z))
    index, heat = heatmaps_of(
        tmp_path, model, z, method="mct_refined", options={"class_attention_layers": int(z["layer_index"])},
        input={"interpolation": "bicubic", "normalize": "imagenet"}, scales=z["scales"].tolist(), fusion="mctformer",
    )  # fmt: skip
    assert heat.classes.tolist() == z["cam_keys"].tolist()
    assert_close(torch.from_numpy(heat.maps), z["cams"])
    expected = recorded("refine_pipelines")
    labels = AffinityLabels(crf="psa", alpha_low=1, alpha_high=12, image="rebuilt", rule="psa")
    crf = Crf(gaussian_sxy=3, gaussian_weight=3, bilateral_sxy=80, bilateral_srgb=13, bilateral_weight=10)
    ((_, low, high),) = confident_posteriors(index, index.records, {"one": heat}, labels, crf)
    for posteriors, key in ((low, "crf_alpha1"), (high, "crf_alpha12")):
        assert (posteriors.classes + 1).tolist() == expected["mctformer/crf_keys"].tolist()
        # The maps agree to rounding, which is the processor's own; ten iterations of the CRF enlarge it.
        assert np.abs(posteriors.maps - expected[f"mctformer/{key}"]).max() < 1e-4


def test_transcam_pipeline(tmp_path):
    """To the label maps that its affinity network learns from, which a label CRF smoothed."""
    z, model = recorded("models_transcam_pipeline"), conformer()[1]
    index, heat = heatmaps_of(
        tmp_path, model, z, method="transcam", options={"first_class": 1},
        input={"size": [256, 256], "interpolation": "bicubic", "normalize": "imagenet"}, scales=[1, 2, 3],
        fusion="transcam",
    )  # fmt: skip
    assert_close(torch.from_numpy(heat.maps), z["norm_cam"])
    labels = AffinityLabels(crf="label", constants=(0.60, 0.25), rule="transcam")
    crf = Crf(gaussian_sxy=3, gaussian_weight=3, bilateral_sxy=50, bilateral_srgb=5, bilateral_weight=10)
    ((_, low, high),) = confident_posteriors(index, index.records, {"one": heat}, labels, crf)
    expected = recorded("refine_pipelines")
    for posteriors, key in ((low, "crf_060"), (high, "crf_025")):
        assert np.array_equal(posteriors.maps.sum(axis=0), np.ones(heat.size))
        assert np.array_equal((posteriors.classes + 1)[posteriors.maps.argmax(axis=0)], expected[f"transcam/{key}"])


@pytest.mark.parametrize("network", [mctformer_v2, mctformer_plus])
@pytest.mark.parametrize("case", range(4))
def test_mctformer_methods(case, network):
    z, model = network()
    images, every = torch.from_numpy(z[f"eval{case}/x"]), torch.arange(model.num_classes)[None]
    options = {"class_attention_layers": int(z["n_layers"])}
    for method in ("cam", "mct_cam"):
        assert_close(explain(model, images, every, method)[0], z[f"eval{case}/patchcam"])
    assert_close(explain(model, images, every, "mct_fused", **options)[0], z[f"eval{case}/cams_fused"])
    refined = explain(model, images, every, "mct_refined", **options)
    assert_close(refined[0], z[f"eval{case}/cams_refined"])
    by_layer = refined_by_layer(unrefined(model, images, every, "mct_refined", **options))
    assert_close(by_layer.sum(dim=1)[0], z[f"eval{case}/cams_refined"])


def test_attention_of_the_patches():
    z, model = mctformer_v2()
    assert_close(torch.cat(patch_attention(model, torch.from_numpy(z["eval1/x"]))), z["eval1/patch_attn"])
    z, model = conformer()
    case = next(k.split("/")[0] for k in z if k.endswith("attn_head_mean"))
    ours = torch.cat(patch_attention(model, torch.from_numpy(z[f"{case}/x"])))
    assert_close(ours, z[f"{case}/attn_head_mean"][:, 1:, 1:])


def test_conformer_methods():
    z, model = conformer()
    images, every = torch.from_numpy(z["s1/x"]), torch.arange(21)[None]
    for method, key in (("conv_cam", "s1/cam_convcam"), ("transcam", "s1/cam_transcam")):
        assert_close(explain(model, images, every, method)[0], z[key])
        classes = explain(model, images, every[:, :20], method, first_class=1)
        assert_close(classes[0], z[key][1:])
