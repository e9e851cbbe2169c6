"""The linear system of a resting state: its Jacobian over its conserved totals.

At rest f(y, p) = 0 fixes the state only within its conserved totals T y. Together they
determine it: a change of state δ solves [J; T] δ = [−δf; δ(T y)]. The totals are exact
whole numbers, since a numerical null space leaves the system rank-deficient. Columns
are scaled by the state and rows by their largest element, since states and fluxes span
many orders of magnitude.
"""

import functools
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from mir21sim._typing import BoolArray, FloatArray, IntArray
from mir21sim.compiler import cache
from mir21sim.compiler.conservation import conserved_totals
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError
from mir21sim.solvers.blas_threads import one_blas_thread
from mir21sim.solvers.single.reduction import moving_states

REFINEMENTS = 2
"""Corrections of a solution by its residual."""

LEAST_PIVOT = 1e-15
"""Least pivot over the largest for which a state counts as isolated."""

WELL_CONDITIONED = 1e-12
"""Inverse of the condition number above which fewer rows are enough."""

RESIDUAL = 1e-10
"""Residual of the rows left out, over the size of their terms, that is rounding."""


def exact_totals(model: CompiledModel, y: FloatArray, held: BoolArray) -> FloatArray:
    """Return a basis of the conserved totals, shape (n_total, n_state).

    It is found in exact fractions.
    Held states do not change: each is a total of its own. Reactions that are off for
    good, since they need a state that is absent, change nothing.
    """
    kernels = model.kernels
    absent = held & (y == 0.0)
    off = np.zeros(kernels.n_term, dtype=bool)
    off[kernels.factor_term[absent[kernels.factor_state]]] = True
    on = np.zeros(kernels.n_rate, dtype=bool)
    on[kernels.term_rate[~off]] = True
    used = ~held[kernels.n_row] & on[kernels.n_col]
    entries = zip(
        kernels.n_row[used].tolist(),
        kernels.n_col[used].tolist(),
        kernels.n_value[used].tolist(),
        strict=True,
    )
    return _totals_of(len(held), tuple(entries)).copy()


@functools.lru_cache(maxsize=64)
def _totals_of(n_state: int, entries: tuple[tuple[int, int, float], ...]) -> FloatArray:
    found = conserved_totals(n_state, {(i, r): v for i, r, v in entries})
    totals = np.zeros((len(found), n_state))
    for row, total in enumerate(found):
        for state, coefficient in total.items():
            totals[row, state] = coefficient
    return totals


def held_states(
    model: CompiledModel, y: FloatArray, frozen: BoolArray | None
) -> BoolArray:
    """Return the states that cannot move: held by the user, or absent for good."""
    return ~moving_states(model.kernels, y, np.zeros_like(y), frozen)


def jacobian(model: CompiledModel, y: FloatArray, p: FloatArray) -> FloatArray:
    """Return the dense Jacobian of the right-hand side at a state.

    Returns
    -------
    float array, shape (n_state, n_state), per model time
    """
    kernels = model.kernels
    data = np.empty(len(kernels.j_row))
    kernels.jac(0.0, np.array(y), np.array(p), data)
    dense = np.zeros((len(y), len(y)))
    dense[kernels.j_row, kernels.j_col] = data
    return dense


@functools.lru_cache(maxsize=64)
def _spare_rows(totals: bytes, n_state: int) -> IntArray:
    """Return the states, one a total, whose slopes follow from those of the others."""
    rows = np.frombuffer(totals).reshape(-1, n_state)
    if not len(rows):
        return np.zeros(0, np.int64)
    found: IntArray = scipy.linalg.qr(rows, mode="r", pivoting=True)[1][: len(rows)]
    return found.astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class RestSystem:
    """[J; T] at a state, scaled; see the module.

    Attributes
    ----------
    matrix : float array, shape (n_row, n_state), scaled
    kept : bool array, rows of [J; T] that are not zero
    row : float array, shape (n_row,), factors of the kept rows
    scale : float array, shape (n_state,), factors of the columns
    held : bool array, shape (n_state,)
    totals : float array, shape (n_total, n_state)
    """

    matrix: FloatArray
    kept: BoolArray
    row: FloatArray
    scale: FloatArray
    held: BoolArray
    totals: FloatArray

    @classmethod
    def at(
        cls,
        model: CompiledModel,
        y: FloatArray,
        p: FloatArray,
        held: BoolArray,
        totals: FloatArray,
    ) -> "RestSystem":
        """Return the system at a state."""
        scale = np.abs(y) + model.atol
        slopes = jacobian(model, y, p)
        slopes[held] = 0.0
        whole = np.vstack([slopes, totals]) * scale
        largest = np.abs(whole).max(axis=1, initial=0.0)
        kept = largest > 0
        row = 1.0 / largest[kept]
        matrix = whole[kept] * row[:, np.newaxis]
        return cls(matrix, kept, row, scale, held, totals)

    @property
    def finite(self) -> bool:
        """Whether every element is a number."""
        return bool(np.isfinite(self.matrix).all())

    def solve(
        self, slopes: FloatArray, changes: FloatArray, *, rounding: float = 0.0
    ) -> FloatArray:
        """Return the changes of state, shape (n_state, n_column).

        Parameters
        ----------
        slopes : float array, shape (n_state, n_column), the right-hand side for J
        changes : float array, shape (n_total, n_column), that for the totals
        rounding : error of the right-hand side, in shares of the fluxes of a row

        Raises
        ------
        scipy.linalg.LinAlgError
            Where the state is not isolated within its totals.
        """
        slopes = np.where(self.held[:, np.newaxis], 0.0, slopes)
        target = np.vstack([slopes, changes])[self.kept] * self.row[:, np.newaxis]
        found = self._by_square(target, rounding)
        if found is None:
            found = self._by_all_rows(target)
        return found * self.scale[:, np.newaxis]

    def _by_square(self, target: FloatArray, rounding: float) -> FloatArray | None:
        """Solve as many rows as there are states; None where that is ill-conditioned.

        Each total makes the slope of one of its states follow from the others, so that
        this row of J says nothing new. It takes a tenth of the time of all rows.
        """
        n = len(self.scale)
        wanted = self.kept.copy()
        wanted[_spare_rows(self.totals.tobytes(), n)] = False
        rows = wanted[self.kept]
        if rows.sum() != n:
            return None
        square, right = self.matrix[rows], target[rows]
        factors, order, broken = scipy.linalg.lapack.dgetrf(square)
        if broken:
            return None
        size = np.abs(square).sum(axis=0).max()
        inverse, _ = scipy.linalg.lapack.dgecon(factors, size)
        if not inverse > WELL_CONDITIONED:
            return None
        found = np.zeros((n, target.shape[1]))
        for _ in range(1 + REFINEMENTS):
            rest = right - square @ found
            found += scipy.linalg.lapack.dgetrs(factors, order, rest)[0]
        left = np.abs(self.matrix @ found - target)
        terms = np.abs(self.matrix) @ np.abs(found) + np.abs(target)
        return found if (left <= RESIDUAL * terms + rounding).all() else None

    def _by_all_rows(self, target: FloatArray) -> FloatArray:
        """Solve all rows by a factorisation that shows the rank."""
        q, r, order = scipy.linalg.qr(self.matrix, mode="economic", pivoting=True)
        pivots = np.abs(np.diag(r))
        if len(pivots) < len(self.scale) or pivots.min() <= LEAST_PIVOT * pivots.max():
            raise scipy.linalg.LinAlgError("singular")
        found = np.zeros((self.matrix.shape[1], target.shape[1]))
        for _ in range(1 + REFINEMENTS):
            rest = q.T @ (target - self.matrix @ found)
            found[order] += scipy.linalg.solve_triangular(r, rest)
        return found


@one_blas_thread()
def rest_tangents(
    model: CompiledModel,
    y: FloatArray,
    p: FloatArray,
    dp: FloatArray,
    dy0: FloatArray | None = None,
    *,
    frozen: BoolArray | None = None,
) -> FloatArray:
    """Return the tangents of a resting state, by the implicit function theorem.

    Parameters
    ----------
    y : float array, shape (n_state,), the resting state
    p : float array, shape (n_param,)
    dp : float array, shape (n_column, n_param), directions of the parameters
    dy0 : float array, shape (n_column, n_state), directions of the start values, which
        fix the conserved totals; None for no change. A column that changes a state
        which is absent for good is NaN: it would not stay so
    frozen : bool array, shape (n_state,): states that were held; or None

    Returns
    -------
    float array, shape (n_column, n_state)

    Raises
    ------
    InputError
        For a model without vector kernels, or where a mode neither decays nor is
        conserved: the resting state has no derivative there.
    """
    from mir21sim.solvers.batch.rate_tangents import slope_tangents

    made = cache.sensitivity_kernels(model.network, model.kernel_key)
    held = held_states(model, y, frozen)
    totals = exact_totals(model, y, held)
    system = RestSystem.at(model, y, p, held, totals)
    starts = np.zeros((len(dp), len(y))) if dy0 is None else dy0
    slopes = slope_tangents(made, y, p, np.zeros_like(starts), dp)
    try:
        found = system.solve(-slopes.T, totals @ starts.T)
    except scipy.linalg.LinAlgError as error:
        raise InputError(
            f"The resting state of {model.id} has no derivative: it is not isolated "
            "within its conserved totals."
        ) from error
    found[held] = starts.T[held]  # exactly, without rounding of the solution
    absent = held & (y == 0.0)
    if frozen is not None:
        absent &= ~frozen
    found[:, starts[:, absent].any(axis=1)] = np.nan
    return found.T
