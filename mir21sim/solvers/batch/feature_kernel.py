"""Features of curves that are known as polynomials, one a step: peak, crossings, area.

Over the share θ of a step that has passed, a curve is the polynomial of degree four
through its values at the five nodes θ = 0, 1/4, … 1. Between two zeros of its slope it
is monotone, so its maximum is at an end of such a piece, and a level is crossed once in
a piece whose ends lie on both sides of it. Pieces are found exactly: the zeros of a
polynomial lie one each between those of its derivative. So no spike is missed within a
step, however short.
"""

import numba
import numpy as np
from numba import types

from mir21sim.compiler import machine_code
from mir21sim.solvers.problem import FEATURES

_OPTIONS = {"nogil": True, "error_model": "numpy"}
_HELPER = _OPTIONS | machine_code.INNER
_F1, _F2, _F3 = (types.Array(types.float64, n, "C") for n in (1, 2, 3))
_B1 = types.Array(types.boolean, 1, "C")

FLAT = 1e-6
"""A rise below this share of the peak is none: solver noise at default tolerances."""

REACH = 0.61
"""A polynomial of degree four passes its five nodes by no more than this share of their
spread: half the spread times (Lebesgue constant of the nodes − 1), (2.208 − 1)/2."""

_HALF = 0.5

_ROUNDS = 100
"""Tries for a zero at most; each second one halves the interval."""

_SAME = 1e-15
"""Length of an interval that is a point, in shares of a step."""

(
    _BASELINE, _PEAK, _PEAK_TIME, _LAG, _T_HALF, _SWITCH, _MAX_RATE, _AREA, _FINAL,
    _CROSSING,
) = range(len(FEATURES))  # fmt: skip


@numba.njit(**_HELPER)
def coefficients(f, c):
    """Fill c (5,) with the polynomial through the nodes f (5,)."""
    # The inverse of the Vandermonde matrix of 0, 1/4, 1/2, 3/4, 1, on differences, so
    # that a constant has no slope.
    d1, d2, d3, d4 = f[1] - f[0], f[2] - f[0], f[3] - f[0], f[4] - f[0]
    c[0] = f[0]
    c[1] = (48.0 * d1 - 36.0 * d2 + 16.0 * d3 - 3.0 * d4) / 3.0
    c[2] = (-208.0 * d1 + 228.0 * d2 - 112.0 * d3 + 22.0 * d4) / 3.0
    c[3] = (288.0 * d1 - 384.0 * d2 + 224.0 * d3 - 48.0 * d4) / 3.0
    c[4] = (-128.0 * d1 + 192.0 * d2 - 128.0 * d3 + 32.0 * d4) / 3.0


@numba.njit(**_HELPER)
def polynomial(c, degree, x):
    """Return the polynomial c of some degree at x."""
    total = c[degree]
    for k in range(degree - 1, -1, -1):
        total = total * x + c[k]
    return total


@numba.njit(**_HELPER)
def _between(c, degree, low, high, level):
    """Return where a polynomial passes a level that its ends lie around.

    False position and halving by turns; the end that is returned lies beyond.
    """
    f_low = polynomial(c, degree, low) - level
    f_high = polynomial(c, degree, high) - level
    below = f_low < 0.0
    for k in range(_ROUNDS):
        if high - low <= _SAME * max(1.0, abs(low)):
            break
        middle = 0.5 * (low + high)
        if k % 3 != 2:
            # Not on an end, so that the other end moves too.
            middle = low + (high - low) * f_low / (f_low - f_high)
            margin = 1e-3 * (high - low) if k % 3 == 0 else 1e-8 * (high - low)
            middle = min(max(middle, low + margin), high - margin)
        if middle <= low or middle >= high:
            break
        value = polynomial(c, degree, middle) - level
        if (value < 0.0) == below:
            low, f_low = middle, value
        else:
            high, f_high = middle, value
    return high


@numba.njit(**_HELPER)
def _monotone(c, degree, low, edges, work):
    """Fill edges with `low`, the zeros of the slope, and 1; return how many there are.

    The zeros of each derivative are found between those of the one above it.
    """
    # Row r of work (5, 5) holds derivative r, its last row the zeros just found.
    for k in range(degree + 1):
        work[0, k] = c[k]
    for r in range(1, degree):
        for k in range(degree + 1 - r):
            work[r, k] = (k + 1) * work[r - 1, k + 1]
    n, zeros = 2, work[4]
    edges[0], edges[1] = low, 1.0
    # From derivative degree − 1, a straight line, up to the first.
    for r in range(degree - 1, 0, -1):
        found = 0
        left = polynomial(work[r], degree - r, edges[0])
        for j in range(n - 1):
            right = polynomial(work[r], degree - r, edges[j + 1])
            if (left < 0.0) != (right < 0.0):
                zero = _between(work[r], degree - r, edges[j], edges[j + 1], 0.0)
                if low < zero < 1.0:
                    zeros[found] = zero
                    found += 1
            left = right
        for j in range(found):
            edges[1 + j] = zeros[j]
        edges[1 + found] = 1.0
        n = found + 2
    return n


@numba.njit(**_HELPER)
def _top(f):
    """Return an upper bound of the polynomial through the nodes f."""
    low, high = f[0], f[0]
    for q in range(1, 5):
        low, high = min(low, f[q]), max(high, f[q])
    return high + REACH * (high - low)


@numba.njit(**_HELPER)
def _first_at(start, length, nodes, first, low, level):
    """Return when a curve that begins below a level first reaches it; inf for never."""
    c, edges, work = np.empty(5), np.empty(6), np.empty((5, 5))
    for k in range(first, start.size):
        lowest = low if k == first else 0.0
        if not _top(nodes[k]) >= level:
            continue
        coefficients(nodes[k], c)
        n = _monotone(c, 4, lowest, edges, work)
        if polynomial(c, 4, edges[0]) >= level:
            return start[k] + length[k] * edges[0]
        for j in range(n - 1):
            if polynomial(c, 4, edges[j + 1]) >= level:
                theta = _between(c, 4, edges[j], edges[j + 1], level)
                return start[k] + length[k] * theta
    return np.inf


@numba.njit(**_HELPER)
def _steepest(c, lowest, length, best, edges, work):
    """Return the largest slope of a step, or the best one so far."""
    # The slope is a cubic: its values at 0, 1/3, 2/3, 1 bound it, as nodes do above,
    # by half their spread times (1.632 − 1).
    slope = edges[6:10]
    for m in range(4):
        slope[m] = (m + 1) * c[m + 1]
    low = high = slope[0]
    for q in range(1, 4):
        value = polynomial(slope, 3, q / 3.0)
        low, high = min(low, value), max(high, value)
    if high + 0.32 * (high - low) > best * length:
        n = _monotone(slope, 3, lowest, edges, work)
        for j in range(n):
            best = max(best, polynomial(slope, 3, edges[j]) / length)
    return best


@numba.njit(**_HELPER)
def _summits(start, length, nodes, first, low, since, out):
    """Fill in baseline, peak and its time, steepest slope, area and last share."""
    # lowest: share of a step at which it begins, above 0 for the first one only.
    c, edges, work = np.empty(5), np.empty(10), np.empty((5, 5))
    peak, moment, steepest, area = -np.inf, since, -np.inf, 0.0
    for k in range(first, start.size):
        lowest = low if k == first else 0.0
        f = nodes[k]
        coefficients(f, c)
        if k == first:
            out[_BASELINE] = polynomial(c, 4, lowest)
        if _top(f) > peak:
            n = _monotone(c, 4, lowest, edges, work)
            for j in range(n):
                here = polynomial(c, 4, edges[j])
                if here > peak:
                    peak, moment = here, start[k] + length[k] * edges[j]
        steepest = _steepest(c, lowest, length[k], steepest, edges, work)
        if lowest == 0.0:
            # Boole's rule, exact for degree four.
            mean = 7.0 * (f[0] + f[4]) + 32.0 * (f[1] + f[3]) + 12.0 * f[2]
            area += length[k] * mean / 90.0
        else:
            for m in range(5):
                area += length[k] * c[m] * (1.0 - lowest ** (m + 1)) / (m + 1)
    out[_PEAK], out[_PEAK_TIME] = peak, moment - since
    out[_MAX_RATE], out[_AREA] = steepest, area
    last = nodes[start.size - 1, 4]
    out[_FINAL] = last / peak if peak != 0.0 else np.nan


@numba.njit(**_HELPER)
def _times(start, length, nodes, first, low, since, share, out):
    """Fill in the times of the rise, and of one half for a share."""
    begin, peak = out[_BASELINE], out[_PEAK]
    if share:
        out[_CROSSING] = np.inf
        if begin >= _HALF:
            out[_CROSSING] = 0.0
        elif peak >= _HALF:
            at = _first_at(start, length, nodes, first, low, _HALF)
            out[_CROSSING] = at - since
    rise = peak - begin
    if not rise > FLAT * max(abs(peak), abs(begin)):
        out[_PEAK_TIME] = np.nan
        return
    lag = _first_at(start, length, nodes, first, low, begin + 0.1 * rise)
    half = _first_at(start, length, nodes, first, low, begin + 0.5 * rise)
    late = _first_at(start, length, nodes, first, low, begin + 0.9 * rise)
    out[_LAG], out[_T_HALF], out[_SWITCH] = lag - since, half - since, late - lag


@numba.njit(**_HELPER)
def features_of_curves(start, length, nodes, since, shares, out):
    """Fill out (n_since·n_feature, n_select) with the features of some curves.

    Parameters
    ----------
    start, length : float arrays, shape (n_step,), the steps, one after the other
    nodes : float array, shape (n_select, n_step or more, 5), the curves at the nodes
    since : float array, shape (n_since,), reference times; a step that contains one
        counts from there on
    shares : bool array, shape (n_select,), curves of which ``half_level`` is wanted
    """
    out[:, :] = np.nan
    if start.size == 0:
        return
    n_feature = len(FEATURES)
    found = np.empty(n_feature)
    for s in range(since.size):
        moment, first = since[s], 0
        # The first step that ends after the reference time, the last one at most.
        while first < start.size - 1 and start[first] + length[first] <= moment:
            first += 1
        low = min(1.0, max(0.0, (moment - start[first]) / length[first]))
        for k in range(nodes.shape[0]):
            # A sum is NaN where any part is, and NaN or infinite for infinite parts.
            if not np.isfinite(nodes[k, first : start.size].sum()):
                continue
            found[:] = np.nan
            _summits(start, length, nodes[k], first, low, moment, found)
            _times(start, length, nodes[k], first, low, moment, shares[k], found)
            out[s * n_feature : (s + 1) * n_feature, k] = found


@machine_code.solver(types.void(_F1, _F1, _F3, _F1, _B1, _F2), **_OPTIONS)
def curve_features(start, length, nodes, since, shares, out):
    """Fill out with the features of some curves, as ``features_of_curves``."""
    features_of_curves(start, length, nodes, since, shares, out)
