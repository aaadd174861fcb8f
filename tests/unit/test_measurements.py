"""Measurements by name: what each declares and needs, checked while a table is planned, and how each is described."""

import re
from pathlib import Path

import pytest
from test_papers_plan import CHAIN, LAYOUT, PRESET, row, table

from seedbed.errors import ParameterError
from seedbed.evaluate.measurements import MEASUREMENTS, build_measurement, explains_target
from seedbed.evaluate.merged_counts import merge_protocol
from seedbed.io.identity import source_closure
from seedbed.papers import read_papers, table_cells
from seedbed.papers.figures import figure_panels
from seedbed.papers.measured import SCORED, measurements, measures, names_needed, stages
from seedbed.params import read_params, resolve
from seedbed.plan import code

ROOT = Path(__file__).parents[2]
NAMES = ("abpc", "attention_statistics", "attributes", "equivariance", "instances", "layerwise", "localization",
         "network_size", "noise", "peaks", "perturbation", "soft_segmentation", "value_alignment")  # fmt: skip


def test_what_is_registered():
    assert {*NAMES} <= {*MEASUREMENTS} and set(stages()) == {*SCORED, *MEASUREMENTS}
    of_networks = {"attention_statistics", "attributes", "network_size", "value_alignment"}
    assert {*measurements(maps=False)} & {*NAMES} == of_networks
    assert [name for name in NAMES if measures(name, "boxes")] == ["localization", "peaks"]
    assert [name for name in NAMES if measures(name, "scoring")] == ["layerwise"]
    assert [names_needed(stage) for stage in ("masks", "noise", "attention_statistics")] == [
        ("explainer", "refiner"), ("explainer",), (),
    ]  # fmt: skip
    assert not measures("masks", "masks")


@pytest.mark.parametrize("name", NAMES)
def test_each_knows_its_name_and_merges(name):
    kind = MEASUREMENTS.find(name)
    assert kind.name == name
    assert kind.merge is not kind.__mro__[1].merge


def test_options_are_checked():
    assert build_measurement("localization", {"explained": "target", "threshold": 0.3}).test.threshold == 0.3
    assert build_measurement("noise", {"size": [8, 8], "levels": [0.1]}).size == [8, 8]
    for name, options, problem in (
        ("localization", {"thresold": 0.5}, "protocol 'localization': .*thresold"),
        ("localisation", {}, "Unknown protocol 'localisation'. Did you mean 'localization'?"),
        ("abpc", {"explained": "true"}, "Unknown class to explain 'true'"),
        ("layerwise", {"threshold": 1}, "protocol 'layerwise': .*threshold"),
    ):
        with pytest.raises(ParameterError, match=problem):
            build_measurement(name, options)
    with pytest.raises(ParameterError, match=r"Unknown protocol 'nois'\. Did you mean 'noise'"):
        merge_protocol("nois", [])
    assert [explains_target(word) for word in ("target", "predicted")] == [True, False]


def test_descriptions():
    for name, options, expected in (
        ("soft_segmentation", {}, "measured by soft segmentation"),
        ("localization", {"threshold": 0.5, "wrong": "skip"}, "measured by localization (threshold 0.5, wrong skip)"),
        ("attention_statistics", {}, ""),
    ):
        assert MEASUREMENTS.find(name).describe(options) == expected
    assert MEASUREMENTS.find("layerwise").describe({}).startswith("layer by layer, background threshold the best")


def test_a_result_depends_on_its_own_measurement_alone():
    def found(script, name):
        path = ROOT / "workflow_scripts" / f"{script}.py"
        return {file.stem for file in source_closure(path, *code.measurement_modules(name))}

    assert not {"coco", "layerwise", "noise", "perturbation", "localization"} & found(
        "run_protocol", "soft_segmentation"
    )
    assert {"found_boxes", "localization"} <= found("run_protocol", "localization")
    merged = found("merge_protocol", "localization")
    assert "localization" in merged and not {"noise", "call", "scoring"} & merged


def planned(preset, **pipeline):
    return table_cells(table([row(pipeline=pipeline)], pipeline={**CHAIN, "metric": "m"}), preset, LAYOUT)


def test_what_is_no_stage_is_refused():
    with pytest.raises(ValueError, match=r"Unknown stage 'localisation'\. Did you mean 'localization'\?"):
        planned(PRESET, stage="localisation")


def changed(**sections):
    """The small preset with other values in its sections, by the path to each."""
    preset = PRESET
    for key, value in sections.items():
        section, name, *rest = key.split("__")
        entry = getattr(preset, section)[name]
        values = entry.plain()
        values.update({rest[0]: value})
        made = type(entry).model_validate(values)
        preset = preset.model_copy(update={section: {**getattr(preset, section), name: made}})
    return preset


def test_one_label_is_checked_where_it_is_known():
    single = changed(datasets__shapes__single_object=True, explainers__maps__input={"size": [8, 8]})
    several = changed(datasets__shapes__single_object=False, explainers__maps__input={"size": [8, 8]})
    for stage in ("localization", "perturbation", "abpc"):
        assert planned(single, stage=stage)[0].status == "measured"
        assert planned(several, stage=stage, subset="single_class")[0].status == "measured"
        with pytest.raises(ParameterError, match=f"{stage} needs exactly one label an image; data set 'shapes'"):
            planned(several, stage=stage)
    assert planned(several, stage="soft_segmentation")[0].status == "measured"


def test_an_input_size_is_checked():
    own_size = changed(explainers__maps__input={"size": None})
    with pytest.raises(
        ParameterError, match=r"noise needs images of one size, but explainers\.maps has no input\.size"
    ):
        planned(own_size, stage="noise")
    sized = own_size.model_copy(update={"protocols": {"noise": {"size": [8, 8]}}})
    assert planned(sized, stage="noise")[0].status == "measured"
    assert planned(own_size, stage="layerwise")[0].status == "measured"


@pytest.mark.parametrize("name", ["demo", "paper"])
def test_every_cell_and_panel_of_the_papers_gets_what_its_measurement_needs(name):
    preset = resolve({**read_params(ROOT / "params.yaml"), "preset": name})
    found = set()
    for paper in read_papers(ROOT / "papers").values():
        for each in paper.tables:
            found |= {cell.measurement.stage for cell in table_cells(each, preset, LAYOUT) if cell.measurement}
        for figure in paper.figures:
            figure_panels(figure, preset, LAYOUT)
    assert found >= {"noise", "localization", "abpc", "perturbation", "soft_segmentation", "instances"}


def test_a_rule_tells_a_measurement_from_its_subset():
    pattern = rf"({'|'.join(measurements(maps=True))})(_(single_class|two_classes))?"
    assert re.fullmatch(pattern, "localization_single_class").groups()[::2] == ("localization", "single_class")
    assert re.fullmatch(pattern, "noise").groups()[::2] == ("noise", None)
