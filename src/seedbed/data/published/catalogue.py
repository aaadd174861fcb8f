"""Published data sets by kind: each stands in a file of its own, which registers what prepares it."""

from collections.abc import Callable
from typing import Any

from seedbed.data.index import DataIndex
from seedbed.io.catalogue import Catalogue

Prepare = Callable[..., DataIndex]
"""From the data set's folder, with its files below ``raw``, and ``workers`` to its index; see `prepare_voc12`."""
PUBLISHED: Catalogue[Prepare] = Catalogue("published data set", "seedbed.data.published", "published")


def published(
    kind: str,
    *,
    splits: str,
    offers: str = "",
    test: str = "",
    one_train: bool = False,
    train_inside: bool = False,
) -> Callable[[Any], Any]:
    """Register the decorated function as what prepares a kind; the arguments are literals, which a plan reads as text.

    Its keyword-only arguments are its ``options`` in `datasets`.

    Args:
        kind: in parameter files, and the name of its files' ``dataset`` in the table of sources.
        splits: those that it may have.
        offers: what each image of its usual splits has: ``boxes``, ``masks``, exactly one label (``single_label``).
        test: optional file of the table of sources without which there are no test images.
        one_train: whether ``train`` and ``trainaug`` are the same images, so that what is made of one serves both.
        train_inside: whether ``train`` is a part of ``trainaug``, so that what is made of the one serves the other.
    """
    return PUBLISHED.entering(kind)
