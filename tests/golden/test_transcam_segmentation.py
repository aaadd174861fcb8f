"""TransCAM's test of its segmentation network, from an image file to label maps, against its published code."""

from pathlib import Path

import numpy as np
import pytest
import torch
from model_recordings import recorded
from PIL import Image
from torch import nn

from seedbed.data.index import DataIndex, Record
from seedbed.params.load import read_params, resolve
from seedbed.params.stages import Segmenter
from seedbed.refine.crf_image import picture_for_crf
from seedbed.train.segmentation import predict_masks

CPU = torch.device("cpu")

torch.set_num_threads(1)


class RecordedScores(nn.Module):
    """Keeps what it is shown and answers with the recorded scores, in the recorded order: scales, then mirroring."""

    def __init__(self):
        super().__init__()
        parts = [recorded(f"refine_transcam_logits_{size}") for size in ("small", "large", "largest")]
        self.scores = [scores for part in parts for scores in part.values()]
        self.shown = []

    def forward(self, images):
        self.shown.append(images[0])
        return torch.from_numpy(self.scores[len(self.shown) - 1])[None]


@pytest.fixture(scope="module")
def z():
    return recorded("refine_transcam_segmentation")


@pytest.fixture(scope="module")
def preset():
    """The settings that are said to be the published ones."""
    return resolve({**read_params(Path(__file__).parents[2] / "params.yaml"), "preset": "paper"})


def masks_of(tmp_path, z, settings, crf):
    Image.fromarray(z["image"]).save(tmp_path / "one.png")
    record = Record("one", ("val",), (), "one.png", None, z["image"].shape[:2])
    model = RecordedScores()
    index = DataIndex(tmp_path, tuple(f"class{k}" for k in range(20)), (record,))
    ((_, mask),) = predict_masks(model, index, [record], settings, crf, CPU)
    return model.shown, mask


def test_what_the_network_is_shown(tmp_path, z, preset):
    settings = preset.segmenters["deeplab_v1_resnet38"]
    assert settings.scales == z["scales"].tolist()
    shown, _ = masks_of(tmp_path, z, settings, None)
    assert len(shown) == 12
    for k, ours in enumerate(shown):
        np.testing.assert_allclose(ours.numpy(), z[f"input_{k}"], rtol=0, atol=2e-6, err_msg=str(k))


def test_label_maps_with_and_without_the_crf(tmp_path, z, preset):
    settings = preset.segmenters["deeplab_v1_resnet38"]
    for crf, key in ((None, "pred"), (preset.crf[settings.crf], "pred_crf")):
        _, mask = masks_of(tmp_path, z, settings, crf)
        assert np.array_equal(mask, z[key])


def test_the_picture_that_its_crf_sees(z, preset):
    shown = picture_for_crf(z["image"], preset.segmenters["deeplab_v1_resnet38"].crf_image)
    assert np.array_equal(shown, z["image_used_by_crf"])


@pytest.mark.parametrize("how", ["rebuilt_float64", "own"])
def test_another_picture_gives_another_label_map(tmp_path, z, preset, how):
    published = preset.segmenters["deeplab_v1_resnet38"]
    settings = Segmenter.model_validate(published.model_dump() | {"crf_image": how})
    _, mask = masks_of(tmp_path, z, settings, preset.crf["deeplab"])
    assert not np.array_equal(mask, z["pred_crf"])
