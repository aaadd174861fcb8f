"""ToCo's two contrasts, of patch tokens and of class tokens (Ru et al., CVPR 2023)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from seedbed.errors import DataError


def patch_token_contrast(features: Tensor, pairs: Tensor) -> Tensor:
    """Make tokens of one label alike and others orthogonal.

    With ``c`` the absolute cosine of two tokens: ``(1 - sum_same c / (N_same + 1)) / 2 + sum_other c / (N_other + 1) /
    2``, sums and counts over the whole batch. Without any pair it is 0.5.

    Args:
        features: [B, D, h, w].
        pairs: [B, N, N] uint8, 1 same, 0 other, 255 not counted, from `seedbed.train.toco_labels.same_label`.

    Returns:
        A 0-d tensor.
    """
    tokens = features.float().flatten(2)
    unit = tokens / tokens.norm(dim=1, keepdim=True).clamp(min=1e-8)
    likeness = (unit.transpose(1, 2) @ unit).abs()
    if pairs.shape != likeness.shape:
        raise DataError(f"Pairs {tuple(pairs.shape)} do not fit tokens {tuple(features.shape)}.")
    same, other = ((pairs == value).float() for value in (1, 0))
    pull = 1 - (same * likeness).sum() / (same.sum() + 1)
    push = (other * likeness).sum() / (other.sum() + 1)
    return (pull + push) / 2


def class_token_contrast(
    projected: Tensor, targets: Tensor, flags: Tensor, temperature: float, else_term: bool
) -> Tensor:
    """Bring the class tokens of views that show the object near those of the global views, and push background away.

    With ``E_aj = exp(p_a . q_j / T)``, ``S_a`` its sum over the views of background, ``n`` the views with object:
    ``1/2 sum_a sum_{j with object} -log(E_aj / (E_aj + S_a + 1e-4)) / (n + 1e-4)``, the mean over the images.

    Args:
        projected: q, [V, B, K], of all views, the two global ones first; carries the gradient.
        targets: p, [2, B, K], of the global views by the averaged head.
        flags: [B, V], 1 where a view shows the object, 0 where background.
        temperature: T.
        else_term: add ``-log(1 / (1 + S_a + 1e-4))`` to each sum over views, as published: it stands where Python runs
            it after every loop, and takes 1 for a likeness to the object. It pushes background away once more.

    Returns:
        A 0-d tensor.
    """
    likeness = torch.einsum("abk,vbk->bav", targets.float(), projected.float()) / temperature
    objects = flags[:, None] != 0  # [B, 1, V]
    floor = likeness.new_full((*likeness.shape[:2], 1), 1e-4).log()
    # log(S_a + 1e-4), in logarithms throughout: a likeness may exceed what float32 has powers for.
    against = torch.cat([likeness.masked_fill(objects, -torch.inf), floor], dim=2).logsumexp(2)
    terms = (torch.logaddexp(likeness, against[:, :, None]) - likeness) * objects
    total = terms.sum(2)
    if else_term:
        total = total + F.softplus(against)
    return (total.sum(1) / 2 / (flags.sum(1) + 1e-4)).mean()
