"""Parameters of classifiers: the section `models`."""

from typing import Any, Self

from pydantic import Field, model_validator

from seedbed.params.base import Positive, Section
from seedbed.params.best_epoch import BestEpoch
from seedbed.params.mask_prediction import MaskPrediction
from seedbed.params.network_input import NetworkInput
from seedbed.params.published_networks import Trained
from seedbed.settings.optimisation import Training


class Part(Section):
    """Weights of one module of a network."""

    weights: str = Field(description="name in `weights`")
    layout: str = Field("native", description="how they name their tensors")


class Classifier(Trained):
    """A classification network; without ``train`` its pretrained weights are used as they are, with its ``texts``."""

    architecture: str
    num_classes: Positive | None = Field(None, description="null: those of the data set")
    options: dict[str, Any] = {}
    weights: str | None = Field(None, description="name in `weights` to start from; null starts from random values")
    starts_from: str | None = Field(
        None, description="name in `models` of what it starts from instead, trained with the same data set and seed"
    )
    weights_options: dict[str, Any] = Field(
        {"layout": "pretrained_classifier"},
        description="into (a module), layout, subtree, drop, fresh, grid",
    )
    parts: dict[str, Part] = Field(
        {}, description="module -> weights of its own, beside those above; of a network with texts and without train"
    )
    texts: str | None = Field(None, description="name in `prompts` of what its classes are compared with")
    train: Training | None = None
    keep: BestEpoch | None = Field(None, description="the epoch whose weights are kept; null: the last")
    input: NetworkInput = Field(description="when its accuracy is measured; its maps are made at the explainer's size")
    prediction: MaskPrediction | None = Field(
        None, description="how a network with a decoder predicts masks itself, for rows of stage `prediction`"
    )
    held_out: str = Field("val", description="split that its accuracy is measured on")

    @model_validator(mode="after")
    def _starts_once(self) -> Self:
        if self.weights and self.starts_from:
            raise ValueError("weights and starts_from both say what it starts from; keep one, and the other null")
        return self

    @model_validator(mode="after")
    def _parts_put_together_once(self) -> Self:
        if self.parts and (self.train or not self.texts):
            raise ValueError(
                "parts are of a network that has texts and is not trained; let the one that is trained have "
                "starts_from: <name of such a network>"
            )
        return self
