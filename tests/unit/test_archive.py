"""A finished table as one file to deposit, and its description for machines."""

import hashlib
import json
import os
import zipfile
from pathlib import Path

import pytest

from seedbed.errors import DataError
from seedbed.io.atomic import write_json
from seedbed.report.archive import PROJECT, write_archive
from seedbed.report.crate import read_citation

REPOSITORY = Path(__file__).resolve().parents[2]
PAPER = {"id": "aream", "title": "A paper", "citation": "A. Body, 2023"}
CITATION = """
license: MIT
authors:
  - {given-names: Ada, family-names: Lovelace, orcid: "https://orcid.org/0000-0000-0000-0000", affiliation: Home}
  - {name: Seedbed contributors}
references:
  - {type: article, title: A paper, authors: [{given-names: A., family-names: Body}], year: 2023, doi: 10.1/x}
  - {type: article, title: Another, authors: [{family-names: Else}], year: 2024}
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A working directory with one finished table, and a project; returns the arguments of `write_archive`."""
    monkeypatch.chdir(tmp_path)
    project = tmp_path / "project"
    for name in PROJECT:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(f"content of {name}\n")
    (project / "CITATION.cff").write_text(CITATION)
    table = Path("results/demo/tables/aream/table1.csv")
    table.parent.mkdir(parents=True)
    table.write_text("row\n")
    os.utime(table, (1_700_000_000, 1_700_000_000))
    metrics = Path("results/demo/metrics.json")
    write_json(metrics, {"miou": 0.5, "provenance": {"libraries": {"torch": "2.14.1", "python": "3.11.7"}}})
    card = Path("data/shapes/card.json")
    write_json(card, {"name": "shapes"})
    write_json(card.with_name("croissant.json"), {"@type": "sc:Dataset"})
    return {"tables": [table], "evidence": [metrics], "cards": [card], "project": project}


def entities(metadata: dict) -> dict[str, dict]:
    return {entity["@id"]: entity for entity in metadata["@graph"]}


def test_it_holds_the_table_its_evidence_and_the_workflow(run, tmp_path):
    write_archive("table.zip", "Table 1", PAPER, **run)
    with zipfile.ZipFile("table.zip") as archive:
        names = set(archive.namelist())
        metadata = json.loads(archive.read("ro-crate-metadata.json"))
        contents = {name: archive.read(name) for name in names}
    assert names == {
        *PROJECT, "ABOUT.md", "ro-crate-metadata.json", "results/demo/tables/aream/table1.csv",
        "results/demo/metrics.json", "data/shapes/card.json", "data/shapes/croissant.json",
    }  # fmt: skip
    said = entities(metadata)
    for name in names - {"ro-crate-metadata.json"}:
        assert said[name]["sha256"] == hashlib.sha256(contents[name]).hexdigest()
        assert said[name]["contentSize"] == str(len(contents[name]))
    assert {part["@id"] for part in said["./"]["hasPart"]} == names - {"ro-crate-metadata.json"}


def test_authors_licence_and_paper_come_from_the_citation(run):
    said = entities(write_archive("table.zip", "Table 1", PAPER, **run))
    root, person = said["./"], said["https://orcid.org/0000-0000-0000-0000"]
    assert (person["@type"], person["name"], person["affiliation"]) == ("Person", "Ada Lovelace", "Home")
    assert [said[entry["@id"]]["name"] for entry in root["author"]] == ["Ada Lovelace", "Seedbed contributors"]
    assert root["license"] == {"@id": "https://spdx.org/licenses/MIT"}
    assert root["citation"] == [{"@id": "https://doi.org/10.1/x"}]
    assert said["https://doi.org/10.1/x"]["creator"] == ["A. Body"]


def test_the_run_says_what_was_made_from_what_and_when(run):
    said = entities(write_archive("table.zip", "Table 1", PAPER, **run))
    action = said["#run"]
    assert action["instrument"] == {"@id": "Snakefile"}
    assert "ComputationalWorkflow" in said["Snakefile"]["@type"]
    assert {"@id": "data/shapes/card.json"} in action["object"] and {"@id": "params.yaml"} in action["object"]
    assert {"@id": "results/demo/tables/aream/table1.csv"} in action["result"]
    assert action["endTime"] == "2023-11-14T22:13:20+00:00" and said["./"]["datePublished"] == "2023-11-14"
    assert said["#torch-2.14.1"]["version"] == "2.14.1"


def test_every_reference_leads_somewhere(run):
    metadata = write_archive("table.zip", "Table 1", PAPER, **run)
    said, outside = entities(metadata), {"http://schema.org/CompletedActionStatus", "https://w3id.org/ro/crate/1.1"}
    assert len(said) == len(metadata["@graph"])  # no identifier twice

    def references(value):
        if isinstance(value, dict):
            yield from [value["@id"]] if set(value) == {"@id"} else references(list(value.values()))
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    loose = {name for name in references(metadata["@graph"]) if name not in said} - outside
    assert {name for name in loose if not name.startswith("https://")} == set()


def test_the_same_files_give_the_same_bytes(run):
    write_archive("one.zip", "Table 1", PAPER, **run)
    write_archive("two.zip", "Table 1", PAPER, **run)
    assert Path("one.zip").read_bytes() == Path("two.zip").read_bytes()


def test_nothing_is_written_where_something_is_missing(run):
    (run["project"] / "params.yaml").unlink()
    with pytest.raises(DataError, match=r"params\.yaml: is missing"):
        write_archive("table.zip", "Table 1", PAPER, **run)
    assert not Path("table.zip").exists()
    with pytest.raises(DataError, match=r"CITATION\.cff: lacks license and authors"):
        read_citation("title: x\n")


def test_the_projects_own_citation_will_do():
    citation = read_citation((REPOSITORY / "CITATION.cff").read_text())
    assert citation.licence == "MIT" and citation.authors == [{"name": "Seedbed contributors"}]


def test_the_reference_implementation_reads_it(run, tmp_path):
    rocrate = pytest.importorskip("rocrate.rocrate")
    write_archive("table.zip", "Table 1", PAPER, **run)
    with zipfile.ZipFile("table.zip") as archive:
        archive.extractall(tmp_path / "crate")
    read = rocrate.ROCrate(tmp_path / "crate")
    assert read.name == "Table 1" and read.mainEntity.id == "Snakefile"
