"""EC50, Emax, slope and area of a dose–response, read from the simulated curve itself.

A simulated response has no scatter, so nothing is fitted by least squares and no
interval comes from residuals (``hill_fit`` does that for measured data). The plateaus
are extrapolated along the last doses; between doses the logit of the effect is
interpolated, which is exact for a Hill curve. Numbers that the tested doses do not
determine are given as a bound, with a sentence.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import scipy.interpolate
import scipy.optimize
import scipy.special

from mir21sim._typing import FloatArray
from mir21sim.analysis.interpolation import (
    Plateau,
    crossing_between,
    first_crossing,
    is_hill,
    upper_plateau,
)
from mir21sim.errors import InputError
from mir21sim.model.info import unique

#: Least change of a response over the doses, of its largest value, that is an effect.
MIN_RESPONSE = 0.01

#: Share of the effect by which a response may go back without being bell-shaped.
REVERSAL = 0.02

#: Factor between neighbouring doses beyond which only a Hill curve is interpolated.
WIDEST_STEP = 4.0

#: Largest difference, as a natural logarithm of dose, between linear and cubic
#: interpolation: the error of the cubic one is about a tenth of it.
RESOLUTION = 0.04

#: Turns in which two unknown plateaus are improved.
TURNS = 30

#: Largest difference, as a natural logarithm of dose, between two interpolations of
#: the top of a bell.
TOP_RESOLUTION = 0.006

#: Effects between these shares have a usable logit.
_USABLE = (2e-3, 1.0 - 2e-3)

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

Relation: TypeAlias = Literal["equal", "between", "above", "below", "none"]
Shape: TypeAlias = Literal["flat", "sigmoid", "bell", "irregular", "too few doses"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A dose, or a bound on it.

    Attributes
    ----------
    relation : "equal" (``value``), "between" (two tested doses, ``low`` and ``high``),
        "above" (``low``), "below" (``high``) or "none"
    value : NaN where the relation is not "equal"
    low, high : tested doses for a bound; the interval over members where there are
        any; NaN where unknown
    guess : the value, or of "between" the one by linear interpolation, whose error is
        unknown
    """

    relation: Relation = "none"
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    guess: float = math.nan

    def text(self, unit: str = "") -> str:
        """Return it as words, e.g. ``3.2 nM (2.1 to 4)`` or ``above 100 nM``."""
        unit = f" {unit}" if unit and unit != "1" else ""
        if self.relation == "equal":
            return f"{self.value:.3g}{unit}{self._interval()}"
        if self.relation == "between":
            bracket = f"between {self.low:.3g} and {self.high:.3g}{unit}"
            return f"about {self.guess:.2g}{unit} ({bracket})"
        if self.relation == "above":
            return f"above {self.low:.3g}{unit}"
        return f"below {self.high:.3g}{unit}" if self.relation == "below" else "none"

    def _interval(self) -> str:
        if math.isfinite(self.low) and math.isfinite(self.high):
            return f" ({self.low:.3g} to {self.high:.3g})"
        if math.isfinite(self.low):
            return f" (above {self.low:.3g})"
        return f" (below {self.high:.3g})" if math.isfinite(self.high) else ""


@dataclass(frozen=True, slots=True)
class DoseResponse:
    """The numbers of one dose–response.

    Attributes
    ----------
    shape : "sigmoid" (one direction), "bell" (a top or a bottom between two flanks),
        "flat", "irregular" or "too few doses"
    e0 : response without the drug: at dose 0, or extrapolated; NaN where unknown
    emax : response at the plateau of high doses; of a bell, at its top; NaN where
        unknown
    ec50 : dose of half of the effect, ``(e0 + emax)/2``; of a bell, on the flank of
        low doses
    falling_ec50 : dose at which a bell is back at half of its top
    top : dose of the top of a bell
    absolute : dose at which the response crosses the level that was asked for
    slope : Hill slope at `ec50`: the derivative of the logit of the effect by the
        natural logarithm of dose
    mean_response : response averaged over the logarithm of dose, from the lowest dose
        above 0 to the highest: the area under the curve over its width
    notes : sentences on numbers that are bounds or missing
    """

    shape: Shape
    e0: float = math.nan
    emax: float = math.nan
    ec50: Estimate = field(default_factory=Estimate)
    falling_ec50: Estimate = field(default_factory=Estimate)
    top: Estimate = field(default_factory=Estimate)
    absolute: Estimate = field(default_factory=Estimate)
    slope: float = math.nan
    mean_response: float = math.nan
    notes: tuple[str, ...] = ()

    def summary(self, unit: str = "") -> str:
        """Return the finding in one line."""
        if self.shape == "bell":
            found = (
                f"bell-shaped, top {self.emax:.3g} at {self.top.text(unit)}, half of "
                f"it at {self.ec50.text(unit)} and {self.falling_ec50.text(unit)}"
            )
        elif self.ec50.relation == "none":
            found = "no EC50"
        else:
            found = f"EC50 {self.ec50.text(unit)}"
        return f"{found}: {'; '.join(self.notes)}" if self.notes else found


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
            f"GR needs untreated cells that grow: {alive_untreated:.3g} of them live, "
            f"and they divide at {growth_rate:g}/h for {hours:g} h."
        )
    with np.errstate(divide="ignore"):
        treated = np.log(np.asarray(alive, float)) + grown
    values: FloatArray = 2.0 ** (treated / untreated) - 1.0
    return values


# ------------------------------------------------------------------------- one curve
@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
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
    curve = _Curve(
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


def _shape_of(curve: _Curve, floor: float) -> DoseResponse:
    """Return the numbers of a curve after deciding on its shape."""
    values = np.append(curve.y, curve.y0) if curve.has_zero else curve.y
    span, largest = float(np.ptp(values)), float(np.abs(values).max())
    if span <= max(floor, MIN_RESPONSE * largest):
        least = (
            f"{floor:g}" if floor >= MIN_RESPONSE * largest else f"{MIN_RESPONSE:.0%}"
        )
        note = (
            f"the response does not depend on the dose: it changes by {span:.2g}, "
            f"less than {least.replace('%', ' %')}"
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
        return _bell(curve)
    return _sigmoid(curve)


# ----------------------------------------------------------------------------- sigmoid
def _sigmoid(curve: _Curve) -> DoseResponse:
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
        error = 4.0 * (top.error + bottom.error) / (top.value - bottom.value)
        ec50, slope, notes = _crossing(curve, share, 0.5, error)
    return DoseResponse(
        "sigmoid",
        e0=curve.sign * bottom.value if bottom.known else math.nan,
        emax=curve.sign * top.value if top.known else math.nan,
        ec50=ec50,
        slope=slope,
        notes=notes,
    )


def _plateaus(curve: _Curve) -> tuple[Plateau, Plateau]:
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


def _half_bound(curve: _Curve, top: Plateau, bottom: Plateau) -> Estimate:
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


def _crossing(
    curve: _Curve, share: FloatArray, wanted: float, error: float
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
    usable = (share > _USABLE[0]) & (share < _USABLE[1])
    low, high = float(curve.dose[k - 1]), float(curve.dose[k])
    close = high <= WIDEST_STEP * low or is_hill(curve.x, share)
    if close and usable[k - 1] and usable[k] and usable.sum() > 2:
        logit = scipy.special.logit(share[usable])
        x, slope, apart = first_crossing(
            curve.x[usable], logit, scipy.special.logit(wanted)
        )
        if apart + error <= RESOLUTION:
            return _equal(x), slope, ()
    return _too_far(low, high, (float(share[k - 1]), float(share[k])), wanted)


def _equal(log_dose: float) -> Estimate:
    dose = math.exp(log_dose)
    return Estimate("equal", value=dose, guess=dose)


def _too_far(
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
        f"doses are too far apart to be sure within 1 %: test more between {low:.3g} "
        f"and {high:.3g}"
    )
    return Estimate("between", low=low, high=high, guess=guess), math.nan, (note,)


# -------------------------------------------------------------------------------- bell
@dataclass(frozen=True, slots=True)
class _Top:
    """The top of a bell: dose, logarithm of its height, and error of the latter."""

    dose: Estimate
    height: float
    error: float


def _bell(curve: _Curve) -> DoseResponse:
    """Return top and flanks of a response that rises and falls again."""
    z = curve.effect
    notes: list[str] = []
    kept = z > _USABLE[0] * z.max()
    x, v = curve.x[kept], np.log(z[kept])
    top = _top_of(x, v)
    rising, falling = Estimate(), Estimate()
    if top.dose.relation != "equal":
        notes.append(
            "the doses are too far apart to place the top within 1 %, and so its half"
        )
    elif curve.has_zero:
        m = int(z.argmax())
        rising, low_notes = _flank(curve, (x, v), top, slice(0, m + 1))
        falling, high_notes = _flank(curve, (x, v), top, slice(m, len(z)))
        notes += unique((*low_notes, *high_notes))
    else:
        notes.append("half of the effect is defined only with dose 0: test it too")
    base = curve.y0 if curve.has_zero else float(curve.y[0])
    return DoseResponse(
        "bell",
        e0=curve.y0,
        emax=base + curve.sign * math.exp(top.height),
        ec50=rising,
        falling_ec50=falling,
        top=top.dose,
        notes=tuple(notes),
    )


def _top_of(x: FloatArray, v: FloatArray) -> _Top:
    """Return the maximum of a curve through points, shape (n,) each."""
    k = int(v.argmax())
    low, high = math.exp(x[max(k - 1, 0)]), math.exp(x[min(k + 1, len(x) - 1)])
    around = Estimate("between", low=low, high=high, guess=math.exp(x[k]))
    if not 1 < k < len(x) - 2 or len(x) < 5 or high > WIDEST_STEP**2 * low:
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
        around = _equal(place)
    return _Top(around, height, error)


def _flank(
    curve: _Curve, points: tuple[FloatArray, FloatArray], top: _Top, part: slice
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
            return _equal(root), ()
    ends = np.exp(values[[k, k + 1]])
    estimate, _, notes = _too_far(low, high, (float(ends[0]), float(ends[1])), 0.5)
    return estimate, notes


# ------------------------------------------------------------------ levels and members
def _level_crossing(
    curve: _Curve, level: float, found: DoseResponse
) -> tuple[Estimate, tuple[str, ...]]:
    """Return the lowest dose at which a response crosses an absolute level."""
    y = curve.sign * curve.y
    wanted = curve.sign * level
    start = curve.sign * curve.y0 if curve.has_zero else y[0]
    if start >= wanted:
        return Estimate("below", high=float(curve.dose[0])), (
            f"the response is beyond {level:g} without the drug",
        ) if curve.has_zero else ()
    if y.max() < wanted:
        return Estimate("above", low=float(curve.dose[-1])), (
            f"no dose reaches {level:g}",
        )
    if math.isfinite(found.emax) and math.isfinite(found.e0) and found.shape != "bell":
        bottom, top = curve.sign * found.e0, curve.sign * found.emax
        share = (y - bottom) / (top - bottom)
        estimate, _, notes = _crossing(
            curve, share, (wanted - bottom) / (top - bottom), 0.0
        )
        return estimate, notes
    k = int(np.flatnonzero(y >= wanted)[0])
    if k == 0:
        return Estimate("below", high=float(curve.dose[0])), ()
    if len(y) > 2:
        x, _, apart = first_crossing(curve.x, y, wanted)
        if apart <= RESOLUTION:
            return _equal(x), ()
    low, high = float(curve.dose[k - 1]), float(curve.dose[k])
    estimate, _, notes = _too_far(low, high, (float(y[k - 1]), float(y[k])), wanted)
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
