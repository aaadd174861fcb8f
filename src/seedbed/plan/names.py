"""What names mean on a data set: sections with their changes for it, the network behind a row, how it is explained."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Protocol, TypeVar

from seedbed.data.index import WITHOUT
from seedbed.data.own_layout import has_masks, has_one_train
from seedbed.data.raw.sources import SourceTable
from seedbed.errors import ParameterError, UserError
from seedbed.papers import Layout
from seedbed.params import Preset
from seedbed.params.absent_values import AbsentValues, Parameters, plain
from seedbed.params.base import Section
from seedbed.params.data import Folder
from seedbed.params.preset import CHECKPOINT
from seedbed.params.refiner_sections import needs

Kind = TypeVar("Kind", bound=Section)


class Wildcards(Protocol):
    """The names in an artifact's path."""

    def __getattr__(self, name: str) -> str: ...


class Names:
    """A preset, asked by name.

    Args:
        preset: the checked preset.
        layout: where its artifacts lie.
        absent: what options that a result does not know stand for.
        scoring_chosen: whether the command line says how masks are scored.
        background_chosen: whether it says what background an explainer's maps compete with.
    """

    def __init__(
        self,
        preset: Preset,
        layout: Layout,
        absent: AbsentValues,
        scoring_chosen: bool = False,
        background_chosen: bool = False,
    ) -> None:
        self.scoring_chosen, self.background_chosen = scoring_chosen, background_chosen
        self.preset, self.layout, self.absent = preset, layout, absent
        silent = absent.says_nothing(preset, "precision")  # what rules that run a network are given more
        self.computing = {} if silent else {"precision": preset.precision}
        self._parameters: dict[tuple[int, tuple[str, ...]], tuple[Any, Parameters]] = {}
        self.on = cache(preset.on)
        self.explainer = cache(self._explainer)
        self._one_train = cache(self._has_one_train)

    def parameters(self, section: Any, *without: str) -> Parameters:
        """A section for a script, without its variants and without further fields; sections do not change."""
        key = (id(section), without)
        if key not in self._parameters:
            self._parameters[key] = section, self._parameters_of(section, without)  # whose id stays its own
        return self._parameters[key][1]

    def _parameters_of(self, section: Any, without: tuple[str, ...]) -> Parameters:
        left_out = {"per_dataset", "per_model", *without}
        keep = lambda values: {key: value for key, value in values.items() if key not in left_out}  # noqa: E731
        return Parameters(keep(plain(section)), keep(self.absent.identity(section)))

    def section(self, table: str, wildcards: Wildcards) -> Any:
        """The entry of ``models``, ``affinity_networks``, ``refiners`` or ``segmenters`` that a path names, as it is on
        the data set there."""
        return getattr(self.on(wildcards.dataset), table)[getattr(wildcards, WILDCARDS[table])]

    def dataset(self, name: str, kind: type[Kind]) -> Kind:
        """A data set that is of one kind, such as `Folder`.

        Raises:
            ParameterError: it is of another.
        """
        return self._of_kind("datasets", name, kind)

    def pretrained(self, name: str, kind: type[Kind]) -> Kind:
        """Weights that are of one kind, such as `TimmWeights`; raises as `dataset` does."""
        return self._of_kind("weights", name, kind)

    def crf(self, name: str | None) -> Parameters | None:
        """A named CRF, or None."""
        return self.parameters(self.preset.crf[name]) if name else None

    def network(self, model: str, dataset: str) -> Parameters:
        """What builds a classifier; its training does not matter to what is computed from it."""
        entry = self.on(dataset).models[model]
        return self.parameters(entry, *(name for name in type(entry).model_fields if name not in BUILDS_A_NETWORK))

    def weights(self, dataset: str, model: str, seed: str | int) -> str:
        """Weights of a classifier: trained here, adopted, or the pretrained ones as they are, perhaps with texts."""
        entry = self.on(dataset).models[model]
        if entry.train is None and entry.checkpoint is None:
            if entry.weights and entry.texts is None:
                return self.layout.weights(entry.weights)
            if entry.texts is None or not (entry.weights or entry.starts_from):
                raise UserError(f"models.{model}: has neither weights, nor train, nor checkpoint.")
        return f"{self.layout.classifier(dataset, model, seed)}/model.safetensors"

    def initial_weights(self, name: str | None) -> list[str]:
        """Weights that a network starts from; none if it starts from random values."""
        return [self.layout.weights(name)] if name else []

    def classifier_start(self, entry: Any, dataset: str, seed: str | int) -> list[str]:
        """Weights that a classifier starts from: named ones, or those of another classifier of the data set."""
        if entry.starts_from is None:
            return self.initial_weights(entry.weights)
        chain = self.preset.measured_names({"dataset": dataset, "model": entry.starts_from})
        return [self.weights(**chain, seed=seed)]

    def walk_network(self, wildcards: Wildcards) -> str:
        """The affinity network that a random walk runs on."""
        network = self.preset.network_of(wildcards.refiner)
        if network is None:
            raise ParameterError(f"refiners.{wildcards.refiner}: walks on no affinity network.")
        return network

    def scoring(self, dataset: str) -> Parameters:
        """How masks are scored; of your own data only classes with pixels count, unless the command line says else."""
        scoring = self.preset.scoring
        own = self.preset.datasets[dataset].kind == "folder" and not self.scoring_chosen
        return self.parameters(scoring.model_copy(update={"miou": "in_either"}) if own else scoring)

    def sweeps_background(self, dataset: str, refiner: str) -> bool:
        """Whether a refiner takes the background that is best on ``train``: the constant one, on your own data with
        masks, unless the command line gives it."""
        entry, data = self.preset.refiners[refiner], self.preset.datasets[dataset]
        constant = not needs(entry.kind, "affinities") and getattr(entry, "alpha", None) is None
        if self.background_chosen or not constant or not needs(entry.kind, "maps") or not isinstance(data, Folder):
            return False
        return has_masks(data.path)

    def stored_splits(self, dataset: str, split: str) -> tuple[str, ...]:
        """The splits under which the maps and masks of a split's images lie, each image in one of them.

        ``trainaug`` serves ``train`` where both are one. Where ``train`` is a part of it, it serves ``trainaug``, whose
        other images lie under a name of their own.
        """
        if split == "train" and self._one_train(dataset):
            return ("trainaug",)
        inside = split == "trainaug" and self.preset.datasets[dataset].train_inside()
        return ("train", f"trainaug{WITHOUT}train") if inside else (split,)

    def stored_shards(
        self, folder: Callable[..., str], extension: str, dataset: str, split: str, *chain: str | int
    ) -> list[str]:
        """All shards of the maps or masks of a split's images.

        Args:
            folder: of the layout, such as `Layout.masks`; takes data set, split and chain.
            extension: of a shard's file.
            dataset, split, chain: what the folder is of.
        """
        parts = self.stored_splits(dataset, split)
        return [shard for part in parts for shard in self.shards(folder(dataset, part, *chain), extension)]

    def shards(self, folder: str, extension: str) -> list[str]:
        """All shards of a folder of artifacts."""
        count = self.preset.shards
        return [f"{folder}/{number}-of-{count}.{extension}" for number in range(1, count + 1)]

    def of_kind(self, kind: str, table: str) -> str:
        """A regular expression of the names in a section whose entries are of one kind; nothing if there is none."""
        return _either(name for name, entry in getattr(self.preset, table).items() if entry.kind == kind)

    def refiners(self, affinities: bool) -> str:
        """A regular expression of the refiners that need an affinity network, or of those that need none."""
        kinds = self.preset.refiners.items()
        return _either(name for name, entry in kinds if needs(entry.kind, "affinities") == affinities)

    def networks(self, table: str, published: bool = False) -> str:
        """A regular expression of a section's networks that are trained here, or whose checkpoints are measured."""
        entries = getattr(self.preset, table).items()
        return _either(
            name for name, entry in entries if bool(entry.checkpoint) == published and not _only_described(entry)
        )

    def described(self) -> str:
        """A regular expression of the classifiers that are not trained and are given texts of their classes."""
        return _either(name for name, entry in self.preset.models.items() if _only_described(entry))

    def published_datasets(self, sources: SourceTable) -> str:
        """A regular expression of the data sets that are published."""
        return _either(name for name, entry in self.preset.datasets.items() if entry.kind in sources.datasets)

    def shipped_weights(self) -> list[str]:
        """Names of the weights that come with the project."""
        return [name for name, entry in self.preset.weights.items() if entry.kind == "shipped"]

    def chain(self, wildcards: Mapping[str, Any] | Wildcards, *keys: str) -> tuple[str, ...]:
        """Several names of a path."""
        return tuple(getattr(wildcards, key) for key in keys)

    def without_checkpoint(self, name: str) -> str:
        """A network's name without the ending of published checkpoints."""
        return name.removesuffix(CHECKPOINT)

    def _of_kind(self, table: str, name: str, kind: type[Kind]) -> Kind:
        entry = getattr(self.preset, table)[name]
        if not isinstance(entry, kind):
            raise ParameterError(f"{table}.{name}: is of kind '{entry.kind}', not one of {kind.__name__}.")
        return entry

    def _has_one_train(self, dataset: str) -> bool:
        entry = self.preset.datasets[dataset]
        return has_one_train(entry.path) if isinstance(entry, Folder) else bool(entry.one_train())

    def _explainer(self, dataset: str, model: str, explainer: str) -> Any:
        return self.on(dataset).explainer_of(explainer, model)


def _only_described(entry: Any) -> bool:
    """Whether a network is a pretrained one that texts alone tell its classes."""
    return bool(getattr(entry, "texts", None)) and entry.train is None and entry.checkpoint is None


def _either(names: Iterable[str]) -> str:
    return "|".join(names) or "(?!)"


WILDCARDS = {"models": "model", "affinity_networks": "network", "refiners": "refiner", "segmenters": "segmenter"}
"""Section of the parameters -> the wildcard that names its entries."""
BUILDS_A_NETWORK = ("architecture", "options", "num_classes")
