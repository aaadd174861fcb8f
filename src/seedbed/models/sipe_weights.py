"""Published weights of SIPE."""

from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.models.sipe import SIPEResNet
from seedbed.models.weights.conversion import Converted, layout

SECOND_NAMES = ("stage0.", "stage1.", "stage2.", "stage3.", "stage4.", "backbone.", "newly_added.")


@layout("sipe")
def sipe(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """A published checkpoint of SIPE, whole. Left out are the second names that its file has for the same layers.

    Args:
        tensors, model: as any layout.

    Raises:
        ParameterError: the model is no SIPE on a ResNet.
    """
    if not isinstance(model, SIPEResNet):
        raise ParameterError(f"Layout 'sipe' fills a SIPEResNet, not a {type(model).__name__}.")
    kept, dropped = {}, []
    for name, tensor in tensors.items():
        layer, dot, rest = name.partition(".")
        if name.startswith(SECOND_NAMES):
            dropped.append(name)
        elif layer == "resnet50":
            kept[f"backbone.{rest}"] = tensor
        elif layer.startswith("side"):
            kept[f"sides.{int(layer.removeprefix('side')) - 1}{dot}{rest}"] = tensor
        else:
            kept[name] = tensor
    return Converted(kept, dropped)
