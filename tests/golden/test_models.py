"""The networks against arrays recorded from the authors' published code, on narrow networks with random weights."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from model_recordings import assert_close, conformer, mctformer_plus, mctformer_v2, psa_classifier, recorded, weights
from torch import nn

from seedbed.models import create_model, load_weights
from seedbed.models.affinitynet_hybrid import AffinityHead
from seedbed.models.conformer_maps import conformer_maps
from seedbed.models.mctformer_maps import mctformer_maps
from seedbed.models.pair_affinity import dense_affinity_matrix, pair_affinities
from seedbed.models.resnet38 import BottleneckBlock, WideBlock
from seedbed.train.objectives import build_objective

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("same", lambda: WideBlock(6, 6, 6)),
        ("stride2", lambda: WideBlock(4, 5, 8, stride=2)),
        ("b5", lambda: WideBlock(6, 6, 10, first_dilation=1, dilation=2)),
        ("b5_1", lambda: WideBlock(10, 6, 10, first_dilation=2, dilation=2)),
        ("b6", lambda: BottleneckBlock(8, 16, dilation=4, dropout=0.3)),
        ("b7", lambda: BottleneckBlock(8, 12, dilation=4, dropout=0.5)),
    ],
)
def test_resnet38_blocks(name, block):
    z, block = recorded("models_resnet38_blocks"), block()
    block.load_state_dict(weights(z, f"{name}/w/"))
    output, pre_activation = block.eval()(torch.from_numpy(z[f"{name}/x"]))
    assert_close(output, z[f"{name}/y"])
    assert_close(pre_activation, z[f"{name}/x_bn_relu"])


def test_resnet38_classifier():
    z, model = psa_classifier()
    images = torch.from_numpy(z["input_normalised"])[None]
    for name, tap in model.taps(images)._asdict().items():
        assert_close(tap[0], z[name])
    assert_close(model(images)[0], z["logits"])
    assert_close(model.cam(images)[0], z["cam_relu"])


def test_affinitynet():
    z = recorded("models_affinitynet")
    model = create_model("affinitynet_resnet38", width_divisor=int(z["divisor"]))
    load_weights(model, weights(z))
    images = torch.from_numpy(z["input_padded"])[None]
    for name, tap in zip(("f8_3", "f8_4", "f8_5"), model.eval().taps(images), strict=True):
        assert_close(F.elu(model.get_submodule(name)(tap))[0], z[name])
    output = model(images)
    assert_close(output.features[0], z["f9"])
    assert_close(output.pairs[0], z["aff"])
    batch = model(torch.cat([images, images.flip(-1)])).pairs
    assert_close(batch, recorded("refine_walk")["psa/aff_batch2"])


def psa_affinity_loss(pairs: torch.Tensor, z: dict[str, np.ndarray], step: int) -> torch.Tensor:
    def term(name: str, values: torch.Tensor) -> torch.Tensor:
        mask = torch.from_numpy(z[f"step{step}/{name}"]).float()
        return (mask * values).sum() / (mask.sum() + 1e-5)

    attract, repel = -torch.log(pairs + 1e-5), -torch.log(1 + 1e-5 - pairs)
    return term("bg", attract) / 4 + term("fg", attract) / 4 + term("neg", repel) / 2


def test_affinitynet_training_step():
    """Two losses, with one step of SGD between them: frozen layers, parameter groups and gradients agree."""
    z = recorded("models_affinitynet_training")
    model = create_model("affinitynet_resnet38", width_divisor=32, dropout=(0, 0))
    load_weights(model, weights(z))
    model.train()
    groups = [{**g, "lr": float(z["lr"]) * g["lr_scale"]} for g in model.parameter_groups(weight_decay=5e-4)]
    optimiser = torch.optim.SGD(groups, lr=1, momentum=float(z["sgd_momentum_effective"]))
    losses = [psa_affinity_loss(model(torch.from_numpy(z["step0/input"])).pairs, z, 0)]
    losses[0].backward()
    optimiser.step()
    losses.append(psa_affinity_loss(model(torch.from_numpy(z["step1/input"])).pairs, z, 1))
    np.testing.assert_allclose([x.item() for x in losses], [z["step0/loss"], z["step1/loss"]], rtol=2e-5)


def test_hybrid_affinity_head():
    z = recorded("models_affinity_hybrid")
    width, width_in = z["w_feat_conv"].shape[:2]
    head = AffinityHead(width_in, width, norm_groups=int(z["gn_groups"]))
    named = {
        "feature_conv.weight": "w_feat_conv",
        "feature_norm.weight": "gn_weight",
        "feature_norm.bias": "gn_bias",
        "affinity_conv.weight": "w_affinity_conv",
    }
    load_weights(head, {ours: torch.from_numpy(z[theirs]) for ours, theirs in named.items()})
    features = head(torch.from_numpy(z["feat"]))
    pairs = pair_affinities(features)
    assert_close(pairs, z["pairs"])
    assert_close(dense_affinity_matrix(pairs[0], *features.shape[-2:]), z["matrix"])


@pytest.mark.parametrize("network", [mctformer_v2, mctformer_plus])
@pytest.mark.parametrize("case", range(4))
def test_mctformer(case, network):
    z, model = network()
    images = torch.from_numpy(z[f"eval{case}/x"])
    output, maps = model(images), mctformer_maps(model, images, int(z["n_layers"]))
    for name, ours in {
        "cls_logits": output.class_logits,
        "patch_logits": output.patch_logits,
        "mct_attention": maps.class_attention,
        "patchcam": maps.patch_cam,
        "cams_fused": maps.fused,
        "cams_refined": maps.refined,
    }.items():
        assert_close(ours[0], z[f"eval{case}/{name}"])
    assert_close(output.logits[0], z[f"eval{case}/logits"])  # V2's are those of its class tokens


@pytest.mark.parametrize("network", [mctformer_v2, mctformer_plus])
@pytest.mark.parametrize("case", range(4))
def test_mctformer_inside(case, network):
    z, model = network()
    images = torch.from_numpy(z[f"eval{case}/x"])
    assert images.shape[-2:] == tuple(z[f"eval{case}/size"])
    class_tokens, patch_tokens = model.tokens(images)
    positions = model.positions(tuple(images.shape[-2:]))[0]
    # V2's table begins with its class tokens; the other one has tables of their own.
    assert_close(positions if network is mctformer_v2 else positions[model.num_classes :], z[f"eval{case}/pos_embed"])
    assert_close(class_tokens[0], z[f"eval{case}/cls_tokens"])
    assert_close(patch_tokens[0].flatten(1).T, z[f"eval{case}/patch_tokens"])
    assert_close(torch.cat(model(images, attention="mean").attention), z[f"eval{case}/attn_head_mean"])
    assert_close(mctformer_maps(model, images).affinity[0], z[f"eval{case}/patch_attn"])


def test_mctformer_heads():
    z, model = mctformer_v2()
    heads = model(torch.from_numpy(z["eval0/x"]), attention="heads").attention
    assert_close(heads[0][0], z["eval0/attn_layer0_heads"])


def test_mctformer_training():
    z, model = mctformer_v2()
    output, target = model(torch.from_numpy(z["train/x"])), torch.from_numpy(z["train/target"])
    assert_close(output.class_logits, z["train/cls_logits"])
    assert_close(output.patch_logits, z["train/patch_logits"])
    losses = [F.multilabel_soft_margin_loss(x, target) for x in (output.class_logits, output.patch_logits)]
    np.testing.assert_allclose([x.item() for x in losses], [z["train/loss_cls"], z["train/loss_patch"]], rtol=2e-5)
    sum(losses).backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == set(z["train/no_grad_params"])
    norms = [0.0 if name in without else p.grad.norm().item() for name, p in model.named_parameters()]
    np.testing.assert_allclose(norms, z["train/grad_norms"], rtol=1e-4, atol=1e-4)


def test_mctformer_plus_training():
    """Without its contrastive loss; the class tokens that it compares are those after each block."""
    z, model = mctformer_plus()
    images = torch.from_numpy(z["train/x"])
    output = model(images)
    assert_close(output.class_logits, z["train/cls_logits"])
    assert_close(output.patch_logits, z["train/patch_logits"])
    blocks = taps_of(model, images, *(f"blocks.{k}" for k in range(len(model.blocks)))).values()
    assert_close(torch.stack([tokens[:, : model.num_classes] for tokens in blocks]), z["train/cls_embeddings"])
    loss, parts = build_objective("mctformer")(model, (images, torch.from_numpy(z["train/target"])))
    recorded_parts = [z["train/loss_cls"], z["train/loss_patch"]]
    np.testing.assert_allclose([parts["class"].item(), parts["patch"].item()], recorded_parts, rtol=2e-5)
    assert loss.item() == pytest.approx(float(sum(recorded_parts)), rel=2e-5)


def taps_of(model: nn.Module, images: torch.Tensor, *names: str) -> dict[str, torch.Tensor]:
    """Outputs of the named modules in one forward pass."""
    kept = {}
    hooks = [
        model.get_submodule(name).register_forward_hook(lambda *args, name=name: kept.update({name: args[2]}))
        for name in names
    ]
    model(images)
    for hook in hooks:
        hook.remove()
    return kept


@pytest.mark.parametrize("case", ["s0", "s1"])
def test_conformer(case):
    z, model = conformer()
    images = torch.from_numpy(z[f"{case}/x"])
    output, maps = model(images, attention="heads"), conformer_maps(model, images)
    kept = taps_of(model, images, "trans_1", "conv_trans_2")
    features, tokens = model.features(images)
    ours = {
        "conv_logits": output.conv_logits[0],
        "trans_logits": output.trans_logits[0],
        "cam_convcam": maps.conv_cam[0],
        "cam_transcam": maps.trans_cam[0],
        "cam_attnagg": maps.aggregated_cam[0],
        "cam_clsattn": maps.class_attention_cam[0],
        "attn_head_mean": torch.stack([a[0].mean(dim=0) for a in output.attention]),
        "attn_first_heads": output.attention[0][0],
        "attn_last_heads": output.attention[-1][0],
        "stem": model.stem(images)[0],
        "tokens_1": kept["trans_1"][0],
        "conv_trans_2_x": kept["conv_trans_2"][0][0],
        "conv_trans_2_tokens": kept["conv_trans_2"][1][0],
        "last_x": features[0],
        "last_tokens": tokens[0],
    }
    of_case = {name.removeprefix(f"{case}/") for name in z if name.startswith(f"{case}/")} - {"x"}
    assert of_case <= set(ours) and len(of_case) >= 12
    for name in of_case:
        assert_close(ours[name], z[f"{case}/{name}"])


def test_conformer_training():
    """With batch statistics, and the loss over the classes without background."""
    z, model = conformer()
    output, label = model.train()(torch.from_numpy(z["train/x"])), torch.from_numpy(z["train/label"])
    assert_close(output.conv_logits, z["train/conv_logits"])
    assert_close(output.trans_logits, z["train/trans_logits"])
    loss = F.multilabel_soft_margin_loss((output.conv_logits + output.trans_logits)[:, 1:], label[:, 1:])
    assert loss.item() == pytest.approx(float(z["train/loss"]), rel=2e-5)
    loss.backward()
    parameters = dict(model.named_parameters())
    parts = (recorded(f"models_conformer_weights_{part}") for part in ("early", "late"))
    order = [name for part in parts for name in weights(part) if name in parameters]  # the heads come first
    norms = [parameters[name].grad.norm().item() for name in order]
    np.testing.assert_allclose(norms, z["train/grad_norms"], rtol=1e-3, atol=1e-4)


def test_deeplab_v1_of_mctformer():
    z = recorded("models_deeplab_mctformer")
    model = create_model("deeplab_v1_resnet38_mctformer", 21, width_divisor=int(z["divisor"]), head_width=8)
    load_weights(model, weights(z))
    assert_close(model.eval().logits(torch.from_numpy(z["input"])[None])[0], z["logits_full_scale"])


def test_deeplab_v1_head():
    z = recorded("models_deeplab_transcam")
    width, width_in = z["w/conv_fov.weight"].shape[:2]
    # Only the head was recorded; the backbone is any whose last level is as wide.
    model = create_model("deeplab_v1_resnet38", 21, widths=(4, 4, 4, 4, 4, 4, width_in), head_width=width)
    load_weights(model, weights(z), fresh=("backbone",))
    model.eval().backbone.forward = lambda images: torch.from_numpy(z["head/features"])
    output = model(torch.zeros(2, 3, *z["head/input_size"]))
    stride = int(z["head/out_stride"])
    assert_close(output[:, :, ::stride, ::stride], z["head/out"])
