"""Batch norms that keep what they have learned elsewhere."""

from typing import Self

from torch import nn


class FrozenNorms(nn.Module):
    """Base of networks whose backbone's batch norms stay in inference mode and are not trained."""

    _frozen: tuple[nn.Module, ...] = ()

    def freeze_norms(self, module: nn.Module) -> None:
        """Freeze every batch norm below a module."""
        self._frozen = tuple(one for one in module.modules() if isinstance(one, nn.BatchNorm2d))
        for norm in self._frozen:
            norm.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Switch modes; frozen norms stay in inference mode."""
        super().train(mode)
        for norm in self._frozen:
            norm.eval()
        return self
