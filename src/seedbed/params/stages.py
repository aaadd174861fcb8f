"""Parameters of the stages: classifiers, explainers, affinity networks, refiners, segmentation networks, scoring."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from seedbed.errors import ParameterError
from seedbed.params.base import Fraction, Positive, Section, Steps, Varied
from seedbed.params.merging import merge
from seedbed.params.training import Training


class Input(Section):
    """How a picture is brought to a network at inference."""

    size: tuple[Positive, Positive] | None = Field(None, description="(height, width) to squash to; null keeps its own")
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    normalize: Literal["half", "imagenet"] | None = Field(
        None, description="what the network's weights were trained with; an explainer takes its network's"
    )


class NetworkInput(Input):
    """An input that says what its network's weights were trained with."""

    normalize: Literal["half", "imagenet"]


class Checkpoint(Section):
    """Weights that somebody else trained, to be measured in place of ours; its path alone will do."""

    path: str
    dataset: str | None = Field(None, description="data set whose classes it knows; null: every one")
    layout: str = Field("checkpoint", description="how it names its tensors; see seedbed.models.weights.layouts")
    drop: list[str] = Field([], description="modules of the file that the network has not, on purpose")

    @model_validator(mode="before")
    @classmethod
    def _of_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    def fits(self, dataset: str) -> bool:
        """Whether it stands in for the network on a data set."""
        return self.dataset in (None, dataset)


class Trained(Varied):
    """A network that is trained here, unless a published checkpoint of it is measured."""

    checkpoint: Checkpoint | None = None

    @model_validator(mode="after")
    def _checkpoint_for_all(self) -> Self:
        if any("checkpoint" in changes for changes in self.per_dataset.values()):
            raise ValueError("per_dataset: a checkpoint names its data set itself, checkpoint: {path: .., dataset: ..}")
        return self


class Classifier(Trained):
    """A classification network; without ``train`` its pretrained weights are used as they are."""

    architecture: str
    num_classes: Positive | None = Field(None, description="null: those of the data set")
    options: dict[str, Any] = {}
    weights: str | None = Field(None, description="name in `weights` to start from; null starts from random values")
    weights_options: dict[str, Any] = Field(
        {"layout": "pretrained_classifier"},
        description="into (a module), layout, subtree, drop, fresh",
    )
    train: Training | None = None
    input: NetworkInput = Field(description="when its accuracy is measured; its maps are made at the explainer's size")
    held_out: str = Field("val", description="split that its accuracy is measured on")


class Explainer(Varied):
    """Heat maps from a classifier.

    ``input`` brings a picture to the network at scale 1; ``scales`` and ``flip`` make further views; ``fusion`` names
    how the views' maps become one map a class at the picture's size (or at ``1 / store_stride`` of it, to save disk).
    """

    method: str
    options: dict[str, Any] = {}
    classes: Literal["labels", "predicted"] = "labels"
    input: Input
    scales: list[float] = [1.0]
    flip: bool = False
    fusion: str
    fusion_options: dict[str, Any] = {}
    store_stride: Positive = 1
    batch_size: Positive = 16
    background: Fraction = Field(description="constant background score that maps compete with")
    sweep: bool = Field(description="report the best background of a sweep instead, as most papers' seed tables do")
    per_model: dict[str, dict[str, Any]] = Field({}, description="network -> what is different for it")

    @model_validator(mode="after")
    def _models_fit(self) -> Self:
        for model in self.per_model:
            self._fitting(f"per_model.{model}", self._of, model)
        return self

    def of(self, model: str, network: Classifier) -> Self:
        """The section as it is for a network: with its own changes, and the normalisation that its weights know.

        Raises:
            ParameterError: the section names another normalisation.
        """
        found, own = self._of(model), network.input.normalize
        if found.input.normalize not in (None, own):
            raise ParameterError(
                f"input.normalize is '{found.input.normalize}', but the weights of '{model}' were trained with "
                f"'{own}'. Leave it out: an explainer takes its network's."
            )
        return found._with({"input": {"normalize": own}})

    def _of(self, model: str) -> Self:
        values = merge(self.model_dump(exclude={"per_model"}), self.per_model.get(model, {}))
        return type(self).model_validate(values)


class Crf(Section):
    """A dense CRF: Gaussian and bilateral kernels as (standard deviations in pixels and grey levels, weight)."""

    iterations: Positive = 10
    gaussian_sxy: float = Field(gt=0)
    gaussian_weight: float = Field(ge=0)
    bilateral_sxy: float = Field(gt=0)
    bilateral_srgb: float = Field(gt=0)
    bilateral_weight: float = Field(ge=0)
    implementation: Annotated[
        Literal["lattice", "pydensecrf"],
        Field(description="of the inference: our own, or the published one; equal up to rounding"),
    ] = "lattice"


CrfPicture = Annotated[
    Literal["own", "rebuilt", "rebuilt_float64"],
    Field(
        description="what the CRF sees; rebuilt from normalised pixels, grey levels cut off: normalised in float32 "
        "(MCTformer's labels), or in float64 (TransCAM's segmentation)"
    ),
]


class AffinityLabels(Section):
    """Confident labels from two runs of a dense CRF over differently strong backgrounds.

    Either the backgrounds are powers of what no class claims (PSA), or constants, whose winners a label CRF smooths
    (TransCAM).
    """

    crf: str = Field(description="name in `crf`")
    alpha_low: float | None = Field(None, gt=0, description="exponent that leaves only confident foreground")
    alpha_high: float | None = Field(None, gt=0, description="exponent that leaves only confident background")
    constants: tuple[Fraction, Fraction] | None = Field(
        None, description="backgrounds instead of the exponents: for confident foreground (large), background (small)"
    )
    picture: CrfPicture = "own"
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
    weights_options: dict[str, Any] = Field({}, description="into (a module), layout, subtree, drop, fresh")
    radius: Positive = 5
    stride: Positive = Field(8, description="pixels a cell, at the network's input size")
    labels: AffinityLabels
    input: NetworkInput
    photometric: Steps = Field([], description="steps on the picture alone, before `train.augment` moves all together")
    train: Training


class Argmax(Section):
    """Labels straight from the maps, against the explainer's constant background."""

    kind: Literal["argmax"]


class DenseCrf(Section):
    """Dense CRF over the maps and a background of ``(1 - max map) ** alpha``, or the explainer's constant."""

    kind: Literal["dense_crf"]
    crf: str
    alpha: float | None = Field(None, gt=0)


class RandomWalk(Section):
    """Random walk of the maps over the affinities of ``network``."""

    kind: Literal["random_walk"]
    network: str
    alpha: float | None = Field(None, gt=0, description="background exponent; null: the constant below")
    background: Fraction | None = None
    beta: float = Field(gt=0)
    log2_steps: int = Field(ge=0, description="t = 2 ** log2_steps applications of the transition matrix")
    crf: str | None = None
    crf_on: Literal["scores", "labels"] = Field(
        "scores", description="the CRF sees the walk's scores, or only their winners, which it trusts by 0.7 (TransCAM)"
    )
    crf_picture: CrfPicture = "own"

    @model_validator(mode="after")
    def _one_background(self) -> "RandomWalk":
        if (self.alpha is None) == (self.background is None):
            raise ValueError("set either alpha or background, and not both")
        return self


Refiner = Annotated[Argmax | DenseCrf | RandomWalk, Field(discriminator="kind")]


class Segmenter(Trained):
    """A segmentation network trained on pseudo masks."""

    architecture: str
    options: dict[str, Any] = {}
    weights: str | None = None
    weights_options: dict[str, Any] = Field({}, description="into (a module), layout, subtree, drop, fresh")
    train: Training
    scales: list[float] = [1.0]
    flip: bool = False
    scaling: Literal["picture", "tensor"] = Field(
        "picture",
        description="resize the 8-bit picture, or normalised pixels with aligned corners (MCTformer's code)",
    )
    rounding: Literal["nearest", "down"] = Field("nearest", description="of the sides of scaled inputs")
    fusion: Literal["mean_logits", "max_probability"] = "mean_logits"
    input: NetworkInput
    crf: str | None = None
    crf_picture: CrfPicture = "own"


class OwnData(Section):
    """The pipeline that makes masks for your own pictures."""

    model: str
    explainer: str
    refiner: str


class Scoring(Section):
    """How masks are scored."""

    miou: Literal["all_classes", "in_truth", "in_either"] = Field(
        "all_classes", description="over which classes the mean is taken"
    )
    sweep_step: float = Field(0.01, gt=0, lt=1)
    sweep_count: Positive = 60


class Resources(Varied):
    """What one job of a rule may use; memory and runtime may differ by data set, and a training by its network."""

    threads: Positive = 1
    gpu: int = Field(0, ge=0, description="training rules share one training among them, others use the first")
    mem_mb: Positive = 2000
    runtime: Positive = Field(30, description="minutes")
    per_network: dict[str, dict[str, Any] | None] = Field(
        {}, description="trained network -> what its training takes instead; null: nothing else"
    )

    @model_validator(mode="after")
    def _jobs_alike(self) -> Self:
        for dataset, changes in self.per_dataset.items():
            if not set(changes) <= {"mem_mb", "runtime"}:
                raise ValueError(f"per_dataset.{dataset}: only mem_mb and runtime may differ")
        for network, changes in self.per_network.items():
            if not set(changes or ()) <= {"gpu", "mem_mb", "runtime"}:
                raise ValueError(f"per_network.{network}: only gpu, mem_mb and runtime may differ")
            self._fitting(f"per_network.{network}", self.of, network)
        return self

    def of(self, network: str) -> Self:
        """The section as it is for the training of a network; what a data set changes is laid over it."""
        changes = self.per_network.get(network)
        if changes is None:
            return self
        values = merge(self.model_dump(exclude={"per_network"}), changes)
        return type(self).model_validate(values)
