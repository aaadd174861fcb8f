"""DVC over Snakemake: tables through `dvc repro`, data sets pushed and pulled, and nothing computed twice."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from http_site import serve
from mini_archives import sbd, voc_trainval
from snakemake_runs import MICRO, PATIENCE, REPOSITORY, environment, jobs_of
from test_published_data import table_of_miniatures

from seedbed.data.raw.sources import load_sources
from seedbed.params import merge, read_params

pytestmark = pytest.mark.workflow
PROJECT = (
    "Snakefile",
    "rules",
    "schemas",
    "workflow_scripts",
    "src",
    "papers",
    "pretrained",
    "profiles",
    "environment.yml",
)
TRACKED = (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore", "dvc.yaml", "datasets/dvc.yaml")


class Checkout:
    """A working copy under git, in which commands are run as a user types them."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, *command, timeout=PATIENCE):
        """What a command that must succeed prints."""
        done = self.attempt(*command, timeout=timeout)
        assert done.returncode == 0, f"{command}:\n{done.stdout[-4000:]}"
        return done.stdout

    def json_of(self, *command):
        """What a command says as JSON; DVC warns beside it of tables that are not made."""
        done = self.attempt(*command, "--json", timeout=PATIENCE, errors=subprocess.PIPE)
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout)

    def attempt(self, *command, timeout=PATIENCE, errors=subprocess.STDOUT):
        variables = environment(self.folder)
        variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"
        variables |= {"PYTHONPATH": str(self.folder / "src"), "DVC_NO_ANALYTICS": "1"}
        variables |= {
            f"GIT_{who}_{what}": "x@x.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        variables["DVC_SITE_CACHE_DIR"] = str(self.folder.parent / "site_cache")
        return subprocess.run(
            command,
            cwd=self.folder,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            timeout=timeout,
            check=False,
        )

    def commit(self):
        self("git", "add", "-A")
        self("git", "commit", "-qm", "state")


def checkout(folder, remote, **changes):
    """A copy of the project with the micro parameters and a team's remote, committed."""
    folder.mkdir()
    for name in (*PROJECT, *TRACKED):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPOSITORY / name, target)
    params = merge(merge(read_params(REPOSITORY / "params.yaml"), read_params(MICRO)), changes)
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    here = Checkout(folder)
    here("git", "init", "-q", ".")
    here("dvc", "remote", "add", "-q", "--default", "team", str(remote))
    here.commit()
    return here


def clone(of, folder):
    """A colleague's checkout: what is committed, and nothing else."""
    of("git", "clone", "-q", str(of.folder), str(folder))
    return Checkout(folder)


def nothing_to_do(here, *arguments):
    """Whether Snakemake has nothing to do after time stamps are settled, as the documentation says."""
    here("snakemake", "--cores", "1", "--touch", *arguments)
    return "Nothing to be done" in here("snakemake", "--cores", "1", "-n", *arguments)


def test_stages_cover_the_sources_and_the_built_in_data():
    stages = yaml.safe_load((REPOSITORY / "datasets/dvc.yaml").read_text())["stages"]
    sources = load_sources()
    preset = read_params(REPOSITORY / "params.yaml")["presets"]
    for name, stage in stages.items():
        if name == "archives":
            continue
        optional = preset["paper"]["datasets"][name].get("optional", [])
        wanted = [source for source in sources.of_dataset(name) if not source.optional or source.name in optional]
        assert stage["deps"] == [f"data/archives/{source.name}/{source.file}" for source in wanted]
        assert all(stages["archives"]["foreach"][source.name] == source.file for source in wanted)
    assert {"archives", "voc12", "coco14", "imagenet", "imagenet_segmentation", "cub200"} <= set(stages)
    built_in = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]["data"]["foreach"]
    assert set(built_in) == set(preset["demo"]["datasets"])


@pytest.mark.slow
def test_a_data_set_goes_round(tmp_path):
    mine = checkout(tmp_path / "mine", tmp_path / "remote")
    mine("dvc", "repro", "data@shapes")
    card = (mine.folder / "data/shapes/card.json").read_bytes()
    stamps = {path: path.stat().st_mtime_ns for path in (mine.folder / "data/shapes").rglob("*") if path.is_file()}
    assert "Nothing to be done" in mine("dvc", "repro", "data@shapes")
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}  # DVC took nothing away and put nothing back
    mine("dvc", "push")
    mine.commit()
    theirs = clone(mine, tmp_path / "theirs")
    theirs("dvc", "pull", "--allow-missing")
    assert (theirs.folder / "data/shapes/card.json").read_bytes() == card
    assert (theirs.folder / "data/shapes/index.csv").stat().st_mode & 0o200  # Snakemake may write it
    assert nothing_to_do(theirs, "--", "data/shapes/index.csv")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_published_data_set_is_fetched_once_for_the_team(tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    archives = {"voc12_trainval": voc_trainval(made / "v.tar"), "sbd": sbd(made / "s.tgz")}
    counts = {"expected": {"train": 2, "trainaug": 5, "val": 2}}
    changes = {"presets": {"paper": {"datasets": {"voc12": {"kind": "voc12", "options": counts}}}}}
    with serve() as site:
        table = table_of_miniatures(tmp_path, site, archives)
        mine = checkout(tmp_path / "mine", tmp_path / "remote", sources=str(table), **changes)
        mine("dvc", "repro", "datasets/dvc.yaml:voc12")
        assert len(site.asked) == 2
    mine("dvc", "push")
    mine.commit()
    theirs = clone(mine, tmp_path / "theirs")  # the publisher is gone
    theirs("dvc", "pull", "--allow-missing")
    paper = ("--config", "preset=paper", "--", "data/voc12/card.json")
    assert (theirs.folder / "data/archives/sbd/benchmark.tgz").read_bytes() == archives["sbd"].read_bytes()
    assert nothing_to_do(theirs, *paper)
    only_prepared = clone(mine, tmp_path / "third")
    only_prepared("dvc", "pull", "datasets/dvc.yaml:voc12")
    assert not (only_prepared.folder / "data/archives/sbd/benchmark.tgz").exists()
    assert nothing_to_do(only_prepared, *paper)
    lock = json.loads((theirs.folder / "data/lock.json").read_text())  # committed with the project
    assert set(lock) == set(archives)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_table_through_dvc_is_measured_compared_and_pulled(tmp_path):
    table = "results/demo/tables/vit_affinity/table4"
    mine = checkout(tmp_path / "mine", tmp_path / "remote")
    mine("dvc", "repro", "vit_affinity_table4")
    mine("dvc", "push")
    mine.commit()
    first = json.loads((mine.folder / f"{table}.json").read_text())
    shown = mine.json_of("dvc", "metrics", "show")
    assert shown[""]["data"][f"{table}.json"]["data"] == first
    assert "Nothing to be done" in mine("dvc", "repro", "vit_affinity_table4")

    params = yaml.safe_load((mine.folder / "params.yaml").read_text())
    params["presets"]["demo"]["segmenters"]["deeplab_v1_resnet38"]["train"]["lr"] = 0.0001
    (mine.folder / "params.yaml").write_text(yaml.safe_dump(params))
    changed = mine.json_of("dvc", "params", "diff")["params.yaml"]
    assert list(changed) == ["presets.demo.segmenters.deeplab_v1_resnet38.train.lr"]
    again = mine("dvc", "repro", "vit_affinity_table4")
    assert "train_classifier" not in jobs_of(again) and jobs_of(again)["train_segmenter"] == 1
    second = json.loads((mine.folder / f"{table}.json").read_text())
    difference = mine.json_of("dvc", "metrics", "diff")[f"{table}.json"]
    assert difference["segmentation.miou"]["old"] == first["segmentation"]["miou"]
    assert difference["segmentation.miou"]["new"] == second["segmentation"]["miou"]
    mine("dvc", "plots", "show", "--out", str(tmp_path / "plots"))
    assert "segmentation" in (tmp_path / "plots/index.html").read_text()

    theirs = clone(mine, tmp_path / "theirs")  # of the first state
    theirs("dvc", "pull", "--allow-missing")
    assert json.loads((theirs.folder / f"{table}.json").read_text()) == first
    assert nothing_to_do(theirs, "--", "vit_affinity_table4")
