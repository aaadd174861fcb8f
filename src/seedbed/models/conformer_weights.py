"""Published ImageNet weights of Conformer."""

from torch import Tensor, nn

from seedbed.models.weights.conversion import Converted, in_layers, layout, new_layers
from seedbed.models.weights.names import renamed


@layout("conformer_imagenet")
def conformer_imagenet(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """ImageNet weights of Conformer under the authors' names; both heads start afresh."""
    kept = {name: tensor for name, tensor in tensors.items() if not in_layers(name, new_layers(model))}
    return Converted(kept, [name for name in tensors if name not in kept], new_layers(model))


@layout("conformer_mmpretrain")
def conformer_mmpretrain(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """ImageNet weights of Conformer as converted for OpenMMLab's toolbox; both heads start afresh."""
    kept, dropped = {}, []
    for name, tensor in tensors.items():
        if name.startswith("head."):
            dropped.append(name)
        else:
            kept[conformer_name(name)] = tensor
    return Converted(kept, dropped, new_layers(model))


MMPRETRAIN_NAMES = (
    (r"\.ln([12])\.", r".norm\1."),
    (r"\.ffn\.layers\.0\.0\.", ".mlp.fc1."),
    (r"\.ffn\.layers\.1\.", ".mlp.fc2."),
)


def conformer_name(name: str) -> str:
    """Our name of a tensor of mmpretrain's Conformer, e.g. ``backbone.trans_1.ln1.bias`` -> ``trans_1.norm1.bias``."""
    return renamed(name.removeprefix("backbone."), MMPRETRAIN_NAMES)
