"""High-dimensional Gaussian filtering on a permutohedral lattice (Adams, Baek and Davis, Eurographics 2010).

Points are embedded in a hyperplane of d + 1 dimensions that simplices tile. A point splats its value onto the d + 1
vertices of its simplex, vertices are blurred along the d + 1 axes, and the point slices its value from them again.
Vertices are sorted codes and neighbours are found by search, so that everything is a tensor operation, of any device
and with a fixed order of additions. All columns of the values are filtered in one pass.

Where a point lies in its simplex is computed in float32, operation by operation in the paper's order: another order
moves points by 1e-6 of an edge and, on a border between simplices, makes other vertices.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from seedbed.errors import ParameterError
from seedbed.refine.kernel_widths import require_wide
from seedbed.settings.checked import checked


class Bags(NamedTuple):
    """Weighted sums of rows: bag b adds up the rows ``indices[offsets[b] : offsets[b + 1]]`` times their weights.

    Attributes:
        indices: ``[n]`` int32.
        offsets: ``[bags + 1]`` int32.
        weights: ``[n]`` float32.
    """

    indices: Tensor
    offsets: Tensor
    weights: Tensor

    def of(self, rows: Tensor) -> Tensor:
        """Return the sums ``[bags, C]`` of float32 rows ``[R, C]``."""
        options: dict[str, Any] = {"mode": "sum", "per_sample_weights": self.weights, "include_last_offset": True}
        return F.embedding_bag(self.indices, rows, self.offsets, **options)


class Lattice(NamedTuple):
    """The lattice of N points; after its V vertices comes one that is always 0, for neighbours that do not exist.

    Attributes:
        splat: bags of points for each vertex.
        blur: for each axis, bags of the two neighbours of each vertex, halved.
        slice: bags of d + 1 vertices for each point.
    """

    splat: Bags
    blur: tuple[Bags, ...]
    slice: Bags

    def filter(self, values: Tensor) -> Tensor:
        """Return for each point of ``[N, C]`` float32 the sum of all values, weighted by a Gaussian of distance."""
        return self.slice.of(self.blurred(values))

    def blurred(self, values: Tensor) -> Tensor:
        """Return the blurred values of the vertices, ``[V + 1, C]``."""
        vertices = self.splat.of(values)
        for axis in self.blur:
            vertices = axis.of(vertices).add_(vertices)
        return vertices

    def normalised(self, weight: float = 1.0) -> "Lattice":
        """Return the lattice that filters with ``weight K_ij / sqrt(sum_j K_ij sum_i K_ij)``."""
        size = len(self.blur)
        scale = self.filter(self.splat.weights.new_ones(len(self.slice.offsets) - 1, 1)).add_(1e-20).rsqrt_()
        splat = self.splat.weights * scale.flatten().index_select(0, self.splat.indices)
        shares = self.slice.weights.view(-1, size) * (weight * scale)
        return Lattice(self.splat._replace(weights=splat), self.blur, self.slice._replace(weights=shares.flatten()))


class Filters(NamedTuple):
    """The sum of several lattices over the same points; a point slices from all of them at once.

    Attributes:
        lattices: the lattices.
        slice: bags for each point, in the lattices' vertices one after the other.
    """

    lattices: tuple[Lattice, ...]
    slice: Bags

    @classmethod
    def of(cls, *lattices: Lattice) -> "Filters":
        """Join lattices."""
        indices, weights, before = [], [], 0
        for splat, blur, bags in lattices:
            indices.append(bags.indices.view(-1, len(blur)) + before)
            weights.append(bags.weights.view(-1, len(blur)))
            before += len(splat.offsets) - 1
        joined = torch.cat(indices, dim=1)
        offsets = _even(joined.shape[0], joined.shape[1], joined.device)
        return cls(lattices, Bags(joined.flatten(), offsets, torch.cat(weights, 1).flatten()))

    def filter(self, values: Tensor) -> Tensor:
        """Return the sum ``[N, C]`` of what each lattice makes of the values."""
        return self.slice.of(torch.cat([lattice.blurred(values) for lattice in self.lattices]))


@checked
def build_lattice(features: Tensor, multiple: int = 1) -> Lattice:
    """Return the lattice of points.

    Args:
        features: ``[d, N]`` float32, coordinates in standard deviations of the Gaussian.
        multiple: fill up to a multiple of so many points with points at the origin that have vertices, but no value.

    Raises:
        ParameterError: the coordinates are not finite, or span more cells than can be told or numbered: the Gaussian is
            far too narrow. Or there are none.
    """
    if features.ndim != 2 or not features.numel() or features.dtype != torch.float32 or multiple < 1:
        raise ParameterError(
            f"A lattice needs float32 features [d, N] and a multiple of 1 or more, got {features.dtype} "
            f"{tuple(features.shape)} and {multiple}."
        )
    points = features.shape[1]
    require_wide(features.abs().amax(1).tolist())
    corner, order, weights = _simplices(F.pad(features, (0, -points % multiple)))
    weights[:, points:] = 0
    numbering = _numbering(corner)
    codes = numbering.codes(corner, order)
    # Vertex by vertex; the points of each stay in their order, so that sums are always added up in the same one.
    ordered, point = torch.empty_like(codes), torch.empty(codes.shape, dtype=torch.int64, device=codes.device)
    for row, out in zip(codes, zip(ordered, point, strict=True), strict=True):
        torch.sort(row, stable=True, out=out)
    vertices, counts = torch.unique_consecutive(ordered.flatten(), return_counts=True)
    number = torch.arange(len(vertices), dtype=torch.int32, device=codes.device)
    number = number.repeat_interleave(counts, output_size=codes.numel()).view_as(codes)
    vertex = torch.empty_like(number).scatter_(1, point, number)
    starts = F.pad(counts.cumsum(0), (1, 1)).int()
    starts[-1] = codes.numel()
    # What d + 1 blurs with weights (1/2, 1, 1/2) leave of a vertex' own value is taken off where points slice.
    kept = weights * _float32(1 / (1 + 2 ** -(len(codes) - 1)))
    return Lattice(
        Bags(point.int().clamp_(max=points - 1).flatten(), starts, weights.gather(1, point).flatten()),
        _neighbour_bags(vertices, [numbering.neighbours(vertices, axis) for axis in range(len(codes))]),
        Bags(vertex.t()[:points].flatten(), _even(points, len(codes), codes.device), kept.t()[:points].flatten()),
    )


def _simplices(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return each point's simplex and its place there.

    Vertices have whole coordinates, all congruent to the vertex' remainder 0..d modulo d + 1, and sum to 0.

    Returns:
        The vertex of remainder 0, divided by d + 1, ``[d + 1, N]`` float32; the axes in the order in which the point
        lies farthest from it, int64; the weights of the vertices of remainder 0..d, which sum to 1, float32.
    """
    d = len(features)
    elevated = _elevated(features)
    corner = (elevated * _float32(1 / (d + 1))).round_()
    rest = torch.sub(elevated, corner, alpha=d + 1)
    excess = corner.sum(0).to(torch.int8)
    rank = torch.zeros(corner.shape, dtype=torch.int8, device=features.device)
    for axis in range(d):
        nearer = (rest[axis] < rest[axis + 1 :]).view(torch.int8)
        rank[axis] += nearer.sum(0, dtype=torch.int8)
        rank[axis + 1 :] += 1 - nearer
    # Rounding each coordinate alone left the plane: the axes that were rounded the most are rounded the other way.
    rank += excess
    shift = (rank < 0).view(torch.int8) - (rank > d).view(torch.int8)
    rank.add_(shift, alpha=d + 1)
    corner += shift
    rest = torch.sub(elevated, corner, alpha=d + 1).mul_(_float32(1 / (d + 1)))
    axes = torch.arange(d + 1, device=features.device)[:, None].expand(rank.shape)
    order = torch.empty(rank.shape, dtype=torch.int64, device=features.device).scatter_(0, rank.long(), axes)
    ordered = rest.gather(0, order)
    weights = torch.empty_like(ordered)
    torch.add(ordered[d], 1 - ordered[0], out=weights[0])
    for remainder in range(1, d + 1):
        torch.sub(ordered[d - remainder], ordered[d + 1 - remainder], out=weights[remainder])
    return corner, order, weights


def _elevated(features: Tensor) -> Tensor:
    """Embed the points in the plane, scaled so that the whole filter has a standard deviation of 1."""
    d, points = features.shape
    deviation = _float32(math.sqrt(2 / 3) * (d + 1))
    elevated = features.new_empty(d + 1, points)
    total = torch.zeros_like(features[0])
    for axis in range(d, 0, -1):
        scaled = features[axis - 1] * _float32(deviation / math.sqrt(axis * (axis + 1)))
        torch.sub(total, scaled * axis, out=elevated[axis])
        total = total + scaled
    elevated[0] = total
    return elevated


class _Numbering(NamedTuple):
    """Numbers vertices: remainder times ``cells``, plus the first d coordinates, divided by d + 1, in a box.

    Attributes:
        low: ``[d]`` float32, the box's lowest corner.
        strides: of the d coordinates, and 0 for the last, which the others decide.
        cells: of the box.
        dtype: that holds the numbers.
    """

    low: Tensor
    strides: list[int]
    cells: int
    dtype: torch.dtype

    def codes(self, corner: Tensor, order: Tensor) -> Tensor:
        """Return the numbers ``[d + 1, N]`` of all vertices of each point's simplex, by remainder."""
        d = len(corner) - 1
        codes = torch.empty(corner.shape, dtype=self.dtype, device=corner.device)
        codes[0] = 0
        for axis in range(d):
            codes[0].add_((corner[axis] - self.low[axis]).to(self.dtype), alpha=self.strides[axis])
        # From one remainder to the next, every coordinate grows by 1, and that of one axis falls by d + 1 besides.
        strides = torch.tensor(self.strides, dtype=self.dtype).to(corner.device)
        for remainder in range(1, d + 1):
            step = self.cells - strides.take(order[d + 1 - remainder])
            torch.add(codes[remainder - 1], step, out=codes[remainder])
        return codes

    def neighbours(self, vertices: Tensor, axis: int) -> Tensor:
        """Return the numbers of the vertices one step along an axis: -d there, +1 on all other axes."""
        d = len(self.strides) - 1
        step = self.cells - self.strides[axis]
        around = sum(self.strides) - self.strides[axis] - d * self.cells  # from the last remainder to 0
        return vertices + torch.where(vertices >= d * self.cells, around, step).to(self.dtype)


def _numbering(corner: Tensor) -> _Numbering:
    d = len(corner) - 1
    # A simplex reaches one cell below its corner, and a neighbour one farther either way.
    low, high = corner[:d].amin(1), corner[:d].amax(1)
    spans = (high - low + 4).long().tolist()
    strides = [math.prod(spans[:axis]) for axis in range(d)]
    cells = math.prod(spans)
    if cells * (d + 1) >= 2**63:
        raise ParameterError(
            f"A Gaussian so narrow that {cells:.1e} lattice cells lie between the points: widen it (sxy, srgb)."
        )
    dtype = torch.int32 if cells * (d + 1) < 2**31 else torch.int64
    return _Numbering(low - 2, [*strides, 0], cells, dtype)


def _neighbour_bags(vertices: Tensor, forward: Sequence[Tensor]) -> tuple[Bags, ...]:
    """Return half of each vertex' neighbours one step forward and back, for each axis.

    Args:
        vertices: ``[V]``, ascending numbers of those that exist.
        forward: for each axis, ``[V]`` numbers of the neighbours.
    """
    bags = len(vertices) + 1
    offsets, weights = _even(bags, 2, vertices.device), torch.full((2 * bags,), 0.5, device=vertices.device)
    return tuple(Bags(_neighbours(vertices, numbers).flatten(), offsets, weights) for numbers in forward)


def _neighbours(vertices: Tensor, forward: Tensor) -> Tensor:
    """Return ``[V + 1, 2]`` int32: each vertex' neighbour forward and back, V where there is none."""
    count = len(vertices)
    # Sorted together, a vertex comes right before the neighbour that it is.
    numbers, place = torch.sort(torch.cat([vertices, forward]), stable=True)
    met = (numbers[1:] == numbers[:-1]).nonzero()[:, 0]
    there, source = place.index_select(0, met), place.index_select(0, met + 1) - count
    neighbours = torch.full((count + 1, 2), count, dtype=torch.int32, device=vertices.device)
    neighbours[:, 0].scatter_(0, source, there.int())
    neighbours[:, 1].scatter_(0, there, source.int())
    return neighbours


def _even(bags: int, size: int, device: torch.device) -> Tensor:
    return torch.arange(0, bags * size + 1, size, dtype=torch.int32, device=device)


def _float32(value: float) -> float:
    return float(np.float32(value))
