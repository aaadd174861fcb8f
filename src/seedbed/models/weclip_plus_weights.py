"""Published weights of WeCLIP+."""

from torch import Tensor, nn

from seedbed.errors import DataError, ParameterError
from seedbed.models.weclip_plus import WeClipPlus
from seedbed.models.weclip_weights import around_clip, decoder_name
from seedbed.models.weights.conversion import Converted, layout

SECOND = "dino_"
"""What stands before the names of the branch of DINOv2, which are those of CLIP's branch otherwise."""
MASK_TOKEN = "mask_token"
TABLE = ".pos_embed"


@layout("weclip_plus")
def weclip_plus(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """WeCLIP+ as its authors name its tensors; CLIP's text tower is left out, and texts keep what they are.

    DINOv2's tensors have DINOv2's own names behind a prefix that only they have; their mask token is left out.

    Raises:
        ParameterError: the model is no WeCLIP+.
        DataError: the file lacks DINOv2, or has two of it.
    """
    if not isinstance(model, WeClipPlus):
        raise ParameterError(f"Layout 'weclip_plus' fills a WeClipPlus, not a {type(model).__name__}.")
    dino = _prefix_of_dino(tensors)

    def named(name: str) -> str | None:
        if name.startswith(dino) and name != dino + MASK_TOKEN:
            return f"dino.{name.removeprefix(dino)}"
        return branch_name(name)

    return around_clip(tensors, model, named)


def branch_name(name: str) -> str | None:
    """Our name of a tensor beside the towers; None if it has none."""
    if not name.startswith(SECOND):
        return decoder_name(name)
    ours = decoder_name(name.removeprefix(SECOND))
    return None if ours is None else ours.replace("levels.0.", "dino_level.").replace("fuse.", "dino_fuse.")


def _prefix_of_dino(tensors: dict[str, Tensor]) -> str:
    prefixes = [name.removesuffix(TABLE[1:]) for name in tensors if name.endswith(TABLE)]
    if len(prefixes) != 1:
        found = ", ".join(prefixes) or "none"
        raise DataError(
            f"A checkpoint of WeCLIP+ holds one DINOv2, whose positions are named '<module>{TABLE}'; found: {found}. "
            "Add DINOv2's own tensors under a prefix of theirs, such as 'dino_encoder.'."
        )
    return prefixes[0]
