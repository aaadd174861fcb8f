"""The same maps and scores on a GPU as on the CPU."""

import pytest
import torch
from explain_models import build, images_for, methods_for_any_vit

from seedbed.evaluate.perturbation import AreaBetweenCurves, PerturbationTest
from seedbed.explain import explain

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("method", methods_for_any_vit())
@pytest.mark.parametrize("family", ["class_token", "average", "hybrid"])
def test_maps_on_a_gpu(family, method):
    model, images = build(family), images_for(family)
    targets = torch.tensor([[0, -1, 4], [3, 3, 1]])
    expected = explain(model, images, targets, method)
    found = explain(model.cuda(), images.cuda(), targets, method)
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-7, atol=1e-10, equal_nan=True)


@pytest.mark.parametrize("test", [PerturbationTest, AreaBetweenCurves])
def test_erasing_on_a_gpu(test):
    model, images = build("class_token"), images_for("class_token").sigmoid()
    maps, labels = images.mean(1), torch.tensor([1, 3])
    normal = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    expected = test().update(model, images, maps, labels, **normal)
    found = test().update(model.cuda(), images.cuda(), maps.cuda(), labels.cuda(), **normal)
    for name, values in expected.items():
        torch.testing.assert_close(torch.from_numpy(found[name]), torch.from_numpy(values), rtol=1e-9, atol=1e-9)
