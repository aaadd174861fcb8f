"""IRN: affinities along paths, the network, its published names, labels, the walk within boundaries; by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed.errors import DataError, ParameterError
from seedbed.io.heatmaps import HeatMaps
from seedbed.io.weights import write_weights
from seedbed.models import create_model, load_weights
from seedbed.models.pair_affinity import pair_offsets
from seedbed.models.path_affinity import path_affinities, path_cells
from seedbed.params.stages import AffinityLabels, AffinityNetwork
from seedbed.refine.boundary_walk import Boundaries, BoundedWalk, boundary_matrix
from seedbed.refine.boundary_walk_masks import BoundaryWalk
from seedbed.refine.confident import confident_labels_from_scores
from seedbed.refine.crf_labels import label_crf
from seedbed.refine.posteriors import confident_posteriors
from seedbed.refine.refiners import Given, build_refiner
from seedbed.settings.dense_crf import CrfSettings
from seedbed.train.affinity import AffinityObjective, ConfidentPictures, train_affinity_network

torch.set_num_threads(1)
CPU = torch.device("cpu")
TINY = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]}
CRF = CrfSettings(1.5, 3, 25, 7, 6, iterations=2)
WALK = BoundaryWalk(network="n", beta=10, log2_steps=6, background=0.25, walk_radius=3)


def network(seed=0, radius=3):
    torch.manual_seed(seed)
    return create_model("irn_resnet50", None, architecture="resnet18", radius=radius, **TINY)


def images(height=46, width=61, count=2):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("offset", "cells"),
    [
        ((0, 2), [(0, 0), (0, 1), (0, 2)]),
        ((1, 1), [(0, 0), (0, 1), (1, 0), (1, 1)]),
        ((2, -1), [(0, -1), (0, 0), (1, -1), (1, 0), (2, -1), (2, 0)]),
        ((2, 2), [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2)]),
    ],
)
def test_paths_by_hand(offset, cells):
    """Of the path to (2, -1), (0, -1) and (2, 0) lie 2 / sqrt(5) from the line; of that to (2, 2), (0, 2) sqrt(2)."""
    assert list(path_cells(*offset)) == cells


def test_a_maximum_along_paths_by_hand():
    """From the middle of the first row of 3 x 3 to its right, to below, to both sides below."""
    boundary = torch.tensor([[[0.9, 0.1, 0.2], [0.3, 0.4, 0.5]]])
    expected = {(0, 1): 0.8, (1, -1): 0.1, (1, 0): 0.6, (1, 1): 0.5}
    found = path_affinities(boundary, 2)
    torch.testing.assert_close(found, torch.tensor([[[expected[o]] for o in pair_offsets(2)]]))


def by_loops(boundary, radius):
    """One minus the highest boundary less than a cell from the segment, pair by pair, by the distance of a point."""
    h, w = boundary.shape
    rows = []
    for dy, dx in pair_offsets(radius):
        direction, row = np.array([dy, dx]) / np.hypot(dy, dx), []
        for y in range(h - radius + 1):
            for x in range(radius - 1, w - radius + 1):
                highest = 0.0
                for i in range(y, y + dy + 1):
                    for j in range(min(x, x + dx), max(x, x + dx) + 1):
                        away = np.array([i - y, j - x])
                        distance = np.sqrt(max(0.0, away @ away - (away @ direction) ** 2))
                        highest = max(highest, boundary[i, j]) if distance < 1 - 1e-9 else highest
                row.append(1 - highest)
        rows.append(row)
    return np.array(rows)


@settings(max_examples=10)
@given(st.integers(2, 4), st.integers(0, 2), st.integers(0, 1000))
def test_affinities_equal_a_loop_over_pairs(radius, extra, seed):
    boundary = np.random.default_rng(seed).random((radius + extra, 2 * radius - 1 + extra))
    found = path_affinities(torch.from_numpy(boundary)[None], radius)[0]
    np.testing.assert_allclose(found, by_loops(boundary, radius), atol=1e-12)


def test_the_gradient_reaches_the_highest_cell_of_each_path():
    torch.manual_seed(0)
    boundary = torch.rand(2, 4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: path_affinities(x, 3), boundary)
    row = torch.tensor([[[0.1, 0.7, 0.7, 0.2, 0.0], [0.0] * 5, [0.0] * 5]], requires_grad=True)
    path_affinities(row, 3)[0, pair_offsets(3).index((0, 2)), 0].backward()
    assert row.grad[0, 0].tolist() == [0, 0, -1, 0, 0]


@pytest.mark.parametrize(("size", "radius"), [((4, 9), 5), ((5, 8), 5), ((3, 3), 1)])
def test_maps_and_radii_without_pairs_are_refused(size, radius):
    with pytest.raises(ParameterError, match=r"at least 5 x 9|2 or more"):
        path_affinities(torch.zeros(1, *size), radius)


def test_training_keeps_a_byte_a_pair():
    kept, boundary = [], torch.rand(1, 12, 14, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.nbytes) or t, lambda t: t):
        pairs = path_affinities(boundary, 5)
    assert sum(kept) == pairs.numel()


def test_the_network_by_its_layers():
    model, pictures = network().eval(), images()
    backbone, branch = model.backbone, model.branch
    with torch.no_grad():
        found = model.boundary_logits(pictures)
        stages = [backbone.maxpool(backbone.act1(backbone.bn1(backbone.conv1(pictures))))]
        for layer in (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4):
            stages.append(layer(stages[-1]))
        assert [tuple(stage.shape[-2:]) for stage in stages] == [(12, 16), (12, 16), (6, 8), (3, 4), (3, 4)]
        parts = []
        for stage, conv, norm in zip(stages, branch.level_convs, branch.level_norms, strict=True):
            part = F.group_norm(F.conv2d(stage, conv.weight), 4, norm.weight, norm.bias)
            size = (12, 12 * stage.shape[-1] // stage.shape[-2])
            parts.append(F.interpolate(part, size, mode="bilinear").relu())
        expected = branch.boundary_conv(torch.cat(parts, 1))[:, 0]
    torch.testing.assert_close(found, expected)
    output = model(pictures)
    torch.testing.assert_close(output.features[:, 0], expected.sigmoid())
    torch.testing.assert_close(output.pairs, path_affinities(expected.sigmoid(), 3))


def test_boundaries_of_any_size_and_of_both_views():
    model, pictures = network().eval(), images(33, 50)
    with torch.no_grad():
        found = model.boundaries(pictures)
        plain, mirrored = model.boundary_logits(pictures), model.boundary_logits(pictures.flip(-1)).flip(-1)
    assert found.shape == (2, 9, 13)
    torch.testing.assert_close(found, ((plain + mirrored) / 2).sigmoid())


def test_the_backbone_is_frozen():
    model = network().train()
    assert not model.backbone.bn1.training and not any(p.requires_grad for p in model.backbone.parameters())
    model(images()).pairs.sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.branch.parameters())


def test_the_last_stage_has_neither_stride_nor_dilation():
    model = create_model("irn_resnet50", None, **TINY)
    convs = [layer for layer in model.backbone.layer4.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert len(convs) == 4 and {(conv.stride, conv.dilation) for conv in convs} == {((1, 1), (1, 1))}
    with pytest.raises(ParameterError, match="'vit_tiny_patch16_224' is no ResNet"):
        create_model("irn_resnet50", None, architecture="vit_tiny_patch16_224")


def published(model):
    """Tensors under the names of the published code, second names and what masks do without included."""
    theirs = {}
    for name, tensor in model.state_dict().items():
        if name.startswith("backbone."):
            theirs[name.replace("backbone", "resnet50", 1)] = tensor
            theirs["backbone.0.0." + name.removeprefix("backbone.")] = theirs["stage1.0.x"] = tensor
        elif name.startswith("branch.boundary_conv"):
            theirs[name.replace("branch.boundary_conv", "fc_edge6")] = tensor
        else:
            kind, k, rest = name.removeprefix("branch.level_").split(".")
            theirs[f"fc_edge{int(k) + 1}.{0 if kind == 'convs' else 1}.{rest}"] = tensor
            theirs[f"edge_layers.{k}.0.{rest}"] = tensor
    spare = {f"fc_dp{k}.0.weight": torch.zeros(1) for k in range(1, 8)}
    return theirs | spare | {"dp_layers.0.0.weight": torch.zeros(1), "path_indices0": torch.zeros(1, dtype=torch.long)}


def test_published_names():
    model, other = network(), network(seed=1)
    theirs = published(other)
    found = load_weights(model, theirs, layout="irn")
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in other.state_dict().items())
    assert {"fc_dp7.0.weight", "path_indices0", "edge_layers.4.0.weight"} <= set(found.dropped)
    with pytest.raises(DataError, match="fc_edge7"):
        load_weights(model, {**theirs, "fc_edge7.weight": torch.zeros(1)}, layout="irn")
    with pytest.raises(DataError, match="boundary_conv"):
        load_weights(model, {k: v for k, v in theirs.items() if not k.startswith("fc_edge6")}, layout="irn")
    with pytest.raises(ParameterError, match="fills a BoundaryNetwork"):
        load_weights(create_model("affinitynet_resnet38_tiny"), theirs, layout="irn")


class Fixed(torch.nn.Module):
    """Affinities of one boundary map."""

    def __init__(self, boundary, radius):
        super().__init__()
        self.boundary, self.radius = torch.nn.Parameter(boundary), radius

    def forward(self, pictures):
        return type("Output", (), {"pairs": path_affinities(self.boundary, self.radius)})


def test_the_loss_of_a_few_pairs_by_hand():
    """Pairs of the middle cell of the first of two rows: background 0.8 and 0.6, another label at 0.1, one left out."""
    boundary = torch.tensor([[[0.9, 0.1, 0.2], [0.3, 0.4, 0.5]]])
    labels = torch.tensor([[[7, 0, 0], [3, 0, 255]]])
    total, parts = AffinityObjective(2, eps=1e-5)(Fixed(boundary, 2), (None, labels))
    assert float(parts["background"]) == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2, abs=1e-4)
    assert float(parts["negative"]) == pytest.approx(-np.log(0.9), abs=1e-4)
    assert float(parts["foreground"]) == 0
    expected = parts["background"] / 4 + parts["foreground"] / 4 + parts["negative"] / 2
    torch.testing.assert_close(total.detach(), expected)


def test_labels_where_foreground_wins_and_padding_is_undecided():
    """Cells: foreground in both runs, only in the low one, only in the high one, in none; and one of padding."""
    low, high = (np.zeros((2, 1, 10), np.float32) for _ in range(2))
    for runs, (first, second) in zip(((low, high),) * 4, ((1, 1), (1, 0), (0, 1), (0, 0)), strict=True):
        cell = int(runs[0].sum()) // 2
        low[first, 0, 2 * cell : 2 * cell + 2] = high[second, 0, 2 * cell : 2 * cell + 2] = 1
    assert confident_labels_from_scores(low, high, rule="irn", pool=2).tolist() == [[1, 1, 255, 0, 255]]


def several(index):
    return next(record for record in index.records if len(record.labels) == 2)


def maps_of(index, size=(48, 48)):
    rng = np.random.default_rng(0)
    make = lambda record: rng.random((len(record.labels), *size), np.float32)  # noqa: E731
    return {r.image: HeatMaps(np.array(index.class_indices(r)), make(r), r.size) for r in index.records}


def test_doubt_among_the_labels_of_the_image(shapes):
    from seedbed.data.images import read_picture

    record, heat = several(shapes), maps_of(shapes)
    picture, maps = read_picture(shapes.root / record.path), heat[record.image].maps
    found = {}
    for among in ("own", "all"):
        labels = AffinityLabels(crf="any", constants=(0.6, 0.25), rule="irn", among=among)
        ((_, low, high),) = confident_posteriors(shapes, [record], heat, labels, CRF)
        found[among] = low.maps, high.maps
    for score, stack in zip((0.6, 0.25), found["own"], strict=True):
        winners = np.concatenate([np.full((1, 48, 48), score, np.float32), maps]).argmax(0)
        smoothed = label_crf(picture, winners, 3, preset=CRF)
        np.testing.assert_array_equal(stack.argmax(0), smoothed)
        np.testing.assert_array_equal(stack.sum(0), 1)
    assert any((own != every).any() for own, every in zip(found["own"], found["all"], strict=True))


def dense_matrix(boundary, radius):
    """Affinities of all pairs less than ``radius`` apart, paths inside the map, 1 to itself."""
    h, w = boundary.shape
    matrix = np.eye(h * w)
    for y in range(h):
        for x in range(w):
            for dy, dx in pair_offsets(radius):
                if y + dy < h and 0 <= x + dx < w:
                    value = 1 - max(boundary[y + i, x + j] for i, j in path_cells(dy, dx))
                    matrix[y * w + x, (y + dy) * w + x + dx] = matrix[(y + dy) * w + x + dx, y * w + x] = value
    return matrix


@pytest.mark.parametrize("size", [(6, 7), (2, 9), (5, 1), (1, 3)])
def test_the_matrix_has_every_pair_of_the_map(size):
    boundary = np.random.default_rng(0).random(size, np.float32)
    np.testing.assert_allclose(boundary_matrix(boundary, 4).toarray(), dense_matrix(boundary, 4), atol=1e-6)


def test_a_wall_keeps_a_map_on_its_side():
    """A map in one corner fills its side evenly, since all affinities there are 1, and nothing passes the wall."""
    boundary = np.zeros((6, 9), np.float32)
    boundary[:, 4] = 1
    maps = np.zeros((1, 24, 36), np.float32)
    maps[0, :4, :4] = 1
    walk = BoundedWalk(BoundaryWalk(network="n", beta=1, log2_steps=10, background=0.25, walk_radius=2), None)
    walked = walk.walked(maps, boundary)
    cells = walked[0, 1::4, 1::4]
    assert walked.shape == maps.shape and walked.max() == 1
    assert (walked[0, :, 18:] < 1e-6).all() and (walked[0, :, :14] > 0.5).all() and cells.shape == (6, 9)
    mask = walk(np.zeros((24, 36, 3), np.uint8), HeatMaps(np.array([5]), maps, (24, 36)), boundary)
    assert (mask[:, :14] == 1).all() and (mask[:, 20:] == 0).all()


def test_the_walk_by_the_dense_formula():
    rng = np.random.default_rng(0)
    boundary, maps = rng.random((5, 7), np.float32) ** 4, rng.random((2, 18, 26), np.float32)
    cells = F.interpolate(torch.from_numpy(maps)[None], (5, 7), mode="area")[0].double().numpy()
    sharp = dense_matrix(boundary.astype(np.float64), 3) ** 10
    step = sharp / sharp.sum(0, keepdims=True)
    moved = (cells * (1 - boundary)).reshape(2, -1) @ np.linalg.matrix_power(step, 64)
    enlarged = F.interpolate(torch.from_numpy(moved.reshape(1, 2, 5, 7)), scale_factor=4, mode="bilinear")[0]
    expected = enlarged[:, :18, :26] / enlarged[:, :18, :26].max()
    found = BoundedWalk(WALK, None).walked(maps, boundary)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    image, heat = rng.integers(0, 256, (18, 26, 3), np.uint8), HeatMaps(np.array([0, 3]), maps, (18, 26))
    stack = np.concatenate([np.full((1, 18, 26), 0.25), expected.numpy()])
    clear = np.sort(stack, 0)[-1] - np.sort(stack, 0)[-2] > 1e-4
    np.testing.assert_array_equal(BoundedWalk(WALK, None)(image, heat, boundary)[clear], stack.argmax(0)[clear])
    assert BoundedWalk(WALK, CRF)(image, heat, boundary).shape == (18, 26)


def test_maps_without_evidence_are_background():
    heat = HeatMaps(np.array([1]), np.zeros((1, 8, 8), np.float32), (8, 8))
    assert not BoundedWalk(WALK, None)(np.zeros((8, 8, 3), np.uint8), heat, np.zeros((2, 2), np.float32)).any()


def test_the_refiner_says_what_it_does_and_refuses_other_networks():
    refiner = build_refiner({"kind": "boundary_walk", "network": "n", "beta": 10, "log2_steps": 8, "background": 0.25})
    words = type("Words", (), {"scores": lambda self, a, b: f"background {b}", "crf": lambda self, name: "no CRF"})()
    said = "random walk within boundaries, radius 5, beta 10, t 256, background 0.25 after it, no CRF"
    assert refiner.describe(words) == said
    shown = AffinityNetwork.model_validate(entry()).input
    with pytest.raises(ParameterError, match="AffinityNet predicts no class boundaries to walk within"):
        Boundaries(create_model("affinitynet_resnet38_tiny"), shown, CPU)


def entry(**train):
    return {
        "architecture": "irn_resnet50",
        "options": {"architecture": "resnet18", **TINY},
        "radius": 3,
        "stride": 4,
        "labels": {"crf": "any", "constants": [0.6, 0.25], "rule": "irn", "among": "own"},
        "input": {"normalize": "imagenet"},
        "photometric": [{"random_scale": {"bounds": [0.5, 1.5], "filter": "cv2_cubic"}}],
        "train": {
            "loss": "affinity", "loss_options": {"eps": 1e-5}, "augment": [{"horizontal_flip": 0.5}, {"crop": 64}],
            "optimizer": "sgd", "lr": 0.1, "batch_size": 4, "epochs": 1, "loader_workers": 0, "groups": "uniform",
            **train,
        },
    }  # fmt: skip


def test_a_training_and_its_masks_on_the_built_in_images(shapes, tmp_path):
    settings = AffinityNetwork.model_validate(entry())
    records = [record for record in shapes.split("trainaug") if record.labels][:8]
    heat = maps_of(shapes)
    found = list(confident_posteriors(shapes, shapes.split("trainaug"), heat, settings.labels, CRF))
    low, high = ({image: runs[k] for image, *runs in found} for k in (0, 1))
    pictures = ConfidentPictures(shapes, records, low, high, settings)
    pixels, label = pictures[0, 1]
    assert pixels.shape == (3, 64, 64) and label.shape == (16, 16)
    padded = (pixels == pixels[:, :1, :1]).all(0).reshape(16, 4, 16, 4).all(3).all(1)
    assert (label[padded] == 255).all() and set(label.unique().tolist()) <= {0, 1, 2, 3, 255}
    options = {"state_path": tmp_path / "state.pt", "fingerprint": {}, "device": CPU}
    trained, history = train_affinity_network(shapes, low, high, settings, seed=0, weights=None, **options)
    assert history.rows and all(np.isfinite(row["loss"]) for row in history.rows)
    write_weights(tmp_path / "model.safetensors", trained.state_dict(), {})
    network_values = {**settings.plain(), "input": {"normalize": "imagenet"}}
    given = Given(shapes, CPU, heat, network=network_values, weights=tmp_path / "model.safetensors")
    walk = {"kind": "boundary_walk", "network": "n", "beta": 10, "log2_steps": 4, "background": 0.25, "walk_radius": 3}
    masks = dict(build_refiner(walk).start(given)(records[:2]))
    for record in records[:2]:
        assert masks[record.image].shape == record.size
        assert set(np.unique(masks[record.image])) <= {0, *(k + 1 for k in shapes.class_indices(record))}
