"""Training a segmentation network on pseudo masks, and its predictions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.data.ahead import read_ahead
from seedbed.data.datasets import MaskedPictures
from seedbed.data.images import read_picture
from seedbed.data.index import DataIndex, Record
from seedbed.data.scaling import cv2_cubic, scaled_sides
from seedbed.data.transforms import build_transform
from seedbed.data.views import InputView, view
from seedbed.data.workers import Workers
from seedbed.devices.memory import Fitting
from seedbed.errors import ParameterError
from seedbed.models.outputs import pixel_scores_of
from seedbed.models.registry import create_model
from seedbed.refine.crf import dense_crf_labels
from seedbed.refine.crf_image import picture_for_crf
from seedbed.refine.fusion import FUSIONS, fuse_scales
from seedbed.settings.dense_crf import CrfSettings
from seedbed.settings.optimisation import Training
from seedbed.train.classifier import Trained, load_into
from seedbed.train.loop import fit
from seedbed.train.objectives import build_objective
from seedbed.train.windows import Windows, over_windows


@dataclass(frozen=True, kw_only=True)
class PredictionSettings:
    """How a network predicts masks.

    Attributes:
        input: how an image is brought to the network at scale 1.
        fusion: of the scales, see `seedbed.refine.fusion`.
        scales: factors on the input's size.
        flip: predict each scale's mirror image too.
        unmirrored: scales that are predicted plain instead, twice, so that all scales weigh the same in a mean.
        short_side: shorter side of an image at scale 1, its shape kept; None: ``input`` says its size.
        longest_side: first bring the longer side of normalised pixels to it, bilinearly; the sides are cut down
            (WeCLIP's). None: as the image is.
        window: windows that slide over each scaled input; None: the network sees it whole.
        scaling: resize the 8-bit ``image``; or normalised pixels: the ``tensor`` with aligned corners, ``linear``,
            bilinear without aligned corners, to the input's size first (WeakTr's, ToCo's), the same ``by_factor``
            (WeCLIP's) or ``squeezed`` straight to the scaled input's size (ExCEL's), or by OpenCV's bicubic filter and
            by the factor, ``cv2_cubic`` (TransCAM's).
        rounding: of the sides of scaled inputs, see `seedbed.data.scaling.ROUNDINGS`.
        crf_image: what the CRF sees, see `picture_for_crf`.
        crf_labels: the CRF is told of ``all`` labels, or of those that are ``winning`` somewhere (WeakTr's).
    """

    input: InputView
    fusion: str
    scales: Sequence[float] = (1.0,)
    flip: bool = False
    unmirrored: Sequence[float] = ()
    short_side: int | None = None
    longest_side: int | None = None
    window: Windows | None = None
    scaling: Literal["image", "tensor", "linear", "by_factor", "squeezed", "cv2_cubic"] = "image"
    rounding: Literal["nearest", "down"] = "nearest"
    crf_image: str = "own"
    crf_labels: Literal["all", "winning"] = "all"


@dataclass(frozen=True, kw_only=True)
class SegmenterSettings(PredictionSettings):
    """A segmentation network, its training and its predictions.

    Attributes:
        architecture, options: as `create_model` takes them.
        train: its training.
        weights_options: how a weights file fills it, see `load_into`.
    """

    architecture: str
    train: Training
    options: Mapping[str, Any] = field(default_factory=dict)
    weights_options: Mapping[str, Any] = field(default_factory=dict)


def build_segmenter(settings: SegmenterSettings, num_classes: int, seed: int, weights: str | Path | None) -> nn.Module:
    """Return the network for ``num_classes`` classes and background; a weights file fills its backbone."""
    torch.manual_seed(seed)
    model = create_model(settings.architecture, num_classes + 1, **settings.options)
    if weights is not None:
        load_into(model, weights, **settings.weights_options)
    return model


def train_segmenter(
    index: DataIndex,
    masks: Mapping[str, np.ndarray],
    settings: SegmenterSettings,
    *,
    seed: int,
    weights: str | Path | None,
    state_path: Path,
    fingerprint: dict[str, Any],
    device: torch.device,
    circumstances: Mapping[str, Any] | None = None,
) -> Trained:
    """Train on the images of ``settings.train.split`` with ``masks`` by image id."""
    training = settings.train
    model = build_segmenter(settings, len(index.classes), seed, weights)
    objective = build_objective(training.loss, **training.loss_options)
    transform = build_transform(training.augment, settings.input.normalize)
    data = MaskedPictures(index, index.split(training.split), masks, transform)
    options: dict[str, Any] = {"seed": seed, "state_path": state_path, "device": device, "circumstances": circumstances}
    return Trained(*fit(model, data, objective, training, fingerprint=fingerprint, **options))


def predict_masks(
    model: nn.Module,
    index: DataIndex,
    records: Sequence[Record],
    settings: PredictionSettings,
    crf: CrfSettings | None,
    device: torch.device,
    workers: Workers | None = None,
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (image id, uint8 [H, W] label map) of each image: all scales and mirrored views fused, then the CRF.

    The network is one for segmentation, or a classifier that predicts masks itself, see `seedbed.models.registry`.
    Scores stay on the device until they are fused; without a CRF, until they are labels.

    Args:
        model, index, records, settings, device: network, images, and how it predicts them.
        crf: of the fused scores, or None.
        workers: run the CRF beside the network; None: this process does it.
    """
    fused = _fused_scores(model, index, records, settings, device, labels=crf is None)
    if crf is None:
        yield from ((image, labels) for image, _, labels in fused)
        return
    smooth = Smoothing(crf, settings.crf_image, settings.crf_labels)
    yield from map(smooth, fused) if workers is None else workers.map(smooth, fused, chunk=1)


@torch.inference_mode()
def _fused_scores(
    model: nn.Module,
    index: DataIndex,
    records: Sequence[Record],
    settings: PredictionSettings,
    device: torch.device,
    labels: bool,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield image id, image, and its fused scores, float32 [C, H, W], or the ``labels`` they win, uint8 [H, W]."""
    model = model.to(device).eval()
    # MCTformer's fusion enlarges the logits straight to the image, TransCAM's goes through the input's size.
    scores: Any = model.logits if FUSIONS.find(settings.fusion).of_logits else pixel_scores_of(model)
    scores = over_windows(scores, settings.window) if settings.window else scores
    one = Fitting("scaled images")
    grid = views_of(settings)

    def load(record: Record) -> tuple[Record, np.ndarray, list[Tensor]]:
        image = read_picture(index.root / record.path)
        return record, image, [scaled_view(image, settings, scale, flip) for scale, flip in grid]

    # A dozen views of an image are tens of megabytes: few wait.
    for record, image, views in read_ahead(records, load, depth=4):
        logits = (one(lambda x: scores(x.to(device)).float(), pixels[None])[0] for pixels in views)
        fused = fuse_scales(logits, image.shape[:2], settings.fusion, mirrored=[flip for _, flip in grid])
        found = fused.argmax(0).to(torch.uint8) if labels else fused
        yield record.image, image, found.cpu().numpy()


def views_of(settings: PredictionSettings) -> list[tuple[float, bool]]:
    """Scale of each view of an image, and whether it is mirrored."""
    flips = (False, True) if settings.flip else (False,)
    return [(scale, flip and scale not in settings.unmirrored) for scale in settings.scales for flip in flips]


@dataclass(frozen=True)
class Smoothing:
    """From an image and its fused scores to the labels of a CRF; it can be sent to another process."""

    crf: CrfSettings
    shown: str
    labels: Literal["all", "winning"] = "all"

    def __call__(self, item: tuple[str, np.ndarray, np.ndarray]) -> tuple[str, np.ndarray]:
        name, image, fused = item
        shown = picture_for_crf(image, self.shown)
        if self.labels == "all":
            return name, dense_crf_labels(shown, fused, self.crf).astype(np.uint8)
        winning = np.unique(fused.argmax(axis=0)).astype(np.uint8)
        return name, winning[dense_crf_labels(shown, fused[winning], self.crf)]


def scaled_view(image: np.ndarray, settings: PredictionSettings, scale: float, flip: bool) -> Tensor:
    """One view [3, h, w] of an image, scaled before or after its normalisation, then mirrored."""
    first = settings.scaling != "image"
    if settings.longest_side is not None and not first:
        raise ParameterError("longest_side: resizes normalised pixels; choose another `scaling` than image.")
    if settings.short_side is not None:
        scale = scale * settings.short_side / min(image.shape[:2])
    pixels = view(
        image,
        size=None if settings.scaling in ("linear", "squeezed") else settings.input.size,
        scale=1.0 if first else scale,
        flip=flip and not first,
        interpolation=settings.input.interpolation,
        rounding=settings.rounding,
        normalisation=settings.input.normalize,
    )
    if not first:
        return pixels
    pixels = scaled_pixels(pixels, settings, scale)
    return pixels.flip(-1) if flip else pixels


def scaled_pixels(pixels: Tensor, settings: PredictionSettings, scale: float) -> Tensor:
    """Normalised pixels [3, H, W] of an image at a scale, where the settings scale them."""
    if settings.scaling == "linear" and settings.input.size is not None:
        pixels = _bilinear(pixels, settings.input.size, aligned=False)
    if settings.longest_side is not None:
        factor = settings.longest_side / max(pixels.shape[-2:])
        pixels = _bilinear(pixels, scaled_sides(pixels.shape[-2:], factor, "down"), aligned=False)
    sides = settings.input.size if settings.scaling == "squeezed" else None
    size = scaled_sides(sides or pixels.shape[-2:], scale, settings.rounding)
    if settings.scaling == "cv2_cubic":
        return cv2_cubic(pixels, size, scale)
    if settings.scaling == "by_factor":  # the factor itself, not the size it leads to, drives the sampling grid
        return F.interpolate(pixels[None], scale_factor=scale, mode="bilinear", align_corners=False)[0]
    return _bilinear(pixels, size, aligned=settings.scaling == "tensor")


def _bilinear(pixels: Tensor, size: Sequence[int], aligned: bool) -> Tensor:
    return F.interpolate(pixels[None], size=tuple(size), mode="bilinear", align_corners=aligned)[0]
