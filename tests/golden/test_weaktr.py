"""WeakTr against arrays recorded from its authors' published code, on narrow networks with random weights."""

import pytest
import torch
from model_recordings import assert_close, recorded, weights

from seedbed.explain import explain
from seedbed.models import create_model, load_weights

torch.set_num_threads(1)


def classifier():
    z = recorded("weaktr_classifier_weights")
    config = {key: int(z[f"cfg/{key}"]) for key in ("img_size", "patch_size", "embed_dim", "depth", "num_heads")}
    config |= {"mlp_ratio": float(z["cfg/mlp_ratio"]), "drop_path_rate": 0.0}
    config |= {"reduction": float(z["cfg/reduction"]), "feature_reduction": int(z["cfg/feat_reduction"])}
    model = create_model("weaktr_small", int(z["cfg/num_classes"]), **config)
    load_weights(model, weights(z))
    return model.eval()


def of(name, prefix):
    """The arrays of one case of a recording."""
    return {k.removeprefix(f"{prefix}/"): v for k, v in recorded(name).items() if k.startswith(f"{prefix}/")}


@pytest.mark.parametrize("case", range(4))
def test_classifier(case):
    model, z = classifier(), of("weaktr_classifier", f"eval{case}")
    images, targets = torch.from_numpy(z["x"]), torch.arange(4).expand(len(z["x"]), -1)
    output = model(images, attention="heads")
    for name, ours in {
        "logits_class": output.class_logits,
        "logits_patch": output.patch_logits,
        "logits_fine": output.fine_logits,
        "head_map": output.patch_maps,
        "head_weight": output.head_weights,
        "cross_attn": explain(model, images, targets, "weaktr", maps="cross", refine=False),
        "patch_attn": output.patch_attention,
        "cam": explain(model, images, targets, "weaktr", refine=False),
        "fine_cam": explain(model, images, targets, "weaktr"),
    }.items():
        assert_close(ours, z[name])
    if case:
        assert_close(model.positions(tuple(z["size"].tolist())), z["pos_embed"])
    else:
        assert_close(explain(model, images, targets, "weaktr", maps="patch", refine=False), z["cam_patchcam"])
        assert_close(explain(model, images, targets, "weaktr", maps="cross", refine=False), z["cam_cross"])
        assert_close(torch.stack(output.attention), of("weaktr_classifier_attention", "eval0")["attn"])


def test_head_features_and_tokens():
    """What the weights of the heads are made of, on all sizes; outputs and tokens on the first."""
    model, inside = classifier(), of("weaktr_classifier_attention", "eval0")
    outputs, peaks = [], []
    fusion = model.adaptive_attention_fusion
    fusion.register_forward_pre_hook(lambda _, given: peaks.append(given[0]))
    for block in model.blocks:
        block.attn.register_forward_hook(lambda *given: outputs.append(given[2]))
    for case in range(4):
        z = of("weaktr_classifier", f"eval{case}")
        outputs.clear()
        model(torch.from_numpy(z["x"]))
        assert_close(fusion.features(peaks[-1]), z["pooled_feature"])
        assert_close(fusion.scores(peaks[-1]), z["head_score"])
        if case == 0:
            assert_close(torch.stack(outputs), inside["attn_out"])
            tokens, patches = model.tokens(torch.from_numpy(z["x"]))
            assert_close(torch.cat([tokens, patches.flatten(2).mT], dim=1), z["tokens"])


@pytest.mark.parametrize(
    ("recording", "classes", "millions"), [("20", 20, 21.751), ("80", 80, 22.005), ("90", 90, 22.047)]
)
def test_names_and_shapes(recording, classes, millions):
    z = recorded("weaktr_parameters")
    with torch.device("meta"):
        model = create_model("weaktr_small", classes)
    assert_same_parameters(model, z, f"deit_small_{recording}", millions)


def assert_same_parameters(model, z, recording, millions):
    shapes = ([int(n) for n in shape if n >= 0] for shape in z[f"{recording}/shapes"])
    theirs = dict(zip(z[f"{recording}/names"].tolist(), shapes, strict=True))
    assert {name: list(tensor.shape) for name, tensor in model.named_parameters()} == theirs
    assert not list(model.named_buffers())
    total = sum(parameter.numel() for parameter in model.parameters())
    assert total == z[f"{recording}/total"]
    assert round(total / 1e6, 3) == millions
