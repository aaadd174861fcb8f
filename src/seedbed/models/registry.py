"""One registry of networks: ours by name, then every model timm knows.

A network file calls `register` once per name; the name is also registered with timm, so ``timm.create_model`` finds it.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import timm
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import get_arch_pretrained_cfgs, register_model
from torch import nn

from seedbed.errors import ParameterError, unknown_name

TASKS = ("classifier", "affinity", "segmentation")


@dataclass(frozen=True)
class ModelEntry:
    """A named network: how it is built, what it is for and what its images are normalised with."""

    name: str
    build: Callable[..., nn.Module]
    description: str
    task: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    defaults: dict[str, Any] = field(default_factory=dict)
    predicts_masks: bool = False

    def create(self, num_classes: int | None, **overrides: Any) -> nn.Module:
        """Build the network with randomly initialised weights; `mean` and `std` travel in its ``pretrained_cfg``."""
        self._check(overrides)
        arguments = {**self.defaults, **overrides}
        if self.task == "affinity":
            model = self.build(**arguments)
        elif isinstance(num_classes, int) and num_classes >= 1:
            model = self.build(num_classes, **arguments)
        else:
            raise ParameterError(f"Model '{self.name}' needs num_classes of at least 1, not {num_classes!r}.")
        model.pretrained_cfg = model.default_cfg = {"architecture": self.name, "mean": self.mean, "std": self.std}
        return model

    def _check(self, overrides: dict[str, Any]) -> None:
        parameters = inspect.signature(self.build).parameters
        if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            return  # what the builder passes on is checked where it arrives, see `create_model`
        known = set(parameters) - {"num_classes"}
        for name in overrides:
            if name not in known:
                raise ParameterError(unknown_name(f"override for model '{self.name}'", name, known))


_ENTRIES: dict[str, ModelEntry] = {}


def register(
    name: str,
    build: Callable[..., nn.Module],
    description: str,
    *,
    task: str = "classifier",
    predicts_masks: bool = False,
    mean: tuple[float, float, float] = IMAGENET_DEFAULT_MEAN,
    std: tuple[float, float, float] = IMAGENET_DEFAULT_STD,
    **defaults: Any,
) -> None:
    """Add a network under `name`, here and in timm.

    Args:
        name: unique; shown by `list_models`.
        build: called with ``num_classes`` first (not for task ``affinity``) and keyword arguments.
        description: one line.
        task: ``classifier``, ``affinity`` (no classes) or ``segmentation``.
        predicts_masks: whether a classifier also has a decoder: a method ``pixel_scores``, images [B, 3, H, W] to class
            scores [B, num_classes + 1, H, W], background first, and ``logits``, the same at the features' resolution.
        mean, std: what the images are normalised with.
        **defaults: keyword arguments of `build` that make this variant; callers may override them.
    """
    if name in _ENTRIES or task not in TASKS:
        raise ValueError(f"model '{name}' is registered twice, or its task '{task}' is none of {TASKS}")
    entry = ModelEntry(name, build, description, task, mean, std, defaults, predicts_masks)
    _ENTRIES[name] = entry

    def entrypoint(pretrained: bool = False, num_classes: int | None = None, **arguments: Any) -> nn.Module:
        if pretrained:
            raise ParameterError(f"Model '{name}' comes without weights; load them with seedbed.models.load_weights.")
        for timm_only in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
            arguments.pop(timm_only, None)
        return entry.create(num_classes, **arguments)

    entrypoint.__name__ = entrypoint.__qualname__ = name
    entrypoint.__doc__ = description
    register_model(entrypoint)


def list_models(task: str | None = None) -> list[str]:
    """Names of our own networks, of one task or of all; every timm name works besides."""
    if task is not None and task not in TASKS:
        raise ParameterError(unknown_name("task", task, TASKS))
    return sorted(name for name, entry in _ENTRIES.items() if task in (None, entry.task))


def model_entry(name: str) -> ModelEntry:
    """What is registered under `name`, one of `list_models`: its task, description and normalisation.

    Raises:
        ParameterError: the name is not ours.
    """
    if name not in _ENTRIES:
        raise ParameterError(unknown_name("model", name, _ENTRIES))
    return _ENTRIES[name]


def task_of(name: str) -> str:
    """What a network is for, one of ``TASKS``; every network of timm's is a classifier."""
    return _ENTRIES[name].task if name in _ENTRIES else "classifier"


def create_model(name: str, num_classes: int | None = None, **overrides: Any) -> nn.Module:
    """Build a network with randomly initialised weights, by its name here or in timm.

    Args:
        name: one of `list_models`, or a timm name with or without tag (``vit_base_patch16_224.orig_in21k_ft_in1k``);
            a tag chooses the preprocessing, never a download.
        num_classes: outputs of the classifier or segmentation head. Affinity networks have none and ignore it; for
            a timm model ``None`` means its own default.
        **overrides: arguments of the network's class, such as ``depth`` or ``img_size``.

    Raises:
        ParameterError: the name, its tag or an override is unknown, or a value is out of range.
    """
    try:
        if name in _ENTRIES:
            return _ENTRIES[name].create(num_classes, **overrides)
        _check_timm_name(name)
        if num_classes is not None:
            overrides["num_classes"] = num_classes
        return timm.create_model(name, pretrained=False, **overrides)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise ParameterError(f"Model '{name}' does not take one of the overrides given: {error}.") from error


def _check_timm_name(name: str) -> None:
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = get_close_matches(architecture, timm.list_models(), n=3)
        raise ParameterError(f"{unknown_name('model', name, {*_ENTRIES, *near})} Every timm name works besides.")
    if tag and name not in (known := get_arch_pretrained_cfgs(architecture)):
        raise ParameterError(unknown_name(f"timm weights of '{architecture}'", name, known))
