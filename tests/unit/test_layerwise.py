"""Seeds layer by layer: the methods' own maps, and one sweep a layer."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from exvit_toys import small
from layered_models import explainer, network

from seedbed.errors import DataError, ParameterError, UserError
from seedbed.evaluate import ThresholdSweep
from seedbed.evaluate.layerwise import LayerGain, LayerMaps, count_layers, layer_maps
from seedbed.evaluate.merged_counts import merge_protocol
from seedbed.evaluate.protocols.measured_shard import run_protocol
from seedbed.evaluate.scoring import score_heatmaps
from seedbed.explain.by_layer import maps_by_layer
from seedbed.explain.dataset_maps import picture_heatmaps
from seedbed.params.stages import Scoring

CPU = torch.device("cpu")

torch.set_num_threads(1)


def random_counts(seed, layers=2):
    rng = np.random.default_rng(seed)
    maps, truth = rng.random((layers + 1, 2, 5, 6)).astype(np.float32), rng.integers(0, 4, (5, 6)).astype(np.uint8)
    return LayerMaps(maps[1:], {"cam": maps[0]}), [1, 3], truth


def test_layer_gain_is_a_sweep_a_layer():
    gain, *halves = (LayerGain(4, 2, beside=["cam"], convention="in_either") for _ in range(3))
    sweeps = [ThresholdSweep(4), ThresholdSweep(4), ThresholdSweep(4)]
    for seed in range(4):
        maps, labels, truth = random_counts(seed)
        gain.update(maps, labels, truth)
        halves[seed % 2].update(maps, labels, truth)
        for sweep, layer in zip(sweeps, [*maps.layers, maps.beside["cam"]], strict=True):
            sweep.update(layer, labels, truth)
    scores = gain.result()
    *best, cam = (sweep.best("full_scan", "in_either") for sweep in sweeps)
    assert scores["miou_per_layer"] == [one.miou for one in best]
    assert scores["background_per_layer"] == [one.threshold for one in best]
    assert scores["best_miou"] == max(scores["miou_per_layer"]) == scores["miou_per_layer"][scores["best_layer"]]
    assert (scores["miou_cam"], scores["images"]) == (cam.miou, 4)
    for name, rate in (
        ("fp", "false_positive_rate"),
        ("fn", "false_negative_rate"),
        ("fp_over_tp", "false_positives_over_true"),
        ("fn_over_tp", "false_negatives_over_true"),
    ):
        expected = [getattr(s.confusions()[b.index], rate)() for s, b in zip(sweeps, best, strict=False)]
        assert scores[f"{name}_per_layer"] == expected
    assert scores["gain_per_layer"] == [one.miou - cam.miou for one in best]
    assert "gain_all_layers" not in scores  # no map of all layers was given
    assert merge_protocol("layerwise", [json.loads(json.dumps(half.to_dict())) for half in halves]) == scores
    with pytest.raises(DataError, match="maps of 3 layers, expected 2"):
        gain.update(*random_counts(0, layers=3))
    with pytest.raises(DataError, match="Cannot merge counts of 1 and of 2 layers"):
        gain.merge(LayerGain(4, 1))


def compare(found, model, index, records, settings):
    """Check maps, a function of `LayerMaps`, against the method's own heat maps."""
    heats = picture_heatmaps(model, index, records, settings, CPU)
    for (classes, maps), (_, heat) in zip(found, heats, strict=True):
        assert list(classes) == heat.classes.tolist()
        assert maps.shape == (len(classes), 48, 48)
        sampled = torch.nn.functional.interpolate(torch.from_numpy(heat.maps)[None], (48, 48), mode="bilinear")
        np.testing.assert_allclose(maps, sampled[0].numpy(), atol=2e-5)


@pytest.mark.parametrize("method", ["mct_refined", "transcam"])
def test_layers_are_those_of_the_method(method, shapes):
    """Views, fusion and classes are the heat maps' own; several layers cost one pass."""
    model, records = network(method, shapes), shapes.split("val")
    settings = explainer(method, scales=[1.0, 1.5], flip=True, store_stride=2)
    found = list(layer_maps(model, shapes, records, settings, CPU))
    assert [record.image for record, _, _ in found] == [record.image for record in records]
    cams = {"mct_refined": "mct_fused", "transcam": "conv_cam"}
    compared = [
        ({}, method, lambda maps: maps.beside["all_layers"]),
        ({}, cams[method], lambda maps: maps.beside["cam"]),
    ]
    compared += [({"layers": [k]}, method, lambda maps, k=k: maps.layers[k]) for k in range(3)]
    for options, name, chosen in compared:
        single = settings.model_copy(update={"method": name, "options": options})
        compare([(classes, chosen(maps)) for _, classes, maps in found], model, shapes, records, single)


@pytest.mark.parametrize(
    ("method", "network_options", "options"),
    [
        ("attribute_guided_map", {}, {}),
        ("attribute_guided_map", {"feature_norm": True}, {"relu": False}),
        ("cam", {"head": "cam", "num_attributes": 0}, {}),
    ],
)
def test_entry_k_fuses_the_last_k_layers(method, network_options, options, shapes):
    model, records = small(classes=len(shapes.classes), **network_options).float(), shapes.split("val")
    settings = explainer(method, options=options, flip=True)
    found = list(layer_maps(model, shapes, records, settings, CPU))
    assert all(len(maps.layers) == 3 and not maps.beside for _, _, maps in found)
    for count in (1, 2, 3):
        fused = settings.model_copy(update={"options": {**options, "fused_layers": count}})
        compare([(classes, maps.layers[count - 1]) for _, classes, maps in found], model, shapes, records, fused)


def test_what_has_no_form_by_layer(shapes):
    images, targets = torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, dtype=torch.int64)
    with pytest.raises(ParameterError, match="Unknown method by layer 'gradcam'"):
        maps_by_layer(small(), images, targets, "gradcam")
    with pytest.raises(ParameterError, match="Unknown option of 'attribute_guided_map' by layer 'rleu'"):
        maps_by_layer(small().float(), images, targets, "attribute_guided_map", rleu=True)
    with pytest.raises(UserError, match="'cam' by layer cannot explain this ExViT: its head is 'attributes'"):
        maps_by_layer(small().float(), images, targets, "cam")


def test_a_picture_without_classes_is_background_in_every_layer(shapes):
    model, record = network("mct_refined", shapes), replace(shapes.split("val")[0], labels=())
    settings = explainer("mct_refined", store_stride=2)
    ((_, classes, maps),) = layer_maps(model, shapes, [record], settings, CPU)
    assert (classes, maps.beside["cam"].shape, maps.layers.shape) == ((), (0, 48, 48), (3, 0, 48, 48))
    scores = count_layers(model, shapes, [record], settings, Scoring(), CPU).result()
    assert scores["miou_per_layer"] == [scores["miou_cam"]] * 3
    assert 0 < scores["miou_cam"] < 1


def test_scores_are_those_of_the_heat_maps(shapes):
    """Each layer's score, and that of all, is what the heat maps themselves score; shards change nothing."""
    model, records, scoring = network("mct_refined", shapes), shapes.split("val"), Scoring(miou="in_either")
    settings = explainer("mct_refined")
    counts = [
        run_protocol("layerwise", model, shapes, records[k::2], settings, scoring.plain(), CPU) for k in (0, 1)
    ]  # fmt: skip
    scores = merge_protocol("layerwise", json.loads(json.dumps(counts)))
    single = [({"layers": [k]}, scores["miou_per_layer"][k]) for k in range(3)] + [({}, scores["miou_all_layers"])]
    for options, found in single:
        heats = dict(picture_heatmaps(model, shapes, records, settings.model_copy(update={"options": options}), CPU))
        expected = score_heatmaps(shapes, records, heats, scoring, background=0.3, sweep=True)
        assert found == pytest.approx(expected["miou"], abs=1e-4)
    assert (scores["best_miou"], scores["images"]) == (max(scores["miou_per_layer"]), 4)
    assert scores["gain_all_layers"] == scores["miou_all_layers"] - scores["miou_cam"]
    with pytest.raises(DataError, match="no images to score"):
        count_layers(model, shapes, [], settings, scoring, CPU)


def test_counts_go_on_from_those_of_the_pictures_before(shapes):
    model, records = network("mct_refined", shapes), shapes.split("val")
    settings, options = explainer("mct_refined"), Scoring(miou="in_either").plain()
    whole = run_protocol("layerwise", model, shapes, records, settings, options, CPU, 2)
    begun = run_protocol("layerwise", model, shapes, records[:2], settings, options, CPU, 2)
    kept = json.loads(json.dumps(begun))
    assert run_protocol("layerwise", model, shapes, iter(records[2:]), settings, options, CPU, 2, kept) == whole
