"""The first moment within a step at which a relation turns.

A trigger can only change where a relation in it does, so its moment is bracketed by two
neighbouring floating-point numbers: the event is at the upper one, the first at which
the relation has its new value. ``one_crossing`` does the same in compiled code.
"""

import math
from collections.abc import Callable

import numpy as np

from mir21sim._typing import BoolArray, FloatArray, IntArray, Kernel
from mir21sim.compiler.kernels import EventKernels

_SAMPLES = 8
"""Intervals of the longest step between the places at which roots are looked at; a
step of an eighth of it has half of them, one of a sixty-fourth a quarter."""

#: Sub-intervals of one round of the search for a dip between two equal signs.
_REFINE = 8

#: Rounds of this search at most.
_DEEPEST = 20

_JUMP = 1e-3
"""Share of a change that neighbouring times have only if the function jumps there."""

States = Callable[[FloatArray], FloatArray]
"""The states within a step: (n,) times to (n, n_state)."""


class RelationSearch:
    """Root functions of relations along the states of a step; see ``EventQueue``."""

    kernels: EventKernels
    clipped: Callable[[FloatArray], FloatArray]
    is_watched: BoolArray
    is_either: BoolArray
    holds_at_zero: BoolArray
    turns: dict[int, tuple[float, float]]
    culprit: int
    roots: Kernel | None

    @property
    def watches(self) -> bool:
        """Whether there are relations that must be looked at within steps."""
        return bool(self.is_watched.any())

    def first_crossing(
        self, t: float, end: float, longest: float, states: States, p: FloatArray
    ) -> float | None:
        """Return the first moment within a step at which a watched relation turns.

        The root functions are sampled; where one has a dip between two samples of equal
        sign, the dip is followed down, so that two crossings are not taken for none.

        A root function that is not a number at the end of the step sets ``culprit``.
        """
        if not self.watches:
            return None
        shares = _SAMPLES * (end - t) / longest
        count = _SAMPLES if shares >= 1 else _SAMPLES // (2 if shares >= 1 / 8 else 4)
        times = np.linspace(t, end, count + 1)
        g = self._along(times, states, p)
        codes = self._codes(g)
        turned = (codes[1:] != codes[:-1]) & ~np.isnan(g[1:]) & self.is_watched
        dips = self._dips(g)
        for i in map(int, np.flatnonzero(turned.any(axis=1) | dips.any(axis=1))):
            low, high = float(times[i]), float(times[i + 1])
            which = np.flatnonzero(turned[i])
            if which.size:
                return self._bisect(low, high, which, codes[i], states, p)
            for k in map(int, np.flatnonzero(dips[i])):
                around = float(times[min(i + 2, len(times) - 1)])
                below = self._follow(k, low, around, states, p)
                if below is not None:
                    return self._bisect(low, below, np.array([k]), codes[i], states, p)
        self.note_undefined(g[-1])
        return None

    def note_undefined(self, g: FloatArray) -> None:
        """Note an event whose trigger has a root function that is not a number."""
        found = np.flatnonzero(np.isnan(g) & (self.kernels.user >= 0))
        if found.size:
            self.culprit = int(self.kernels.user[found[0]])

    def _dips(self, g: FloatArray) -> BoolArray:
        """Return where a watched root function may touch zero between equal signs.

        Returns
        -------
        bool array, shape (n_sample - 1, n_relation): in the interval or the next one
        """
        found = np.zeros((len(g) - 1, g.shape[1]), dtype=bool)
        signs, size = np.sign(g), np.abs(g)
        a, b, c = size[:-2], size[1:-1], size[2:]
        lowest = (b < a) & (b < c) & (signs[:-2] == signs[1:-1]) & self.is_watched
        if lowest.any():
            lowest &= signs[1:-1] == signs[2:]
            # The vertex of the parabola through three values: far from zero or near?
            found[:-1] = lowest & (b - (c - a) ** 2 / (8 * (a - 2 * b + c)) < 0.5 * b)
        return found

    def _follow(
        self, k: int, low: float, high: float, states: States, p: FloatArray
    ) -> float | None:
        """Return a time in a dip at which relation `k` has the other sign, or None."""
        sign, best = 0.0, math.inf
        for _ in range(_DEEPEST):
            times = np.linspace(low, high, _REFINE + 1)
            g = self._along(times, states, p)[:, k]
            sign = sign or np.sign(g[0])
            g *= sign
            under = np.flatnonzero(g <= 0)
            if under.size:
                return float(times[under[0]])
            lowest = int(np.argmin(g))
            if not g[lowest] < 0.99 * best:
                return None
            best = float(g[lowest])
            low, high = times[max(lowest - 1, 0)], times[min(lowest + 1, _REFINE)]
        return None

    def _bisect(
        self,
        low: float,
        high: float,
        which: IntArray,
        codes: FloatArray,
        states: States,
        p: FloatArray,
    ) -> float:
        """Return the first floating-point time at which one of the relations differs.

        The bracket is cut around the secant's zero, and halved where that does not
        help, until its ends are neighbours.

        Parameters
        ----------
        low, high : times without and with a difference
        which : relations
        codes : of all relations at `low`
        """
        lead = which[0]
        g_low, g_high = self._along(np.array([low, high]), states, p)
        wide = np.abs(g_high - g_low)
        while low < (middle := low + (high - low) / 2) < high:
            margin = max(1e-3 * (high - low), 4 * math.ulp(high))
            drop = float(g_low[lead] - g_high[lead])
            zero = low + float(g_low[lead]) / drop * (high - low) if drop else math.nan
            for cut in (zero - margin, zero + margin, middle):
                if low < cut < high:
                    (g,) = self._along(np.array([cut]), states, p)
                    if (self._codes(g)[which] != codes[which]).any():
                        high, g_high = cut, g
                    else:
                        low, g_low = cut, g
        for k in map(int, which[self.is_either[which]]):
            # A jump over zero, or to it, is no passing through it.
            through = g_low[k] * g_high[k] < 0
            if through and abs(g_high[k] - g_low[k]) < _JUMP * wide[k]:
                self.turns[k] = high, float(g_high[k])
        return high

    def _along(self, times: FloatArray, states: States, p: FloatArray) -> FloatArray:
        """Return the root functions at some times, shape (n_time, n_relation)."""
        rows = np.array(states(times), order="C")  # kernels take no read-only views
        together = zip(times.tolist(), rows, strict=True)
        return np.array([self._roots(t, y, p) for t, y in together])

    def codes_at(self, t: float, y: FloatArray, p: FloatArray) -> FloatArray:
        """Return numbers that differ where relations do, shape (n_relation,)."""
        return self._codes(self._roots(t, y, p))

    def _codes(self, g: FloatArray) -> FloatArray:
        """Return numbers that differ where relations do; ``==`` looks at the sign.

        Parameters
        ----------
        g : root functions, shape (..., n_relation)
        """
        return np.where(
            self.is_either, np.sign(g), np.where(self.holds_at_zero, g >= 0, g > 0)
        )

    def _code(self, g: FloatArray, k: int) -> float:
        """Return the number of ``_codes`` of one relation."""
        value = float(g[k])
        if self.is_either[k]:
            return value if math.isnan(value) else float((value > 0) - (value < 0))
        return float(value >= 0 if self.holds_at_zero[k] else value > 0)

    def _roots(self, t: float, y: FloatArray, p: FloatArray) -> FloatArray:
        """Return the root functions, shape (n_relation,)."""
        kernel = self.roots or self.kernels.roots
        return self._filled(kernel, t, y, p, len(self.kernels.kind))

    def _filled(
        self, kernel: Kernel, t: float, y: FloatArray, p: FloatArray, n: int
    ) -> FloatArray:
        """Return the values of a kernel; rounding below zero is no reason for a NaN."""
        out = np.empty(n)
        kernel(t, y, p, out)
        if not math.isfinite(out.sum()):
            kernel(t, self.clipped(y), p, out)
        return out
