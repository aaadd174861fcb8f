"""What jobs repeat for each image, as units that can be counted once: a network's step, an explanation, a CRF.

A unit is a kind and everything that its cost depends on; `benchmarks/count.py` runs each once with the library's own
code, and `seedbed.plan.forecasts.counts` holds what it counted. Two jobs that do the same for an image share a unit.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from seedbed.params import Preset
from seedbed.plan.forecasts.typical import Typical, typical_image


@dataclass(frozen=True)
class Unit:
    """Work on one image.

    Attributes:
        kind: what is done, a word of `benchmarks/count.py`.
        about: what it is of, for a reader.
        spec: everything that its cost depends on, as plain values.
    """

    kind: str
    about: str
    spec: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Name of what was counted: the kind, and a digest of the rest."""
        text = json.dumps([self.kind, self.spec], sort_keys=True)
        return f"{self.kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


class Units:
    """The units of a preset's jobs, by the names in their paths.

    Args:
        preset: the checked preset.
    """

    def __init__(self, preset: Preset) -> None:
        self.preset, self.on = preset, cache(preset.on)
        self.explainer = cache(lambda dataset, name, model: self.on(dataset).explainer_of(name, model))

    # -- trainings: an image of a step, and an image from the loader

    def training(self, table: str, name: str, dataset: str) -> tuple[Unit, Unit]:
        """A network's step, for one image of its batch, and what the loader does for one image."""
        entry, typical = getattr(self.on(dataset), table)[name], self._typical(dataset)
        train, loss = entry.train, [entry.train.loss, dict(entry.train.loss_options)]
        classes = None if table == "affinity_networks" else getattr(entry, "num_classes", None) or typical.classes
        step = {
            **self._network(entry, classes),
            "task": table,
            "loss": loss,
            "bf16": train.bf16,
            "optimizer": train.optimizer,
            "side": _side(train.augment, getattr(entry, "photometric", ()), entry.input.size),
            "classes": typical.classes,
        }
        loaded: dict[str, Any] = {
            "task": table,
            "image": _size(typical),
            "augment": train.augment,
            "normalize": entry.input.normalize,
        }
        if table == "affinity_networks":
            step |= {"radius": entry.radius, "stride": entry.stride}
            loaded |= {
                "photometric": entry.photometric,
                "labels": _labels(typical),
                "stride": entry.stride,
                "rule": entry.labels.rule,
                "store_stride": entry.labels.store_stride,
            }
        if table == "models":
            loaded |= {"loss": loss}  # which may ask for two views
        about = f"{name} {dataset}"
        return Unit("train", about, step), Unit("load", about, loaded)

    # -- heat maps and what is measured on them

    def explanation(self, names: Mapping[str, str]) -> tuple[Unit, Unit, Unit, Unit]:
        """Explaining an image's views; reading them; fusing the maps; storing them."""
        entry, typical = self._explainer(names), self._typical(names["dataset"])
        network, about = self._classifier(names), _about(names, "dataset", "model", "explainer")
        shown: dict[str, Any] = {
            "image": _size(typical),
            "input": {key: value for key, value in entry.input.plain().items() if (key, value) != ("multiple", 1)},
            "scales": entry.scales,
            "flip": entry.flip,
        }
        run = {**network, **shown, "method": entry.method, "options": entry.options, "labels": _labels(typical)}
        stored = {"image": _size(typical), "labels": _labels(typical), "store_stride": entry.store_stride}
        fused = {**shown, **stored, "fusion": [entry.fusion, entry.fusion_options]}
        read, fuse = Unit("views", about, shown), Unit("fuse", about, fused)
        return Unit("explain", about, run), read, fuse, Unit("store", about, stored)

    def protocol(self, names: Mapping[str, str], name: str, options: Mapping[str, Any]) -> tuple[Unit, Unit]:
        """Explaining and measuring an image; reading it."""
        run, views, *_ = self.explanation(names)
        entry = self._explainer(names)
        spec = {**run.spec, "protocol": [name, dict(options)], "fusion": [entry.fusion, entry.fusion_options]}
        return Unit("measure", f"{run.about} {name}", spec), views

    def of_network(self, names: Mapping[str, str], options: Mapping[str, Any]) -> tuple[Unit, Unit]:
        """Measuring a classifier itself on an image; reading it."""
        entry, typical = self.on(names["dataset"]).models[names["model"]], self._typical(names["dataset"])
        shown = {"image": _size(typical), "input": entry.input.plain(), "scales": [1.0], "flip": False}
        spec = {**self._classifier(names), **shown, "protocol": [names["measurement"], dict(options)]}
        about = _about(names, "dataset", "model")
        return Unit("network", f"{about} {names['measurement']}", spec), Unit("views", about, shown)

    # -- masks

    def labelling(self, names: Mapping[str, str]) -> Unit:
        """The two CRFs behind an image's confident labels."""
        labels = self.on(names["dataset"]).affinity_networks[names["network"]].labels
        spec = {**labels.plain(), "crf_image": labels.image, "crf": self._crf(labels.crf)}
        spec |= self._masked(names["dataset"])  # whose `image` is a size
        return Unit("label", _about(names, "dataset", "network"), spec)

    def refining(self, names: Mapping[str, str]) -> Unit:
        """A refiner that runs no network."""
        entry = self.preset.refiners[names["refiner"]]
        spec = {**entry.plain(), "crf": self._crf(getattr(entry, "crf", None)), **self._masked(names["dataset"])}
        return Unit("refine", _about(names, "dataset", "refiner"), spec)

    def walking(self, names: Mapping[str, str]) -> tuple[Unit, Unit]:
        """An affinity network on an image; the walk and the CRF after it."""
        refiner = self.preset.refiners[names["refiner"]]
        walked = self.on(names["dataset"]).affinity_networks[str(self.preset.network_of(names["refiner"]))]
        about, masked = _about(names, "dataset", "refiner"), self._masked(names["dataset"])
        cells = {"radius": walked.radius, "stride": walked.stride}
        run = {**self._network(walked, None), **cells, "input": walked.input.plain(), "image": masked["image"]}
        options = {key: value for key, value in refiner.plain().items() if key != "network"}
        walk = {**options, **cells, **masked, "crf": self._crf(options["crf"]), "input": walked.input.plain()}
        return Unit("affinities", about, run), Unit("walk", about, walk)

    def segmenting(self, names: Mapping[str, str]) -> tuple[Unit, Unit, Unit]:
        """A segmentation network on an image's views, and their fusion; reading them; the CRF."""
        dataset = names["dataset"]
        entry = self.on(dataset).segmenters[names["segmenter"]]
        return self._predicting(entry, entry, dataset, f"{dataset} {names['segmenter']}", segmenter=True)

    def predicting(self, names: Mapping[str, str]) -> tuple[Unit, Unit, Unit]:
        """A classifier that predicts masks itself, likewise."""
        dataset, model = names["dataset"], names["model"]
        entry = self.on(dataset).models[model]
        prediction = self.on(dataset).prediction_of(model)
        return self._predicting(entry, prediction, dataset, f"{dataset} {model}", segmenter=False)

    def scoring(self, names: Mapping[str, str]) -> Unit:
        """An image's mask compared with its truth."""
        return Unit("score", names["dataset"], {**self._masked(names["dataset"]), "sweep": None})

    def sweeping(self, names: Mapping[str, str]) -> Unit:
        """An image's maps compared with its truth at every background of a sweep."""
        entry, scoring = self._explainer(names), self.preset.scoring
        sweep = [scoring.sweep_count if entry.sweep else 0, entry.store_stride]
        return Unit("score", names["dataset"], {**self._masked(names["dataset"]), "sweep": sweep})

    # --

    def _predicting(self, entry: Any, how: Any, dataset: str, about: str, segmenter: bool) -> tuple[Unit, Unit, Unit]:
        typical = self._typical(dataset)
        shown = {"image": _size(typical), "input": entry.input.plain()}
        views = {**shown, **{key: getattr(how, key) for key in ("scales", "flip", "scaling", "rounding")}}
        views |= {"short_side": how.short_side} if how.short_side else {}
        views |= {"longest_side": how.longest_side} if how.longest_side else {}
        network = {**self._network(entry, typical.classes), "segmenter": segmenter, "fusion": how.fusion}
        network |= {"window": how.window.plain()} if how.window else {}
        told = typical.classes if how.crf_labels == "all" else _labels(typical)
        smoothed = {"image": _size(typical), "classes": told, "crf": self._crf(how.crf)}
        smooth = Unit("smooth", about, {**smoothed, "crf_image": how.crf_image})
        return Unit("segment", about, {**network, **views}), Unit("scale", about, views), smooth

    def _network(self, entry: Any, classes: int | None) -> dict[str, Any]:
        return {"architecture": entry.architecture, "network_options": entry.options, "classes": classes}

    def _classifier(self, names: Mapping[str, str]) -> dict[str, Any]:
        entry = self.on(names["dataset"]).models[names["model"]]
        return self._network(entry, entry.num_classes or self._typical(names["dataset"]).classes)

    def _explainer(self, names: Mapping[str, str]) -> Any:
        return self.explainer(names["dataset"], names["explainer"], names["model"])

    def _crf(self, name: str | None) -> dict[str, Any] | None:
        return asdict(self.preset.crf[name]) if name else None

    def _typical(self, dataset: str) -> Typical:
        return typical_image(self.preset.datasets[dataset])

    def _masked(self, dataset: str) -> dict[str, Any]:
        typical = self._typical(dataset)
        return {"image": _size(typical), "labels": _labels(typical), "classes": typical.classes}


def _about(names: Mapping[str, str], *keys: str) -> str:
    return " ".join(names[key] for key in keys)


def _size(typical: Typical) -> list[int]:
    return [typical.height, typical.width]


def _labels(typical: Typical) -> int:
    """Labels of the image that is counted: a whole number, not below the mean."""
    return -int(-typical.labels // 1)


def _side(augment: Any, photometric: Any, size: Any) -> list[int]:
    """Height and width of what a network trains on: those of the last step that says them."""
    sides = [found for step in (*photometric, *augment) for found in map(_step_size, step.items()) if found]
    if sides:
        return sides[-1]
    return list(size) if size else [448, 448]


def _step_size(step: tuple[str, Any]) -> list[int] | None:
    name, value = step
    if name not in ("crop", "balanced_crop", "random_resized_crop", "resize", "toco_views"):
        return None
    side = value["size"] if isinstance(value, dict) else value
    return list(side) if isinstance(side, list | tuple) else [side, side]
