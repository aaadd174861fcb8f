"""The units of work of `seedbed.plan.forecasts.units` that run a network, built from their specifications.

`count.py` counts their operations, `gpu.py` times them. Networks have random weights, images are made (`scenes.py`).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scenes import made_index
from seedbed.data.scaling import scaled_sides
from seedbed.data.views import InputView
from seedbed.evaluate.measurements import build_measurement
from seedbed.evaluate.protocols.measured_shard import run_protocol
from seedbed.evaluate.protocols.shown_network import ShownNetwork
from seedbed.explain.call import explain
from seedbed.explain.heatmap_settings import HeatMapSettings
from seedbed.models.outputs import pixel_scores_of
from seedbed.models.registry import create_model
from seedbed.refine.fusion import FUSIONS, fuse_scales
from seedbed.settings.optimisation import TrainSettings
from seedbed.train.objectives import build_objective
from seedbed.train.ranks import Ranks
from seedbed.train.run import Run
from seedbed.train.windows import Windows, over_windows

Spec = Mapping[str, Any]
Place = Callable[[Any], Any]
"""Puts a network or a tensor where it is to compute, and returns it."""
Step = Callable[[], object]


def build(kind: str, spec: Spec, images: int, place: Place, device: torch.device, folder: Path) -> Step:
    """What runs a unit once on ``images`` images; `KINDS` are those that exist."""
    return KINDS[kind](spec, images, place, device, folder)


def network_of(spec: Spec) -> nn.Module:
    """The unit's network."""
    torch.manual_seed(0)
    radius = {"radius": spec["radius"]} if "radius" in spec else {}
    outputs = spec["classes"] + 1 if spec.get("task") == "segmenters" or spec.get("segmenter") else spec["classes"]
    return create_model(spec["architecture"], outputs, **radius, **spec["network_options"])


def labels_of(spec: Spec, images: int) -> Tensor:
    """Labels of a batch: multi-hot, confident cells, or a mask."""
    if spec["task"] == "models":
        classes = spec["classes"]
        labels = torch.zeros(images, classes)
        labels[:, :1] = 1
        if spec["loss"][0] != "cross_entropy":
            labels[:, : min(2, classes)] = 1
        return labels
    stride = spec.get("stride", 1)
    height, width = (-(-side // stride) for side in spec["side"])
    rows, columns = torch.arange(height) * 4 // height, torch.arange(width) * 4 // width
    blocks = torch.tensor([[255, 0, 1, 0], [0, 1, 1, 2], [0, 2, 2, 0], [1, 0, 0, 0]])
    return blocks[rows][:, columns].expand(images, height, width).clone()


def _train(spec: Spec, images: int, place: Place, device: torch.device, folder: Path) -> Step:
    """A step of a training, its optimiser's included."""
    name, options = spec["loss"]
    objective = build_objective(name, **({"radius": spec["radius"]} if "radius" in spec else {}), **options)
    settings = TrainSettings(
        lr=1e-5, batch_size=images, iterations=10**9, optimizer=spec["optimizer"], bf16=spec["bf16"], log_every=10**9
    )
    model = place(network_of(spec))
    if isinstance(objective, nn.Module):
        objective = place(objective)
    run = Run(model, objective, settings, device, 10**6, 10**3, Ranks())
    channels, views = getattr(objective, "channels", 3), getattr(objective, "views", 1)
    views = [torch.randn(images, channels, *spec["side"]) for _ in range(views)]
    batch = tuple(place(part) for part in (*views, labels_of(spec, images)))
    run.step = 10**5  # past warm-ups, after which losses do more
    if isinstance(steps := getattr(objective, "steps", None), Tensor):
        steps += run.step

    def step() -> None:
        run.train_step(batch)

    step.run = run  # type: ignore[attr-defined]
    return step


def _explain(spec: Spec, images: int, place: Place, device: torch.device, folder: Path) -> Step:
    """The maps of every view of images of one size."""
    model = place(network_of(spec)).eval()
    sides = [scaled_sides(spec["input"]["size"] or spec["image"], scale, "nearest") for scale in spec["scales"]]
    multiple = spec["input"].get("multiple", 1)
    sides = [(-(-height // multiple) * multiple, -(-width // multiple) * multiple) for height, width in sides]
    views = [place(torch.randn(images, 3, *side)) for side in sides for _ in range(2 if spec["flip"] else 1)]
    labels = min(spec["labels"], spec["classes"])
    targets = torch.tensor([list(range(labels))] * images, device=device)
    return lambda: [explain(model, view, targets, spec["method"], **spec["options"]) for view in views]


def _measure(spec: Spec, images: int, place: Place, device: torch.device, folder: Path) -> Step:
    """Explaining and measuring images."""
    name, options = spec["protocol"]
    index = made_index(folder, tuple(spec["image"]), spec["classes"], 1, images)
    model = place(network_of(spec)).eval()
    given = {key: spec["input"][key] for key in ("size", "interpolation", "normalize")}
    explainer = HeatMapSettings(
        method=spec["method"],
        options=spec["options"],
        input=InputView(**given),
        fusion=spec["fusion"][0],
        fusion_options=spec["fusion"][1],
        scales=spec["scales"],
        flip=spec["flip"],
        batch_size=images,
    )
    return lambda: run_protocol(name, model, index, index.records, explainer, options, device)


def _network(spec: Spec, images: int, place: Place, device: torch.device, folder: Path) -> Step:
    """Measuring a classifier itself, image by image."""
    index = made_index(folder, tuple(spec["image"]), spec["classes"], 1, images)
    name, options = spec["protocol"]
    shown = ShownNetwork(place(network_of(spec)).eval(), index, index.records, InputView(**spec["input"]), device)
    return lambda: build_measurement(name, options).count_network(shown)


def _affinities(spec: Spec, images: int, place: Place, device: torch.device, folder: Path) -> Step:
    """Affinities of neighbouring cells of padded images."""
    model, stride = place(network_of(spec)).eval(), spec["stride"]
    side = spec["input"]["size"] or [-(-length // stride) * stride for length in spec["image"]]
    see = (lambda model, x: model.boundaries(x)) if hasattr(model, "boundaries") else (lambda model, x: model(x).pairs)
    return _without_gradients(model, see, [place(torch.randn(images, 3, *side))])


def _segment(spec: Spec, images: int, place: Place, device: torch.device, folder: Path) -> Step:
    """Scores of every view, fused image by image."""
    model = place(network_of(spec)).eval()
    scores: Any = model.logits if FUSIONS.find(spec["fusion"]).of_logits else pixel_scores_of(model)
    scores = over_windows(scores, Windows(**spec["window"])) if spec.get("window") else scores
    size = spec["input"]["size"] or spec["image"]
    if "longest_side" in spec:
        size = scaled_sides(size, spec["longest_side"] / max(size), "down")
    factor = spec["short_side"] / min(size) if spec.get("short_side") else 1
    flips = [flip for _ in spec["scales"] for flip in ((False, True) if spec["flip"] else (False,))]
    sides = [scaled_sides(size, scale * factor, spec["rounding"]) for scale in spec["scales"]]
    views = [place(torch.randn(1, 3, *side)) for side in sides for _ in range(2 if spec["flip"] else 1)]

    def step() -> None:
        with torch.no_grad():
            for _ in range(images):
                logits = (scores(view).float()[0] for view in views)
                fuse_scales(logits, tuple(spec["image"]), spec["fusion"], mirrored=flips).argmax(0)

    return step


def _without_gradients(model: nn.Module, run: Callable[[Any, Tensor], Any], views: list[Tensor]) -> Step:
    def step() -> None:
        with torch.no_grad():
            for view in views:
                run(model, view)

    return step


KINDS: dict[str, Callable[[Spec, int, Place, torch.device, Path], Step]] = {
    "train": _train,
    "explain": _explain,
    "measure": _measure,
    "network": _network,
    "affinities": _affinities,
    "segment": _segment,
}
"""Kinds of units that run a network."""
