"""Hellinger distances against a loop over pairs, and the gain of each layer against one sweep a layer."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seedbed.data.index import DataIndex
from seedbed.data.normalise import normalise
from seedbed.data.pictures import read_picture
from seedbed.errors import DataError, UserError
from seedbed.evaluate import ThresholdSweep
from seedbed.evaluate.attention import (
    LayerGain,
    attention_statistics,
    hellinger_distances,
    layer_maps,
    mean_hellinger,
    score_layers,
)
from seedbed.evaluate.scoring import ground_truth
from seedbed.explain.attention_cams import patch_attention
from seedbed.explain.pictures import picture_heatmaps
from seedbed.models import create_model
from seedbed.params.stages import Explainer, Input, Scoring

CPU = torch.device("cpu")

torch.set_num_threads(1)


def looped(rows, normalise=False):
    """Equation 6, pair by pair; the mean over pairs of different rows."""
    rows = [[float(value) for value in row] for row in rows]
    if normalise:
        rows = [[value / sum(row) for value in row] for row in rows]
    distances = [
        math.sqrt(sum((math.sqrt(p) - math.sqrt(q)) ** 2 for p, q in zip(one, other, strict=True))) / math.sqrt(2)
        for k, one in enumerate(rows)
        for other in rows[k + 1 :]
    ]
    return sum(distances) / len(distances)


def test_hellinger_by_hand():
    """Equal distributions are 0 apart, disjoint ones 1, a fair coin and a sure one sqrt(1 - sqrt(1/2))."""
    attention = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    half = math.sqrt(1 - math.sqrt(0.5))
    expected = torch.tensor([[0, 1, half, 0], [1, 0, half, 1], [half, half, 0, half], [0, 1, half, 0]])
    torch.testing.assert_close(hellinger_distances(attention), expected.double())
    assert float(mean_hellinger(attention)) == pytest.approx((1 + half + 0 + half + 1 + half) / 6)


@given(st.integers(0, 10**6), st.booleans())
def test_hellinger_equals_a_loop(seed, normalise):
    """Whole rows, and rows that lost what class tokens got."""
    logits = 3 * torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(seed))
    attention = logits.softmax(-1)[:, :, 2:]
    means = mean_hellinger(attention, renormalise=normalise)
    assert means.shape == (2,)
    for mean, rows in zip(means, attention, strict=True):
        assert float(mean) == pytest.approx(looped(rows, normalise), rel=1e-9)


@given(st.integers(0, 10**6), st.floats(0.1, 10))
def test_hellinger_is_a_distance(seed, sharpness):
    rows = (sharpness * torch.randn(5, 7, generator=torch.Generator().manual_seed(seed))).softmax(-1)
    distances = hellinger_distances(rows)
    torch.testing.assert_close(distances, distances.mT, rtol=0, atol=1e-7)
    assert not distances.diagonal().any()
    assert ((distances >= 0) & (distances <= 1 + 1e-7)).all()
    assert (distances[:, None, :] <= distances[:, :, None] + distances[None] + 1e-7).all()


def test_rows_that_are_nearly_equal_keep_their_digits():
    rows = torch.tensor([[0.5, 0.5], [0.5 + 1e-6, 0.5 - 1e-6]], dtype=torch.float64)
    assert float(mean_hellinger(rows)) == pytest.approx(looped(rows), rel=1e-3)


def test_a_row_of_zeros_stays():
    assert hellinger_distances(torch.zeros(2, 3), renormalise=True).tolist() == [[0, 0], [0, 0]]
    with pytest.raises(DataError, match=r"two rows or more, got attention of shape \(1, 3\)"):
        mean_hellinger(torch.ones(1, 3))


def random_counts(seed, layers=2):
    rng = np.random.default_rng(seed)
    return rng.random((layers, 2, 5, 6)).astype(np.float32), [1, 3], rng.integers(0, 4, (5, 6)).astype(np.uint8)


def test_layer_gain_is_a_sweep_a_layer():
    gain, halves = LayerGain(4, 2), [LayerGain(4, 2), LayerGain(4, 2)]
    sweeps = [ThresholdSweep(4), ThresholdSweep(4)]
    for seed in range(4):
        maps, labels, truth = random_counts(seed)
        gain.update(maps, labels, truth)
        halves[seed % 2].update(maps, labels, truth)
        for sweep, layer in zip(sweeps, maps, strict=True):
            sweep.update(layer, labels, truth)
    halves[0].merge(halves[1])
    scores = gain.scores("in_either")
    best = [sweep.best("full_scan", "in_either") for sweep in sweeps]
    assert scores["miou_per_layer"] == [one.miou for one in best]
    assert scores["background_per_layer"] == [one.threshold for one in best]
    assert scores["best_miou"] == max(scores["miou_per_layer"]) == scores["miou_per_layer"][scores["best_layer"]]
    assert halves[0].scores("in_either") == scores
    with pytest.raises(DataError, match="maps of 3 layers, expected 2"):
        gain.update(random_counts(0, layers=3)[0], *random_counts(0)[1:])
    with pytest.raises(DataError, match="Cannot merge counts of 1 and of 2 layers"):
        gain.merge(LayerGain(4, 1))


def network(kind, index: DataIndex):
    """A small network whose attention is uneven: the maps of a flat one are rounding errors, stretched to 0..1."""
    torch.manual_seed(0)
    small = {"embed_dim": 16, "depth": 3, "num_heads": 2}
    if kind == "mct_refined":
        model = create_model("mctformerv2_tiny", len(index.classes), img_size=48, **small)
    else:
        model = create_model("conformer_tiny_demo", len(index.classes), width=8, stem_width=8, **small)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("attn.qkv.weight"):
                parameter *= 30
    return model


def explainer(method, **changes):
    fusion = "mctformer" if method == "mct_refined" else "transcam"
    values = {"method": method, "input": {"normalize": "imagenet"}, "fusion": fusion, "background": 0.4, "sweep": True}
    return Explainer.model_validate({**values, "batch_size": 3, **changes})


@pytest.mark.parametrize("method", ["mct_refined", "transcam"])
def test_layers_are_those_of_the_method(method, shapes):
    """Views, fusion and classes are the heat maps' own; several layers cost one pass."""
    model, records = network(method, shapes), shapes.split("val")
    settings = explainer(method, scales=[1.0, 1.5], flip=True, store_stride=2)
    found = list(layer_maps(model, shapes, records, settings, CPU))
    assert [record.image for record, _, _ in found] == [record.image for record in records]
    cams = {"mct_refined": "mct_fused", "transcam": "conv_cam"}
    compared = [({}, method, lambda maps: maps.all_layers), ({}, cams[method], lambda maps: maps.cam)]
    compared += [({"layers": [k]}, method, lambda maps, k=k: maps.layers[k]) for k in range(3)]
    for options, name, chosen in compared:
        single = settings.model_copy(update={"method": name, "options": options})
        heats = picture_heatmaps(model, shapes, records, single, CPU)
        for (_, classes, maps), (_, heat) in zip(found, heats, strict=True):
            assert list(classes) == heat.classes.tolist()
            assert chosen(maps).shape == (len(classes), 48, 48)
            sampled = torch.nn.functional.interpolate(torch.from_numpy(heat.maps)[None], (48, 48), mode="bilinear")
            np.testing.assert_allclose(chosen(maps), sampled[0].numpy(), atol=2e-5)


def test_a_picture_without_classes_is_background_in_every_layer(shapes):
    model, record = network("mct_refined", shapes), replace(shapes.split("val")[0], labels=())
    settings = explainer("mct_refined", store_stride=2)
    ((_, classes, maps),) = layer_maps(model, shapes, [record], settings, CPU)
    assert (classes, maps.cam.shape, maps.layers.shape) == ((), (0, 48, 48), (3, 0, 48, 48))
    scores = score_layers(model, shapes, [record], settings, Scoring(), CPU)
    assert scores["miou_per_layer"] == [scores["miou_cam"]] * 3
    assert 0 < scores["miou_cam"] < 1


def test_scores_of_the_layers(shapes):
    model, records, scoring = network("mct_refined", shapes), shapes.split("val"), Scoring()
    settings = explainer("mct_refined")
    scores = score_layers(model, shapes, records, settings, scoring, CPU)
    thresholds = [round(k * 0.01, 6) for k in range(60)]
    sweeps = {key: ThresholdSweep(len(shapes.classes) + 1, thresholds) for key in ("cam", 0, 1, 2, "all")}
    for record, classes, maps in layer_maps(model, shapes, records, settings, CPU):
        for key, sweep in sweeps.items():
            chosen = maps.layers[key] if isinstance(key, int) else maps.cam if key == "cam" else maps.all_layers
            sweep.update(chosen, [k + 1 for k in classes], ground_truth(shapes, record))
    best = {key: sweep.best().miou for key, sweep in sweeps.items()}
    assert scores["miou_per_layer"] == [best[0], best[1], best[2]]
    assert (scores["miou_cam"], scores["miou_all_layers"]) == (best["cam"], best["all"])
    assert (scores["best_miou"], scores["images"]) == (max(scores["miou_per_layer"]), 4)
    with pytest.raises(DataError, match="no pictures to score"):
        score_layers(model, shapes, [], settings, scoring, CPU)


@pytest.mark.parametrize("method", ["mct_refined", "transcam"])
@pytest.mark.parametrize("renormalise", [False, True])
def test_statistics_are_means_over_pictures(method, renormalise, shapes):
    model, records = network(method, shapes).train(), shapes.split("val")
    settings = Input(normalize="imagenet", size=(48, 48))
    found = attention_statistics(model, shapes, records, settings, CPU, renormalise=renormalise)
    pictures = [torch.from_numpy(read_picture(shapes.root / r.path).copy()).permute(2, 0, 1) for r in records]
    attention = patch_attention(model, torch.stack([normalise(picture, "imagenet") for picture in pictures]))
    expected = [sum(looped(rows, renormalise) for rows in layer) / len(records) for layer in attention]
    np.testing.assert_allclose(found["hellinger_per_layer"], expected, rtol=1e-3)
    assert found["hellinger"] == pytest.approx(np.mean(found["hellinger_per_layer"]))
    assert found["images"] == 4
    with pytest.raises(DataError, match="no pictures"):
        attention_statistics(model, shapes, [], settings, CPU)
    with pytest.raises(UserError, match="Linear is not read"):
        attention_statistics(torch.nn.Linear(1, 1), shapes, records, settings, CPU)
