"""What the golden tests of the networks share: reading recordings, and the recorded networks with their weights."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from seedbed.models import create_model, load_weights

DATA = Path(__file__).parent / "data"
TOLERANCE = 2e-5  # greatest error over greatest value


def recorded(name: str) -> dict[str, np.ndarray]:
    """Arrays of a data file; what is stored as float16 is exactly the recorded float32."""
    with np.load(DATA / f"{name}.npz") as arrays:
        return {k: a.astype(np.float32) if a.dtype == np.float16 else a for k, a in arrays.items()}


def weights(arrays: dict[str, np.ndarray], prefix: str = "w/") -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): torch.from_numpy(a) for k, a in arrays.items() if k.startswith(prefix)}


def assert_close(ours: torch.Tensor, theirs: np.ndarray, tolerance: float = TOLERANCE) -> None:
    ours = ours.detach().numpy()
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()


def psa_classifier() -> tuple[dict[str, np.ndarray], nn.Module]:
    z = recorded("models_resnet38_classifier")
    model = create_model("resnet38", 20, width_divisor=int(z["divisor"]))
    load_weights(model, weights(z))
    return z, model.eval()


def mctformer_v2() -> tuple[dict[str, np.ndarray], nn.Module]:
    return _mctformer("models_mctformer", "mctformerv2_small")


def mctformer_plus() -> tuple[dict[str, np.ndarray], nn.Module]:
    return _mctformer("models_mctformer_plus", "mctformer_plus_small", unused_img_size=64)


def _mctformer(recording: str, name: str, **options: int) -> tuple[dict[str, np.ndarray], nn.Module]:
    z = recorded(recording)
    config = {key: int(z[f"cfg/{key}"]) for key in ("img_size", "embed_dim", "depth", "mlp_ratio")}
    names = {"num_heads": int(z["cfg/heads"]), "patch_size": int(z["cfg/patch"]), "drop_path_rate": 0.0}
    model = create_model(name, int(z["cfg/num_classes"]), **config, **names, **options)
    load_weights(model, weights(recorded(f"{recording}_weights")))
    return z, model.eval()


def conformer() -> tuple[dict[str, np.ndarray], nn.Module]:
    z = recorded("models_conformer")
    model = create_model(
        "conformer_small",
        int(z["cfg/num_classes"]),
        width=round(int(z["cfg/base_channel"]) * float(z["cfg/channel_ratio"])),
        embed_dim=int(z["cfg/embed_dim"]),
        depth=int(z["cfg/depth"]),
        num_heads=int(z["cfg/heads"]),
        drop_path_rate=0.0,
    )
    early, late = (recorded(f"models_conformer_weights_{part}") for part in ("early", "late"))
    load_weights(model, weights({**early, **late}))
    return z, model.eval()
