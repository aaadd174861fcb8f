"""Training WeCLIP+'s branches and decoder on labels that its frozen CLIP and they themselves make on the way."""

from typing import Literal

import torch
from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.models.weclip import affinities
from seedbed.models.weclip_plus import Decoded, SeenByBoth, WeClipPlus
from seedbed.refine.losses import attention_affinity_loss
from seedbed.refine.par import DILATIONS
from seedbed.refine.reliable import attention_affinity_labels
from seedbed.train.backbone_losses import check_network
from seedbed.train.counted_steps import CountedSteps
from seedbed.train.dice import dice_loss
from seedbed.train.objectives import Parts, loss
from seedbed.train.pixel_losses import balanced_cross_entropy
from seedbed.train.weclip_labels import LabelSettings, pixel_labels, present_classes
from seedbed.train.weclip_plus_labels import enlarged, self_labels, weighted_maps

AFFINITY_WEIGHT = MUTUAL_WEIGHT = 0.1


@loss("weclip_plus")
class WeClipPlusLoss(CountedSteps):
    """Balanced cross entropy and dice loss of the mean of both branches + 0.1 times AFA's loss of their affinities
    + 0.1 times what each branch costs by what the other says.

    A batch is ``(images, multi-hot labels)``. Labels are those of `weighted_maps` and `pixel_labels`. From step
    ``self_labels_from`` on, cross entropy and dice take the decoder's own labels where it is sure of them.

    Args:
        self_labels_from: step, from 0, from which the decoder's own labels count; None: never. Published: 18,001 on
            VOC, 40,001 on COCO.
        self_labels_above: probability above which they do.
        chosen_from, layer_choice, threshold, box_ends, dilations, iterations: see `LabelSettings`; as published the
            choice is ``signed``, from 6 layers without boxes on VOC, from 8 with ``open`` boxes of 0.7 on COCO.
        skip_block: see `WeClipPlus.look`; as published: true on VOC.
        dice_classes, dice_void: see `seedbed.train.dice`; as published: ``all`` and ``counted``.
        radius: patches further apart than that are no pair.
        empty_is_nan: cross entropy of a batch in which nothing, or everything, is background is NaN, and ends the run,
            as published; else the half that is missing is 0.

    Raises:
        ParameterError: a number is out of range, or a word is unknown.
    """

    def __init__(
        self,
        *,
        self_labels_from: int | None,
        self_labels_above: float = 0.75,
        chosen_from: int = 6,
        layer_choice: Literal["signed", "absolute"] = "absolute",
        threshold: float | None = 0.4,
        box_ends: Literal["whole", "open"] = "whole",
        skip_block: bool = False,
        dilations: list[int] | tuple[int, ...] = DILATIONS,
        iterations: int = 20,
        dice_classes: Literal["present", "all"] = "present",
        dice_void: Literal["left_out", "counted"] = "left_out",
        radius: int = 8,
        empty_is_nan: bool = False,
    ) -> None:
        super().__init__()
        for name, number, least in (("radius", radius, 1), ("self_labels_from", self_labels_from or 0, 0)):
            if number < least:
                raise ParameterError(f"{name} must be {least} or more, got {number}.")
        if not 0 <= self_labels_above <= 1:
            raise ParameterError(f"self_labels_above={self_labels_above} is a probability, 0 to 1.")
        self.self_labels_from, self.self_labels_above = self_labels_from, self_labels_above
        self.skip_block, self.radius, self.empty_is_nan = skip_block, radius, empty_is_nan
        self.dice_classes, self.dice_void = dice_classes, dice_void
        self.settings = LabelSettings(
            chosen_from=chosen_from,
            layer_choice=layer_choice,
            threshold=threshold,
            box_ends=box_ends,
            dilations=tuple(dilations),
            iterations=iterations,
        )

    def bind(self, model: nn.Module) -> None:
        """Check that the network has what this loss reads."""
        check_network(model, WeClipPlus)

    def forward(self, model: WeClipPlus, batch: tuple[Tensor, ...]) -> Parts:
        """Return the loss and its parts, unweighted: ``pixels``, ``dice``, ``affinity`` and ``mutual``."""
        (images, labels), step = batch, self.next_step()
        seen = model.look(images, self.skip_block)
        decoded = model.decode(seen)
        with torch.autocast(images.device.type, enabled=False):
            decoded = Decoded(*(each.float() for each in decoded))
            affinity = affinities(decoded.features)
            found = self.labels(model, images, labels, seen, decoded, affinity)
            own = self.self_labels_from is not None and step >= self.self_labels_from
            parts = self.losses(decoded, affinity, found, own)
        return self.total(parts), {name: part.detach() for name, part in parts.items()}

    @staticmethod
    def total(parts: dict[str, Tensor]) -> Tensor:
        """The loss, of its parts."""
        return parts["pixels"] + parts["dice"] + AFFINITY_WEIGHT * parts["affinity"] + MUTUAL_WEIGHT * parts["mutual"]

    @torch.no_grad()
    def labels(
        self, model: WeClipPlus, images: Tensor, labels: Tensor, seen: SeenByBoth, decoded: Decoded, affinity: Tensor
    ) -> Tensor:
        """Labels of the pixels before the decoder's own: int64 [B, H, W], 0 background, ``c + 1`` class c.

        Args:
            model: the network.
            images: [B, 3, H, W], normalised.
            labels: [B, C], non-zero where a class is present.
            seen, decoded: what the network made of the images.
            affinity: [B, N, N], of ``decoded.features``.
        """
        targets = present_classes(labels)
        probabilities = decoded.scores.softmax(1)
        maps = weighted_maps(model, seen.clip, targets, affinity, probabilities, self.settings)
        return pixel_labels(images, maps, targets, self.settings)

    def losses(self, decoded: Decoded, affinity: Tensor, labels: Tensor, own: bool) -> dict[str, Tensor]:
        """The parts of the loss.

        Args:
            decoded: scores of both branches.
            affinity: [B, N, N].
            labels: int64 [B, H, W], 255 void.
            own: whether the decoder's own labels count.
        """
        size = (labels.shape[-2], labels.shape[-1])
        clip, dino = enlarged(decoded.clip, size), enlarged(decoded.dino, size)
        scores = (clip + dino) / 2
        pairs = attention_affinity_labels(labels, radius=self.radius, cell=size[1] // decoded.clip.shape[-1])
        taught = self_labels(scores, labels, self.self_labels_above) if own else labels
        return {
            "pixels": self._cross_entropy(scores, taught),
            "dice": dice_loss(scores, taught, classes=self.dice_classes, void=self.dice_void),
            "affinity": attention_affinity_loss(affinity, pairs),
            "mutual": self.mutual(clip, dino),
        }

    def mutual(self, clip: Tensor, dino: Tensor) -> Tensor:
        """What each branch costs if the other's labels are right; scores [B, C + 1, H, W]."""
        of_clip = self._cross_entropy(clip, dino.detach().argmax(1))
        return of_clip + self._cross_entropy(dino, clip.detach().argmax(1))

    def _cross_entropy(self, scores: Tensor, labels: Tensor) -> Tensor:
        return balanced_cross_entropy(scores, labels, empty_is_nan=self.empty_is_nan)
