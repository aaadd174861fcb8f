"""Published weights under other names or shapes: how each is turned into the tensors of one of our networks.

A layout takes the file's tensors and the model they are for, and says which of the file's tensors it leaves out and
which of the model's layers start afresh; `seedbed.models.load_weights` checks that nothing else is missing.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from seedbed.errors import DataError, ParameterError
from seedbed.models.conformer import Conformer
from seedbed.models.exvit import ExViT
from seedbed.models.mctformer import MCTformer
from seedbed.models.transformer import resample_positions


@dataclass(frozen=True)
class Converted:
    """Tensors under the model's names, the source's names left out, and the model's layers that keep their init."""

    tensors: dict[str, Tensor]
    dropped: list[str] = field(default_factory=list)
    fresh: tuple[str, ...] = ()


def native(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """Our own files and published checkpoints of the same network: PSA's, MCTformer's and TransCAM's."""
    return Converted(tensors)


def checkpoint(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """A published checkpoint of the same network, whole. TransCAM's Conformer has a background output in front, which
    enters neither its loss nor its maps: it is left out where the model has none."""
    if not isinstance(model, Conformer):
        return Converted(tensors)
    heads = {name for name in tensors if _in_layers(name, model.new_layers)}
    more = heads and all(len(tensors[name]) == model.num_classes + 1 for name in heads)
    return Converted({name: tensor[1:] if more and name in heads else tensor for name, tensor in tensors.items()})


def pretrained_classifier(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """A classifier of the same network, pretrained on other classes or at another size: a head of other classes starts
    afresh, and a timm Vision Transformer's positions are resampled to the model's grid."""
    own = model.state_dict()
    converted, heads = dict(tensors), _classifier_layers(model)
    if "pos_embed" in own and "pos_embed" in tensors and own["pos_embed"].shape != tensors["pos_embed"].shape:
        prefix = 0 if getattr(model, "no_embed_class", False) else model.num_prefix_tokens
        converted["pos_embed"] = resample_abs_pos_embed(
            tensors["pos_embed"], list(model.patch_embed.grid_size), num_prefix_tokens=prefix
        )
    misfits = {n for n in tensors if _in_layers(n, heads) and n in own and own[n].shape != tensors[n].shape}
    if not misfits:
        return Converted(converted)
    dropped = [name for name in tensors if _in_layers(name, heads)]
    return Converted({n: t for n, t in converted.items() if n not in dropped}, dropped, heads)


def _classifier_layers(model: nn.Module) -> tuple[str, ...]:
    """Names of the modules that hold the class scores."""
    if hasattr(model, "new_layers"):
        return _new_layers(model)
    classifier = model.get_classifier() if hasattr(model, "get_classifier") else None
    return tuple(name for name, module in model.named_modules() if module is classifier)


def resnet38_mxnet(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """ImageNet weights of ResNet38 ("rna-a1", MXNet) for any network on it; the new layers start afresh."""
    renamed, dropped = {}, []
    for name, tensor in tensors.items():
        if re.fullmatch(r"arg:linear1000_(weight|bias)", name):
            dropped.append(name)
        else:
            renamed[_backbone_prefix(model) + resnet38_name(name)] = tensor
    return Converted(renamed, dropped, _new_layers(model))


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
    if level == "7":
        return f"bn7.{ours}"
    layer = "conv" if kind.endswith("res") else "bn"
    return f"b{block[1]}{f'_{block[2]}' if block[2] else ''}.{layer}_{branch}.{ours}"


def resnet38_backbone(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """The ResNet38 inside another network (PSA's classifier, say); heads are left out, new layers start afresh."""
    kept, dropped = {}, []
    for name, tensor in tensors.items():
        bare = name.removeprefix("backbone.")
        if re.match(r"(conv1a|bn7|b\d(_\d+)?)\.", bare):
            kept[_backbone_prefix(model) + bare] = tensor
        else:
            dropped.append(name)
    return Converted(kept, dropped, _new_layers(model))


def mctformer_deit(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """DeiT (timm's names) as MCTformer's starting point: class token and its position once per class, positions of
    the patches copied, or resized bicubically to another grid; the head starts afresh, as does MCTformer+'s unused
    table of positions.

    Raises:
        ParameterError: the model is no MCTformer.
        DataError: the tensors are not a plain, square, single-token ViT's.
    """
    if not isinstance(model, MCTformer):
        raise ParameterError(f"Layout 'mctformer_deit' fills an MCTformer, not a {type(model).__name__}.")
    _require_plain_deit(tensors)
    converted = {name: tensor for name, tensor in tensors.items() if not name.startswith(("head.", "pos_embed"))}
    class_position, patch_positions = tensors["pos_embed"][:, :1], tensors["pos_embed"][:, 1:]
    converted["cls_token"] = tensors["cls_token"].repeat(1, model.num_classes, 1)
    converted |= model.position_tensors(
        class_position.repeat(1, model.num_classes, 1), _resize_positions(patch_positions, model.side)
    )
    fresh = ("head",) if "pos_embed" in converted else ("head", "pos_embed")
    return Converted(converted, [name for name in tensors if name.startswith("head.")], fresh)


def exvit_deit(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """DeiT (timm's names) as the encoder of eX-ViT: class token, its position and the head are left out, and the last
    norm if the model has none; positions of the patches are copied, or resized bicubically to another grid. E-MHA's
    b, the attributes and the head start afresh.

    Raises:
        ParameterError: the model is no eX-ViT.
        DataError: the tensors are not a plain, square, single-token ViT's.
    """
    if not isinstance(model, ExViT):
        raise ParameterError(f"Layout 'exvit_deit' fills an ExViT, not a {type(model).__name__}.")
    _require_plain_deit(tensors)
    unused = ("cls_token", "head.") if model.norm is not None else ("cls_token", "head.", "norm.")
    converted = {name: tensor for name, tensor in tensors.items() if not name.startswith(unused)}
    converted["pos_embed"] = _resize_positions(tensors["pos_embed"][:, 1:], model.side)
    alignments = tuple(name for name in model.state_dict() if name.endswith(".alignment"))
    return Converted(converted, [n for n in tensors if n.startswith(unused)], ("attributes", "head", *alignments))


def exvit_deit_scaled(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """`exvit_deit` with each attention's output weights divided by √N, N the patches of the model's training image.

    A softmax's row sums to 1, the squares of an E-MHA row do: its entries are about √N times as large, and so is what
    DeiT's later layers would get to see.

    Raises:
        ParameterError: as `exvit_deit`, or the model has softmax attention.
        DataError: as `exvit_deit`.
    """
    converted = exvit_deit(tensors, model)
    if not any(name.endswith(".alignment") for name in converted.fresh):
        raise ParameterError("Layout 'exvit_deit_scaled' is for E-MHA; softmax attention takes 'exvit_deit'.")
    for name, tensor in converted.tensors.items():
        if name.endswith(".attn.proj.weight"):
            converted.tensors[name] = tensor / model.side
    return converted


def conformer_imagenet(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """ImageNet weights of Conformer under the authors' names; both heads start afresh."""
    kept = {name: tensor for name, tensor in tensors.items() if not _in_layers(name, _new_layers(model))}
    return Converted(kept, [name for name in tensors if name not in kept], _new_layers(model))


def conformer_mmpretrain(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """ImageNet weights of Conformer as converted for OpenMMLab's toolbox; both heads start afresh."""
    kept, dropped = {}, []
    for name, tensor in tensors.items():
        if name.startswith("head."):
            dropped.append(name)
        else:
            kept[conformer_name(name)] = tensor
    return Converted(kept, dropped, _new_layers(model))


MMPRETRAIN_NAMES = (
    (r"\.ln([12])\.", r".norm\1."),
    (r"\.ffn\.layers\.0\.0\.", ".mlp.fc1."),
    (r"\.ffn\.layers\.1\.", ".mlp.fc2."),
)


def conformer_name(name: str) -> str:
    """Our name of a tensor of mmpretrain's Conformer, e.g. ``backbone.trans_1.ln1.bias`` -> ``trans_1.norm1.bias``."""
    name = name.removeprefix("backbone.")
    for theirs, ours in MMPRETRAIN_NAMES:
        name = re.sub(theirs, ours, name)
    return name


LAYOUTS: dict[str, Callable[[dict[str, Tensor], nn.Module], Converted]] = {
    "native": native,
    "checkpoint": checkpoint,
    "pretrained_classifier": pretrained_classifier,
    "resnet38_mxnet": resnet38_mxnet,
    "resnet38_backbone": resnet38_backbone,
    "mctformer_deit": mctformer_deit,
    "exvit_deit": exvit_deit,
    "exvit_deit_scaled": exvit_deit_scaled,
    "conformer_imagenet": conformer_imagenet,
    "conformer_mmpretrain": conformer_mmpretrain,
}


def _backbone_prefix(model: nn.Module) -> str:
    return "backbone." if hasattr(model, "backbone") else ""


def _new_layers(model: nn.Module) -> tuple[str, ...]:
    return tuple(getattr(model, "new_layers", ()))


def _in_layers(name: str, layers: tuple[str, ...]) -> bool:
    return any(name.startswith(f"{layer}.") for layer in layers)


def _require_plain_deit(tensors: dict[str, Tensor]) -> None:
    missing = [name for name in ("cls_token", "pos_embed") if name not in tensors]
    if missing or "dist_token" in tensors:
        what = f"lack {', '.join(missing)}" if missing else "have a distillation token"
        raise DataError(f"These are not the weights of a plain DeiT: they {what}.")


def _resize_positions(positions: Tensor, side: int) -> Tensor:
    source = round(positions.shape[1] ** 0.5)
    if source**2 != positions.shape[1]:
        raise DataError(f"{positions.shape[1]} patch positions do not form a square grid.")
    if source == side:
        return positions
    return resample_positions(positions.float(), size=(side, side))
