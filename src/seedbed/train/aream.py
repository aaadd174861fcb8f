"""Losses of AReAM's two backbones, with and without AReAM (He et al. 2023): MCTformer-V2 and Conformer with TransCAM.

A reader runs a backbone once and says what its classification costs and where its class maps, attention and scores are;
the objectives are the same for both.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.errors import ParameterError, unknown_name
from seedbed.models.attention_layers import patch_part
from seedbed.models.conformer import Conformer
from seedbed.models.mctformer import MCTformer
from seedbed.models.mctformer_maps import CLASS_ATTENTION_LAYERS, fuse
from seedbed.refine.aream import (
    RULES,
    SAMPLINGS,
    WEIGHT_SCALES,
    WEIGHTS,
    fuse_layers,
    inverted_sum,
    layer_losses,
    layer_weights,
    present_maps,
    reliable_labels,
)
from seedbed.refine.par import DILATIONS
from seedbed.refine.reliable import IGNORE, attention_affinity_labels

MCTFORMER_THRESHOLDS = (0.15, 0.35)
CONFORMER_THRESHOLDS = (0.35, 0.55)
MAPS = ("patch_cam", "fused")

Parts = tuple[Tensor, dict[str, Tensor]]


class Reading(NamedTuple):
    """What a backbone gives for a batch.

    Attributes:
        losses: terms of the classification loss by name, to be added up.
        maps: [B, C, h, w], signed maps of the labels' classes.
        attention, scores: per layer [B, T, T], averaged over heads, patches last; ``None`` unless asked for.
    """

    losses: dict[str, Tensor]
    maps: Tensor
    attention: list[Tensor] | None
    scores: list[Tensor] | None


Reader = Callable[[nn.Module, Tensor, Tensor, str | None], Reading]


def read_mctformer(
    model: nn.Module, pictures: Tensor, labels: Tensor, record: str | None, maps: str = "patch_cam"
) -> Reading:
    """Soft margin losses of class tokens and patch head (weight 1 each), and the patch head's maps.

    Args:
        model: an `MCTformer`.
        pictures: [B, 3, H, W].
        labels: [B, C] multi-hot.
        record: ``"mean"`` to keep attention and scores.
        maps: ``patch_cam``, equation 1's class activation map; ``fused``, its product with the class attention of the
            last layers, the map that MCTformer refines at inference.
    """
    output = model(pictures, attention=record, scores=record)
    losses = {
        "class": F.multilabel_soft_margin_loss(output.class_logits.float(), labels),
        "patch": F.multilabel_soft_margin_loss(output.patch_logits.float(), labels),
    }
    class_maps = output.patch_maps
    if maps == "fused" and record:
        class_maps = fuse(model, output, min(CLASS_ATTENTION_LAYERS, len(output.attention)))[1]
    return Reading(losses, class_maps, output.attention, output.scores)


def read_conformer(model: nn.Module, pictures: Tensor, labels: Tensor, record: str | None) -> Reading:
    """Soft margin loss of the sum of both heads' logits (TransCAM), and the convolutional head's maps.

    A network with one output more than there are labels has a background output in front, as published: it enters
    neither the loss nor the maps.

    Args:
        model: a `Conformer`.
        pictures: [B, 3, H, W].
        labels: [B, C] multi-hot.
        record: ``"mean"`` to keep attention and scores.

    Raises:
        ParameterError: the outputs are neither as many as the labels nor one more.
    """
    output = model(pictures, attention=record, scores=record)
    logits = output.conv_logits.float() + output.trans_logits.float()
    extra = logits.shape[1] - labels.shape[1]
    if extra not in (0, 1):
        raise ParameterError(
            f"The network has {logits.shape[1]} outputs for {labels.shape[1]} classes; it needs as many, or one more "
            "for the background in front."
        )
    losses = {"class": F.multilabel_soft_margin_loss(logits[:, extra:], labels)}
    return Reading(losses, output.conv_maps[:, extra:], output.attention, output.scores)


class Classification:
    """A backbone's classification loss of ``(pictures, multi-hot labels)``."""

    def __init__(self, network: type[nn.Module], read: Reader) -> None:
        self.network, self.read = network, read

    def bind(self, model: nn.Module) -> None:
        """Check that the network is the backbone that this loss reads."""
        check_network(model, self.network)

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Parts:
        losses = self.read(model, *batch, None).losses
        parts = {name: loss.detach() for name, loss in losses.items()} if len(losses) > 1 else {}
        return sum(losses.values()), parts


class AReAM(nn.Module):
    """Classification loss + ``loss_weight`` times equation 16, of ``(pictures, multi-hot labels)``.

    Labels and layer weights carry no gradient. Each part can be switched off.

    Args:
        network: class of the backbone.
        read: its reader.
        thresholds: ``(low, high)`` of equation 13, on maps in 0..1.
        loss_weight: weight of the attention loss. The paper does not print it; 0.1 is AFA's.
        warmup_steps: steps at the start with the classification loss alone, without reading any attention.
        weights: layer weights of equation 8: ``entropy``, ``literal`` or ``uniform``, see `layer_weights`.
        weight_scale: ``none``, ``sum`` or ``max``, see `layer_weights`.
        invert: supervise with one minus the weights (equation 16); false: all layers alike.
        threshold_rule: ``ignore_middle`` or ``literal``, see `reliable_labels`.
        par_iterations: of the pixel-adaptive refinement; 0 switches it off.
        par_dilations: of the refinement, in its pixels.
        downscale: resolution divisor of the refinement.
        sampling: ``nearest`` or ``mean``, from pixels to patches.
        ignore_padding: leave patches of zero padding out.
        radius: pairs at most so many patches apart (Chebyshev; AFA: 8); None: all pairs (equation 14).
        supervised_layers: which layers learn; None: all (equation 16), their weights deciding.

    Raises:
        ParameterError: a name is unknown or a number out of range.
    """

    def __init__(
        self,
        network: type[nn.Module],
        read: Reader,
        *,
        thresholds: Sequence[float],
        loss_weight: float = 0.1,
        warmup_steps: int = 0,
        weights: str = "entropy",
        weight_scale: str = "none",
        invert: bool = True,
        threshold_rule: str = "ignore_middle",
        par_iterations: int = 10,
        par_dilations: Sequence[int] = DILATIONS,
        downscale: int = 2,
        sampling: str = "nearest",
        ignore_padding: bool = True,
        radius: int | None = None,
        supervised_layers: Sequence[int] | str | None = None,
    ) -> None:
        super().__init__()
        for kind, name, known in (
            ("layer weighting", weights, WEIGHTS),
            ("scale of layer weights", weight_scale, WEIGHT_SCALES),
            ("threshold rule", threshold_rule, RULES),
            ("sampling", sampling, SAMPLINGS),
        ):
            if name not in known:
                raise ParameterError(unknown_name(kind, name, known))
        if loss_weight < 0 or warmup_steps < 0 or par_iterations < 0 or downscale < 1:
            raise ParameterError(
                f"loss_weight={loss_weight}, warmup_steps={warmup_steps} and par_iterations={par_iterations} must be 0 "
                f"or more, downscale={downscale} 1 or more."
            )
        if len(thresholds) != 2 or not 0 <= thresholds[0] <= thresholds[1] <= 1:
            raise ParameterError(f"thresholds must be [low, high] with 0 <= low <= high <= 1, got {list(thresholds)}.")
        self.network, self.read = network, read
        self.loss_weight, self.warmup_steps, self.invert = loss_weight, warmup_steps, invert
        self.radius, self.supervised_layers = radius, supervised_layers
        self.weighting = {"kind": weights, "scale": weight_scale}
        self.labelling = {
            "thresholds": tuple(thresholds),
            "rule": threshold_rule,
            "iterations": par_iterations,
            "dilations": tuple(par_dilations),
            "downscale": downscale,
            "sampling": sampling,
            "ignore_padding": ignore_padding,
        }
        # A buffer, so that a resumed run knows how far its warm-up has come.
        self.register_buffer("steps", torch.zeros((), dtype=torch.long, device="cpu"))

    def _apply(self, function: Callable[[Tensor], Tensor], recurse: bool = True) -> "AReAM":
        super()._apply(function, recurse)
        self.steps = self.steps.cpu()  # read at every step: from a GPU that would wait for the step before
        return self

    def bind(self, model: nn.Module) -> None:
        """Check that the network is the backbone that this loss reads."""
        check_network(model, self.network)

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Parts:
        """Return the loss and its parts: the classification terms, ``affinity`` (equation 16, unweighted) and
        ``uncertain``, the share of patches that the labels leave out.
        """
        pictures, labels = batch
        warm = int(self.steps) < self.warmup_steps
        self.steps += 1
        reading = self.read(model, pictures, labels, None if warm else "mean")
        total, parts = sum(reading.losses.values()), dict(reading.losses)
        if not warm:
            # The entropies of equation 8 differ in digits that bfloat16 does not have.
            with torch.autocast(pictures.device.type, enabled=False):
                parts["affinity"], parts["uncertain"] = self.supervise(pictures, labels, reading)
            total = total + self.loss_weight * parts["affinity"]
        return total, {name: part.detach() for name, part in parts.items()}

    def supervise(self, pictures: Tensor, labels: Tensor, reading: Reading) -> tuple[Tensor, Tensor]:
        """Equations 7 to 16: the attention loss, averaged over the pictures, and the share of uncertain patches."""
        maps, classes = present_maps(reading.maps, labels)
        patches = maps.shape[-2] * maps.shape[-1]
        attention = patch_part([layer.detach().float() for layer in reading.attention], patches)
        weights = layer_weights(maps, attention, **self.weighting)
        cells = reliable_labels(pictures, fuse_layers(maps, attention, weights), classes, **self.labelling)
        pairs = attention_affinity_labels(cells, radius=self.radius, cell=1)
        losses = layer_losses(patch_part(reading.scores, patches), pairs)
        inverted = inverted_sum(losses, weights if self.invert else torch.zeros_like(weights), self.supervised_layers)
        return inverted.mean(), (cells == IGNORE).float().mean()


def mctformer() -> Classification:
    """MCTformer-V2's loss."""
    return Classification(MCTformer, read_mctformer)


def mctformer_aream(
    thresholds: Sequence[float] = MCTFORMER_THRESHOLDS, maps: str = "patch_cam", **options: object
) -> AReAM:
    """MCTformer-V2's loss with AReAM; ``maps`` as in `read_mctformer`, the rest as in `AReAM`."""
    if maps not in MAPS:
        raise ParameterError(unknown_name("maps of MCTformer", maps, MAPS))
    return AReAM(MCTformer, partial(read_mctformer, maps=maps), thresholds=thresholds, **options)


def conformer() -> Classification:
    """TransCAM's loss."""
    return Classification(Conformer, read_conformer)


def conformer_aream(thresholds: Sequence[float] = CONFORMER_THRESHOLDS, **options: object) -> AReAM:
    """TransCAM's loss with AReAM; options as in `AReAM`."""
    return AReAM(Conformer, read_conformer, thresholds=thresholds, **options)


def check_network(model: nn.Module, network: type[nn.Module]) -> None:
    """Raise ParameterError unless ``model`` is one of the class ``network``."""
    if not isinstance(model, network):
        raise ParameterError(
            f"This loss reads the attention and the maps of a {network.__name__}; the network is a "
            f"{type(model).__name__}. Choose the loss that fits the architecture."
        )
