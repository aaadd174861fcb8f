"""From image to fused class map, against recordings of the published pipelines: scales, mirroring, normalisation."""

import numpy as np
import torch
import torch.nn.functional as F
from model_recordings import assert_close, conformer, psa_classifier, recorded, weights
from PIL import Image

from seedbed.explain.map_fusion import fuse_maps
from seedbed.models import create_model, load_weights
from seedbed.models.conformer_maps import conformer_maps
from seedbed.models.mctformer_maps import mctformer_maps

IMAGENET_MEAN, IMAGENET_STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])

torch.set_num_threads(1)


def normalised(image: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """Resize a uint8 image with PIL's bicubic filter, as the published scripts do, and normalise it: [1, 3, H, W]."""
    resized = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC), np.float32)
    return torch.from_numpy((resized / 255 - IMAGENET_MEAN) / IMAGENET_STD).permute(2, 0, 1)[None].contiguous()


def scaled(image: np.ndarray, scale: float) -> torch.Tensor:
    height, width = image.shape[:2]
    return normalised(image, (round(height * float(scale)), round(width * float(scale))))


def test_psa_cam_pipeline():
    (z, model), inside = psa_classifier(), recorded("models_resnet38_pipeline")
    maps = []
    for scale in z["scales"]:
        images = scaled(z["image"], scale)
        maps.append(tuple(model.cam(x)[0, z["cam_keys"]] for x in (images, images.flip(-1))))
    for k, ours in enumerate(one for pair in maps for one in pair):
        assert_close(ours, inside[f"cam_raw_{k}"])
    fused = fuse_maps(maps, z["image"].shape[:2], "psa")
    assert_close(fused, z["norm_cam"])
    greatest = torch.from_numpy(inside["sum_cam"].max(axis=(1, 2), keepdims=True))
    assert_close(fused * (greatest + 1e-5), inside["sum_cam"])


def test_mctformer_cam_pipeline():
    z = recorded("models_mctformer_pipeline")
    depth = sum(k.endswith("norm1.weight") for k in z)
    model = create_model("mctformerv2_small", 20, img_size=64, embed_dim=36, depth=depth, num_heads=3)
    load_weights(model, weights(z))
    model.eval()
    maps = []
    for scale in z["scales"]:
        images = scaled(z["image"], scale)
        pair = (mctformer_maps(model, x, int(z["layer_index"])).refined for x in (images, images.flip(-1)))
        maps.append(tuple(m[0, z["cam_keys"]] for m in pair))
    assert_close(scaled(z["image"], z["scales"][1])[0], z["input2"])
    assert_close(fuse_maps(maps, z["image"].shape[:2], "mctformer"), z["cams"])


def test_transcam_pipeline():
    model, z = conformer()[1], recorded("models_transcam_pipeline")
    maps = []
    for side in z["input_sizes"]:
        images = normalised(z["image"], (int(side), int(side)))
        pair = (conformer_maps(model, x).trans_cam for x in (images, images.flip(-1)))
        maps.append(tuple(m[0, z["cam_keys"] + 1] for m in pair))  # the first output is the background
    assert_close(maps[0][0], z["raw_256"])
    assert_close(maps[0][1], z["raw_256_flip"])
    assert_close(fuse_maps(maps, z["image"].shape[:2], "transcam"), z["norm_cam"])


def test_afa_fusion():
    """A toy network of one convolution, at three scales with mirrored images."""
    z = recorded("models_afa_fusion")
    images = torch.from_numpy(z["normalised"])
    height, width = images.shape[-2:]
    maps = []
    for scale in (1, 0.5, 1.5):
        size = (int(height * scale), int(width * scale))
        x = images if scale == 1 else F.interpolate(images, size=size, mode="bilinear", align_corners=False)
        pair = (F.conv2d(v, torch.from_numpy(z["w"]), torch.from_numpy(z["b"]), stride=16) for v in (x, x.flip(-1)))
        maps.append(tuple(pair))
    assert_close(maps[0][0], z["c0"])
    assert_close(fuse_maps(maps, (height, width), "afa"), z["cam"])
