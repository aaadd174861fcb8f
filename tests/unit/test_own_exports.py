"""Exports of annotation tools and published lists: read as they are, or refused with the step that helps."""

import io
import json

import numpy as np
import pytest
from mini_archives import jpeg, voc_xml
from PIL import Image
from test_own_data import MASK, coco_text, own_coco, own_folder, own_voc, shape, write

from seedbed.data.index import Box
from seedbed.data.own import read_own
from seedbed.data.own_counts import split_counts
from seedbed.data.own_layout import find_layout, has_masks, own_splits
from seedbed.data.voc import VOC_CLASSES
from seedbed.errors import DataError
from seedbed.io.masks import decode_mask, encode_mask

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:pycocotools")


def read(tmp_path, name="mine"):
    remarks = []
    index = read_own(tmp_path / name, tmp_path / "set", workers=1, say=remarks.append)
    assert split_counts(tmp_path / name) == index.splits()  # as the lists tell without decoding
    return index, {record.image: record for record in index.records}, "\n".join(remarks)


def rgb_png(mask, colours):
    pixels = np.zeros((*mask.shape, 3), np.uint8)
    for value, colour in colours.items():
        pixels[mask == value] = colour
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_roboflows_coco(tmp_path):
    names = ("animals", "cat")
    files = {
        "train/_annotations.coco.json": coco_text("train", ["a", "b"], [shape(1, 0, 4, 4)], names),
        "valid/_annotations.coco.json": coco_text("val", ["c"], [shape(1, 0, 4, 6)], names),
        "test/_annotations.coco.json": coco_text("test", ["d"], [], names),
    }
    for split, images in (("train", "ab"), ("valid", "c"), ("test", "d")):
        files |= {f"{split}/{image}.jpg": jpeg(10, 12) for image in images}
    write(tmp_path / "mine", files)
    index, records, remarks = read(tmp_path)
    assert own_splits(tmp_path / "mine") == ["train", "val"]
    assert index.splits() == {"train": 2, "trainaug": 2, "val": 1} and "left out: test" in remarks
    assert records["a"].labels == records["c"].labels == ("animals",)


def test_one_file_that_is_not_split_is_all_train(tmp_path):
    write(
        tmp_path / "mine",
        {
            "annotations/instances_default.json": coco_text("default", ["a"], [shape(1, 0, 4, 4)]),
            "images/a.jpg": jpeg(10, 12),
        },
    )
    index, _, remarks = read(tmp_path)
    assert index.splits() == {"train": 1, "trainaug": 1} and "has no split 'val'" in remarks
    assert own_splits(tmp_path / "mine") == ["train"]


def test_subsets_in_upper_case(tmp_path):
    source = own_coco(tmp_path / "mine", "images")
    (source / "annotations/instances_train2014.json").rename(source / "annotations/instances_Train.json")
    (source / "annotations/instances_val2014.json").rename(source / "annotations/instances_Validation.json")
    index, *_ = read(tmp_path)
    assert index.splits() == {"train": 2, "trainaug": 2, "val": 1}


def test_equal_names_in_subfolders_have_ids_of_their_own(tmp_path):
    source = own_coco(tmp_path / "mine", "images")
    text = coco_text("train", ["x/1", "y/1", "z/2"], [shape(1, 1, 4, 4)])
    write(source, {"annotations/instances_train2014.json": text})
    write(source, {f"images/{name}.jpg": jpeg(10, 12) for name in ("x/1", "y/1", "z/2")})
    _, records, _ = read(tmp_path)
    assert set(records) == {"x__1", "y__1", "2", "c"} and records["y__1"].labels == ("big_dog",)
    assert decode_mask(tmp_path / "set" / records["y__1"].mask).any()


def test_cvats_segmentation_masks(tmp_path):
    """RGB masks whose colours a labelmap.txt names; no annotations, so the masks give the labels."""
    colours = {1: (184, 61, 245), 2: (50, 183, 250)}
    lines = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nbig cat:184,61,245::\ndog:50,183,250::\n"
    files = {"labelmap.txt": lines, "ImageSets/Segmentation/train.txt": "a\n", "ImageSets/Segmentation/val.txt": "b\n"}
    for number, image in enumerate("ab"):
        files[f"JPEGImages/{image}.png"] = rgb_png(np.full((10, 12), number + 1), colours)
        files[f"SegmentationClass/{image}.png"] = rgb_png(np.where(MASK == 2, number + 1, 0), colours)
    write(tmp_path / "mine", files)
    index, records, _ = read(tmp_path)
    assert index.classes == ("big_cat", "dog")
    assert (records["a"].labels, records["b"].labels) == (("big_cat",), ("dog",))
    np.testing.assert_array_equal(decode_mask(tmp_path / "set" / records["b"].mask), np.where(MASK == 2, 2, 0))
    write(tmp_path / "mine", {"labelmap.txt": lines.replace("50,183,250", "50,183,251")})
    with pytest.raises(DataError, match=r"b\.png: the colour \(50, 183, 250\) is not in the list of colours"):
        read(tmp_path)


def test_a_tools_voc_that_is_not_split(tmp_path):
    source = own_voc(tmp_path / "mine", masks=False)
    for name in ("train", "val"):
        (source / f"ImageSets/Segmentation/{name}.txt").unlink()
    write(source, {"ImageSets/Main/default.txt": "a\nb\nc\n"})
    index, *_ = read(tmp_path)
    assert index.splits() == {"train": 3, "trainaug": 3} and own_splits(source) == ["train"]


def test_vocs_layout_without_annotations(tmp_path):
    source = own_voc(tmp_path / "mine")
    for path in sorted((source / "Annotations").iterdir()):
        path.unlink()
    (source / "Annotations").rmdir()
    _, records, _ = read(tmp_path)
    assert {record.labels for record in records.values()} == {(VOC_CLASSES[1],)}
    (source / "SegmentationClass/b.png").unlink()
    with pytest.raises(DataError, match="without Annotations/ the masks give the labels, and none is of b"):
        read(tmp_path)


def test_lists_that_name_files(tmp_path):
    """The lists of published code name image and mask; the masks lie in a folder of their own."""
    source = own_voc(tmp_path / "mine", masks=False)
    (source / "ImageSets/Segmentation/train.txt").unlink()
    lines = "".join(f"/JPEGImages/{image}.jpg /SegmentationClassAug/{image}.png\n" for image in "ab")
    write(source, {"ImageSets/Segmentation/train_aug.txt": lines})
    write(source, {f"SegmentationClassAug/{image}.png": encode_mask(np.full((10, 12), 8, np.uint8)) for image in "ab"})
    index, records, _ = read(tmp_path)
    assert index.splits() == {"train": 2, "trainaug": 2, "val": 1}
    assert records["a"].mask == str(source / "SegmentationClassAug/a.png") and records["c"].mask is None


def test_lists_with_extensions(tmp_path):
    source = own_voc(tmp_path / "mine")
    write(source, {"ImageSets/Segmentation/train.txt": "a.jpg\nb.jpg\n"})
    index, records, _ = read(tmp_path)
    assert index.splits() == {"train": 2, "trainaug": 2, "val": 1} and records["a"].mask is not None


def test_yolos_polygons_and_boxes(tmp_path):
    files = {
        "data.yaml": "names:\n  0: big dog\n  1: cat\n",
        "labels/train/a.txt": "1 0.25 0.2 0.75 0.2 0.75 0.6 0.25 0.6\n0 0.5 0.5 0.5 0.4\n",
        "labels/val/c.txt": "0 0.5 0.5 0.5 0.4\n",
    }
    files |= {f"images/{name}.jpg": jpeg(10, 12) for name in ("train/a", "train/b", "val/c")}
    write(tmp_path / "mine", files)
    index, records, remarks = read(tmp_path)
    assert index.classes == ("big_dog", "cat") and own_splits(tmp_path / "mine") == ["train", "val"]
    assert records["a"].labels == ("big_dog", "cat") and records["b"].labels == ()
    assert records["a"].boxes[1] == Box("big_dog", 4, 4, 9, 7)
    mask = decode_mask(tmp_path / "set" / records["a"].mask)
    assert (mask[3, 6], mask[6, 6], mask[9, 0]) == (2, 255, 0) and records["c"].mask is None
    assert "1 instances have no shape" in remarks
    write(tmp_path / "mine", {"labels/train/a.txt": "1 0.25 0.2 0.75\n7 0.5 0.5 0.5 0.4\nx 1 1 1 1\n1 0.5 0.5 200 1\n"})
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    for text in (
        "line 1: 3 numbers are neither",
        "line 2: there is no class 7",
        "line 3",
        "line 4: a number is outside",
    ):
        assert text in str(caught.value)


def test_imagefolder_with_metadata(tmp_path):
    files = {"train/metadata.jsonl": "", "validation/metadata.jsonl": ""}
    rows = {"train": [("a.jpg", ["cat", "big dog"]), ("b.jpg", [])], "validation": [("c.jpg", ["cat"])]}
    for split, entries in rows.items():
        lines = [json.dumps({"file_name": name, "labels": labels}) for name, labels in entries]
        files[f"{split}/metadata.jsonl"] = "\n".join(lines) + "\n"
        files |= {f"{split}/{name}": jpeg(5, 6) for name, _ in entries}
    write(tmp_path / "mine", files)
    index, records, _ = read(tmp_path)
    assert index.classes == ("big_dog", "cat") and index.splits() == {"train": 2, "trainaug": 2, "val": 1}
    assert records["a"].labels == ("cat", "big_dog") and own_splits(tmp_path / "mine") == ["train", "val"]
    write(tmp_path / "mine", {"train/metadata.jsonl": '{"file_name": "a.jpg", "objects": {"bbox": []}}\n'})
    with pytest.raises(DataError, match=r"needs 'file_name' and labels .*it has 'file_name', 'objects'.*as COCO"):
        read(tmp_path)


def test_one_metadata_for_folders_of_splits(tmp_path):
    names = {"train/a.jpg": ["cat"], "validation/b.jpg": ["cat"], "test/c.jpg": []}
    lines = [json.dumps({"file_name": name, "labels": labels}) for name, labels in names.items()]
    write(tmp_path / "mine", {"metadata.jsonl": "\n".join(lines), **{name: jpeg(5, 6) for name in names}})
    index, records, _ = read(tmp_path)
    assert index.splits() == {"train": 1, "trainaug": 1, "val": 1} and set(records) == {"a", "b"}
    assert own_splits(tmp_path / "mine") == ["train", "val"]


def test_whether_there_may_be_masks_is_told_without_decoding(tmp_path):
    assert has_masks(own_folder(tmp_path / "table")) and has_masks(own_voc(tmp_path / "voc"))
    assert has_masks(own_coco(tmp_path / "coco")) and not has_masks(own_voc(tmp_path / "bare", masks=False))
    (tmp_path / "table/masks/a.png").unlink()
    assert not has_masks(tmp_path / "table")
    boxes = coco_text("train", ["a"], [shape(1, 0, 4, 4, segmentation=[])])
    write(tmp_path / "boxes", {"annotations/instances_train.json": boxes})
    assert not has_masks(tmp_path / "boxes")
    for name, line in (("polygons", "0 0.1 0.1 0.2 0.2 0.3 0.1"), ("yolo", "0 0.1 0.1 0.2 0.2")):
        write(tmp_path / name, {"data.yaml": "names: [cat]", "labels/train/a.txt": line, "images/train/a.jpg": b""})
        assert has_masks(tmp_path / name) == (name == "polygons")


def test_yolo_with_a_folder_a_split(tmp_path):
    files = {"data.yaml": "names: [cat]\n", "valid/labels/b.txt": "", "test/labels/c.txt": ""}
    files |= {"train/labels/a.txt": "0 0.25 0.2 0.75 0.2 0.75 0.6\n"}
    files |= {f"{name}.jpg": jpeg(10, 12) for name in ("train/images/a", "valid/images/b", "test/images/c")}
    write(tmp_path / "mine", files)
    index, records, _ = read(tmp_path)
    assert index.splits() == {"train": 1, "trainaug": 1, "val": 1} and records["a"].labels == ("cat",)


def test_vocs_images_in_folders(tmp_path):
    files = {"ImageSets/Main/train.txt": "x/1\n", "ImageSets/Main/val.txt": "y/1\n"}
    for image in ("x/1", "y/1"):
        files[f"JPEGImages/{image}.jpg"] = jpeg(10, 12)
        files[f"Annotations/{image}.xml"] = voc_xml(image, (10, 12), [("cat", False, (1, 1, 2, 2))])
        files[f"SegmentationClass/{image}.png"] = encode_mask(np.full((10, 12), 8, np.uint8))
    write(tmp_path / "mine", files)
    _, records, remarks = read(tmp_path)
    assert set(records) == {"x__1", "y__1"} and records["y__1"].mask.endswith("SegmentationClass/y/1.png")
    assert remarks == ""


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"obj.names": "cat\n", "obj_train_data/a.jpg": b""}, "YOLO 1.1 of an annotation tool: export again as"),
        ({"annotations.xml": "<annotations/>"}, "export again as 'COCO 1.0'"),
        ({"all/a.json": "{}"}, "'labelme2coco <folder>' makes COCO's annotations"),
        ({"images/a.jpg": b""}, "neither labels.csv nor classes.txt"),
    ],
)
def test_what_is_not_read_is_refused_with_the_step_that_helps(tmp_path, files, message):
    with pytest.raises(DataError, match=f"no data in a known layout.*{message}"):
        find_layout(write(tmp_path / "mine", files))


def test_one_image_in_train_and_val_is_refused_in_every_layout(tmp_path):
    own_folder(tmp_path / "table")
    write(tmp_path / "table", {"labels.csv": "image,split,labels\na,train,cat\na,val,cat\n"})
    own_voc(tmp_path / "voc")
    write(tmp_path / "voc", {"ImageSets/Segmentation/val.txt": "a\nc\n"})
    own_coco(tmp_path / "coco", "images")
    write(tmp_path / "coco", {"annotations/instances_val2014.json": coco_text("val", ["a"], [])})
    for name in ("table", "voc", "coco"):
        with pytest.raises(DataError, match=r"listed more than once: a \(in train and val\)|in train and in val: a"):
            read(tmp_path, name)


def test_everything_wrong_with_annotations_comes_in_one_list(tmp_path):
    source = own_coco(tmp_path / "mine", "images")
    content = json.loads((source / "annotations/instances_train2014.json").read_text())
    content["images"] += [
        {"id": 7, "file_name": "d.jpg", "height": None, "width": 12},
        {"id": 0, "file_name": "e.jpg", "height": 10, "width": 12},
        {"id": 8, "file_name": "gone.jpg", "height": 10, "width": 12},
        {"id": 9, "file_name": None, "height": 10, "width": 12},
        {"id": 10, "file_name": "/abs/f.jpg", "height": 10, "width": 12},
        "text",
    ]
    content["annotations"] += [shape(11, 0, 99, 3), shape(12, 55, 4, 3), {"id": 13}]
    write(source, {"annotations/instances_train2014.json": json.dumps(content), "images/b.jpg": jpeg(10, 12)[:-60]})
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    for text in (
        "entry 2 of 'images' cannot have the height None",
        "entry 3 of 'images' has the id 0, which another one has",
        "gone.jpg: no such image",
        "entry 5 of 'images' cannot have the file_name None",
        "'/abs/f.jpg' does not lie in",
        "entry 7 of 'images' lacks id, file_name, height, width",
        "annotation 11 has the unknown category 99",
        "annotations of images that it does not list: [55]",
        "entry 4 of 'annotations' lacks image_id, category_id",
        "b.jpg: corrupt",
    ):
        assert text in str(caught.value)
    assert len(str(caught.value).splitlines()) == 10


@pytest.mark.parametrize(
    "bad",
    [
        {"segmentation": [[1, 1, 5, 1]]},
        {"segmentation": [[1, 1, None, 1, 5, 5]]},
        {"segmentation": "text"},
        {"segmentation": [[1, 1, float("nan"), 1, 5, 5]]},
        {"segmentation": {"size": [3, 3], "counts": [9]}},
        {"segmentation": [[]]},
    ],
)
def test_bad_polygons_are_skipped_and_counted(tmp_path, bad):
    source = own_coco(tmp_path / "mine", "images", val=[shape(3, 0, 5, 3), {**shape(4, 0, 4, 6), **bad}])
    write(source, {"images/c.jpg": jpeg(10, 12)})
    _, records, remarks = read(tmp_path)
    assert records["c"].labels == ("big_dog", "cat")
    mask = decode_mask(tmp_path / "set" / records["c"].mask)
    assert (mask[1, 1], mask[5, 5], mask[8, 8]) == (2, 255, 0)
    assert "1 instances have no shape that can be painted" in remarks and "Images: c" in remarks


@pytest.mark.parametrize("box", [None, [1, 2], [0, 0, float("nan"), 3], ["1", 2, 3, 4], [0, 0, -1, 3], "text"])
def test_bad_boxes_are_left_out(tmp_path, box):
    own_coco(tmp_path / "mine", "images", val=[shape(3, 0, 5, 6, bbox=box)])
    _, records, _ = read(tmp_path)
    assert records["c"].boxes == () and records["c"].labels == ("cat",)


@pytest.mark.parametrize(("crowd", "value"), [("0", 2), ("1", 255), (0, 2), (1, 255), (None, 2), (False, 2)])
def test_crowds_as_text(tmp_path, crowd, value):
    own_coco(tmp_path / "mine", "images", val=[shape(3, 0, 5, 6, iscrowd=crowd)])
    _, records, _ = read(tmp_path)
    assert decode_mask(tmp_path / "set" / records["c"].mask)[2, 2] == value


def test_names_in_vocs_annotations(tmp_path):
    source = own_voc(tmp_path / "mine", names=("traffic light", "stop sign"), masks=False)
    assert read(tmp_path)[0].classes == ("stop_sign", "traffic_light")
    write(source, {"Annotations/a.xml": voc_xml("a", (10, 12), [("background", False, (1, 1, 2, 2))])})
    write(source, {"Annotations/b.xml": "no xml"})
    (source / "Annotations/c.xml").unlink()
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    for text in (
        "a.xml: an object cannot be named 'background'",
        "b.xml: not a PASCAL VOC",
        "c.xml: no such annotation",
    ):
        assert text in str(caught.value)


def test_data_without_a_training_image_or_a_label(tmp_path):
    source = own_folder(tmp_path / "mine")
    write(source, {"labels.csv": "image,split,labels\na,val,cat\nb,val,\n"})
    with pytest.raises(DataError, match="no image is in the split 'train'"):
        read(tmp_path)
    write(source, {"labels.csv": "image,split,labels\na,train,\nb,val,cat\n"})
    with pytest.raises(DataError, match="no image of the split 'train' has a label"):
        read(tmp_path)
    write(source, {"labels.csv": "image,split,labels\na,train,c1\nb,val,c1\n"})
    write(source, {"classes.txt": "".join(f"c{k}\n" for k in range(255))})
    with pytest.raises(DataError, match="255 classes; masks can number 254"):
        read(tmp_path)
