"""Class maps of patches by how alike they are to texts (ExCEL, Yang et al., CVPR 2025, section 3.3)."""

from typing import Literal

from torch import Tensor

from seedbed.models.texts import Texts

NormAxis = Literal["channels", "tokens"]
"""Along what embeddings have unit length: the ``channels`` of each token; or, as published, the ``tokens`` of each
channel, so that a token's length and an image's other tokens count."""

SHARPNESS = 2.0


def text_likeness(embeddings: Tensor, texts: Texts, norm: NormAxis = "channels") -> Tensor:
    """Return [B, N, C] in 0..1: how alike each patch is to each class, weighted by what the class token is like.

    With f of unit length, ``w = softmax(2 f_class t)`` over all texts, divided by its mean, and ``s = w (f t)``. The
    mean over the texts is taken off, and each text's values are stretched to 0..1 over all tokens, that of the class
    included, so that a map need not reach 1.

    Args:
        embeddings: [B, 1 + N, E], the class token first.
        texts: C classes, and background.
        norm: see `NormAxis`.
    """
    found = embeddings / embeddings.norm(dim=1 if norm == "tokens" else 2, keepdim=True)
    every = texts.all
    likely = (SHARPNESS * found[:, 0] @ every.T).softmax(-1)
    scores = (likely / likely.mean(-1, keepdim=True))[:, None] * (found @ every.T)
    scores = scores - scores.mean(-1, keepdim=True)
    low, high = scores.amin(1, keepdim=True), scores.amax(1, keepdim=True)
    return ((scores - low) / (high - low))[:, 1:, : len(texts.classes)]
