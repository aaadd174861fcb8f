"""`make clean` deletes what is made again without loss, and nothing else."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mini_archives import jpeg
from test_tracking import DOWN, payload

from seedbed import clean
from seedbed.data.card import write_card
from seedbed.data.index import write_index
from seedbed.data.own import read_own
from seedbed.data.shapes import LICENCE
from seedbed.errors import UserError
from seedbed.io.atomic import write_json
from seedbed.io.filelock import held
from seedbed.tracking import track

REPOSITORY = clean.__file__.rpartition("/src/")[0]


def write(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def project(tmp_path):
    """A checkout after work: results, data of every kind, and files that a person keeps in the same folders."""
    root = tmp_path / "project"
    for name in ("tables/a/t.csv", "classifiers/shapes/vit/seed0/model.safetensors", "logs/a.log"):
        write(root / "results/demo" / name)
    write(root / "pretrained/tiny.safetensors", b"tiny")
    write(root / "data/weights/tiny.safetensors", b"tiny")
    write(root / "data/shapes/VOCdevkit/JPEGImages/1.jpg")
    for name in clean.OF_A_DATASET:
        write(root / "data/shapes" / name)
    write_json(root / "data/shapes/card.json", {"licence": LICENCE, "origin": {"seed": 0}})
    write(root / ".snakemake/metadata/x")
    return root


def files(root):
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_symlink() or path.is_file()}


def own_images(source, root):
    write(source / "images/a.jpg", jpeg(9, 9))
    write(source / "labels.csv", b"image,labels,split\na,cat,train\n")
    write(source / "classes.txt", b"cat\n")
    root.mkdir(parents=True, exist_ok=True)
    index = read_own(source, root)
    write_index(index)
    write_card(index, root.name, "your own", {"path": str(source)})


def test_what_is_made_here_goes_with_its_folders(project):
    clean.main(project, agreed=False)
    assert files(project) == {"pretrained/tiny.safetensors"}
    assert sorted(path.name for path in project.iterdir()) == ["pretrained"]


def test_what_may_never_come_again_stays_and_is_named(project, capsys):
    kept = [
        "data/archives/sbd/benchmark.tgz",
        "data/archives/sbd/benchmark.tgz.json",
        "data/archives/sbd/benchmark.tgz.part",
        "data/lock.json",
        "data/voc12/raw/sbd/a",
        "data/voc12/index.csv",
        "data/weights/vit_base.safetensors",
        "data/weights/mine.pth",
        "data/own_photos/a.jpg",
        "data/shapes_mine/a.jpg",
        "data/shapes/mine.jpg",
        "results/mlflow.db",
        "results/mlartifacts/1/a",
    ]
    for name in kept:
        write(project / name)
    write(project / "data/weights/edited/tiny.safetensors", b"another")
    clean.main(project, agreed=False)
    expected = {*kept, "pretrained/tiny.safetensors", "data/weights/edited/tiny.safetensors"}
    assert files(project) == expected
    said = capsys.readouterr().out
    for name in ("data/archives", "data/voc12", "data/weights", "data/own_photos", "data/shapes_mine", "mlflow.db"):
        assert f"left: {project / name}" in said or f"left: {project / 'results' / name}" in said, name


def test_shipped_weights_that_were_changed_stay(project):
    write(project / "data/weights/tiny.safetensors", b"mine")
    clean.main(project, agreed=False)
    assert (project / "data/weights/tiny.safetensors").read_bytes() == b"mine"


def test_your_own_images_stay_and_their_index_goes(project, tmp_path):
    own_images(tmp_path / "photos", project / "data/own_photos")
    before = files(tmp_path / "photos")
    (project / "data/own_photos/link").symlink_to(tmp_path / "photos")
    write(project / "data/own_photos/mine.jpg")
    (project / "data/mine").symlink_to(tmp_path / "photos")
    clean.main(project, agreed=False)
    assert files(tmp_path / "photos") == before
    assert files(project / "data") == {"own_photos/link", "own_photos/mine.jpg", "mine"}


def test_masks_that_were_painted_of_your_polygons_go(project):
    folder = project / "data/own_coco"
    write(folder / "masks/a.png")
    write(folder / "index.csv", b"image,path,mask\na,../../../photos/a.jpg,masks/a.png\nb,x/b.jpg,../../b.png\n")
    write(project / "b.png")
    write_json(folder / "card.json", {"licence": "your own", "origin": {"path": str(project / "photos")}})
    clean.main(project, agreed=False)
    assert not folder.exists() and (project / "b.png").exists()


def test_images_that_lie_in_the_data_sets_own_folder_stay(project):
    own_images(project / "data/own_photos", project / "data/own_photos")
    before = files(project / "data/own_photos")
    clean.main(project, agreed=False)
    assert files(project / "data/own_photos") == before


def test_what_was_not_sent_stays_with_its_artifacts(project, capsys):
    page = write(project / "results/demo/tables/a/t.html", b"page")
    record = project / "results/demo/tracking/a/t.json"
    assert track(record, payload("x", artifacts=[page]), DOWN) is False
    sent = project / "results/demo/tracking/a/sent.json"
    write_json(sent, {"status": "sent"})
    clean.main(project, agreed=False)
    (entry,) = (project / "results/demo/tracking/a/waiting").iterdir()
    waiting = json.loads((entry / "record.json").read_text())
    assert [Path(path).read_text() for path in waiting["payload"]["artifacts"]] == ["page"]
    assert record.exists() and not sent.exists() and not page.exists()
    assert "not sent to MLflow yet" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["demo/x/resume.pt", "paper/classifiers/voc12/vit/seed0/model.safetensors"])
@pytest.mark.parametrize("answer", [None, "", "n", "y"])
def test_hours_of_training_are_asked_for(project, capsys, monkeypatch, name, answer):
    path = write(project / "results" / name)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: answer is not None, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    before = files(project)
    if answer == "y":
        clean.main(project, agreed=False)
        assert not path.exists()
        return
    with pytest.raises(UserError, match="nothing was deleted"):
        clean.main(project, agreed=False)
    assert files(project) >= before
    assert str(path.parent) in capsys.readouterr().out
    clean.main(project, agreed=True)
    assert not path.exists()


def test_nothing_goes_while_a_run_is_at_work(project):
    before = files(project)
    with held(project / ".snakemake/alive.lock"), pytest.raises(UserError, match="a run is at work"):
        clean.main(project, agreed=True)
    assert files(project) >= before


def test_make_clean(project):
    """As it is typed, with an interpreter that has none of the libraries."""
    shutil.copy(f"{REPOSITORY}/Makefile", project / "Makefile")
    shutil.copytree(f"{REPOSITORY}/src", project / "src")
    write(project / "data/archives/sbd/benchmark.tgz")
    write(project / "results/paper/x/resume.pt")
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MAKE"))}

    def make(*more):
        return subprocess.run(
            ["make", "clean", *more, f"PYTHON={sys.executable} -S"],
            cwd=project,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    refused = make()
    assert refused.returncode != 0 and "make clean YES=1" in refused.stderr
    assert (project / "results/demo/tables/a/t.csv").exists()
    done = make("YES=1")
    assert done.returncode == 0, done.stderr
    assert "left: data/archives" in done.stdout
    assert (project / "data/archives/sbd/benchmark.tgz").exists()
    assert not (project / "results").exists() and not (project / "data/shapes").exists()
