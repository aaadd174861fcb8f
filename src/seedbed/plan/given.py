"""Parameters that each rule is given: a method a rule, from its parameters' names to a value or a function of the path.

Each receives what it uses and nothing else, so that a change of another parameter does not run it again; ``code`` is
the digest of the code that computes its result (`seedbed.io.identity`).
"""

import re
from collections.abc import Callable
from typing import Any

from seedbed.data.index import SUBSETS
from seedbed.data.own_source import digest_of
from seedbed.errors import UserError, unknown_name
from seedbed.papers.measured import measurements, measures
from seedbed.params.data import ImagenetFolder, Published, ShippedWeights
from seedbed.params.refiner_sections import needs
from seedbed.plan.code import (
    Code,
    checkpoint_modules,
    explainer_modules,
    layer_modules,
    measurement_modules,
    modules_of,
    network_modules,
    prediction_modules,
    refiner_modules,
    training_modules,
)
from seedbed.plan.inputs import Inputs
from seedbed.plan.names import WILDCARDS, Names, Wildcards

Given = dict[str, Any]
LOCK = "data/lock.json"
_AFTER_TRAINING = {"models": ("prediction",)}
"""Fields of a network's section that say what is done with it once it is trained."""


class GivenParameters:
    """Parameters of the stages from data sets to predictions.

    Args:
        names: what names mean.
        inputs: for the files of published data sets.
        code: digests of code.
    """

    def __init__(self, names: Names, inputs: Inputs, code: Code) -> None:
        self.names, self.preset, self.inputs, self.code = names, names.preset, inputs, code
        self.layout, self.sources = names.layout, inputs.sources

    # -- data and weights

    def make_shapes(self) -> Given:
        return {"code": self.code.of("make_shapes"), "dataset": self._dataset_section}

    def index_imagenet_folder(self) -> Given:
        path = lambda wildcards: self.names.dataset(wildcards.dataset, ImagenetFolder).path  # noqa: E731
        return {
            "code": self.code.of("index_imagenet_folder"),
            "contents": lambda wildcards: digest_of(path(wildcards)),
            "path": path,
        }

    def prepare_dataset(self) -> Given:
        kind = lambda wildcards: self.preset.datasets[wildcards.dataset].kind  # noqa: E731
        return {
            "code": lambda wildcards: self.code.of(
                "prepare_dataset", *modules_of("published data set", kind(wildcards))
            ),
            "kind": kind,
            "options": lambda wildcards: self.names.dataset(wildcards.dataset, Published).options,
            "licence": lambda wildcards: self.sources.datasets[kind(wildcards)].licence,
            "sources": lambda wildcards: self.inputs.wanted_sources(wildcards.dataset),
            "lock": LOCK,
        }

    def fetch_source(self) -> Given:
        return {"content": lambda wildcards: self.sources.file(wildcards.source).identity(), "lock": LOCK}

    def unpack_source(self) -> Given:
        return {**self.fetch_source(), "path": lambda wildcards: self.names.dataset(wildcards.dataset, Published).path}

    # Checksums prove what is fetched, unpacked and shipped, so that no code is among what makes these rules run again.

    def provide_shipped_weights(self) -> Given:
        return {"sha256": lambda wildcards: self.names.pretrained(wildcards.weights, ShippedWeights).sha256}

    def fetch_timm_weights(self) -> Given:
        return {"lock": LOCK}

    def convert_weights(self) -> Given:
        return {"code": self.code.of("convert_weights")}

    def compare_rebuilt_weights(self) -> Given:
        return {"code": self.code.of("compare_rebuilt_weights")}

    def _dataset_section(self, wildcards: Wildcards) -> Any:
        return self.names.parameters(self.preset.datasets[wildcards.dataset])

    # -- networks

    def train_classifier(self) -> Given:
        folder = self.layout.classifier("{dataset}", "{model}", "{seed}")
        return self._training("train_classifier", "models", "model", folder)

    def encode_texts(self) -> Given:
        prompts = lambda wildcards: self.names.on(wildcards.dataset).prompts[wildcards.prompts]  # noqa: E731
        return {
            "code": self.code.of("encode_texts"),
            "prompts": lambda wildcards: self.names.parameters(prompts(wildcards)),
            "lock": LOCK,
        }

    def describe_classifier(self) -> Given:
        section = self._section("models", *_AFTER_TRAINING["models"])
        return {"code": self._code("describe_classifier", training_modules, section), "model": section}

    def train_affinity_network(self) -> Given:
        folder = self.layout.affinity("{dataset}", "{model}", "{explainer}", "{network}", "{seed}")
        return self._training("train_affinity_network", "affinity_networks", "network", folder)

    def train_segmenter(self) -> Given:
        folder = self.layout.segmenter("{dataset}", "{model}", "{explainer}", "{refiner}", "{segmenter}", "{seed}")
        return self._training("train_segmenter", "segmenters", "segmenter", folder)

    def _training(self, script: str, table: str, key: str, folder: str) -> Given:
        section = self._section(table, *_AFTER_TRAINING.get(table, ()))
        return {
            "code": self._code(script, training_modules, section),
            key: section,
            "state": f"{folder}/resume.pt",
            **self.names.computing,
        }

    def adopt_classifier(self) -> Given:
        return self._adoption("models")

    def adopt_affinity_network(self) -> Given:
        return self._adoption("affinity_networks")

    def adopt_segmenter(self) -> Given:
        return self._adoption("segmenters")

    def _adoption(self, table: str) -> Given:
        section = self._section(table)
        return {
            "code": self._code("adopt_checkpoint", checkpoint_modules, section),
            "kind": table,
            "name": lambda wildcards: getattr(wildcards, WILDCARDS[table]),
            "network": section,
        }

    # -- maps and masks

    def explain(self) -> Given:
        return {
            "code": self._explaining("explain"),
            "explainer": self._explainer,
            "network": self._network,
            **self.names.computing,
        }

    def run_protocol(self) -> Given:
        return {
            "code": self._explaining("run_protocol", measuring=True),
            "explainer": self._explainer,
            "network": self._network,
            "protocol": self.protocol,
            **self.names.computing,
        }

    def merge_protocol(self) -> Given:
        return {
            "code": lambda wildcards: self.code.of("merge_protocol", *self._measurement(wildcards)),
            "protocol": self.protocol,
        }

    def measure_network(self) -> Given:
        section = lambda wildcards: self.names.section("models", wildcards)  # noqa: E731
        return {
            "code": lambda wildcards: self.code.of(
                "measure_network",
                *network_modules(self._network(wildcards)),
                *measurement_modules(wildcards.measurement),
            ),
            "input": lambda wildcards: self.names.parameters(section(wildcards).input),
            "network": self._network,
            "protocol": self._of_network,
            **self.names.computing,
        }

    def merge_network(self) -> Given:
        return {
            "code": lambda wildcards: self.code.of("merge_protocol", *measurement_modules(wildcards.measurement)),
            "protocol": self._of_network,
        }

    def score_heatmaps(self) -> Given:
        explainer = self._explainer_section
        return {
            "code": self.code.of("score_heatmaps"),
            "scoring": self._scoring,
            "background": lambda wildcards: explainer(wildcards).background,
            "sweep": lambda wildcards: explainer(wildcards).sweep,
        }

    def label_affinities(self) -> Given:
        section = lambda wildcards: self.names.section("affinity_networks", wildcards)  # noqa: E731
        return {
            "code": self.code.of("label_affinities"),
            "labels": lambda wildcards: self.names.parameters(section(wildcards).labels),
            "crf": lambda wildcards: self.names.crf(section(wildcards).labels.crf),
            "splits": lambda wildcards: list(
                self.names.stored_splits(wildcards.dataset, section(wildcards).train.split)
            ),
        }

    def refine_masks(self) -> Given:
        return {
            "code": lambda wildcards: self.code.of("refine_masks", *refiner_modules(self._refiner(wildcards))),
            "refiner": self._refiner,
            "crf": lambda wildcards: self.names.crf(self._refiner(wildcards).get("crf")),
            "background": self._background,
        }

    def random_walk(self) -> Given:
        return {
            "code": self._walking,
            "refiner": self._refiner,
            "network": self._walked,
            "crf": lambda wildcards: self.names.crf(self._refiner(wildcards).get("crf")),
            **self.names.computing,
        }

    def segment(self) -> Given:
        section = lambda wildcards: self.names.section("segmenters", wildcards)  # noqa: E731
        return {
            "code": self._code("segment", prediction_modules, self._section("segmenters")),
            "segmenter": self._section("segmenters"),
            "crf": lambda wildcards: self.names.crf(section(wildcards).crf),
            **self.names.computing,
        }

    def score_pseudo_masks(self) -> Given:
        return {"code": self.code.of("score_masks"), "scoring": self._scoring}

    score_segmentation = score_prediction = score_pseudo_masks

    def predict_masks(self) -> Given:
        return {
            "code": lambda wildcards: self.code.of("predict_masks", *self._predicting(wildcards)),
            "network": self._network,
            "input": lambda wildcards: self.names.parameters(self.names.section("models", wildcards).input),
            "prediction": lambda wildcards: self.names.parameters(self._prediction(wildcards)),
            "crf": lambda wildcards: self.names.crf(self._prediction(wildcards).crf),
            **self.names.computing,
        }

    def pack_submission(self) -> Given:
        return {"code": self.code.of("pack_submission")}

    pack_prediction = pack_submission

    # --

    def _section(self, table: str, *without: str) -> Callable[[Wildcards], Any]:
        return lambda wildcards: self.names.parameters(self.names.section(table, wildcards), *without)

    def _code(
        self, script: str, modules: Callable[[Any], list[str]], section: Callable[[Wildcards], Any]
    ) -> Callable[[Wildcards], str]:
        """Digest of a script and of what a section chooses."""
        return lambda wildcards: self.code.of(script, *modules(section(wildcards)))

    def _network(self, wildcards: Wildcards) -> Any:
        return self.names.network(wildcards.model, wildcards.dataset)

    def _explainer_section(self, wildcards: Wildcards) -> Any:
        return self.names.explainer(wildcards.dataset, wildcards.model, wildcards.explainer)

    def _explainer(self, wildcards: Wildcards) -> Any:
        return self.names.parameters(self._explainer_section(wildcards))

    def _scoring(self, wildcards: Wildcards) -> Any:
        return self.names.scoring(wildcards.dataset)

    def _refiner(self, wildcards: Wildcards) -> Any:
        return self.names.parameters(self.preset.refiners[wildcards.refiner])

    def _prediction(self, wildcards: Wildcards) -> Any:
        """How a network predicts masks itself.

        Raises:
            ParameterError: its section does not say.
        """
        return self.names.on(wildcards.dataset).prediction_of(wildcards.model)

    def _predicting(self, wildcards: Wildcards) -> list[str]:
        return prediction_modules({**self._network(wildcards), **self._prediction(wildcards).plain()})

    def _background(self, wildcards: Wildcards) -> float | None:
        """The explainer's constant background; None where a refiner needs no maps, and so no explainer."""
        mapped = needs(self.preset.refiners[wildcards.refiner].kind, "maps")
        return self._explainer_section(wildcards).background if mapped else None

    def _walked(self, wildcards: Wildcards) -> Any:
        """The affinity network that a refiner walks on."""
        networks = self.names.on(wildcards.dataset).affinity_networks
        return self.names.parameters(networks[self.names.walk_network(wildcards)])

    def _walking(self, wildcards: Wildcards) -> str:
        chosen = [*refiner_modules(self._refiner(wildcards)), *network_modules(self._walked(wildcards))]
        return self.code.of("refine_masks", *chosen)

    def _explaining(self, script: str, measuring: bool = False) -> Callable[[Wildcards], str]:
        def digest(wildcards: Wildcards) -> str:
            network, explainer = self._network(wildcards), self._explainer(wildcards)
            measured = [*layer_modules(explainer), *self._measurement(wildcards)] if measuring else []
            return self.code.of(script, *network_modules(network), *explainer_modules(explainer, network), *measured)

        return digest

    def _measurement(self, wildcards: Wildcards) -> list[str]:
        return measurement_modules(self.protocol(wildcards)["name"])

    @property
    def protocols(self) -> str:
        """A regular expression of measurements of explanations, perhaps on a subset: localization_single_class."""
        return rf"({'|'.join(measurements(maps=True))})(_({'|'.join(SUBSETS)}))?"

    @property
    def of_networks(self) -> str:
        """A regular expression of measurements of a classifier itself."""
        return "|".join(measurements(maps=False))

    def _of_network(self, wildcards: Wildcards) -> dict[str, Any]:
        """Name and options of a measurement of a classifier itself."""
        return {"name": wildcards.measurement, "options": self.preset.protocols.get(wildcards.measurement, {})}

    def protocol(self, wildcards: Wildcards) -> dict[str, Any]:
        """Name, subset and options of a measurement."""
        found = re.fullmatch(self.protocols, wildcards.protocol)
        if found is None:
            raise UserError(unknown_name("measurement", wildcards.protocol, measurements(maps=True)))
        name, _, subset = found.groups()
        scored = measures(name, "scoring")
        options = self._scoring(wildcards) if scored else self.preset.protocols.get(name, {})
        return {"name": name, "subset": subset, "options": options}
