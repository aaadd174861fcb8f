"""What the losses of networks with attention and class maps share (MCTformer, Conformer), with and without AReAM.

A reader runs a backbone once and says what its classification costs and where its class maps, attention and scores are.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.train.objectives import Parts, added


class Reading(NamedTuple):
    """What a backbone gives for a batch.

    Attributes:
        losses: terms of the classification loss by name, to be added up.
        maps: [B, C, h, w], signed maps of the labels' classes.
        attention, scores: per layer [B, T, T], averaged over heads, patches last; ``None`` unless asked for.
    """

    losses: dict[str, Tensor]
    maps: Tensor
    attention: list[Tensor] | None
    scores: list[Tensor] | None


Reader = Callable[[nn.Module, Tensor, Tensor, str | None], Reading]


class Classification:
    """A backbone's classification loss of ``(images, multi-hot labels)``."""

    def __init__(self, network: type[nn.Module], read: Reader) -> None:
        self.network, self.read = network, read

    def bind(self, model: nn.Module) -> None:
        """Check that the network is the backbone that this loss reads."""
        check_network(model, self.network)

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Parts:
        images, labels = batch
        losses = self.read(model, images, labels, None).losses
        parts = {name: loss.detach() for name, loss in losses.items()} if len(losses) > 1 else {}
        return added(losses), parts


def check_network(model: nn.Module, network: type[nn.Module]) -> None:
    """Raise ParameterError unless ``model`` is one of the class ``network``."""
    if not isinstance(model, network):
        raise ParameterError(
            f"This loss reads the attention and the maps of a {network.__name__}; the network is a "
            f"{type(model).__name__}. Choose the loss that fits the architecture."
        )
