"""The reduced initial value problem between two breakpoints."""

import math
import threading
from typing import Any

import numpy as np
import scipy.sparse

from mir21sim._typing import BoolArray, FloatArray
from mir21sim.compiler.kernels import Kernels
from mir21sim.solvers.single.reduction import Reduction, ReductionKernels

SPARSE_FROM = 300
"""States from which a sparse LU beats LAPACK's dense one (measured on chains)."""


class ReducedProblem:
    """Slope and Jacobian of the moving states z; all others keep their value in y.

    ``slope`` and the matrices are for moving states from which no others follow.

    Attributes
    ----------
    y : float array, shape (n_state,): where the last call was
    constant : float array, shape (n_tied,), of the states that follow from z
    """

    def __init__(
        self,
        kernels: Kernels,
        reduction: Reduction,
        y: FloatArray,
        p: FloatArray,
        inflow: FloatArray,
        never_negative: BoolArray,
        stop: threading.Event,
    ) -> None:
        self.kernels, self.reduction, self.p, self.stop = kernels, reduction, p, stop
        # Here, as LSODA may swallow an error in a callback that compiles.
        self.rhs, self.jac = kernels.rhs, kernels.jac
        self.helpers = ReductionKernels.of(kernels.backend)
        self.y, self.index = y.copy(), reduction.index
        self.inflow = inflow[self.index]
        self.never_negative = never_negative
        self.latest = math.inf
        self.constant = y[reduction.tied]
        if len(reduction.tied):
            terms = reduction.weight * y[self.index][reduction.partner]
            self.constant = self.constant - np.add.reduceat(terms, reduction.first[:-1])
        self.all_slopes = np.empty_like(y)
        self.data = np.empty(len(kernels.j_row))
        self.n_rhs = self.n_jac = 0

    def __len__(self) -> int:
        return len(self.index)

    def whole(self, z: FloatArray) -> FloatArray:
        """Return all states, shape (..., n_state), for moving ones (..., n_moving)."""
        y = np.empty((*z.shape[:-1], len(self.y)))
        y[...] = self.y
        y[..., self.index] = z
        reduction = self.reduction
        if len(reduction.tied):
            terms = reduction.weight * z[..., reduction.partner]
            sums = np.add.reduceat(terms, reduction.first[:-1], axis=-1)
            y[..., reduction.tied] = self.constant + sums
        return y

    def slope(self, t: float, z: FloatArray) -> FloatArray:
        """Return dz/dt; if it is not finite, retry with negative amounts set to 0."""
        t = min(t, self.latest)
        self.n_rhs += 1
        self.y[self.index] = z
        out = np.empty(len(z))
        self.rhs(t, self.y, self.p, self.all_slopes)
        total = self.helpers.gather(self.all_slopes, self.index, self.inflow, out)
        if not math.isfinite(total):
            self.rhs(t, clipped(self.y, self.never_negative), self.p, self.all_slopes)
            self.helpers.gather(self.all_slopes, self.index, self.inflow, out)
        return out

    def matrix(self, t: float, z: FloatArray) -> FloatArray:
        """Return d(dz/dt)/dz, shape (n_moving, n_moving)."""
        m, reduction = len(z), self.reduction
        self._derivatives(t, z)
        dense = np.empty(m * m)
        at = reduction.row * m + reduction.col
        self.helpers.scatter(self.data, reduction.source, reduction.factor, at, dense)
        return dense.reshape(m, m)

    def sparse_matrix(self, t: float, z: FloatArray) -> Any:
        """Return the same as a sparse matrix."""
        self._derivatives(t, z)
        data, place = (
            self.data[self.reduction.source],
            (self.reduction.row, self.reduction.col),
        )
        return scipy.sparse.csc_matrix((data, place), shape=(len(z), len(z)))

    def _derivatives(self, t: float, z: FloatArray) -> None:
        """Compute the non-zeros of the model's Jacobian into ``data``."""
        t = min(t, self.latest)
        self.n_jac += 1
        self.y[self.index] = z
        self.jac(t, self.y, self.p, self.data)
        if not math.isfinite(self.data.sum()):
            self.jac(t, clipped(self.y, self.never_negative), self.p, self.data)
            mend(self.data)


def mend(data: FloatArray) -> None:
    """Set derivatives that are not finite to 0, in place.

    Rates can be finite at zero where their derivatives are not: ``1/(1 + (K/X)^n)``,
    ``X^0.5``. The methods need the Jacobian for their Newton iteration only; the error
    test of the step has the last word, and beyond zero the derivatives are finite.
    """
    data[~np.isfinite(data)] = 0.0


def clipped(y: FloatArray, never_negative: BoolArray) -> FloatArray:
    """Return states without amounts below zero.

    Rounding takes vanishing amounts to -1e-30, where a Hill function with a broken
    exponent is not a number although its model is sound.
    """
    return np.where(never_negative & (y < 0), 0.0, y)
