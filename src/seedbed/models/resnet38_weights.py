"""Published weights of ResNet38, for every network on it."""

import re

from torch import Tensor, nn

from seedbed.errors import DataError
from seedbed.models.weights.conversion import Converted, layout, new_layers


@layout("resnet38_mxnet")
def resnet38_mxnet(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """ImageNet weights of ResNet38 ("rna-a1", MXNet) for any network on it; the new layers start afresh."""
    renamed, dropped = {}, []
    for name, tensor in tensors.items():
        if re.fullmatch(r"arg:linear1000_(weight|bias)", name):
            dropped.append(name)
        else:
            renamed[_backbone_prefix(model) + resnet38_name(name)] = tensor
    return Converted(renamed, dropped, new_layers(model))


MXNET_STATISTICS = {
    "arg:res": {"weight": "weight"},
    "arg:bn": {"gamma": "weight", "beta": "bias"},
    "aux:bn": {"moving_mean": "running_mean", "moving_var": "running_var"},
}


def resnet38_name(name: str) -> str:
    """Our name of an MXNet array of ResNet38: ``aux:bn4b2_branch2a_moving_var`` is ``b4_2.bn_branch2a.running_var``.

    Raises:
        DataError: it is none of ResNet38's.
    """
    if name == "arg:conv1a_weight":
        return "conv1a.weight"
    kind = next((kind for kind in MXNET_STATISTICS if name.startswith(kind)), None)
    level, _, rest = name.removeprefix(kind or "").partition("_")
    branch, _, statistic = ("", "", rest) if level == "7" else rest.partition("_")
    block = re.fullmatch(r"(\d)(?:a|b(\d+))", level)
    if kind is None or statistic not in MXNET_STATISTICS[kind] or not (level == "7" or block):
        raise DataError(f"'{name}' is not the name of a ResNet38 array.")
    ours = MXNET_STATISTICS[kind][statistic]
    if block is None:
        return f"bn7.{ours}"
    layer = "conv" if kind.endswith("res") else "bn"
    return f"b{block[1]}{f'_{block[2]}' if block[2] else ''}.{layer}_{branch}.{ours}"


@layout("resnet38_backbone")
def resnet38_backbone(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """The ResNet38 inside another network (PSA's classifier, say); heads are left out, new layers start afresh."""
    kept, dropped = {}, []
    for name, tensor in tensors.items():
        bare = name.removeprefix("backbone.")
        if re.match(r"(conv1a|bn7|b\d(_\d+)?)\.", bare):
            kept[_backbone_prefix(model) + bare] = tensor
        else:
            dropped.append(name)
    return Converted(kept, dropped, new_layers(model))


def _backbone_prefix(model: nn.Module) -> str:
    return "backbone." if hasattr(model, "backbone") else ""
