"""Trainings of a few steps, run by the tests in one process and, as a program, in several that share every batch."""

import contextlib
import json
import os
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

sys.path.insert(0, str(Path(__file__).parent))

import training_toys as toys

from seedbed.devices.launch import rank
from seedbed.models import create_model
from seedbed.train.affinity import AffinityObjective
from seedbed.train.loop import fit
from seedbed.train.objectives import build_objective

CLASSES = 3


class Samples(Dataset):
    """Random images, and a second view, multi-hot labels or label maps beside them."""

    def __init__(self, size, kind, views=1, dtype=torch.float32):
        self.size, self.kind, self.views, self.dtype = size, kind, views, dtype

    def __len__(self):
        return 11

    def __getitem__(self, key):
        position, seed = key
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.randn(self.views, 3, 4, 4, generator=generator)
        views = F.interpolate(coarse, (self.size, self.size), mode="nearest").to(self.dtype)
        if self.kind == "labels":
            target = torch.tensor([float(position % 3 == 0), float(position % 2), float(position % 5 == 1)])
        else:
            # Maps with a share of void that differs from image to picture: a mean of means would be wrong.
            side = self.size // 4
            target = torch.randint(0, CLASSES + 1, (side, side), generator=generator)
            target[: 1 + position % side] = 255
        return (*views, target)


class Pixels(nn.Module):
    """A small segmentation network with batch statistics, dropout of values and of channels."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.Dropout2d(0.2, inplace=True),
            nn.Conv2d(8, CLASSES + 1, 3, 2, 1),
        )  # fmt: skip

    def forward(self, pictures):
        return self.layers(pictures)


def uneven(model):
    """Make the attention of a network with random weights as uneven as a trained one's."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("attn.qkv.weight"):
                parameter *= 30
    return model


def points():
    return toys.network(), toys.Points(), toys.WithMemory()


def classifier():
    return (
        create_model("vit_tiny_r_s8", CLASSES, img_size=32),
        Samples(32, "labels"),
        build_objective("multilabel_soft_margin"),
    )


def affinity():
    return create_model("affinitynet_hybrid_tiny", None), Samples(64, "maps"), AffinityObjective(5, eps=1e-6)


def exvit():
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 12, "depth": 3, "num_heads": 3, "fused_layers": 2,
             "hidden": 6, "num_attributes": 3, "drop_path_rate": 0.2}  # fmt: skip
    return create_model("exvit_small", CLASSES, **small), Samples(32, "labels", views=2), build_objective("exvit")


def aream():
    small = {"embed_dim": 16, "depth": 3, "num_heads": 2, "width": 8, "stem_width": 8, "drop_path_rate": 0.3}
    options = {"par_dilations": [1, 2], "thresholds": [0.3, 0.6], "warmup_steps": 1}
    # In float64: the maps of a random network are nearly flat, and rounding would decide what lies above a threshold.
    model = uneven(create_model("conformer_tiny_demo", CLASSES, **small)).double()
    return model, Samples(32, "labels", dtype=torch.float64), build_objective("conformer_aream", **options)


def pixels():
    return Pixels(), Samples(32, "maps"), build_objective("pixel_cross_entropy")


# Not AdamW: it gives a weight whose gradient is 0 but for rounding (a bias before batch normalisation) full steps.
SGD = {"optimizer": "sgd", "weight_decay": 0.01, "lr": 0.02}
ADAMW = {"optimizer": "adamw", "weight_decay": 0.01, "lr": 0.0005}
CASES = {
    "points": (points, {**SGD, "batch_size": 5, "ema_decay": 0.8, "clip_grad": 0.5}),
    "classifier": (classifier, {**SGD, "batch_size": 4}),
    "affinity": (affinity, {**SGD, "batch_size": 3}),
    "exvit": (exvit, {**ADAMW, "batch_size": 5, "ema_decay": 0.5}),
    "aream": (aream, {**SGD, "batch_size": 5}),
    "pixels": (pixels, {**SGD, "batch_size": 4, "loader_workers": 1}),
}


SOCKETS = Path("/proc/self/net/tcp")


def listening():
    """Local addresses, as the system writes them, that this process and the launcher listen on."""
    waiting = {}
    for table in (SOCKETS, SOCKETS.with_name("tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            if fields[3] == "0A":
                waiting[f"socket:[{fields[9]}]"] = fields[1].split(":")[0]
    links = []
    for path in (path for pid in ("self", os.getppid()) for path in Path(f"/proc/{pid}/fd").iterdir()):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself is closed by now
            links.append(str(path.readlink()))
    return [waiting[link] for link in links if link in waiting]


def train(case, folder, after_step=None):
    """Train a case for four steps or more; returns network and history, and leaves the state in ``folder``."""
    build, changes = CASES[case]
    torch.manual_seed(0)
    model, data, objective = build()
    settings = toys.settings(**({"epochs": 2, "log_every": 2} | changes))
    options = {"seed": 1, "state_path": Path(folder) / f"{case}.state", "fingerprint": {}, "device": toys.CPU}
    return fit(model, data, objective, settings, after_step=after_step, **options)


if __name__ == "__main__":
    folder = Path(sys.argv[1])

    def look(_, step):
        if step == 0 and SOCKETS.exists():
            (folder / f"listening{rank()}.json").write_text(json.dumps(listening()))

    for case in sys.argv[2:]:
        model, history = train(case, folder, look)
        if rank() == 0:
            torch.save({"model": model.state_dict(), "history": history.rows}, folder / f"{case}.pt")
