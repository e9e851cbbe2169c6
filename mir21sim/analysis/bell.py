"""Top and flanks of a dose–response that rises and falls again."""

import math
from dataclasses import dataclass

import numpy as np
import scipy  # which imports its packages when they are first used

from mir21sim._typing import FloatArray
from mir21sim.analysis.estimates import DoseResponse, Estimate
from mir21sim.analysis.interpolation import crossing_between
from mir21sim.analysis.response_curve import (
    RESOLUTION,
    USABLE,
    WIDEST_STEP,
    ResponseCurve,
    equal,
    too_far,
)
from mir21sim.model.info import unique
from mir21sim.units import rounded

#: Factor between the doses beside the highest response beyond which its top is not
#: placed.
WIDEST_TOP = 5.0

#: Largest difference, as a natural logarithm of dose, between two interpolations of
#: the top of a bell.
TOP_RESOLUTION = 0.006


@dataclass(frozen=True, slots=True)
class _Top:
    """The top of a bell: dose, logarithm of its height, and error of the latter."""

    dose: Estimate
    height: float
    error: float


def bell(curve: ResponseCurve) -> DoseResponse:
    """Return top and flanks of a response that rises and falls again."""
    z = curve.effect
    notes: list[str] = []
    kept = z > USABLE[0] * z.max()
    x, v = curve.x[kept], np.log(z[kept])
    top = _top_of(curve, x, v)
    rising, falling = Estimate(), Estimate()
    if top.dose.relation != "equal":
        notes.append(
            "the doses are too far apart to place the top within 1 %, and so its half; "
            f"the largest effect tested is {rounded(curve.sign * float(z.max()))}"
        )
    elif curve.has_zero:
        m = int(z.argmax())
        rising, low_notes = _flank(curve, (x, v), top, slice(0, m + 1))
        falling, high_notes = _flank(curve, (x, v), top, slice(m, len(z)))
        notes += unique((*low_notes, *high_notes))
    else:
        notes.append("half of the effect is defined only with dose 0: test it too")
    base = curve.y0 if curve.has_zero else float(curve.y[0])
    sure = top.dose.relation == "equal" and top.error <= TOP_RESOLUTION
    return DoseResponse(
        "bell",
        e0=curve.y0,
        emax=base + curve.sign * math.exp(top.height) if sure else math.nan,
        ec50=rising,
        falling_ec50=falling,
        top=top.dose,
        notes=tuple(notes),
    )


def _top_of(curve: ResponseCurve, x: FloatArray, v: FloatArray) -> _Top:
    """Return the maximum of a curve through points, shape (n,) each.

    It lies between the tested doses beside the highest response, not only between
    those whose effects have a logarithm.
    """
    k, m = int(v.argmax()), int(curve.effect.argmax())
    low = float(curve.dose[m - 1]) if m else 0.0
    high = float(curve.dose[min(m + 1, len(curve.dose) - 1)])
    around = Estimate("between", low=low, high=high, guess=float(curve.dose[m]))
    if not 1 < k < len(x) - 2 or len(x) < 5 or high > WIDEST_TOP * low:
        return _Top(around, float(v[k]), math.inf)
    spline = scipy.interpolate.CubicSpline(x, v)
    first = min(max(k - 2, 0), len(x) - 5)
    near = slice(first, first + 5)
    quartic = np.polynomial.Polynomial.fit(x[near], v[near], 4)
    grid = np.linspace(x[k - 1], x[k + 1], 2001)
    place = float(grid[spline(grid).argmax()])
    height = float(spline(place))
    other = float(grid[quartic(grid).argmax()])
    error = abs(height - float(quartic(grid).max()))
    if abs(place - other) <= TOP_RESOLUTION:
        around = equal(place)
    return _Top(around, height, error)


def _flank(
    curve: ResponseCurve, points: tuple[FloatArray, FloatArray], top: _Top, part: slice
) -> tuple[Estimate, tuple[str, ...]]:
    """Return the dose of half of the top on one flank of a bell.

    Parameters
    ----------
    points : logarithms of doses and of effects, the curve that is interpolated
    part : places of the flank among the doses
    """
    rising = part.start == 0
    dose = curve.dose[part]
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.log(curve.effect[part]) - top.height
    half = math.log(0.5)
    below = np.flatnonzero(~(values >= half))
    if not below.size:
        if rising:
            return Estimate("below", high=float(dose[0])), ()
        return Estimate("above", low=float(dose[-1])), ()
    k = int(below[-1]) if rising else int(below[0]) - 1
    low, high = float(dose[k]), float(dose[k + 1])
    x, v = points
    inside = (x >= math.log(low) - 1e-9) & (x <= math.log(high) + 1e-9)
    if inside.sum() == 2 and len(x) > 4 and high <= WIDEST_STEP * low:
        a, b = x[inside]
        root, _, apart = crossing_between(x, v - top.height, half, int(inside.argmax()))
        if apart + 2 * top.error <= RESOLUTION and a <= root <= b:
            return equal(root), ()
    ends = np.exp(values[[k, k + 1]])
    estimate, _, notes = too_far(low, high, (float(ends[0]), float(ends[1])), 0.5)
    return estimate, notes
