"""Published weights that WeakTr starts from."""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.models.mctformer_weights import mctformer_deit
from seedbed.models.weaktr import WeakTr
from seedbed.models.weights.conversion import Converted, layout


@layout("weaktr_deit")
def weaktr_deit(tensors: dict[str, Tensor], model: nn.Module, *, grid: Sequence[int] | None = None) -> Converted:
    """DeiT (timm's names) as WeakTr's starting point: as `mctformer_deit`; the fusion of heads starts afresh too.

    Args:
        tensors, model, grid: as for `mctformer_deit`.

    Raises:
        ParameterError: the model is no WeakTr.
        DataError: as `mctformer_deit`.
    """
    if not isinstance(model, WeakTr):
        raise ParameterError(f"Layout 'weaktr_deit' fills a WeakTr, not a {type(model).__name__}.")
    converted = mctformer_deit(tensors, model, grid=grid)
    return replace(converted, fresh=(*converted.fresh, "adaptive_attention_fusion"))
