"""Parameters of affinity networks and of the labels that they learn from: the section `affinity_networks`."""

from typing import Any, Literal

from pydantic import Field, model_validator

from seedbed.params.base import Fraction, Positive, Section, Steps
from seedbed.params.network_input import NetworkInput
from seedbed.params.published_networks import Trained
from seedbed.settings.kinds import CrfImage
from seedbed.settings.optimisation import Training


class AffinityLabels(Section):
    """Confident labels from two runs of a dense CRF over differently strong backgrounds.

    Either the backgrounds are powers of what no class claims (PSA), or constants, whose winners a label CRF smooths
    (TransCAM, IRN).
    """

    crf: str = Field(description="name in `crf`")
    alpha_low: float | None = Field(None, gt=0, description="exponent that leaves only confident foreground")
    alpha_high: float | None = Field(None, gt=0, description="exponent that leaves only confident background")
    constants: tuple[Fraction, Fraction] | None = Field(
        None, description="backgrounds instead of the exponents: for confident foreground (large), background (small)"
    )
    among: Literal["all", "own"] = Field(
        "all",
        description="labels that the label CRF over constants spreads its doubt over: of the data set, or of the image",
    )
    image: CrfImage = "own"
    rule: str = Field(description="which of the two wins where they disagree; see seedbed.refine.confident_labels")
    store_stride: Positive = Field(1, description="posteriors are stored at 1 / store_stride, to save disk")

    @model_validator(mode="after")
    def _one_kind(self) -> "AffinityLabels":
        alphas = (self.alpha_low, self.alpha_high)
        if (None in alphas) != (alphas == (None, None)) or (None in alphas) == (self.constants is None):
            raise ValueError("set either alpha_low and alpha_high, or constants")
        return self


class AffinityNetwork(Trained):
    """A network that predicts affinities of neighbouring cells."""

    architecture: str
    options: dict[str, Any] = {}
    weights: str | None = Field(None, description="name in `weights`, or `classifier` for a trained one's backbone")
    classifier: str | None = Field(
        None, description="name in `models` of that classifier, trained on the same data set; null: the row's own"
    )
    weights_options: dict[str, Any] = Field({}, description="into (a module), layout, subtree, drop, fresh, grid")
    radius: Positive = 5
    stride: Positive = Field(8, description="pixels a cell, at the network's input size")
    labels: AffinityLabels
    input: NetworkInput
    photometric: Steps = Field([], description="steps on the image alone, before `train.augment` moves all together")
    train: Training
