"""ResNet38's ImageNet archive: files MXNet can read, of both container versions in use, and their known conversion."""

import numpy as np
import pytest
import torch
from model_recordings import recorded, weights

from seedbed.models import create_model, load_weights
from seedbed.models.weights.layouts import resnet38_name
from seedbed.models.weights.mxnet import read_params


@pytest.fixture(scope="module")
def archive():
    return recorded("weights_resnet38_mxnet")


@pytest.fixture(params=["legacy", "v2"])
def path(request, archive, tmp_path):
    path = tmp_path / "narrow.params"
    path.write_bytes(archive[request.param].tobytes())
    return path


def test_every_array_has_its_name_and_values(archive, path):
    arrays = read_params(path)
    renamed = dict(zip(archive["mxnet_names"].tolist(), archive["names"].tolist(), strict=True))
    assert set(arrays) == set(renamed) | set(archive["dropped"].tolist())
    for theirs, ours in renamed.items():
        assert resnet38_name(theirs) == ours
        np.testing.assert_array_equal(arrays[theirs], archive[f"w/{ours}"])


@pytest.mark.parametrize(
    ("name", "classes", "prefix"),
    [
        ("resnet38", 20, ""),
        ("affinitynet_resnet38", None, ""),
        ("deeplab_v1_resnet38_mctformer", 21, ""),
        ("deeplab_v1_resnet38", 21, "backbone."),
        ("deeplab_v2_resnet38", 21, "backbone."),
    ],
)
def test_every_network_on_resnet38_starts_from_it(archive, path, name, classes, prefix):
    model = create_model(name, classes, width_divisor=int(archive["divisor"]))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    result = load_weights(model, path, layout="resnet38_mxnet")
    expected = {prefix + key: value for key, value in weights(archive).items()}
    assert set(result.loaded) == set(expected)
    assert result.dropped == sorted(archive["dropped"].tolist())
    for key, value in model.state_dict().items():
        assert torch.equal(value, expected.get(key, before[key]))
        if key not in expected and not key.endswith("num_batches_tracked"):
            assert key in result.fresh
