"""ToCo's network, views, crops and loss by hand; the golden tests hold the numbers to the published code's."""

import pytest
import torch
import torch.nn.functional as F
from torchvision import tv_tensors

from seedbed.data.transforms import build_transform
from seedbed.errors import DataError, ImageSizeError, ParameterError
from seedbed.models import create_model, load_weights, model_entry
from seedbed.refine.fusion import fuse_scales
from seedbed.refine.lattice_energy import bilateral_energy
from seedbed.train.objectives import build_objective
from seedbed.train.toco_crops import chosen_places, crop_candidates, cut, local_crops
from seedbed.train.toco_labels import regions, token_labels
from seedbed.train.toco_losses import class_token_contrast

torch.set_num_threads(1)
SMALL = {"crops": 2, "crop_size": 16, "scales": [1.0], "par_iterations": 1, "par_dilations": [1]}


def network(seed=0):
    torch.manual_seed(seed)
    return create_model("toco_tiny", 3)


def objective(**options):
    return build_objective("toco", **{**SMALL, **options})


def batch(seed=0, images=2, side=48):
    torch.manual_seed(seed)
    views = torch.randn(images, 9, side, side)
    inside = torch.ones(images, 1, side, side)
    inside[0, :, :8] = 0  # padding above
    return torch.cat([views, inside], dim=1), torch.eye(3)[:images]


def test_a_network_that_predicts_masks():
    model, images = network().eval(), torch.randn(2, 3, 40, 56)
    output = model(images)
    assert output.logits.shape == output.auxiliary_logits.shape == (2, 3)
    assert output.maps.shape == (2, 3, 5, 7) and output.scores.shape == (2, 4, 5, 7)
    largest = output.features.amax((2, 3), keepdim=True)  # of each channel, not of the maps
    torch.testing.assert_close(output.logits, model.classifier(largest).flatten(1))
    torch.testing.assert_close(model.logits(images), output.scores)
    assert model.pixel_scores(images).shape == (2, 4, 40, 56)
    torch.testing.assert_close(model(images, part="class_token"), output.class_token)
    assert not output.maps.requires_grad and output.scores.requires_grad
    assert model_entry("toco_tiny").predicts_masks


def test_numbers_that_do_not_fit_a_network():
    with pytest.raises(ParameterError, match="auxiliary_block=5: the encoder has 4"):
        create_model("toco_tiny", 3, auxiliary_block=5)
    with pytest.raises(ImageSizeError, match="smaller than a patch of 8"):
        network()(torch.randn(1, 3, 7, 30))


def test_the_averaged_head_follows():
    model = network()
    before, trained = (head.mlp[0].bias.clone() for head in (model.proj_head_t, model.proj_head))
    torch.testing.assert_close(before, trained)
    with torch.no_grad():
        model.proj_head.mlp[0].bias += 1
    model.follow(0.75)
    torch.testing.assert_close(model.proj_head_t.mlp[0].bias, before + 0.25)


def test_projections_are_cosines():
    head = network().proj_head
    outputs = head(torch.randn(5, 96))
    assert outputs.abs().max() <= 1 + 1e-6
    with torch.no_grad():
        head.last_layer.weight_v *= 3
        head.mlp[4].weight *= 3
        head.mlp[4].bias *= 3
    torch.testing.assert_close(head(torch.ones(1, 96)), head(torch.ones(1, 96)))


def test_a_vision_transformer_of_timms_starts_the_encoder():
    source = create_model("vit_tiny_patch8_96", 7)
    found = load_weights(network().encoder, source.state_dict(), layout="pretrained_classifier", drop=["head"])
    assert len(found.loaded) == len(source.state_dict()) - 2 and not found.fresh


def test_a_layout_for_toco_alone():
    with pytest.raises(ParameterError, match="fills a ToCo, not a VisionTransformer"):
        load_weights(create_model("vit_tiny_patch8_96", 3), {"a": torch.ones(1)}, layout="toco")
    with pytest.raises(DataError, match=r"lack encoder\.head\.weight"):
        load_weights(network(), network().state_dict(), layout="toco")


def views(image, **options):
    torch.manual_seed(3)
    return build_transform([{"toco_views": {"size": 64, **options}}])(tv_tensors.Image(image))


def picture(height, width):
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_views_are_one_tensor_that_a_seed_decides():
    image = picture(80, 100)
    found = views(image)
    assert found.shape == (10, 64, 64) and found.dtype == torch.float32 and type(found) is torch.Tensor
    assert torch.equal(found, views(image)) and set(found[9].unique().tolist()) <= {0, 1}


def test_padding_is_where_the_first_view_is_dark():
    for seed in range(6):
        torch.manual_seed(seed)
        step = build_transform([{"toco_views": {"size": 64, "scale": [0.5, 0.5]}}])
        found = step(tv_tensors.Image(torch.full((3, 60, 90), 200, dtype=torch.uint8)))
        far = F.max_pool2d(found[9:], 17, 1, 8)[0] == 0  # beyond the blur
        assert far.any() and found[:3, far].std(1).max() < 1e-6  # black, but for its own contrast
        assert found[:3, far].mean() < found[:3, found[9] == 1].mean()


def test_as_published_views_are_mirrored_apart():
    """A picture that is bright on the right alone: in either form the views show it, in one they disagree."""
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    image[:, :, 32:] = 250

    def agree(as_published):
        step = build_transform([{"toco_views": {"size": 64, "scale": [1, 1], "as_published": as_published}}])
        found = []
        for seed in range(24):
            torch.manual_seed(seed)
            view = step(tv_tensors.Image(image))
            sides = [view[k : k + 3, :, :20].mean() < view[k : k + 3, :, -20:].mean() for k in (0, 6)]
            found.append(bool(sides[0] == sides[1]))
        return found

    assert all(agree(as_published=False)) and 4 < sum(agree(as_published=True)) < 20


@pytest.mark.parametrize("wrong", [{"size": 0}, {"size": 8, "scale": [2, 1]}, {"size": 8, "area": [0.5, 1.5]}])
def test_views_out_of_range(wrong):
    with pytest.raises(ParameterError, match="toco_views"):
        build_transform([{"toco_views": wrong}])


def test_crops_by_hand():
    """Object on the left half of 8 x 8: crops of side 4 have their centres on the right."""
    found = torch.zeros(1, 8, 8, dtype=torch.long)
    found[:, :, :4] = 2
    candidates = crop_candidates(found, side=4, count=3)
    assert candidates.shape == (1, 4, 4) and candidates[0].any(0).tolist() == [False, False, True, True]
    places = chosen_places(candidates, -torch.arange(16.0)[None], 3)
    assert places.tolist() == [[[3, 3], [3, 2], [2, 3]]]
    assert crop_candidates(torch.full_like(found, 2), side=4, count=3).all()  # not one: all places
    source = torch.arange(64.0).view(1, 1, 8, 8)
    assert torch.equal(cut(source, places, 4)[0, 0, 0], source[0, 0, 3:7, 3:7])
    _, flags = local_crops(source, found, candidates, -torch.arange(16.0)[None], side=4, count=3)
    assert flags.tolist() == [[1, 1, 1]]  # one column of object: 0.5
    found[:, :, 3] = 0
    candidates = crop_candidates(found, side=4, count=2)
    _, flags = local_crops(source, found, candidates, -torch.arange(16.0)[None], side=4, count=2)
    assert flags.tolist() == [[0, 1]]


def test_regions_and_tokens_by_hand():
    maps = torch.tensor([[[[0.2, 0.25, 0.5, 0.7]], [[0.9, 0.9, 0.9, 0.9]]]])
    labels = torch.tensor([[1.0, 0.0]])
    assert regions(maps, labels, (0.25, 0.7)).tolist() == [[[0, 0, 1, 2]]]
    inside = torch.tensor([[[False, True, True, True]]])
    found = token_labels(maps, labels, inside, (1, 4), (0.25, 0.6), as_published=False)
    assert found.tolist() == [[[255, 0, 255, 1]]]


def test_losses_begin_when_they_are_told_to():
    model, loss = network(), objective(contrast_from=1, decoder_from=2)
    loss.bind(model)
    names = [set(loss(model, batch())[1]) for _ in range(3)]
    assert names[0] == {"class", "auxiliary"} and names[1] - names[0] == {"patches", "tokens"}
    assert names[2] - names[1] == {"pixels", "energy"}


def test_a_resumed_run_knows_its_step():
    loss = objective()
    loss(network(), batch())
    again = objective()
    again.load_state_dict(loss.state_dict())
    assert int(again.steps) == 1


def test_the_loss_is_the_weighted_sum_of_its_parts():
    model, loss = network(), objective(decoder_from=0)
    torch.manual_seed(0)
    total, parts = loss(model, batch())
    weights = {"class": 1, "auxiliary": 1, "patches": 0.2, "tokens": 0.5, "pixels": 0.1, "energy": 0.05e-7}
    assert total.item() == pytest.approx(sum(weights[name] * part.item() for name, part in parts.items()), rel=1e-6)
    total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def test_counted_together_is_the_mean_over_groups():
    model, images = network(), batch(images=3)
    model.eval()

    def patches(chosen, **options):
        packed, labels = (part[chosen] for part in images)
        output = model(packed[:, :3])
        maps = torch.rand(3, 3, 48, 48, generator=torch.Generator().manual_seed(1))[chosen]
        return objective(**options).patches(output.features, maps, labels, packed[:, 9] > 0.5)

    alone = [patches(slice(k, k + 1)) for k in range(3)]
    torch.testing.assert_close(patches(slice(0, 3), counted_together=1), torch.stack(alone).mean())


def test_decoders_labels_come_from_the_auxiliary_maps_until_told():
    model, packed = network(), batch()
    torch.nn.init.zeros_(model.classifier.weight)  # its maps know nothing
    taught = {}
    for until in (0, 5):
        loss = objective(decoder_from=0, auxiliary_until=until)
        torch.manual_seed(0)
        taught[until] = loss(model, packed)[1]["pixels"].item()
    assert taught[0] != taught[5]


def test_likenesses_beyond_float32_stay_finite():
    projected, targets = torch.full((3, 1, 4), 10.0), torch.full((2, 1, 4), 10.0)
    flags = torch.tensor([[1.0, 1.0, 0.0]])
    assert class_token_contrast(projected, targets, flags, 0.5, else_term=True).isfinite()


def test_a_flat_image_of_one_colour_has_an_energy_by_hand():
    """Far wider Gaussians than the image: f is the sum over all pixels, up to the lattice's scale."""
    images, scores = torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 4, 4)
    labels, inside = torch.full((1, 4, 4), 255), torch.ones(1, 4, 4, dtype=torch.bool)
    energies = [bilateral_energy(images, scores, labels, part) for part in (inside, inside & False)]
    assert energies[1] == 0 and energies[0] < 0
    with pytest.raises(DataError, match="must be of one size"):
        bilateral_energy(images, scores[..., :3], labels, inside)
    with pytest.raises(ParameterError, match="sxy=0"):
        bilateral_energy(images, scores, labels, inside, sxy=0.0)


def test_fusions_of_mirrored_views_by_hand():
    """Two scales of one pixel and two classes, each view followed by its mirror image."""
    logits = [torch.tensor(pair).view(2, 1, 1) for pair in ((1.0, 0.0), (2.0, 0.0), (0.0, 4.0), (0.0, 1.0))]
    summed = torch.tensor([3.0, 5.0]).softmax(0)
    torch.testing.assert_close(fuse_scales(logits, (1, 1), "sum_then_largest").flatten(), summed)
    torch.testing.assert_close(
        fuse_scales(logits, (1, 1), "largest_then_sum").flatten(), torch.tensor([2.0, 4.0]).softmax(0)
    )
    with pytest.raises(DataError, match="flip: true"):
        fuse_scales(logits[:1], (1, 1), "sum_then_largest")
    with pytest.raises(DataError, match="no class scores"):
        fuse_scales([], (1, 1), "largest_then_sum")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"thresholds": [0.6, 0.3]}, "0 <= low <= high <= 1"),
        ({"temperature": 0}, "temperature=0 must be above 0"),
        ({"crop_size": 15}, "crop_size=15 even"),
        ({"scales": []}, "must be above 0"),
        ({"counted_together": 0}, "counted_together=0"),
    ],
)
def test_numbers_out_of_range(options, problem):
    with pytest.raises(ParameterError, match=problem):
        objective(**options)


def test_another_network_is_refused():
    with pytest.raises(ParameterError, match="ToCo; the network is a ResNet38Classifier"):
        objective().bind(create_model("resnet38_tiny", 3))
