"""States at output times → the selected quantities of one run."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mir21sim._typing import BoolArray, FloatArray, IntArray
from mir21sim.compiler.kernels import Kernels
from mir21sim.solvers.problem import Selection, Source

_Part: TypeAlias = tuple[Source, IntArray | slice, IntArray]
"""Quantities of one kind, their places among the outputs, and their numbers."""

_ALL = slice(None)


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The outputs of a selection by kind.

    Attributes
    ----------
    above, below : quantities, and those that divide them
    constant : whether all of those are parameters, the same at all times
    scaled : whether any quantity has another unit than its state
    """

    above: tuple[_Part, ...]
    below: tuple[_Part, ...]
    constant: bool
    scaled: bool


@functools.lru_cache(maxsize=64)  # a model is run with one selection many times
def _parts(selection: Selection) -> _Parts:
    """Return the outputs of a selection by kind."""
    divides = selection.divisor >= 0
    above = _by_kind(selection.source, selection.index, np.ones_like(divides))
    below = _by_kind(selection.divisor_source, selection.divisor, divides)
    constant = all(kind == Source.PARAM for kind, *_ in below)
    return _Parts(above, below, constant, bool((selection.scale != 1.0).any()))


def _by_kind(kinds: IntArray, index: IntArray, counts: BoolArray) -> tuple[_Part, ...]:
    """Return the quantities that count, those of each kind together."""
    found: list[_Part] = []
    for kind in sorted(set(kinds[counts].tolist())):
        places = np.flatnonzero(counts & (kinds == kind))
        whole = len(places) == len(kinds)
        found.append((Source(kind), _ALL if whole else places, index[places]))
    return tuple(found)


class Outputs:
    """The quantities kept of a run at each of its output times."""

    def __init__(self, kernels: Kernels, selection: Selection) -> None:
        self.kernels, self.scale = kernels, selection.scale
        self.n_select = len(selection.source)
        self.parts = _parts(selection)

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
        if math.isfinite(out.sum()):
            return out
        bad = ~np.isfinite(out.sum(axis=1))
        if bad.any():
            out[bad] = self._rows(times[bad], clipped(states[bad]), p)
        return out

    def _rows(self, times: FloatArray, states: FloatArray, p: FloatArray) -> FloatArray:
        parts, pools = self.parts, {Source.STATE: states, Source.PARAM: p[np.newaxis]}
        for kind, *_ in (*parts.above, *parts.below):
            if kind not in pools:
                pools[kind] = self._pool(kind, times, states, p)
        out = np.empty((len(times), self.n_select))
        for kind, places, index in parts.above:
            out[:, places] = pools[kind][:, index]
        if parts.scaled:
            out *= self.scale
        if parts.below:
            divisor = np.ones((1 if parts.constant else len(times), self.n_select))
            for kind, places, index in parts.below:
                divisor[:, places] = pools[kind][:, index]
            out /= divisor
        return out

    def _pool(
        self, kind: Source, times: FloatArray, states: FloatArray, p: FloatArray
    ) -> FloatArray:
        """Return all rule variables or rates, shape (n_time, n_quantity)."""
        kernel, n = {
            Source.ASSIGNED: (self.kernels.assigned, self.kernels.n_assigned),
            Source.RATE: (self.kernels.rates, self.kernels.n_rate),
        }[kind]
        pool = np.empty((len(times), n))
        for t, y, row in zip(times.tolist(), states, pool, strict=True):
            kernel(t, y, p, row)
        return pool
