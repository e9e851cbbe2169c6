"""States at output times → the selected quantities of one run."""

from collections.abc import Callable

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.compiler.kernels import Kernels
from mir21sim.solvers.problem import Selection, Source


class Outputs:
    """The quantities kept of a run at each of its output times."""

    def __init__(self, kernels: Kernels, selection: Selection) -> None:
        self.kernels, self.scale = kernels, selection.scale
        self.n_select = len(selection.source)
        divides = selection.divisor >= 0
        self.divides = bool(divides.any())
        kinds = {*selection.source.tolist(), *selection.divisor_source.tolist()}
        self.parts = []
        for kind in sorted(kinds):
            above = np.flatnonzero(selection.source == kind)
            below = np.flatnonzero(divides & (selection.divisor_source == kind))
            if above.size or below.size:
                places = selection.index[above], selection.divisor[below]
                self.parts.append((Source(kind), above, below, *places))

    def rows(
        self,
        times: FloatArray,
        states: FloatArray,
        p: FloatArray,
        clipped: Callable[[FloatArray], FloatArray],
    ) -> FloatArray:
        """Return the selected quantities at some times.

        Parameters
        ----------
        times : float array, shape (n_time,), model time
        states : float array, shape (n_time, n_state), C-contiguous
        p : float array, shape (n_param,)
        clipped : returns states without amounts below zero, which are used where a
            quantity is not finite

        Returns
        -------
        float array, shape (n_time, n_select)
        """
        out = self._rows(times, states, p)
        bad = ~np.isfinite(out.sum(axis=1))
        if bad.any():
            out[bad] = self._rows(times[bad], clipped(states[bad]), p)
        return out

    def _rows(self, times: FloatArray, states: FloatArray, p: FloatArray) -> FloatArray:
        out = np.empty((len(times), self.n_select))
        divisor = np.ones_like(out) if self.divides else out
        for kind, above, below, index, divisor_index in self.parts:
            pool = self._pool(kind, times, states, p)
            out[:, above] = pool[:, index]
            if self.divides:
                divisor[:, below] = pool[:, divisor_index]
        out *= self.scale
        if self.divides:
            out /= divisor
        return out

    def _pool(
        self, kind: Source, times: FloatArray, states: FloatArray, p: FloatArray
    ) -> FloatArray:
        """Return all quantities of a kind, shape (n_time, n_quantity)."""
        if kind == Source.STATE:
            return states
        if kind == Source.PARAM:
            return np.broadcast_to(p, (len(times), len(p)))
        kernel, n = {
            Source.ASSIGNED: (self.kernels.assigned, self.kernels.n_assigned),
            Source.RATE: (self.kernels.rates, self.kernels.n_rate),
        }[kind]
        pool = np.empty((len(times), n))
        for t, y, row in zip(times.tolist(), states, pool, strict=True):
            kernel(t, y, p, row)
        return pool
