"""The first moment within a step at which a relation turns, in compiled code.

The search is that of ``events.EventQueue.first_crossing``, along the interpolant of a
Rosenbrock step (``tableau``).
"""

import math

import numba
import numpy as np

from mir21sim.compiler import machine_code
from mir21sim.solvers.single.one_memory import SAMPLES, call_roots

OPTIONS = {"error_model": "numpy"}
HELPER = OPTIONS | machine_code.INNER

_REFINE, _DEEPEST = 8, 20  # intervals of a round of the search in a dip, most rounds
_JUMP = 1e-3  # share of a change that neighbours have only if the function jumps there


@numba.njit(**HELPER)
def between(y, end, inner, theta, out):
    """Set `out` to the state at the share `theta` of a step from y to `end`.

    y(t + θh) = (1−θ) y0 + θ (y1 + (1−θ)(k1 + θ (k2 + θ k3)))
    """
    rest = 1.0 - theta
    for i in range(out.shape[0]):
        part = inner[0, i] + theta * (inner[1, i] + theta * inner[2, i])
        out[i] = rest * y[i] + theta * (end[i] + rest * part)


@numba.njit(**HELPER)
def roots_of(roots, t, y, p, amount, g):
    """Fill g with the root functions; rounding below zero is no reason for a NaN."""
    call_roots(roots, t, y, p, g)
    if not math.isfinite(g.sum()):
        clipped = y.copy()
        for i in range(amount.shape[0]):
            if amount[i] and clipped[i] < 0.0:
                clipped[i] = 0.0
        call_roots(roots, t, clipped, p, g)


@numba.njit(**HELPER)
def _look(roots, time, c, where, work, bounds, watch, g):
    """Fill g with the root functions at a time within the step."""
    between(where.y, work.end, work.inner, (time - c.t) / c.h, watch.y)
    roots_of(roots, time, watch.y, where.p, bounds.amount, g)


@numba.njit(**HELPER)
def code_of(watch, g, k):
    """Return a number that differs where relation `k` does; ``==`` looks at signs."""
    if watch.either[k]:
        return np.sign(g[k])
    if watch.holds[k]:
        return 1.0 if g[k] >= 0.0 else 0.0
    return 1.0 if g[k] > 0.0 else 0.0


@numba.njit(**HELPER)
def _differs(watch, g, codes, which):
    for k in range(which.shape[0]):
        if which[k]:
            code = code_of(watch, g, k)
            # As in NumPy, NaN differs from all.
            if code != codes[k]:
                return True
    return False


@numba.njit(**HELPER)
def _bisect(roots, low, high, which, codes, c, where, work, bounds, watch):
    """Return the first floating-point time at which one of the relations differs."""
    m = which.shape[0]
    g_low, g_high, g = np.empty(m), np.empty(m), np.empty(m)
    _look(roots, low, c, where, work, bounds, watch, g_low)
    _look(roots, high, c, where, work, bounds, watch, g_high)
    wide = np.abs(g_high - g_low)
    lead = 0
    while not which[lead]:
        lead += 1
    while True:
        middle = low + (high - low) / 2
        if not low < middle < high:
            break
        size = abs(high)
        margin = max(1e-3 * (high - low), 4 * (np.nextafter(size, np.inf) - size))
        drop = g_low[lead] - g_high[lead]
        zero = low + g_low[lead] / drop * (high - low) if drop != 0.0 else np.nan
        for cut in (zero - margin, zero + margin, middle):
            if low < cut < high:
                _look(roots, cut, c, where, work, bounds, watch, g)
                if _differs(watch, g, codes, which):
                    high = cut
                    g_high[:] = g
                else:
                    low = cut
                    g_low[:] = g
    for k in range(m):
        if not (which[k] and watch.either[k] and g_low[k] * g_high[k] < 0):
            continue
        # A jump over zero, or to it, is no passing through it.
        if abs(g_high[k] - g_low[k]) < _JUMP * wide[k]:
            watch.turn_time[k] = high
            watch.turn_value[k] = g_high[k]
    return high


@numba.njit(**HELPER)
def _dips(watch, g, i, k):
    """Say whether a root function may touch zero between samples i and i + 2."""
    sign = np.sign(g[i, k])
    if not (watch.watched[k] and sign == np.sign(g[i + 1, k])):
        return False
    a, b, e = abs(g[i, k]), abs(g[i + 1, k]), abs(g[i + 2, k])
    if not (b < a and b < e and sign == np.sign(g[i + 2, k])):
        return False
    # The vertex of the parabola through three values: far from zero or near?
    return b - (e - a) ** 2 / (8 * (a - 2 * b + e)) < 0.5 * b


@numba.njit(**HELPER)
def _follow(roots, k, low, high, c, where, work, bounds, watch):
    """Return a time in a dip at which relation `k` has the other sign, or NaN."""
    sign, best, g = 0.0, np.inf, np.empty(watch.watched.shape[0])
    values = np.empty(_REFINE + 1)
    for _ in range(_DEEPEST):
        step, lowest = (high - low) / _REFINE, 0
        for i in range(_REFINE + 1):
            time = high if i == _REFINE else low + i * step
            _look(roots, time, c, where, work, bounds, watch, g)
            if sign == 0.0:
                sign = np.sign(g[k])
            values[i] = sign * g[k]
            if values[i] <= 0.0:
                return time
            if values[i] < values[lowest]:
                lowest = i
        if not values[lowest] < 0.99 * best:
            return np.nan
        best = values[lowest]
        first, last = max(lowest - 1, 0), min(lowest + 1, _REFINE)
        low, high = low + first * step, high if last == _REFINE else low + last * step
    return np.nan


@numba.njit(**HELPER)
def first_crossing(roots, end, c, where, work, bounds, watch):
    """Return the first moment of a step at which a watched relation turns, or NaN.

    The root functions are sampled; where one has a dip between two samples of equal
    sign, the dip is followed down, so that two crossings are not taken for none. The
    root functions at the end of the step are left in the first row of ``watch.g``.
    """
    m, g = watch.watched.shape[0], watch.g
    shares = SAMPLES * (end - c.t) / c.longest
    count = SAMPLES if shares >= 1 else SAMPLES // (2 if shares >= 1 / 8 else 4)
    if not c.known:
        roots_of(roots, c.t, where.y, where.p, bounds.amount, g[0])
    step = (end - c.t) / count
    for i in range(1, count + 1):
        time = end if i == count else c.t + i * step
        _look(roots, time, c, where, work, bounds, watch, g[i])
    which, codes = np.zeros(m, np.bool_), np.zeros(m)
    for i in range(count):
        low, high, any_turned = c.t + i * step, c.t + (i + 1) * step, False
        if i == count - 1:
            high = end
        for k in range(m):
            codes[k] = code_of(watch, g[i], k)
            turned = codes[k] != code_of(watch, g[i + 1], k)
            which[k] = turned and watch.watched[k] != 0 and not np.isnan(g[i + 1, k])
            any_turned |= which[k]
        if any_turned:
            return _bisect(
                roots, low, high, which, codes, c, where, work, bounds, watch
            )
        if i + 2 > count:
            continue
        for k in range(m):
            if _dips(watch, g, i, k):
                around = end if i + 2 == count else c.t + (i + 2) * step
                below = _follow(roots, k, low, around, c, where, work, bounds, watch)
                if not np.isnan(below):
                    which[k] = True
                    return _bisect(
                        roots, low, below, which, codes, c, where, work, bounds, watch
                    )
    g[0, :] = g[count]
    return np.nan
