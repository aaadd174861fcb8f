"""Tables of positions in published weights: which grid of patches one is of, and how it lies on another grid."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import resample_abs_pos_embed_nhwc
from torch import Tensor

from seedbed.errors import DataError, ParameterError
from seedbed.models.transformer import PositionTable

Grid = tuple[int, int]
TOKENS = ("cls_token", "dist_token", "reg_token")
"""timm's names of the tokens before the patches, in the order of their positions."""
CLEARLY = 0.1  # by how much neighbours must be more alike on another grid; on trained square tables none comes near


def position_tables(model: Any) -> tuple[PositionTable, ...]:
    """The tables of positions of a network: as it says itself, or as timm's Vision Transformers have one."""
    if hasattr(model, "position_tables"):
        return tuple(model.position_tables)
    own, grid = model.state_dict(), getattr(getattr(model, "patch_embed", None), "grid_size", None)
    if grid is None or getattr(own.get("pos_embed"), "ndim", 0) != 3:
        return ()
    rows, columns = grid
    tokens = () if getattr(model, "no_embed_class", False) else tuple(name for name in TOKENS if name in own)
    prefix = own["pos_embed"].shape[1] - rows * columns
    if prefix not in (0, sum(own[name].shape[1] for name in tokens)):
        return ()
    return (PositionTable("pos_embed", tokens if prefix else (), (rows, columns)),)


def moved_table(
    table: PositionTable, tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], grid: Sequence[int] | None
) -> Tensor:
    """The source's table [1, T, D] as the network wants it; one of another width stays as it is.

    A token's positions are copied where both have as many of it, and stay as initialised otherwise (other classes, a
    distillation token that the source lacks); those of the patches are resampled bicubically to another grid.

    Args:
        table: the network's.
        tensors: of the source.
        own: the network's state.
        grid: rows and columns of the source's patches, where somebody says so; see `grid_of`.

    Raises:
        DataError, ParameterError: as `grid_of`.
    """
    given, wanted = tensors[table.name], own[table.name]
    counts = {name: tensors[name].shape[1] for name in TOKENS if name in tensors and table.tokens}
    if given.ndim != 3 or given.shape[2] != wanted.shape[2] or given.shape[1] <= sum(counts.values()):
        return given  # of another network, as its shape will tell
    theirs, patches = _parted(given, counts)
    ours, _ = _parted(wanted, {name: own[name].shape[1] for name in table.tokens})
    parts = [theirs[name] if _as_many(theirs.get(name), part) else part for name, part in ours.items()]
    resampled = on_grid(patches, grid_of(patches, table.grid, grid), table.grid)
    return torch.cat([*(part.to(resampled) for part in parts), resampled], dim=1)


def _parted(table: Tensor, counts: Mapping[str, int]) -> tuple[dict[str, Tensor], Tensor]:
    """A table [1, T, D] as the positions of each token, and those of the patches."""
    parts = table.split([*counts.values(), table.shape[1] - sum(counts.values())], dim=1)
    return dict(zip(counts, parts, strict=False)), parts[-1]


def _as_many(theirs: Tensor | None, ours: Tensor) -> bool:
    return theirs is not None and theirs.shape == ours.shape


def grid_of(patches: Tensor, own: Grid, given: Sequence[int] | None = None) -> Grid:
    """Rows and columns of the grid that a table of patch positions is of.

    A file does not tell. Published classifiers look at squares, so a square number is taken for one; another number
    is refused unless the network's own grid has as many patches. Neighbours on the true grid of a trained table are
    alike; where another grid fits clearly better, it is the network's own or the table is refused.

    Args:
        patches: [1, N, D], row by row.
        own: the network's grid.
        given: what somebody says it is.

    Raises:
        DataError: it cannot be known.
        ParameterError: ``given`` has another number of patches.
    """
    count = patches.shape[1]
    if given is not None:
        if len(given) != 2 or given[0] * given[1] != count:
            raise ParameterError(f"grid: {list(given)} does not hold the source's {count} patch positions.")
        return int(given[0]), int(given[1])
    side = math.isqrt(count)
    likely = (side, side) if side * side == count > 0 else own
    if likely[0] * likely[1] != count:
        raise DataError(f"{count} patch positions do not form a square grid. Say which: grid: [rows, columns].")
    other = _clearly_smoother(patches[0].float(), likely)
    if other is None:
        return likely
    if other == own:
        return own
    raise DataError(
        f"{count} patch positions look like a grid of {other[0]} x {other[1]}, on which neighbours are alike, not of "
        f"{likely[0]} x {likely[1]}. Say which: grid: [rows, columns]."
    )


def _clearly_smoother(table: Tensor, likely: Grid) -> Grid | None:
    """The grid on which neighbours are most alike, if they are so clearly more than on the likely one."""
    count, width = table.shape
    grids = [(count // columns, columns) for columns in range(2, count // 2 + 1) if count % columns == 0]
    if likely not in grids or table.is_meta:
        return None
    by_chance = 4 / math.sqrt(width * count)  # of the mean of so many cosines of random vectors
    centred = F.normalize(table - table.mean(0), dim=1)
    alike = {grid: _likeness(centred.unflatten(0, grid)) for grid in grids}
    best = max(grids, key=lambda grid: alike[grid])
    return best if alike[best] > alike[likely] + max(CLEARLY, by_chance) else None


def _likeness(grid: Tensor) -> float:
    """Mean cosine of neighbours on a grid [h, w, D] of unit vectors."""
    along, down = (grid[:, 1:] * grid[:, :-1]).sum(-1), (grid[1:] * grid[:-1]).sum(-1)
    return float((along.mean() + down.mean()) / 2)


def on_grid(patches: Tensor, source: Grid, target: Grid) -> Tensor:
    """Positions [1, N, D] of one grid on another, bicubically with antialiasing, as timm does."""
    if source == target:
        return patches
    return resample_abs_pos_embed_nhwc(patches.unflatten(1, source), list(target)).flatten(1, 2)
