"""Whole functions for `gpu.py`: PAR, heat maps, walks and masks of made images, against the CPU; a lack of memory."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from measuring import Table, sync, timed
from scenes import made_index, made_maps
from seedbed.data.index import DataIndex
from seedbed.data.views import InputView
from seedbed.devices.memory import Fitting
from seedbed.explain.dataset_maps import picture_heatmaps
from seedbed.explain.heatmap_settings import HeatMapSettings
from seedbed.io.heatmaps import HeatMaps
from seedbed.io.plain import from_plain
from seedbed.models.registry import create_model
from seedbed.params import Preset
from seedbed.refine.affinity_walk import WalkedNetwork, random_walk_refiner
from seedbed.refine.mask_making import pseudo_masks
from seedbed.refine.par import pixel_adaptive_refinement
from seedbed.refine.random_walk_masks import RandomWalk
from seedbed.train.segmentation import PredictionSettings, predict_masks

CPU = torch.device("cpu")
IMAGES, CLASSES = 4, 6


def par(device: torch.device, side: int, images: int = 4) -> list[dict[str, Any]]:
    """Pixel-adaptive refinement of a batch: time, and the difference from the CPU's."""
    table = Table("PAR", "ms", "difference from CPU")
    torch.manual_seed(0)
    pixels, maps = torch.rand(images, 3, side, side), torch.rand(images, 3, side, side)
    options = {"dilations": (1, 2, 4, 8, 12, 24) if side > 200 else (1, 2, 4)}
    expected = pixel_adaptive_refinement(pixels, maps, **options)
    given = pixels.to(device), maps.to(device)
    seconds, *_ = timed(lambda: pixel_adaptive_refinement(*given, **options), device, repeats=2)
    found = pixel_adaptive_refinement(*given, **options).cpu()
    difference = (found - expected).abs().max().item()
    table.add(PAR=f"{images} of {side} x {side}", ms=1e3 * seconds, **{"difference from CPU": difference})
    return table.rows


def functions(device: torch.device, preset: Preset) -> list[dict[str, Any]]:
    """Whole functions on a few images, reading included; results on the device beside the CPU's."""
    table = Table("function", "images/s", "CPU images/s", "equal to the CPU's")
    size = (375, 500) if preset.comparable else (96, 96)
    with tempfile.TemporaryDirectory() as folder:
        index = made_index(Path(folder), size, CLASSES, 2, IMAGES)
        for name, make in {
            "picture_heatmaps": _heatmaps,
            "random_walk_refiner": _walks,
            "predict_masks": _masks,
        }.items():
            (expected, on_cpu), (found, here) = (_run(make, preset, index, each) for each in (CPU, device))
            close = [np.isclose(found[image], expected[image], atol=1e-3).mean() for image in expected]
            speeds = {"images/s": IMAGES / here, "CPU images/s": IMAGES / on_cpu}
            table.add(function=name, **speeds, **{"equal to the CPU's": float(np.mean(close))})
    return table.rows


def _run(make: Any, preset: Preset, index: DataIndex, device: torch.device) -> tuple[dict[str, np.ndarray], float]:
    torch.manual_seed(0)
    work = make(preset, index, device)
    dict(work())
    sync(device)
    begun = time.perf_counter()
    found = dict(work())
    sync(device)
    return found, time.perf_counter() - begun


def _heatmaps(preset: Preset, index: DataIndex, device: torch.device) -> Any:
    entry = preset.models["vit_base_voc"]
    model = create_model(entry.architecture, CLASSES, **entry.options)
    settings = from_plain(HeatMapSettings, preset.explainer_of("generic_attribution", "vit_base_voc").plain())
    run = lambda: picture_heatmaps(model, index, index.records, settings, device)  # noqa: E731
    return lambda: ((image, heat.maps) for image, heat in run())


def _walks(preset: Preset, index: DataIndex, device: torch.device) -> Any:
    entry = preset.affinity_networks["psa"]
    network = from_plain(WalkedNetwork, entry.plain())
    model = create_model(entry.architecture, None, radius=entry.radius, **entry.options)
    walk = RandomWalk(network="psa", alpha=16, beta=8, log2_steps=4)
    refine = random_walk_refiner(walk, network, model, None, device, CLASSES + 1)
    size = index.records[0].size
    heat = {record.image: HeatMaps(np.arange(2), made_maps(size, 2), size) for record in index.records}
    return lambda: pseudo_masks(index, index.records, heat, refine)


def _masks(preset: Preset, index: DataIndex, device: torch.device) -> Any:
    entry = preset.segmenters["deeplab_v2_resnet38"]
    model = create_model(entry.architecture, CLASSES + 1, **entry.options)
    settings = PredictionSettings(input=InputView(**entry.input.plain()), fusion=entry.fusion, flip=True)
    return lambda: predict_masks(model, index, index.records, settings, None, device)


def out_of_memory(device: torch.device) -> dict[str, Any]:
    """A batch of four rows that take 0.4 of the memory each: two fit at once."""
    free, _ = torch.cuda.mem_get_info(device)
    row = int(0.4 * free)
    fit = Fitting("rows")

    def work(rows: torch.Tensor) -> torch.Tensor:
        room = torch.empty(len(rows) * row, dtype=torch.uint8, device=device)
        room[:1] = 1
        return rows + room[0]

    found = fit(work, torch.zeros(4, device=device))
    return {"halved to": fit.largest, "results": found.tolist()}
