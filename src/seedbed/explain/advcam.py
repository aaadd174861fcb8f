"""AdvCAM (Lee et al., CVPR 2021): class activation maps of images that are climbed towards a class, added up."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from seedbed.errors import ParameterError
from seedbed.explain.cam import not_a_cam_cnn
from seedbed.explain.evaluated import evaluated
from seedbed.explain.method_registry import explainer
from seedbed.explain.targets import Pairs, explain_pairs, resolve

EPS = 1e-5


def not_climbable(model: Any) -> str | None:
    """Say why ``model`` has no class activation maps that an image can be climbed by; None if it has."""
    reason = not_a_cam_cnn(model)
    if reason is None and getattr(getattr(model, "head", None), "input_fmt", "NCHW") != "NCHW":
        return "its features have their channels last"
    return reason


@dataclass(frozen=True)
class Climb:
    """How far, and what holds it back; see `advcam`."""

    steps: int
    step_size: float
    others: bool
    penalty: float
    above: float
    norm: Literal["sum", "mean"] = "sum"

    def __post_init__(self) -> None:
        if self.steps < 0 or self.penalty < 0 or not self.step_size > 0:
            raise ParameterError(
                f"steps={self.steps} and penalty={self.penalty} must be 0 or more, step_size={self.step_size} above 0."
            )

    def score(self, logits: Tensor, labels: Tensor, maps: Tensor, first: Tensor) -> Tensor:
        """What each image climbs, [P]: its class's logit, less the others, less what the penalty takes.

        Args:
            logits: [P, C].
            labels: int64 [P].
            maps, first: [P, h, w] in 0..1, of the class, now and of the image as it was; ``first`` without gradient.
        """
        own = logits.gather(1, labels[:, None]).squeeze(1)
        score = 2 * own - logits.sum(1) if self.others else own
        moved = ((maps - first).abs() * (maps > self.above)).flatten(1)
        moved = moved.sum(1) if self.norm == "sum" else moved.mean(1)
        return score - self.penalty * moved


@explainer(
    "advcam",
    needs=not_climbable,
    description="AdvCAM: class activation maps of an image that gradients make more of its class, added up",
)
def advcam(
    model: Any,
    images: Tensor,
    targets: Tensor | None,
    *,
    steps: int = 27,
    step_size: float = 0.008,
    others: bool = True,
    penalty: float = 7.0,
    above: float = 0.5,
    norm: Literal["sum", "mean"] = "sum",
) -> Tensor:
    """Return [B, K, h, w] in 0..steps + 1: the sum of the maps of the image and of each step's (section 3).

    A step adds ``step_size`` times the gradient itself, not its sign, to the normalised image. A map is the head's
    weights applied to the last features, cut at 0 and divided by its maximum. Each class of an image climbs on its own,
    all in one batch.

    Args:
        model: a timm network whose head is linear on average-pooled features.
        images: [B, channels, H, W].
        targets: int64 [B, K], or None for the predicted class.
        steps: T; 0 gives the class activation map, cut and divided.
        step_size: xi.
        others: let the other classes' logits fall.
        penalty: lambda, on the map's changes where it is high.
        above: tau, from which on it is high.
        norm: of these changes, the ``sum`` over places as printed, or their ``mean``, as logits are means of maps.

    Raises:
        ParameterError: a number is out of range.
    """
    climb = Climb(steps, step_size, others, penalty, above, norm)
    model = evaluated(model, hooks=True)
    features = model.forward_features(images)
    wanted = resolve(targets, model.forward_head(features).flatten(1))
    weight = model.get_classifier().weight.detach().flatten(1)[..., None, None]

    def maps_of(seen: Tensor) -> Tensor:
        return F.conv2d(model.forward_features(seen), weight)

    def explain(pairs: Pairs) -> Tensor:
        return climbed(maps_of, pairs.take(images).expand(len(pairs), -1, -1, -1), pairs.label, climb)

    return explain_pairs(wanted, explain, (features.shape[-2], features.shape[-1]))


def climbed(maps_of: Any, images: Tensor, labels: Tensor, climb: Climb) -> Tensor:
    """The sum of the class's maps on the way up (section 3).

    Args:
        maps_of: from images [P, channels, H, W] to signed maps [P, C, h, w] whose means are the logits, up to a bias.
        images: [P, channels, H, W].
        labels: int64 [P].
        climb: the way.

    Returns:
        [P, h, w].
    """
    passed: list[Tensor] = []
    with torch.inference_mode(False), torch.enable_grad():
        seen, labels = images.detach().clone(), labels.clone()
        rows = torch.arange(len(labels), device=labels.device)
        for _ in range(climb.steps):
            maps = maps_of(seen.requires_grad_())
            own = divided(maps[rows, labels])
            passed.append(own.detach())
            score = climb.score(maps.mean((2, 3)), labels, own, passed[0])
            (gradient,) = torch.autograd.grad(score.sum(), seen)
            seen = seen.detach() + climb.step_size * gradient
    with torch.no_grad():
        passed.append(divided(maps_of(seen)[rows, labels]))
    return torch.stack(passed).sum(0)


def divided(maps: Tensor) -> Tensor:
    """Maps [P, h, w], cut at 0 and divided by their maxima: 0..1; one without evidence is 0."""
    positive = maps.relu()
    return positive / positive.amax((1, 2), keepdim=True).clamp(min=EPS)
