"""Measurements of explanations from image files to counts: whose class is explained, and what bad files do."""

import fnmatch
import json
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np
import pytest
import torch
from PIL import Image

from seedbed.data.index import DataIndex, Record, shard
from seedbed.data.shapes import make_shapes
from seedbed.errors import DataError, ParameterError
from seedbed.evaluate.merged_counts import merge_protocol
from seedbed.evaluate.protocols import erased_pixels, setting
from seedbed.evaluate.protocols.measured_shard import run_protocol
from seedbed.explain.call import explain
from seedbed.explain.heatmap_settings import HeatMapSettings
from seedbed.io.plain import from_plain
from seedbed.models import create_model
from seedbed.papers.measured import COUNTED, metrics

CPU = torch.device("cpu")

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def single(tmp_path_factory) -> DataIndex:
    root = tmp_path_factory.mktemp("single")
    return make_shapes(root, seed=3, size=48, train=2, trainaug=2, val=6, single_object=True)


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(1)
    model = create_model("vit_tiny_patch16_224", 6, img_size=48, patch_size=8, depth=2, embed_dim=16, num_heads=2)
    torch.nn.init.normal_(model.head.weight)  # random predictions that differ from image to image
    return model.eval()


def explainer(size=(48, 48), **changes) -> HeatMapSettings:
    values = {"method": "attention_guided_cam", "input": {"size": list(size), "normalize": "half"}, "fusion": "raw"}
    return from_plain(HeatMapSettings, {**values, "background": 0.5, "sweep": False, "batch_size": 4, **changes})


def measured(name, model, index, given=None, records=None, **options):
    counts = run_protocol(name, model, index, records or index.split("val"), given or explainer(), options, CPU)
    return merge_protocol(name, [counts])


OPTIONS = {"soft_segmentation": {}, "localization": {"wrong": "score"}, "abpc": {}, "peaks": {"wrong": "score"}}


NAMES = ("soft_segmentation", "localization", "peaks", "abpc", "perturbation", "instances", "noise", "equivariance")


@pytest.mark.parametrize("name", NAMES)
def test_a_measurement_yields_what_it_says(single, vit, name):
    found, told = set(measured(name, vit, single, **OPTIONS.get(name, {}))), metrics(name)
    assert {key for key in found if not any(fnmatchcase(key, pattern) for pattern in told)} == set()
    assert {pattern for pattern in told if not fnmatch.filter(found, pattern)} <= set(COUNTED)


@pytest.mark.parametrize(
    ("name", "default"), [("soft_segmentation", "predicted"), ("localization", "predicted"), ("abpc", "target")]
)
def test_the_explained_class_is_an_option_with_the_published_default(single, vit, name, default):
    published = measured(name, vit, single, **OPTIONS[name])
    both = {kind: measured(name, vit, single, explained=kind, **OPTIONS[name]) for kind in ("predicted", "target")}
    assert both[default] == published
    assert both["predicted"] != both["target"]
    with pytest.raises(ParameterError, match="Unknown class to explain 'labl'"):
        measured(name, vit, single, explained="labl")


def test_class_agnostic_maps_do_not_change_with_the_explained_class(single, vit):
    given = explainer(method="rollout")
    both = [measured("abpc", vit, single, given, explained=kind) for kind in ("predicted", "target")]
    assert both[0] == both[1]
    perturbed = measured("perturbation", vit, single, given)
    assert perturbed["auc_positive_predicted"] == perturbed["auc_positive_target"]


def test_wrong_predictions_are_left_out_and_counted(single, vit):
    published, all_scored = measured("localization", vit, single), measured("localization", vit, single, wrong="score")
    assert published["skipped"] > 0
    assert published["skipped"] + published["images"] == all_scored["images"] == 6


def test_undefined_maps_of_gradcam_are_counted(single, vit):
    """GradCAM is 0/0 where no patch speaks for the class."""
    result = measured("perturbation", vit, single, explainer(method="gradcam"))
    assert result["undefined_maps_predicted"] + result["undefined_maps_target"] > 0
    skipped = measured("perturbation", vit, single, explainer(method="gradcam"), undefined="skip")
    assert skipped["images_predicted"] == 6 - result["undefined_maps_predicted"]


@pytest.mark.parametrize("undefined", ["largest", "skip"])
def test_maps_that_both_classes_share_are_erased_once_and_counted_for_both(single, vit, undefined, monkeypatch):
    given = explainer(method="gradcam")
    once = measured("perturbation", vit, single, given, undefined=undefined)
    monkeypatch.setattr(erased_pixels, "_alike", lambda one, other: torch.zeros(len(one), dtype=torch.bool))
    twice = measured("perturbation", vit, single, given, undefined=undefined)
    assert once.keys() == twice.keys() and once["curve_positive_target"] == twice["curve_positive_target"]
    for name, value in twice.items():
        assert once[name] == pytest.approx(value, abs=1e-5), name


def test_labels_must_be_classes_of_the_network(single):
    imagenet = create_model("vit_tiny_patch16_224", 9, img_size=48, patch_size=8, depth=1, embed_dim=8, num_heads=1)
    assert measured("soft_segmentation", imagenet, single)["images"] == 6  # the predicted class needs no mapping
    for name in ("abpc", "perturbation"):
        with pytest.raises(DataError, match="the network has 9 classes and the data set 6; a label is no class index"):
            measured(name, imagenet, single)


def test_a_wrong_image_size_is_named(single, vit):
    with pytest.raises(ParameterError, match=r"does not take the explainer's input size \(32, 32\): .*48"):
        measured("soft_segmentation", vit, single, explainer(size=(32, 32)))
    with pytest.raises(ParameterError, match="needs an explainer with an input size"):
        measured("abpc", vit, single, explainer(input={"normalize": "half"}))


def written(tmp_path, kind: str) -> DataIndex:
    """One grey image of 40 x 56 pixels as a file of some kind, and its mask and box."""
    wave = np.add.outer(np.arange(40) * 3, np.arange(56) * 2).astype(np.uint8)
    mask = (wave > 120).astype(np.uint8)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    picture, path, more = Image.fromarray(wave), tmp_path / "one.png", {}
    match kind:
        case "rgb":
            picture = picture.convert("RGB")
        case "cmyk":
            path, picture = (
                tmp_path / "one.tif",
                Image.merge("CMYK", [Image.fromarray(255 - wave)] * 3 + [Image.new("L", (56, 40))]),
            )
        case "16 bit":
            picture = Image.fromarray(wave.astype(np.uint16) * 257)
        case "rotated":
            picture = picture.convert("RGB").transpose(Image.Transpose.ROTATE_90)
            exif = Image.Exif()
            exif[0x0112] = 6  # to be turned a quarter clockwise
            more = {"exif": exif}
    picture.save(path, **more)
    return DataIndex(tmp_path, tuple("abcdef"), (Record("one", ("val",), ("a",), path.name, "mask.png", (40, 56)),))


@pytest.mark.parametrize("kind", ["greyscale", "cmyk", "16 bit", "rotated"])
def test_unusual_files_are_measured_as_what_they_show(tmp_path, vit, kind):
    for folder in ("plain", "odd"):
        (tmp_path / folder).mkdir()
    plain, odd = written(tmp_path / "plain", "rgb"), written(tmp_path / "odd", kind)
    for name in ("soft_segmentation", "abpc"):
        assert measured(name, vit, odd) == measured(name, vit, plain)


def test_an_empty_file_is_named(tmp_path, vit):
    index = written(tmp_path, "rgb")
    (tmp_path / "one.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"one\.png: the file is empty\. Fetch it again"):
        measured("soft_segmentation", vit, index)


def test_a_picture_without_a_box_or_with_several_labels_is_named(tmp_path, shapes, vit):
    with pytest.raises(DataError, match="image 'one' has no box"):
        measured("localization", vit, written(tmp_path, "rgb"), wrong="score")
    many = [record for record in shapes.records if len(set(record.labels)) > 1]
    with pytest.raises(DataError, match=rf"image '{many[0].image}' has \d labels; the protocol needs one"):
        measured("abpc", vit, shapes, records=many)


def test_instances_are_measured_at_the_pictures_size_however_maps_are_stored(single, vit):
    usual, coarse = (explainer(fusion="min_max", store_stride=stride) for stride in (1, 4))
    assert measured("instances", vit, single, usual) == measured("instances", vit, single, coarse)


@pytest.mark.parametrize(
    ("name", "method", "options"),
    [
        ("soft_segmentation", "attention_guided_cam", {}),
        ("localization", "attention_guided_cam", {}),
        ("abpc", "attention_guided_cam", {}),
        ("perturbation", "gradcam", {"undefined": "skip"}),
        ("noise", "attention_guided_cam", {"levels": [0.1, 0.2], "repeats": 2}),
        ("equivariance", "attention_guided_cam", {"scales": [0.7], "shifts": [0.1]}),
        ("instances", "attention_guided_cam", {"medium": [10, 100], "large": [100, 9216]}),
    ],
)
def test_a_measurement_goes_on_from_what_was_counted_before(single, vit, name, method, options):
    """Blocks of two images, counted by one call or by three: the same bits."""
    records, given = single.split("val"), explainer(method=method, batch_size=4)
    whole = run_protocol(name, vit, single, records, given, options, CPU, block=2)
    begun = None
    for start in (0, 2, 4):
        kept = json.loads(json.dumps(begun))  # as an interrupted job leaves it
        part = iter(records[start : start + 2])
        begun = run_protocol(name, vit, single, part, given, options, CPU, block=2, begun=kept)
    assert json.dumps(begun) == json.dumps(whole)


@pytest.mark.parametrize("shards", [3, 5])
def test_shards_change_no_bit_of_how_maps_follow_changes(single, vit, shards):
    records, given = single.split("val"), explainer(method="gradcam", batch_size=4)
    whole = run_protocol("equivariance", vit, single, records, given, {}, CPU, block=1)
    parts = [shard(records, number, shards) for number in range(1, shards + 1)]
    counts = [run_protocol("equivariance", vit, single, part, given, {}, CPU, block=1) for part in parts]
    assert json.dumps(merge_protocol("equivariance", counts)) == json.dumps(merge_protocol("equivariance", [whole]))
    with pytest.raises(DataError, match=r"different changes\. Make them again"):
        merge_protocol("equivariance", [counts[0], {**counts[1], "seed": 1}])


def test_an_image_without_a_class_is_left_out(single, vit):
    bare = [replace(record, labels=()) if place == 2 else record for place, record in enumerate(single.split("val"))]
    assert measured("equivariance", vit, single, records=bare)["images"] == 5


def test_only_maps_are_made_in_the_explainers_precision(single, vit, monkeypatch):
    seen = []

    def watched(model, images, *others, **options):
        seen.append(next(model.parameters()).dtype)
        return explain(model, images, *others, **options)

    monkeypatch.setattr(setting, "explain", watched)
    found = measured("localization", vit, single, explainer(precision="float64"), wrong="score")
    assert seen and set(seen) == {torch.float64} and next(vit.parameters()).dtype == torch.float32
    assert found["images"] == 6
