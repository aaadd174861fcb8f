"""The JSON schemas for editors: in step with the models, fit for the files, and true to what older results mean."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from seedbed.papers.papers_schema import papers_schema
from seedbed.params import merge
from seedbed.params.schema import ABSENT, params_schema, schema_text, write_schema

REPOSITORY = Path(__file__).parents[2]
PARAMS = REPOSITORY / "schemas" / "params.schema.json"
PAPERS = REPOSITORY / "schemas" / "papers.schema.json"


def problems(schema, content):
    found = jsonschema.Draft202012Validator(schema).iter_errors(content)
    return [(".".join(map(str, problem.absolute_path)), problem.message) for problem in found]


def test_the_schema_of_the_parameters_is_that_of_the_models():
    text = PARAMS.read_text()
    assert schema_text(params_schema(json.loads(text))) == text, "run `make schemas`"


def test_the_parameters_fit_and_name_it():
    text = (REPOSITORY / "params.yaml").read_text()
    assert text.startswith(f"# yaml-language-server: $schema={PARAMS.relative_to(REPOSITORY)}\n")
    assert problems(params_schema(), yaml.safe_load(text)) == []


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"presets": {"demo": {"models": {"exvit": {"train": {"epoch": 3}}}}}}, "presets.demo.models.exvit.train"),
        ({"presets": {"demo": {"models": {"new": {"lik": "exvit"}}}}}, "presets.demo.models.new"),
        ({"common": {"scoring": {"miou": "all"}}}, "common.scoring.miou"),
        ({"presets": {"demo": {"seeds": []}}}, "presets.demo.seeds"),
        ({"common": {"explainers": {"cam": {"per_model": {"exvit": {"swep": True}}}}}},
         "common.explainers.cam.per_model.exvit"),
        ({"modles": {}}, ""),
    ],
)  # fmt: skip
def test_mistakes_do_not_fit(changes, place):
    content = merge(yaml.safe_load((REPOSITORY / "params.yaml").read_text()), changes)
    assert {found for found, _ in problems(params_schema(), content)} == {place}


def test_overrides_and_variants_fit():
    changes = {"models__exvit__train__epochs": 3, "seeds": [1], "models": {"new": {"like": "exvit"}}}
    assert problems(params_schema(), {**yaml.safe_load((REPOSITORY / "params.yaml").read_text()), **changes}) == []


def test_every_option_with_a_default_says_what_its_absence_means():
    options = [option for section in json.loads(PARAMS.read_text())["$defs"].values()
               for option in section["properties"].values()]  # fmt: skip
    assert all((ABSENT in option) == ("default" in option) for option in options)
    assert params_schema()["$defs"]["Training"]["properties"]["power"][ABSENT] == 1.0


def test_the_schema_of_papers_is_that_of_the_models():
    assert schema_text(papers_schema()) == PAPERS.read_text(), "run `make schemas`"


@pytest.mark.parametrize("path", sorted((REPOSITORY / "papers").glob("*.yaml")), ids=lambda path: path.stem)
def test_papers_fit_and_name_it(path):
    assert path.read_text().startswith("# yaml-language-server: $schema=../schemas/papers.schema.json\n")
    assert problems(papers_schema(), yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize("change", [{"explaner": "cam"}, {"stage": "mask"}, {"miou": "all"}, {"subset": "one"}])
def test_mistakes_in_a_pipeline_do_not_fit(change):
    content = yaml.safe_load((REPOSITORY / "papers" / "agcam.yaml").read_text())
    content["tables"][0]["rows"][0]["pipeline"] |= change
    assert problems(papers_schema(), content)


def test_what_absence_means_outlives_a_change_of_the_default(tmp_path):
    path = tmp_path / "new" / "schema.json"
    write_schema(path, params_schema)
    before = json.loads(path.read_text())
    training = before["$defs"]["Training"]["properties"]
    training["power"][ABSENT] = 0.5
    del training["momentum"]
    path.write_text(json.dumps(before))
    write_schema(path, params_schema)
    after = json.loads(path.read_text())["$defs"]["Training"]["properties"]
    assert (after["power"]["default"], after["power"][ABSENT], after["momentum"][ABSENT]) == (1.0, 0.5, 0.9)
