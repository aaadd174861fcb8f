"""Published data sets from a web site to an index through the DAG, with miniature archives in the true formats."""

import csv
import hashlib
import json

import pytest
import yaml
from http_site import serve
from mini_archives import sbd, voc_trainval
from snakemake_runs import run

from seedbed.data.raw.sources import TABLE

pytestmark = pytest.mark.workflow
COUNTS = "datasets__voc12__options={expected: {train: 2, trainaug: 5, val: 2}}"
INDEX = "data/voc12/index.csv"


def table_of_miniatures(folder, site, archives, cuts=()):
    """The real table of sources, whose VOC entries point at miniature archives on a local server."""
    table = yaml.safe_load(TABLE.read_text())
    for name, archive in archives.items():
        content = archive.read_bytes()
        entry = table["sources"][name]
        entry |= {"urls": [site.add(archive.name, content, cuts=list(cuts))], "bytes": len(content), "md5": None}
        entry |= {"sha256": hashlib.sha256(content).hexdigest(), "contains": dict.fromkeys(entry["contains"], 1)}
    path = folder / "sources.yaml"
    path.write_text(yaml.safe_dump(table))
    return path


@pytest.fixture
def archives(tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    return {"voc12_trainval": voc_trainval(folder / "v.tar"), "sbd": sbd(folder / "s.tgz")}


def test_fetched_verified_prepared(tmp_path, archives):
    workdir = tmp_path / "run"
    with serve() as site:
        table = table_of_miniatures(tmp_path, site, archives, cuts=[1000])
        options = ["--config", "preset=paper", f"sources={table}", COUNTS]
        done = run(workdir, *options, "--", INDEX, micro=False)
        assert done.returncode == 0, done.stdout[-3000:]
    with (workdir / INDEX).open(newline="") as stream:
        splits = [row["splits"] for row in csv.DictReader(stream)]
    assert sum("trainaug" in split for split in splits) == 5 and sum("val" in split for split in splits) == 2
    card = json.loads((workdir / "data/voc12/card.json").read_text())
    assert set(card["origin"]) == {"voc12_trainval", "sbd"}
    again = run(workdir, *options, "--", INDEX, micro=False)  # the server is gone
    assert "Nothing to be done" in again.stdout


def test_wrong_content_ends_clearly_and_leaves_nothing(tmp_path, archives):
    workdir = tmp_path / "run"
    with serve() as site:
        table = table_of_miniatures(tmp_path, site, archives)
        for archive in archives.values():
            site.add(archive.name, b"<!doctype html><html>Sign in</html>")
        options = ["--config", "preset=paper", f"sources={table}", COUNTS]
        failed = run(workdir, *options, "--", INDEX, micro=False)
    assert failed.returncode != 0
    assert "Error in rule fetch_source" in failed.stdout
    assert not list((workdir / "data").rglob("*.tar")) and not list((workdir / "data").rglob("*.tgz"))


def test_data_that_already_lies_on_disk_is_linked(tmp_path, archives):
    disk, workdir = tmp_path / "disk", tmp_path / "run"
    disk.mkdir()
    table = yaml.safe_load(TABLE.read_text())
    for name, archive in archives.items():
        content = archive.read_bytes()
        (disk / table["sources"][name]["file"]).write_bytes(content)
        known = {"bytes": len(content), "md5": None, "sha256": hashlib.sha256(content).hexdigest()}
        table["sources"][name] |= known | {"contains": dict.fromkeys(table["sources"][name]["contains"], 1)}
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump(table))
    before = sorted(path.name for path in disk.iterdir())
    options = ["preset=paper", f"voc12={disk}", f"sources={tmp_path / 'sources.yaml'}", COUNTS]
    done = run(workdir, "--config", *options, "--", INDEX, micro=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert sorted(path.name for path in disk.iterdir()) == before
