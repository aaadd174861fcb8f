"""WeakTr's segmentation network against arrays recorded from its authors' published code."""

import pytest
import torch
from model_recordings import assert_close, recorded, weights

from seedbed.models import create_model, load_weights

torch.set_num_threads(1)


def segmenter():
    z = recorded("weaktr_segmenter_weights")
    cfg = {key.removeprefix("cfg/"): value.item() for key, value in z.items() if key.startswith("cfg/")}
    ratio = cfg["d_ff"] / cfg["d_model"]
    model = create_model(
        "weaktr_segmenter", cfg["n_cls"], backbone="vit_tiny_patch8_96", img_size=cfg["image_size"],
        patch_size=cfg["patch_size"], unused_classes=len(z["w/encoder.head.bias"]), drop_path_rate=0.0,
        decoder_depth=cfg["decoder_layers"], decoder_heads=cfg["n_heads"], dropout=0.0,
        decoder_mlp_ratio=ratio, mlp_ratio=ratio,
        embed_dim=cfg["d_model"], depth=cfg["n_layers"], num_heads=cfg["n_heads"],
    )  # fmt: skip
    load_weights(model, weights(z), layout="checkpoint")
    return model


@pytest.mark.parametrize("case", range(3))
def test_network(case):
    model = segmenter().eval()
    found = recorded("weaktr_segmenter").items()
    z = {key.removeprefix(f"eval{case}/"): value for key, value in found if key.startswith(f"eval{case}/")}
    images = torch.from_numpy(z["x"])
    with torch.no_grad():
        encoded = model.encode(model._padded(images))
        decoded = model.decoder.tokens(encoded[:, 1:])
        small = model.logits(images)
        assert_close(encoded, z["encoder_tokens"])
        assert_close(model.decoder.cosines(decoded), z["cosine"])
        assert_close(small, z["masks_small"])
        assert_close(model(images)[: len(z["masks"])], z["masks"])
    if "decoder_tokens" in z:
        assert_close(decoded, z["decoder_tokens"])
    if "pos_embed" in z:
        assert_close(model.positions(tuple(small.shape[-2:])), z["pos_embed"])


@pytest.mark.parametrize(("classes", "total"), [(21, 26.322), (81, 26.345), (91, 26.349)])
def test_names_and_shapes(classes, total):
    z, recording = recorded("weaktr_parameters"), f"segmenter_deit_small_{classes}"
    with torch.device("meta"):
        model = create_model("weaktr_segmenter", classes)
    shapes = ([int(n) for n in shape if n >= 0] for shape in z[f"{recording}/shapes"])
    theirs = dict(zip(z[f"{recording}/names"].tolist(), shapes, strict=True))
    assert {name: list(tensor.shape) for name, tensor in model.named_parameters()} == theirs
    assert sum(parameter.numel() for parameter in model.parameters()) == z[f"{recording}/total"]
    assert round(z[f"{recording}/total"] / 1e6, 3) == total
