"""From a web site to an index: every published data set is fetched, verified, unpacked, checked and prepared."""

import hashlib

import numpy as np
import pytest
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
    voc_test,
    voc_trainval,
    zipped,
)

from seedbed.data.card import write_card
from seedbed.data.index import read_index, write_index
from seedbed.data.published.coco14 import CATEGORY_IDS, CLASSES, prepare_coco14
from seedbed.data.published.cub200 import prepare_cub200
from seedbed.data.published.imagenet import prepare_imagenet
from seedbed.data.published.imagenet_segmentation import prepare_imagenet_segmentation
from seedbed.data.published.voc12 import prepare_voc12
from seedbed.data.raw.adopt import adopt_file, adopt_unpacked, check_unpacked
from seedbed.data.raw.fetch import Retry, fetch
from seedbed.data.raw.lock import DataLock
from seedbed.data.raw.sources import load_sources
from seedbed.data.raw.unpack import unpack
from seedbed.io.atomic import read_json

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:pycocotools")


def coco_archives(folder):
    categories = [{"id": i, "name": name} for i, name in zip(CATEGORY_IDS, CLASSES, strict=True)]
    square = [{"id": 1, "image_id": 7, "category_id": 18, "segmentation": [[1, 1, 5, 1, 5, 5]]}]
    texts = {
        f"annotations/instances_{split}2014.json": coco_instances(split, [(7, 8, 9)], square, categories)
        for split in ("train", "val")
    }
    pictures = {
        f"coco14_{split}": {f"{split}2014/COCO_{split}2014_000000000007.jpg": jpeg(8, 9)} for split in ("train", "val")
    }
    return {"coco14_annotations": zipped(folder / "a.zip", texts)} | {
        name: zipped(folder / f"{name}.zip", files) for name, files in pictures.items()
    }


def voc_archives(folder):
    return {
        "voc12_trainval": voc_trainval(folder / "v.tar"),
        "voc12_test": voc_test(folder / "t.tar"),
        "sbd": sbd(folder / "s.tgz"),
    }


def imagenet_archives(folder):
    synsets = [(1, "n02", "b", 0), (2, "n01", "a", 0)]
    return {
        "imagenet_val": imagenet_val(folder / "v.tar", [(4, 5), (6, 7)]),
        "imagenet_devkit": imagenet_devkit(folder / "d.tar.gz", synsets, [1, 2]),
        "imagenet_val_boxes": imagenet_boxes(folder / "b.tgz", [[("n02", (1, 1, 2, 2))], [("n01", (1, 1, 2, 2))]]),
    }


def segmentation_archives(folder):
    pair = (np.zeros((4, 5, 3), np.uint8), np.eye(4, 5, dtype=np.uint8))
    return {"imagenet_segmentation_truth": gtsegs(folder / "g.mat", [pair, pair])}


def cub_archives(folder):
    items = [(1, "a_1", True, (6, 6), (1, 1, 2, 2)), (2, "b_2", False, (6, 6), (1, 1, 2, 2))]
    names = {"001.Black_footed_Albatross/a_1": 0, "002.Laysan_Albatross/b_2": 1}
    masks = {f"segmentations/{name}.png": grey_png(np.full((6, 6), 255, np.uint8)) for name in names}
    return {"cub200_images": cub_images(folder / "c.tgz", items), "cub200_segmentations": tar(folder / "m.tgz", masks)}


CHAINS = {
    "voc12": (voc_archives, prepare_voc12, {"expected": {"train": 2, "trainaug": 5, "val": 2}, "expected_test": 1}),
    "coco14": (coco_archives, prepare_coco14, {"expected": {"train": 1, "trainaug": 1, "val": 1}}),
    "imagenet": (imagenet_archives, prepare_imagenet, {"expected": {"val": 2}, "num_classes": 2}),
    "imagenet_segmentation": (segmentation_archives, prepare_imagenet_segmentation, {"expected": {"val": 2}}),
    "cub200": (cub_archives, prepare_cub200, {"expected": {"train": 1, "trainaug": 1, "test": 1}}),
}


def miniature(source, archive):
    """The real entry, with size, checksum and number of files of a miniature."""
    content = archive.read_bytes()
    known = {"bytes": len(content), "md5": None, "sha256": hashlib.sha256(content).hexdigest()}
    return source.model_copy(update=known | {"contains": dict.fromkeys(source.contains, 1)})


@pytest.mark.parametrize("dataset", CHAINS)
def test_from_the_web_to_an_index(tmp_path, dataset):
    make, prepare, counts = CHAINS[dataset]
    (tmp_path / "made").mkdir()
    archives, sources = make(tmp_path / "made"), load_sources()
    assert set(archives) == {source.name for source in sources.of_dataset(dataset)}
    root, lock_file = tmp_path / "data" / dataset, tmp_path / "lock.json"
    with serve() as site:
        for name, archive in archives.items():
            url = site.add(archive.name, archive.read_bytes(), cuts=[1000])
            source = miniature(sources.file(name), archive).model_copy(update={"urls": (url,), "manual": False})
            retry = Retry(first_wait=0.01)
            file = fetch(source, tmp_path / "raw", lock_file=lock_file, progress=False, retry=retry)
            if source.kind == "archive":
                unpack(file, root / "raw" / name, progress=False)
                check_unpacked(source, root / "raw" / name)
            else:
                adopt_file(source, file, root / "raw" / name, lock_file=lock_file)
    index = prepare(root, **counts, workers=1)
    write_index(index)
    write_card(index, dataset, sources.datasets[dataset].licence, DataLock(lock_file).origin(archives))
    assert read_index(root) == index
    card = read_json(root / "card.json")
    assert set(card["origin"]) == set(archives)
    assert card["splits"]["val" if dataset != "cub200" else "test"]["images"] >= 1


@pytest.mark.parametrize("dataset", [name for name in CHAINS if name != "imagenet_segmentation"])
def test_from_unpacked_folders_on_disk_to_the_same_index(tmp_path, dataset):
    """Linked folders give what unpacked archives give, and nothing is written into them."""
    make, prepare, counts = CHAINS[dataset]
    (tmp_path / "made").mkdir()
    for name, archive in make(tmp_path / "made").items():
        source = miniature(load_sources().file(name), archive)
        unpack(archive, tmp_path / "copy" / "raw" / name, progress=False)
        mine = unpack(archive, tmp_path / "mine" / name, progress=False)
        adopt_unpacked(source, mine, tmp_path / "linked" / "raw" / name)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "mine").rglob("*")}
    linked, copied = (prepare(tmp_path / kind, **counts, workers=1) for kind in ("linked", "copy"))
    assert linked.records == copied.records
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "mine").rglob("*")} == before
