"""What the command line asks for beside tables: masks of your own images, one image explained."""

import csv
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from seedbed.errors import UserError, unknown_name
from seedbed.params import own_name
from seedbed.plan.code import Code
from seedbed.plan.names import Names, Wildcards
from seedbed.plan.planned_tables import PlannedTables

SPLITS = ("train", "val")


class OwnImages:
    """Masks of your own images, ``--config dataset=/path/to/folder``, and of the preset's.

    Args:
        config: what the command line says.
        names: what names mean.
        code: digests of code.
    """

    def __init__(self, config: Mapping[str, Any], names: Names, code: Code) -> None:
        self.folder, self.names, self.code = config.get("dataset"), names, code
        self.preset, self.layout = names.preset, names.layout

    def masks(self) -> list[str]:
        """Folders of the exported masks of your images.

        Raises:
            UserError: no folder is given.
        """
        if not self.folder:
            raise UserError("my_masks needs your images: --config dataset=/path/to/folder (see docs/own_data.md).")
        return [self.layout.exports(own_name(self.folder), split) for split in self.splits()]

    def exports(self) -> list[str]:
        """The same, or of VOC or its stand-in where no folder is given."""
        dataset = self.preset.dataset_for("voc12")
        return self.masks() if self.folder else [self.layout.exports(dataset, split) for split in SPLITS]

    def splits(self) -> list[str]:
        """Splits that your images' labels.csv names; both for the other layouts."""
        table = Path(self.folder or "") / "labels.csv"
        if not table.is_file():
            return list(SPLITS)
        with table.open(newline="", encoding="utf-8-sig") as stream:
            named = {(row.get("split") or "").strip() for row in csv.DictReader(stream)}
        return [split for split in SPLITS if split in named]

    # -- rules

    def index_inputs(self, wildcards: Wildcards) -> dict[str, Any]:
        """What describes your images: a change of it indexes them anew."""
        dataset = wildcards.dataset
        folder = Path(self.preset.datasets[dataset].path)
        if folder.resolve() == Path(self.layout.index(dataset)).parent.resolve():  # its classes.txt would be an output
            raise UserError(
                f"datasets.{dataset}.path: {folder} is where the index of {dataset} is written. Move your images, or "
                "give the data set another name."
            )
        tables = ("labels.csv", "classes.txt", "annotations/*.json", "ImageSets/*/*.txt")
        places = ("", "*/", "VOCdevkit/*/")  # as deep as VOC's layout may lie; not into the images
        found = {path for place in places for table in tables for path in folder.glob(f"{place}{table}")}
        return {"tables": sorted(map(str, found))}

    def index_parameters(self) -> dict[str, Any]:
        section = lambda wildcards: self.preset.datasets[wildcards.dataset]  # noqa: E731
        return {
            "code": self.code.of("index_folder"),
            "dataset": lambda wildcards: self.names.parameters(section(wildcards)),
        }

    def export_inputs(self, wildcards: Wildcards) -> dict[str, Any]:
        """Masks by the chain that ``own`` in the parameters names."""
        own, dataset = self.preset.own, wildcards.dataset
        chain = (own.model, own.explainer, own.refiner, self.preset.seeds[0])
        masks = self.layout.masks(dataset, wildcards.split, *chain)
        files = {"index": self.layout.index(dataset), "card": self.layout.card(dataset)}
        return {**files, "masks": self.names.shards(masks, "zip")}

    def export_parameters(self) -> dict[str, Any]:
        return {"code": self.code.of("export_masks"), "scoring": self.names.parameters(self.preset.scoring)}


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
        self.image, self.model = config.get("image"), config.get("model", "vit_base")

    @property
    def page(self) -> str:
        """The page without its extension."""
        stem = f"{Path(str(self.image or 'image')).stem}_{self.model}"
        return self.layout.explained(f"{stem}_{self.config['on']}" if self.config.get("on") else stem)

    def inputs(self, wildcards: Wildcards) -> dict[str, str]:
        """The image; weights and class names of a network of the preset. ImageNet's names come with timm.

        Raises:
            UserError: no image is given.
        """
        if not self.image:
            raise UserError("explain_image needs an image: --config image=cat.jpg, and perhaps model=... methods=...")
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
        chosen = self.config.get("methods", "all")
        methods = chosen.split(",") if isinstance(chosen, str) else list(chosen)
        code = self.code.of("explain_image", "seedbed.explain")
        return {"code": code, "network": network, "input": how, "loss": loss, "methods": methods, "top": 3}

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
