"""Every explainer against maps recorded from its authors' published code, in float64, one image at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from seedbed.explain import explain, min_max, upsample
from seedbed.explain.forward import read_rows, run_blocks
from seedbed.explain.gradients import at_attention, at_mixed_values, logit_gradient, through_attention, through_mlp
from seedbed.explain.relevance import logit_relevance, past_attention, past_mlp, to_attention
from seedbed.explain.relevance_rules import rules_named
from seedbed.explain.targets import Pairs
from seedbed.explain.vit import ViT

DATA = Path(__file__).parent / "data"
TOLERANCE = 1e-8  # greatest error over greatest value
RECORDED = {3: 77, 2: 40}  # maps of the square and of the oblong images, by how many images there are


class Recording:
    """A recorded model and its maps. The published LRP models have 1e-5 in their final norm, the others 1e-6."""

    def __init__(self, name: str):
        self.arrays = {}
        for part in ("maps", "between"):
            with np.load(DATA / f"explainers_{name}_{part}.npz") as arrays:
                self.arrays |= dict(arrays)
        with np.load(DATA / f"explainers_{name}_weights.npz") as arrays:
            state = {key.removeprefix("w/"): torch.from_numpy(value) for key, value in arrays.items()}
        config = {key.removeprefix("cfg/"): value for key, value in self.arrays.items() if key.startswith("cfg/")}
        config.pop("batch")
        config = {key: tuple(v.tolist()) if v.ndim else v.item() for key, v in config.items()}
        self.model = VisionTransformer(**config).double().eval()
        self.model.load_state_dict(state)
        self.images = torch.from_numpy(self.arrays["x"]).double()

    def with_eps(self, eps: float) -> VisionTransformer:
        self.model.norm.eps = eps
        return self.model

    def classes(self, case: str) -> torch.Tensor:
        return torch.from_numpy(self.arrays[f"class/{case}"])


@pytest.fixture(scope="module", params=["square", "rect"])
def recording(request) -> Recording:
    return Recording(request.param)


def call_for(key: str) -> tuple[str, dict, float] | None:
    """Return the method, its options and the final norm's eps that recorded ``key``, a name under ``out/``."""
    kind, *rest = key.split("/")
    start = {"start_layer": int(rest[-1][1:])} if rest and rest[-1][0] == "s" else {}
    if kind == "rollout":
        return "rollout", start, 1e-6
    if kind == "rollout_agcamrepo":
        fusion, ratio = rest[0].split("_")
        return "rollout", {"fusion": fusion, "discard_ratio": float(ratio), "normalisation": "agcam"}, 1e-6
    if kind.startswith("lrp_last") or kind.startswith("lrp_second"):
        _, layer, rules, *ablation = kind.split("_")
        return "partial_lrp", {"layer": -1 if layer == "last" else 1, "rules": rules, "ablation": bool(ablation)}, 1e-5
    if kind.startswith("lrp_full"):
        return "lrp", {"rules": kind.split("_")[2]}, 1e-5
    simple = {
        "raw_attn_last": ("raw_attention", {}, 1e-5),
        "attn_gradcam": ("gradcam", {}, 1e-6),
        "attn_gradcam_raw": ("gradcam", {"normalise": False}, 1e-6),
        "generic": ("generic_attribution", start, 1e-6),
        "agcam": ("attention_guided_cam", {}, 1e-6),
        "ta": ("transformer_attribution", start, 1e-5),
        "lrp_rollout": ("transformer_attribution", {**start, "gradient": False}, 1e-5),
    }
    return simple.get(kind)


def test_every_recorded_map_is_reproduced(recording):
    compared = 0
    for key in (name.removeprefix("out/") for name in recording.arrays if name.startswith("out/")):
        call = call_for(key)
        if call is None:
            assert key.split("/")[0] in ("logits_lrp", "logits_eps6", "agcam_up", "ta_up", "generic_up")
            continue
        method, options, eps = call
        case = next((part for part in key.split("/") if f"class/{part}" in recording.arrays), None)
        targets = recording.classes(case) if case else None
        found = explain(recording.with_eps(eps), recording.images, targets, method, **options)
        assert_equal(key, found, recording.arrays[f"out/{key}"])
        compared += 1
    assert compared == RECORDED[len(recording.images)]


def assert_equal(key: str, found: torch.Tensor, recorded: np.ndarray) -> None:
    recorded = torch.from_numpy(recorded)
    found = found.reshape(recorded.shape)
    assert torch.equal(found.isnan(), recorded.isnan()), key
    error = (found - recorded).nan_to_num().abs().max() / recorded.nan_to_num().abs().max()
    assert error <= TOLERANCE, f"{key}: {error:.1e}"


def test_predicted_classes_and_logits(recording):
    for key, eps in (("logits_lrp", 1e-5), ("logits_eps6", 1e-6)):
        with torch.no_grad():
            logits = recording.with_eps(eps)(recording.images)
        assert_equal(key, logits, recording.arrays[f"out/{key}"])
        assert torch.equal(logits.argmax(1), recording.classes("pred"))


def test_some_gradcam_maps_are_undefined_as_published():
    recording = Recording("square")
    maps = explain(recording.with_eps(1e-6), recording.images, recording.classes("pred"), "gradcam")
    assert maps.isnan().flatten(1).all(1).tolist() == [
        bool(np.isnan(m).all()) for m in recording.arrays["out/attn_gradcam/pred"]
    ]
    assert maps.isnan().any()


def test_upsampled_and_scaled_maps(recording):
    calls = {
        "agcam_up": ("attention_guided_cam", {}, 1e-6),
        "ta_up": ("transformer_attribution", {"start_layer": 1}, 1e-5),
        "generic_up": ("generic_attribution", {}, 1e-6),
    }
    for kind, (method, options, eps) in calls.items():
        if f"out/{kind}/pred" in recording.arrays:
            targets = recording.classes("pred")
            maps = explain(recording.with_eps(eps), recording.images, targets, method, **options)
            found = min_max(upsample(maps, tuple(recording.images.shape[-2:])))
            np.testing.assert_allclose(found, recording.arrays[f"out/{kind}/pred"], atol=1e-6)


@torch.no_grad()
def test_intermediate_attention_gradients_and_relevances(recording):
    arrays = recording.arrays
    for name in ("ours", "orig"):
        vit, rules = ViT(recording.with_eps(1e-5)), rules_named(name)
        readout = vit.readout()
        records = list(run_blocks(vit, vit.embed(recording.images[:1])[0], readout))
        pairs = Pairs(torch.tensor([0]), recording.classes("pred")[:1], 1)
        relevance = logit_relevance(readout, records[-1], rules, pairs)
        gradient = logit_gradient(readout, records[-1], pairs)
        if name == "ours":  # LayerNorm and the choice of the class token pass it on unchanged
            assert_equal("head", relevance[0, 0], arrays["mid/rel_after_head"])
        for step, record in enumerate(reversed(records)):
            index = len(records) - 1 - step
            if name == "ours":
                assert_equal("tokens", relevance[0], arrays["mid/rel_tokens_ours"][step][record.rows])
            parts = to_attention(record, past_mlp(record, relevance, rules, pairs), rules, pairs)
            middle = through_mlp(record, gradient, pairs)
            mixed = at_mixed_values(record, middle)
            at_scores = at_attention(record, mixed, pairs)
            assert_equal("attn", record.attention[0], arrays["mid/attn"][index][:, record.rows])
            assert_equal("attn_grad", at_scores[0], arrays["mid/attn_grad"][index][:, record.rows])
            assert_equal("attn_cam", parts[1][0], arrays[f"mid/attn_cam_{name}"][index][:, record.rows])
            relevance = past_attention(record, *parts, rules, pairs)
            gradient = through_attention(record, middle, mixed, at_scores, pairs)
        if name == "ours":
            assert_equal("tokens", relevance[0], arrays["mid/rel_tokens_ours"][-1])


@torch.no_grad()
def test_scores_and_gradients_of_attention_guided_cam():
    """Its gradient flows past the attention branches, along the class token's row alone."""
    recording = Recording("square")
    vit = ViT(recording.with_eps(1e-6))
    readout = vit.readout()
    blocks = run_blocks(vit, vit.embed(recording.images[:1])[0], readout)
    records = [read_rows(record, readout.rows) for record in blocks]
    pairs = Pairs(torch.tensor([0]), recording.classes("pred")[:1], 1)
    gradient = logit_gradient(readout, records[-1], pairs)
    for index, record in reversed(list(enumerate(records))):
        gradient = through_mlp(record, gradient, pairs)
        at_softmax = at_attention(record, at_mixed_values(record, gradient), pairs)
        assert_equal("gradient", at_softmax[0], recording.arrays["mid/agcam_grad_cls"][index])
        assert_equal("scores", record.scores[0], recording.arrays["mid/agcam_scores_cls"][index])
