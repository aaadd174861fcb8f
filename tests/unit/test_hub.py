"""Folders for the Hugging Face Hub: what is in them loads again, and their cards are what the Hub reads."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from huggingface_hub import metadata_load
from huggingface_hub.repocard_data import model_index_to_eval_results

from seedbed.errors import DataError
from seedbed.io.atomic import read_json, write_json
from seedbed.io.masks import encode_mask
from seedbed.io.weights import read_weights, write_weights
from seedbed.models import create_model
from seedbed.params.stages import Classifier, Segmenter
from seedbed.report.hub import write_masks_folder, write_model_folder

INPUT = {"size": [96, 96], "normalize": "half"}


def provenance(data: str, **parameters) -> dict:
    return {"parameters": parameters, "data_sha256": data, "code": {"seedbed": "0.2.0"}, "seed": 0}


@pytest.fixture
def trained(shapes, tmp_path):
    """A classifier's folder as a training leaves it, the data set's card, and the network."""
    card = read_json(shapes.root / "card.json")
    settings = Classifier(architecture="vit_tiny_patch8_96", input=INPUT).plain()
    torch.manual_seed(1)
    model = create_model("vit_tiny_patch8_96", len(card["classes"])).eval()
    path = tmp_path / "seed0" / "model.safetensors"
    path.parent.mkdir()
    write_weights(path, model.state_dict(), provenance(card["sha256"], model=settings))
    write_json(path.with_name("metrics.json"), {"map": 0.75, "top1": None, "images": 4})
    return path, shapes.root / "card.json", model


def test_the_snippet_on_the_card_loads_the_network(trained, tmp_path):
    weights, card, model = trained
    write_model_folder(tmp_path / "out" / "my-model", weights, card, "MIT")
    folder = tmp_path / "out" / "my-model"
    snippet = (folder / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    program = snippet + "import torch\nprint(model(torch.ones(1, 3, 96, 96)).tolist())\n"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        torch.testing.assert_close(torch.tensor(json.loads(done.stdout)), model(torch.ones(1, 3, 96, 96)))


def test_the_hub_reads_the_card(trained, tmp_path):
    weights, card, _ = trained
    write_model_folder(tmp_path / "my-model", weights, card, "MIT")
    head = metadata_load(tmp_path / "my-model" / "README.md")
    assert (head["license"], head["library_name"], head["pipeline_tag"]) == ("mit", "seedbed", "image-classification")
    name, results = model_index_to_eval_results(head["model-index"])
    assert name == "my-model"
    assert [(one.dataset_name, one.metric_type, one.metric_value) for one in results] == [("shapes", "map", 0.75)]


def test_the_configuration_says_how_images_are_brought_to_it(trained, tmp_path):
    weights, card, _ = trained
    write_model_folder(tmp_path / "my-model", weights, card, "MIT")
    config = read_json(tmp_path / "my-model" / "config.json")
    assert config["input"]["mean"] == config["input"]["std"] == [0.5, 0.5, 0.5] and config["input"]["size"] == [96, 96]
    assert config["classes"] == read_json(card)["classes"] and config["num_classes"] == len(config["classes"])
    assert read_weights(tmp_path / "my-model" / "model.safetensors").keys() == read_weights(weights).keys()


def test_a_segmentation_network_has_background_and_a_result_a_split(shapes, tmp_path):
    card = read_json(shapes.root / "card.json")
    training = {"loss": "pixel_cross_entropy", "augment": [], "lr": 0.1, "batch_size": 1, "epochs": 1}
    settings = Segmenter(
        architecture="deeplab_v1_resnet38_tiny", input={"normalize": "imagenet"}, train=training
    ).plain()
    model = create_model("deeplab_v1_resnet38_tiny", len(card["classes"]) + 1)
    path = tmp_path / "seed0" / "model.safetensors"
    (path.parent / "val").mkdir(parents=True)
    write_weights(path, model.state_dict(), provenance(card["sha256"], segmenter=settings))
    write_json(path.parent / "val" / "metrics.json", {"miou": 0.5})
    write_model_folder(tmp_path / "net", path, shapes.root / "card.json", "MIT")
    config, head = read_json(tmp_path / "net" / "config.json"), metadata_load(tmp_path / "net" / "README.md")
    assert config["num_classes"] == len(card["classes"]) + 1 and config["classes"][0] == "background"
    assert head["pipeline_tag"] == "image-segmentation"
    assert head["model-index"][0]["results"][0]["dataset"]["split"] == "val"


def test_weights_of_other_data_or_from_elsewhere_are_refused(trained, shapes, tmp_path):
    weights, card, model = trained
    other = tmp_path / "card.json"
    write_json(other, read_json(card) | {"sha256": "0" * 64})
    with pytest.raises(DataError, match="other data than 'shapes'"):
        write_model_folder(tmp_path / "out", weights, other, "MIT")
    write_weights(tmp_path / "foreign.safetensors", model.state_dict(), {})
    with pytest.raises(DataError, match="not written by a training"):
        write_model_folder(tmp_path / "out", tmp_path / "foreign.safetensors", card, "MIT")
    assert not (tmp_path / "out").exists()


def test_masks_become_a_data_set_folder(shapes, tmp_path):
    export = tmp_path / "val"
    (export / "masks").mkdir(parents=True)
    image = shapes.split("val")[0]
    (export / "masks" / f"{image.image}.png").write_bytes(encode_mask(np.zeros(image.size, np.uint8)))
    (export / "classes.txt").write_text("".join(f"{name}\n" for name in shapes.classes))
    with pytest.raises(DataError, match=r"has no coco\.json"):
        write_masks_folder(tmp_path / "out", export, shapes.root / "card.json", "CC0-1.0")
    write_json(export / "coco.json", {"info": {}, "images": [], "annotations": []})
    write_masks_folder(tmp_path / "out", export, shapes.root / "card.json", "CC0-1.0")
    head = metadata_load(tmp_path / "out" / "README.md")
    assert head["license"] == "cc0-1.0" and head["configs"][0]["data_files"][0]["split"] == "val"
    line = json.loads((tmp_path / "out" / "masks" / "metadata.jsonl").read_text())
    assert line == {"file_name": f"{image.image}.png", "image": image.image}
