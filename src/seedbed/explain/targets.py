"""The classes to explain: which image goes with which class, and where its map goes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from seedbed.errors import ParameterError

ABSENT = -1
PAIRS_AT_ONCE = 16  # bounds the memory of a backward pass; one image's classes share its forward pass all the same


@dataclass(frozen=True)
class Pairs:
    """P pairs of an image and a class: ``image`` [P] indexes the batch of ``batch`` images, ``label`` [P] classes."""

    image: Tensor
    label: Tensor
    batch: int

    def __len__(self) -> int:
        return len(self.label)

    def take(self, x: Tensor) -> Tensor:
        """Return row ``image[p]`` of ``x`` [B, ...] for each pair: [P, ...], or [1, ...] to broadcast if B is 1."""
        return x if self.batch == 1 or self._one_each else x[self.image]

    @cached_property
    def _one_each(self) -> bool:
        # Decided from shapes when it can be; the comparison makes the host wait for a GPU, so it is made once.
        return len(self) == self.batch and bool(
            (self.image == torch.arange(self.batch, device=self.image.device)).all()
        )

    def chunks(self, size: int) -> Iterator["Pairs"]:
        """Cut the pairs into runs of at most ``size``."""
        for start in range(0, len(self), size):
            yield Pairs(self.image[start : start + size], self.label[start : start + size], self.batch)


def as_targets(targets: Tensor | Sequence | None, images: Tensor) -> tuple[Tensor | None, bool]:
    """Check the caller's targets; return them as int64 [B, K] and whether they came as [B, K] (else [B], or None)."""
    if targets is None:
        return None, False
    try:
        tensor = torch.as_tensor(targets, device=images.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ParameterError(
            f"Targets must be integer class indices, [{len(images)}] or [{len(images)}, K], as many for each image (-1 "
            f"fills up); they are {targets!r:.100} ({error})."
        ) from None
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise ParameterError(f"Targets must be integer class indices; they are {tensor.dtype}.")
    if tensor.ndim not in (1, 2) or len(tensor) != len(images):
        raise ParameterError(
            f"Targets have shape {tuple(tensor.shape)}; with {len(images)} images they must be "
            f"[{len(images)}] or [{len(images)}, K]."
        )
    several = tensor.ndim == 2
    return (tensor if several else tensor.unsqueeze(1)).long(), several


def resolve(targets: Tensor | None, logits: Tensor) -> Tensor:
    """Return the targets [B, K], the predicted class where none are given; refuse a class the model does not have."""
    if targets is None:
        return logits.argmax(1, keepdim=True)
    check_classes(targets, logits.shape[1])
    return targets


def check_classes(targets: Tensor, classes: int | None) -> None:
    """Refuse targets below -1, and from ``classes`` up if that is known."""
    wrong = targets < ABSENT
    wrong = wrong if classes is None else wrong | (targets >= classes)
    if wrong.any():
        value = int(targets[wrong][0])
        known = "" if classes is None else f": the model has {classes} classes, 0 to {classes - 1}"
        raise ParameterError(f"There is no class {value}{known} (-1 stands for no class).")


def explain_pairs(targets: Tensor, method: Callable[[Pairs], Tensor], map_shape: tuple[int, int]) -> Tensor:
    """Explain every present target, ``PAIRS_AT_ONCE`` at a time.

    Args:
        targets: int64 [B, K]; -1 marks an absent class, which costs nothing.
        method: turns pairs into maps [P, h * w] or [P, h, w].
        map_shape: (h, w).

    Returns:
        Maps [B, K, h, w]; absent ones are zero.
    """
    image, slot = (targets != ABSENT).nonzero(as_tuple=True)
    pairs = Pairs(image, targets[image, slot], len(targets))
    maps = [method(chunk).reshape(-1, *map_shape) for chunk in pairs.chunks(PAIRS_AT_ONCE)]
    if not maps:
        return torch.zeros(*targets.shape, *map_shape, device=targets.device)
    found = torch.cat(maps)
    result = found.new_zeros(*targets.shape, *map_shape)
    result[image, slot] = found
    return result


def of_classes(maps: Tensor, targets: Tensor) -> Tensor:
    """Take the maps [B, K, h, w] of targets [B, K] from those of all classes [B, C, h, w]; absent ones are zero."""
    chosen = targets.clamp(min=0)[:, :, None, None].expand(-1, -1, *maps.shape[-2:])
    return maps.gather(1, chosen).masked_fill((targets == ABSENT)[:, :, None, None], 0)
