"""The states that a solver has to integrate, and the way to all of them. Layer 3.

Left out is what cannot change before the next stop: held states, states that no rate
reaches, and what is absent as long as something else is. The rates of these are zero
exactly, so nothing is approximated, and the linear algebra is that of a smaller model.
"""

from dataclasses import dataclass

import numpy as np

from mir21sim._typing import BoolArray, FloatArray, IntArray, Kernel
from mir21sim.compiled import Kernels


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
    inflow : float array, shape (n_state,), what comes in from outside per time
    frozen : bool array, shape (n_state,): states that are held; or None
    """
    free = np.ones(len(y), dtype=bool) if frozen is None else ~frozen
    fed = free & (inflow != 0.0)
    absent = (y == 0.0) & ~fed
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
class Moving:
    """The moving states z of a model with states y.

    Attributes
    ----------
    index : int array, shape (n_moving,): z = y[index]
    source, row, col : int arrays: entries of the model's Jacobian (n_nonzero,) that are
        in that of z, and where
    """

    index: IntArray
    source: IntArray
    row: IntArray
    col: IntArray

    @classmethod
    def of(cls, kernels: Kernels, moving: BoolArray) -> "Moving":
        """Return the moving states of a mask."""
        index = np.flatnonzero(moving)
        place = np.cumsum(moving) - 1
        kept = np.flatnonzero(moving[kernels.j_row] & moving[kernels.j_col])
        row, col = place[kernels.j_row[kept]], place[kernels.j_col[kept]]
        return cls(index, kept, row, col)

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True, slots=True, eq=False)
class Glue:
    """What stands between a solver of z and the kernels of y; a million calls of each.

    Attributes
    ----------
    spread : ``(z, index, y, peak, share, floor)``: sets y[index] = z, raises the peaks
        to it, and returns whether any z is below ``-(share*peak + floor)``
    gather : ``(slope, index, inflow, out)``: sets out = slope[index] + inflow and
        returns the sum, which is not finite where one of them is not
    scatter : ``(data, source, at, out)``: sets out to zero, out[at] = data[source], and
        returns the sum
    """

    spread: Kernel
    gather: Kernel
    scatter: Kernel

    @classmethod
    def of(cls, backend: str) -> "Glue":
        """Return compiled functions for compiled kernels, else those of NumPy."""
        if backend == "numba":
            from mir21sim.solvers import glue  # Numba takes half a second

            return cls(glue.spread, glue.gather, glue.scatter)
        return cls(_spread, _gather, _scatter)


def _spread(
    z: FloatArray,
    index: IntArray,
    y: FloatArray,
    peak: FloatArray,
    share: float,
    floor: FloatArray,
) -> bool:
    y[index] = z
    np.maximum(peak, np.abs(z), out=peak)
    return bool((z < -(share * peak + floor)).any())


def _gather(
    slope: FloatArray, index: IntArray, inflow: FloatArray, out: FloatArray
) -> float:
    np.add(slope[index], inflow, out=out)
    return float(out.sum())


def _scatter(
    data: FloatArray, source: IntArray, at: IntArray, out: FloatArray
) -> float:
    out[:] = 0.0
    out[at] = data[source]
    return float(out.sum())
