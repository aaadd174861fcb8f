"""Perturbation tests with a classifier simple enough to foresee: it adds pixels up."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seedbed.errors import DataError, ParameterError
from seedbed.evaluate import erasing, perturbation
from seedbed.evaluate.erasing import erased_logits, ranks
from seedbed.evaluate.perturbation import AREAS, CURVE_AREAS, SCHEDULES, AreaBetweenCurves, PerturbationTest

ONE = {"mean": (0.5,), "std": (0.5,)}
SIDE = 10


class Brightness(nn.Module):
    """Class 1 if the (unnormalised) pixels add up to more than half of what ``full`` is, else class 0."""

    def __init__(self, full: float = SIDE * SIDE):
        super().__init__()
        self.full, self.sizes = full, []
        self.dropout = nn.Dropout(0.9)

    def forward(self, images):
        self.sizes.append(len(images))
        total = self.dropout(images * 0.5 + 0.5).sum((1, 2, 3))
        return torch.stack((torch.full_like(total, self.full / 2), total), 1)


def picture():
    """White pixels; the map ranks them in reading order, largest first."""
    return torch.ones(1, 1, SIDE, SIDE), -torch.arange(SIDE * SIDE, dtype=torch.float32).view(1, SIDE, SIDE)


def test_ranks_put_ties_in_reading_order_and_nan_first():
    maps = torch.tensor([[[1.0, 3.0], [3.0, float("nan")]]])
    assert [rank.tolist() for rank in ranks(maps)] == [[[3, 1, 2, 0]], [[1, 2, 3, 0]]]
    assert [rank.tolist() for rank in ranks(torch.zeros(1, 2, 2))] == [[[0, 1, 2, 3]], [[0, 1, 2, 3]]]


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, -0.0, float("nan"), float("inf"), -5.0]), min_size=1, max_size=12))
def test_one_sort_ranks_as_two_would(values):
    maps = torch.tensor(values).view(1, 1, -1)

    def sorted_ranks(keys):
        order = sorted(range(len(keys)), key=lambda k: (not math.isnan(keys[k]), -keys[k] if keys[k] == keys[k] else 0))
        return [order.index(k) for k in range(len(keys))]

    down, up = ranks(maps)
    assert down[0].tolist() == sorted_ranks(values)
    assert up[0].tolist() == sorted_ranks([-value for value in values])


def test_every_picture_is_sorted_once(monkeypatch):
    images, maps = picture()
    calls, once = [], erasing.ranks
    monkeypatch.setattr(perturbation, "ranks", lambda maps: calls.append(len(maps)) or once(maps))
    PerturbationTest().update(Brightness().eval(), images, maps, torch.tensor([1]), **ONE)
    AreaBetweenCurves().update(Brightness().eval(), images, maps, torch.tensor([1]), **ONE)
    assert calls == [1, 1]


def test_fill_colours():
    images = torch.full((1, 1, SIDE, SIDE), 0.25)
    maps = picture()[1]
    seen = {}
    for fill in ("black", "mean", "white"):

        class Watching(Brightness):
            def forward(self, pictures, fill=fill):
                seen[fill] = float(pictures[-1, 0, 5, 0]) * 0.5 + 0.5  # erased at last in both orders
                return super().forward(pictures)

        for test in (PerturbationTest(fill=fill), AreaBetweenCurves(fill=fill)):
            test.update(Watching().eval(), images, maps, torch.tensor([0]), **ONE)
            assert seen[fill] == pytest.approx({"black": 0.0, "mean": 0.5, "white": 1.0}[fill])
    assert (PerturbationTest().fill, AreaBetweenCurves().fill) == ("black", "mean")  # as published


def test_areas_between_curves_by_hand():
    curve = np.array([1.0] + [0.0] * 10)
    assert CURVE_AREAS["mean"](curve) == pytest.approx(1 / 11)
    assert CURVE_AREAS["trapezoid"](curve) == pytest.approx(0.05)
    assert CURVE_AREAS["twelfths"](curve) == pytest.approx(1 / 12)
    images, maps = picture()
    test = AreaBetweenCurves(area="twelfths")
    test.update(Brightness().eval(), images, maps, torch.tensor([1]), **ONE)
    result = test.result()
    assert result["lerf"] == pytest.approx(sum(result["curve_lerf"]) / 12)


def test_schedules_of_the_papers():
    assert SCHEDULES["per"](50176) == [5017, 10035, 15052, 20070, 25088, 30105, 35123, 40140, 45158]
    assert SCHEDULES["100"](50176) == [500, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500]


def test_areas_by_hand():
    assert AREAS["trapezoid"](np.ones(10)) == pytest.approx(0.9)
    assert AREAS["normalised"](np.ones(10)) == pytest.approx(1.0)
    assert AREAS["mean"](np.arange(10.0)) == 4.5
    assert AREAS["trapezoid"](np.array([1.0] + [0.0] * 9)) == pytest.approx(0.05)


def test_accuracy_falls_when_half_the_light_is_gone():
    images, maps = picture()
    test = PerturbationTest()
    found = test.update(Brightness().eval(), images, maps, torch.tensor([1]), **ONE)
    # At 10 % .. 40 % erased the rest is brighter than half; at 50 % it ties and argmax takes class 0.
    assert found["hits"].tolist() == [1.0]
    assert found["hits_positive"][:, 0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0]
    expected = [50.0 - 100.0] * 9
    np.testing.assert_allclose(found["logit_difference_positive"][:, 0], np.maximum(expected, -10.0 * np.arange(1, 10)))
    result = test.result()
    assert result["auc_positive"] == pytest.approx(0.1 * (0.5 + 4))
    assert result["curve_positive"] == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    assert result["accuracy"] == 1.0


def test_the_order_matters_only_where_pixels_differ():
    images, maps = picture()
    images[:, :, SIDE // 2 :] = 0  # light in the upper half only, which the map ranks first
    test = PerturbationTest()
    test.update(Brightness(50.0).eval(), images, maps, torch.tensor([1]), **ONE)
    result = test.result()
    assert result["curve_positive"] == [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]  # 30 of 50 lit pixels gone at the third step
    assert result["curve_negative"] == [1, 1, 1, 1, 1, 1, 1, 1, 0, 0]  # the lower half goes first


def test_probabilities_of_both_orders_share_their_ends():
    images, maps = picture()
    images[:, :, SIDE // 2 :] = 0
    curves = AreaBetweenCurves()
    found = curves.update(Brightness(50.0).eval(), images, maps, torch.tensor([1]), **ONE)
    # Erased pixels become 0.5: k of the 50 lit ones gone leave 50 - k/2, and k dark ones add k/2.
    for step in range(11):
        k = 10 * step
        first = 50 - min(k, 50) / 2 + max(k - 50, 0) / 2
        last = 50 + min(k, 50) / 2 - max(k - 50, 0) / 2
        for name, total in (("morf", first), ("lerf", last)):
            assert found[name][step, 0] == pytest.approx(1 / (1 + math.exp(25 - total)), rel=1e-5)
    result = curves.result()
    assert result["abpc"] == pytest.approx(result["lerf"] - result["morf"])
    assert result["curve_morf"][0] == result["curve_lerf"][0]
    assert result["curve_morf"][10] == result["curve_lerf"][10]


def test_copies_are_bounded_and_change_nothing():
    images, maps = (part.repeat(3, *[1] * (part.ndim - 1)) for part in picture())
    maps = maps * torch.tensor([1.0, -1.0, 0.0]).view(3, 1, 1)
    labels = torch.tensor([1, 1, 0])
    expected = PerturbationTest().update(Brightness().eval(), images, maps, labels, **ONE)
    model = Brightness().eval()
    found = PerturbationTest().update(model, images, maps, labels, **ONE, copies_at_once=4)
    assert max(model.sizes) == 4 and sum(model.sizes) == 3 * (1 + 9 + 9)
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(values, found[name])


def test_a_module_is_tested_in_evaluation_mode_and_put_back():
    images, maps = picture()
    model = Brightness().train()
    test = PerturbationTest()
    test.update(model, images, maps, torch.tensor([1]), **ONE)
    assert test.result()["accuracy"] == 1.0  # with 90 % dropout it would not be
    assert model.training and model.dropout.training


def test_a_function_will_do_as_model():
    images, maps = picture()
    logits = erased_logits(
        lambda x: x.sum((2, 3)).repeat(1, 2), images, ranks(maps)[0], [0, 100], torch.zeros(1, 1, 1, 1), 8
    )
    assert logits.flatten().tolist() == [100.0, 100.0, 0.0, 0.0]


def test_undefined_maps_are_counted_and_never_taken_for_zero():
    images, maps = picture()
    images, maps = images.repeat(2, 1, 1, 1), maps.repeat(2, 1, 1)
    maps[1] = float("nan")
    labels = torch.tensor([1, 1])
    published, skipping = PerturbationTest(), PerturbationTest(undefined="skip")
    both = published.update(Brightness().eval(), images, maps, labels, **ONE)
    one = skipping.update(Brightness().eval(), images, maps, labels, **ONE)
    assert (published.result()["images"], published.result()["undefined_maps"]) == (2, 1)
    assert (skipping.result()["images"], skipping.result()["undefined_maps"]) == (1, 1)
    assert both["hits"].shape == (2,) and one["hits"].shape == (1,)
    alone = PerturbationTest(undefined="skip")
    assert alone.update(Brightness().eval(), images[1:], maps[1:], labels[1:], **ONE) == {}
    with pytest.raises(DataError, match="No image was tested"):
        alone.result()
    curves = AreaBetweenCurves(undefined="skip")
    assert curves.update(Brightness().eval(), images[1:], maps[1:], labels[1:], **ONE) == {}
    curves.update(Brightness().eval(), images, maps, labels, **ONE)
    assert (curves.result()["images"], curves.result()["undefined_maps"]) == (1, 2)


@pytest.mark.parametrize("kind", [PerturbationTest, AreaBetweenCurves])
def test_merging_and_json_give_the_same_result(kind):
    generator = torch.Generator().manual_seed(0)
    images, maps = torch.rand(6, 1, SIDE, SIDE, generator=generator), torch.rand(6, SIDE, SIDE, generator=generator)
    labels = torch.tensor([0, 1, 0, 1, 1, 0])
    whole, merged, model = kind(), kind(), Brightness().eval()
    whole.update(model, images, maps, labels, **ONE)
    for start in (0, 2, 4):
        part = kind()
        cut = slice(start, start + 2)
        part.update(model, images[cut], maps[cut], labels[cut], **ONE)
        merged.merge(kind.from_dict(json.loads(json.dumps(part.to_dict()))))
    expected, found = whole.result(), merged.result()
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=1e-9, err_msg=name)


def test_wrong_arguments_are_named():
    images, maps = picture()
    label, model = torch.tensor([1]), Brightness().eval()
    test = PerturbationTest()
    with pytest.raises(DataError, match=r"maps \(1, 3, 3\)"):
        test.update(model, images, torch.zeros(1, 3, 3), label, **ONE)
    with pytest.raises(DataError, match=r"Label 2 is outside the model's classes 0\.\.1"):
        test.update(model, images, maps, torch.tensor([2]), **ONE)
    with pytest.raises(ParameterError, match="mean and std need 1 numbers"):
        test.update(model, images, maps, label, mean=(0.5,), std=(0.5, 0.5))
    with pytest.raises(ParameterError, match="copies_at_once must be at least 1"):
        test.update(model, images, maps, label, **ONE, copies_at_once=0)
    with pytest.raises(DataError, match="No image was tested"):
        test.result()
    for name in ("schedule", "area"):
        with pytest.raises(ParameterError, match=f"Unknown {name} 'odd'"):
            PerturbationTest(**{name: "odd"})
    for kind in (PerturbationTest, AreaBetweenCurves):
        with pytest.raises(ParameterError, match="Unknown fill of erased pixels 'odd'"):
            kind(fill="odd")
    with pytest.raises(ParameterError, match="Unknown area 'odd'"):
        AreaBetweenCurves(area="odd")
    with pytest.raises(ParameterError, match="Unknown rule for undefined maps 'odd'"):
        AreaBetweenCurves(undefined="odd")
    with pytest.raises(DataError, match="Cannot merge perturbation tests"):
        test.merge(PerturbationTest("100"))
    with pytest.raises(DataError, match="Cannot merge curves"):
        AreaBetweenCurves().merge(AreaBetweenCurves(undefined="skip"))


def test_pictures_of_bytes_are_refused():
    """Erasing and the mean of bytes has no area: it was NaN."""
    images, maps = torch.zeros(1, 3, 4, 4, dtype=torch.uint8), torch.rand(1, 4, 4)
    with pytest.raises(DataError, match=r"must be floating point, got torch\.uint8"):
        PerturbationTest().update(lambda x: x.mean((2, 3)), images, maps, torch.tensor([0]), mean=[0] * 3, std=[1] * 3)


def test_what_a_test_cannot_take_is_refused():
    images, maps, more = torch.rand(1, 3, 4, 4), torch.rand(1, 4, 4), {"mean": [0] * 3, "std": [1] * 3}
    with pytest.raises(DataError, match="needs two classes or more"):
        PerturbationTest().update(lambda x: x.mean((1, 2, 3))[:, None], images, maps, torch.tensor([0]), **more)
    with pytest.raises(DataError, match=r"images must be a torch\.Tensor, not ndarray"):
        PerturbationTest().update(lambda x: x.mean((2, 3)), images.numpy(), maps, torch.tensor([0]), **more)


@pytest.mark.parametrize(
    "images", [torch.full((1, 1, 4, 4), 255.0), torch.randn(1, 1, 4, 4), torch.full((1, 1, 4, 4), math.nan)]
)
def test_images_out_of_their_range_are_refused(images):
    """Grey levels up to 255, normalised images and NaN gave an area all the same."""
    for test in (PerturbationTest(), AreaBetweenCurves()):
        with pytest.raises(DataError, match=r"\[0, 1\](, before normalising; these lie in| must be finite)"):
            test.update(Brightness().eval(), images, torch.rand(1, 4, 4), torch.tensor([1]), **ONE)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_images_are_cast_to_what_the_network_computes_in(dtype):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).eval()
    images, maps, label = torch.rand(1, 1, 4, 4), torch.rand(1, 4, 4), torch.tensor([1])
    one, other = AreaBetweenCurves(), AreaBetweenCurves()
    one.update(network, images, maps, label, **ONE)
    other.update(network.to(dtype), images, maps, label, **ONE)
    assert other.result()["abpc"] == pytest.approx(one.result()["abpc"], abs=0.02)
