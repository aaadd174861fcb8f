"""How large a classifier is ([Re], table 1); measured by `seedbed.evaluate.network_size`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seedbed.errors import DataError, ParameterError
from seedbed.evaluate.measurements import Counts, Measurement, measurement

if TYPE_CHECKING:
    from seedbed.evaluate.protocols.shown_network import ShownNetwork


@measurement("network_size", yields="parameters multiply_adds layers heads hidden_size mlp_size", maps=False)
class NetworkSize(Measurement):
    """Parameters, layers and the work of one image of the network's input size; images themselves do not matter."""

    def count_network(self, shown: ShownNetwork) -> Counts:
        """See `Measurement`."""
        from seedbed.evaluate.network_size import network_size

        if shown.begun:
            return dict(shown.begun)
        if shown.view.size is None:
            raise ParameterError("The size of a network is that at one input size; set models.*.input.size.")
        return dict(network_size(shown.model, shown.view.size, shown.device))

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """The size that every shard has found."""
        if any(shard != shards[0] for shard in shards):
            raise DataError("Shards of one network found different sizes. Make them again.")
        return dict(shards[0])

    @classmethod
    def describe(cls, options: Mapping[str, Any]) -> str:
        """See `Measurement`."""
        return "multiply-adds of convolutions and matrix products for one image of the network's input size"
