"""The unary term of a dense CRF, of labels that may be carried in groups."""

from typing import NamedTuple

import numpy as np

Array = np.ndarray


class Energies(NamedTuple):
    """The unary term of one run.

    Labels with the same energy everywhere keep equal distributions. They can be carried as one label, whose probability
    is their sum: its unary energy is lowered by ``log m``, its Potts weight divided by ``m``.

    Attributes:
        unary: ``[G, H, W]`` float, in nats, of one label of each group.
        counts: ``[G]`` int, labels in each group.
    """

    unary: Array
    counts: Array
