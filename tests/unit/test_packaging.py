"""What the project says of itself: one version, one set of pins, a licence for everything, extras that hold."""

import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import seedbed
from seedbed.data.raw.sources import load_sources
from seedbed.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
# Import names of what the extras bring beside the base.
OF_EXTRAS = ("snakemake", "mlflow", "dvc", "pydensecrf", "jinja2", "matplotlib", "rich", "open_clip")


def read(name: str) -> str:
    return (REPOSITORY / name).read_text()


def run_python(program: str) -> str:
    """What a program prints in an interpreter that finds this checkout's library first."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY / "src",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_version_stands_in_one_place():
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "src/seedbed/__init__.py"
    assert yaml.safe_load(read("CITATION.cff"))["version"] == seedbed.__version__
    assert re.search(rf"^## .*{re.escape(seedbed.__version__)}", read("CHANGELOG.md"), re.M)


def test_the_licence_is_named_alike_everywhere():
    assert read("LICENSE").startswith("MIT License")
    assert PROJECT["project"]["license"] == yaml.safe_load(read("CITATION.cff"))["license"] == "MIT"
    assert [author["name"] for author in PROJECT["project"]["authors"]] == ["Seedbed contributors"]


def test_the_four_papers_can_be_cited():
    titles = {entry["title"] for entry in yaml.safe_load(read("CITATION.cff"))["references"]}
    papers = {
        yaml.safe_load(read(f"papers/{name}.yaml"))["title"] for name in ("exvit", "vit_affinity", "aream", "agcam")
    }
    assert papers <= titles


def test_everything_shipped_or_fetched_has_a_licence():
    rows = {
        line.split("|")[1].strip().strip("`"): line for line in read("docs/licences.md").splitlines() if "|" in line
    }
    sources = load_sources()
    assert {"voc12", "coco14", "imagenet", "imagenet_segmentation", "cub200"} <= rows.keys()
    for name, dataset in sources.datasets.items():  # yours need no row here: the table of sources has its licence
        assert name not in rows or dataset.licence in rows[name]
    for name, source in sources.items():
        if getattr(source, "dataset", None) is None:
            assert source.licence in rows[name]
    for path in sorted((REPOSITORY / "pretrained").iterdir()):
        assert f"pretrained/{path.name}" in rows


def test_environment_yml_is_what_the_lock_says():
    sys.path.insert(0, str(REPOSITORY / "tools"))
    try:
        import pins
    finally:
        sys.path.pop(0)
    assert read("environment.yml") == pins.environment(), "run `make lock`, or `python tools/pins.py`"
    listed = yaml.safe_load(read("environment.yml"))["dependencies"][-1]["pip"]
    asked = {pins.canonical(re.match(r"[\w.-]+", line)[0]) for line in PROJECT["project"]["dependencies"]}
    assert asked | {"snakemake", "mlflow", "dvc", "pydensecrf2", "pytest"} <= {line.split("==")[0] for line in listed}


def test_the_lock_has_every_package_that_the_project_asks_for():
    locked = set(re.findall(r"^([\w.-]+)==", read("requirements.lock"), re.M))
    extras = PROJECT["project"]["optional-dependencies"]
    lines = [*PROJECT["project"]["dependencies"], *(line for name in extras.keys() - {"text"} for line in extras[name])]
    names = {re.match(r"[\w.-]+", line)[0] for line in lines} - {"seedbed"}
    assert names <= locked, names - locked


def test_all_holds_every_extra_that_a_run_uses():
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    assert set(re.search(r"\[(.*)\]", everything)[1].split(",")) == set(extras) - {"all", "dev", "docs", "text"}


def test_networks_explanations_and_measurements_need_no_extra():
    shown = run_python(f"""
import importlib, pkgutil, sys
sys.modules |= dict.fromkeys({OF_EXTRAS!r})  # importing them fails
for name in ("models", "explain", "evaluate"):
    package = importlib.import_module(f"seedbed.{{name}}")
    for module in pkgutil.walk_packages(package.__path__, f"seedbed.{{name}}."):
        importlib.import_module(module.name)
import torch
from seedbed.explain import explain
from seedbed.models import create_model
model = create_model("vit_tiny_patch8_96", 3)
print(explain(model, torch.zeros(1, 3, 96, 96), [1], "transformer_attribution").shape)
""")
    assert "[1, 12, 12]" in shown


def test_the_crf_says_which_extra_it_is_in(monkeypatch):
    import numpy as np

    from seedbed.refine.crf import CRF_PRESETS, dense_crf

    published = replace(CRF_PRESETS["psa"], implementation="pydensecrf")

    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    with pytest.raises(UserError, match=r"needs pydensecrf.*pip install 'seedbed\[crf\]'"):
        dense_crf(np.zeros((4, 4, 3), np.uint8), np.full((2, 4, 4), 0.5, np.float32), published)


def test_prompts_say_which_extra_they_need(monkeypatch, tmp_path):
    from seedbed.models.prompts import make_texts

    prompts = {"kind": "open_clip", "network": "ViT-B-16-quickgelu", "pretrained": "openai", "templates": ["a {}."]}
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(UserError, match=r"needs open_clip.*pip install 'seedbed\[text\]'"):
        make_texts(prompts, ["cat"], str(tmp_path / "lock.json"))
