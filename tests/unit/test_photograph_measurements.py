"""Measurements of real photographs, on drawn ones: accuracy, the pointing game, float32 against float64."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from seedbed.data.index import DataIndex, Record
from seedbed.data.shapes import make_shapes
from seedbed.data.views import InputView
from seedbed.errors import DataError, ParameterError
from seedbed.evaluate.merged_counts import merge_protocol
from seedbed.evaluate.protocols.measured_shard import run_protocol
from seedbed.evaluate.protocols.pointing_game import PointingGame
from seedbed.evaluate.protocols.shown_network import ShownNetwork
from seedbed.evaluate.protocols.top_classes import TopClasses, _centre
from seedbed.explain.heatmap_settings import HeatMapSettings
from seedbed.io.masks import encode_mask
from seedbed.models import create_model

CPU = torch.device("cpu")
torch.set_num_threads(1)


class Brightest(torch.nn.Module):
    """Class k is the mean of channel k."""

    def forward(self, images):
        return images.mean((2, 3))


def photograph(tmp_path, mask=None):
    """Red in the middle, blue at both ends: 20 x 40."""
    image = np.zeros((20, 40, 3), np.uint8)
    image[..., 2] = 200
    image[:, 13:27] = (255, 0, 0)
    Image.fromarray(image).save(tmp_path / "a.png")
    if mask is not None:
        (tmp_path / "mask.png").write_bytes(encode_mask(mask))
    record = Record("a", ("val",), ("red",), "a.png", "mask.png" if mask is not None else None, (20, 40))
    return DataIndex(tmp_path, ("red", "green", "blue", "x", "y", "z"), (record,))


def test_accuracy_of_the_centre_and_of_the_whole_image(tmp_path):
    index = photograph(tmp_path)
    shown = ShownNetwork(Brightest(), index, index.records, InputView("none", (10, 10)), CPU)
    counts = TopClasses(crop=0.9).count_network(shown)
    found = TopClasses.merge([counts])
    assert (found["top1"], found["top1_squashed"], found["top5"], found["images"]) == (1, 0, 1, 1)
    assert TopClasses().count_network(shown._replace(records=(), begun=counts)) == counts
    with pytest.raises(ParameterError, match=r"Set its input\.size"):
        TopClasses().count_network(shown._replace(view=InputView("none")))


def test_the_centre_is_that_of_timm():
    """Its own transform of ViT-Tiny's weights: the short side to 248, the middle 224."""
    from timm.data import create_transform

    rng = np.random.default_rng(0)
    made = create_transform(224, interpolation="bicubic", mean=0, std=1, crop_pct=0.9, normalize=False)
    for size in ((256, 341), (300, 256), (256, 256)):
        picture = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        expected = np.asarray(made(Image.fromarray(picture))).transpose(1, 2, 0)
        np.testing.assert_array_equal(_centre(picture, (224, 224), 0.9, "bicubic"), expected)


def setting_of(index, maps):
    """What the pointing game needs of a setting: one batch of every record, and these maps."""
    batch = SimpleNamespace(records=index.records, inputs=torch.zeros(len(index.records), 3, 20, 40))
    explained = lambda inputs, targets: torch.from_numpy(maps)  # noqa: E731
    return SimpleNamespace(index=index, begun=None, batches=lambda: [batch], maps=explained)


@pytest.mark.parametrize(("place", "hit"), [((5, 20), 1), ((5, 30), 0), ((0, 0), 0)])
def test_a_map_hits_where_it_is_largest_on_its_class(tmp_path, place, hit):
    mask = np.zeros((20, 40), np.uint8)
    mask[:, 15:25], mask[:, 28:32], mask[0] = 1, 2, 255
    index = photograph(tmp_path, mask)
    heat = np.zeros((1, 1, 20, 40), np.float32)
    heat[0, 0][place] = 1
    found = PointingGame.merge([PointingGame().count(setting_of(index, heat))])
    assert (found["hits"], found["hits_of_maps"], found["images"]) == (hit, hit, 1)
    assert found["chance"] == pytest.approx(19 * 10 / 800)


def test_the_pointing_game_is_the_mean_over_classes():
    shards = [
        {"cat": {"maps": 3, "hits": 3, "area": 0.6, "undefined": 0}},
        {"cat": {"maps": 1, "hits": 0, "area": 0.2, "undefined": 1}, "dog": {"maps": 1, "hits": 0, "area": 0.1}},
    ]
    found = PointingGame.merge(shards)
    assert found == {
        "hits": 0.375,
        "hits_of_maps": 0.6,
        "chance": 0.15000000000000002,
        "images": 5,
        "undefined_maps": 1,
    }
    with pytest.raises(DataError, match="No map of a labelled class"):
        PointingGame.merge([{}])


def test_rounding_is_what_float32_adds(tmp_path):
    index = make_shapes(tmp_path, seed=3, size=48, train=2, trainaug=2, val=6, single_object=True)
    torch.manual_seed(1)
    model = create_model("vit_tiny_patch16_224", 6, img_size=48, patch_size=8, depth=2, embed_dim=16, num_heads=2)
    explainer = HeatMapSettings("lrp", InputView("half", (48, 48)), "raw", batch_size=4)
    counts = run_protocol("rounding", model.eval(), index, index.split("val"), explainer, {}, CPU)
    found = merge_protocol("rounding", [counts])
    assert found["images"] == 6
    assert 0 < found["median_largest"] <= found["worst_largest"] < 1e-2
    assert found["cosine"] == pytest.approx(1, abs=1e-4) and found["rank_correlation"] > 0.99
