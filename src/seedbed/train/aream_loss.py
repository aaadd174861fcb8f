"""AReAM's loss (He et al. 2023) over the classification loss of a backbone (MCTformer-V2, Conformer)."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seedbed.errors import ParameterError, unknown_name
from seedbed.models.attention_layers import patch_part
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
from seedbed.train.backbone_losses import Reader, Reading, check_network
from seedbed.train.counted_steps import CountedSteps
from seedbed.train.objectives import Parts, added


class AReAM(CountedSteps):
    """Classification loss + ``loss_weight`` times equation 16, of ``(images, multi-hot labels)``.

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
        weights: Literal["entropy", "literal", "uniform"] = "entropy",
        weight_scale: Literal["none", "sum", "max"] = "none",
        invert: bool = True,
        threshold_rule: Literal["ignore_middle", "literal"] = "ignore_middle",
        par_iterations: int = 10,
        par_dilations: Sequence[int] = DILATIONS,
        downscale: int = 2,
        sampling: Literal["nearest", "mean"] = "nearest",
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
        self.labelling: dict[str, Any] = {
            "thresholds": tuple(thresholds),
            "rule": threshold_rule,
            "iterations": par_iterations,
            "dilations": tuple(par_dilations),
            "downscale": downscale,
            "sampling": sampling,
            "ignore_padding": ignore_padding,
        }

    def bind(self, model: nn.Module) -> None:
        """Check that the network is the backbone that this loss reads."""
        check_network(model, self.network)

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Parts:
        """Return the loss and its parts: the classification terms, ``affinity`` (equation 16, unweighted) and
        ``uncertain``, the share of patches that the labels leave out.
        """
        images, labels = batch
        warm = self.next_step() < self.warmup_steps
        reading = self.read(model, images, labels, None if warm else "mean")
        total, parts = added(reading.losses), dict(reading.losses)
        if not warm:
            # The entropies of equation 8 differ in digits that bfloat16 does not have.
            with torch.autocast(images.device.type, enabled=False):
                parts["affinity"], parts["uncertain"] = self.supervise(images, labels, reading)
            total = total + self.loss_weight * parts["affinity"]
        return total, {name: part.detach() for name, part in parts.items()}

    def supervise(self, images: Tensor, labels: Tensor, reading: Reading) -> tuple[Tensor, Tensor]:
        """Equations 7 to 16: the attention loss, averaged over the images, and the share of uncertain patches."""
        if reading.attention is None or reading.scores is None:
            raise ParameterError("The network was read without its attention, which AReAM supervises.")
        maps, classes = present_maps(reading.maps, labels)
        patches = maps.shape[-2] * maps.shape[-1]
        attention = patch_part([layer.detach().float() for layer in reading.attention], patches)
        weights = layer_weights(maps, attention, **self.weighting)
        cells = reliable_labels(images, fuse_layers(maps, attention, weights), classes, **self.labelling)
        pairs = attention_affinity_labels(cells, radius=self.radius, cell=1)
        losses = layer_losses(patch_part(reading.scores, patches), pairs)
        inverted = inverted_sum(losses, weights if self.invert else torch.zeros_like(weights), self.supervised_layers)
        return inverted.mean(), (cells == IGNORE).float().mean()
