"""AFA's network, its layouts, the labels that it teaches itself, and two steps of its training, by hand."""

import pytest
import torch
import torch.nn.functional as F
from mit_names import mmseg_tensors
from torch import Tensor
from training_toys import trained_on_pictures

from seedbed.data.index import write_index
from seedbed.data.shapes import make_shapes
from seedbed.errors import DataError, ImageSizeError, ParameterError
from seedbed.explain import explain
from seedbed.models import create_model, load_weights, model_entry
from seedbed.models.afa import weighted_products
from seedbed.refine.fusion import fuse_scales
from seedbed.train.afa_labels import multi_scale_maps, propagated_labels
from seedbed.train.objectives import build_objective

torch.set_num_threads(1)
SMALL = {"scales": [1.0, 0.5], "radius": 2, "par_iterations": 1, "par_dilations": [1]}
SHAPE = {"embed_dims": (4, 6, 8, 12), "num_heads": (1, 1, 2, 3), "mlp_ratio": 2.0, "decoder_width": 8}


def network(name="afa_tiny", seed=0, **options):
    torch.manual_seed(seed)
    return create_model(name, 3, **options)


def objective(**options):
    return build_objective("afa", **{**SMALL, **options})


def batch(side=48):
    torch.manual_seed(0)
    images = torch.randn(2, 3, side, side)
    images[0, :, :8] = 0  # padding above
    return images, torch.tensor([[1.0, 0, 1], [0, 1, 0]])


def test_a_network_that_predicts_masks():
    model, images = network().eval(), torch.randn(2, 3, 40, 56)
    output = model(images)
    assert output.logits.shape == (2, 3) and output.maps.shape == (2, 3, 5, 7)
    assert output.scores.shape == (2, 4, 10, 14) and output.affinity.shape == (2, 35, 35)
    last, _ = model.last(model.early(images)[-1])
    torch.testing.assert_close(output.logits, model.classifier(last.amax((2, 3), keepdim=True)).flatten(1))
    torch.testing.assert_close(last, model.encoder.forward_features(images))
    torch.testing.assert_close(model.logits(images), output.scores)
    assert model.pixel_scores(images).shape == (2, 4, 40, 56) and model_entry("afa_tiny").predicts_masks
    assert not output.maps.requires_grad and output.scores.requires_grad


def test_affinities_are_a_convolution_over_heads():
    """Of the products of queries and keys of both blocks, unscaled, each with its transpose."""
    model, images = network().eval(), torch.randn(2, 3, 24, 32)
    stage, products = model.encoder.stages[-1], []
    x = stage.downsample(model.early(images)[-1])
    grid, tokens = x.shape[1:3], x.flatten(1, 2)
    for block in stage.blocks:
        seen = block.norm1(tokens)
        both = (block.attn.q(seen), block.attn.kv(seen)[..., :64])
        q, k = (part.unflatten(2, (4, 16)).transpose(1, 2) for part in both)
        products.append(q @ k.mT)  # [B, heads, N, N]
        tokens = block(tokens, grid)
    heads = torch.cat(products, dim=1)
    expected = model.attn_proj(heads + heads.mT).sigmoid()[:, 0]
    torch.testing.assert_close(model(images).affinity, expected)
    one = weighted_products(stage.blocks[0], x.flatten(1, 2), torch.tensor([0.0, 0.0, 1.0, 0.0]))
    torch.testing.assert_close(one, products[0][:, 2])


def test_affinities_of_the_last_blocks_alone():
    model = network(depths=(1, 1, 1, 3)).eval()
    assert model.attn_proj.weight.shape == (1, 8, 1, 1)
    model(torch.randn(1, 3, 32, 32)).affinity.sum().backward()
    queries = [block.attn.q.bias.grad is not None for block in model.encoder.stages[-1].blocks]
    assert queries == [True, True, True]  # the first block's tokens reach the others'
    assert model.encoder.stages[-1].norm.weight.grad is None


def test_the_published_sizes():
    with torch.device("meta"):
        model = create_model("afa_mit_b1", 3, train_norms=False)
    assert sum(p.numel() for p in model.encoder.parameters()) == 13_151_424  # SegFormer's B1, without its head
    patches = (model.encoder.patch_embed, *(stage.downsample for stage in model.encoder.stages[1:]))
    assert [each.proj.stride for each in patches] == [(4, 4), (2, 2), (2, 2), (1, 1)]
    norms = {name: p.requires_grad for name, p in model.named_parameters() if "norm" in name}
    assert {name for name, learns in norms.items() if learns} == {"decoder.norm.weight", "decoder.norm.bias"}
    assert all(p.requires_grad for name, p in model.named_parameters() if name not in norms)
    first, second = model.encoder.stages[0].blocks
    assert (first.norm1.eps, first.attn.norm.eps, model.encoder.patch_embed.norm.eps) == (1e-6, 1e-5, 1e-5)
    assert first.attn.kv.bias is not None and isinstance(first.drop_path1, torch.nn.Identity)
    assert second.drop_path1.drop_prob == pytest.approx(0.1 / 7)


def test_numbers_that_do_not_fit_a_network():
    with pytest.raises(ParameterError, match="affinity_blocks=3: the last stage has 2"):
        network(affinity_blocks=3)
    with pytest.raises(ParameterError, match="reduces no keys"):
        network(sr_ratios=(4, 2, 1, 2))
    with pytest.raises(ImageSizeError, match="a side needs 13 pixels"):
        network()(torch.randn(1, 3, 12, 40))
    network()(torch.randn(1, 3, 13, 40))


def mit_name(name: str) -> str:
    """SegFormer's name of a tensor of the encoder."""
    module, _, rest = name.removeprefix("stages.").partition(".")
    if module == "patch_embed":
        return f"patch_embed1.{rest}"
    part, _, rest = rest.partition(".")
    stage = int(module) + 1
    rest = rest.replace("dwconv", "dwconv.dwconv")
    return {"downsample": "patch_embed", "blocks": "block", "norm": "norm"}[part] + f"{stage}.{rest}"


def published(model) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Random tensors for the encoder, under our names and under SegFormer's."""
    torch.manual_seed(7)
    ours = {name: torch.randn_like(tensor) for name, tensor in model.encoder.state_dict().items()}
    return ours, {mit_name(name): tensor for name, tensor in ours.items()}


@pytest.mark.parametrize("layout", ["mit", "mit_mmseg"])
def test_every_tensor_of_the_encoder(layout):
    model = network("afa_mit_b1", **SHAPE)
    ours, given = published(model)
    assert {"patch_embed1.proj.weight", "block1.0.attn.kv.weight", "block1.0.attn.sr.weight", "block1.0.attn.norm.bias",
            "block4.1.mlp.dwconv.dwconv.bias", "norm4.weight", "patch_embed4.norm.weight"} <= set(given)  # fmt: skip
    head = {"head.weight": torch.ones(1000, 12), "head.bias": torch.ones(1000)}
    named = {**given, **head} if layout == "mit" else mmseg_tensors(ours)
    found = load_weights(model.encoder, named, layout=layout)
    assert not found.fresh and found.dropped == (["head.bias", "head.weight"] if layout == "mit" else [])
    assert all(torch.equal(tensor, ours[name]) for name, tensor in model.encoder.state_dict().items())
    short = {name: tensor for name, tensor in named.items() if "1.0" not in name}
    with pytest.raises(DataError, match="missing"):
        load_weights(model.encoder, short, layout=layout)
    with pytest.raises(ParameterError, match=f"Layout '{layout}' fills AFA's encoder"):
        load_weights(model, named, layout=layout)


def test_a_published_checkpoint():
    """Under the names that its authors' log prints."""
    model = network("afa_mit_b1", **SHAPE)
    ours, encoder = published(model)
    heads = {name: torch.randn(tensor.shape) for name, tensor in model.state_dict().items() if name[:8] != "encoder."}
    theirs = {"fuse.": "linear_fuse.conv.", "norm.": "linear_fuse.bn.", "predict.": "linear_pred."}
    theirs |= {f"levels.{k}.": f"linear_c{k + 1}.proj." for k in range(4)}
    given = {f"module.encoder.{name}": tensor for name, tensor in encoder.items()}
    for name, tensor in heads.items():
        for part, published_part in theirs.items():
            name = name.replace(f"decoder.{part}", f"decoder.{published_part}")
        given[f"module.{name}"] = tensor
    told = ("linear_c4.proj.weight", "linear_fuse.conv.weight", "linear_fuse.bn.running_var", "linear_pred.bias")
    assert {f"module.decoder.{name}" for name in told} | {"module.attn_proj.bias"} <= set(given)
    found = load_weights(model, given, layout="afa")
    assert not found.fresh and not found.dropped
    state = model.state_dict()
    assert all(torch.equal(state[f"encoder.{name}"], tensor) for name, tensor in ours.items())
    assert torch.equal(state["decoder.levels.3.weight"], heads["decoder.levels.3.weight"])
    with pytest.raises(ParameterError, match="fills an AFA"):
        load_weights(model.encoder, given, layout="afa")


def test_stages_are_fused_from_the_last_to_the_first():
    decoder = network().decoder.eval()
    with torch.no_grad():
        decoder.fuse.weight.zero_()
        decoder.fuse.weight[:, :32] = 1  # the last stage's channels come first
    stages = [torch.randn(1, width, 4, 4) for width in (16, 32, 48, 64)]
    found = decoder(stages)
    torch.testing.assert_close(decoder([*(torch.randn_like(x) for x in stages[:3]), stages[3]]), found)
    assert not torch.allclose(decoder([*stages[:3], torch.randn_like(stages[3])]), found)


def test_class_activation_maps():
    model, images = network().eval(), torch.randn(2, 3, 40, 56)
    maps = explain(model, images, torch.tensor([[2, 0], [1, -1]]), "cam")
    expected = model(images).maps
    torch.testing.assert_close(maps[0], expected[0, [2, 0]])
    torch.testing.assert_close(maps[1, 0], expected[1, 1])
    assert not maps[1, 1].any()


def test_maps_of_several_scales_and_affinities_of_the_largest():
    model, (images, _) = network().eval(), batch()
    maps, affinity, grid = multi_scale_maps(model, images, (1.0, 0.5))
    assert maps.shape == (2, 3, 48, 48) and grid == (6, 6)
    torch.testing.assert_close(affinity, model(images).affinity)
    both = [F.interpolate(model(x, part="maps"), (48, 48), mode="bilinear") for x in (images, images.flip(-1))]
    small = F.interpolate(images, (24, 24), mode="bilinear")
    both += [F.interpolate(model(x, part="maps"), (48, 48), mode="bilinear") for x in (small, small.flip(-1))]
    total = sum(torch.maximum(a, b.flip(-1)).relu() for a, b in (both[:2], both[2:]))
    low = total - total.amin((2, 3), keepdim=True)
    torch.testing.assert_close(maps, low / (low.amax((2, 3), keepdim=True) + 1e-5))
    _, _, larger = multi_scale_maps(model, images, (1.0, 1.5))
    assert larger == (9, 9)


def test_maps_walk_to_what_belongs_together():
    """Of four places in two rows, the left ones have a map; right ones have it where they belong together."""
    images, inside = torch.full((1, 3, 8, 8), 0.5), torch.ones(1, 8, 8, dtype=torch.bool)
    maps = torch.zeros(1, 2, 8, 8)
    maps[0, 0, :, :4] = 1.0
    apart, together = torch.eye(4)[None], torch.eye(4)[None]
    together[0, [0, 1, 2, 3], [1, 0, 3, 2]] = 3.0

    def columns(matrix, radius):
        given = (images, maps, matrix, (2, 2), torch.tensor([[1, 0]]), inside, (0.3, 0.6))
        found = propagated_labels(*given, radius=radius, iterations=0)
        assert (found == found[:, :1]).all()
        return found[0, 0].tolist()

    assert columns(apart, 1) == [1, 1, 1, 1, 255, 0, 0, 0]
    assert columns(together, 0) == columns(apart, 1)  # too far apart
    # Each place takes nine parts of ten from the other: they change sides.
    assert columns(together, 1) == [0, 0, 0, 255, 1, 1, 1, 1]
    inside[0, :, 6:] = False
    shown = columns(apart, 1)
    assert shown[6:] == [255, 255] and shown[:3] == [1, 1, 1] and 255 in shown[3:5] and shown[5] == 0


def test_the_loss_by_its_parts():
    model, given = network().eval(), batch()
    loss = objective(decoder_from=1, propagated_from=2, energy_weight=2.0)
    total, parts = loss(model, given)
    assert set(parts) == {"class"} and torch.equal(total.detach(), parts["class"])
    for step in (1, 2):
        total, parts = loss(model, given)
        weighted = parts["class"] + 0.1 * parts["pixels"] + 0.1 * parts["affinity"] + 2e-7 * parts["energy"]
        torch.testing.assert_close(total.detach(), weighted)
        plain, taught = loss.labels(model, *given, propagated=step == 2)
        assert (plain[0, :8] == 255).all() and (taught[0, :8] == 255).all()
        assert torch.equal(plain, taught) == (step == 1)
        assert set(plain[1].unique().tolist()) <= {0, 2, 255}
    assert int(loss.steps) == 3


def test_counted_in_groups():
    model, (images, labels) = network().eval(), batch()
    both = objective(decoder_from=0, counted_together=1)(model, (images, labels))[1]
    single = [objective(decoder_from=0)(model, (images[k : k + 1], labels[k : k + 1]))[1] for k in (0, 1)]
    for name in ("pixels", "affinity", "energy"):
        torch.testing.assert_close(both[name], (single[0][name] + single[1][name]) / 2)


def test_what_each_loss_teaches():
    model, given = network(), batch()
    grew = {}
    for name in ("pixel", "affinity"):
        weights = {f"{each}_weight": float(each == name) for each in ("pixel", "affinity", "energy")}
        model.zero_grad()
        objective(decoder_from=0, **weights)(model, given)[0].backward()
        grew[name] = {key for key, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert "decoder.predict.weight" in grew["pixel"] and "attn_proj.weight" not in grew["pixel"]
    assert "attn_proj.weight" in grew["affinity"] and "decoder.predict.weight" not in grew["affinity"]
    assert "classifier.weight" in grew["pixel"] & grew["affinity"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thresholds": [0.6, 0.5]}, "thresholds"),
        ({"scales": []}, "scales"),
        ({"radius": -1}, "radius=-1"),
        ({"counted_together": 0}, "counted_together=0"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ParameterError, match=message):
        objective(**options)


def test_another_network_is_refused():
    with pytest.raises(ParameterError, match="the maps of a AFA; the network is a SingleStage"):
        objective().bind(create_model("resnet38_single_stage_tiny", 3))


def test_two_steps_of_each_phase(tmp_path):
    pictures = make_shapes(tmp_path, seed=1, size=48, train=4, trainaug=8, val=0, single_object=False)
    write_index(pictures)
    classes = len(pictures.classes)
    torch.manual_seed(0)
    model = create_model("afa_tiny", classes)
    loss = objective(decoder_from=3, propagated_from=5)
    trained, history, before = trained_on_pictures(pictures, model, loss, tmp_path / "state")
    moved = {name for name, tensor in trained.named_parameters() if not torch.equal(tensor, before[name])}
    assert moved == set(before)
    assert all(torch.isfinite(torch.tensor(row["loss"])) for row in history.rows)
    assert "pixels" not in history.rows[2] and {"pixels", "affinity", "energy"} <= set(history.rows[5])


def test_the_largest_of_the_scales_on_the_grid_of_the_first():
    plain, turned = torch.tensor([[[0.0, 2.0]], [[1.0, 1.0]]]), torch.tensor([[[4.0, 0.0]], [[1.0, 1.0]]])
    coarse = torch.full((2, 1, 1), 1.5)
    flips = [False, True, False, True]
    found = fuse_scales([plain, turned, coarse, coarse], (1, 2), "first_grid_largest", mirrored=flips)
    # Means of mirrored views: 0 and 3 for the first class, 1 for the second; the second scale says 1.5 everywhere.
    expected = torch.tensor([[[1.5, 3.0]], [[1.5, 1.5]]]).softmax(0)
    torch.testing.assert_close(found, expected)
    with pytest.raises(DataError, match="flip: true"):
        fuse_scales([plain], (1, 2), "first_grid_largest", mirrored=[False])
