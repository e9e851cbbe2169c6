"""Plateaus and crossings of a curve that is known at some points without scatter."""

import math
from dataclasses import dataclass

import numpy as np
import scipy  # which imports its packages when they are first used

from mir21sim._typing import FloatArray

#: Share of the extrapolated effect that the tested doses must reach, for a response
#: that is a Hill curve so far, and for any other.
LEAST_SEEN, LEAST_SEEN_OTHER = 0.7, 0.985

#: Largest error of a plateau, of the effect, by extrapolation from other doses.
PLATEAU_ERROR = 0.005

#: Change of a response over the last doses, of the effect, that counts as a plateau.
LEVEL_OFF = 0.01

#: Doses that a plateau is extrapolated from differ by this factor or more.
TAIL_FACTOR = 1.9

#: What makes a response a Hill curve: effects between these shares, this many at least,
#: and the largest spread of their local slopes, of the median. Three effects determine
#: the plateau, so that only those beyond them are a test.
HILL_TESTS = (((0.02, 0.98), 5, 0.03), ((2e-3, 1.0 - 2e-3), 4, 0.005))


@dataclass(frozen=True, slots=True)
class Plateau:
    """A plateau: its value, its error, and whether the tested doses determine it."""

    value: float
    error: float
    known: bool


def upper_plateau(x: FloatArray, y: FloatArray, base: float) -> Plateau:
    """Return the plateau that a rising response approaches at high doses.

    Parameters
    ----------
    x : ascending logarithms of doses
    y : responses, rising
    base : response without the drug; NaN: the lowest one
    """
    base = float(y[0]) if math.isnan(base) else base
    tail = _tail(x)
    last = float(y[-1])
    seen = last - base
    if len(tail) >= 4 and seen > 0:
        near = _hill_limit(x[tail[:3]], y[tail[:3]] - base)
        far = _hill_limit(x[tail[1:4]], y[tail[1:4]] - base)
        if math.isfinite(near) and math.isfinite(far):
            error = abs(near - far)
            least = LEAST_SEEN if is_hill(x, (y - base) / near) else LEAST_SEEN_OTHER
            if error <= PLATEAU_ERROR * near and seen >= least * near:
                return Plateau(base + near, error, known=True)
    back = (float(y.max()) - last) / 2
    level = len(tail) >= 3 and last - float(y[tail[2]]) <= LEVEL_OFF * seen
    return Plateau(last + back, 4 * back, known=level)


def is_hill(x: FloatArray, share: FloatArray) -> bool:
    """Return whether the logit of an effect is a straight line: a Hill curve."""
    for (low, high), points, bend in HILL_TESTS:
        inside = (share > low) & (share < high)
        if inside.sum() < points:
            continue
        slopes = np.diff(scipy.special.logit(share[inside])) / np.diff(x[inside])
        if np.ptp(slopes) <= bend * np.median(slopes):
            return True
    return False


def _tail(x: FloatArray) -> list[int]:
    """Return the places of up to four doses from the highest, apart by a factor."""
    places = [len(x) - 1]
    for k in range(len(x) - 2, -1, -1):
        if x[places[-1]] - x[k] >= math.log(TAIL_FACTOR):
            places.append(k)
        if len(places) == 4:
            break
    return places


def _hill_limit(x: FloatArray, z: FloatArray) -> float:
    """Return the limit of the Hill curve through three effects, from the highest dose.

    NaN where none goes through them: then they do not level off.
    """
    if not (z > 0).all() or z[0] < z[1] or z[1] < z[2]:
        return math.nan

    def bend(log_gap: float) -> float:
        limit = float(z[0]) * (1.0 + math.exp(log_gap))
        logit = np.log(z) - np.log(limit - z)
        return float(
            (logit[0] - logit[1]) / (x[0] - x[1])
            - (logit[1] - logit[2]) / (x[1] - x[2])
        )

    low, high = math.log(1e-12), math.log(1e3)
    if bend(low) <= 0:
        return float(z[0])
    if bend(high) >= 0:
        return math.nan
    return float(z[0]) * (1.0 + math.exp(scipy.optimize.brentq(bend, low, high)))


def first_crossing(
    x: FloatArray, v: FloatArray, wanted: float
) -> tuple[float, float, float]:
    """Return where values first cross a level, the slope there, and an error.

    Parameters
    ----------
    x, v : shape (n,), n of 3 or more; a crossing must exist
    """
    side = v >= wanted
    return crossing_between(x, v, wanted, int(np.flatnonzero(side[1:] != side[:-1])[0]))


def crossing_between(
    x: FloatArray, v: FloatArray, wanted: float, k: int
) -> tuple[float, float, float]:
    """Return ``first_crossing`` for the crossing between points k and k + 1.

    The error is the largest distance of the crossing of a cubic spline from that of
    other curves through the nearest points: two parabolas, each of which leaves one of
    the four points out, at a quarter of their distance, and a monotone cubic at a half.
    """
    spline = scipy.interpolate.CubicSpline(x, v)
    root = float(scipy.optimize.brentq(lambda at: spline(at) - wanted, x[k], x[k + 1]))
    mean_slope = float((v[k + 1] - v[k]) / (x[k + 1] - x[k]))
    off = [(scipy.interpolate.PchipInterpolator(x, v)(root) - wanted) / 2.0]
    for first in (k - 1, k):
        if 0 <= first <= len(x) - 3:
            near = slice(first, first + 3)
            off.append((_parabola(x[near], v[near], root) - wanted) / 4.0)
    if len(off) < 3:  # one side is seen by one point only
        off.append(mean_slope * root + v[k] - mean_slope * x[k] - wanted)
    slope = float(spline(root, 1))
    least = min(abs(slope), abs(mean_slope))
    error = float(np.max(np.abs(off))) / least if least > 0 else math.inf
    return root, slope, error


def _parabola(x: FloatArray, v: FloatArray, at: float) -> float:
    """Return the value at a place of the parabola through three points."""
    first = (v[1] - v[0]) / (x[1] - x[0])
    second = ((v[2] - v[1]) / (x[2] - x[1]) - first) / (x[2] - x[0])
    return float(v[0] + (at - x[0]) * (first + (at - x[1]) * second))
