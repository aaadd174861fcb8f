"""The project's own tools: how tables of two runs differ, which rules ran, and the pages made for the site."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
HEAD = "row,label,column,unit,status,reported,measured,std,difference,seeds,sources\n"


def call(name: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(REPOSITORY / "tools" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def run_with(folder: Path, *lines: str) -> Path:
    """A folder with one finished table."""
    table = folder / "results/demo/tables/aream/table1.csv"
    table.parent.mkdir(parents=True)
    table.write_text(HEAD + "".join(f"{line}\n" for line in lines))
    return folder


def test_tables_of_two_runs_are_compared_cell_by_cell(tmp_path):
    cited = "cited_row,Cited,voc,%,cited,1.0,,,,,"
    before = run_with(tmp_path / "before", "ours,Ours,voc,%,measured,60,41.5,,,1,x", cited)
    same = run_with(tmp_path / "same", "ours,Ours,voc,%,measured,60,41.5,,,1,elsewhere", cited)
    after = run_with(tmp_path / "after", "ours,Ours,voc,%,measured,60,43,,,1,x", "new,New,voc,%,measured,,7,,,1,x")
    assert call("compare_tables.py", before, same).stdout == "All 2 cells of the tables are the same.\n"
    told = call("compare_tables.py", before, after)
    assert told.returncode == 1
    assert "| aream_table1 | ours | voc | 41.5 | 43 | +1.5 |" in told.stdout
    assert "| aream_table1 | new | voc | absent | 7 |  |" in told.stdout
    assert "| aream_table1 | cited_row | voc | cited | absent |  |" in told.stdout
    assert call("compare_tables.py", before, tmp_path / "none").returncode == 2


def test_rules_that_made_a_file_are_counted(tmp_path):
    metadata = tmp_path / "some/test/.snakemake/metadata"
    metadata.mkdir(parents=True)
    (metadata / "a").write_text(json.dumps({"rule": "train_classifier"}))
    shown = call("rules_run.py", tmp_path).stdout
    assert shown.startswith("Rules that the tests ran: 1 of ")
    missed = shown.partition("Not run: ")[2]
    assert "train_segmenter" in missed and "train_classifier" not in missed and "help" not in missed


@pytest.fixture(scope="module")
def site():
    """The hooks of MkDocs."""
    pytest.importorskip("mkdocs")
    sys.path.insert(0, str(REPOSITORY / "tools"))
    try:
        sys.modules.pop("site_pages", None)
        import site_pages
    finally:
        sys.path.pop(0)
    return site_pages


def test_every_parameter_is_in_the_reference(site):
    from seedbed.params.preset import Preset

    text = "\n".join(site.parameters())
    schema = Preset.model_json_schema()
    sections = [schema, *(entry for entry in schema["$defs"].values() if "properties" in entry)]
    assert len(sections) > 10
    assert all(f"| `{name}` |" in text for section in sections for name in section["properties"])
    assert "| `seeds` | list of integer (at least 0) | required |" in text


def test_every_table_is_in_the_reference(site):
    text = "\n".join(site.targets())
    for path in (REPOSITORY / "papers").glob("*.yaml"):
        paper = yaml.safe_load(path.read_text())
        assert all(f"| `{paper['id']}_{table['id']}` |" in text for table in paper["tables"])


def test_links_of_the_readme_hold_on_the_site(site):
    assert site.moved("[a](docs/data.md#x) [b](https://x.example/docs/) [c](#d)") == (
        "[a](data.md#x) [b](https://x.example/docs/) [c](#d)"
    )
    page = type("Page", (), {"file": type("File", (), {"src_uri": "index.md"})})
    shown = site.on_page_markdown("[how](CONTRIBUTING.md) [terms](LICENSE) [own](own_data.md)", page)
    assert shown == "[how](contributing.md) terms [own](own_data.md)"


def test_every_page_is_in_the_navigation():
    settings = (REPOSITORY / "mkdocs.yml").read_text()
    pages = {path.name for path in (REPOSITORY / "docs").glob("*.md")}
    assert [page for page in sorted(pages) if f" {page}" not in settings] == []
