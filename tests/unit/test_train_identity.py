"""Which parameters decide a training's weights: a resume state outlives a change of all others."""

import pytest
import test_train_affinity
import test_train_classifier
import test_train_segmentation

from seedbed.train.resume_identity import what_trains

MODULES = {
    "classifier": test_train_classifier,
    "affinity": test_train_affinity,
    "segmentation": test_train_segmentation,
}
LABELS = {"crf": "any", "alpha_low": 2, "alpha_high": 8, "rule": "vit_affinity"}


def identity(kind, train=None, **changes):
    """What of a network's section with these changes decides its weights."""
    return what_trains(kind, MODULES[kind].settings(train or {}, **changes).plain())


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("classifier", {"input": {"size": [32, 32], "normalize": "half"}}),
        ("classifier", {"held_out": "train"}),
        ("classifier", {"prediction": {"flip": True}}),
        ("classifier", {"weights": "another_name"}),
        ("classifier", {"train": {"loader_workers": 3, "save_every_seconds": 7, "log_every": 9}}),
        ("affinity", {"labels": {**LABELS, "crf": "of another name", "alpha_low": 3}}),
        ("affinity", {"weights": "classifier", "classifier": "another_name"}),
        ("segmentation", {"scales": [0.5, 1.0], "flip": True, "fusion": "max_probability"}),
        ("segmentation", {"crf": "any", "crf_image": "rebuilt", "scaling": "tensor", "rounding": "down"}),
        ("segmentation", {"per_dataset": {"coco14": {"train": {"epochs": 9}}}}),
    ],
)
def test_what_is_used_later_or_known_by_its_content_does_not_enter(kind, changes):
    assert identity(kind, **changes) == identity(kind)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("classifier", {"options": {**test_train_classifier.OPTIONS, "proj_drop_rate": 0.3}}),
        ("classifier", {"train": {"augment": [{"normalize": "half"}]}}),
        ("classifier", {"train": {"split": "train"}}),
        ("classifier", {"train": {"loss_options": {"reduction": "sum"}, "loss": "multilabel_soft_margin"}}),
        ("affinity", {"labels": {**LABELS, "rule": "transcam"}}),
        ("affinity", {"radius": 4}),
        ("affinity", {"photometric": [{"color_jitter": [0.3, 0.3, 0.3, 0.1]}]}),
        ("affinity", {"train": {"loss_options": {"eps": 1e-5}}}),
        ("segmentation", {"weights_options": {"layout": "other"}}),
        ("segmentation", {"train": {"augment": [{"crop": 40}, {"normalize": "half"}]}}),
    ],
)
def test_what_changes_the_weights_enters(kind, changes):
    assert identity(kind, **changes) != identity(kind)


def test_the_normalisation_of_the_input_is_that_of_the_training():
    train = {"augment": [{"normalize": "input"}]}
    half, imagenet = (identity("classifier", train, input={"normalize": name}) for name in ("half", "imagenet"))
    assert half != imagenet


def test_settings_of_the_loop_are_left_to_it():
    trained = identity("segmentation")["network"]["train"]
    assert trained.keys() == {"split", "augment", "loss", "loss_options"}
