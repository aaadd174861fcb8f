"""Small networks whose attention refines maps, and how they are explained."""

import torch

from seedbed.data.index import DataIndex
from seedbed.models import create_model
from seedbed.params.stages import Explainer


def network(kind, index: DataIndex):
    """A small network whose attention is uneven: the maps of a flat one are rounding errors, stretched to 0..1."""
    torch.manual_seed(0)
    small = {"embed_dim": 16, "depth": 3, "num_heads": 2, "similarity": 0.0}
    if kind == "mct_refined":
        model = create_model("mctformerv2_tiny", len(index.classes), img_size=48, **small)
    else:
        model = create_model("conformer_tiny_demo", len(index.classes), width=8, stem_width=8, **small)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("attn.qkv.weight"):
                parameter *= 30
    return model


def explainer(method, **changes):
    fusion = "mctformer" if method == "mct_refined" else "transcam"
    values = {"method": method, "input": {"normalize": "imagenet"}, "fusion": fusion, "background": 0.4, "sweep": True}
    return Explainer.model_validate({**values, "batch_size": 3, **changes})
