"""One image, all methods: the page, the maps, and what is refused."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seedbed.data.views import view
from seedbed.errors import DataError, ParameterError, UserError
from seedbed.explain import explain, min_max, supports, upsample
from seedbed.explain.one_image import as_heatmaps, explain_picture, map_size, signed_range
from seedbed.io.heatmaps import HeatMapStore, write_heatmaps
from seedbed.models import create_model
from seedbed.models.published import open_classifier
from seedbed.params.stages import NetworkInput
from seedbed.report.explained import draw_explained

WEIGHTS = Path(__file__).parents[2] / "pretrained/vit_tiny_patch8_96.safetensors"

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    return create_model("vit_tiny_patch16_224", 5, img_size=48, patch_size=8, depth=2, embed_dim=16, num_heads=2).eval()


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)


def test_all_methods_of_a_vit_for_its_top_classes(tmp_path, vit, picture):
    explained = explain_picture(vit, picture, top=3)
    inputs = view(picture, size=(48, 48), interpolation="bicubic", normalisation="half")[None]
    with torch.no_grad():
        probabilities = vit(inputs)[0].softmax(0)
    assert explained.classes.tolist() == probabilities.topk(3).indices.tolist()
    np.testing.assert_allclose(explained.probabilities, probabilities.topk(3).values, rtol=1e-5)
    assert set(explained.maps) >= {"rollout", "lrp", "transformer_attribution", "attention_guided_cam", "legrad", "cam"}
    assert all(supports(vit, name) for name in explained.maps) and not any(supports(vit, n) for n in explained.refused)
    raw = explain(vit, inputs, [explained.classes.tolist()], "generic_attribution")[0]
    expected = min_max(upsample(raw, (40, 60)))
    np.testing.assert_allclose(explained.maps["generic_attribution"], expected, atol=1e-5)
    write_heatmaps(tmp_path / "maps.h5", as_heatmaps(explained, (40, 60)), {})
    stored = HeatMapStore([tmp_path / "maps.h5"])
    assert stored["lrp"].maps.shape == (3, 40, 60)
    assert stored["lrp"].classes.tolist() == explained.classes.tolist()
    page = draw_explained(picture, explained, ["a", "b", "c", "d", "e"])
    assert page == draw_explained(picture, explained, ["a", "b", "c", "d", "e"])
    width, height = Image.open(io.BytesIO(page)).size
    assert width > 150 * (1 + len(explained.maps)) and height > 3 * 150


def test_the_networks_own_input_and_classes_that_do_not_exclude_each_other(vit, picture):
    how = NetworkInput(size=(48, 48), interpolation="bilinear", normalize="imagenet")
    explained = explain_picture(vit, picture, ["rollout"], top=3, how=how, multi_label=True)
    inputs = view(picture, size=(48, 48), interpolation="bilinear", normalisation="imagenet")[None]
    with torch.no_grad():
        logits = vit(inputs)[0]
    assert explained.classes.tolist() == logits.topk(3).indices.tolist()
    np.testing.assert_allclose(explained.probabilities, logits.sigmoid().topk(3).values, rtol=1e-5)


def test_methods_by_name(vit, picture):
    assert list(explain_picture(vit, picture, ["rollout", "gradcam"], top=9).maps) == ["rollout", "gradcam"]
    with pytest.raises(ParameterError, match=r"Unknown explanation method 'gradcamm'\. Did you mean 'gradcam'"):
        explain_picture(vit, picture, ["gradcamm"])
    with pytest.raises(UserError, match=r"'rollout' cannot explain this ResNet: .*Methods that can: advcam, cam\."):
        explain_picture(create_model("test_resnet", 3), picture, ["rollout"])
    assert list(explain_picture(create_model("test_resnet", 3), picture).maps) == ["advcam", "cam"]


def test_large_photographs_get_smaller_maps(vit):
    assert map_size((3000, 4000)) == (768, 1024)
    assert map_size((720, 960)) == (720, 960)
    assert map_size((5000, 2)) == (1024, 1)
    photograph = np.zeros((30, 2048, 3), np.uint8)
    explained = explain_picture(vit, photograph, ["rollout"], top=1)
    assert explained.maps["rollout"].shape == (1, 15, 1024)
    assert draw_explained(photograph, explained, list("abcde"))


def test_weights_that_cannot_be_had_are_named(monkeypatch):
    def offline(*_args, **_kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("timm.create_model", offline)
    with pytest.raises(DataError, match=r"timm weights 'vit_base_patch16_224' cannot be fetched: no route to host"):
        open_classifier({"architecture": "vit_base_patch16_224", "options": {}}, None, None)
    with pytest.raises(
        ParameterError, match=r"Unknown model 'vit_bse_patch16_224'\. Did you mean 'vit_base_patch16_224"
    ):
        open_classifier({"architecture": "vit_bse_patch16_224", "options": {}}, None, None)


def test_weights_and_class_names_of_ones_own(tmp_path):
    (tmp_path / "classes.txt").write_text("\n".join("abcdef") + "\n")
    network = {"architecture": "vit_tiny_patch8_96", "options": {}}
    model, names = open_classifier(network, str(WEIGHTS), str(tmp_path / "classes.txt"))
    assert list(names) == list("abcdef") and model.num_classes == 6


def test_signed_maps_lie_around_zero_and_a_few_spikes_do_not_flatten_them():
    maps = torch.linspace(-1, 1, 1000).reshape(1, 20, 50)
    spiked = maps.clone()
    spiked[0, 0, :5] = 1e4
    found = signed_range(spiked)
    assert found[0, 0, 0] == 1 and abs(float(found[0, 10, 0]) - 0.5) < 0.01
    assert float(found.std()) > 0.25  # by extremes nearly all pixels would lie at one value
    assert signed_range(torch.zeros(2, 3, 4)).eq(0.5).all()
    assert signed_range(torch.full((1, 2, 2), torch.nan)).isnan().all()
    one = signed_range(torch.tensor([[[0.0] * 399 + [-2.0]]]).reshape(1, 20, 20))
    assert one[0, 19, 19] == 0 and one[0, 0, 0] == 0.5


def test_the_file_keeps_what_the_method_gives(tmp_path, vit, picture):
    explained = explain_picture(vit, picture, ["lrp", "rollout"], top=1)
    inputs = view(picture, size=(48, 48), interpolation="bicubic", normalisation="half")[None]
    raw = upsample(explain(vit, inputs, [explained.classes.tolist()], "lrp")[0], (40, 60)).numpy()
    assert "lrp" in explained.signed and "rollout" not in explained.signed and (raw < 0).any()
    write_heatmaps(tmp_path / "maps.h5", as_heatmaps(explained, (40, 60)), {}, exact=True)
    np.testing.assert_allclose(HeatMapStore([tmp_path / "maps.h5"])["lrp"].maps, raw, rtol=1e-5, atol=1e-12)


def test_a_network_in_half_precision_is_explained(picture):
    torch.manual_seed(0)
    model = create_model("vit_tiny_patch16_224", 5, img_size=48, patch_size=8, depth=1, embed_dim=16, num_heads=2)
    explained = explain_picture(model.bfloat16(), picture, ["rollout"], top=1)
    assert explained.maps["rollout"].shape == (1, 40, 60)
