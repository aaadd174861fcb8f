"""From seeds to pseudo masks: propagation, pixel-adaptive refinement, dense CRF, affinities and their random walk.

Public names are looked up on first use, so that a process that only runs the dense CRF does not import torch.
A new refiner is one new file plus one line in ``_HOME``.
"""

from importlib import import_module

_HOME = {
    "propagate": "propagation",
    "propagate_sharpened": "propagation",
    "propagate_with_background": "propagation",
    "pixel_adaptive_refinement": "par",
    "cam_to_label": "reliable",
    "refine_cams_with_background": "reliable",
    "attention_affinity_labels": "reliable",
    "chebyshev_window": "reliable",
    "CRF_PRESETS": "crf",
    "CrfSettings": "crf",
    "dense_crf": "crf",
    "dense_crf_labels": "crf",
    "dense_crf_many": "crf",
    "label_crf": "crf_labels",
    "affinity_labels": "pairs",
    "affinity_matrix": "pairs",
    "affinity_offsets": "pairs",
    "affinity_pair_indices": "pairs",
    "shrink_radius": "pairs",
    "confident_labels": "confident",
    "confident_labels_from_scores": "confident",
    "mean_pool": "confident",
    "with_background": "background",
    "with_constant_background": "background",
    "random_walk": "walk",
    "affinity_loss": "losses",
    "attention_affinity_loss": "losses",
    "fuse_scales": "fusion",
    "picture_for_crf": "picture",
    "picture_from_normalised": "picture",
    "present_maps": "aream",
    "layer_weights": "aream",
    "fuse_layers": "aream",
    "reliable_labels": "aream",
    "layer_losses": "aream",
    "inverted_sum": "aream",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
