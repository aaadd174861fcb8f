"""Files that each rule reads: a method a rule, from the names in a path to its inputs by name."""

from pathlib import Path
from typing import Any

from seedbed.data.raw.sources import SourceTable
from seedbed.errors import ParameterError, UserError
from seedbed.params.data import FetchedWeights, Published, ShippedWeights, TimmWeights
from seedbed.params.preset import CHECKPOINT
from seedbed.params.refiner_sections import needs
from seedbed.plan.names import Names, Wildcards

Files = dict[str, Any]


class Inputs:
    """Inputs of the stages from data sets to predictions.

    Args:
        names: what names mean.
        sources: files that publishers offer.
        base: folder of the project.
    """

    def __init__(self, names: Names, sources: SourceTable, base: Path) -> None:
        self.names, self.sources, self.base = names, sources, base
        self.preset, self.layout = names.preset, names.layout

    # -- data and weights

    def unpack_source(self, wildcards: Wildcards) -> Files:
        """Stamp of the archive; none where the data set already lies on disk."""
        lies_here = self.names.dataset(wildcards.dataset, Published).path
        return {"stamp": [] if lies_here else [self.stamp(wildcards.source)]}

    def prepare_dataset(self, wildcards: Wildcards) -> Files:
        """Stamps of the raw folders."""
        dataset = wildcards.dataset
        return {"stamps": [self.layout.unpacked(dataset, source) for source in self.wanted_sources(dataset)]}

    def shipped_weights(self, wildcards: Wildcards) -> str:
        return str(self.base / self.names.pretrained(wildcards.weights, ShippedWeights).file)

    def convert_weights(self, wildcards: Wildcards) -> Files:
        """Published weights: a file of yours, or the stamp of the one that is kept."""
        entry = self.names.pretrained(wildcards.weights, FetchedWeights)
        return {"file": entry.path or self.stamp(entry.source)}

    def provide_timm_weights(self, wildcards: Wildcards) -> Files:
        """Stamp of the weights that timm publishes."""
        return {"file": self.layout.timm_stamp(self.names.pretrained(wildcards.weights, TimmWeights).tag)}

    def compare_rebuilt_weights(self, wildcards: Wildcards) -> Files:
        """Shipped weights, and what their recipe trains on the stand-in for ImageNet."""
        entry = self.names.pretrained(wildcards.weights, ShippedWeights)
        rebuilt = self.names.weights(self.preset.dataset_for("imagenet"), entry.recipe, 0)
        return {"shipped": str(self.base / entry.file), "rebuilt": rebuilt}

    def stamp(self, source: str) -> str:
        """What says that a file of the table of sources is there and verified."""
        return self.layout.stamp(source, self.sources.file(source).file)

    def wanted_sources(self, dataset: str) -> list[str]:
        """Files of a published data set: those it needs, and the optional ones that the parameters ask for."""
        entry = self.names.dataset(dataset, Published)
        every = self.sources.of_dataset(entry.kind)
        return [source.name for source in every if not source.optional or source.name in entry.optional]

    # -- networks

    def train_classifier(self, wildcards: Wildcards) -> Files:
        entry = self.names.section("models", wildcards)
        start = self.names.classifier_start(entry, wildcards.dataset, wildcards.seed)
        files = {**self._dataset(wildcards), "weights": start}
        return {**files, "texts": self._texts(wildcards)}

    def describe_classifier(self, wildcards: Wildcards) -> Files:
        """As a training, and the weights of parts."""
        parts = self.names.section("models", wildcards).parts.values()
        return {**self.train_classifier(wildcards), "parts": [self.layout.weights(part.weights) for part in parts]}

    def encode_texts(self, wildcards: Wildcards) -> Files:
        """The data set, and sentences that attributes are made of."""
        asked = self.names.on(wildcards.dataset).prompts[wildcards.prompts]
        return {**self._dataset(wildcards), "attributes": asked.inputs()}

    def train_affinity_network(self, wildcards: Wildcards) -> Files:
        """Labels of both kinds; the row's classifier, another one or named weights to start from."""
        entry, folder = self.names.section("affinity_networks", wildcards), self._affinity(wildcards)
        weights = self.names.initial_weights(entry.weights)
        if entry.weights == "classifier":
            chain = {"dataset": wildcards.dataset, "model": entry.classifier or wildcards.model}
            weights = [self.names.weights(**self.preset.measured_names(chain), seed=wildcards.seed)]
        shards = {kind: self.names.shards(f"{folder}/{kind}", "h5") for kind in ("low", "high")}
        return {**self._dataset(wildcards), **shards, "weights": weights}

    def train_segmenter(self, wildcards: Wildcards) -> Files:
        """Every shard of the masks that the network trains on."""
        entry = self.names.section("segmenters", wildcards)
        chain = self.names.chain(wildcards, "model", "explainer", "refiner", "seed")
        masks = self.names.stored_shards(self.layout.masks, "zip", wildcards.dataset, entry.train.split, *chain)
        return {**self._dataset(wildcards), "masks": masks, "weights": self.names.initial_weights(entry.weights)}

    def adopt_classifier(self, wildcards: Wildcards) -> Files:
        file = self._checkpoint("models", wildcards.model)
        return {"file": file, **self._dataset(wildcards), "texts": self._texts(wildcards)}

    def adopt_affinity_network(self, wildcards: Wildcards) -> Files:
        return {"file": self._checkpoint("affinity_networks", wildcards.network), **self._dataset(wildcards)}

    def adopt_segmenter(self, wildcards: Wildcards) -> Files:
        return {"file": self._checkpoint("segmenters", wildcards.segmenter), **self._dataset(wildcards)}

    # -- maps and masks

    def explain(self, wildcards: Wildcards) -> Files:
        chain = self.names.chain(wildcards, "dataset", "model", "seed")
        return {**self._dataset(wildcards), "weights": self.names.weights(*chain)}

    run_protocol = measure_network = explain

    def score_heatmaps(self, wildcards: Wildcards) -> Files:
        chain = self.names.chain(wildcards, "dataset", "split", "model", "explainer", "seed")
        maps = self.names.stored_shards(self.layout.heatmaps, "h5", *chain)
        return {**self._dataset(wildcards), "heatmaps": maps}

    def merge_protocol(self, wildcards: Wildcards) -> Files:
        chain = self.names.chain(wildcards, "dataset", "split", "model", "explainer", "seed")
        shards = self.names.shards(f"{self.layout.heatmaps(*chain)}/{wildcards.protocol}", "json")
        return {"card": self.layout.card(wildcards.dataset), "shards": shards}

    def merge_network(self, wildcards: Wildcards) -> Files:
        chain = self.names.chain(wildcards, "dataset", "model", "seed")
        folder = f"{self.layout.classifier(*chain)}/{wildcards.split}/{wildcards.measurement}"
        return {"card": self.layout.card(wildcards.dataset), "shards": self.names.shards(folder, "json")}

    def label_affinities(self, wildcards: Wildcards) -> Files:
        """A shard of the maps of the split that the affinity network trains on."""
        split = self.names.section("affinity_networks", wildcards).train.split
        folders = [self._heatmaps(wildcards, part) for part in self.names.stored_splits(wildcards.dataset, split)]
        return {**self._dataset(wildcards), "heatmaps": [f"{one}/{wildcards.scatteritem}.h5" for one in folders]}

    def refine_masks(self, wildcards: Wildcards) -> Files:
        """A shard of heat maps, none where a refiner needs no maps; the maps' scores on ``train`` where they choose."""
        stored = self.names.stored_splits(wildcards.dataset, wildcards.split)
        split = stored[0] if len(stored) == 1 else wildcards.split
        shard = f"{self._heatmaps(wildcards, split)}/{wildcards.scatteritem}.h5"
        mapped = needs(self.preset.refiners[wildcards.refiner].kind, "maps")
        files = {**self._dataset(wildcards), "heatmaps": shard if mapped else []}
        if self.names.sweeps_background(wildcards.dataset, wildcards.refiner):
            chain = self.names.chain(wildcards, "model", "explainer", "seed")
            files["sweep"] = f"{self.layout.heatmaps(wildcards.dataset, 'train', *chain)}/heatmaps.json"
        return files

    def random_walk(self, wildcards: Wildcards) -> Files:
        """Heat maps, and the affinity network that was trained on the same maps of another split."""
        names, network = wildcards, self.names.walk_network(wildcards)
        folder = self.layout.affinity(names.dataset, names.model, names.explainer, network, names.seed)
        return {**self.refine_masks(wildcards), "weights": f"{folder}/model.safetensors"}

    def score_pseudo_masks(self, wildcards: Wildcards) -> Files:
        chain = self.names.chain(wildcards, "dataset", "split", "model", "explainer", "refiner", "seed")
        masks = self.names.stored_shards(self.layout.masks, "zip", *chain)
        return {**self._dataset(wildcards), "masks": masks}

    def segment(self, wildcards: Wildcards) -> Files:
        """The network that this segmenter trains, or that of another which it tests in its own way."""
        trained = self.preset.trained_segmenter(wildcards.segmenter)
        model, explainer, refiner = wildcards.model, wildcards.explainer, wildcards.refiner
        folder = self.layout.segmenter(wildcards.dataset, model, explainer, refiner, trained, wildcards.seed)
        return {**self._dataset(wildcards), "weights": f"{folder}/model.safetensors"}

    def score_segmentation(self, wildcards: Wildcards) -> Files:
        folder = f"{self._segmenter(wildcards)}/{wildcards.split}"
        return {**self._dataset(wildcards), "masks": self.names.shards(folder, "zip")}

    pack_submission = score_segmentation

    predict_masks = explain

    def score_prediction(self, wildcards: Wildcards) -> Files:
        folder = self.layout.prediction(*self.names.chain(wildcards, "dataset", "model", "split", "seed"))
        return {**self._dataset(wildcards), "masks": self.names.shards(folder, "zip")}

    pack_prediction = score_prediction

    # --

    def _dataset(self, wildcards: Wildcards) -> Files:
        return {"index": self.layout.index(wildcards.dataset), "card": self.layout.card(wildcards.dataset)}

    def _texts(self, wildcards: Wildcards) -> list[str]:
        """Texts that a classifier compares images with; none where it compares none."""
        texts = self.names.section("models", wildcards).texts
        return [self.layout.texts(wildcards.dataset, texts)] if texts else []

    def _heatmaps(self, wildcards: Wildcards, split: str) -> str:
        """Folder of the maps that are stored under a split."""
        chain = self.names.chain(wildcards, "model", "explainer", "seed")
        return self.layout.heatmaps(wildcards.dataset, split, *chain)

    def _affinity(self, wildcards: Wildcards) -> str:
        return self.layout.affinity(*self.names.chain(wildcards, "dataset", "model", "explainer", "network", "seed"))

    def _segmenter(self, wildcards: Wildcards) -> str:
        chain = ("dataset", "model", "explainer", "refiner", "segmenter", "seed")
        return self.layout.segmenter(*self.names.chain(wildcards, *chain))

    def _checkpoint(self, table: str, name: str) -> str:
        """A published checkpoint's file.

        Raises:
            UserError: it is not there.
        """
        checkpoint = getattr(self.preset, table)[name].checkpoint
        if checkpoint is None:
            raise ParameterError(f"{table}.{name}: has no checkpoint.")
        if not Path(checkpoint.path).is_file():
            raise UserError(f"{table}.{name.removesuffix(CHECKPOINT)}.checkpoint: there is no file {checkpoint.path}.")
        return checkpoint.path
