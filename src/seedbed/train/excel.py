"""Training of ExCEL (Yang et al., CVPR 2025): a decoder on a frozen CLIP learns what texts say of patches."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.data.grey_levels import Whole, whole_grey_levels
from seedbed.errors import ParameterError, unknown_name
from seedbed.explain.box_affinity import BoxEnds
from seedbed.explain.text_likeness import NormAxis, text_likeness
from seedbed.models.excel import Excel, ExcelOutput
from seedbed.refine.losses import attention_affinity_loss
from seedbed.refine.par import DILATIONS
from seedbed.refine.reliable import attention_affinity_labels
from seedbed.train.backbone_losses import check_network
from seedbed.train.counted_steps import CountedSteps
from seedbed.train.excel_labels import of_present, spread_by_attention
from seedbed.train.objectives import Parts, loss
from seedbed.train.pixel_losses import balanced_cross_entropy
from seedbed.train.weclip_labels import LabelSettings, LayerChoice, chosen_attention, pixel_labels, present_classes

AFFINITY_WEIGHT = 0.1
WORDS = {
    "norm": get_args(NormAxis),
    "layer_choice": get_args(LayerChoice),
    "box_ends": get_args(BoxEnds),
    "whole": get_args(Whole),
}


@loss("excel")
class ExcelObjective(CountedSteps):
    """The decoder's balanced cross entropy + 0.1 times the loss of its affinities, of ``(images, multi-hot labels)``.

    Both learn labels made on the way: maps of how alike patches are to texts, spread by the tower's attention within
    boxes, refined along the picture. In a second phase the decoder's affinities take part: they are added to the
    tower's attention and multiply what spreads the maps. In a third the affinities learn from the decoder's own labels.
    Steps are counted from 0.

    Args:
        box: share of a map's maximum above which boxes are drawn. VOC: 0.79; COCO: 0.88.
        layers: last blocks whose attention spreads maps; all where there are fewer.
        second_from: first step of the second phase. VOC: 14,000; COCO: 30,000.
        third_from: first step of the third; None: there is none. VOC: 24,000; COCO: none.
        radius: largest distance in patches of the pairs whose affinity is taught.
        par_iterations, par_dilations: of the refinement.
        norm: see `seedbed.explain.text_likeness.NormAxis`; as published: ``tokens``.
        layer_choice: see `seedbed.train.weclip_labels.chosen_attention`; as published: ``signed``.
        box_ends: see `seedbed.explain.box_affinity.BoxEnds`; as published: ``open``.
        whole: of the picture that refinement sees, see `seedbed.data.grey_levels.Whole`; as published: ``cut``.

    Raises:
        ParameterError: a number is out of range, or a word is unknown.
    """

    def __init__(
        self,
        *,
        box: float | None = 0.79,
        layers: int = 6,
        second_from: int = 14000,
        third_from: int | None = None,
        radius: int = 8,
        par_iterations: int = 20,
        par_dilations: Sequence[int] = DILATIONS,
        norm: Literal["channels", "tokens"] = "channels",
        layer_choice: Literal["absolute", "signed"] = "absolute",
        box_ends: Literal["whole", "open"] = "whole",
        whole: Literal["rounded", "cut"] = "rounded",
    ) -> None:
        super().__init__()
        words = {"norm": norm, "layer_choice": layer_choice, "box_ends": box_ends, "whole": whole}
        for name, word in words.items():
            if word not in WORDS[name]:
                raise ParameterError(unknown_name(name, word, WORDS[name]))
        if box is not None and not 0 <= box <= 1:
            raise ParameterError(f"box={box} is a share of a map's maximum, 0 to 1, or null for no boxes.")
        if layers < 1 or radius < 0 or par_iterations < 0:
            raise ParameterError(
                f"layers={layers} must be 1 or more, radius={radius} and par_iterations={par_iterations} not below 0."
            )
        self.box, self.layers, self.radius, self.norm = box, layers, radius, norm
        self.second_from, self.third_from = second_from, third_from
        self.refinement = LabelSettings(iterations=par_iterations, dilations=tuple(par_dilations))
        self.layer_choice, self.box_ends, self.whole = layer_choice, box_ends, whole

    def bind(self, model: nn.Module) -> None:
        """Check that the network has what this loss reads."""
        check_network(model, Excel)

    def forward(self, model: Any, batch: tuple[Tensor, ...]) -> Parts:
        """Return the loss and its parts, unweighted: ``pixels`` and ``affinity``."""
        (images, labels), step = batch, self.next_step()
        output: ExcelOutput = model(images)
        with torch.autocast(images.device.type, enabled=False):
            likeness = model.likeness(output.features.float())
            targets = self.targets(model, images, labels, output, likeness.detach(), step)
            size = images.shape[-2:]
            scores = F.interpolate(output.scores.float(), size, mode="bilinear", align_corners=False)
            own = self.third_from is not None and step >= self.third_from
            pairs = attention_affinity_labels(
                scores.detach().argmax(1) if own else targets,
                radius=self.radius,
                cell=images.shape[-1] // output.scores.shape[-1],
            )
            parts = {
                "pixels": balanced_cross_entropy(scores, targets),
                "affinity": attention_affinity_loss(likeness.sigmoid(), pairs),
            }
        total = parts["pixels"] + AFFINITY_WEIGHT * parts["affinity"]
        return total, {name: part.detach() for name, part in parts.items()}

    @torch.no_grad()
    def targets(
        self, model: Any, images: Tensor, labels: Tensor, output: ExcelOutput, likeness: Tensor, step: int
    ) -> Tensor:
        """Labels of the pixels at a step: int64 [B, H, W], 0 background, ``c + 1`` class c.

        Args:
            model: the network.
            images: [B, 3, H, W], normalised.
            labels: [B, C], non-zero where a class is present.
            output: what the network gave.
            likeness: [B, N, N], see `Excel.likeness`.
            step: from 0, which decides the phase.
        """
        attention = torch.stack([layer[:, 1:, 1:].float() for layer in output.attention[-self.layers :]])
        embeddings = output.embeddings
        if step < self.second_from:
            ways = attention.mean(0)
        else:
            ways, _ = chosen_attention(attention, likeness.sigmoid(), self.layer_choice)
            added = likeness.masked_fill(likeness < 0, float("-inf")).softmax(-1)
            embeddings = model.read(images, added).embeddings
        maps = text_likeness(embeddings.float(), model.texts, self.norm)
        classes, grid = present_classes(labels), output.scores.shape[-2:]
        found = spread_by_attention(of_present(maps, classes), ways, (grid[0], grid[1]), self.box, self.box_ends)
        known = model.pretrained_cfg
        pictures = whole_grey_levels(images, known["mean"], known["std"], self.whole) / 255
        return pixel_labels(pictures, found, classes, self.refinement)
