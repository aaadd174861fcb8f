"""How alike the attributes of an eX-ViT are on an image: what L_div (equation 14) makes small, and what it is for.

The paper claims that L_div makes attributes "maximally independent", so that they "focus on different discriminative
object regions" (section 3.4), and measures mIoU alone. This measurement is our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seedbed.errors import DataError, ParameterError
from seedbed.explain.exvit_maps import no_attributes
from seedbed.settings.checked import checked

SHORTEST = 1e-12  # of vectors in a cosine, as in the loss


@checked
def pair_cosines(vectors: Tensor) -> dict[str, Tensor]:
    """Cosines over the pairs of different vectors.

    Args:
        vectors: [..., S, n] floating, S >= 2; the cosine with a vector of zeros is 0.

    Returns:
        Each [...] float64: ``cosine``, the mean of the signed cosines, in [-1 / (S - 1), 1]; ``cosine_absolute``, the
        mean of their magnitudes, and ``cosine_largest``, the largest of them, in [0, 1].

    Raises:
        DataError: there are fewer than two vectors.
    """
    count = vectors.shape[-2] if vectors.ndim > 1 else 0
    if count < 2:
        raise DataError(f"Pairs need two vectors or more, [..., S, n]; these are {tuple(vectors.shape)}.")
    unit = F.normalize(vectors.double(), dim=-1, eps=SHORTEST)
    above = torch.ones(count, count, dtype=torch.bool, device=vectors.device).triu(1)
    cosines = (unit @ unit.mT)[..., above]
    sizes = cosines.abs()
    return {"cosine": cosines.mean(-1), "cosine_absolute": sizes.mean(-1), "cosine_largest": sizes.amax(-1)}


@torch.no_grad()
@checked
def attribute_likeness(model: Any, image: Tensor, classes: Sequence[int]) -> dict[str, float]:
    """How alike the attributes are on one image.

    Args:
        model: an eX-ViT with two attributes or more, which evaluates.
        image: [1, 3, H, W], normalised.
        classes: of the image, indices of the network's.

    Returns:
        ``feature_cosine``, ``feature_cosine_absolute``, ``feature_cosine_largest``: of the flattened G_s of equation
        9, see `pair_cosines`; the first is L_div of the image (equation 14). With class maps made of attributes, and a
        class, ``contribution_cosine`` and so on: of what each attribute adds to the class map at every place, mean
        over the classes.

    Raises:
        ParameterError: the network is no eX-ViT with attributes, or has only one.
    """
    if reason := no_attributes(model):
        raise ParameterError(f"Attributes are compared on an eX-ViT: {reason}. Give the row such a model.")
    if model.attributes.count < 2:
        raise ParameterError("The network has one attribute; set its num_attributes to 2 or more.")
    encoded = model.encode(image)
    weights = model.attributes(encoded.last)  # [1, N, S]
    # <G_i, G_j> is the sum over places of W_i W_j |F|^2.
    features = weights * encoded.last.norm(dim=-1, keepdim=True)
    found = _named("feature", pair_cosines(features[0].T))
    if classes and model.head_kind == "attributes":
        added = model.contributions(encoded, weights)[0, :, list(classes)]  # [N, K, S]
        found |= _named("contribution", pair_cosines(added.permute(1, 2, 0)))
    return found


def _named(kind: str, cosines: dict[str, Tensor]) -> dict[str, float]:
    return {f"{kind}_{name}": float(values.mean()) for name, values in cosines.items()}
