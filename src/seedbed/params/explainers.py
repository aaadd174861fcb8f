"""Parameters of heat maps: the section `explainers`."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from seedbed.errors import ParameterError
from seedbed.params.base import Fraction, Positive, Varied
from seedbed.params.classifiers import Classifier
from seedbed.params.merging import merge
from seedbed.params.network_input import ExplainedInput
from seedbed.settings.kinds import MapPrecision


class Explainer(Varied):
    """Heat maps from a classifier.

    ``input`` brings an image to the network at scale 1; ``scales`` and ``flip`` make further views; ``fusion`` names
    how the views' maps become one map a class at the image's size (or at ``1 / store_stride`` of it, to save disk).
    """

    method: str
    options: dict[str, Any] = {}
    classes: Literal["labels", "predicted"] = "labels"
    input: ExplainedInput
    scales: list[float] = [1.0]
    flip: bool = False
    fusion: str
    fusion_options: dict[str, Any] = {}
    store_stride: Positive = 1
    precision: MapPrecision = Field("float32", description="what the network computes in while it is explained")
    batch_size: Positive = 16
    background: Fraction = Field(description="constant background score that maps compete with")
    sweep: bool = Field(description="report the best background of a sweep instead, as most papers' seed tables do")
    per_model: dict[str, dict[str, Any]] = Field({}, description="network -> what is different for it")

    @model_validator(mode="after")
    def _models_fit(self) -> Self:
        for model in self.per_model:
            self._fitting(f"per_model.{model}", self.changed_for, model)
        return self

    def of(self, model: str, network: Classifier) -> Self:
        """The section as it is for a network: with its own changes, and the normalisation that its weights know.

        Raises:
            ParameterError: the section names another normalisation.
        """
        found, own = self.changed_for(model), network.input.normalize
        if found.input.normalize not in (None, own):
            raise ParameterError(
                f"input.normalize is '{found.input.normalize}', but the weights of '{model}' were trained with "
                f"'{own}'. Leave it out: an explainer takes its network's."
            )
        return found._with({"input": {"normalize": own}})

    def changed_for(self, model: str) -> Self:
        """The section with its changes for a network, and whatever normalisation it names itself."""
        values = merge(self.model_dump(exclude={"per_model"}), self.per_model.get(model, {}))
        return type(self).model_validate(values)
