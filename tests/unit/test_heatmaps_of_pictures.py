"""Heat maps of whole pictures: views, batches and their fusion, against one image at a time."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from seedbed.data.images import read_picture
from seedbed.data.index import DataIndex, Record, shard
from seedbed.data.views import view
from seedbed.errors import DataError, ParameterError, UserError
from seedbed.explain import explain
from seedbed.explain.dataset_maps import picture_heatmaps
from seedbed.explain.view_fusion import FUSIONS, fuse_views
from seedbed.models import create_model
from seedbed.params.stages import Explainer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    return create_model("vit_tiny_patch16_224", 6, img_size=48, patch_size=8, depth=2, embed_dim=16, num_heads=2)


@pytest.fixture(scope="module")
def cnn():
    """Any size goes in."""
    torch.manual_seed(0)
    return create_model("test_resnet", 6)


def settings(**changes):
    values = {"method": "attention_guided_cam", "input": {"size": [48, 48], "normalize": "half"}, "fusion": "raw"}
    return Explainer.model_validate({**values, "background": 0.4, "sweep": False, **changes})


def on_cnn(**changes):
    return settings(**{"method": "cam", "input": {"normalize": "half"}, **changes})


def maps_of(model, index, given, records=None):
    return dict(picture_heatmaps(model, index, records or index.records, given, CPU))


def one_view(model, picture, classes, given, scale=1.0, flip=False):
    """Maps [K, h, w] of one view of one image."""
    pixels = view(picture, size=given.input.size, scale=scale, flip=flip, normalisation=given.input.normalize)
    return explain(model.eval(), pixels[None], [list(classes)], given.method, **given.options)[0]


def enlarged(maps, size):
    return F.interpolate(maps[None].float(), size, mode="bilinear", align_corners=False)[0]


def test_a_single_view_by_hand(shapes, vit):
    found = maps_of(vit, shapes, settings())
    assert list(found) == [record.image for record in shapes.records]
    for record in shapes.records:
        heat, picture = found[record.image], read_picture(shapes.root / record.path)
        classes = shapes.class_indices(record)
        np.testing.assert_array_equal(heat.classes, classes)
        assert (heat.maps.dtype, heat.maps.shape, heat.size) == (np.float32, (len(classes), 48, 48), (48, 48))
        expected = enlarged(one_view(vit, picture, classes, settings()), (48, 48))
        np.testing.assert_allclose(heat.maps, expected.numpy(), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("scales", "flip"), [([1.0], True), ([0.5, 1.0, 1.5], False), ([1.0, 1.5], True)])
def test_scaled_and_mirrored_views_by_hand(shapes, cnn, scales, flip):
    given = on_cnn(scales=scales, flip=flip, batch_size=5)
    found = maps_of(cnn, shapes, given, shapes.split("val"))
    for record in shapes.split("val"):
        picture, classes = read_picture(shapes.root / record.path), shapes.class_indices(record)
        views = []
        for scale in scales:
            for mirrored in (False, True) if flip else (False,):
                maps = enlarged(one_view(cnn, picture, classes, given, scale, mirrored), (48, 48))
                views.append(maps.flip(-1) if mirrored else maps)
        expected = torch.stack(views).mean(0)
        np.testing.assert_allclose(found[record.image].maps, expected.numpy(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_batches_change_nothing_but_the_last_bits(shapes, vit, batch_size):
    whole = maps_of(vit, shapes, settings(fusion="min_max"))
    found = maps_of(vit, shapes, settings(fusion="min_max", batch_size=batch_size))
    assert list(found) == list(whole)
    for image, heat in found.items():
        np.testing.assert_allclose(heat.maps, whole[image].maps, atol=1e-4)


@pytest.fixture
def mixed(tmp_path):
    """Pictures of three sizes, in an order that breaks batches, one of them without a label."""
    sizes = {"a": (40, 48), "b": (40, 48), "c": (48, 40), "d": (40, 48), "e": (33, 57)}
    rng = np.random.default_rng(0)
    for name, size in sizes.items():
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(tmp_path / f"{name}.png")
    labels = dict.fromkeys(sizes, ("x", "z")) | {"b": (), "d": ("y",)}
    records = tuple(Record(name, ("val",), labels[name], f"{name}.png", None, size) for name, size in sizes.items())
    return DataIndex(tmp_path, ("x", "y", "z"), records)


def test_pictures_of_different_sizes(mixed, cnn):
    found = maps_of(cnn, mixed, on_cnn(scales=[1.0, 0.5], flip=True))
    assert list(found) == ["a", "b", "c", "d", "e"]
    for record in mixed.records:
        heat = found[record.image]
        assert heat.size == record.size
        assert heat.maps.shape == (len(record.labels), *record.size)
        alone = maps_of(cnn, mixed, on_cnn(scales=[1.0, 0.5], flip=True), [record])[record.image]
        np.testing.assert_allclose(heat.maps, alone.maps, atol=1e-5)


def test_images_of_a_size_that_the_network_does_not_take_are_named(mixed, vit):
    own_size = {"input": {"normalize": "half"}}
    mct = create_model("mctformerv2_tiny", 3, patch_size=40, img_size=80, depth=3, embed_dim=12, num_heads=3)
    with pytest.raises(
        ParameterError, match=r"^e: An image of 33 x 57 is smaller than a patch of 40\. Give .* input\.size"
    ):
        maps_of(mct, mixed, settings(method="mct_refined", **own_size))
    with pytest.raises(ParameterError, match=r"^a, b: The model does not take images of shape \(2, 3, 40, 48\)"):
        maps_of(vit, mixed, settings(method="rollout", **own_size))


def test_a_batch_without_any_label(mixed, cnn):
    found = maps_of(cnn, mixed, on_cnn(batch_size=1))
    assert found["b"].maps.shape == (0, 40, 48)
    assert found["b"].classes.shape == (0,)


@pytest.mark.parametrize(("stride", "shape"), [(1, (33, 57)), (4, (9, 15)), (100, (1, 1))])
def test_maps_may_be_stored_smaller(mixed, cnn, stride, shape):
    heat = maps_of(cnn, mixed, on_cnn(store_stride=stride), mixed.records[4:])["e"]
    assert heat.maps.shape == (2, *shape)
    assert heat.size == (33, 57)


@pytest.mark.parametrize("name", ["vit", "cnn"])
def test_the_predicted_class(shapes, name, request):
    model = request.getfixturevalue(name)
    given = settings(classes="predicted") if name == "vit" else on_cnn(classes="predicted")
    for record, (image, heat) in zip(shapes.records, maps_of(model, shapes, given).items(), strict=True):
        pixels = view(read_picture(shapes.root / record.path), size=(48, 48), normalisation="half")
        with torch.no_grad():
            assert (image, heat.classes.tolist()) == (record.image, [int(model(pixels[None]).argmax())])
        assert heat.maps.shape == (1, 48, 48)


def test_the_predicted_class_of_a_network_that_gives_more(shapes, monkeypatch):
    class Brightest(torch.nn.Module):
        def forward(self, pictures):
            return SimpleNamespace(logits=F.one_hot(pictures.mean((2, 3)).argmax(1), 6).float())

    explained = []

    def fake(model, pictures, targets, method):
        explained.extend(targets[:, 0].tolist())
        return torch.zeros(*targets.shape, 2, 2)

    monkeypatch.setattr("seedbed.explain.dataset_maps.explain", fake)
    found = maps_of(Brightest(), shapes, settings(classes="predicted", batch_size=5))
    channels = [int(read_picture(shapes.root / record.path).mean((0, 1)).argmax()) for record in shapes.records]
    assert [int(heat.classes[0]) for heat in found.values()] == explained == channels


def test_the_networks_mode_does_not_matter(shapes, vit):
    before = maps_of(vit.eval(), shapes, settings(), shapes.records[:2])
    after = maps_of(vit.train(), shapes, settings(), shapes.records[:2])
    for image, heat in before.items():
        np.testing.assert_array_equal(heat.maps, after[image].maps)


def test_mistakes_are_named(shapes, vit, cnn):
    with pytest.raises(ParameterError, match="Unknown explanation method 'attention_guided_can'"):
        maps_of(vit, shapes, settings(method="attention_guided_can"))
    with pytest.raises(ParameterError, match=r"Unknown fusion of views 'rwa'. Did you mean 'raw'"):
        maps_of(vit, shapes, settings(fusion="rwa"))
    with pytest.raises(UserError, match="cannot explain"):
        maps_of(cnn, shapes, on_cnn(method="rollout"))
    gone = (replace(shapes.records[0], path="gone.jpg"),)
    with pytest.raises(DataError, match=r"gone\.jpg: no such image"):
        maps_of(vit, shapes, settings(), gone)


def ramps():
    """Two maps of 2 x 3 cells, the second one flat."""
    return torch.tensor([[[0.0, 1.0, 2.0], [3.0, 4.0, 8.0]], [[5.0] * 3] * 2])


def test_raw_and_min_max_fusion_by_hand():
    views = [ramps(), 2 * ramps().flip(-1)]
    mean = 1.5 * enlarged(ramps(), (4, 6))
    torch.testing.assert_close(fuse_views(views, [False, True], (4, 6), "raw"), mean)
    scaled = fuse_views(views, [False, True], (4, 6), "min_max")
    torch.testing.assert_close(scaled[0], mean[0] / 12)
    assert torch.equal(scaled[1], torch.zeros(4, 6))


def test_cues_by_hand():
    """Each view: enlarged by the scale, cube root, stretched; then resized, turned back and averaged."""

    def stretched(maps):
        lifted = enlarged(maps, (4, 6)) ** (1 / 3)
        span = lifted.amax((1, 2), keepdim=True) - lifted.amin((1, 2), keepdim=True)
        return torch.where(span > 0, (lifted - lifted.amin((1, 2), keepdim=True)) / span, 0.0)

    other = ramps() ** 2
    expected = (enlarged(stretched(ramps()), (5, 7)) + enlarged(stretched(other), (5, 7)).flip(-1)) / 2
    found = fuse_views([ramps(), other], [False, True], (5, 7), "cues", scale=2, root=3)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("flips", [[False], [True, False], [False, True, False, True]])
def test_cues_need_a_plain_and_a_mirrored_view(flips):
    with pytest.raises(ParameterError, match="fusion 'cues' needs one scale and flip: true"):
        fuse_views([ramps()] * len(flips), flips, (4, 6), "cues")


@pytest.mark.parametrize("fusion", ["raw", "min_max"])
def test_undefined_maps_stay_undefined(fusion):
    broken = ramps()
    broken[0, 0, 0] = torch.nan
    found = fuse_views([ramps(), broken], [False, False], (2, 3), fusion)
    assert found[0].isnan().any()
    assert not found[1].isnan().any()


@pytest.mark.parametrize("fusion", sorted(FUSIONS))
def test_every_fusion_gives_the_size_asked_for_and_undoes_mirrors(fusion):
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(3, 4, 5, generator=generator)
    found = fuse_views([maps, maps.flip(-1)], [False, True], (8, 10), fusion)
    assert (found.shape, found.dtype) == ((3, 8, 10), torch.float32)
    mirrored = fuse_views([maps.flip(-1), maps], [False, True], (8, 10), fusion)
    torch.testing.assert_close(mirrored.flip(-1), found)


def test_unknown_options_of_a_fusion():
    with pytest.raises(ParameterError, match=r"Unknown option of fusion 'cues' 'scael'. Did you mean 'scale'"):
        fuse_views([ramps()] * 2, [False, True], (4, 6), "cues", scael=2)
    with pytest.raises(ParameterError, match="Unknown option of fusion 'raw' 'scale'"):
        fuse_views([ramps()], [False], (4, 6), "raw", scale=2)


def test_a_view_is_cut_before_the_views_are_added():
    views = [torch.tensor([[[2.0, -4.0]]]), torch.tensor([[[-1.0, 2.0]]])]
    kept, cut = (fuse_views(views, [False, False], (1, 2), "psa", cut=cut) for cut in (False, True))
    torch.testing.assert_close(kept, torch.tensor([[[1.0, -2.0]]]) / (1 + 1e-5))
    torch.testing.assert_close(cut, torch.tensor([[[1.0, 1.0]]]) * 2 / (2 + 1e-5))


@pytest.mark.parametrize("count", [2, 5])
def test_shards_batch_the_pictures_as_the_whole_does(shapes, vit, count, monkeypatch):
    """The last bits depend on the size of a batch, so shards must not change it: here blocks of two images."""
    monkeypatch.setattr("seedbed.data.index.together", lambda records: 2)
    given = settings(batch_size=8)
    whole = dict(picture_heatmaps(vit, shapes, shapes.records[:7], given, CPU, block=2))
    found = {}
    for number in range(1, count + 1):
        records = shard(shapes.records[:7], number, count)
        found |= picture_heatmaps(vit, shapes, records, given, CPU, block=2)
    assert found.keys() == whole.keys()
    for image, heat in whole.items():
        assert np.array_equal(found[image].maps, heat.maps)


def test_batches_end_with_their_block(shapes, vit, monkeypatch):
    sizes = []

    def spy(model, images, *arguments, **options):
        sizes.append(len(images))
        return explain(model, images, *arguments, **options)

    monkeypatch.setattr("seedbed.explain.dataset_maps.explain", spy)
    list(picture_heatmaps(vit, shapes, shapes.records[:7], settings(batch_size=2), CPU, block=3))
    assert sizes == [2, 1, 2, 1, 1]


def test_in_float64_by_hand_and_the_network_stays_as_it_is(shapes, vit):
    given = settings(method="transformer_attribution", precision="float64")
    found = maps_of(vit, shapes, given)
    assert all(value.dtype == torch.float32 for value in vit.parameters())
    exact = copy.deepcopy(vit).double()
    for record in shapes.records[:3]:
        picture, classes = read_picture(shapes.root / record.path), found[record.image].classes
        expected = enlarged(one_view(exact, picture, classes, given), (48, 48))
        np.testing.assert_allclose(found[record.image].maps, expected.numpy(), rtol=1e-6, atol=0)
