"""Training of eX-ViT: two views, a momentum branch without gradient, and the losses of equations 12-15."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from seedbed.errors import ParameterError, unknown_name
from seedbed.train.exvit_losses import POWER, discriminability, diversity, pooled_attributes
from seedbed.train.objectives import loss

LOSSES = ("global", "dis", "div")


@loss("exvit")
class ExViTObjective(nn.Module):
    """Equation 15: L_global + α L_dis + β L_div of ``(view, other view, multi-hot labels)``.

    The classification loss is always there: L_global (equation 12, the multi-label soft margin loss of the
    attribute-guided logits), or without ``global`` the same loss of the plain class-activation head that the network
    then must have (``head: cam``). Without ``dis`` there is no momentum branch, and batches are ``(view, labels)``;
    the view is the same as with it.

    Args:
        losses: those of ``global``, ``dis`` and ``div`` that are on (the rows of table 6).
        alpha, beta: weights of L_dis and L_div.
        momentum: share of the momentum branch that stays in each step.
        power: p of the generalised mean in L_dis.

    Raises:
        ParameterError: a loss is unknown or a number out of range.
    """

    def __init__(
        self,
        *,
        losses: Sequence[Literal["global", "dis", "div"]] = LOSSES,
        alpha: float = 0.5,
        beta: float = 1.0,
        momentum: float = 0.999,
        power: float = POWER,
    ) -> None:
        super().__init__()
        for name in losses:
            if name not in LOSSES:
                raise ParameterError(unknown_name("loss of eX-ViT", name, LOSSES))
        if not 0 <= momentum <= 1 or power < 1:
            raise ParameterError(f"momentum={momentum} must lie in 0..1 and power={power} be at least 1.")
        self.losses, self.alpha, self.beta = frozenset(losses), alpha, beta
        self.momentum, self.power = momentum, power
        self.views = 2 if "dis" in self.losses else 1
        self.branch: ModelEmaV3 | None = None

    def bind(self, model: nn.Module) -> None:
        """Check that the network fits the losses, and start the momentum branch as its copy.

        Raises:
            ParameterError: the network is no eX-ViT, lacks attributes, or has the other head.
        """
        if not hasattr(model, "head_kind"):
            raise ParameterError(f"loss 'exvit' trains an eX-ViT, not a {type(model).__name__}.")
        head = "attributes" if "global" in self.losses else "cam"
        if model.head_kind != head:
            raise ParameterError(
                f"loss 'exvit' with losses {sorted(self.losses)} needs the network's option head: {head}; "
                f"it is {model.head_kind}."
            )
        if self.losses & {"dis", "div"} and model.attributes is None:
            raise ParameterError("losses 'dis' and 'div' need attributes; set the network's num_attributes.")
        if "div" in self.losses and model.attributes.count < 2:
            raise ParameterError("loss 'div' compares attributes; set the network's num_attributes to 2 or more.")
        if "dis" in self.losses:
            self.branch = ModelEmaV3(model, decay=self.momentum).requires_grad_(False)

    def after_step(self, model: nn.Module) -> None:
        """Move the momentum branch towards the network, once the optimiser has moved that."""
        if self.branch is not None:
            self.branch.update(model)

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts, unweighted: ``global`` or ``cam``, ``dis``, ``div``."""
        output = model(batch[0], full=True)
        classification = F.multilabel_soft_margin_loss(output.logits, batch[-1])
        total, parts = classification, {"global" if "global" in self.losses else "cam": classification}
        if "dis" in self.losses:
            parts["dis"] = self._discriminability(output, batch[1])
            total = total + self.alpha * parts["dis"]
        if "div" in self.losses:
            parts["div"] = diversity(output.attribute_weights, output.features)
            total = total + self.beta * parts["div"]
        return total, {name: value.detach() for name, value in parts.items()}

    def _discriminability(self, output, other_view: Tensor) -> Tensor:
        with torch.no_grad():
            other = self.branch(other_view, full=True)
            target = pooled_attributes(other.attribute_weights, other.features, self.power)
        return discriminability(pooled_attributes(output.attribute_weights, output.features, self.power), target)
