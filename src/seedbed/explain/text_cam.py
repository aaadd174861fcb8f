"""Softmax-GradCAM of a network that compares images with texts (CLIP-ES, Lin et al. 2023, section 3.1)."""

from typing import Any

import torch
from torch import Tensor

from seedbed.explain.targets import ABSENT, Pairs
from seedbed.models.clip import run_normed

EPS = 1e-7


def text_probabilities(model: Any, embeddings: Tensor, targets: Tensor) -> Tensor:
    """Softmax over the texts that compete in an image: its present classes and the background words (equation 3).

    Args:
        model: a network with ``texts`` and ``scores``, see `ClipClassifier`.
        embeddings: [P, E], of any length.
        targets: int64 [P, K], the classes present in each image; -1 = none.

    Returns:
        [P, C + n]; 0 for classes that are not present.
    """
    texts = model.texts
    present = torch.zeros(len(targets), len(texts.classes) + 1, dtype=torch.bool, device=targets.device)
    present.scatter_(1, targets.where(targets != ABSENT, len(texts.classes)), True)
    absent = torch.nn.functional.pad(~present[:, :-1], (0, len(texts.background)))
    return model.scores(embeddings, texts.all).masked_fill(absent, float("-inf")).softmax(-1)


def softmax_gradcam(model: Any, tokens: Tensor, targets: Tensor, pairs: Pairs, block: int = -1) -> Tensor:
    """Return [P, N] in 0..1: GradCAM on what the last block's first norm gives, of the probability of a text.

    The image's embedding is the mean of the patches behind ``ln_post``, not the class token. The gradient is that of a
    probability, so other present classes and the background words take part. Each map is stretched to 0..1, twice as
    published, so that every class reaches about 1 somewhere, whatever its score.

    Args:
        model: a network with ``tower``, ``texts`` and ``scores``, see `ClipClassifier`.
        tokens: [B, T, D], input of the block.
        targets: int64 [B, K], the classes that compete in each image; -1 = none.
        pairs: the images and classes to explain, each class among its image's ``targets``.
        block: which block.
    """
    tower = model.tower
    layer = tower.blocks[block]
    with torch.inference_mode(False), torch.enable_grad():
        given = pairs.take(tokens).detach().expand(len(pairs), -1, -1).clone()
        normed = layer.norm1(given).detach().requires_grad_()
        embeddings = tower.head(tower.norm(run_normed(layer, given, normed).tokens)[:, 1:].mean(1))
        probabilities = text_probabilities(model, embeddings, pairs.take(targets).expand(len(pairs), -1))
        wanted = probabilities.gather(1, pairs.label[:, None])
        (gradient,) = torch.autograd.grad(wanted.sum(), normed)
    weights = gradient[:, 1:].mean(1, keepdim=True)
    maps = (weights * normed.detach()[:, 1:]).sum(-1).relu()
    return stretched(stretched(maps))


def stretched(maps: Tensor) -> Tensor:
    """Maps [..., N] less their minimum, over their maximum + 1e-7; constant ones become 0."""
    lifted = maps - maps.amin(-1, keepdim=True)
    return lifted / (lifted.amax(-1, keepdim=True) + EPS)
