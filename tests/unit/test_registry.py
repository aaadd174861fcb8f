"""A trained network in MLflow's registry: with a signature that holds, and the same logits when it is loaded."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from seedbed.data.normalise import normalise
from seedbed.errors import DataError
from seedbed.io.atomic import read_json
from seedbed.io.weights import write_weights
from seedbed.models import create_model
from seedbed.params.stages import Classifier
from seedbed.report.hub import network_config
from seedbed.tracking.registry import asked_of, register, signature

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
mlflow = pytest.importorskip("mlflow")
INPUT = {"size": [96, 96], "normalize": "half"}


@pytest.fixture
def trained(shapes, tmp_path):
    """Weights as a training leaves them, the data set's card, and the network."""
    card = read_json(shapes.root / "card.json")
    torch.manual_seed(1)
    model = create_model("vit_tiny_patch8_96", len(card["classes"])).eval()
    settings = Classifier(architecture="vit_tiny_patch8_96", input=INPUT).plain()
    made = {"parameters": {"model": settings}, "data_sha256": card["sha256"], "code": {"seedbed": "0"}, "seed": 0}
    write_weights(tmp_path / "model.safetensors", model.state_dict(), made)
    return tmp_path / "model.safetensors", shapes.root / "card.json", model


def test_the_registered_network_gives_its_logits_wherever_the_store_lies(trained, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    weights, card, model = trained
    store = tmp_path / "results"
    assert register(weights, card, "animals", f"sqlite:///{store}/mlflow.db") == 1
    assert register(weights, card, "animals", f"sqlite:///{store}/mlflow.db") == 2
    assert "MLFLOW_TRACKING_URI" not in os.environ
    moved = tmp_path / "moved"
    shutil.move(store, moved)
    uri = f"sqlite:///{moved}/mlflow.db"
    done = subprocess.run(
        [sys.executable, "-m", "seedbed.tracking", str(moved)], capture_output=True, text=True, timeout=600, check=False
    )  # follows the store to where it lies
    assert done.returncode == 0 and "Sent 0 waiting record(s)" in done.stdout, done.stderr
    with asked_of(uri):
        loaded = mlflow.pyfunc.load_model("models:/animals/2")
        code = Path(mlflow.artifacts.download_artifacts("models:/animals/2")) / "code" / "seedbed" / "models"
    images = np.random.default_rng(0).random((2, 3, 96, 96), dtype=np.float32)
    with torch.no_grad():
        expected = model(normalise(torch.from_numpy(images) * 255, "half"))
    torch.testing.assert_close(torch.from_numpy(loaded.predict({"images": images})["logits"]), expected)
    with pytest.raises(mlflow.exceptions.MlflowException, match="images"):
        loaded.predict({"images": images[:, :1]})
    assert code.is_dir(), "the library lies beside the weights"


def test_signatures_by_hand(trained):
    weights, card, _ = trained
    config = network_config(weights, read_json(card))
    (image,), (logits,) = signature(config).inputs.inputs, signature(config).outputs.inputs
    assert image.shape == (-1, 3, 96, 96) and logits.shape == (-1, 6)
    free = {**config, "task": "image-segmentation", "num_classes": 7, "input": {**config["input"], "size": None}}
    (image,), (scores,) = signature(free).inputs.inputs, signature(free).outputs.inputs
    assert image.shape == (-1, 3, -1, -1) and scores.shape == (-1, 7, -1, -1)


def test_other_weights_are_refused(trained, tmp_path):
    _, card, model = trained
    write_weights(tmp_path / "other.safetensors", model.state_dict(), {})
    with pytest.raises(DataError, match="was not written by a training"):
        register(tmp_path / "other.safetensors", card, "animals", f"sqlite:///{tmp_path}/mlflow.db")
    assert not (tmp_path / "mlflow.db").exists()
