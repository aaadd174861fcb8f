"""Random walk of class maps over pixel affinities, by repeated sparse steps.

PSA (Ahn and Kwak, CVPR 2018); [Re], section 4.3. The papers square the dense transition matrix; here the maps are what
moves, so that nothing larger than the affinities is ever held. Where the affinities are symmetric, the walk's
polynomial ``x^t`` is summed in Chebyshev polynomials, whose number grows like the square root of ``t`` (Sachdeva and
Vishnoi, "Faster Algorithms via Approximation Theory", 2014).
"""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from scipy import sparse

from seedbed.errors import DataError, ParameterError
from seedbed.refine.pairs import affinity_matrix
from seedbed.settings.checked import checked

if TYPE_CHECKING:
    import torch

Maps = TypeVar("Maps", "np.ndarray", "torch.Tensor")
Matrix: TypeAlias = Any  # a NumPy array or one of SciPy's sparse ones, which have no types

TRUNCATION = 1e-13
_NOTHING = 1e-40
DENSE_ABOVE = 0.25  # share of non-zero affinities from which a dense product is the faster one


@checked
def random_walk(maps: Maps, affinity: object, beta: float, steps: int) -> Maps:
    """Walk class maps over affinities: ``new = vec @ T^steps`` with ``T_ij = A_ij^beta / sum_i A_ij^beta``.

    Every cell becomes a convex combination of its sources. Computed in float64 to about 1e-12 of the map's norm, which
    is more than the dense float32 squaring of the published code holds.

    Args:
        maps: ``[K, h, w]`` float, numpy or torch, background and absent classes included if the caller wants them;
            channels that are zero everywhere stay so at no cost.
        affinity: non-negative affinities ``A``, one of: pair affinities ``[n_offsets, n_from]`` from an affinity
            network (`affinity_matrix` lays them out; unit diagonal); a dense ``[N, N]`` array with ``N = h w``; a scipy
            sparse matrix or array ``[N, N]``. A torch tensor serves as well.
        beta: exponent that thins out weak affinities. PSA: 8; MCTformer: 8; TransCAM: 14; [Re]: 16.
        steps: number of times T is applied, ``2 ** logt`` in the published settings. PSA and [Re]: 256; MCTformer: 64;
            TransCAM: 128.

    Returns:
        ``[K, h, w]`` of the kind, dtype and device of ``maps``.

    Raises:
        DataError: shapes do not fit, a map holds NaN or infinity, an affinity is negative or not finite, or a cell has
            no affinity to any cell.
        ParameterError: beta not above 0, or steps below 0.
    """
    if not beta > 0:
        raise ParameterError(f"beta must be above 0, got {beta}.")
    if steps < 0 or steps != int(steps):
        raise ParameterError(f"steps must be a whole number from 0 up, got {steps}.")
    if maps.ndim != 3:
        raise DataError(f"Maps must have shape [K, h, w], got {tuple(maps.shape)}.")
    values = _to_numpy(maps)
    if not np.issubdtype(values.dtype, np.floating):
        raise DataError(f"Maps must be floating point, got {values.dtype}.")
    if not np.isfinite(values).all():
        raise DataError("Maps hold NaN or infinity, which a walk would spread over all cells: set them to 0 first.")
    _, h, w = values.shape
    weights = _power(_as_matrix(affinity, h, w), beta)
    vectors = values.reshape(len(values), h * w).astype(np.float64)
    alive = vectors.any(axis=1)
    vectors[alive] = _walk(vectors[alive], _transition(weights), _polynomial(weights, int(steps)), int(steps))
    result = vectors.reshape(values.shape).astype(values.dtype)
    return result if isinstance(maps, np.ndarray) else maps.new_tensor(result)


def _walk(vectors: np.ndarray, transition: Matrix, coefficients: np.ndarray | None, steps: int) -> np.ndarray:
    """Move the rows of ``vectors`` ``[k, N]``: step by step, or by a polynomial where one is given."""

    def move(block: np.ndarray) -> np.ndarray:
        if coefficients is None:
            return _apply_steps(transition, block, steps)
        return _apply_series(transition, block, coefficients)

    if not sparse.issparse(transition):
        return move(vectors.T).T
    # scipy multiplies a sparse matrix by one vector at a time faster than by several.
    moved = np.empty_like(vectors)
    for target, vector in zip(moved, vectors, strict=True):
        target[:] = move(vector)
    return moved


def _polynomial(weights: Matrix, steps: int) -> np.ndarray | None:
    """Return the series to sum instead of stepping, if it holds (symmetric affinities) and is the shorter way."""
    coefficients = _chebyshev_power(steps)
    if len(coefficients) > steps or not _is_symmetric(weights):
        return None
    return coefficients


def _apply_steps(transition: Matrix, vector: np.ndarray, steps: int) -> np.ndarray:
    for _ in range(steps):
        vector = transition @ vector
    return vector


def _apply_series(transition: Matrix, vector: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Sum ``c_k T_k(transition) vector`` by the recurrence ``T_(k+1) = 2 x T_k - T_(k-1)``."""
    previous, current = vector, transition @ vector
    total = coefficients[0] * previous + coefficients[1] * current
    for coefficient in coefficients[2:]:
        previous, current = current, 2 * (transition @ current) - previous
        if coefficient:
            total += coefficient * current
    return total


def _chebyshev_power(steps: int) -> np.ndarray:
    """Return the Chebyshev coefficients of ``x ** steps`` on [-1, 1], cut where the rest sums to less than 1e-13.

    ``x^t = 2^(1-t) sum_k C(t, (t-k)/2) T_k(x)`` over ``k`` of the parity of ``t``, the term ``k = 0`` halved. Each
    binomial follows from the one before, in whole numbers; they fall steadily, and those below 1e-40 add nothing.
    """
    exact, scale = np.zeros(steps + 1), 2**steps
    binomial = comb(steps, steps // 2)
    for k in range(steps % 2, steps + 1, 2):
        lower = (steps - k) // 2
        exact[k] = binomial / scale * (1 if k == 0 else 2)
        if exact[k] < _NOTHING:
            break
        binomial = binomial * lower // (steps - lower + 1)
    tail = np.cumsum(exact[::-1])[::-1]
    return exact[: max(2, int((tail >= TRUNCATION).sum()))]


def _as_matrix(affinity: object, h: int, w: int) -> Matrix:
    """Return ``A`` in float64 as a banded, a sparse or a dense matrix, whichever multiplies fastest."""
    cells = h * w
    if sparse.issparse(affinity):
        matrix = sparse.csr_array(affinity)
    else:
        array = _to_numpy(affinity)
        if array.ndim != 2:
            raise DataError(f"Affinities must be pairs [n, n_from] or a matrix [N, N], got shape {array.shape}.")
        if array.shape != (cells, cells):
            return affinity_matrix(array.astype(np.float64), h, w)
        matrix = array if np.count_nonzero(array) > DENSE_ABOVE * array.size else sparse.csr_array(array)
    if matrix.shape != (cells, cells):
        raise DataError(f"Maps of {h} x {w} cells need affinities {cells} x {cells}, got {matrix.shape}.")
    matrix = matrix.astype(np.float64)
    return _banded_if_cheaper(matrix) if sparse.issparse(matrix) else matrix


def _banded_if_cheaper(matrix: sparse.csr_array) -> sparse.sparray:
    """Store by diagonals where these are few and well filled: their products run through memory in order."""
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    rows, columns = matrix.nonzero()
    diagonals = len(np.unique(columns - rows))
    return matrix.todia() if diagonals * matrix.shape[0] <= 4 * matrix.nnz else matrix


def _power(matrix: Matrix, beta: float) -> Matrix:
    values = matrix.data if sparse.issparse(matrix) else matrix
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise DataError("Affinities must be finite and not negative.")
    with np.errstate(over="ignore"):  # infinite sums are refused
        if not sparse.issparse(matrix):
            return matrix**beta
        matrix = matrix.copy()
        matrix.data = matrix.data**beta
        return matrix


def _transition(weights: Matrix) -> Matrix:
    """Return ``T`` transposed, which takes a column vector one step onwards."""
    column_sums = np.asarray(weights.sum(axis=0)).reshape(-1)
    if not (column_sums > 0).all():
        cell = int(np.argmin(column_sums))
        raise DataError(f"Cell {cell} has no positive affinity to any cell, so that no step leads to it.")
    if not np.isfinite(column_sums).all():
        raise ParameterError("Affinities to the power of beta are infinite: choose a smaller beta.")
    if not sparse.issparse(weights):
        return (weights / column_sums).T
    scaled = (weights @ sparse.diags_array(1 / column_sums)).T
    return scaled.todia() if weights.format == "dia" else scaled.tocsr()


def _is_symmetric(weights: Matrix) -> bool:
    if sparse.issparse(weights):
        return not (weights - weights.T).tocsr().data.any()
    return np.array_equal(weights, weights.T)


def _to_numpy(array: object) -> np.ndarray:
    if isinstance(array, np.ndarray):
        return array
    if hasattr(array, "detach"):
        return array.detach().cpu().double().numpy()
    raise DataError(f"Expected a numpy array, a torch tensor or a scipy sparse matrix, got {type(array).__name__}.")
