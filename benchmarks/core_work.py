"""The units of work of `seedbed.plan.forecasts.units` that cores do on an image: read, fuse, walk, smooth, score."""

from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scenes import made_index, made_maps, scene
from seedbed.data.datasets import LabelledPictures, MaskedPictures
from seedbed.data.images import read_picture
from seedbed.data.scaling import scaled_sides
from seedbed.data.transforms import build_transform
from seedbed.data.views import InputView, view
from seedbed.evaluate.scoring import ScoringSettings, score_heatmaps, score_masks
from seedbed.explain.dataset_maps import Explained
from seedbed.explain.heatmap_settings import HeatMapSettings
from seedbed.io.heatmaps import HeatMaps, HeatMapStore, write_heatmaps
from seedbed.io.masks import encode_mask
from seedbed.models.pair_affinity import pair_affinities
from seedbed.refine.affinity_walk import WalkedNetwork, random_walk_refiner
from seedbed.refine.boundary_walk import BoundedWalk
from seedbed.refine.posteriors import PosteriorSettings, confident_posteriors
from seedbed.refine.refiners import Given, build_refiner
from seedbed.settings.dense_crf import CrfSettings
from seedbed.settings.optimisation import Training
from seedbed.train.affinity import AffinitySettings, ConfidentPictures, LabelSettings
from seedbed.train.objectives import build_objective
from seedbed.train.segmentation import PredictionSettings, Smoothing, scaled_view

Spec = Mapping[str, Any]
Step = Callable[[], object]
CELL = 16  # pixels of a patch, at which maps come from networks


def build(kind: str, spec: Spec, folder: Path) -> Step:
    """What does a unit once; `KINDS` are those that exist."""
    return KINDS[kind](spec, folder)


def _load(spec: Spec, folder: Path) -> Step:
    """A sample of a training: read, augmented, normalised."""
    index = made_index(folder, tuple(spec["image"]), 6, 2)
    transform = build_transform(spec["augment"], spec["normalize"])
    data: Any
    seeds = count(1)
    if spec["task"] == "models":
        name, options = spec["loss"]
        data = LabelledPictures(index, index.records, transform, getattr(build_objective(name, **options), "views", 1))
        return lambda: data[0, next(seeds)]
    if spec["task"] == "segmenters":
        data = MaskedPictures(index, index.records, {"0": (scene(*spec["image"])[1])}, transform)
        return lambda: data.__getitems__([(0, next(seeds))])
    stride = spec["store_stride"]
    stored = _heat(spec["image"], spec["labels"], stride, background=True)
    for kind in ("low", "high"):
        write_heatmaps(folder / f"{kind}.h5", [("0", stored)], {})
    low, high = (HeatMapStore([folder / f"{kind}.h5"]) for kind in ("low", "high"))
    training = Training(lr=1, batch_size=1, epochs=1, augment=spec["augment"], loss="affinity")
    settings = AffinitySettings(
        architecture="",
        labels=LabelSettings(spec["rule"]),
        input=InputView(spec["normalize"]),
        train=training,
        stride=spec["stride"],
        photometric=spec["photometric"],
    )
    data = ConfidentPictures(index, index.records, low, high, settings)
    return lambda: data[0, next(seeds)]


def _views(spec: Spec, folder: Path) -> Step:
    """An image read from disk, and its views."""
    index, shown = made_index(folder, tuple(spec["image"]), 6, 2), InputView(**spec["input"])
    grid = [(scale, flip) for scale in spec["scales"] for flip in ((False, True) if spec["flip"] else (False,))]
    options: dict[str, Any] = {"interpolation": shown.interpolation, "normalisation": shown.normalize}
    options["multiple"] = shown.multiple

    def step() -> None:
        image = read_picture(index.root / "0.jpg")
        for scale, flip in grid:
            view(image, size=shown.size, scale=scale, flip=flip, **options)

    return step


def _fuse(spec: Spec, folder: Path) -> Step:
    """Views' maps fused at the image's size."""
    size = tuple(spec["image"])
    index, (fusion, options) = made_index(folder, size, 6, 2), spec["fusion"]
    settings = HeatMapSettings(
        method="",
        input=InputView(**spec["input"]),
        fusion=fusion,
        fusion_options=options,
        scales=spec["scales"],
        flip=spec["flip"],
        store_stride=spec["store_stride"],
    )
    sides = [scaled_sides(spec["input"]["size"] or size, scale, "nearest") for scale in spec["scales"]]
    grids = [tuple(max(1, side // CELL) for side in each) for each in sides for _ in range(2 if spec["flip"] else 1)]
    torch.manual_seed(0)
    maps = [torch.rand(spec["labels"], *grid) for grid in grids]
    item = Explained(index.records[0], size, tuple(range(spec["labels"])), maps)
    return lambda: item.fuse(settings)


def _store(spec: Spec, folder: Path) -> Step:
    """An image's maps written, compressed."""
    height, width = spec["image"]
    stride, smooth = spec["store_stride"], torch.nn.functional.interpolate
    torch.manual_seed(0)
    small = torch.rand(1, spec["labels"], height // CELL, width // CELL)
    size = (-(-height // stride), -(-width // stride))
    maps = smooth(small, size, mode="bilinear")[0].numpy()
    heat = HeatMaps(np.arange(spec["labels"]), maps, (height, width))
    return lambda: write_heatmaps(folder / "maps.h5", [("0", heat)], {})


def _label(spec: Spec, folder: Path) -> Step:
    """The posteriors of both CRF runs, stored."""
    index = made_index(folder, tuple(spec["image"]), spec["classes"], spec["labels"])
    fields = ("alpha_low", "alpha_high", "constants", "among", "store_stride")
    settings = PosteriorSettings(image=spec["crf_image"], **{name: spec[name] for name in fields})
    maps, crf = {"0": _heat(spec["image"], spec["labels"])}, CrfSettings(**spec["crf"])

    def step() -> None:
        for image, low, high in confident_posteriors(index, index.records, maps, settings, crf):
            for kind, heat in (("low", low), ("high", high)):
                write_heatmaps(folder / f"{kind}.h5", [(image, heat)], {})

    return step


def _refine(spec: Spec, folder: Path) -> Step:
    """A mask by a refiner that runs no network."""
    index = made_index(folder, tuple(spec["image"]), spec["classes"], spec["labels"])
    options = {key: value for key, value in spec.items() if key not in ("image", "labels", "classes")}
    crf, given = options["crf"], {"background": 0.4, "heatmaps": {"0": _heat(spec["image"], spec["labels"])}}
    if crf:
        options["crf"] = "named"
    else:
        options.pop("crf")
    refiner = build_refiner(options)
    make = refiner.start(Given(index=index, crf=CrfSettings(**crf) if crf else None, **given))
    return lambda: [encode_mask(mask) for _, mask in make(index.records)]


def _walk(spec: Spec, folder: Path) -> Step:
    """A walk over affinities, and the CRF after it; the network is left out."""
    if spec["kind"] == "boundary_walk":
        return _bounded_walk(spec)
    image, _ = scene(*spec["image"])
    network = WalkedNetwork("", InputView(**spec["input"]), {}, spec["radius"], spec["stride"])

    class Predicted(torch.nn.Module):
        """Affinities as alike as neighbours of smooth features are."""

        def features(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.avg_pool2d(pixels, spec["stride"])

        def forward(self, pixels: torch.Tensor) -> Any:
            return type("Output", (), {"pairs": pair_affinities(self.features(pixels), spec["radius"])})

    crf = CrfSettings(**spec["crf"]) if spec["crf"] else None
    settings: Any = type("Walk", (), dict(spec))
    heat = _heat(spec["image"], spec["labels"])
    refine = random_walk_refiner(settings, network, Predicted(), crf, torch.device("cpu"), spec["classes"] + 1)
    return lambda: encode_mask(refine(image, heat).astype(np.uint8))


def _bounded_walk(spec: Spec) -> Step:
    """A walk within boundaries, and the CRF after it; the network is left out."""
    image, _ = scene(*spec["image"])
    sides = [-(-side // spec["stride"]) for side in (spec["input"]["size"] or image.shape[:2])]
    boundary = np.random.default_rng(0).random(sides, np.float32) ** 8
    walk = BoundedWalk(type("Walk", (), dict(spec)), CrfSettings(**spec["crf"]) if spec["crf"] else None)
    heat = _heat(spec["image"], spec["labels"])
    return lambda: encode_mask(walk(image, heat, boundary).astype(np.uint8))


def _score(spec: Spec, folder: Path) -> Step:
    """A mask, or maps at every background of a sweep, compared with the truth."""
    index = made_index(folder, tuple(spec["image"]), max(3, spec["classes"]), spec["labels"])
    if spec["sweep"] is None:
        masks = {"0": scene(*spec["image"])[1]}
        return lambda: score_masks(index, index.records, masks, ScoringSettings())
    backgrounds, stride = spec["sweep"]
    maps, scoring = {"0": _heat(spec["image"], spec["labels"], stride)}, ScoringSettings(sweep_count=backgrounds)
    return lambda: score_heatmaps(index, index.records, maps, scoring, background=0.4, sweep=bool(backgrounds))


def _heat(size: list[int], labels: int, stride: int = 1, background: bool = False) -> HeatMaps:
    maps, classes = made_maps((size[0], size[1]), labels), np.arange(labels)
    if background:
        maps, classes = np.concatenate([1 - maps.max(0, keepdims=True), maps]), np.arange(-1, labels)
    return HeatMaps(classes, maps[:, ::stride, ::stride], (size[0], size[1]))


def _scale(spec: Spec, folder: Path) -> Step:
    """An image read from disk, and what a segmentation network sees of it."""
    index = made_index(folder, tuple(spec["image"]), 6, 2)
    names = ("scales", "flip", "scaling", "rounding", "short_side", "longest_side")
    given = {name: spec[name] for name in names if name in spec}
    settings = PredictionSettings(input=InputView(**spec["input"]), fusion="", **given)
    grid = [(scale, flip) for scale in spec["scales"] for flip in ((False, True) if spec["flip"] else (False,))]

    def step() -> None:
        image = read_picture(index.root / "0.jpg")
        for scale, flip in grid:
            scaled_view(image, settings, scale, flip)

    return step


def _smooth(spec: Spec, folder: Path) -> Step:
    """Labels of fused scores by a CRF, stored; without a CRF they are only stored."""
    image, objects = scene(*spec["image"])
    if not spec["crf"]:
        return lambda: encode_mask(objects)
    coarse = 4 * torch.rand(1, spec["classes"] + 1, spec["image"][0] // CELL, spec["image"][1] // CELL)
    fused = torch.nn.functional.interpolate(coarse, image.shape[:2], mode="bilinear")[0].softmax(0).numpy()
    smooth = Smoothing(CrfSettings(**spec["crf"]), spec["crf_image"])
    return lambda: encode_mask(smooth(("0", image, fused))[1])


KINDS: dict[str, Callable[[Spec, Path], Step]] = {
    "load": _load,
    "views": _views,
    "fuse": _fuse,
    "label": _label,
    "refine": _refine,
    "walk": _walk,
    "store": _store,
    "scale": _scale,
    "smooth": _smooth,
    "score": _score,
}
"""Kinds of units that cores do."""
