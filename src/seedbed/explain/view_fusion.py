"""From the maps of an image's views to one map a class, by the named recipes of the papers.

A recipe stands in a file of its own and registers itself.
"""

import inspect
from collections.abc import Callable, Sequence

from torch import Tensor

from seedbed.errors import ParameterError, unknown_name
from seedbed.io.catalogue import Catalogue
from seedbed.settings.checked import check_options

Size = tuple[int, int]
Fusion = Callable[..., Tensor]
FUSIONS: Catalogue[Fusion] = Catalogue("fusion of views", "seedbed.explain", "view_fusion")


def view_fusion(name: str) -> Callable[[Fusion], Fusion]:
    """Register the decorated function as the recipe ``name``; its keyword-only arguments are the recipe's options.

    It takes the views' maps [K, h, w], which of them are mirrored, and the (height, width) of the result [K, H, W].
    """
    return FUSIONS.entering(name)


def fuse_views(views: Sequence[Tensor], flips: Sequence[bool], size: Size, fusion: str, **options: object) -> Tensor:
    """Fuse maps of scaled and mirrored views of one image.

    Args:
        views: a tensor [K, h, w] for each view, of any resolution.
        flips: which views are mirrored.
        size: (height, width) of the result.
        fusion: name of the recipe.
        options: the recipe's own.

    Returns:
        float32 [K, height, width]; NaN where a view's map was undefined.

    Raises:
        ParameterError: the recipe or an option is unknown, or an option is not what it can be.
    """
    recipe = FUSIONS.find(fusion)
    parameters = inspect.signature(recipe).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            raise ParameterError(unknown_name(f"option of fusion '{fusion}'", name, known))
    check_options(recipe, options)
    return recipe(list(views), list(flips), size, **options).float()
