"""Refiners by name: what each declares, says and makes; the schema is what they declare."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from seedbed.data.images import read_mask
from seedbed.errors import DataError, ParameterError
from seedbed.io.heatmaps import HeatMaps
from seedbed.io.identity import source_closure
from seedbed.io.weights import write_weights
from seedbed.models import create_model
from seedbed.params.refiner_sections import SECTIONS, Refiner, needs
from seedbed.plan import code
from seedbed.refine.mask_making import argmax_refiner, crf_refiner, pseudo_masks
from seedbed.refine.refiners import REFINERS, Given, Words, build_refiner
from seedbed.settings.dense_crf import CrfSettings

CRF = CrfSettings(1.5, 3, 25, 7, 6, iterations=2)
WORDS = Words(0.4, {"psa": CRF})
SCRIPT = Path(__file__).parents[2] / "workflow_scripts" / "refine_masks.py"


def section(**values):
    return TypeAdapter(Refiner).validate_python(values)


def maps_of(index):
    rng = np.random.default_rng(0)
    shape = (48, 48)
    return {
        record.image: HeatMaps(
            np.array(index.class_indices(record)), rng.random((len(record.labels), *shape), np.float32), record.size
        )
        for record in index.records
    }


def masks_by(values, given, records):
    return dict(build_refiner(values).start(given)(records))


def test_every_refiner_has_a_section_of_its_options():
    assert set(SECTIONS) == set(REFINERS) >= {"argmax", "dense_crf", "random_walk", "truth"}
    for kind, made in SECTIONS.items():
        declared = set(REFINERS.find(kind).__dataclass_fields__)
        assert set(made.model_fields) == {"kind"} | declared
    assert (
        SECTIONS["dense_crf"].model_fields["alpha"].description
        == "background exponent; null: the explainer's constant."
    )
    assert "Random walk of the maps" in SECTIONS["random_walk"].__doc__


def test_the_schema_holds_what_is_declared():
    walk = section(kind="random_walk", network="n", beta=8, log2_steps=3, alpha=4)
    assert walk.plain() == {
        "kind": "random_walk", "network": "n", "beta": 8.0, "log2_steps": 3, "alpha": 4.0, "background": None,
        "crf": None, "crf_on": "scores", "crf_image": "own", "crf_extent": "image", "shrink_radius": False,
    }  # fmt: skip
    assert build_refiner(walk.plain()).beta == 8
    for wrong, message in (
        ({"beta": 0}, "greater than 0"),
        ({"background": 0.3}, "set either alpha or background"),
        ({"alpha": None}, "set either alpha or background"),
        ({"crf_on": "maps"}, "'scores' or 'labels'"),
        ({"stranger": 1}, "Extra inputs"),
    ):
        with pytest.raises(ValidationError, match=message):
            section(**{**walk.plain(), **wrong})


def test_what_each_needs():
    assert [needs(kind, "maps") for kind in ("argmax", "dense_crf", "random_walk", "truth")] == [
        True,
        True,
        True,
        False,
    ]
    assert [kind for kind in SECTIONS if needs(kind, "affinities")] == ["boundary_walk", "random_walk"]
    assert [kind for kind in SECTIONS if needs(kind, "truth")] == ["truth"]


def test_descriptions():
    said = "CRF 'psa': 2 iterations, Gaussian sxy 1.5 weight 3, bilateral sxy 25 srgb 7 weight 6"
    for values, expected in (
        ({"kind": "argmax"}, "constant background 0.4, no CRF"),
        ({"kind": "dense_crf", "crf": "psa"}, f"constant background 0.4, {said}"),
        ({"kind": "dense_crf", "crf": "psa", "alpha": 2}, f"background (1 - max)^2, {said}"),
        (
            {"kind": "random_walk", "network": "n", "beta": 8, "log2_steps": 2, "background": 0.3, "crf": "psa"},
            f"constant background 0.3, random walk beta 8, t 4, {said}",
        ),
        (
            {"kind": "random_walk", "network": "n", "beta": 8, "log2_steps": 2, "alpha": 3, "crf_on": "labels"},
            "background (1 - max)^3, random walk beta 8, t 4, no CRF",
        ),
        ({"kind": "truth"}, "ground truth as masks: full supervision"),
    ):
        assert build_refiner(section(**values).plain()).describe(WORDS) == expected


def test_masks_are_those_of_the_functions(shapes):
    records, maps = shapes.split("val"), maps_of(shapes)
    given = Given(shapes, heatmaps=maps, background=0.4, crf=CRF)
    for values, refine in (
        ({"kind": "argmax"}, argmax_refiner(0.4)),
        ({"kind": "dense_crf", "crf": "psa", "alpha": 4.0}, crf_refiner(CRF, 4.0, 0.4)),
    ):
        found = masks_by(values, given, records)
        for image, mask in pseudo_masks(shapes, records, maps, refine):
            np.testing.assert_array_equal(found[image], mask)


def test_a_walk_from_the_files_of_a_job(shapes, tmp_path):
    torch.manual_seed(0)
    model = create_model("affinitynet_hybrid_tiny", None, radius=3)
    write_weights(tmp_path / "model.safetensors", model.state_dict(), {})
    network = {
        "architecture": "affinitynet_hybrid_tiny", "options": {}, "radius": 3, "stride": 4, "train": {"lr": 1},
        "input": {"size": [48, 48], "interpolation": "bilinear", "normalize": "half"},
    }  # fmt: skip
    given = Given(shapes, torch.device("cpu"), maps_of(shapes), network=network, weights=tmp_path / "model.safetensors")
    records = shapes.split("val")[:2]
    walk = {"kind": "random_walk", "network": "n", "beta": 1, "log2_steps": 12, "background": 0.0}
    found = masks_by(walk, given, records)
    assert [mask.shape for mask in found.values()] == [(48, 48)] * 2
    assert all(set(np.unique(found[r.image])) <= {0, *(k + 1 for k in shapes.class_indices(r))} for r in records)


def test_ground_truth_as_masks(shapes):
    records = shapes.split("val")
    found = masks_by({"kind": "truth"}, Given(shapes), records)
    for record in records:
        expected = read_mask(shapes.root / record.mask, record.size, len(shapes.classes))
        np.testing.assert_array_equal(found[record.image], expected)
    bare = SimpleNamespace(mask=None, image="a")
    with pytest.raises(DataError, match="image 'a' has no ground-truth mask; full supervision needs one"):
        masks_by({"kind": "truth"}, Given(shapes), [bare])


def test_an_unknown_kind_and_a_missing_option():
    with pytest.raises(ParameterError, match="Unknown refiner 'stroll'"):
        build_refiner({"kind": "stroll"})
    with pytest.raises(ParameterError, match=r"refiner 'random_walk': .*'network'"):
        build_refiner({"kind": "random_walk", "beta": 1, "log2_steps": 1})


def test_masks_depend_on_their_refiner_alone():
    def found(kind):
        return {path.stem for path in source_closure(SCRIPT, *code.refiner_modules({"kind": kind}))}

    assert not {"affinity_walk", "walk", "crf"} & found("truth")
    assert {"affinity_walk", "walk"} <= found("random_walk")
    assert "affinity_walk" not in found("dense_crf") and "crf" in found("dense_crf")
