"""ExCEL against arrays recorded from the authors' published code, on a narrow network; `as published` throughout."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from model_recordings import assert_close, recorded, weights
from torch import Tensor

from seedbed.data.grey_levels import whole_grey_levels
from seedbed.data.views import InputView
from seedbed.explain.box_affinity import box_mask, spread, transition
from seedbed.explain.text_likeness import text_likeness
from seedbed.models import create_model, load_weights
from seedbed.models.excel import Excel, ExcelOutput
from seedbed.models.text_attributes import with_attributes
from seedbed.models.texts import Texts
from seedbed.models.weclip_weights import decoder_name
from seedbed.refine.fusion import fuse_scales
from seedbed.refine.losses import attention_affinity_loss
from seedbed.refine.mean_pixel_logits import mean_logits_at
from seedbed.refine.reliable import attention_affinity_labels
from seedbed.settings.optimisation import TrainSettings
from seedbed.train.excel import ExcelObjective
from seedbed.train.excel_labels import of_present
from seedbed.train.pixel_losses import balanced_cross_entropy
from seedbed.train.schedule import Schedule
from seedbed.train.segmentation import PredictionSettings, scaled_view, views_of
from seedbed.train.weclip_labels import chosen_attention, present_classes

torch.set_num_threads(1)

PUBLISHED = {"heads": "sum", "aliased": True, "cosine_mean": "batch"}
PUBLISHED_LOSS = {"norm": "tokens", "layer_choice": "signed", "box_ends": "open", "whole": "cut", "radius": 2}
SIZE = (80, 80)


def network(z: dict[str, np.ndarray], positions: np.ndarray | None = None, **options: object) -> Excel:
    """The recorded network, with its table of positions or with another."""
    given = weights(recorded("excel_weights"))
    if positions is not None:
        given["encoder.visual.positional_embedding"] = torch.from_numpy(positions)
    model = create_model(
        "excel_vit_base_16",
        20,
        background_texts=25,
        dim=int(z["cfg/dim"]),
        img_size=16 * math.isqrt(len(given["encoder.visual.positional_embedding"])),
        embed_dim=int(z["cfg/width"]),
        depth=int(z["cfg/vision_layers"]),
        num_heads=int(z["cfg/heads"]),
        two_path_blocks=int(z["cfg/surgery_blocks"]),
        width=int(z["cfg/emb"]),
        **{**PUBLISHED, "dropout": 0.0, **options},
    )
    load_weights(model, given, layout="weclip")
    texts = torch.from_numpy(z["text/combined"])
    model.set_texts(Texts(texts[:20], texts[20:]))
    return model


def enlarged(scores: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(scores, size, mode="bilinear", align_corners=False)


def images(z: dict[str, np.ndarray]) -> Tensor:
    """As published: normalised in float64."""
    pictures = np.stack([z["picture0"], z["picture1"]]).astype(np.float64)
    shown = (pictures - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]
    return torch.from_numpy(shown.astype(np.float32)).permute(0, 3, 1, 2)


def labels(z: dict[str, np.ndarray]) -> Tensor:
    return torch.from_numpy(z["cls_labels"]).float()


@pytest.fixture(scope="module")
def first() -> dict[str, np.ndarray]:
    return recorded("excel")


@pytest.fixture(scope="module")
def second() -> dict[str, np.ndarray]:
    return recorded("excel_second")


@pytest.fixture(scope="module")
def model(first) -> Excel:
    return network(first).train()


@pytest.fixture
def output(first, model) -> ExcelOutput:
    return model(images(first))


def test_texts(first):
    given = torch.from_numpy(first["text/class_and_background"])
    attributes = torch.from_numpy(first["text/attributes"] * first["text/attributes_scale"].astype(np.float32)).T
    found = with_attributes(given[:20], attributes, as_published=True)
    assert_close(torch.cat([found, given[20:]]), first["text/combined"], 4e-6)


@pytest.mark.parametrize("count", [37, 25, 20, 10])
def test_how_many_attributes_are_left_out(first, count):
    z = recorded("excel_misc")
    attributes = torch.from_numpy(z[f"text/topk_{count}/attributes"]).T
    classes = torch.from_numpy(first["text/class_and_background"])[:3]
    published = with_attributes(classes, attributes, as_published=True)
    assert bool(published.isnan().any()) == bool(z[f"text/topk_{count}/has_nan"])
    if count != 10:
        assert_close(published, z[f"text/topk_{count}/combined_first3"], 4e-6)
    assert with_attributes(classes, attributes).isfinite().all()


def test_tower(first, second, model):
    paths = model.read(images(first))
    assert_close(model.tower.positions((5, 5))[0], first["pos/resized"], 0)
    assert_close(paths.embeddings, first["first/image_features_projected"])
    assert_close(torch.stack(paths.outputs), first["first/all_tokens_given_to_decoder"])
    assert_close(torch.stack(paths.attention)[:, 0], second["first/attn_all_of_im0"])


def test_outputs_that_nothing_changes_later(first):
    """Blocks 1 to 6 and 12 are recorded as they are; 7 to 11 are those of the tower's own forward pass."""
    model = network(first, aliased=False)
    shown = images(first)
    steps = list(model.tower.steps(model.tower.embed(shown)[0]))
    found = model.read(shown).outputs
    for index, output in enumerate(found):
        assert_close(output, steps[index].tokens.numpy(), 1e-6)
        if index < 6 or index == 11:
            assert_close(output, first["first/all_tokens_given_to_decoder"][index])


def test_maps(first, model, output):
    normed = output.embeddings / output.embeddings.norm(dim=1, keepdim=True)
    assert_close(normed, first["first/image_features_normalised_over_tokens"], 1e-4)
    assert_close(text_likeness(output.embeddings, model.texts, "tokens"), first["first/maps"], 1e-4)


def test_features_scores_and_affinity(first, model, output):
    assert_close(output.features, first["first/fts"])
    assert_close(output.scores, first["first/seg"])
    assert_close(model.likeness(output.features).sigmoid(), first["first/affinity_pred"])


def test_affinity_of_an_image_need_not_depend_on_its_batch(first):
    model = network(first, cosine_mean="image").eval()
    with torch.no_grad():
        features = model(images(first)).features
        assert_close(model.likeness(features)[:1], model.likeness(features[:1]).numpy(), 1e-5)


def test_pictures(first):
    grey = whole_grey_levels(images(first), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "cut")
    np.testing.assert_array_equal(grey[:, :, ::5, ::5].numpy(), first["denormalised_sub"])
    rounded = whole_grey_levels(images(first), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "rounded")
    np.testing.assert_array_equal(rounded[0].permute(1, 2, 0).numpy(), first["picture0"])


PHASES = {"first": ({}, 0), "second": ({}, 14000), "second_coco": ({"box": 0.88, "second_from": 30000}, 30000)}


@pytest.mark.parametrize("phase", PHASES)
def test_boxes_and_labels(first, second, model, output, phase):
    z = {**first, **second}
    options, step = PHASES[phase]
    objective = ExcelObjective(**{**PUBLISHED_LOSS, **options})
    likeness = model.likeness(output.features).detach()
    attention = torch.stack([layer[:, 1:, 1:] for layer in output.attention[-6:]])
    ways, embeddings = attention.mean(0), output.embeddings
    if phase != "first":
        ways, kept = chosen_attention(attention, likeness.sigmoid(), "signed")
        embeddings = model.read(images(first), likeness.masked_fill(likeness < 0, -torch.inf).softmax(-1)).embeddings
        assert_close(embeddings, second["second/image_features_projected"])
        assert_close(text_likeness(embeddings, model.texts, "tokens"), second["second/maps"], 1e-4)
    maps = of_present(text_likeness(embeddings, model.texts, "tokens"), present_classes(labels(first)))
    for image in range(2):
        count = len(z[f"{phase}/im{image}/classes"])
        assert_close(ways[image], z[f"{phase}/im{image}/affinity_in"])
        if phase != "first":
            np.testing.assert_array_equal(kept[:, image].numpy(), z[f"{phase}/im{image}/layer_kept"])
        mask = box_mask(maps[image, :count].unflatten(1, (5, 5)), objective.box, "open")
        for row, of_class in enumerate(mask):
            np.testing.assert_array_equal(of_class.numpy(), boxed(z[f"{phase}/im{image}/boxes"], row))
        found = spread(maps[image, :count], transition(ways[image])[None], mask.flatten(1))
        assert_close(found.unflatten(1, (5, 5)), z[f"{phase}/im{image}/refined"], 1e-4)
    found = objective.targets(model, images(first), labels(first), output, likeness, step)
    assert (found.numpy() != z[f"{phase}/labels"]).mean() < 2e-3


def boxed(boxes: np.ndarray, row: int) -> np.ndarray:
    mask = np.zeros((5, 5), np.float32)
    for which, left, top, right, bottom in boxes:
        if which == row:
            mask[top:bottom, left:right] = 1
    return mask


@pytest.mark.parametrize("phase", ["first", "second", "third"])
def test_losses_and_gradients(first, second, model, output, phase):
    z = {**first, **second}
    targets = torch.from_numpy(z["first/labels" if phase == "first" else "second/labels"]).long()
    output.scores.retain_grad()
    scores = enlarged(output.scores, SIZE)
    pairs = attention_affinity_labels(scores.argmax(1) if phase == "third" else targets, radius=2)
    np.testing.assert_array_equal(pairs.numpy(), z[f"{phase}/aff_label_r2"])
    pixels = balanced_cross_entropy(scores, targets)
    affinity = attention_affinity_loss(model.likeness(output.features).sigmoid(), pairs)
    total = pixels + 0.1 * affinity
    for name, value in (("seg_loss", pixels), ("aff_loss", affinity), ("loss", total)):
        assert float(value.detach()) == pytest.approx(float(z[f"{phase}/{name}"]), rel=4e-6)
    model.zero_grad()
    total.backward()
    assert_close(output.scores.grad, z[f"{phase}/grad_seg"])
    parameters = dict(model.named_parameters())
    for name in (key for key in z if key.startswith(f"{phase}/grad/")):
        assert_close(parameters[decoder_name(name.removeprefix(f"{phase}/grad/"))].grad, z[name])


OPTIONS = {"first": {}, "second": {"second_from": 0}, "third": {"second_from": 0, "third_from": 0}}


@pytest.mark.parametrize("phase", OPTIONS)
def test_objective(first, second, model, phase):
    z = {**first, **second}
    objective = ExcelObjective(**{**PUBLISHED_LOSS, **OPTIONS[phase]})
    total, parts = objective(model, (images(first), labels(first)))
    assert float(total.detach()) == pytest.approx(float(z[f"{phase}/loss"]), rel=1e-3)  # some labels are ties
    assert float(parts["affinity"]) == pytest.approx(float(z[f"{phase}/aff_loss"]), rel=1e-3)
    assert int(objective.state_dict()["steps"]) == 1


def test_void_and_background_alone(first, output):
    z = recorded("excel_misc")
    scores = enlarged(output.scores, SIZE)
    void = balanced_cross_entropy(scores, torch.from_numpy(z["void/labels"]).long())
    background = balanced_cross_entropy(scores, torch.zeros(2, *SIZE, dtype=torch.long))
    assert float(void.detach()) == pytest.approx(float(z["void/seg_loss"]), rel=2e-5)
    assert float(background.detach()) == pytest.approx(float(z["bgonly/seg_loss"]), rel=2e-5)


def test_the_decoder_alone_is_trained(model):
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert trained == recorded("excel_misc")["opt/group_sizes_in_parameters"].sum()


VIEWS = {"normalize": "imagenet", "size": SIZE}
TEST = {"scales": [1.0, 0.7, 1.2, 1.5], "flip": True, "scaling": "squeezed", "rounding": "down"}


@pytest.mark.parametrize(
    ("data", "settings"),
    [("voc", {"fusion": "mean_pixel_logits", "unmirrored": [1.0]}), ("coco", {"fusion": "mean_fifth_logits"})],
)
def test_prediction(first, data, settings):
    """Through the functions that predict masks; normalised in float32, unlike the published code."""
    z = recorded("excel_misc")
    picture = z["test/picture"]
    model = network(first, first["pos/resized"]).eval()
    asked = PredictionSettings(**TEST, **settings, input=InputView(**VIEWS))
    grid = views_of(asked)
    shown = [scaled_view(picture, asked, *each) for each in grid]
    assert [list(each.shape[-2:]) for each in shown[::2]] == z[f"test_{data}/sizes"].tolist()
    with torch.no_grad():
        logits = [model.logits(each[None])[0] for each in shown]
    for scale in range(4):
        assert_close(logits[2 * scale], z[f"test_voc/seg{scale}"][0])
        if (data, scale) != ("voc", 0):
            assert_close(logits[2 * scale + 1], z[f"test_voc/seg{scale}"][1])
    flips = [flip for _, flip in grid]
    size = (57, 75) if data == "voc" else (11, 15)
    straight = [each.flip(-1) if flip else each for each, flip in zip(logits, flips, strict=True)]
    assert_close(mean_logits_at(straight, size)[None, :, ::5, ::5], z[f"test_{data}/msc_logits_sub"])
    fused = fuse_scales(logits, (57, 75), asked.fusion, mirrored=flips)
    whole = F.interpolate(mean_logits_at(straight, size)[None], (57, 75), mode="bilinear", align_corners=False)[0]
    assert_close(fused, whole.softmax(0).numpy(), 1e-5)


def test_schedule():
    """Warm-up from a millionth; then the decay is counted from step 0, so that the rate jumps up once."""
    settings = TrainSettings(
        lr=1e-3, batch_size=4, iterations=30000, warmup_epochs=0.0189, warmup_lr=1e-9, schedule="poly"
    )
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=settings.lr)
    schedule = Schedule(optimizer, settings, 30000, 10582 // 4)
    for step, share in ((0, 1e-6), (49, 1 - (1 - 49 / 50) * (1 - 1e-6)), (50, 1 - 50 / 30000), (29999, 1 / 30000)):
        schedule.before_step(step)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * share, rel=1e-6)
