"""Functions that ask for values, computed with made ones in a step whose other tensors have none.

A step on tensors without values takes seconds at any size, until it asks how many classes an image shows or how many
vertices a lattice has. Here the functions that ask are given an image of `scenes.py` and maps of its objects, of the
shapes that they were to get. They compute, so that what they do counts as it is; what they return has no values again.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensor
from torch.utils._python_dispatch import _disable_current_modes

from scenes import made_maps, scene

Arguments = tuple[Any, ...]
VALUES_ASKED = (DataDependentOutputException, DynamicOutputShapeException)
"""What a step without values ends with where it asks for one."""

LABELS = 2
"""Classes that an image shows, as in a training that is counted (`work.py`)."""


def _refinement(images: Tensor, cams: Tensor, labels: Tensor) -> Arguments:
    """Of AFA's labels: pixels in 0..1, maps of the classes that an image shows, and which these are."""
    number, _, height, width = images.shape
    pixels = torch.stack([_picture(height, width, seed) for seed in range(number)]) / 255
    maps, shown = torch.zeros(cams.shape), torch.zeros(labels.shape, dtype=labels.dtype)
    for seed in range(number):
        maps[seed, :LABELS] = torch.from_numpy(made_maps((height, width), LABELS, seed))
    shown[:, :LABELS] = 1
    return pixels, maps, shown


def _walked(pixels: Tensor, scores: Tensor, labels: Tensor, inside: Tensor) -> Arguments:
    """Of AFA's maps after their walk, background first, of images without padding."""
    pictures, maps, shown = _refinement(pixels, scores[:, 1:], labels)
    background = 1 - maps.amax(1, keepdim=True)
    return pictures, torch.cat([background, maps], dim=1), shown, torch.ones(inside.shape, dtype=torch.bool)


def _lattice(picture: Tensor, values: Tensor, widths: tuple[float, float]) -> Arguments:
    """Of the energy's sums: a picture in grey levels, and any values."""
    return _picture(*picture.shape[-2:]), torch.rand(values.shape), widths


def _picture(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(scene(height, width, seed)[0]).permute(2, 0, 1).float()


ANSWERED: dict[str, Callable[..., Arguments]] = {
    "seedbed.train.toco_labels.refine_cams_with_background": _refinement,
    "seedbed.train.afa_labels.refined_scores": _walked,
    "seedbed.refine.lattice_energy.bilateral_sums": _lattice,
}
"""What makes the positional arguments of each such function, from those that have no values."""


@contextmanager
def answered() -> Iterator[None]:
    """Inside, functions of `ANSWERED` that get tensors without values compute with made ones."""
    with ExitStack() as stack:
        for name, make in ANSWERED.items():
            module, _, function = name.rpartition(".")
            known = getattr(import_module(module), function)
            stack.enter_context(mock.patch(name, _with_made_values(known, make)))
        yield


def _with_made_values(function: Callable[..., Tensor], make: Callable[..., Arguments]) -> Callable[..., Tensor]:
    def compute(*args: Any, **options: Any) -> Tensor:
        unvalued = next((each for each in args if isinstance(each, FakeTensor)), None)
        if unvalued is None:
            return function(*args, **options)
        with _disable_current_modes():  # making them is no work of the step
            made = make(*args)
        found = function(*made, **options)
        return unvalued.new_empty(found.shape, dtype=found.dtype)

    return compute
