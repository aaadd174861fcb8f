"""Texts of classes as vectors, networks that take them, and how maps of such networks spread within boxes."""

import numpy as np
import pytest
import torch

from seedbed.errors import DataError, ParameterError
from seedbed.explain import explain, methods, supports
from seedbed.explain.box_affinity import box_mask, transition
from seedbed.io.weights import write_weights
from seedbed.models import create_model
from seedbed.models.prompts import Attributes, encode_words, enriched, make_texts, written
from seedbed.models.text_attributes import clustered
from seedbed.models.texts import Texts, give_texts, read_texts
from seedbed.refine.bgr_picture import bgr_less_mean
from seedbed.refine.confident_crf import confident_positions
from seedbed.train.objectives import build_objective
from seedbed.train.text_softmax import text_answers

VECTORS = {"kind": "unit_vectors", "dim": 64, "background": 8, "seed": 3}


def network(classes=3, **options):
    torch.manual_seed(0)
    return create_model("clip_vit_tiny_8", classes, depth=2, **options).eval()


def test_unit_vectors_are_the_same_for_the_same_seed():
    one, same, other = (make_texts({**VECTORS, "seed": seed}, ["cat", "dog"], "") for seed in (3, 3, 4))
    assert one.classes.shape == (2, 64) and one.background.shape == (8, 64)
    torch.testing.assert_close(one.all.norm(dim=1), torch.ones(10))
    assert torch.equal(one.all, same.all) and not torch.equal(one.all, other.all)


def test_what_is_written_for_a_class():
    assert written(["hot_dog", "tv"], {"tv": "tvmonitor screen"}) == ["hot dog", "tvmonitor screen"]
    with pytest.raises(ParameterError, match="tvv"):
        written(["tv"], {"tvv": "screen"})


def test_prompts_that_are_none():
    with pytest.raises(ParameterError, match="open_clipp"):
        make_texts({"kind": "open_clipp"}, ["cat"], "")
    prompts = {"kind": "open_clip", "network": "n", "pretrained": "p", "templates": ["a cat"]}
    with pytest.raises(ParameterError, match="for a word"):
        make_texts(prompts, ["cat"], "")


def test_words_are_the_mean_of_their_sentences():
    class Tower:
        def encode_text(self, text):
            return text.float()

    vectors = {"a cat": [3.0, 0.0], "two cat": [0.0, 5.0], "a dog": [0.0, 2.0], "two dog": [0.0, 1.0]}
    found = encode_words(
        Tower(), lambda run: torch.tensor([vectors[s] for s in run]), ["cat", "dog"], ["a {}", "two {}"]
    )
    torch.testing.assert_close(found, torch.tensor([[0.5**0.5, 0.5**0.5], [0.0, 1.0]]))


def test_a_network_takes_the_texts_of_its_classes(tmp_path):
    texts, model = make_texts(VECTORS, ["a", "b", "c"], ""), network()
    write_weights(tmp_path / "texts.safetensors", texts._asdict(), {})
    give_texts(model, tmp_path / "texts.safetensors")
    assert torch.equal(model.classes, texts.classes) and torch.equal(model.background, texts.background)
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        embedded = torch.nn.functional.normalize(model.tower(images), dim=1)
        torch.testing.assert_close(model(images), model.logit_scale * embedded @ texts.classes.T)


def test_texts_that_do_not_fit(tmp_path):
    write_weights(tmp_path / "texts.safetensors", make_texts(VECTORS, ["a", "b"], "")._asdict(), {})
    with pytest.raises(DataError, match="background_texts"):
        give_texts(network(), tmp_path / "texts.safetensors")
    with pytest.raises(ParameterError, match="prompts"):
        give_texts(network(), None)
    with pytest.raises(ParameterError, match="takes no texts"):
        give_texts(create_model("vit_tiny_patch8_96", 2), tmp_path / "texts.safetensors")
    write_weights(tmp_path / "others.safetensors", {"classes": torch.zeros(2)}, {})
    with pytest.raises(DataError, match="holds no texts"):
        read_texts(tmp_path / "others.safetensors")


@pytest.mark.parametrize(("method", "options"), [("text_cam", {}), ("clip_es", {"threshold": None})])
def test_only_present_classes_compete_and_images_stand_alone(method, options):
    model, images = network().double(), torch.randn(3, 3, 96, 64, generator=torch.Generator().manual_seed(1))
    targets = torch.tensor([[0, 2], [1, -1], [2, 0]])
    maps = explain(model, images, targets, method, **options)
    assert maps.shape == (3, 2, 12, 8) and maps.min() >= 0 and maps.max() <= 1
    assert not maps[1, 1].any()
    alone = torch.cat([explain(model, images[b : b + 1], targets[b : b + 1], method, **options) for b in range(3)])
    torch.testing.assert_close(maps, alone, rtol=1e-4, atol=1e-5)
    swapped = explain(model, images, targets.flip(1), method, **options).flip(1)
    torch.testing.assert_close(maps, swapped, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(maps[0, 0], explain(model, images[:1], [0], method, **options)[0])


def test_options_of_clip_es():
    model, images = network(), torch.zeros(1, 3, 96, 96)
    for options, word in (
        ({"layers": 0}, "layers"),
        ({"threshold": 2.0}, "threshold"),
        ({"box_ends": "none"}, "box_ends"),
    ):
        with pytest.raises(ParameterError, match=word):
            explain(model, images, [0], "clip_es", **options)
    assert supports(model, "clip_es") and not supports(create_model("vit_tiny_patch8_96", 2), "clip_es")
    assert {"text_cam", "clip_es"} <= {method.name for method in methods()}


def test_boxes_around_regions():
    maps = torch.zeros(3, 4, 5)
    maps[0, 0, 0] = maps[0, 1, 1] = 1.0  # touch at a corner: one region
    maps[0, 2, 4] = 0.3  # below the threshold
    maps[1, 3, 2] = 1.0  # in the last row alone
    whole, published = box_mask(maps, 0.4), box_mask(maps, 0.4, "open")
    assert whole[0, :2, :2].all() and whole[0].sum() == 4
    assert torch.equal(whole[0], published[0])
    assert whole[1, 3, 2] == 1 and whole[1].sum() == 1 and not published[1].any()
    assert not whole[2].any()


def test_transitions_know_no_scale():
    attention = torch.rand(2, 9, 9, generator=torch.Generator().manual_seed(0)) + 0.1
    torch.testing.assert_close(transition(attention), transition(7 * attention))
    torch.testing.assert_close(transition(attention), transition(attention).mT)


def test_the_picture_of_the_published_crf():
    shown = bgr_less_mean(np.array([[[123, 117, 104], [122, 116, 105]]], np.uint8))
    assert shown.tolist() == [[[0, 0, 0], [0, 0, 0]]]
    assert bgr_less_mean(np.array([[[121, 255, 0]]], np.uint8)).tolist() == [[[256 - 104, 138, 255]]]


def test_unsure_pixels_are_void():
    posteriors = np.array([[[0.96, 0.5]], [[0.04, 0.5]]])
    assert confident_positions(posteriors, None).tolist() == [[0, 0]]
    assert confident_positions(posteriors, 0.95).tolist() == [[0, 2]]


def test_likely_texts_of_an_image():
    found = text_answers(torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]), 2)
    assert found.tolist() == [[0.5, 0.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 0.5, 0.5]]


def test_training_against_texts_leaves_the_texts():
    model = network().train()
    before, objective = model.classes.clone(), build_objective("text_softmax")
    objective.bind(model)
    total, parts = objective(model, (torch.randn(2, 3, 96, 96), torch.tensor([[1.0, 0, 0], [0, 0, 0]])))
    total.backward()
    assert set(parts) == {"class", "patches"} and torch.equal(model.classes, before)
    assert model.tower.head.weight.grad.abs().sum() > 0


def test_attributes_of_ones_own(tmp_path):
    class Tower:
        def encode_text(self, text):
            return text.float()

    lines = ["a beak", "", "two wings ", "a {curly} tail", "four wheels"]
    (tmp_path / "mine.txt").write_text("\n".join(lines), encoding="utf-8")
    attributes = Attributes(str(tmp_path / "mine.txt"), clusters=2)
    assert attributes.sentences() == ["a beak", "two wings", "a {curly} tail", "four wheels"]
    along, across = [2.0, 0.0, 0.0], [0.0, 1.0, 0.0]
    vectors = {"a beak": along, "two wings": along, "a {curly} tail": along, "four wheels": across}
    texts = Texts(torch.eye(3)[:2], torch.eye(3)[2:])
    found = enriched(texts, attributes, Tower(), lambda run: torch.tensor([vectors[s] for s in run]))
    assert torch.equal(found.background, texts.background)
    torch.testing.assert_close(found.classes.norm(dim=1), torch.ones(2))
    weights = torch.tensor([1.0, 0.0]).softmax(0)  # of a class: its own attribute, and the other
    expected = torch.tensor([1 + float(weights[0]), float(weights[1]), 0.0])
    torch.testing.assert_close(found.classes[0], expected / expected.norm())
    with pytest.raises(DataError, match="too few for as_published"):
        enriched(
            texts,
            Attributes(attributes.file, 2, as_published=True),
            Tower(),
            lambda run: torch.tensor([vectors[s] for s in run]),
        )
    with pytest.raises(DataError, match="4 sentences make no 5 clusters"):
        clustered(torch.eye(4), 5)
    with pytest.raises(DataError, match="one sentence a line"):
        Attributes(str(tmp_path / "none.txt")).sentences()
