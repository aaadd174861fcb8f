"""Your own data through the DAG: all problems at once, every layout, and masks at the end."""

import json
import shutil

import numpy as np
import pytest
from mini_archives import jpeg
from pycocotools.coco import COCO
from snakemake_runs import jobs_of, run

from seedbed.data.shapes import make_shapes
from seedbed.io.masks import decode_mask, encode_mask

pytestmark = pytest.mark.workflow


def folder_of_pictures(folder, rows, masks=()):
    """Three images a, b and c of 10 x 12 pixels, and a list."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number, name in enumerate("abc"):
        (folder / "images" / f"{name}.jpg").write_bytes(jpeg(10, 12, number))
    for name, size in masks:
        (folder / "masks" / f"{name}.png").write_bytes(encode_mask(np.zeros(size, np.uint8)))
    (folder / "classes.txt").write_text("cat\ndog\n")
    (folder / "labels.csv").write_text("image,split,labels\n" + "".join(f"{row}\n" for row in rows))
    return folder


def test_every_mistake_is_shown_at_once_and_nothing_is_left(tmp_path):
    rows = ["a,train,cat", "b,train,dgo", "c,val,dog", "gone,val,cat"]
    source = folder_of_pictures(tmp_path / "mine", rows, masks=[("c", (10, 11))])
    (source / "images/a.jpg").write_bytes(jpeg(10, 12)[:200])
    failed = run(tmp_path / "run", "--config", f"dataset={source}", "--", "data/own_mine/index.csv")
    assert failed.returncode != 0 and "Traceback" not in failed.stdout
    for text in (
        "a.jpg: corrupt or not an image",
        "labels.csv, line 3: Unknown label 'dgo'. Did you mean 'dog'?",
        "c.png: the mask is 10 x 11, its image 10 x 12",
        "labels.csv, line 5: there is no image 'gone'",
    ):
        assert text in failed.stdout
    assert not (tmp_path / "run/data/own_mine/index.csv").exists()


def test_a_folder_that_the_index_would_be_written_into_is_refused(tmp_path):
    """Its classes.txt would be an output, which Snakemake deletes."""
    source = folder_of_pictures(tmp_path / "data/mine", ["a,train,cat", "b,train,dog", "c,val,dog"])
    failed = run(tmp_path, "--config", "datasets__mine={kind: folder, path: data/mine}", "--", "data/mine/index.csv")
    assert failed.returncode != 0 and "datasets.mine.path: data/mine is where the index of mine" in failed.stdout
    assert (source / "classes.txt").read_text() == "cat\ndog\n"


def test_a_changed_list_is_noticed_in_cocos_layout(tmp_path):
    source = tmp_path / "mine"
    for split in ("train", "val"):
        (source / split).mkdir(parents=True)
        (source / split / f"{split}.jpg").write_bytes(jpeg(10, 12))
    write_coco(source, "big dog")
    options = ("--config", f"dataset={source}", "--", "data/own_mine/index.csv")
    assert run(tmp_path / "run", *options).returncode == 0
    assert (tmp_path / "run/data/own_mine/classes.txt").read_text() == "big_dog\n"
    write_coco(source, "cat")
    assert jobs_of(run(tmp_path / "run", *options).stdout) == {"index_folder": 1}
    assert (tmp_path / "run/data/own_mine/classes.txt").read_text() == "cat\n"


def write_coco(source, name):
    (source / "annotations").mkdir(exist_ok=True)
    for split in ("train", "val"):
        picture = {"id": 1, "file_name": f"{split}.jpg", "height": 10, "width": 12}
        square = {"id": 1, "image_id": 1, "category_id": 7, "iscrowd": 0, "segmentation": [[1, 1, 5, 1, 5, 5, 1, 5]]}
        content = {"images": [picture], "annotations": [square], "categories": [{"id": 7, "name": name}]}
        (source / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))


@pytest.mark.slow
def test_a_moved_folder_reruns_nothing_and_another_of_its_name_is_refused(tmp_path):
    """Labels in a spreadsheet's own form; then a move, an edit, masks added, and other images of the same name."""
    rows = ["a,Train,cat", "b,Train,dog", "c,Validation,dog"]
    source = folder_of_pictures(tmp_path / "x/mine", rows)
    table = (source / "labels.csv").read_text().replace(",", ";").replace("image", "Image")
    (source / "labels.csv").write_text(table, encoding="utf-16")
    target, workdir = ("--", "data/own_mine/index.csv"), tmp_path / "run"

    def indexed(folder, *options):
        return run(workdir, *options, "--config", f"dataset={folder}", *target)

    first = indexed(source)
    assert first.returncode == 0 and jobs_of(first.stdout) == {"index_folder": 1}, first.stdout[-3000:]
    moved = source.rename(tmp_path / "mine")
    assert "Nothing to be done" in indexed(moved).stdout
    (moved / "labels.csv").write_text(table.replace("cat", "dog"))
    assert jobs_of(indexed(moved).stdout) == {"index_folder": 1}
    (moved / "masks/b.png").write_bytes(encode_mask(np.zeros((10, 12), np.uint8)))
    added = indexed(moved)
    assert jobs_of(added.stdout) == {"index_folder": 1}
    assert "Note of rule index_folder" in added.stdout and "no mask shows any class" in added.stdout
    other = folder_of_pictures(tmp_path / "y/mine", rows)
    refused = indexed(other)
    assert refused.returncode != 0 and "Traceback" not in refused.stdout
    for text in (str(moved), str(other), "dataset_name=y_mine"):
        assert text in refused.stdout
    named = run(workdir, "-n", "--config", f"dataset={other}", "dataset_name=y_mine", "--", "my_masks")
    assert named.returncode == 0 and "exports/own_y_mine/val" in named.stdout, named.stdout[-3000:]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("image,split,labels\n", "lists no image"),
        ("image split labels\na train cat\n", "one column named 'image split labels'"),
        ("image,split,labels\na,test,cat\n", "no image is in the split 'train' or 'val'; found: 'test'"),
    ],
)
def test_a_table_without_images_is_never_an_empty_target(tmp_path, table, message):
    source = folder_of_pictures(tmp_path / "mine", [])
    (source / "labels.csv").write_text(table)
    failed = run(tmp_path / "run", "-n", "--config", f"dataset={source}", "--", "my_masks")
    assert failed.returncode != 0 and message in failed.stdout and "Traceback" not in failed.stdout


def test_masks_made_elsewhere_are_scored(tmp_path):
    """On your own data, on a data set of the preset, and on a folder of ground truth alone."""
    truth = np.zeros((10, 12), np.uint8)
    truth[2:6, 2:6] = 1
    source = folder_of_pictures(tmp_path / "mine", ["a,train,cat", "b,val,cat", "c,val,dog"])
    made = tmp_path / "made"
    made.mkdir()
    for name in "bc":
        (source / "masks" / f"{name}.png").write_bytes(encode_mask(truth * (1 if name == "b" else 2)))
        (made / f"{name}.png").write_bytes(encode_mask(truth))

    def scored(*options):
        done = run(tmp_path / "run", "--config", f"masks={made}", *options, "--", "score_masks")
        assert done.returncode == 0, done.stdout[-3000:]
        folders = sorted((tmp_path / "run/results/demo/scores").iterdir(), key=lambda path: path.stat().st_mtime_ns)
        return json.loads((folders[-1] / "metrics.json").read_text()), done.stdout

    found, shown = scored(f"dataset={source}", "split=val")
    assert (found["iou_background"], found["iou_cat"], found["iou_dog"]) == (1, 0.5, 0)
    assert found["images"] == 2 and "mIoU  50.00 %  all_classes" in shown
    alone, _ = scored(f"dataset={source / 'masks'}")
    assert alone["iou_cat"] == 0.5
    (made / "b.png").write_bytes(encode_mask(truth * 2))
    assert scored(f"dataset={source}", "split=val")[0]["iou_cat"] == 0
    wrong = run(tmp_path / "run", "--config", f"masks={made}", "dataset=voc21", "--", "score_masks")
    assert wrong.returncode != 0 and "'voc21' is not a folder" in wrong.stdout and "shapes" in wrong.stdout
    bare = run(tmp_path / "run", "-n", "--", "score_masks")
    assert bare.returncode != 0 and "--config masks=/path/to/masks dataset=NAME" in bare.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_masks_of_your_own_data_in_vocs_layout(tmp_path):
    index = make_shapes(tmp_path / "shapes", seed=5, size=96, train=4, trainaug=8, val=4, single_object=False)
    source = tmp_path / "mine"
    shutil.move(next((tmp_path / "shapes").rglob("JPEGImages")).parent, source)
    (source / "classes.txt").write_text("".join(f"{name}\n" for name in index.classes))
    done = run(tmp_path / "run", "--config", f"dataset={source}", "--", "my_masks")
    assert done.returncode == 0, done.stdout[-3000:]
    exported = tmp_path / "run/results/demo/exports/own_mine/val"
    masks = {path.stem: decode_mask(path) for path in (exported / "masks").iterdir()}
    assert len(masks) == 4 and all(mask.shape == (96, 96) for mask in masks.values())
    coco = COCO(exported / "coco.json")
    painted = sum(coco.annToMask(annotation).sum() for annotation in coco.anns.values())
    assert painted == sum((mask > 0).sum() for mask in masks.values())
    assert json.loads((exported / "metrics.json").read_text())["images"] == 4
