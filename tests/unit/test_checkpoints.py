"""Published checkpoints in place of training: strict, safe, and under names of their own."""

import argparse
import pickle

import pytest
import torch
from test_params import config

from seedbed.errors import DataError, ParameterError
from seedbed.io.provenance import file_sha256
from seedbed.models import create_model
from seedbed.models.checkpoints import adopt_checkpoint
from seedbed.papers import Layout
from seedbed.papers.plan import checkpoint_records, histories, measure, seeds_of
from seedbed.params import resolve
from seedbed.params.stages import AffinityNetwork, Classifier, Segmenter
from seedbed.plan.describe import checkpoint_note

TRAIN = {"augment": [], "loss": "x", "lr": 1, "batch_size": 1, "epochs": 1}
CONFORMER = {"width": 32, "embed_dim": 24, "depth": 3, "num_heads": 2}
CHAIN = {"dataset": "shapes", "split": "val", "model": "vit", "explainer": "maps", "refiner": "walk", "metric": "miou"}


def classifier(path, architecture="resnet38_tiny", **more):
    given = path if isinstance(path, dict) else str(path)
    return Classifier(architecture=architecture, input={"normalize": "imagenet"}, checkpoint=given, **more)


@pytest.fixture
def resnet(tmp_path):
    """PSA's layout: a bare state dictionary in a pickle."""
    torch.manual_seed(3)
    tensors = create_model("resnet38_tiny", 4).state_dict()
    torch.save(tensors, tmp_path / "res38_cls.pth")
    return tmp_path / "res38_cls.pth", tensors


def same(model, tensors):
    return all(torch.equal(tensor, tensors[name]) for name, tensor in model.state_dict().items())


def test_a_classifier_is_loaded_whole_and_recorded(resnet):
    path, tensors = resnet
    model, record = adopt_checkpoint(classifier(path), "resnet38_cam-checkpoint", "voc12", 4)
    assert same(model, tensors)
    assert record["sha256"] == file_sha256(path) and record["bytes"] == path.stat().st_size
    note = checkpoint_note(record)
    assert "resnet38_cam-checkpoint on voc12" in note and record["sha256"] in note and "not trained here" in note


@pytest.mark.parametrize(
    ("name", "options"), [("mctformerv2_tiny", {}), ("mctformer_plus_small", {"embed_dim": 24, "depth": 2})]
)
def test_mctformers_and_data_parallels_nesting(tmp_path, name, options):
    tensors = create_model(name, 3, **options).state_dict()
    nested = {"model": {f"module.{name}": tensor for name, tensor in tensors.items()}, "args": argparse.Namespace(lr=1)}
    torch.save(nested, tmp_path / "MCTformer.pth")
    section = classifier(tmp_path / "MCTformer.pth", name, options=options)
    model, _ = adopt_checkpoint(section, "m", "voc12", 3)
    assert same(model, tensors)


def test_a_subtree_of_a_checkpoint_and_what_was_taken(tmp_path):
    torch.manual_seed(3)
    student, teacher = (create_model("resnet38_tiny", 4).state_dict() for _ in range(2))
    torch.save({"student": student, "teacher": teacher}, tmp_path / "both.pth")
    model, record = adopt_checkpoint(classifier(tmp_path / "both.pth"), "m", "voc12", 4)
    assert same(model, teacher) and record["taken"] == "teacher"
    section = classifier({"path": str(tmp_path / "both.pth"), "subtree": "student"})
    model, record = adopt_checkpoint(section, "m", "voc12", 4)
    assert same(model, student) and record["taken"] == "student"
    assert "its entry student" in checkpoint_note(record)


def test_transcams_background_output_is_left_out(tmp_path):
    torch.manual_seed(1)
    published = create_model("conformer_small", 4, **CONFORMER)
    torch.save(published.state_dict(), tmp_path / "transcam.pth")
    section = classifier(tmp_path / "transcam.pth", "conformer_small", options=CONFORMER)
    model, _ = adopt_checkpoint(section, "conformer-checkpoint", "voc12", 3)
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        theirs, ours = published.eval()(images), model.eval()(images)
    torch.testing.assert_close(ours.conv_maps, theirs.conv_maps[:, 1:])
    torch.testing.assert_close(ours.trans_logits, theirs.trans_logits[:, 1:])


def test_affinity_networks_and_segmenters(tmp_path):
    network = create_model("affinitynet_resnet38_tiny")
    torch.save(network.state_dict(), tmp_path / "res38_aff.pth")
    labels = {"crf": "c", "alpha_low": 4, "alpha_high": 32, "rule": "psa"}
    common = {"input": {"normalize": "imagenet"}, "train": TRAIN}
    section = AffinityNetwork(
        architecture="affinitynet_resnet38_tiny", labels=labels, checkpoint=f"{tmp_path}/res38_aff.pth", **common
    )
    assert same(adopt_checkpoint(section, "psa-checkpoint", "voc12", 3)[0], network.state_dict())
    deeplab = create_model("deeplab_v1_resnet38_tiny", 4)
    torch.save(deeplab.state_dict(), tmp_path / "deeplab.pth")
    section = Segmenter(architecture="deeplab_v1_resnet38_tiny", checkpoint=f"{tmp_path}/deeplab.pth", **common)
    assert same(adopt_checkpoint(section, "deeplab-checkpoint", "voc12", 3)[0], deeplab.state_dict())


def test_other_classes_are_refused_with_the_remedy(resnet):
    with pytest.raises(DataError, match=r"coco14.*fc8\.weight is \(4, .*checkpoint\.dataset"):
        adopt_checkpoint(classifier(resnet[0]), "resnet38_cam-checkpoint", "coco14", 9)


def test_a_layout_that_leaves_layers_fresh_is_no_checkpoint(resnet):
    section = classifier(resnet[0])
    section = section.model_copy(
        update={"checkpoint": section.checkpoint.model_copy(update={"layout": "resnet38_backbone"})}
    )
    with pytest.raises(DataError, match=r"leaves fc8\.weight.*untrained"):
        adopt_checkpoint(section, "n", "voc12", 4)


class Malicious:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"model": Malicious()}))
    with pytest.raises(DataError, match=r"evil\.pth"):
        adopt_checkpoint(classifier(path), "n", "voc12", 4)


def preset(**checkpoints):
    return resolve(config(seeds=[0, 1], **checkpoints))


def measured(found, **names):
    return measure({**CHAIN, **names}, found, "here")[0]


def test_a_checkpoint_stands_beside_the_trained_network():
    found = preset(models__vit__checkpoint="/v.pth")
    cell = measured(found, stage="masks")
    assert (cell.model, cell.refiner) == ("vit-checkpoint", "walk")
    assert found.models["vit"].checkpoint is None and found.models["vit-checkpoint"].checkpoint.path == "/v.pth"
    assert set(histories(cell, found, Layout("small"), 0)) == {"net"} and seeds_of(cell, found, found.seeds) == [0, 1]
    assert checkpoint_records(cell, found, Layout("small"), 0) == [
        "results/small/classifiers/shapes/vit-checkpoint/seed0/checkpoint.json"
    ]
    assert seeds_of(measured(found, stage="heatmaps"), found, found.seeds) == [0]


def test_a_networks_checkpoint_renames_the_refiners_that_walk_on_it():
    found = preset(affinity_networks__net__checkpoint="/a.pth")
    cell = measured(found, stage="masks")
    assert (cell.model, cell.refiner) == ("vit", "walk-checkpoint")
    assert set(histories(cell, found, Layout("small"), 0)) == {"vit"}
    assert not hasattr(measured(found, stage="heatmaps", refiner="argmax"), "refiner")


def test_a_segmenters_checkpoint_needs_nothing_else_trained():
    found = preset(segmenters__deeplab__checkpoint="/s.pth")
    cell = measured(found, stage="segmentation", segmenter="deeplab")
    assert cell.segmenter == "deeplab-checkpoint" and seeds_of(cell, found, found.seeds) == [0]
    assert histories(cell, found, Layout("small"), 0) == {}
    (record,) = checkpoint_records(cell, found, Layout("small"), 0)
    assert record.endswith("deeplab-checkpoint/seed0/checkpoint.json")


def test_a_checkpoint_may_be_for_one_data_set_alone():
    data = {"shapes": config()["presets"]["small"]["datasets"]["shapes"]}
    more = {"datasets": {**data, "others": data["shapes"]}}
    found = preset(models__vit__checkpoint={"path": "/v.pth", "dataset": "others"}, **more)
    assert measured(found, stage="heatmaps").model == "vit"
    assert measured(found, stage="heatmaps", dataset="others").model == "vit-checkpoint"


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ({"models__vit__checkpoint": {"path": "/v", "dataset": "shape"}}, r"checkpoint\.dataset: .*'shape'.*'shapes'"),
        ({"models__vit__per_dataset": {"shapes": {"checkpoint": "/v"}}}, "a checkpoint names its data set itself"),
        ({"models__vit__checkpoint": {"file": "/v"}}, r"vit\.checkpoint\.path: Field required"),
        ({"models__vti__checkpoint": "/v"}, "'vti'.*'vit'"),
    ],
)
def test_mistakes_are_named(overrides, problem):
    with pytest.raises(ParameterError, match=problem):
        preset(**overrides)
