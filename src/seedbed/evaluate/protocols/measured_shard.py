"""One shard of a measurement of explanations: what is explained and counted."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from seedbed.data.index import DataIndex, Record
from seedbed.devices.memory import Fitting
from seedbed.evaluate.measurements import Counts, build_measurement
from seedbed.evaluate.protocols.setting import Setting
from seedbed.explain.evaluated import explained_on
from seedbed.explain.heatmap_settings import HeatMapSettings


def run_protocol(
    name: str,
    model: nn.Module,
    index: DataIndex,
    records: Sequence[Record],
    explainer: HeatMapSettings,
    options: Mapping[str, Any],
    device: torch.device,
    block: int | None = None,
    begun: Counts | None = None,
) -> Counts:
    """Explain and measure one shard.

    Args:
        name: of a measurement, see `seedbed.evaluate.measurements`.
        model: classifier.
        index, records: the data set and the shard's images.
        explainer: method, its options, input and batch size.
        options: the measurement's own, see its class.
        device: where to compute.
        block: batches end after so many images, see ``seedbed.data.index.together``; None if there are no shards.
        begun: what was counted of the shard's earlier images, whole blocks of them; it is gone on from, and the sums
            are those of one call for all, bit for bit.

    Returns:
        What was counted, as plain values; ``seedbed.evaluate.merged_counts`` brings shards together.

    Raises:
        ParameterError: the measurement is unknown, or the explainer or an option does not fit it.
        DataError: an image lacks what is needed (one label, a box, a mask).
    """
    measured = build_measurement(name, options)
    network = explained_on(model, device)
    explained = explained_on(model, device, explainer.precision) if explainer.precision != "float32" else None
    setting = Setting(network, index, records, explainer, device, Fitting("images"), block, begun, explained)
    with torch.no_grad():
        return measured.count(setting)
