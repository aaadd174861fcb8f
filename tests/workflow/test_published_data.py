"""Published data sets from a web site to an index through the DAG, with miniature archives in the true formats."""

import csv
import hashlib
import json

import numpy as np
import pytest
import yaml
from http_site import serve
from mini_archives import (
    coco_instances,
    cub_images,
    grey_png,
    gtsegs,
    imagenet_boxes,
    imagenet_devkit,
    imagenet_val,
    jpeg,
    sbd,
    tar,
    voc_trainval,
    zipped,
)
from snakemake_runs import run

from seedbed.data.published.coco14 import CATEGORY_IDS, CLASSES
from seedbed.data.raw.sources import TABLE

pytestmark = pytest.mark.workflow
COUNTS = "datasets__voc12__options={expected: {train: 2, trainaug: 5, val: 2}}"
INDEX = "data/voc12/index.csv"


def table_of_miniatures(folder, site, archives, cuts=()):
    """The real table of sources, whose entries tell of miniature archives; without a server no address is changed."""
    table = yaml.safe_load(TABLE.read_text())
    for name, archive in archives.items():
        content, entry = archive.read_bytes(), table["sources"][name]
        known = {"bytes": len(content), "md5": None, "sha256": hashlib.sha256(content).hexdigest()}
        entry |= known | {"contains": dict.fromkeys(entry.get("contains", ()), 1)}
        if site and not entry.get("manual"):
            entry["urls"] = [site.add(archive.name, content, cuts=list(cuts))]
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
    table = table_of_miniatures(tmp_path, None, archives)
    names = {
        name: entry["file"] for name, entry in yaml.safe_load(table.read_text())["sources"].items() if "file" in entry
    }
    for name, archive in archives.items():
        archive.rename(disk / names[name])
    before = sorted(path.name for path in disk.iterdir())
    options = ["preset=paper", f"voc12={disk}", f"sources={table}", COUNTS]
    done = run(workdir, "--config", *options, "--", INDEX, micro=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert sorted(path.name for path in disk.iterdir()) == before
    assert not list((workdir / "data").rglob("*.part*"))


def coco_archives(folder):
    """One image a split: a toothbrush, COCO's category 90 and class 80."""
    categories = [{"id": number, "name": name} for number, name in zip(CATEGORY_IDS, CLASSES, strict=True)]
    brush = {"id": 1, "image_id": 7, "category_id": 90, "iscrowd": 0, "segmentation": [[1, 1, 9, 1, 9, 9, 1, 9]]}
    made, texts = {}, {}
    for split in ("train", "val"):
        texts[f"annotations/instances_{split}2014.json"] = coco_instances(split, [(7, 20, 30)], [brush], categories)
        picture = {f"{split}2014/COCO_{split}2014_{7:012d}.jpg": jpeg(20, 30)}
        made[f"coco14_{split}"] = zipped(folder / f"{split}2014.zip", picture)
    return made | {"coco14_annotations": zipped(folder / "annotations.zip", texts)}


def cub_archives(folder):
    birds = [(1, "Albatross_1", True, (9, 9), (1, 1, 5, 5)), (2, "Albatross_2", False, (9, 9), (1, 1, 5, 5))]
    names = ("001.Black_footed_Albatross/Albatross_1", "002.Laysan_Albatross/Albatross_2")
    seen = {f"segmentations/{name}.png": grey_png(np.full((9, 9), 255, np.uint8)) for name in names}
    return {
        "cub200_images": cub_images(folder / "CUB.tgz", birds),
        "cub200_segmentations": tar(folder / "seg.tgz", seen),
    }


def imagenet_archives(folder):
    """Under their published names: only a person can fetch them."""
    synsets = [(1, "n02119789", "kit fox", 0), (2, "n02012849", "crane", 0)]
    return {
        "imagenet_val": imagenet_val(folder / "ILSVRC2012_img_val.tar", [(9, 9), (8, 8)]),
        "imagenet_devkit": imagenet_devkit(folder / "ILSVRC2012_devkit_t12.tar.gz", synsets, [1, 2]),
        "imagenet_val_boxes": imagenet_boxes(
            folder / "ILSVRC2012_bbox_val_v3.tgz", [[("n02119789", (1, 1, 5, 5))], [("n02012849", (1, 1, 5, 5))]]
        ),
    }


SMALL = {
    "coco14": "{expected: {train: 1, trainaug: 1, val: 1}}",
    "cub200": "{expected: {train: 1, trainaug: 1, test: 1}}",
    "imagenet": "{expected: {val: 2}, num_classes: 2}",
    "imagenet_segmentation": "{expected: {val: 1}}",
}


def test_every_other_data_set_from_its_archives(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    truth = gtsegs(tmp_path / "gtsegs.mat", [(np.zeros((5, 9, 3), np.uint8), np.eye(5, 9, dtype=np.uint8))])
    archives = coco_archives(tmp_path) | cub_archives(tmp_path) | imagenet_archives(mine)
    archives["imagenet_segmentation_truth"] = truth
    sizes = [f"datasets__{name}__options={options}" for name, options in SMALL.items()]
    with serve() as site:
        table = table_of_miniatures(tmp_path, site, archives)
        options = ["preset=paper", f"sources={table}", f"imagenet={mine}", *sizes]
        wanted = [f"data/{name}/card.json" for name in SMALL]
        done = run(tmp_path / "run", "--config", *options, "--", *wanted, micro=False)
    assert done.returncode == 0, done.stdout[-3000:]
    cards = {name: json.loads((tmp_path / "run" / f"data/{name}/card.json").read_text()) for name in SMALL}
    assert cards["coco14"]["splits"]["val"]["labels"]["toothbrush"] == 1 and len(cards["coco14"]["classes"]) == 80
    assert cards["cub200"]["splits"]["test"]["images"] == 1
    assert cards["imagenet"]["classes"] == ["n02012849_crane", "n02119789_kit_fox"]  # by synset, not by number
    assert cards["imagenet_segmentation"]["splits"] == {"val": {"images": 1, "labels": {"object": 1}}}
    lock = json.loads((tmp_path / "run/data/lock.json").read_text())
    assert set(lock) == set(archives)
    for name, card in cards.items():
        assert card["licence"] and len(card["sha256"]) == 64
        assert card["origin"] == {key: lock[key] for key in card["origin"]} and card["origin"], name


def test_what_only_a_person_can_fetch_is_explained(tmp_path):
    asked = ("--keep-going", "--config", "preset=paper")
    failed = run(tmp_path, *asked, "--", "data/imagenet/index.csv", micro=False)
    assert failed.returncode != 0
    for text in (
        "page:     https://image-net.org",
        "ILSVRC2012_img_val.tar",
        "6,744,924,160 bytes",
        "sha256 c7e06a6c",
        "data/archives/imagenet_val/ILSVRC2012_img_val.tar",
        "--config imagenet=",
    ):
        assert text in failed.stdout
