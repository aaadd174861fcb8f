"""The papers' measurements of explanations, each in one pass: no maps of fifty thousand pictures need to be stored."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from seedbed.data.index import DataIndex, Record
from seedbed.devices.memory import Fitting
from seedbed.errors import ParameterError, unknown_name
from seedbed.evaluate.protocols.explained import abpc, localization, perturbation, soft_segmentation
from seedbed.evaluate.protocols.instances import instances
from seedbed.evaluate.protocols.layerwise import layerwise
from seedbed.evaluate.protocols.noise import noise
from seedbed.evaluate.protocols.setting import Counts, Setting
from seedbed.explain.heatmap_settings import HeatMapSettings

PROTOCOLS: dict[str, Callable[[Setting], Counts]] = {
    "soft_segmentation": soft_segmentation,
    "localization": localization,
    "abpc": abpc,
    "perturbation": perturbation,
    "instances": instances,
    "layerwise": layerwise,
    "noise": noise,
}


def run_protocol(
    name: str,
    model: nn.Module,
    index: DataIndex,
    records: Sequence[Record],
    explainer: HeatMapSettings,
    options: Mapping[str, Any],
    device: torch.device,
    block: int | None = None,
) -> Counts:
    """Explain and measure one shard.

    Args:
        name: one of ``PROTOCOLS``.
        model: classifier.
        index, records: the data set and the shard's pictures.
        explainer: method, its options, input and batch size.
        options: the protocol's own, see its class.
        device: where to compute.
        block: batches end after so many pictures, see ``seedbed.data.index.together``; None if there are no shards.

    Returns:
        What was counted, as plain values; ``seedbed.evaluate.merging`` brings shards together.

    Raises:
        ParameterError: the protocol is unknown, or the explainer does not fit it.
        DataError: a picture lacks what the protocol needs (one label, a box, a mask).
    """
    if name not in PROTOCOLS:
        raise ParameterError(unknown_name("protocol", name, PROTOCOLS))
    setting = Setting(model.to(device).eval(), index, records, explainer, options, device, Fitting("pictures"), block)
    with torch.no_grad():
        return PROTOCOLS[name](setting)
