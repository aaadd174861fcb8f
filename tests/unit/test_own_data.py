"""Your own data in three layouts: told apart, read where it is, and wrong content named."""

import json
import shutil

import numpy as np
import pytest
from mini_archives import jpeg, voc_xml

from seedbed.data.index import Box, read_index, write_index
from seedbed.data.own import read_own
from seedbed.data.own_coco import find_annotations
from seedbed.data.own_counts import split_counts
from seedbed.data.own_voc import find_voc
from seedbed.data.voc import VOC_CLASSES
from seedbed.errors import DataError
from seedbed.io.masks import decode_mask, encode_mask

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:pycocotools")
MASK = np.zeros((10, 12), np.uint8)
MASK[2:5, 2:5], MASK[5, :] = 2, 255


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def snapshot(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def own_folder(folder):
    files = {"images/a.jpg": jpeg(10, 12), "images/b.jpg": jpeg(8, 8), "classes.txt": "cat\ndog\n"}
    return write(
        folder, files | {"masks/a.png": encode_mask(MASK), "labels.csv": "image,split,labels\na,train,cat\nb,val,\n"}
    )


def own_voc(folder, names=("cat", "dog"), lists="Segmentation", masks=True):
    files = {f"ImageSets/{lists}/train.txt": "a\nb\n", f"ImageSets/{lists}/val.txt": "c\n"}
    for number, image in enumerate("abc"):
        files[f"JPEGImages/{image}.jpg"] = jpeg(10, 12, number)
        files[f"Annotations/{image}.xml"] = voc_xml(image, (10, 12), [(names[number % 2], False, (1, 2, 5, 6))])
        if masks:
            files[f"SegmentationClass/{image}.png"] = encode_mask(MASK)
    return write(folder, files)


def coco_text(split, images, annotations, names=("big dog", "cat")):
    listed = [{"id": k, "file_name": f"{name}.jpg", "height": 10, "width": 12} for k, name in enumerate(images)]
    categories = [{"id": 5 - k, "name": name} for k, name in enumerate(reversed(names))]
    return json.dumps({"images": listed, "annotations": annotations, "categories": categories})


def shape(number, image, category, side, **more):
    polygon = [0, 0, side, 0, side, side, 0, side]
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": [polygon],
        "bbox": [0, 0, side, side],
    } | more


def own_coco(folder, place="{split}2014", val=None, val_names=("big dog", "cat")):
    train = [shape(1, 0, 5, 8), shape(2, 0, 4, 4)]
    files = {
        "annotations/instances_train2014.json": coco_text("train", ["a", "b"], train),
        "annotations/instances_val2014.json": coco_text(
            "val", ["c"], [shape(3, 0, 5, 6)] if val is None else val, val_names
        ),
        "annotations/captions_train2014.json": "{}",
    }
    for split, images in (("train", "ab"), ("val", "c")):
        files |= {f"{place.format(split=split)}/{image}.jpg": jpeg(10, 12) for image in images}
    return write(folder, files)


def test_a_labels_file_means_the_first_layout(tmp_path):
    source = own_voc(own_folder(tmp_path / "mine"))
    index = read_own(source, tmp_path / "set")
    assert [record.image for record in index.records] == ["a", "b"] and index.classes == ("cat", "dog")
    assert split_counts(source) == index.splits()


@pytest.mark.parametrize("place", ["", "VOC2012", "VOCdevkit/VOC2007"])
def test_vocs_layout_is_read_where_it_is(tmp_path, place):
    base = own_voc(tmp_path / "mine" / place)
    before = snapshot(tmp_path / "mine")
    index = read_own(tmp_path / "mine", tmp_path / "set")
    assert snapshot(tmp_path / "mine") == before
    assert index.classes == VOC_CLASSES and index.splits() == {"train": 2, "trainaug": 2, "val": 1}
    first = index.records[0]
    assert first.labels == ("cat",) and first.boxes == (Box("cat", 1, 2, 5, 6),) and first.size == (10, 12)
    assert first.path == str(base / "JPEGImages/a.jpg")
    np.testing.assert_array_equal(decode_mask(index.root / first.mask), MASK)
    write_index(index)
    assert read_index(tmp_path / "set") == index


def test_vocs_lists_for_detection_serve_where_there_are_no_others(tmp_path):
    index = read_own(own_voc(tmp_path / "mine", lists="Main", masks=False), tmp_path / "set")
    assert index.splits() == {"train": 2, "trainaug": 2, "val": 1} and index.records[0].mask is None


def test_a_list_of_training_pictures_without_masks_is_trainaug(tmp_path):
    source = own_voc(tmp_path / "mine")
    write(source, {"ImageSets/Segmentation/trainaug.txt": "a\nb\n", "ImageSets/Segmentation/train.txt": "b\n"})
    assert read_own(source, tmp_path / "set").splits() == split_counts(source) == {"train": 1, "trainaug": 2, "val": 1}


def test_classes_of_vocs_layout(tmp_path):
    source = own_voc(tmp_path / "mine", names=("zebra", "ant"), masks=False)
    assert read_own(source, tmp_path / "set").classes == ("ant", "zebra")
    write(source, {"SegmentationClass/a.png": encode_mask(MASK)})
    with pytest.raises(DataError, match=r"not VOC's \(ant, zebra\).* Write .*classes\.txt"):
        read_own(source, tmp_path / "set")
    write(source, {"classes.txt": "zebra\nant\n"})
    assert read_own(source, tmp_path / "set").classes == ("zebra", "ant")
    write(source, {"classes.txt": "zebra\n"})
    with pytest.raises(DataError, match="Unknown label 'ant'"):
        read_own(source, tmp_path / "set")


def test_every_picture_and_mask_is_decoded(tmp_path):
    source = own_voc(tmp_path / "mine")
    write(source, {"JPEGImages/a.jpg": jpeg(10, 12)[:-60], "SegmentationClass/b.png": encode_mask(MASK + 30)})
    write(source, {"SegmentationClass/c.png": encode_mask(MASK[:5])})
    with pytest.raises(DataError) as caught:
        read_own(source, tmp_path / "set")
    for problem in ("a.jpg: corrupt", "b.png: value 29", "c.png: the mask is 5 x 12, its image 10 x 12"):
        assert problem in str(caught.value)


@pytest.mark.parametrize("place", ["{split}2014", "images/{split}2014", "{split}", "images/{split}", "images", "."])
@pytest.mark.parametrize("workers", [1, 2])
def test_cocos_layout_is_read_where_it_is_and_painted(tmp_path, place, workers):
    source = own_coco(tmp_path / "mine", place)
    before = snapshot(source)
    index = read_own(source, tmp_path / "set", workers=workers)
    assert snapshot(source) == before
    assert index.classes == ("big_dog", "cat") and index.splits() == {"train": 2, "trainaug": 2, "val": 1}
    first, second, _ = index.records
    assert first.labels == ("big_dog", "cat") and first.boxes[0] == Box("cat", 1, 1, 8, 8)
    assert first.path == str((source / place.format(split="train") / "a.jpg").resolve())
    mask = decode_mask(index.root / first.mask)
    assert (mask[2, 2], mask[6, 6], mask[9, 9]) == (1, 2, 0)
    assert second.labels == () and not decode_mask(index.root / second.mask).any()
    write_index(index)
    assert read_index(tmp_path / "set") == index


def test_annotations_of_boxes_alone_give_labels_without_masks(tmp_path):
    source = own_coco(tmp_path / "mine", val=[shape(1, 0, 4, 3, segmentation=[])])
    index = read_own(source, tmp_path / "set", workers=1)
    (record,) = index.split("val")
    assert (record.labels, record.mask) == (("big_dog",), None) and index.split("train")[0].mask


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"val_names": ("big dog", "cow")}, r"instances_val2014\.json: other categories than in instances_train2014"),
        ({"place": "pictures"}, r"instances_train2014\.json: its image a\.jpg is in none of"),
        ({"val": [shape(3, 0, 5, 6), shape(4, 0, 9, 6)]}, "annotation 4 has the unknown category 9"),
    ],
)
def test_what_is_wrong_in_cocos_layout_is_named(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        read_own(own_coco(tmp_path / "mine", **change), tmp_path / "set", workers=1)
    assert not (tmp_path / "set" / "masks").exists()


def test_categories_must_have_names_of_their_own(tmp_path):
    names = {"the same": ("a b", "a_b"), "'background'": ("background", "x"), "'x:y'": ("x:y", "z")}
    for number, (message, pair) in enumerate(names.items()):
        text = coco_text("train", ["a"], [], pair)
        source = write(tmp_path / str(number), {f"annotations/{split}.json": text for split in ("train", "val")})
        with pytest.raises(DataError, match="each with a name of its own" if number == 0 else message):
            read_own(source, tmp_path / "set", workers=1)


def test_a_picture_in_both_splits_is_an_error(tmp_path):
    source = own_coco(tmp_path / "mine")
    write(source, {"annotations/instances_val2014.json": coco_text("val", ["a"], []), "val2014/a.jpg": jpeg(10, 12)})
    with pytest.raises(DataError, match="listed more than once: a"):
        read_own(source, tmp_path / "set", workers=1)


def test_a_picture_of_another_size_than_annotated_is_an_error(tmp_path):
    source = write(own_coco(tmp_path / "mine"), {"train2014/b.jpg": jpeg(12, 10)})
    with pytest.raises(DataError, match=r"b\.jpg: is 12 x 10, its annotations are for \(10, 12\)"):
        read_own(source, tmp_path / "set", workers=1)


def test_no_layout_and_two_layouts_are_errors(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no data in a known layout"):
        read_own(tmp_path / "empty", tmp_path / "set")
    with pytest.raises(DataError, match="no such folder"):
        read_own(tmp_path / "nowhere", tmp_path / "set")
    both = own_coco(own_voc(tmp_path / "both"))
    with pytest.raises(DataError, match=r"holds both VOC's layout .* and COCO's"):
        read_own(both, tmp_path / "set")
    shutil.copytree(own_voc(tmp_path / "two" / "VOC1"), tmp_path / "two" / "VOC2")
    with pytest.raises(DataError, match="holds several data sets in VOC's layout"):
        find_voc(tmp_path / "two")
    write(tmp_path / "many", {f"annotations/{name}.json": "{}" for name in ("my_train", "your_train", "val")})
    with pytest.raises(DataError, match=r"several files are of 'train': my_train\.json, your_train\.json"):
        find_annotations(tmp_path / "many")
    images_only = write(tmp_path / "images_only", {"images/a.jpg": jpeg(4, 4), "classes.txt": "a\n"})
    with pytest.raises(DataError, match=r"labels\.csv: no such file"):
        read_own(images_only, tmp_path / "set")


def test_vocs_layout_without_lists_is_an_error(tmp_path):
    source = own_voc(tmp_path / "mine")
    (source / "ImageSets/Segmentation/val.txt").unlink()
    with pytest.raises(DataError, match=r"ImageSets: needs train\.txt and val\.txt in Segmentation or Main"):
        read_own(source, tmp_path / "set")
