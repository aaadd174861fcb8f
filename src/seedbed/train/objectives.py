"""Losses by name. A loss stands in a file of its own, or beside the method that it trains, and registers itself.

Building one imports its file and no other.
"""

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor

from seedbed.errors import ParameterError
from seedbed.io.catalogue import Catalogue
from seedbed.io.registrations import registrations

Parts = tuple[Tensor, dict[str, Tensor]]
Task = Literal["classifier", "affinity", "segmentation"]
PACKAGE = "seedbed.train"
LOSSES: Catalogue[Callable[..., Any]] = Catalogue("loss", PACKAGE, "loss")


def loss(name: str, *, task: Task = "classifier", single_label: bool = False) -> Callable[[Callable], Callable]:
    """Register the decorated class or function as what makes the loss ``name``; see `seedbed.train.run.Objective`.

    Its keyword-only arguments are the loss's options.

    Args:
        name: in parameter files.
        task: which networks it trains, as in `seedbed.models.registry`.
        single_label: whether it takes exactly one class to be in an image.
    """
    return LOSSES.entering(name)


def excludes_other_classes(name: str) -> bool:
    """Whether a classifier trained with this loss takes exactly one class to be in an image."""
    return any(entry.keywords.get("single_label", False) for entry in registrations(PACKAGE, "loss").get(name, ()))


def build_objective(name: str, **options: Any) -> Any:
    """Return the objective of that name.

    Raises:
        ParameterError: the name is unknown, or an option does not fit.
    """
    build = LOSSES.find(name)
    try:
        return build(**options)
    except TypeError as error:
        raise ParameterError(f"loss '{name}': {error}.") from None
