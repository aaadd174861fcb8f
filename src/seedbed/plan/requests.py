"""What the command line asks for beside tables: masks of your own images, masks made elsewhere, one image explained."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from seedbed.data.own_layout import is_described, own_splits
from seedbed.data.own_source import claim, contents, digest_of
from seedbed.errors import UserError, nearest, unknown_name
from seedbed.io.registrations import registered_names
from seedbed.params import own_name
from seedbed.params.data import Folder
from seedbed.params.load import input_path, user_path
from seedbed.params.samples import PSEUDO_MASKS
from seedbed.plan.code import CATALOGUES, Code, every_module_of
from seedbed.plan.names import Names, Wildcards
from seedbed.plan.planned_tables import PlannedTables
from seedbed.plan.timm_source import timm_networks

SPLITS = ("train", "val")


def _unbraced(name: str) -> str:
    """A name without braces, which mean something in paths of rules."""
    return name.replace("{", "-").replace("}", "-")


class OwnImages:
    """Masks of your own images, ``--config dataset=/path/to/folder``, and of the preset's.

    Args:
        config: what the command line says.
        names: what names mean.
        code: digests of code.
    """

    def __init__(self, config: Mapping[str, Any], names: Names, code: Code) -> None:
        self.config, self.names, self.code = config, names, code
        self.preset, self.layout = names.preset, names.layout

    def claim(self) -> None:
        """Let each of your own data sets be its folder's.

        Raises:
            UserError: its name is already another folder's, or its table lists no image.
        """
        for name, entry in self.preset.datasets.items():
            if isinstance(entry, Folder) and is_described(entry.path):
                claim(Path(self.layout.index(name)).parent, entry.path)
        if self.config.get("dataset") and not self.config.get("masks"):
            own_splits(self.names.dataset(self.dataset(), Folder).path)

    def dataset(self) -> str:
        """Name of the data set of your images.

        Raises:
            UserError: no folder is given.
        """
        if not self.config.get("dataset"):
            raise UserError("my_masks needs your images: --config dataset=/path/to/folder (see docs/own_data.md).")
        return own_name(self.config["dataset"], self.config.get("dataset_name"))

    def masks(self) -> list[str]:
        """Folders of the exported masks of your images, a split each."""
        name = self.dataset()
        return [self.layout.exports(name, split) for split in own_splits(self.names.dataset(name, Folder).path)]

    def exports(self) -> list[str]:
        """The same, or of VOC or its stand-in where no folder is given."""
        if self.config.get("dataset"):
            return self.masks()
        return [self.layout.exports(self.preset.dataset_for("voc12"), split) for split in SPLITS]

    # -- rules

    def index_parameters(self) -> dict[str, Any]:
        """One digest of your files: a change of labels, lists, images or masks indexes them anew."""
        side = lambda wildcards: self.names.dataset(wildcards.dataset, Folder).longest_side  # noqa: E731
        return {"code": self.code.of("index_folder"), "contents": self._contents, "longest_side": side}

    def export_inputs(self, wildcards: Wildcards) -> dict[str, Any]:
        """Masks by the chain that ``own`` in the parameters names."""
        own, dataset = self.preset.own, wildcards.dataset
        chain = (own.model, own.explainer, own.refiner, self.preset.seeds[0])
        files = {"index": self.layout.index(dataset), "card": self.layout.card(dataset)}
        return {**files, "masks": self.names.stored_shards(self.layout.masks, "zip", dataset, wildcards.split, *chain)}

    def export_parameters(self) -> dict[str, Any]:
        scoring = lambda wildcards: self.names.scoring(wildcards.dataset)  # noqa: E731
        return {"code": self.code.of("export_masks"), "scoring": scoring}

    def _contents(self, wildcards: Wildcards) -> str:
        root = Path(self.layout.index(wildcards.dataset)).parent
        return contents(root, self.names.dataset(wildcards.dataset, Folder).path)


class ScoredMasks:
    """Masks made elsewhere against the truth: ``--config masks=FOLDER dataset=NAME or FOLDER split=val``.

    Args:
        config: what the command line says.
        own: your own images, if ``dataset`` is a folder.
        names: what names mean.
        code: digests of code.
    """

    def __init__(self, config: Mapping[str, Any], own: OwnImages, names: Names, code: Code) -> None:
        self.config, self.own, self.code = _with_samples(config), own, code
        self.names, self.preset, self.layout = names, names.preset, names.layout

    @property
    def folder(self) -> str:
        """Where the scores lie: masks of two folders never overwrite each other's."""
        masks = user_path(self.config.get("masks") or "masks").resolve()
        given = "|".join(str(self.config.get(key)) for key in ("dataset", "dataset_name", "split"))
        return self.layout.scores(f"{_unbraced(masks.name)}_{sha256(f'{masks}|{given}'.encode()).hexdigest()[:8]}")

    def inputs(self, wildcards: Wildcards) -> dict[str, Any]:
        """Index and card of the data set that masks are scored on, if it has them."""
        dataset = self._dataset()
        return {"index": self.layout.index(dataset), "card": self.layout.card(dataset)} if dataset else {}

    def parameters(self) -> dict[str, Any]:
        return {
            "code": self.code.of("score_mask_files"),
            "files": self._files,
            "split": self.split,
            "scoring": self.names.parameters(self.preset.scoring),
        }

    def _dataset(self) -> str | None:
        """Name of the data set; None for a folder of ground truth alone.

        Raises:
            UserError: masks or truth are not given, or the data set has no such split.
        """
        if not self.config.get("masks") or not self.config.get("dataset"):
            raise UserError(
                "score_masks needs masks and their truth: --config masks=/path/to/masks dataset=NAME or "
                "/path/to/folder split=val (see docs/own_data.md)."
            )
        if self.config["dataset"] in self.preset.datasets:
            return self._with_split(self.config["dataset"], self.preset.datasets[self.config["dataset"]].splits())
        described = is_described(self._truth)
        return self._with_split(self.own.dataset(), own_splits(self._truth)) if described else None

    def _with_split(self, dataset: str, splits: Iterable[str] | None) -> str:
        """The data set, if it has the split that is asked for."""
        if splits is not None and self.split not in splits:
            raise UserError(f"split={self.split}: {unknown_name(f'split of {dataset}', self.split, splits)}")
        return dataset

    @property
    def split(self) -> str:
        return str(self.config.get("split") or "val")

    @property
    def _truth(self) -> str:
        return str(user_path(self.config["dataset"]).resolve())

    def _files(self, wildcards: Wildcards) -> dict[str, Any]:
        """What is compared: folders, and digests of what lies there."""
        masks = str(user_path(self.config["masks"]))
        truth = None if self._dataset() else self._truth
        return {"masks": masks, "truth": truth, "contents": [digest_of(each) for each in (masks, truth) if each]}


def _with_samples(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is scored where nothing is named: the samples' masks made elsewhere, if they are there."""
    folder = user_path(config["samples"]) / PSEUDO_MASKS if config.get("samples") else None
    if folder is None or config.get("masks") or not folder.is_dir():
        return config
    return {**config, "masks": str(folder / "masks"), "dataset": str(folder / "truth")}


class ExplainedImage:
    """One image through the methods: ``--config image=cat.jpg``, and perhaps ``model``, ``on``, ``methods``.

    Args:
        config: what the command line says.
        tables: where a network is measured first, if ``on`` is not given.
        names: what names mean.
        code: digests of code.
    """

    def __init__(self, config: Mapping[str, Any], tables: PlannedTables, names: Names, code: Code) -> None:
        self.config, self.tables, self.names, self.code = config, tables, names, code
        self.preset, self.layout = names.preset, names.layout
        given = config.get("image")
        self.image = str(user_path(given)) if given else None
        self.model = str(config.get("model", "vit_base"))
        chosen = config.get("methods", "all")
        self.methods = [str(name).strip() for name in (chosen if isinstance(chosen, list) else str(chosen).split(","))]

    @property
    def page(self) -> str:
        """The page without its extension."""
        stem = f"{_unbraced(Path(str(self.image or 'image')).stem)}_{self.model}"
        return self.layout.explained(f"{stem}_{self.config['on']}" if self.config.get("on") else stem)

    def inputs(self, wildcards: Wildcards) -> dict[str, str]:
        """The image; weights and class names of a network of the preset. ImageNet's names come with timm.

        Raises:
            UserError: no image is given, or it is no file; or the network or a method is unknown.
        """
        if not self.image:
            raise UserError("explain_image needs an image: --config image=cat.jpg, and perhaps model=... methods=...")
        input_path(self.image)
        if not Path(self.image).is_file():
            raise UserError(f"image: '{self.image}' is not a file. Give the image to explain.")
        self._check_names()
        files = {"image": self.image}
        if self.model in self.preset.models:
            files["weights"] = self.names.weights(**self._chain, seed=self.preset.seeds[0])
            if self.preset.datasets[self._chain["dataset"]].kind != "imagenet":
                files["classes"] = self.layout.classes(self._chain["dataset"])
        return files

    def parameters(self) -> dict[str, Any]:
        """What explains it, how that sees images, and the loss that taught it; a timm classifier says the second."""
        network: Any = {"architecture": self.model, "options": {}}
        how, loss = None, "cross_entropy"
        if self.image and self.model in self.preset.models:
            entry = self.names.on(self._chain["dataset"]).models[self._chain["model"]]
            network, how = self.names.network(**self._chain), self.names.parameters(entry.input)
            loss = entry.train.loss if entry.train else loss
        code = self.code.of("explain_image", *every_module_of("explanation method"))
        return {"code": code, "network": network, "input": how, "loss": loss, "methods": self.methods, "top": 3}

    def _check_names(self) -> None:
        """Refuse a network that neither the preset nor timm has, and unknown methods, with their nearest match."""
        architecture = self.model.partition(".")[0]
        if self.model not in self.preset.models and architecture not in timm_networks() and ":" not in self.model:
            near = nearest(self.model, [*self.preset.models, *timm_networks()])
            raise UserError(
                f"model={self.model}: is no network of the preset '{self.preset.name}', nor one of timm's.{near} Of "
                f"the preset: {', '.join(sorted(self.preset.models))}."
            )
        known = [*registered_names(*CATALOGUES["explanation method"]), "all"]
        for name in self.methods:
            if name not in known:
                raise UserError(f"methods={name}: {unknown_name('explanation method', name, known)}")

    @cached_property
    def _chain(self) -> dict[str, Any]:
        """The network in the preset, and the data set whose classes it knows: ``on``, or where a table measures it."""
        given, without = self.config.get("on"), self.names.without_checkpoint
        if given and given not in self.preset.datasets:
            raise UserError(f"on={given}: {unknown_name('data set', given, self.preset.datasets)}")
        cells = (cell.measurement for target in self.tables.targets.values() for cell in self.tables.cells(*target))
        where = (found.dataset for found in cells if found and without(found.model) == self.model)
        dataset = given or next(where, self.preset.dataset_for("imagenet"))
        return self.preset.measured_names({"model": self.model, "dataset": dataset})
