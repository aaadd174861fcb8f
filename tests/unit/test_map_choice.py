"""Choosing an epoch by how well maps fit ground truth."""

import pytest
import torch

from seedbed.data.views import InputView
from seedbed.errors import DataError
from seedbed.evaluate.map_choice import MapChoice, map_quality
from seedbed.evaluate.scoring import ScoringSettings, score_heatmaps
from seedbed.explain.dataset_maps import picture_heatmaps
from seedbed.explain.heatmap_settings import HeatMapSettings
from seedbed.models import create_model
from seedbed.settings.optimisation import Training
from seedbed.train.best_epoch import CHOICES
from seedbed.train.classifier import ClassifierSettings, train_classifier

torch.set_num_threads(1)
CPU = torch.device("cpu")
SMALL = {"img_size": 48, "embed_dim": 24, "depth": 2, "num_heads": 3, "reduction": 2, "feature_reduction": 2}


def network(index):
    torch.manual_seed(0)
    return create_model("weaktr_tiny", len(index.classes), **SMALL).eval()


def choice(**options):
    given = {"method": "weaktr", "fusion": "mctformer", "flip": False, "search": "full_scan", "batch_size": 2}
    return {**given, "backgrounds": [0.0, 0.59], **options}


def test_it_is_the_best_of_the_sweep_over_maps(shapes):
    """The same as heat maps that are made and scored by the pipeline's stages."""
    model, records = network(shapes), shapes.split("train")
    settings = HeatMapSettings(
        method="weaktr", fusion="mctformer", input=InputView("imagenet", None, "bicubic"), batch_size=2
    )
    maps = dict(picture_heatmaps(model, shapes, records, settings, CPU))
    expected = score_heatmaps(shapes, records, maps, ScoringSettings("in_either"), background=0.4, sweep=True)["miou"]
    score = CHOICES.find("maps")(shapes, choice(), "imagenet", CPU)
    assert score(model) == pytest.approx(expected, rel=1e-12)


def test_the_first_images_alone(shapes):
    model = network(shapes)
    few, every = (map_quality(model, shapes, MapChoice(**choice(images=n)), "imagenet", CPU) for n in (1, None))
    assert few != every


def test_a_split_without_images_is_refused(shapes):
    empty = shapes.__class__(shapes.root, shapes.classes, tuple(r for r in shapes.records if "train" not in r.splits))
    with pytest.raises(DataError, match="train"):
        map_quality(network(empty), empty, MapChoice(**choice()), "imagenet", CPU)


def test_training_keeps_an_epoch_and_is_the_same_otherwise(shapes, tmp_path):
    augment = [{"resize": [48, 48]}, {"normalize": "imagenet"}]
    options = {"loss": "weaktr", "augment": augment, "epochs": 3, "batch_size": 4, "lr": 0.01, "groups": "uniform"}
    settings = ClassifierSettings("weaktr_tiny", InputView("imagenet"), SMALL, train=Training(**options))
    given = {"seed": 0, "weights": None, "fingerprint": {}, "device": CPU}
    last, plain = train_classifier(shapes, settings, state_path=tmp_path / "last", **given)
    seen, by_maps = [], CHOICES.find("maps")(shapes, choice(), "imagenet", CPU)

    def score(model):
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return by_maps(model)

    kept, history = train_classifier(shapes, settings, state_path=tmp_path / "kept", score=score, **given)
    assert plain.rows == history.rows and len(seen) == 3
    assert all(torch.equal(tensor, seen[-1][name]) for name, tensor in last.state_dict().items())
    best = seen[history.kept["epoch"] - 1]
    assert all(torch.equal(tensor, best[name]) for name, tensor in kept.state_dict().items())
    assert by_maps(kept) == history.kept["score"]
