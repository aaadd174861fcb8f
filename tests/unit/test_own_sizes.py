"""Your own images have several sizes: every training of both presets makes them one, so that they share a batch."""

from pathlib import Path

import pytest
import torch
from torchvision import tv_tensors

from seedbed.data.transforms import build_transform
from seedbed.params import resolve
from seedbed.params.load import read_params

PARAMS = Path(__file__).parents[2] / "params.yaml"
SECTIONS = ("models", "affinity_networks", "segmenters")


@pytest.mark.parametrize("preset", ["demo", "paper"])
def test_every_training_gives_images_one_size(preset):
    found = resolve({**read_params(PARAMS), "preset": preset})
    trained = {
        f"{section}.{name}": entry
        for section in SECTIONS
        for name, entry in getattr(found, section).items()
        if entry.train is not None
    }
    assert len(trained) > 20
    for name, entry in trained.items():
        steps = [
            step for step in (*getattr(entry, "photometric", ()), *entry.train.augment) if "random_scale" not in step
        ]
        transform = build_transform(steps, entry.input.normalize)
        sizes = set()
        for size in ((90, 120), (40, 31)):
            image = tv_tensors.Image(torch.zeros(3, *size, dtype=torch.uint8))
            sizes.add(tuple(transform(image).shape))
        assert len(sizes) == 1, name
