"""What MLflow runs of a registered network: a copy of this file lies beside its weights ("models from code")."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from seedbed.io.weights import read_weights
from seedbed.models import create_model
from seedbed.models.outputs import logits_of


class ServedNetwork(PythonModel):
    """A classifier or segmentation network with its normalisation."""

    def load_context(self, context: PythonModelContext) -> None:
        """Build the network and load its weights."""
        config = json.loads(Path(context.artifacts["config"]).read_text())
        self.mean, self.std = (torch.tensor(config["input"][key]).view(3, 1, 1) for key in ("mean", "std"))
        self.network = create_model(config["architecture"], config["num_classes"], **config["options"]).eval()
        self.network.load_state_dict(read_weights(context.artifacts["weights"]))

    def predict(self, context: Any, model_input: Any, params: Any = None) -> dict[str, np.ndarray]:
        """Logits of RGB images in 0..1, float32 [B, 3, H, W]."""
        images = torch.from_numpy(np.asarray(model_input["images"], np.float32))
        with torch.no_grad():
            return {"logits": logits_of(self.network((images - self.mean) / self.std)).numpy()}


set_model(ServedNetwork())
