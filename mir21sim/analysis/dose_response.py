"""EC50, Emax, slope and area of a dose–response, read from the simulated curve itself.

A simulated response has no scatter, so nothing is fitted by least squares and no
interval comes from residuals (``hill_fit`` does that for measured data). The plateaus
are extrapolated along the last doses; between doses the logit of the effect is
interpolated, which is exact for a Hill curve. Numbers that the tested doses do not
determine are given as a bound, with a sentence.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import scipy  # which imports its packages when they are first used

from mir21sim._typing import FloatArray
from mir21sim.analysis.bell import bell
from mir21sim.analysis.estimates import DoseResponse, Estimate
from mir21sim.analysis.interpolation import (
    Plateau,
    first_crossing,
    upper_plateau,
)
from mir21sim.analysis.response_curve import (
    RESOLUTION,
    WIDEST_STEP,
    ResponseCurve,
    crossing,
    equal,
    too_far,
)
from mir21sim.errors import InputError
from mir21sim.units import rounded

#: Least change of a response over the doses, of its largest value, that is an effect.
MIN_RESPONSE = 0.01

#: Share of the effect by which a response may go back without being bell-shaped.
REVERSAL = 0.02

#: Turns in which two unknown plateaus are improved.
TURNS = 30

#: Least absolute change that is an effect, by unit; others have none.
FLOORS = {
    "molecule": 1.0,
    "molecule·h": 1.0,
    "molecule/h": 1.0,
    "%": 1.0,
    "1": 1e-3,
    "dimensionless": 1e-3,
    "h": 1.0 / 60.0,
}

#: Percentiles of an interval.
INTERVAL = (2.5, 97.5)


def dose_response(
    doses: FloatArray,
    responses: FloatArray,
    *,
    floor: float = 0.0,
    level: float | None = None,
    members: FloatArray | None = None,
) -> DoseResponse:
    """Return the numbers of a dose–response curve.

    Parameters
    ----------
    doses : float array, shape (n_dose,), 0 or more, in any order
    responses : float array, shape (n_dose,), without scatter; NaN is left out, equal
        doses are averaged
    floor : least absolute change that is an effect, in the unit of the response
    level : response whose dose is ``absolute``, such as 50 for half of the cells dead
    members : float array, shape (n_member, n_dose): the same curve of each member of an
        ensemble, or of resampled cells; gives the intervals (95 %) of the estimates

    Raises
    ------
    InputError
        For negative doses, or arrays that do not fit each other.

    Examples
    --------
    >>> doses = np.array([0, 0.1, 0.3, 1, 3, 10, 30, 100, 300])
    >>> dose_response(doses, 80 * doses / (doses + 2.0)).summary("nM")
    'EC50 2 nM'
    >>> dose_response(doses, 1e-6 * doses, floor=1.0).shape
    'flat'
    """
    doses, responses = np.asarray(doses, float), np.asarray(responses, float)
    if doses.shape != responses.shape or doses.ndim != 1:
        raise InputError(
            f"Doses and responses must have one length, got {doses.shape} and "
            f"{responses.shape}."
        )
    if (doses < 0).any():
        raise InputError(f"Doses must be 0 or more, got {float(doses.min()):g}.")
    found = _read(doses, responses, floor, level)
    if members is None or not len(members):
        return found
    drawn = [_read(doses, np.asarray(row, float), floor, level) for row in members]
    names = ("ec50", "falling_ec50", "top", "absolute")
    bands: dict[str, Any] = {
        name: _with_interval(getattr(found, name), drawn, name) for name in names
    }
    return replace(found, **bands)


def growth_rate_inhibition(
    alive: FloatArray, alive_untreated: float, growth_rate: float, hours: float
) -> FloatArray:
    """Return GR values: 1 for untreated growth, 0 for stasis, below 0 for killing.

    ``GR = 2**(log2(x/x0)/log2(x_untreated/x0)) − 1`` with cells that divide at
    `growth_rate` while they live, so ``x/x0 = alive·exp(growth_rate·hours)``. Their
    GR50 is ``dose_response(doses, gr, level=0.5).absolute``.

    Parameters
    ----------
    alive : float array, shape (n_dose,), share of cells alive at the end
    alive_untreated : the same without the drug
    growth_rate : 1/h, above 0
    hours : from the dose to the end

    References
    ----------
    Hafner M et al. 2016, Nat Methods 13:521, doi 10.1038/nmeth.3853.

    Raises
    ------
    InputError
        Where untreated cells do not grow: then no growth can be inhibited.
    """
    grown = growth_rate * hours
    untreated = math.log(alive_untreated) + grown if alive_untreated > 0 else -math.inf
    if not untreated > 0:
        raise InputError(
            f"GR needs untreated cells that grow: {rounded(alive_untreated)} of them "
            f"live, and they divide at {growth_rate:g}/h for {hours:g} h."
        )
    with np.errstate(divide="ignore"):
        treated = np.log(np.asarray(alive, float)) + grown
    values: FloatArray = 2.0 ** (treated / untreated) - 1.0
    return values


# ------------------------------------------------------------------------- one curve
def _read(
    doses: FloatArray, responses: FloatArray, floor: float, level: float | None
) -> DoseResponse:
    """Return the numbers of one curve without intervals."""
    kept = np.isfinite(doses) & np.isfinite(responses)
    dose, place = np.unique(doses[kept], return_inverse=True)
    counts = np.bincount(place, minlength=len(dose))
    y = np.bincount(place, weights=responses[kept], minlength=len(dose)) / counts
    if len(dose) < 2 or not (dose > 0).any():
        note = f"a dose–response needs two different doses or more, got {len(dose)}"
        return DoseResponse("too few doses", notes=(note,))
    zero = int(dose[0] == 0)
    base = float(y[0])
    change = y - base
    sign = 1.0 if change.max() >= -change.min() else -1.0
    curve = ResponseCurve(
        dose[zero:], np.log(dose[zero:]), y[zero:], base if zero else math.nan, sign
    )
    found = _shape_of(curve, floor)
    if len(curve.x) > 1:
        area = scipy.interpolate.PchipInterpolator(curve.x, curve.y).integrate(
            curve.x[0], curve.x[-1]
        )
        found = replace(found, mean_response=float(area) / float(np.ptp(curve.x)))
    if level is None:
        return found
    absolute, remarks = _level_crossing(curve, level, found)
    named = tuple(f"response {level:g}: {words}" for words in remarks)
    return replace(found, absolute=absolute, notes=(*found.notes, *named))


def _shape_of(curve: ResponseCurve, floor: float) -> DoseResponse:
    """Return the numbers of a curve after deciding on its shape."""
    values = np.append(curve.y, curve.y0) if curve.has_zero else curve.y
    span, largest = float(np.ptp(values)), float(np.abs(values).max())
    if span <= max(floor, MIN_RESPONSE * largest):
        least = (
            f"{floor:g}" if floor >= MIN_RESPONSE * largest else f"{MIN_RESPONSE:.0%}"
        )
        note = (
            f"the response does not depend on the dose: it changes by "
            f"{rounded(span, 2)}, less than {least.replace('%', ' %')}"
        )
        return DoseResponse("flat", e0=float(values.mean()), notes=(note,))
    z = np.concatenate([[0.0], curve.effect]) if curve.has_zero else curve.effect
    m = int(z.argmax())
    slack = REVERSAL * float(z[m])
    drop = float(np.max(np.maximum.accumulate(z[: m + 1]) - z[: m + 1]))
    after = z[m:]
    rise = float(np.max(after - np.minimum.accumulate(after)))
    beyond = curve.has_zero and -z.min() > slack
    if drop > slack or rise > slack or beyond:
        note = "the response changes direction more than once, so no EC50 is defined"
        e0 = curve.y0
        return DoseResponse("irregular", e0=e0, notes=(note,))
    if z[m] - z[-1] > slack:
        return bell(curve)
    return _sigmoid(curve)


# ----------------------------------------------------------------------------- sigmoid
def _sigmoid(curve: ResponseCurve) -> DoseResponse:
    """Return the numbers of a response that goes in one direction."""
    bottom, top = _plateaus(curve)
    notes: tuple[str, ...] = ()
    if not (top.known and bottom.known):
        ec50, slope = _half_bound(curve, top, bottom), math.nan
        side = "high" if bottom.known else "low" if top.known else "low or high"
        words = f", so the EC50 is {ec50.text()}" if ec50.relation != "none" else ""
        notes = (f"no plateau at {side} doses in the tested range{words}",)
    else:
        share = (curve.sign * curve.y - bottom.value) / (top.value - bottom.value)
        error = 2.0 * (top.error + bottom.error) / (top.value - bottom.value)
        ec50, slope, notes = crossing(curve, share, 0.5, error)
    return DoseResponse(
        "sigmoid",
        e0=curve.sign * bottom.value if bottom.known else math.nan,
        emax=curve.sign * top.value if top.known else math.nan,
        ec50=ec50,
        slope=slope,
        notes=notes,
    )


def _plateaus(curve: ResponseCurve) -> tuple[Plateau, Plateau]:
    """Return the plateaus without the drug and at high doses, of a rising response.

    Each is extrapolated from the other one, so without dose 0 both are improved in
    turns.
    """
    y = curve.sign * curve.y
    if curve.has_zero:
        base = curve.sign * curve.y0
        return Plateau(base, 0.0, known=True), upper_plateau(curve.x, y, base)
    bottom, top = Plateau(float(y[0]), 0.0, known=False), None
    for _ in range(TURNS):
        top = upper_plateau(curve.x, y, bottom.value)
        # Seen from the other end, the lower plateau is an upper one.
        low = upper_plateau(-curve.x[::-1], -y[::-1], -top.value)
        bottom = Plateau(-low.value, low.error, low.known)
    assert top is not None  # there is a turn
    return bottom, top


def _half_bound(curve: ResponseCurve, top: Plateau, bottom: Plateau) -> Estimate:
    """Return the bound on the EC50 where one plateau is unknown.

    The effect is at least the one that was seen, so half of it lies beyond every dose
    with less than half of the seen effect.
    """
    z = curve.effect
    if bottom.known:
        below = np.flatnonzero(z < z.max() / 2)
        return Estimate("above", low=float(curve.dose[below[-1]] if below.size else 0))
    if top.known:
        above = np.flatnonzero(z > 0.52 * z.max())
        return Estimate("below", high=float(curve.dose[above[0]]))
    return Estimate()


# ------------------------------------------------------------------ levels and members
def _level_crossing(
    curve: ResponseCurve, level: float, found: DoseResponse
) -> tuple[Estimate, tuple[str, ...]]:
    """Return the lowest dose at which a response crosses an absolute level."""
    if found.shape == "flat":  # whether it rises or falls means nothing
        return Estimate(), (f"no dose is told for {level:g} by a flat response",)
    y = curve.sign * curve.y
    wanted = curve.sign * level
    start = curve.sign * curve.y0 if curve.has_zero else y[0]
    if start >= wanted:
        return Estimate("below", high=float(curve.dose[0])), (
            f"the response is beyond {level:g} without the drug",
        ) if curve.has_zero else ()
    if y.max() < wanted and found.shape == "bell":
        return Estimate(), (
            f"no tested dose reaches {level:g}; test more doses around the top",
        )
    if y.max() < wanted:
        return Estimate("above", low=float(curve.dose[-1])), (
            f"no dose reaches {level:g}",
        )
    if math.isfinite(found.emax) and math.isfinite(found.e0) and found.shape != "bell":
        bottom, top = curve.sign * found.e0, curve.sign * found.emax
        share = (y - bottom) / (top - bottom)
        estimate, _, notes = crossing(
            curve, share, (wanted - bottom) / (top - bottom), 0.0
        )
        return estimate, notes
    k = int(np.flatnonzero(y >= wanted)[0])
    if k == 0:
        return Estimate("below", high=float(curve.dose[0])), ()
    if len(y) > 2 and curve.dose[k] <= WIDEST_STEP * curve.dose[k - 1]:
        x, _, apart = first_crossing(curve.x, y, wanted)
        if apart <= RESOLUTION / 3.0:  # of a curve whose plateaus are not known
            return equal(x), ()
    low, high = float(curve.dose[k - 1]), float(curve.dose[k])
    estimate, _, notes = too_far(low, high, (float(y[k - 1]), float(y[k])), wanted)
    return estimate, notes


def _with_interval(
    found: Estimate, drawn: Sequence[DoseResponse], name: str
) -> Estimate:
    """Return an estimate with percentiles over members; bounds count as infinite."""
    if found.relation != "equal":
        return found
    each = [getattr(member, name) for member in drawn]
    lows = [
        {"equal": e.guess, "between": e.guess, "above": e.low}.get(e.relation, 0.0)
        for e in each
    ]
    highs = [
        {"equal": e.guess, "between": e.guess, "below": e.high}.get(e.relation, np.inf)
        for e in each
    ]
    low = float(np.percentile(lows, INTERVAL[0], method="lower"))
    high = float(np.percentile(highs, INTERVAL[1], method="higher"))
    return replace(found, low=low if low > 0 else math.nan, high=high)
