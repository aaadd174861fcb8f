"""What many tests share: one thread, no deadlines on a busy machine, and a tiny data set."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("SEEDBED_DEVICE", "cpu")  # of rules that ask for a GPU, wherever the tests run

import pytest
from hypothesis import settings

from seedbed.data.card import write_card
from seedbed.data.index import DataIndex, write_index
from seedbed.data.shapes import LICENCE, make_shapes

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> DataIndex:
    """Twelve built-in images of 48 px: 4 in train, 8 in trainaug, 4 in val; index and card are on disk. Read only."""
    root = tmp_path_factory.mktemp("shapes")
    index = make_shapes(root, seed=0, size=48, train=4, trainaug=8, val=4, single_object=False)
    write_index(index)
    write_card(index, "shapes", LICENCE, {"seed": 0})
    return index
