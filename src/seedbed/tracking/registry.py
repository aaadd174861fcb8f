"""Trained networks in MLflow's model registry, with a signature; only where somebody asks for it."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import seedbed
from seedbed.errors import DataError
from seedbed.io.atomic import read_json, write_json
from seedbed.report.hub import network_config
from seedbed.tracking.runs import experiment, one_at_a_time

EXPERIMENT = "seedbed/models"
_NEEDED = (
    "mlflow",
    "numpy",
    "torch",
    "torchvision",
    "timm",
    "safetensors",
    "pydantic",
    "pyyaml",
    "scipy",
    "h5py",
    "pillow",
)


def register(weights: str | Path, card: str | Path, name: str, uri: str) -> int:
    """Put a trained network into the registry as the next version of ``name``; returns its number.

    What is registered needs no Seedbed where it is loaded: the library's code lies beside the weights. It takes RGB
    images in 0..1, float32 [B, 3, H, W], normalises them, and gives logits: [B, C] of a classifier, [B, C, h, w] of a
    segmentation network, whose class 0 is the background.

    Args:
        weights: ``model.safetensors`` of a classifier or segmentation network trained here.
        card: ``card.json`` of the data set it was trained on.
        name: of the registered model.
        uri: tracking store, whose registry it goes into.

    Raises:
        DataError: the file was not written by a training of Seedbed, belongs to other data than the card, or the store
            does not take it.
    """
    config = network_config(Path(weights), read_json(card))
    with one_at_a_time(uri), tempfile.TemporaryDirectory() as folder:
        import mlflow

        described = Path(folder) / "config.json"
        write_json(described, config)
        try:
            where = experiment(mlflow.MlflowClient(tracking_uri=uri), EXPERIMENT, uri)
            with asked_of(uri), mlflow.start_run(experiment_id=where, run_name=name):
                mlflow.set_tags({"seedbed.data_sha256": config["provenance"]["data_sha256"]})
                logged = mlflow.pyfunc.log_model(
                    name="network",
                    python_model=str(Path(__file__).with_name("served_network.py")),
                    artifacts={"weights": str(weights), "config": str(described)},
                    code_paths=[str(Path(seedbed.__file__).parent)],
                    pip_requirements=[f"{package}=={version(package)}" for package in _NEEDED],
                    signature=signature(config),
                    registered_model_name=name,
                )
        except mlflow.exceptions.MlflowException as error:
            raise DataError(f"{weights}: MLflow at {uri} does not take it: {error}") from None
    return int(logged.registered_model_version)


@contextlib.contextmanager
def asked_of(uri: str) -> Iterator[None]:
    """Let MLflow's functions speak with a store; they remember it in this process and its environment until the end."""
    import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield
    finally:
        mlflow.set_registry_uri(None)  # type: ignore[arg-type]
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before


def signature(config: Mapping[str, Any]) -> Any:
    """MLflow's signature of a network: shapes and types of what goes in and comes out; -1 is any size.

    Args:
        config: see `seedbed.report.hub.network_config`.
    """
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Schema, TensorSpec

    size = config["input"]["size"] or (-1, -1)
    pixels = (-1, -1) if config["task"] == "image-segmentation" else ()
    one = np.dtype("float32")
    return ModelSignature(
        inputs=Schema([TensorSpec(one, (-1, 3, *size), "images")]),
        outputs=Schema([TensorSpec(one, (-1, config["num_classes"], *pixels), "logits")]),
    )
