"""Texts against arrays recorded from the authors' published code: prompts, tokens, embeddings."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from model_recordings import DATA, assert_close, recorded, weights

from seedbed.data.published.coco14 import CLASSES as COCO
from seedbed.data.voc import VOC_CLASSES
from seedbed.models.prompts import encode_words, written
from seedbed.params import read_params, resolve

TORSO = "a clean origami {}."
PAPER = resolve({**read_params(Path(__file__).parents[2] / "params.yaml"), "preset": "paper"})


@pytest.fixture(scope="module")
def tower():
    """The recorded text tower in open_clip's own network."""
    open_clip = pytest.importorskip("open_clip")
    z = recorded("clip_es")
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
    vision = {"image_size": 64, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16}
    model = open_clip.CLIP(int(z["cfg/dim"]), vision, text, quick_gelu=True)
    given = {name: tensor for name, tensor in weights(z).items() if not name.startswith(("visual.", "token_embedding"))}
    rows = torch.zeros(49408, 16)
    rows[torch.from_numpy(z["text/token_rows"]).long()] = torch.from_numpy(z["w/token_embedding.rows"])
    found = model.load_state_dict({**given, "token_embedding.weight": rows}, strict=False)
    assert not found.unexpected_keys and all(name.startswith("visual.") for name in found.missing_keys)
    return model.eval(), open_clip.get_tokenizer("ViT-B-16-quickgelu"), z


def words_of(prompts: np.ndarray) -> list[str]:
    before, after = TORSO.split("{}")
    return [str(prompt).removeprefix(before).removesuffix(after) for prompt in prompts]


def test_tokens(tower):
    _, tokenizer, z = tower
    tokens = tokenizer([str(prompt) for prompt in z["text/prompts"]]).numpy()
    width = z["text/token_ids"].shape[1]
    assert (tokens[:, :width] == z["text/token_ids"]).all() and not tokens[:, width:].any()


def test_embeddings(tower):
    model, tokenizer, z = tower
    words = words_of(z["text/prompts"])
    expected = np.concatenate([z["text/fg"], z["text/bg"]])
    assert_close(encode_words(model, tokenizer, words, [TORSO]), expected, 1e-5)


def test_embeddings_of_several_templates(tower):
    model, tokenizer, z = tower
    templates = [str(template) for template in z["text/ensemble_templates"]]
    found = encode_words(model, tokenizer, words_of(z["text/prompts"])[:4], templates)
    assert_close(found, z["text/ensemble_of_3_first_4_classes"], 1e-5)


@pytest.mark.parametrize(("dataset", "key", "classes"), [("voc12", "voc", VOC_CLASSES), ("coco14", "coco", COCO)])
def test_the_preset_writes_what_was_published(dataset, key, classes):
    listed = json.loads((DATA / "clip_es_prompts.json").read_text())
    prompts = PAPER.on(dataset).prompts["clip_es"]
    assert written(classes, prompts.names) == listed[key]["prompts"]
    assert (prompts.background, prompts.templates) == (listed[key]["background"], [listed["template"]])
