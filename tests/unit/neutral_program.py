"""A chain in small, from drawn images to the masks of a segmentation network: prints a checksum of each artifact.

Run as a program, so that it can run on a changed copy of the library (PYTHONPATH).
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch

from seedbed.data.shapes import make_shapes
from seedbed.data.views import InputView
from seedbed.explain.dataset_maps import picture_heatmaps
from seedbed.explain.heatmap_settings import HeatMapSettings
from seedbed.io.heatmaps import HeatMapStore, write_heatmaps
from seedbed.io.masks import MaskStore, write_masks
from seedbed.refine.mask_making import argmax_refiner, crf_refiner, pseudo_masks
from seedbed.settings.dense_crf import CrfSettings
from seedbed.settings.optimisation import Training
from seedbed.train.classifier import ClassifierSettings, train_classifier
from seedbed.train.loop import finish
from seedbed.train.segmentation import SegmenterSettings, predict_masks, train_segmenter

CPU = torch.device("cpu")
VIEW = InputView("half", (48, 48))
OPTIMISER = {
    "lr": 0.01, "batch_size": 4, "epochs": 2, "iterations": None, "optimizer": "adamw", "momentum": 0.9, "beta2": 0.99,
    "weight_decay": 0.01, "schedule": "cosine", "power": 1.0, "schedule_extra": 0, "warmup_epochs": 0.0,
    "warmup_lr": 0.0, "final_lr": 0.0, "groups": "standard", "lr_scales": {}, "clip_grad": 1.0, "ema_decay": 0.0,
    "bf16": True, "save_every_seconds": 0.0, "log_every": 1, "compute_threads": 1, "loader_workers": 0,
    "split": "trainaug",
}  # fmt: skip
CRF = CrfSettings(3, 3, 3, 30, 13, 5)


def training(loss, **options):
    return Training(
        **OPTIMISER, augment=[{"horizontal_flip": 0.5}, {"normalize": "half"}], loss=loss, loss_options=options
    )


def network_of(model):
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def digest(values):
    parts = (f"{name} {np.ascontiguousarray(values[name]).tobytes().hex()}" for name in sorted(values))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def main(folder):
    index = make_shapes(folder / "data", seed=0, size=48, train=4, trainaug=8, val=2, single_object=False)
    run = {"seed": 0, "weights": None, "fingerprint": {"a": 1}, "device": CPU}
    options = {"img_size": 48, "patch_size": 8, "depth": 2, "embed_dim": 16, "num_heads": 2}
    given = ClassifierSettings("vit_tiny_patch16_224", VIEW, options=options, train=training("multilabel_soft_margin"))
    classifier = train_classifier(index, given, state_path=folder / "resume.pt", **run)
    finish(folder / "resume.pt")

    records = index.split("trainaug")
    explainer = HeatMapSettings("transformer_attribution", VIEW, fusion="min_max", batch_size=3)
    maps = picture_heatmaps(classifier.model.eval(), index, records, explainer, CPU)
    write_heatmaps(folder / "maps.h5", maps, {})
    stored = HeatMapStore([folder / "maps.h5"])
    write_masks(folder / "crf.zip", pseudo_masks(index, records, stored, crf_refiner(CRF, 2.0, 0.5)), {})
    write_masks(folder / "argmax.zip", pseudo_masks(index, records, stored, argmax_refiner(0.4)), {})

    masks = MaskStore([folder / "crf.zip"])
    loss = training("pixel_cross_entropy")
    architecture = "deeplab_v1_resnet38_tiny"
    settings = SegmenterSettings(architecture=architecture, input=InputView("half"), fusion="mean_logits", train=loss)
    segmenter = train_segmenter(index, masks, settings, state_path=folder / "segmenter.pt", **run)
    predicted = dict(predict_masks(segmenter.model.eval(), index, index.split("val"), settings, None, CPU))
    artifacts = {
        "classifier": network_of(classifier.model),
        "history": {"rows": np.array([list(row.values()) for row in classifier.history.rows])},
        "maps": {record.image: stored[record.image].maps for record in records},
        "crf": {record.image: masks[record.image] for record in records},
        "argmax": {r.image: MaskStore([folder / "argmax.zip"])[r.image] for r in records},
        "segmenter": network_of(segmenter.model),
        "predicted": predicted,
    }
    print(json.dumps({name: digest(values) for name, values in artifacts.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
