"""The project's own tools: how tables of two runs differ, which rules ran, and the pages made for the site."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from seedbed.params import read_params, resolve
from seedbed.plan.jobs import PlannedJob

REPOSITORY = Path(__file__).resolve().parents[2]
HEAD = "row,label,column,unit,status,reported,measured,std,difference,seeds,sources\n"


def call(name: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(REPOSITORY / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


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
    assert call("benchmarks/compare_tables.py", before, same).stdout == "All 2 cells of the tables are the same.\n"
    told = call("benchmarks/compare_tables.py", before, after)
    assert told.returncode == 1
    assert "| aream_table1 | ours | voc | 41.5 | 43 | +1.5 |" in told.stdout
    assert "| aream_table1 | new | voc | absent | 7 |  |" in told.stdout
    assert "| aream_table1 | cited_row | voc | cited | absent |  |" in told.stdout
    assert call("benchmarks/compare_tables.py", before, tmp_path / "none").returncode == 2


def planned(number, rule, output, waits_for=(), seconds=1.0, **wildcards):
    record = f"benchmarks/{output}.tsv"
    return PlannedJob(number, rule, output, True, None, waits_for, 1, 0, 10, record, wildcards, (), seconds)


def test_steps_of_a_row_are_those_behind_it(rows, tmp_path):
    """Two classifiers add up, shards are one step, and each is told by the images that it works on."""
    names = {"dataset": "shapes", "model": "conformer", "explainer": "conformer_r", "seed": "0"}
    labels = {"refiner": "psa_transcam", "network": "psa_transcam"}
    jobs = [
        planned(0, "train_classifier", "conformer", seconds=600, **names),
        planned(1, "train_classifier", "mctformerv2", seconds=60, **{**names, "model": "mctformerv2"}),
        planned(2, "explain", "1-of-2", (0,), seconds=30, split="train", scatteritem="1-of-2", **names),
        planned(3, "explain", "2-of-2", (0,), seconds=10, split="train", scatteritem="2-of-2", **names),
        planned(4, "label_affinities", "labels", (2, 3), seconds=20, scatteritem="1-of-1", **names, **labels),
        planned(5, "random_walk", "masks", (4, 1), seconds=50, split="train", scatteritem="1-of-1", **names, **labels),
        planned(6, "score_pseudo_masks", "metrics.json", (5,)),
        planned(7, "random_walk", "others", (4,), seconds=1000, split="train", **names, **labels),
    ]
    found = rows.steps(
        rows.behind(jobs, "metrics.json"), rows.forecast, resolve(read_params(REPOSITORY / "params.yaml"))
    )
    assert found == {
        "train_classifier": (660, 660 / 600),
        "explain": (40, 40 / 200),
        "label_affinities": (20, 20 / 200),
        "random_walk": (50, 50 / 200),
    }
    head, _, line = rows.lines({"PSA": found}, {"PSA": 0.5})
    assert head == "| row | number, % | classifier, s | maps, s | labels, s | walk, s | a picture, s |"
    assert line == "| PSA | 50.0 | 660 | 40 | 20 | 50 | 1.650 |"
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/masks.tsv").write_text("s\th:m:s\tcpu_time\n12.5\t0:00:12\t7.25\n")
    assert rows.recorded(tmp_path, "cpu_time")(jobs[5]) == 7.25
    with pytest.raises(SystemExit, match=r"others\.tsv is not there"):
        rows.recorded(tmp_path, "s")(jobs[7])


def test_rules_that_made_a_file_are_counted(tmp_path):
    metadata = tmp_path / "some/test/.snakemake/metadata"
    metadata.mkdir(parents=True)
    (metadata / "a").write_text(json.dumps({"rule": "train_classifier"}))
    shown = call("tools/rules_run.py", tmp_path).stdout
    assert shown.startswith("Rules that the tests ran: 1 of ")
    missed = shown.partition("Not run: ")[2]
    assert "train_segmenter" in missed and "train_classifier" not in missed and "help" not in missed


@pytest.fixture(scope="module")
def rows():
    """The script that prints what rows take."""
    sys.path.insert(0, str(REPOSITORY / "benchmarks"))
    try:
        import rows
    finally:
        sys.path.remove(str(REPOSITORY / "benchmarks"))
    return rows


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
    assert [site.written(value) for value in (1, True, None, [])] == ["1", "true", "null", "[]"]
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


def checklist() -> list[list[str]]:
    """Rows of docs/checklist.md: number, who asks, item, whether it holds, what shows it."""
    lines = (REPOSITORY / "docs/checklist.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return [row for row in rows if row[0].isdigit()]


SHORT = [row for row in checklist() if row[3] == "yes" and row[4].startswith(("`grep", "`test", "`python"))]


def test_the_checklist_counts_what_it_lists():
    rows = checklist()
    held = sum(row[3] == "yes" for row in rows)
    assert [row[0] for row in rows] == [str(number) for number in range(1, 31)]
    assert f"{held} of 30 hold" in (REPOSITORY / "docs/checklist.md").read_text() and held >= 25


@pytest.mark.parametrize("row", SHORT, ids=lambda row: row[2])
def test_short_commands_of_the_checklist(row):
    command = row[4].strip("`").partition(" && pytest")[0]
    shell = command.replace("python ", f"{sys.executable} ", 1) if command.startswith("python ") else command
    done = subprocess.run(["sh", "-c", shell], cwd=REPOSITORY, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_checklist_names_tests_that_exist():
    for row in checklist():
        for path in (word for word in row[4].strip("`").split() if word.startswith("tests/")):
            assert (REPOSITORY / path).exists(), path


def test_a_rule_without_an_environment_is_found():
    sys.path.insert(0, str(REPOSITORY / "tools"))
    try:
        from environments import without_environment
    finally:
        sys.path.pop(0)
    text = 'rule a:\n    output:\n        "x",\n    script:\n        "s.py"\n\n\nrule b:\n    input:\n        "x",\n'
    assert without_environment(text) == ["a"]
    assert without_environment(text.replace("    script", '    conda:\n        "e.yml"\n    script')) == []
