"""The next moment at which a root function that is linear in time jumps.

Between two jumps (of ``floor``, ``ceil``, quotients, …) such a function is a linear
piece, whose zero follows from its value and slope. The relations at the jump itself
are looked up on both of its sides, since the function may be zero there up to rounding.
"""

import math
from dataclasses import dataclass

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.solvers.single.event_search import RelationSearch

SAME_TIME = 1e-12
"""Moments that differ by less, relatively, are the same: hours and seconds round."""

ROUGHLY = 1e-9
"""Relative error that a moment may have before it is searched to the last digit."""

NEIGHBOURS = 4
"""Floating-point numbers away from a computed moment that are tried one by one."""

_ASIDE = 1e-3
"""Share of a piece at whose end a function that is zero at its begin is looked at; one
that is that much smaller at the begin is zero there, up to rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class _Pieces:
    """Linear pieces of root functions that jump.

    Attributes
    ----------
    inside : a time little after the one at which they begin
    zeros : float array, shape (n_piece,), the times at which they are zero
    end : the next time at which one of the functions jumps, infinity for never
    """

    inside: float
    zeros: FloatArray
    end: float


class JumpSearch(RelationSearch):
    """Root functions of one run that jump; see ``EventQueue``."""

    after: bool

    def _at_pieces(self, t: float, y: FloatArray, p: FloatArray) -> _Pieces:
        """Return where the pieces after a time are zero and when they end."""
        kernels, end = self.kernels, math.inf
        jumps = self._filled(kernels.jumps, t, y, p, kernels.n_jump)
        for j in map(int, np.argsort(jumps)):
            about = float(jumps[j])
            # Jumps that only rounding keeps apart are one, the latest of them.
            if not math.isfinite(about) or about * (1 + ROUGHLY) < t:
                continue
            if about > end + SAME_TIME * abs(end):
                break
            exact = self._exact_jump(j, about, t, y, p)
            end = exact if math.isinf(end) else max(end, exact)
        reach = abs(t) if math.isinf(end) else end - t
        inside = max(t + ROUGHLY * reach, math.nextafter(t, math.inf))
        zeros = self._filled(kernels.pieces, inside, y, p, len(kernels.piece_of))
        return _Pieces(inside, zeros, end)

    def _exact_jump(
        self, j: int, about: float, t: float, y: FloatArray, p: FloatArray
    ) -> float:
        """Return the first floating-point time at which a jump has taken place."""
        count = self.kernels.n_jump
        first = max(about, math.nextafter(t, math.inf))
        for _ in range(NEIGHBOURS):
            first = max(math.nextafter(first, -math.inf), math.nextafter(t, math.inf))
        time = first
        before = float(self._filled(self.kernels.jumps, t, y, p, count)[j])
        for _ in range(3 * NEIGHBOURS):
            if self._filled(self.kernels.jumps, time, y, p, count)[j] != before:
                return time
            time = math.nextafter(time, math.inf)
        return max(about, math.nextafter(t, math.inf))

    def _jump(
        self,
        pieces: _Pieces,
        soonest: float,
        t: float,
        y: FloatArray,
        p: FloatArray,
    ) -> float:
        """Return the next time, with jumps of root functions as such times.

        A relation may turn right after this time too, where a ceiling jumps.
        """
        now = self._codes(self._roots(t, y, p))
        then = self._codes(self._roots(pieces.inside, y, p))
        turned = np.flatnonzero((now != then) & self.kernels.pieced)
        if turned.size and pieces.inside < soonest:

            def states(times: FloatArray) -> FloatArray:
                return np.broadcast_to(y, (len(times), len(y)))

            self.after = True
            return self._bisect(t, pieces.inside, turned, now, states, p)
        if pieces.end > soonest + SAME_TIME * abs(soonest):
            return soonest
        # A zero in this very place waits for the jump: both are one moment.
        self.after = False
        return self._landing(pieces, y, p)

    def _landing(self, pieces: _Pieces, y: FloatArray, p: FloatArray) -> float:
        """Return the time at which a jump counts, and note relations at zero there.

        ``time - 12*floor(time/12)`` is zero where it jumps, up to rounding; the time is
        the one at which it is exactly so, else the first at which rounding is over.
        """
        kernels, time = self.kernels, pieces.end
        after = self._at_pieces(time, y, p)
        left = kernels.from_left[kernels.piece_of]
        zeros = np.where(left, pieces.zeros, after.zeros)
        touched = np.unique(
            kernels.piece_of[np.abs(zeros - time) <= SAME_TIME * abs(time)]
        )
        small = self._small(touched, time, after.end, y, p)
        touched, small = touched[~np.isnan(small)], small[~np.isnan(small)]
        if not touched.size:
            return time
        codes = self._codes(self._roots(after.inside, y, p))[touched]
        found = None
        for _ in range(4 * NEIGHBOURS):
            g = self._roots(time, y, p)
            if not g[touched].any():
                found = time, g
                break
            over = (self._codes(g)[touched] == codes) & (np.abs(g[touched]) <= small)
            if found is None and over.all():
                found = time, g
            time = math.nextafter(time, math.inf)
        time, g = found or (pieces.end, self._roots(pieces.end, y, p))
        self.turns.update({k: (time, float(g[k])) for k in map(int, touched)})
        return time

    def _small(
        self, which: IntArray, time: float, end: float, y: FloatArray, p: FloatArray
    ) -> FloatArray:
        """Return the size of a zero for relations at a jump, NaN for those not zero.

        A piece that is zero there may be one that does not hold there. The functions
        may be rounded otherwise than the jumps, so that they jump a little later.

        Returns
        -------
        float array, shape (n_which,): infinity for a value taken before the jump
        """
        reach = _ASIDE * (abs(time) if math.isinf(end) else end - time)
        left = self.kernels.from_left[which]
        near = time + math.ulp(time) * np.arange(-NEIGHBOURS, 2 * NEIGHBOURS)
        g = np.abs([self._roots(at, y, p)[which] for at in near.tolist()])
        before = g[:NEIGHBOURS].min(axis=0) <= _ASIDE * np.abs(
            self._roots(time - reach, y, p)[which]
        )
        limit = _ASIDE * np.abs(self._roots(time + reach, y, p)[which])
        behind = g[NEIGHBOURS:].min(axis=0) <= limit
        small: FloatArray = np.where(
            left, np.where(before, np.inf, np.nan), np.where(behind, limit, np.nan)
        )
        return small
