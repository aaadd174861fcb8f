"""From the maps of a picture's views to one map a class, by the named recipes of the papers."""

import inspect
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from seedbed.errors import ParameterError, unknown_name
from seedbed.explain.cues import merge_mirrored, relevance_to_cue
from seedbed.explain.heatmaps import min_max, upsample
from seedbed.explain.map_fusion import fuse_maps

Size = tuple[int, int]


def fuse_views(views: Sequence[Tensor], flips: Sequence[bool], size: Size, fusion: str, **options: object) -> Tensor:
    """Fuse maps of scaled and mirrored views of one picture.

    Args:
        views: a tensor [K, h, w] for each view, of any resolution.
        flips: which views are mirrored.
        size: (height, width) of the result.
        fusion: name of the recipe.
        options: the recipe's own.

    Returns:
        float32 [K, height, width]; NaN where a view's map was undefined.

    Raises:
        ParameterError: the recipe or an option is unknown.
    """
    if fusion not in FUSIONS:
        raise ParameterError(unknown_name("fusion of views", fusion, FUSIONS))
    parameters = inspect.signature(FUSIONS[fusion]).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            raise ParameterError(unknown_name(f"option of fusion '{fusion}'", name, known))
    return FUSIONS[fusion](list(views), list(flips), size, **options).float()


def _raw(views: list[Tensor], flips: list[bool], size: Size) -> Tensor:
    """Mean of the enlarged maps, as they are."""
    return _mean(views, flips, size)


def _min_max(views: list[Tensor], flips: list[bool], size: Size) -> Tensor:
    """Mean of the enlarged maps, stretched to 0..1 (the protocols of ``agcam`` and of Chefer et al.)."""
    return min_max(_mean(views, flips, size))


def _cues(views: list[Tensor], flips: list[bool], size: Size, *, scale: int = 16, root: float = 3.0) -> Tensor:
    """[Re]'s cues: each view enlarged, root, stretched to 0..1; plain and mirrored averaged at the picture's size."""
    if flips != [False, True]:
        raise ParameterError("fusion 'cues' needs one scale and flip: true.")
    plain, mirrored = (relevance_to_cue(view, scale=scale, root=root) for view in views)
    return merge_mirrored(plain, mirrored, size)


def _published(variant: str) -> Callable[..., Tensor]:
    """The sum over scales and mirrored views, normalised as ``variant`` of ``fuse_maps`` does it.

    ``cut`` takes the negative part out of every view before, as PSA and IRN do with class activation maps: the default
    of ``psa``.
    """

    def fuse(views: list[Tensor], flips: list[bool], size: Size, *, cut: bool = variant == "psa") -> Tensor:
        step = 2 if any(flips) else 1
        views = [view.relu() for view in views] if cut else views
        scales = [(views[k], views[k + 1] if step == 2 else None) for k in range(0, len(views), step)]
        return fuse_maps(scales, size, variant)

    return fuse


def _mean(views: list[Tensor], flips: list[bool], size: Size) -> Tensor:
    enlarged = [upsample(view, size) for view in views]
    return torch.stack([view.flip(-1) if flip else view for view, flip in zip(enlarged, flips, strict=True)]).mean(0)


FUSIONS: dict[str, Callable[..., Tensor]] = {
    "raw": _raw,
    "min_max": _min_max,
    "cues": _cues,
    **{variant: _published(variant) for variant in ("psa", "mctformer", "transcam", "afa")},
}
