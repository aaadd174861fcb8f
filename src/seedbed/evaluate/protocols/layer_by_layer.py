"""Seeds layer by layer (AReAM, figures 2 and 10; eX-ViT, figure 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from seedbed.evaluate.measurements import Counts, Measurement, measurement, merge_counts

if TYPE_CHECKING:
    from seedbed.evaluate.protocols.setting import Setting


@measurement(
    "layerwise",
    yields="best_miou best_layer miou_all_layers miou_cam miou_per_layer fp_per_layer fn_per_layer "
    "fp_over_tp_per_layer fn_over_tp_per_layer background_per_layer gain_per_layer gain_all_layers",
    masks=True,
    scoring=True,
)
class LayerByLayer(Measurement):
    """Each layer's maps of each image's own classes against its ground truth.

    Args:
        miou, sweep_step, sweep_count: as in `seedbed.evaluate.scoring.ScoringSettings`.
    """

    def __init__(
        self,
        *,
        miou: Literal["all_classes", "in_truth", "in_either"] = "all_classes",
        sweep_step: float = 0.01,
        sweep_count: int = 60,
    ) -> None:
        from seedbed.evaluate.scoring import ScoringSettings

        self.scoring = ScoringSettings(miou, sweep_step, sweep_count)

    def count(self, setting: Setting) -> Counts:
        """See `Measurement`."""
        from seedbed.evaluate.layerwise import LayerGain, count_layers

        records = list(setting.records)
        measured = (setting.model, setting.index, records, setting.explainer, self.scoring, setting.device)
        begun = None if setting.begun is None else LayerGain.from_dict(setting.begun)
        return count_layers(*measured, setting.block, begun).to_dict()

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """See `Measurement`."""
        from seedbed.evaluate.layerwise import LayerGain

        return merge_counts(LayerGain, shards)

    @classmethod
    def describe(cls, options: Mapping[str, Any]) -> str:
        """See `Measurement`."""
        return "layer by layer, background threshold the best of each layer's sweep on this split, no CRF"
