"""Published weights under other names or shapes: how each is turned into the tensors of one of our networks.

A layout takes the file's tensors and the model they are for, and says which of the file's tensors it leaves out and
which of the model's layers start afresh; `seedbed.models.load_weights` checks that nothing else is missing. It stands
beside the network that it fills and registers itself; those of any network stand in ``any_network.py``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor, nn

from seedbed.io.catalogue import Catalogue


@dataclass(frozen=True)
class Converted:
    """Tensors under the model's names, the source's names left out, and the model's layers that keep their init."""

    tensors: dict[str, Tensor]
    dropped: list[str] = field(default_factory=list)
    fresh: tuple[str, ...] = ()


Layout = Callable[..., Converted]
"""From the file's tensors and the model; one that moves positions has an option ``grid``, the source's."""
LAYOUTS: Catalogue[Layout] = Catalogue("weights layout", "seedbed.models", "layout")


def layout(name: str) -> Callable[[Layout], Layout]:
    """Register the decorated function as the layout ``name``."""
    return LAYOUTS.entering(name)


@layout("native")
def native(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """Our own files and published checkpoints of the same network: PSA's, MCTformer's and TransCAM's."""
    return Converted(tensors)


def new_layers(model: nn.Module) -> tuple[str, ...]:
    """Names of the modules that a network has beside its published backbone."""
    return tuple(getattr(model, "new_layers", ()))


def in_layers(name: str, layers: tuple[str, ...]) -> bool:
    """Whether a tensor lies in one of some modules."""
    return any(name.startswith(f"{layer}.") for layer in layers)
