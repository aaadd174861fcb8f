"""One preset of params.yaml, whole and checked: every name that a section refers to exists."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import Field, field_validator

from seedbed.errors import ParameterError, unknown_name
from seedbed.io.registrations import registered_names
from seedbed.params.base import Positive, Section, Seed
from seedbed.params.data import PUBLISHED, Dataset, Weights
from seedbed.params.stages import (
    AffinityNetwork,
    Checkpoint,
    Classifier,
    Crf,
    Explainer,
    MaskPrediction,
    OwnData,
    Prompts,
    Refiner,
    Resources,
    Scoring,
    Segmenter,
)
from seedbed.settings.kinds import Precision

CHECKPOINT = "-checkpoint"
"""Ending of the names under which published checkpoints are measured, beside the networks trained here."""
TRAININGS = {
    "train_classifier": ("models", "model"),
    "train_affinity_network": ("affinity_networks", "network"),
    "train_segmenter": ("segmenters", "segmenter"),
}
"""Training rule -> the section of the networks that it trains, and its wildcard for their names."""
_TRAINED = ("models", "affinity_networks", "segmenters")
_VARIED = ("prompts", "models", "explainers", "affinity_networks", "segmenters")
"""Sections whose entries may be others on some data sets."""
NAMED = (
    "datasets",
    "weights",
    "prompts",
    "models",
    "explainers",
    "crf",
    "affinity_networks",
    "refiners",
    "segmenters",
    "resources",
)
"""Sections of named entries, each of which may be a variant of another: ``like``."""


class Preset(Section):
    """Every hyperparameter of a run.

    Names on the left of each section are what pipelines in ``papers/*.yaml`` refer to.
    """

    name: str
    about: str = Field(description="one sentence for the head of the report")
    comparable: bool = Field(description="whether measured numbers may be compared with the papers'")
    seeds: list[Seed] = Field(min_length=1, description="seeds of every trained row; tables show mean and spread")
    table_seeds: dict[str, list[Seed]] = Field({}, description="table or figure, as `exvit_table6` -> its own seeds")
    shards: Positive = Field(description="into how many parts work over a data set is cut; never changes a result")
    precision: Precision = Field("float32", description="how a GPU multiplies; tf32 rounds factors to 11 bits")
    stand_ins: dict[str, str | None] = Field(
        {}, description="data set of a paper -> data set of this preset; null: none, what needs it is not run"
    )
    datasets: dict[str, Dataset]
    weights: dict[str, Weights] = {}
    prompts: dict[str, Prompts] = {}
    models: dict[str, Classifier] = {}
    explainers: dict[str, Explainer] = {}
    crf: dict[str, Crf] = {}
    affinity_networks: dict[str, AffinityNetwork] = {}
    refiners: dict[str, Refiner] = {}
    segmenters: dict[str, Segmenter] = {}
    headlines: list[str] = Field([], description="tables that plain `snakemake` makes, such as vit_affinity_table4")
    protocols: dict[str, dict[str, Any]] = Field({}, description="options of the measurements of explanations")
    own: OwnData
    scoring: Scoring = Scoring()
    resources: dict[str, Resources] = {}

    @field_validator("seeds", "table_seeds")
    @classmethod
    def _distinct(cls, seeds: Any) -> Any:
        for given in seeds.values() if isinstance(seeds, dict) else [seeds]:
            if len(set(given)) < len(given):
                raise ValueError("a seed is listed twice")
            if not given:
                raise ValueError("no seed is listed")
        return seeds

    def check_references(self) -> None:
        """Check that every name a section refers to is defined.

        Raises:
            ParameterError: naming the key and the nearest defined name.
        """
        for preset in (self, *map(self.on, self.datasets)):
            for key, kind, name, known in preset._references():
                if name is not None and name not in known:
                    raise ParameterError(f"presets.{self.name}.{key}: {unknown_name(kind, name, known)}")
        if any(dataset.kind == "folder" for dataset in self.datasets.values()):
            self._require_own_classes()

    def _require_own_classes(self) -> None:
        """Refuse a network that never sees your images' labels: its classes are others, whatever their number."""
        model = self.models[self.own.model]
        if model.train is None and model.checkpoint is None:
            trained = ", ".join(name for name, entry in self.models.items() if entry.train is not None)
            raise ParameterError(
                f"own.model: '{self.own.model}' is not trained here (it has no section `train`), so it does not know "
                f"the classes of your images. Networks that are: {trained}."
            )

    def check_tables(self, tables: Collection[str]) -> None:
        """Check that tables which the parameters name exist.

        Raises:
            ParameterError: naming the key and the nearest match.
        """
        for name in self.headlines:
            if name not in tables:
                raise ParameterError(f"presets.{self.name}.headlines: {unknown_name('table', name, tables)}")

    def check_rules(self, rules: Collection[str]) -> None:
        """Check that resources are given to rules that exist.

        Raises:
            ParameterError: naming the key and the nearest match.
        """
        for key in self.resources:
            if key != "default" and key not in rules:
                raise ParameterError(f"presets.{self.name}.resources.{key}: {unknown_name('rule', key, rules)}")

    def check_targets(self, targets: Collection[str]) -> None:
        """Check that seeds are given to tables and figures that exist.

        Raises:
            ParameterError: naming the key and the nearest match.
        """
        for key in self.table_seeds:
            if key not in targets:
                raise ParameterError(
                    f"presets.{self.name}.table_seeds.{key}: {unknown_name('table or figure', key, targets)}"
                )

    def seeds_for(self, target: str) -> list[int]:
        """Seeds of a table or figure, named as its target: its own, or the preset's."""
        return self.table_seeds.get(target, self.seeds)

    def dataset_for(self, published: str) -> str:
        """The data set of this preset that stands for a paper's data set; the paper's own name where none does."""
        return self.stand_ins.get(published, published) or published

    def replaced_datasets(self) -> list[str]:
        """Data sets that have a published one's name and are something else, so that numbers on them do not compare."""
        published = registered_names(*PUBLISHED)
        return [name for name, entry in self.datasets.items() if name in published and entry.kind != name]

    def lacks_dataset(self, published: str) -> bool:
        """Whether nothing of this preset stands for a paper's data set."""
        return self.stand_ins.get(published, published) not in self.datasets

    def with_checkpoints(self) -> "Preset":
        """The preset in which each network with a checkpoint stands twice: as trained here, and under ``-checkpoint``.

        So what was trained here stays where it is, and both can be compared.
        """
        sections = {kind: _twice(getattr(self, kind)) for kind in _TRAINED}
        refiners = dict(self.refiners)
        for name, refiner in self.refiners.items():
            network = f"{getattr(refiner, 'network', None)}{CHECKPOINT}"
            if network in sections["affinity_networks"]:
                refiners[name + CHECKPOINT] = refiner.model_copy(update={"network": network})
        return self.model_copy(update={**sections, "refiners": refiners})

    def measured_names(self, names: Mapping[str, Any]) -> dict[str, Any]:
        """A pipeline's names, with each network's checkpoint in its place where one is given for the data set."""
        found = dict(names)
        for key in ("model", "refiner", "segmenter"):
            checkpoint = self.checkpoint_of(key, f"{names.get(key)}{CHECKPOINT}")
            if checkpoint is not None and checkpoint.fits(names["dataset"]):
                found[key] += CHECKPOINT
        return found

    def checkpoint_of(self, key: str, name: str | None) -> Checkpoint | None:
        """The checkpoint behind a ``model``, a ``refiner`` (its affinity network's) or a ``segmenter``."""
        if key == "refiner":
            key, name = "affinity_network", self.network_of(name)
        return getattr(getattr(self, f"{key}s").get(name), "checkpoint", None)

    def trained_segmenter(self, name: str) -> str:
        """The segmenter whose training a segmenter's network is of: itself, unless it is ``trained_as`` another."""
        return self.segmenters[name].trained_as or name

    def network_of(self, refiner: str | None) -> str | None:
        """The affinity network that a refiner walks on, if it does."""
        return getattr(self.refiners.get(refiner or ""), "network", None)

    def on(self, dataset: str) -> "Preset":
        """The preset as it is on a data set: every section with its changes for it."""
        sections = {kind: {key: entry.on(dataset) for key, entry in getattr(self, kind).items()} for kind in _VARIED}
        return self.model_copy(update=sections)

    def explainer_of(self, name: str, model: str) -> Explainer:
        """An explainer as it is for a network.

        Raises:
            ParameterError: the explainer names another normalisation than the network's; naming both.
        """
        try:
            return self.explainers[name].of(model.removesuffix(CHECKPOINT), self.models[model])
        except ParameterError as error:
            raise ParameterError(f"presets.{self.name}.explainers.{name}: {error}") from None

    def prediction_of(self, model: str) -> MaskPrediction:
        """How a network predicts masks itself.

        Raises:
            ParameterError: its section does not say.
        """
        found = self.models[model].prediction
        if found is None:
            able = ", ".join(name for name, entry in self.models.items() if entry.prediction) or "none"
            raise ParameterError(
                f"presets.{self.name}.models.{model}: has no section `prediction`, so it predicts no masks itself "
                f"(those that do: {able})."
            )
        return found

    def resources_for(self, rule: str) -> Resources:
        """Resources of a rule: its own, or the default."""
        return self.resources.get(rule, self.resources.get("default", Resources()))

    def _references(self) -> Iterator[tuple[str, str, str | None, Collection[str]]]:
        for key, target in self.stand_ins.items():
            yield f"stand_ins.{key}", "data set", target, self.datasets
        for key in ("model", "explainer", "refiner"):
            yield f"own.{key}", key, getattr(self.own, key), getattr(self, f"{key}s")
        for key, weights in self.weights.items():
            yield f"weights.{key}.recipe", "model", getattr(weights, "recipe", None), self.models
        for key, model in self.models.items():
            yield f"models.{key}.weights", "weights", model.weights, self.weights
            others = [name for name in self.models if name != key]
            yield f"models.{key}.starts_from", "other model", model.starts_from, others
            yield f"models.{key}.texts", "prompts", model.texts, self.prompts
            for module, part in model.parts.items():
                yield f"models.{key}.parts.{module}.weights", "weights", part.weights, self.weights
            crf = model.prediction.crf if model.prediction else None
            yield f"models.{key}.prediction.crf", "CRF", crf, self.crf
        for key, network in self.affinity_networks.items():
            starts = (*self.weights, "classifier")
            yield f"affinity_networks.{key}.classifier", "model", network.classifier, self.models
            yield f"affinity_networks.{key}.weights", "weights", network.weights, starts
            yield f"affinity_networks.{key}.labels.crf", "CRF", network.labels.crf, self.crf
        for kind in _TRAINED:
            for key, entry in getattr(self, kind).items():
                name = entry.checkpoint.dataset if entry.checkpoint else None
                yield f"{kind}.{key}.checkpoint.dataset", "data set", name, self.datasets
        for kind in (*_VARIED, "resources"):
            for key, entry in getattr(self, kind).items():
                for dataset in entry.per_dataset:
                    yield f"{kind}.{key}.per_dataset", "data set", dataset, self.datasets
        for rule, entry in self.resources.items():
            for trained in entry.per_network:
                known = getattr(self, TRAININGS[rule][0]) if rule in TRAININGS else {}
                yield f"resources.{rule}.per_network", "trained network", trained, known
        for key, explainer in self.explainers.items():
            for other in explainer.per_model:
                yield f"explainers.{key}.per_model", "model", other, self.models
        for key, refiner in self.refiners.items():
            yield f"refiners.{key}.crf", "CRF", getattr(refiner, "crf", None), self.crf
            walked = self.network_of(key)
            yield f"refiners.{key}.network", "affinity network", walked, self.affinity_networks
        for key, segmenter in self.segmenters.items():
            yield f"segmenters.{key}.weights", "weights", segmenter.weights, self.weights
            yield f"segmenters.{key}.crf", "CRF", segmenter.crf, self.crf
            trained_here = [name for name, entry in self.segmenters.items() if not entry.trained_as]
            yield f"segmenters.{key}.trained_as", "segmenter that is trained", segmenter.trained_as, trained_here


def _twice(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Entries without their checkpoints, and those that have one once more, under the checkpoint's name."""
    published = {f"{name}{CHECKPOINT}": entry for name, entry in entries.items() if entry.checkpoint}
    return {**{name: entry.model_copy(update={"checkpoint": None}) for name, entry in entries.items()}, **published}
