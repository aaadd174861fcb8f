"""Published weights of SEAM."""

from torch import Tensor, nn

from seedbed.errors import DataError, ParameterError
from seedbed.models.seam import SEAMResNet38
from seedbed.models.weights.conversion import Converted, layout

MODULE = {"f8_3": "correlation.low", "f8_4": "correlation.high", "f9": "correlation.mix"}


@layout("seam")
def seam(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """A published checkpoint of SEAM, whole. The classifier's first output, of a background, is left out: nothing ever
    reads it, so it is never trained.

    Args:
        tensors, model: as any layout.

    Raises:
        ParameterError: the model is no SEAM on ResNet38.
        DataError: the classifier does not have one output more than the model has classes.
    """
    if not isinstance(model, SEAMResNet38):
        raise ParameterError(f"Layout 'seam' fills a SEAMResNet38, not a {type(model).__name__}.")
    renamed = {}
    for name, tensor in tensors.items():
        layer, dot, rest = name.partition(".")
        renamed[MODULE.get(layer, layer) + dot + rest] = tensor
    classes = model.fc8.out_channels
    if len(renamed.get("fc8.weight", ())) != classes + 1:
        raise DataError(
            f"These are not the weights of a published SEAM for {classes} classes: 'fc8.weight' must have "
            f"{classes + 1} rows, the background's first."
        )
    return Converted(renamed | {"fc8.weight": renamed["fc8.weight"][1:]})
