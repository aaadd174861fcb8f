"""Seeds layer by layer (AReAM, figures 2 and 10; eX-ViT, figure 8)."""

from seedbed.evaluate.layerwise import count_layers
from seedbed.evaluate.protocols.setting import Counts, Setting
from seedbed.evaluate.scoring import ScoringSettings
from seedbed.io.plain import from_plain


def layerwise(setting: Setting) -> Counts:
    """Each layer's maps of each picture's own classes against its truth; options are those of `ScoringSettings`."""
    scoring = from_plain(ScoringSettings, setting.options)
    records = list(setting.records)
    measured = (setting.model, setting.index, records, setting.explainer, scoring, setting.device)
    return count_layers(*measured, setting.block).to_dict()
