"""Classifiers restored from a description and a weights file."""

import pytest
import torch

from seedbed.errors import DataError
from seedbed.io.weights import write_weights
from seedbed.models import create_model
from seedbed.models.restored import restore_classifier

NETWORK = {"architecture": "vit_tiny_patch8_96", "options": {"depth": 1}, "num_classes": None}


@pytest.mark.parametrize(("named", "outputs"), [(None, 6), (4, 4)])
def test_classes_of_the_data_set_unless_the_network_names_its_own(tmp_path, named, outputs):
    original = create_model("vit_tiny_patch8_96", outputs, depth=1)
    write_weights(tmp_path / "w.safetensors", original.state_dict(), {})
    restored = restore_classifier({**NETWORK, "num_classes": named}, 6, tmp_path / "w.safetensors")
    for name, tensor in original.state_dict().items():
        assert torch.equal(restored.state_dict()[name], tensor), name


def test_weights_of_other_classes_are_refused(tmp_path):
    write_weights(tmp_path / "w.safetensors", create_model("vit_tiny_patch8_96", 5, depth=1).state_dict(), {})
    with pytest.raises(DataError, match=r"head\.weight"):
        restore_classifier(NETWORK, 6, tmp_path / "w.safetensors")
