"""Texts enriched with attributes: what sentences about the classes have in common, mixed into each class (ExCEL).

ExCEL (Yang et al., CVPR 2025) asks a language model for sentences about every class, clusters their embeddings to
attributes, and adds to a class what it is most like. Its sentences are not published under a licence, so a data set has
none until somebody writes some.
"""

import torch
from sklearn.cluster import KMeans
from torch import Tensor

from seedbed.errors import DataError, ParameterError
from seedbed.models.texts import unit

DROPPED = 0.1
"""Share of the attributes that a class takes nothing of."""


def clustered(sentences: Tensor, count: int) -> Tensor:
    """Attributes [n, E] of sentences [m, E] of unit length: the centres of ``count`` clusters, not of unit length.

    Raises:
        DataError: there are fewer sentences than clusters.
    """
    if len(sentences) < count:
        raise DataError(f"{len(sentences)} sentences make no {count} clusters; write more, or lower `clusters`.")
    found = KMeans(count, n_init="auto", random_state=0).fit(sentences.double().numpy())
    return torch.from_numpy(found.cluster_centers_).float()


def with_attributes(classes: Tensor, attributes: Tensor, *, as_published: bool = False) -> Tensor:
    """Classes with a mean of the attributes that they are like, weighted by a softmax of the cosines.

    There is no temperature, so the weights are nearly uniform.

    Args:
        classes: [C, E], of unit length.
        attributes: [n, E].
        as_published: how many of the n attributes, those least like a class, it takes nothing of: ``int((1 - 0.9) n)``
            in floating point, one fewer than a tenth where n is a multiple of ten; for n = 10 none, which the published
            code takes for all, and gives NaN. Otherwise a tenth, rounded.

    Returns:
        [C, E], of unit length.

    Raises:
        ParameterError: attributes are of another length than classes.
    """
    if attributes.ndim != 2 or attributes.shape[1] != classes.shape[1]:
        raise ParameterError(f"Attributes {tuple(attributes.shape)} do not fit classes {tuple(classes.shape)}.")
    count = len(attributes)
    dropped = (int((1 - 0.9) * count) or count) if as_published else round(DROPPED * count)
    likeness = classes @ attributes.T
    least = likeness.topk(dropped, largest=False).indices
    weights = likeness.scatter(1, least, float("-inf")).softmax(-1)
    return unit(weights @ attributes + classes)
