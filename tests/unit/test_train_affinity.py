"""Affinity networks: what they are taught, and how."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seedbed.data.images import read_mask, read_picture
from seedbed.data.index import DataIndex
from seedbed.data.normalise import normalise
from seedbed.errors import DataError
from seedbed.io.heatmaps import HeatMaps, HeatMapStore, write_heatmaps
from seedbed.io.weights import write_weights
from seedbed.models import create_model
from seedbed.params.stages import AffinityNetwork
from seedbed.refine.losses import affinity_loss
from seedbed.refine.pairs import affinity_labels
from seedbed.train.affinity import AffinityObjective, ConfidentPictures, build_affinity_network, train_affinity_network

CPU = torch.device("cpu")
TRAIN = {
    "augment": [{"horizontal_flip": 0.5}],
    "loss": "affinity",
    "loss_options": {"eps": 1e-6},
    "lr": 0.01,
    "batch_size": 4,
    "epochs": 1,
    "loader_workers": 0,
}


def settings(train=None, **changes):
    values = {
        "architecture": "affinitynet_hybrid_tiny",
        "stride": 4,
        "labels": {"crf": "any", "alpha_low": 2, "alpha_high": 8, "rule": "vit_affinity"},
        "input": {"normalize": "half"},
        "train": {**TRAIN, **(train or {})},
    }
    return AffinityNetwork.model_validate({**values, **changes})


def posteriors(index, size=(48, 48)):
    """Posteriors that are sure of the ground truth; void is background to the low run and an object to the high one."""
    low, high = {}, {}
    for record in index.records:
        mask = read_mask(index.root / record.mask, record.size, len(index.classes))
        classes = index.class_indices(record)
        for void, store in ((0, low), (1 + classes[0], high)):
            label = np.where(mask == 255, void, mask)
            maps = np.stack([label == value for value in (0, *(k + 1 for k in classes))]).astype(np.float32)
            step = 48 // size[0]
            store[record.image] = HeatMaps(np.array([-1, *classes]), maps[:, ::step, ::step], record.size)
    return low, high


def train(index, given, tmp_path, stores=None, seed=0, weights=None):
    options = {"state_path": tmp_path / "resume.pt", "fingerprint": {}, "device": CPU}
    return train_affinity_network(index, *(stores or posteriors(index)), given, seed=seed, weights=weights, **options)


def equal(one, other):
    first, second = one.state_dict(), other.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def pictures(index, given, stores=None):
    return ConfidentPictures(index, index.records, *(stores or posteriors(index)), given)


def test_labels_are_what_both_runs_are_sure_of(shapes):
    """Pure cells of four by four pixels carry their label: its channel, so 0 for background; void is undecided."""
    data = pictures(shapes, settings({"augment": []}))
    for position, record in enumerate(shapes.records):
        pixels, label = data[position, 0]
        picture = torch.from_numpy(read_picture(shapes.root / record.path).copy()).permute(2, 0, 1)
        torch.testing.assert_close(pixels, normalise(picture, "half"))
        assert (label.dtype, label.shape) == (torch.int64, (12, 12))
        mask = read_mask(shapes.root / record.mask, record.size, len(shapes.classes))
        channel = {0: 0} | {k + 1: number for number, k in enumerate(shapes.class_indices(record), start=1)}
        cells = mask.reshape(12, 4, 12, 4).transpose(0, 2, 1, 3).reshape(12, 12, 16)
        pure = (cells == cells[..., :1]).all(-1)
        channel[255] = 255
        assert label.numpy()[pure].tolist() == [channel[value] for value in cells[pure][:, 0].tolist()]


def test_picture_and_labels_are_mirrored_together(shapes):
    plain = pictures(shapes, settings({"augment": []}))[2, 0]
    seen = set()
    for seed in range(12):
        pixels, label = pictures(shapes, settings())[2, seed]
        turned = not torch.equal(pixels, plain[0])
        seen.add(turned)
        assert torch.equal(pixels, plain[0].flip(-1) if turned else plain[0])
        assert torch.equal(label, plain[1].flip(-1) if turned else plain[1])
    assert seen == {True, False}


def test_padding_is_black_and_undecided(shapes):
    given = settings({"augment": [{"crop": 64}]}, labels={"crf": "c", "alpha_low": 4, "alpha_high": 32, "rule": "psa"})
    pixels, label = pictures(shapes, given)[0, 3]
    assert pixels.shape == (3, 64, 64)
    padded = (pixels == -1).all(0)
    assert int(padded.sum()) >= 64 * 64 - 48 * 48
    cells = padded.reshape(16, 4, 16, 4).permute(0, 2, 1, 3).flatten(2).all(-1)
    assert (label[cells] == 255).all()


@pytest.mark.parametrize("rule", ["psa", "vit_affinity", "transcam"])
def test_an_image_too_small_for_a_pair_is_laid_on_black(shapes, rule):
    """16 x 20 pixels are 4 x 5 cells: a margin of 4 cells around them, undecided whatever the rule, gives all pairs."""
    record = shapes.records[0]
    labels = {"crf": "c", "alpha_low": 4, "alpha_high": 32, "rule": rule}
    given = settings({"augment": [{"resize": [16, 20]}]}, labels=labels)
    pixels, label = pictures(shapes, given)[0, 3]
    assert pixels.shape == (3, 32, 52) and label.shape == (8, 13)
    inner = torch.zeros(8, 13, dtype=torch.bool)
    inner[:4, 4:9] = True
    assert (label[~inner] == 255).all() and (label[inner] != 255).any()
    outer = ~inner.repeat_interleave(4, 0).repeat_interleave(4, 1)
    assert (pixels[:, outer] == -1).all() and (pixels[:, ~outer] != -1).any()
    assert record.labels and sum(int(part.sum()) for part in affinity_labels(label, 5)) > 0


def test_images_of_several_sizes_share_a_batch_after_a_crop_alone(shapes, tmp_path):
    sizes = dict(
        zip((record.image for record in shapes.records), ((48, 48), (20, 31), (40, 24), (8, 8)) * 99, strict=False)
    )
    for image, size in sizes.items():
        path = shapes.root / next(record.path for record in shapes.records if record.image == image)
        (tmp_path / path.name).write_bytes(path.read_bytes())
        Image.open(path).resize(size[::-1]).save(tmp_path / path.name)
    records = tuple(replace(r, path=str(tmp_path / Path(r.path).name), size=sizes[r.image]) for r in shapes.records)
    index, stores = DataIndex(shapes.root, shapes.classes, records), posteriors(shapes)

    def trained(name, **changes):
        given = settings(changes, architecture="affinitynet_resnet38_tiny", stride=8)
        return train(index, given, tmp_path / name, stores).history.rows

    assert trained("a", augment=[{"crop": 48}]) and trained("b", augment=[], batch_size=1)
    for workers in (0, 1):
        with pytest.raises(DataError, match=r"^Images of \d+ x \d+ and of \d+ x \d+ pixels cannot share.*crop: 96"):
            trained("c", augment=[], loader_workers=workers)


def test_colours_change_the_picture_alone(shapes):
    plain = pictures(shapes, settings({"augment": []}))[1, 5]
    coloured = pictures(shapes, settings({"augment": []}, photometric=[{"color_jitter": [0.4] * 3}]))[1, 5]
    assert not torch.equal(coloured[0], plain[0])
    assert torch.equal(coloured[1], plain[1])


def test_posteriors_stored_smaller_are_enlarged(shapes):
    stores = posteriors(shapes, (24, 24))
    _, label = pictures(shapes, settings({"augment": []}), stores)[0, 0]
    _, whole = pictures(shapes, settings({"augment": []}))[0, 0]
    assert label.shape == whole.shape
    assert float((label == whole).float().mean()) > 0.6


def test_the_objective_is_the_affinity_loss(shapes):
    data = pictures(shapes, settings())
    batch = tuple(torch.stack(parts) for parts in zip(*(data[k, k] for k in range(3)), strict=True))
    model = create_model("affinitynet_hybrid_tiny")
    loss, parts = AffinityObjective(5, eps=1e-6)(model, batch)
    labels = affinity_labels(batch[1], 5)
    expected = affinity_loss(model(batch[0]).pairs, *labels, eps=1e-6)
    assert float(loss.detach()) == pytest.approx(float(expected.total.detach()))
    assert set(parts) == {"background", "foreground", "negative"}
    mixed = parts["background"] / 4 + parts["foreground"] / 4 + parts["negative"] / 2
    torch.testing.assert_close(loss.detach(), mixed)
    assert not any(part.requires_grad for part in parts.values())


def test_training_is_a_function_of_seed_and_settings(shapes, tmp_path):
    first = train(shapes, settings(), tmp_path / "a")
    paths = (tmp_path / "low.h5", tmp_path / "high.h5")
    for path, store in zip(paths, posteriors(shapes), strict=True):
        write_heatmaps(path, store.items(), {})
    stores = tuple(HeatMapStore([path]) for path in paths)
    again = train(shapes, settings({"loader_workers": 2}), tmp_path / "b", stores=stores)
    other = train(shapes, settings(), tmp_path / "c", seed=1)
    assert equal(first.model, again.model)
    assert first.history == again.history
    assert not equal(first.model, other.model)


def test_training_lowers_the_loss(shapes, tmp_path):
    rows = train(shapes, settings({"epochs": 15, "log_every": 2}), tmp_path).history.rows
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]


def test_only_pictures_with_a_class_are_trained_on(shapes, tmp_path):
    bare = {record.image for record in shapes.split("trainaug")[:4]}
    records = tuple(replace(r, labels=()) if r.image in bare else r for r in shapes.records)
    low, high = posteriors(shapes)
    stores = tuple({image: maps for image, maps in store.items() if image not in bare} for store in (low, high))
    index = DataIndex(shapes.root, shapes.classes, records)
    assert train(index, settings(), tmp_path, stores=stores).history.rows[-1]["step"] == 1
    empty = DataIndex(shapes.root, shapes.classes, tuple(replace(r, labels=()) for r in shapes.records))
    with pytest.raises(DataError, match="Split 'trainaug': no image has a label"):
        train(empty, settings(), tmp_path, stores=stores)


def test_weights_fill_a_part_of_the_network(tmp_path):
    other = build_affinity_network(settings(), 1, None)
    part = next(name for name, module in other.named_children() if any(True for _ in module.parameters()))
    write_weights(tmp_path / "w.safetensors", other.get_submodule(part).state_dict(), {})
    model = build_affinity_network(settings(weights_options={"into": part}), 0, tmp_path / "w.safetensors")
    assert equal(model.get_submodule(part), other.get_submodule(part))
    assert not equal(model, other)
    assert equal(build_affinity_network(settings(), 0, None), build_affinity_network(settings(), 0, None))
