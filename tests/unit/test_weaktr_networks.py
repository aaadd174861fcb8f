"""WeakTr's networks beyond what is recorded: options, what each loss trains, starting weights, void."""

import pytest
import torch

from seedbed.errors import ParameterError, UserError
from seedbed.explain import explain
from seedbed.models import create_model, load_weights
from seedbed.train.objectives import build_objective
from seedbed.train.windows import Windows, over_windows

torch.set_num_threads(1)
SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3, "drop_path_rate": 0.0}
FUSION = {"reduction": 2, "feature_reduction": 2}


def network(classes=3, **options):
    torch.manual_seed(0)
    return create_model("weaktr_small", classes, **{**SMALL, **FUSION, **options}).eval()


def images(height=32, width=40):
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def test_the_third_loss_trains_the_fusion_alone():
    model = network()
    model(images()).fine_logits.sum().backward()
    touched = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert touched == {name for name, _ in model.named_parameters() if name.startswith("adaptive_attention_fusion.")}


def test_an_absent_class_costs_log_2_at_least():
    labels = torch.zeros(2, 3)
    _, parts = build_objective("weaktr")(network(), (images(), labels))
    assert parts["fine"] >= torch.log(torch.tensor(2.0))


def test_groups_of_channels():
    """Interleaved as published, or each head's own."""
    peaks = [torch.arange(24.0)[None]] * 2
    as_published = network().adaptive_attention_fusion.features(peaks)
    own = network(channel_groups="heads").adaptive_attention_fusion.features(peaks)
    assert as_published.shape == own.shape == (1, 6, 8)
    assert as_published[0, 2].tolist() == list(range(1, 24, 3))  # head 1, layer 0
    assert own[0, 2].tolist() == list(range(8, 16))


def test_spare_outputs_are_computed_and_not_given():
    whole, spared = network(5), network(3, spare_classes=[1, 4])
    spared.load_state_dict(whole.state_dict())
    every, given = whole(images()), spared(images())
    for name in ("class_logits", "patch_logits", "fine_logits", "patch_maps", "cross_maps", "coarse_maps", "fine_maps"):
        assert torch.equal(getattr(given, name), getattr(every, name)[:, [0, 2, 3]])
    targets = torch.tensor([[0, 1, 2]] * 2)
    expected = explain(whole, images(), torch.tensor([[0, 2, 3]] * 2), "weaktr")
    torch.testing.assert_close(explain(spared, images(), targets, "weaktr"), expected)
    with pytest.raises(ParameterError, match="spare_classes"):
        network(3, spare_classes=[5])


def test_a_fusion_must_have_something_left():
    with pytest.raises(ParameterError, match="nothing is left"):
        network(reduction=8)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_published_checkpoint_fits(prefix):
    source, model = network(), network()
    torch.manual_seed(3)
    state = {prefix + name: torch.randn_like(tensor) for name, tensor in source.state_dict().items()}
    load_weights(model, {"model": state, "epoch": 3}, layout="checkpoint")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[prefix + name])


def test_it_starts_from_deit():
    deit = create_model("vit_tiny_patch8_96", 7, img_size=40, embed_dim=24, depth=2, num_heads=3, mlp_ratio=4.0)
    model = network()
    fusion = {n: t.clone() for n, t in model.state_dict().items() if n.startswith("adaptive_attention_fusion.")}
    found = load_weights(model, deit.state_dict(), layout="weaktr_deit")
    assert torch.equal(model.cls_token, deit.cls_token.expand(1, 3, 24))
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in fusion.items())
    assert {name.partition(".")[0] for name in found.fresh} == {"head", "adaptive_attention_fusion"}


def test_mctformers_layout_is_for_weaktr_another():
    with pytest.raises(ParameterError, match="fills a WeakTr"):
        load_weights(create_model("mctformerv2_small", 3, **SMALL), {"a": torch.zeros(1)}, layout="weaktr_deit")


TINY = {"img_size": 32, "embed_dim": 24, "depth": 2, "num_heads": 3}


def segmenter(classes=4, **options):
    torch.manual_seed(0)
    return create_model("weaktr_segmenter_tiny", classes, **{**TINY, "decoder_heads": 3, **options}).eval()


@pytest.mark.parametrize("size", [(32, 32), (29, 43), (64, 24)])
def test_scores_have_the_size_of_the_images(size):
    assert segmenter()(images(*size)).shape == (2, 4, *size)


def test_spare_outputs_of_the_segmenter():
    whole, spared = segmenter(6), segmenter(4, spare_classes=[0, 3])
    spared.load_state_dict(whole.state_dict())
    assert torch.equal(spared(images()), whole(images())[:, [0, 2, 3, 5]])


def test_the_encoder_starts_from_another_grid_bilinearly():
    source, model = create_model("vit_tiny_patch8_96", 7, **{**TINY, "img_size": 48}), segmenter()
    found = load_weights(model.encoder, source.state_dict(), layout="weaktr_encoder")
    patches = source.pos_embed[:, 1:].mT.unflatten(2, (6, 6))
    expected = torch.nn.functional.interpolate(patches, size=(4, 4), mode="bilinear").flatten(2).mT
    torch.testing.assert_close(model.encoder.pos_embed[:, 1:], expected)
    assert torch.equal(model.encoder.pos_embed[:, :1], source.pos_embed[:, :1])
    assert found.dropped == ["head.bias", "head.weight"]


@pytest.mark.parametrize("backbone", ["vit_small_patch16_384", "eva02_small_patch14_336", "vit_small_patch14_dinov2"])
def test_backbones_of_timms(backbone):
    """Each takes weights under timm's own names, of another size, and images of any shape."""
    small = {"embed_dim": 24, "depth": 2, "num_heads": 3}
    source = create_model(backbone, 5, img_size=56, patch_size=14, **small)
    model = create_model("weaktr_segmenter", 4, backbone=backbone, img_size=64, decoder_heads=3, **small).eval()
    load_weights(model.encoder, source.state_dict(), layout="weaktr_encoder")
    assert model(images(48, 80)).shape == (2, 4, 48, 80)


def test_a_cnn_is_no_backbone():
    with pytest.raises((ParameterError, UserError), match="resnet18"):
        create_model("weaktr_segmenter", 4, backbone="resnet18")


def test_cells_fill_the_labels():
    with pytest.raises(ParameterError, match="cells of 10"):
        build_objective("clipped_cross_entropy", cell=10).costs(
            torch.zeros(1, 2, 24, 24), torch.zeros(1, 24, 24).long()
        )


def test_the_mean_of_labelled_pixels():
    """Half of the pixels are void: the published mean is half as large."""
    logits, labels = torch.randn(1, 3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.long)
    labels[:, 4:] = 255
    options = {"start": 0.0, "cell": 4}
    every = build_objective("clipped_cross_entropy", **options).costs(logits, labels)
    labelled = build_objective("clipped_cross_entropy", mean="labelled", **options).costs(logits, labels)
    assert labelled.mean.item() == pytest.approx(2 * every.mean.item(), rel=1e-6)


@pytest.mark.parametrize("size", [(32, 32), (50, 71), (20, 45)])
def test_windows_of_a_network_that_looks_at_single_pixels(size):
    """It gives the same by windows as on the whole image, or on the enlarged one."""
    picture = torch.randn(1, 3, *size)
    found = over_windows(lambda x: x[:, :2] * 3, Windows(32, 20))(picture)
    shorter = min(size)
    if shorter < 32:
        enlarged = tuple(side * 32 // shorter for side in size)
        picture = torch.nn.functional.interpolate(picture, size=enlarged, mode="bilinear", align_corners=False)
    torch.testing.assert_close(found, picture[:, :2] * 3)
