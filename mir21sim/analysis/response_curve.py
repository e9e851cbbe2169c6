"""A clean dose–response curve, and where it crosses a share of its effect."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy  # which imports its packages when they are first used

from mir21sim._typing import FloatArray
from mir21sim.analysis.estimates import Estimate
from mir21sim.analysis.interpolation import first_crossing, is_hill
from mir21sim.units import rounded

#: Factor between neighbouring doses beyond which only a Hill curve is interpolated.
WIDEST_STEP = 4.0

#: Largest error of a dose, as a natural logarithm, by interpolations that differ.
RESOLUTION = 0.008

#: Effects between these shares have a usable logit.
USABLE = (2e-3, 1.0 - 2e-3)


@dataclass(frozen=True, slots=True, eq=False)
class ResponseCurve:
    """A clean curve: ascending doses above 0, effects of one sign, a baseline.

    Attributes
    ----------
    dose, x : doses above 0 and their natural logarithms, shape (n,)
    y : responses, shape (n,)
    y0 : response at dose 0, NaN without one
    sign : 1 for a rising response, −1 for a falling one
    """

    dose: FloatArray
    x: FloatArray
    y: FloatArray
    y0: float
    sign: float

    @property
    def has_zero(self) -> bool:
        """Whether dose 0 was tested."""
        return math.isfinite(self.y0)

    @property
    def effect(self) -> FloatArray:
        """Changes from dose 0, or from the lowest dose, in the main direction."""
        base = self.y0 if self.has_zero else self.y[0]
        return self.sign * (self.y - base)


def crossing(
    curve: ResponseCurve, share: FloatArray, wanted: float, error: float
) -> tuple[Estimate, float, tuple[str, ...]]:
    """Return where the effect crosses a share: dose, slope of the logit, and a note.

    Parameters
    ----------
    share : effect over its plateau, shape (n,)
    error : of the logarithm of the dose, from the plateaus
    """
    above = np.flatnonzero(share >= wanted)
    if not above.size:
        return Estimate("above", low=float(curve.dose[-1])), math.nan, ()
    k = int(above[0])
    if k == 0:
        first = float(curve.dose[0])
        note = "the effect is there at the lowest dose above 0; test lower ones"
        return Estimate("below", high=first), math.nan, (note,)
    usable = (share > USABLE[0]) & (share < USABLE[1])
    low, high = float(curve.dose[k - 1]), float(curve.dose[k])
    close = high <= WIDEST_STEP * low or is_hill(curve.x, share)
    if close and usable[k - 1] and usable[k] and usable.sum() > 2:
        x, slope, apart = _by_scales(curve, share, usable, wanted)
        if apart + error <= RESOLUTION:
            return equal(x), slope, ()
    return too_far(low, high, (float(share[k - 1]), float(share[k])), wanted)


def _by_scales(
    curve: ResponseCurve,
    share: FloatArray,
    usable: npt.NDArray[np.bool_],
    wanted: float,
) -> tuple[float, float, float]:
    """Return the crossing on the logit, its slope, and its error.

    A Hill curve is a straight line on the logit. Of any other curve the crossings on
    the two complementary logarithms (Gompertz, Weibull) must agree with it too.
    """
    x, seen = curve.x[usable], share[usable]
    at, slope, error = first_crossing(
        x, scipy.special.logit(seen), float(scipy.special.logit(wanted))
    )
    if is_hill(curve.x, share):
        return at, slope, error
    for scale in (_weibull, _gompertz):
        other, _, apart = first_crossing(x, scale(seen), float(scale(wanted)))
        error = max(error, apart, 2.0 * abs(other - at))
    return at, slope, error


def _weibull(share: FloatArray | float) -> FloatArray:
    """Return ln(−ln(1 − share)), a straight line by ln dose for a Weibull curve."""
    return np.asarray(np.log(-np.log1p(-np.asarray(share))))


def _gompertz(share: FloatArray | float) -> FloatArray:
    """Return −ln(−ln share), a straight line by ln dose for a Gompertz curve."""
    return np.asarray(-np.log(-np.log(np.asarray(share))))


def equal(log_dose: float) -> Estimate:
    """Return an estimate of one dose from its natural logarithm."""
    dose = math.exp(log_dose)
    return Estimate("equal", value=dose, guess=dose)


def too_far(
    low: float, high: float, ends: tuple[float, float], wanted: float
) -> tuple[Estimate, float, tuple[str, ...]]:
    """Return a crossing that lies between two doses that are too far apart.

    Parameters
    ----------
    ends : values at the two doses
    """
    part = (wanted - ends[0]) / (ends[1] - ends[0])
    guess = low * (high / low) ** part
    note = (
        f"doses are too far apart to be sure within 1 %: test more between "
        f"{rounded(low)} and {rounded(high)}"
    )
    return Estimate("between", low=low, high=high, guess=guess), math.nan, (note,)
