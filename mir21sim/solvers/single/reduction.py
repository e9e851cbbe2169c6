"""Model reduction: leave out constant states and one state per conserved total.

Left out are states that cannot change before the next stop: held states, states that
no rate reaches, and states at zero that only each other could form. The rates of these
are zero exactly. Left out as well, where it is safe, is one state of each conserved
total, which follows from the others. It is no approximation, and the linear algebra is
that of a smaller model.
"""

from dataclasses import dataclass

import numpy as np

from mir21sim._typing import BoolArray, FloatArray, IntArray, Kernel
from mir21sim.compiler.kernels import Kernels

TURNOVER = 1e-3
"""Share of its largest state that the rest of a total must be to be made use of: a
total that has not begun to turn over may do so whole, and its largest state become its
least."""

LARGEST_REST = 10.0
"""Largest ratio of the rest of a total to the state that follows from it. The solver
does not control the error of that state, which is up to so many times that of the
rest."""

DRAINED = 0.25
"""Share of its start at which a state that follows from others counts as drained."""


def moving_states(
    kernels: Kernels,
    y: FloatArray,
    inflow: FloatArray,
    frozen: BoolArray | None = None,
) -> BoolArray:
    """Return which states can leave the value they have.

    Absent is the largest set of states at zero without inflow such that every rate of
    theirs has, in each of its terms, a factor in the set.

    Parameters
    ----------
    y : float array, shape (n_state,)
    inflow : float array, shape (n_state,), the inflow from outside per time
    frozen : bool array, shape (n_state,): states that are held; or None
    """
    free = np.ones(len(y), dtype=bool) if frozen is None else ~frozen
    fed = free & (inflow != 0.0)
    absent = y == 0.0
    while True:
        off = _count(kernels.factor_term, absent[kernels.factor_state], kernels.n_term)
        on = _count(kernels.term_rate, off == 0, kernels.n_rate)
        reached = _count(kernels.n_row, on[kernels.n_col] > 0, len(y)) > 0
        moving: BoolArray = fed | (free & reached)
        if not (absent & moving).any():
            return moving
        absent &= ~moving


def _count(place: IntArray, which: BoolArray, n: int) -> IntArray:
    """Return how many of some entries are at each place."""
    return np.bincount(place[which], minlength=n)


@dataclass(frozen=True, slots=True, eq=False)
class Ties:
    """Conserved totals, each solved for one state.

    Attributes
    ----------
    tied : int array, shape (n_tied,), the states
    totals : float array, shape (n_tied, n_state): one at a total's own state, which no
        other total has, zero at states that do not move
    """

    tied: IntArray
    totals: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Reduction:
    """The moving states z of a model with states y, and the states that follow from z.

    Attributes
    ----------
    index : int array, shape (n_moving,): z = y[index]
    source, factor, row, col : the Jacobian of z is the sum of `factor` times the entry
        `source` of the model's (n_nonzero,) at (row, col)
    tied : int array, shape (n_tied,): states that follow from z
    first, partner, weight : with k from first[i] to first[i + 1],
        y[tied[i]] = constant + Σ weight[k]·z[partner[k]]
    """

    index: IntArray
    source: IntArray
    factor: FloatArray
    row: IntArray
    col: IntArray
    tied: IntArray
    first: IntArray
    partner: IntArray
    weight: FloatArray

    @classmethod
    def of(
        cls, kernels: Kernels, moving: BoolArray, ties: Ties | None = None
    ) -> "Reduction":
        """Return the moving states of a mask, without those that are tied to others."""
        ties = ties or Ties(np.empty(0, np.int64), np.empty((0, len(moving))))
        tied, totals = ties.tied, ties.totals
        solved = moving.copy()
        solved[tied] = False
        index, place = np.flatnonzero(solved), np.cumsum(solved) - 1
        which, member = np.nonzero(np.where(solved, totals, 0.0))
        # An entry for a state that follows from others acts on these.
        order = np.full(len(moving), -1)
        order[tied] = np.arange(len(tied))
        mine = solved[kernels.j_row]
        plain = np.flatnonzero(mine & solved[kernels.j_col])
        through = np.flatnonzero(mine & (order[kernels.j_col] >= 0))
        first = np.searchsorted(which, np.arange(len(tied) + 1))
        behind = order[kernels.j_col[through]]
        count = first[behind + 1] - first[behind]
        again = np.repeat(through, count)
        begin = np.repeat(first[behind] - (np.cumsum(count) - count), count)
        k = np.arange(len(again)) + begin
        weight = -totals[which, member]
        source = np.concatenate([plain, again])
        return cls(
            index=index,
            source=source,
            factor=np.concatenate([np.ones(len(plain)), weight[k]]),
            row=place[kernels.j_row[source]],
            col=np.concatenate([place[kernels.j_col[plain]], place[member[k]]]),
            tied=tied,
            first=first,
            partner=place[member],
            weight=weight,
        )

    def __len__(self) -> int:
        return len(self.index)


def ties_of(
    kernels: Kernels,
    moving: BoolArray,
    y: FloatArray,
    inflow: FloatArray,
    frozen: BoolArray | None = None,
) -> Ties | None:
    """Return the conserved totals solved for the largest of their states each.

    Its error is then no larger, for its size, than those of the others. None where
    there is no total, or none that is safe to use.
    """
    n = len(kernels.total_row) and int(kernels.total_row[-1]) + 1
    totals = np.zeros((n, len(y)))
    totals[kernels.total_row, kernels.total_state] = kernels.total_value
    outside = inflow != 0.0 if frozen is None else frozen | (inflow != 0.0)
    totals = totals[~totals[:, outside].any(axis=1)]
    totals[:, ~moving] = 0.0
    size = np.abs(y)
    used: list[tuple[int, int]] = []
    for k in range(len(totals)):
        share = np.abs(totals[k]) * size
        largest = int(np.argmax(share))
        if not share.sum() > (1.0 + TURNOVER) * share[largest]:
            continue
        totals[k] /= totals[k, largest]
        column = totals[:, largest].copy()
        column[k] = 0.0
        totals -= np.outer(column, totals[k])
        totals[np.abs(totals) < 1e-12] = 0.0  # no total of rounding alone
        used.append((k, largest))
    if not used:
        return None
    rows, tied = np.ascontiguousarray(np.transpose(used))
    totals = totals[rows]
    rest = np.abs(totals) @ size - size[tied]
    safe = (rest > 0.0) & (rest <= LARGEST_REST * size[tied])
    return Ties(tied, totals) if safe.all() else None


@dataclass(frozen=True, slots=True, eq=False)
class ReductionKernels:
    """Functions between a solver of z and the kernels of y, called a million times.

    Attributes
    ----------
    spread : ``(z, index, tied, first, partner, weight, constant, least, floor, share,
        peak, y)``: sets y[index] and y[tied], raises the peaks to z, and returns
        whether any z is below ``-(share*peak + floor)`` or any tied state below `least`
    gather : ``(slope, index, inflow, out)``: sets out = slope[index] + inflow and
        returns the sum, which is not finite where one of them is not
    scatter : ``(data, source, factor, at, out)``: sets out to zero, adds
        factor·data[source] at the places, and returns the sum of these
    """

    spread: Kernel
    gather: Kernel
    scatter: Kernel

    @classmethod
    def of(cls, backend: str) -> "ReductionKernels":
        """Return compiled functions for compiled kernels, else those of NumPy."""
        if backend == "numba":
            from mir21sim.solvers.single import reduction_compiled as c  # slow import

            return cls(c.spread, c.gather, c.scatter)
        return cls(_spread, _gather, _scatter)


def _spread(
    z: FloatArray,
    index: IntArray,
    tied: IntArray,
    first: IntArray,
    partner: IntArray,
    weight: FloatArray,
    constant: FloatArray,
    least: FloatArray,
    floor: FloatArray,
    share: float,
    peak: FloatArray,
    y: FloatArray,
) -> bool:
    y[index] = z
    np.maximum(peak, np.abs(z), out=peak)
    odd = bool((z < -(share * peak + floor)).any())
    if len(tied):
        y[tied] = constant + np.add.reduceat(weight * z[partner], first[:-1])
        odd |= bool((y[tied] < least).any())
    return odd


def _gather(
    slope: FloatArray, index: IntArray, inflow: FloatArray, out: FloatArray
) -> float:
    np.add(slope[index], inflow, out=out)
    return float(out.sum())


def _scatter(
    data: FloatArray,
    source: IntArray,
    factor: FloatArray,
    at: IntArray,
    out: FloatArray,
) -> float:
    entries = factor * data[source]
    out[:] = np.bincount(at, entries, len(out))
    return float(entries.sum())
