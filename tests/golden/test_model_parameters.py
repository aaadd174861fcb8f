"""Names, shapes, frozen layers and parameter groups of the full-size networks, against the published ones."""

import pytest
import torch
from model_recordings import recorded

from seedbed.models import create_model


@pytest.mark.parametrize(
    ("recording", "classes", "millions"),
    [
        ("resnet38", 20, 105.15),
        ("affinitynet_resnet38", None, 106.48),
        ("deeplab_v1_resnet38_mctformer", 21, 124.04),
        ("deeplab_v1_resnet38", 21, 124.22),
        ("mctformerv2_small", 20, 21.75),
        ("mctformerv2_small/80", 80, 22.00),
        ("mctformer_plus_small", 20, 22.05),
        ("mctformer_plus_small/80", 80, 22.30),
        ("conformer_small", 21, 36.47),
    ],
)
def test_names_shapes_and_number_of_parameters(recording, classes, millions):
    z = recorded("models_parameters")
    with torch.device("meta"):
        model = create_model(recording.split("/")[0], classes)
    for section, ours in (("parameters", model.named_parameters()), ("buffers", model.named_buffers())):
        shapes = ([int(n) for n in shape if n >= 0] for shape in z[f"{recording}/{section}/shapes"])
        theirs = dict(zip(z[f"{recording}/{section}/names"].tolist(), shapes, strict=True))
        assert {key: list(tensor.shape) for key, tensor in ours} == theirs
    total = sum(p.numel() for p in model.parameters())
    assert total == z[f"{recording}/total"]
    assert round(total / 1e6, 2) == millions


def test_what_mctformer_plus_never_uses_is_not_trained():
    with torch.device("meta"):
        model = create_model("mctformer_plus_small", 20)
    unused = recorded("models_parameters")["mctformer_plus_small/unused"]
    assert {key for key, p in model.named_parameters() if not p.requires_grad} == set(unused.tolist())


@pytest.mark.parametrize(("name", "classes"), [("resnet38", 20), ("affinitynet_resnet38", None)])
def test_frozen_layers_and_parameter_groups(name, classes):
    z = recorded("models_parameters")
    with torch.device("meta"):
        model = create_model(name, classes).train()
    names = {id(p): key for key, p in model.named_parameters()}
    assert {key for key, p in model.named_parameters() if not p.requires_grad} == set(z[f"{name}/frozen"].tolist())
    groups = model.parameter_groups(weight_decay=5e-4)
    for i, group in enumerate(groups):
        assert [names[id(p)] for p in group["params"]] == z[f"{name}/group{i}"].tolist()
    assert [g["lr_scale"] for g in groups] == [1, 2, 10, 20]
    assert [g["weight_decay"] for g in groups] == [5e-4, 0, 5e-4, 0]
