"""Published weights of IRN."""

from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.models.irn import LARGER, BoundaryNetwork
from seedbed.models.weights.conversion import Converted, layout

LAYERS = {
    "resnet50": "backbone",
    f"fc_edge{len(LARGER) + 1}": "branch.boundary_conv",
    **{f"fc_edge{k + 1}.0": f"branch.level_convs.{k}" for k in range(len(LARGER))},
    **{f"fc_edge{k + 1}.1": f"branch.level_norms.{k}" for k in range(len(LARGER))},
}
SECOND_NAMES = (*(f"stage{k + 1}." for k in range(len(LARGER))), "backbone.", "edge_layers.", "dp_layers.")
UNUSED = ("fc_dp", "path_indices", "ind_from", "ind_to")


@layout("irn")
def irn(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """A published checkpoint of IRN. Left out are its displacement field, its lists of pairs for one size of images,
    and the second names that its file has for the same layers.

    Args:
        tensors, model: as any layout.

    Raises:
        ParameterError: the model has no class boundaries.
    """
    if not isinstance(model, BoundaryNetwork):
        raise ParameterError(f"Layout 'irn' fills a BoundaryNetwork, not a {type(model).__name__}.")
    dropped = [name for name in tensors if name.startswith((*SECOND_NAMES, *UNUSED))]
    return Converted({_renamed(name): tensor for name, tensor in tensors.items() if name not in dropped}, dropped)


def _renamed(name: str) -> str:
    for theirs, ours in LAYERS.items():
        if name.startswith(f"{theirs}."):
            return ours + name.removeprefix(theirs)
    return name
