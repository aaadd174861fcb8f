"""Published weights of WeCLIP."""

import re
from collections.abc import Callable

from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.models.clip_weights import clip_name, clip_openai
from seedbed.models.weclip import WeClip
from seedbed.models.weights.conversion import Converted, layout

DECODER_NAMES = (
    (r"^decoder_fts_fuse\.linears_modulelist\.(\d+)\.proj\.", r"levels.\1.fc1."),
    (r"^decoder_fts_fuse\.linears_modulelist\.(\d+)\.proj_2\.", r"levels.\1.fc2."),
    (r"^decoder_fts_fuse\.linear_fuse\.", "fuse."),
    (r"^decoder\.linear_pred\.", "predict."),
)


@layout("weclip")
def weclip(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """WeCLIP as its authors name its tensors; CLIP's text tower is left out, and texts keep what they are.

    Raises:
        ParameterError: the model is no WeCLIP.
    """
    if not isinstance(model, WeClip):
        raise ParameterError(f"Layout 'weclip' fills a WeClip, not a {type(model).__name__}.")
    return around_clip(tensors, model, decoder_name)


def around_clip(tensors: dict[str, Tensor], model: WeClip, named: Callable[[str], str | None]) -> Converted:
    """A file that holds a whole CLIP under ``encoder.``, and beside it what ``named`` has a name of ours for."""
    tower, converted, dropped = {}, {}, []
    for name, tensor in tensors.items():
        if (ours := named(name)) is not None:
            converted[ours] = tensor.float()
        elif name.startswith("encoder."):
            tower[name.removeprefix("encoder.")] = tensor
        else:
            dropped.append(name)
    found = clip_openai(tower, model.tower)
    converted |= {f"tower.{name}": tensor for name, tensor in found.tensors.items()}
    return Converted(converted, [*dropped, *(f"encoder.{name}" for name in found.dropped)], ("classes", "background"))


def decoder_name(name: str) -> str | None:
    """Our name of a tensor beside the tower; None if it has none."""
    for theirs, ours in DECODER_NAMES:
        if re.match(theirs, name):
            return re.sub(theirs, ours, name)
    if not name.startswith("decoder.transformer."):
        return None
    return clip_name(name.removeprefix("decoder.")).replace("blocks.", "decoder.", 1)
