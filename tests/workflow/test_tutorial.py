"""What docs/tutorial.md tells a reader to write really works."""

import re

import pytest
import torch
import yaml
from snakemake_runs import REPOSITORY, run

from seedbed.explain import explain
from seedbed.explain.method_registry import _METHODS
from seedbed.models import create_model
from seedbed.papers.tables import Paper

pytestmark = pytest.mark.workflow
TEXT = (REPOSITORY / "docs/tutorial.md").read_text()


def block(section: int, language: str, number: int = 0) -> str:
    """A code block of a numbered section."""
    body = re.split(r"^## ", TEXT, flags=re.MULTILINE)[section]
    assert body.startswith(f"{section}. ")
    return re.findall(rf"```{language}\n(.*?)```", body, flags=re.DOTALL)[number]


def test_the_python_of_section_4(finished, monkeypatch):
    monkeypatch.chdir(finished)
    found: dict = {}
    exec(block(4, "python"), found)
    assert found["maps"].shape == (1, 1, 12, 12)
    assert float(found["maps"].abs().sum()) > 0


def test_the_row_of_section_5_fits_its_table():
    content = yaml.safe_load((REPOSITORY / "papers/agcam.yaml").read_text())
    table = next(table for table in content["tables"] if table["id"] == "table2")
    table["rows"] += yaml.safe_load(block(5, "yaml"))
    assert Paper.model_validate(content).table("table2").rows[-1].beyond_paper


def test_the_method_of_section_6():
    exec(block(6, "python"), {})
    try:
        model = create_model("vit_tiny_patch8_96", 6).eval()
        maps = explain(model, torch.zeros(2, 3, 96, 96), None, "centre")
    finally:
        del _METHODS["centre"]
    assert maps.shape == (2, 12, 12)
    assert maps[0, 5, 5] > maps[0, 0, 0]


def test_the_dry_run_of_section_3(finished):
    command = block(3, "bash", 0).split()
    override = command[command.index("--config") + 1]
    planned = run(finished, "-n", "--config", override, "--", "vit_affinity_table4")
    assert planned.returncode == 0, planned.stdout[-2000:]
    assert "random_walk" in planned.stdout
    assert "train_classifier" not in planned.stdout.split("Job stats")[1]
