"""Classifiers: built, started from weights, trained on a tiny data set, and asked for scores."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from seedbed.data.images import read_picture
from seedbed.data.index import DataIndex
from seedbed.data.views import view
from seedbed.errors import DataError, ParameterError
from seedbed.evaluate.classification import label_matrix, predict_scores
from seedbed.io.weights import write_weights
from seedbed.params.stages import Classifier, Input
from seedbed.train.classifier import build_classifier, load_into, train_classifier

CPU = torch.device("cpu")
OPTIONS = {"img_size": 48, "patch_size": 8, "depth": 1, "embed_dim": 16, "num_heads": 2, "proj_drop_rate": 0.2}
TRAIN = {
    "augment": [{"horizontal_flip": 0.5}, {"shift": 4}, {"normalize": "half"}],
    "loss": "multilabel_soft_margin",
    "lr": 0.01,
    "batch_size": 4,
    "epochs": 3,
    "loader_workers": 0,
}


def settings(train=None, **changes):
    values = {
        "architecture": "vit_tiny_patch16_224",
        "options": OPTIONS,
        "input": {"size": [48, 48], "normalize": "half"},
    }
    return Classifier.model_validate({**values, "train": None if train is None else {**TRAIN, **train}, **changes})


def train(index, given, tmp_path, seed=0, weights=None):
    options = {"state_path": tmp_path / "resume.pt", "fingerprint": {}, "device": CPU}
    return train_classifier(index, given, seed=seed, weights=weights, **options)


def tensors(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_training_is_a_function_of_seed_and_settings(shapes, tmp_path):
    first = train(shapes, settings({}), tmp_path / "a")
    again = train(shapes, settings({"loader_workers": 1}), tmp_path / "b")
    other = train(shapes, settings({}), tmp_path / "c", seed=1)
    assert equal(tensors(first.model), tensors(again.model))
    assert first.history == again.history
    assert not equal(tensors(first.model), tensors(other.model))


def test_training_learns(shapes, tmp_path):
    trained = train(shapes, settings({"epochs": 50, "log_every": 2, "augment": [{"normalize": "half"}]}), tmp_path)
    losses = [row["loss"] for row in trained.history.rows]
    assert losses[-1] < 0.7 * losses[0]


def test_the_named_split_is_trained_on(shapes, tmp_path):
    for split, steps in (("train", 1), ("trainaug", 2)):
        rows = train(shapes, settings({"split": split, "epochs": 1}), tmp_path / split).history.rows
        assert rows[-1]["step"] == steps
    with pytest.raises(DataError, match=r"Unknown split 'trian'. Did you mean 'train'"):
        train(shapes, settings({"split": "trian"}), tmp_path / "x")


def test_the_first_values_come_from_the_seed():
    one, same, other = (tensors(build_classifier(settings(), 6, seed, None)) for seed in (0, 0, 1))
    assert equal(one, same)
    assert not equal(one, other)
    assert one["head.weight"].shape == (6, 16)


def test_weights_of_other_classes_leave_the_head_fresh(tmp_path):
    pretrained = build_classifier(settings(), 3, 5, None)
    write_weights(tmp_path / "w.safetensors", pretrained.state_dict(), {})
    model = tensors(build_classifier(settings(), 6, 0, tmp_path / "w.safetensors"))
    fresh = tensors(build_classifier(settings(), 6, 0, None))
    for name, tensor in tensors(pretrained).items():
        assert torch.equal(model[name], fresh[name] if name.startswith("head.") else tensor)


def test_weights_of_the_same_classes_bring_their_head(tmp_path):
    pretrained = build_classifier(settings(), 6, 5, None)
    write_weights(tmp_path / "w.safetensors", pretrained.state_dict(), {})
    assert equal(tensors(build_classifier(settings(), 6, 0, tmp_path / "w.safetensors")), tensors(pretrained))


def test_weights_of_another_network_are_refused(tmp_path):
    write_weights(tmp_path / "w.safetensors", build_classifier(settings(), 6, 5, None).state_dict(), {})
    wider = settings(options={**OPTIONS, "embed_dim": 32})
    with pytest.raises(DataError, match=r"w\.safetensors"):
        build_classifier(wider, 6, 0, tmp_path / "w.safetensors")


def test_weights_of_a_part(tmp_path):
    model = build_classifier(settings(), 6, 0, None)
    other = build_classifier(settings(), 6, 1, None)
    write_weights(tmp_path / "w.safetensors", other.blocks[0].state_dict(), {})
    load_into(model, tmp_path / "w.safetensors", into="blocks.0")
    assert equal(tensors(model.blocks), tensors(other.blocks))
    assert not equal(tensors(model), tensors(other))
    with pytest.raises(ParameterError, match=r"Unknown module of VisionTransformer 'block.0'. Did you mean 'blocks.0'"):
        load_into(model, tmp_path / "w.safetensors", into="block.0")


def without_labels(index, images):
    records = tuple(replace(record, labels=()) if record.image in images else record for record in index.records)
    return DataIndex(index.root, index.classes, records)


def test_pictures_without_labels(shapes, tmp_path):
    bare = without_labels(shapes, {record.image for record in shapes.records})
    with pytest.raises(DataError, match="Split 'trainaug': no image has a label"):
        train(bare, settings({}), tmp_path)
    some = without_labels(shapes, {shapes.split("trainaug")[0].image})
    assert train(some, settings({"epochs": 1}), tmp_path).history.rows


def test_single_labels_are_required_where_the_loss_needs_them(shapes, tmp_path):
    several = next(record for record in shapes.split("trainaug") if len(record.labels) != 1)
    problem = rf"Split 'trainaug': image '{several.image}' has {len(several.labels)} labels, but this loss wants one"
    with pytest.raises(DataError, match=problem):
        train(shapes, settings({"loss": "cross_entropy"}), tmp_path)
    records = tuple(replace(record, labels=record.labels[:1]) for record in shapes.records)
    single = DataIndex(shapes.root, shapes.classes, records)
    assert train(single, settings({"loss": "cross_entropy", "epochs": 1}), tmp_path).history.rows


def test_a_network_of_another_size_than_its_training_images(shapes, tmp_path):
    given = settings({}, options={**OPTIONS, "img_size": [32, 64]})
    with pytest.raises(ParameterError, match=r"vit_tiny_patch16_224: Input height.*resize: \[96, 96\]"):
        train(shapes, given, tmp_path)
    hybrid = settings({}, architecture="vit_tiny_r_s8", options={"img_size": [32, 72]})
    with pytest.raises(ParameterError, match=r"vit_tiny_r_s8: its positions are for .* 32 x 72 pixels, not of 48 x 48"):
        train(shapes, hybrid, tmp_path)
    with pytest.raises(ParameterError, match=r"positions are for images of 32 x 72.*Set its input\.size"):
        predict_scores(build_classifier(hybrid, 6, 0, None), shapes, shapes.records, hybrid.input, CPU)


def test_settings_without_training(shapes, tmp_path):
    with pytest.raises(ParameterError, match="vit_tiny_patch16_224: has no section `train`"):
        train(shapes, settings(), tmp_path)


@pytest.mark.parametrize("batch", [1, 5, 32])
def test_scores_are_those_of_each_picture_alone(shapes, batch):
    model = build_classifier(settings(), 6, 0, None)
    records = shapes.records[::-1]
    scores = predict_scores(model, shapes, records, settings().input, CPU, batch=batch)
    assert (scores.shape, scores.dtype) == ((12, 6), torch.float32)
    for row, record in zip(scores, records, strict=True):
        pixels = view(read_picture(shapes.root / record.path), size=(48, 48), normalisation="half")
        with torch.no_grad():
            torch.testing.assert_close(row, model.eval()(pixels[None])[0], rtol=0, atol=1e-5)


def test_scores_of_pictures_of_different_sizes(shapes, monkeypatch):
    sizes = iter([(8, 8), (8, 8), (8, 12), (8, 8)] * 3)
    pictures = {
        record.path: np.full((*next(sizes), 3), number, np.uint8) for number, record in enumerate(shapes.records)
    }
    monkeypatch.setattr(
        "seedbed.evaluate.classification.read_picture", lambda path: pictures[str(path.relative_to(shapes.root))]
    )

    class Mean(torch.nn.Module):
        def forward(self, pictures):
            return SimpleNamespace(logits=pictures.mean((2, 3)), more=None)

    chosen = Input(size=None, normalize="half")
    scores = predict_scores(Mean(), shapes, shapes.records, chosen, CPU, batch=3)
    expected = [[(number / 255 - 0.5) / 0.5] * 3 for number in range(12)]
    torch.testing.assert_close(scores, torch.tensor(expected), rtol=0, atol=1e-6)


def test_label_matrix(shapes):
    matrix = label_matrix(shapes, shapes.records)
    assert (matrix.dtype, matrix.shape) == (torch.bool, (12, 6))
    for row, record in zip(matrix, shapes.records, strict=True):
        assert {shapes.classes[k] for k in row.nonzero().flatten().tolist()} == set(record.labels)
