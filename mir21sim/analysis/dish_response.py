"""The dose of half of an effect on dishes, with the interval of resampled cells.

A dish of n cells answers in steps of 1/n, so that plateaus cannot be extrapolated as in
``dose_response``. The effect is the change from dose 0 (or the lowest dose) to the
highest dose, and its half is interpolated on the monotone curve through the doses. It
is given where the error of this is smaller than the interval. A response without
scatter, where all resampled dishes agree, is read as in ``dose_response``.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.special

from mir21sim._typing import FloatArray
from mir21sim.analysis.cell_means import BAND, POINTS
from mir21sim.analysis.combination import Curve
from mir21sim.analysis.dish import LABELS, RESPONSES, Resampled
from mir21sim.analysis.dose_response import dose_response
from mir21sim.analysis.estimates import DoseResponse
from mir21sim.analysis.set_bands import UNTOLD, ends_text, percentiles
from mir21sim.units import rounded

UNSETTLED = 0.1
"""Share of the effect that may come in the last tenfold of dose before a plateau."""

REVERSAL = 0.15
"""Share of the effect by which a response may go back and count as monotone."""

MOST_KNOWN = 0.95
"""Share of resampled dishes that must have a half effect for an interval of it."""

AGREEMENT = 1e-3
"""Share of the effect by which dishes may differ that count as one curve."""

LEAST_SHARE = 0.01
"""Share of the effect below which, or above one minus it, a logit says nothing."""

EXACT = 0.01
"""Error of a dose, as a natural logarithm, that is small even beside no interval."""

FLOOR = 1.0
"""Least effect, in percentage points or molecules: less is no effect."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """The dose at which a response crosses a level, with its 95 % interval.

    Attributes
    ----------
    dose, low, high : NaN where the tested doses do not reach the level; an end of the
        interval is infinite, or 0, where resampled dishes do not cross it
    note : why there is no dose, "" where there is one
    """

    dose: float = math.nan
    low: float = math.nan
    high: float = math.nan
    note: str = ""

    def text(self, unit: str) -> str:
        """Return ``2 nM (1.6 to 2.7)``, or the note."""
        unit = f" {unit}" if unit and unit != "1" else ""
        if not math.isfinite(self.dose):
            return self.note.replace("{unit}", unit)
        if not math.isfinite(self.high):
            interval = (
                f"above {rounded(self.low, 2)}"
                if self.low > 0
                else "open on both sides"
            )
        elif not self.low > 0:
            interval = f"below {rounded(self.high, 2)}"
        else:
            interval = f"{rounded(self.low, 2)} to {rounded(self.high, 2)}"
        return f"{rounded(self.dose, 2)}{unit} ({interval})"


def crossing(
    doses: FloatArray, response: FloatArray, members: FloatArray, level: float
) -> Crossing:
    """Return the lowest dose at which a response crosses a level, with an interval.

    Parameters
    ----------
    doses : float array, shape (n_dose,), 0 or more, ascending
    response : float array, shape (n_dose,)
    members : float array, shape (n_member, n_dose): the response of resampled dishes
    level : in the unit of the response
    """
    dose = _dose_of(doses, response, level)
    if not math.isfinite(dose):
        start, end = float(response[0]), float(response[-1])
        if (start - level) * (end - start) >= 0 and start != end:
            return Crossing(note=f"passed {level:g} without the drug")
        return Crossing(note=f"above {rounded(doses[-1])}{{unit}}")
    rising = response[-1] >= response[0]
    found = []
    for row in members:
        own = _dose_of(doses, row, level)
        if not math.isfinite(own):  # beyond the doses, or there without the drug
            there = row[0] >= level if rising else row[0] <= level
            own = 0.0 if there else math.inf
        found.append(own)
    if not found:
        return Crossing(dose)
    low = float(np.percentile(found, BAND[0], method="lower"))
    high = float(np.percentile(found, BAND[1], method="higher"))
    return Crossing(dose, low, high)


@dataclass(frozen=True, slots=True)
class HalfEffect:
    """The dose of half of the change that the tested doses make.

    Attributes
    ----------
    start, end : response without the drug, and at the highest dose
    dose, low, high : dose of half of the change, with its 95 % interval; NaN without
    level : where the response crosses a level that was asked for, with its interval
    note : why there is no dose, "" where there is one
    """

    start: float
    end: float
    dose: float = math.nan
    low: float = math.nan
    high: float = math.nan
    level: Crossing = Crossing()
    note: str = ""

    def text(self, unit: str) -> str:
        """Return the finding as words: ``half of the change at 2 nM (1.6 to 2.7)``."""
        unit = f" {unit}" if unit and unit != "1" else ""
        change = f"from {rounded(self.start)} to {rounded(self.end)}"
        if self.note:
            return f"{change}; {self.note.replace('{unit}', unit)}"
        interval = f"({rounded(self.low, 2)} to {rounded(self.high, 2)})"
        return (
            f"{change}; half of the change at {rounded(self.dose, 2)}{unit} {interval}"
        )


def half_effect(
    doses: FloatArray,
    response: FloatArray,
    members: FloatArray,
    *,
    level: float | None = None,
    change: FloatArray | None = None,
) -> HalfEffect:
    """Return the dose of half of the change of one response.

    Parameters
    ----------
    doses : float array, shape (n_dose,), 0 or more, in any order
    response : float array, shape (n_dose,)
    members : float array, shape (n_member, n_dose): the response of resampled dishes
    level : a response whose dose is sought too, such as 50 % dead
    change : float array, shape (n_member,): the change from the lowest to the highest
        dose, where it is known better than as a difference of `members`, whose noise of
        cells is taken out dose by dose

    Returns
    -------
    HalfEffect; without a dose, and with a note, for fewer than three doses, a change
    below ``FLOOR``, a response that rises and falls, one that is not settled at the
    highest dose, doses too far apart around the half, or a change whose interval over
    the members holds 0
    """
    d, v, drawn = _averaged(doses, response, members)
    if (np.abs(drawn - v) <= AGREEMENT * np.ptp(v)).all():
        return _smooth(d, v, level)
    start, end = float(v[0]), float(v[-1])
    moved = drawn[:, -1] - drawn[:, 0] if change is None else change
    note = _refusal(d, v) or _unclear(moved)
    reached = Crossing() if level is None else crossing(d, v, drawn, level)
    if note:
        return HalfEffect(start, end, level=reached, note=note)
    dose = _dose_of(d, v, (start + end) / 2.0)
    found = [_dose_of(d, row, (row[0] + row[-1]) / 2.0) for row in drawn]
    known = [value for value in found if math.isfinite(value)]
    if len(known) < MOST_KNOWN * len(found):
        missing = len(found) - len(known)
        note = f"no EC50: {missing} of {len(found)} dishes of its band have none"
        return HalfEffect(start, end, level=reached, note=note)
    low, high = (float(x) for x in np.percentile(known, BAND))
    note = _inexact(d, v, dose, math.log(high / low) / 2.0)
    if note:
        return HalfEffect(start, end, level=reached, note=note)
    return HalfEffect(start, end, dose, low, high, reached)


def _averaged(
    doses: FloatArray, response: FloatArray, members: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return doses in ascending order, equal ones averaged, with their responses."""
    unlike, place = np.unique(doses, return_inverse=True)
    share = np.zeros((len(doses), len(unlike)))
    share[np.arange(len(doses)), place] = 1.0 / np.bincount(place)[place]
    return unlike, response @ share, members @ share


def _smooth(d: FloatArray, v: FloatArray, level: float | None) -> HalfEffect:
    """Return the half effect of a response without scatter."""
    start, end = float(v[0]), float(v[-1])
    found = dose_response(d, v, floor=FLOOR, level=level)
    reached = Crossing()
    if level is not None:
        at = found.absolute
        reached = Crossing(at.value, at.value, at.value, note=at.text())
    if found.ec50.relation == "equal" and found.shape == "sigmoid":
        dose = found.ec50.value
        return HalfEffect(start, end, dose, dose, dose, reached)
    notes = {
        "flat": "no effect",
        "too few doses": "no EC50 from fewer than three doses",
        "irregular": "the response rises and falls with dose: no single EC50",
        "bell": "the response rises and falls with dose: no single EC50; "
        f"{found.summary('{unit}').replace(' {unit}', '{unit}')}",
    }
    if len(d) < 3:
        return HalfEffect(start, end, level=reached, note=notes["too few doses"])
    note = notes.get(found.shape, "")
    return HalfEffect(start, end, level=reached, note=note or _smooth_bound(d, found))


def _smooth_bound(d: FloatArray, found: DoseResponse) -> str:
    """Return why a response in one direction has no EC50."""
    if found.ec50.relation == "between":
        low, high = found.ec50.low, found.ec50.high
        return _between(low, high)
    bound = found.ec50.text()
    words = f"EC50 {bound}{{unit}}" if bound != "none" else "no EC50"
    if not math.isfinite(found.emax):
        return (
            f"still changing at {rounded(d[-1])}{{unit}}: {words} in the tested range"
        )
    return f"{words}: test lower doses"


def _between(low: float, high: float) -> str:
    return (
        f"half of the change between {rounded(low)} and {rounded(high)}{{unit}}: "
        "test doses between them"
    )


def _inexact(d: FloatArray, v: FloatArray, dose: float, half_width: float) -> str:
    """Return a note where the dose is less exact than its interval says, else "".

    The error of the interpolation is the difference from a straight line and from a
    Hill curve through the same two doses; that of the plateau is twice the share of the
    effect in the last tenfold of dose (a Hill curve of slope 1/2 has 1.85 times, a
    steeper one less).
    """
    allowed = max(EXACT, half_width)
    k = int(np.searchsorted(d, dose))
    low, high = float(d[k - 1]), float(d[k])
    if low == 0:
        return f"half of the change below {rounded(high)}{{unit}}: test lower doses"
    share = np.maximum.accumulate((v - v[0]) / (v[-1] - v[0]))[[k - 1, k]]
    logit = scipy.special.logit(np.clip(share, LEAST_SHARE, 1.0 - LEAST_SHARE))
    parts = ((0.5 - share[0]) / np.ptp(share), -logit[0] / np.ptp(logit))
    others = [math.log(low) + part * math.log(high / low) for part in parts]
    if max(abs(other - math.log(dose)) for other in others) > allowed:
        return _between(low, high)
    if 2.0 * _unsettled(d, v) > allowed:
        return (
            f"still changing at {rounded(d[-1])}{{unit}}: no EC50 in the tested range"
        )
    return ""


def _unsettled(d: FloatArray, v: FloatArray) -> float:
    """Return the share of the change that comes in the last tenfold of dose."""
    before = np.interp(np.log(d[-1] / 10.0), np.log(np.maximum(d, 1e-300)), v)
    return abs(float(v[-1] - before) / float(v[-1] - v[0]))


def _unclear(change: FloatArray) -> str:
    """Return a note where the change of resampled dishes is not off 0, else ""."""
    low, high = percentiles(change, BAND)
    if low <= 0.0 <= high:
        return "no effect that its 95 % band tells from none"
    return ""


def _refusal(d: FloatArray, v: FloatArray) -> str:
    """Return why half of the change has no dose, "" where it has one."""
    change = float(v[-1] - v[0])
    span = float(np.ptp(v))
    if len(np.unique(d)) < 3:
        return "no EC50 from fewer than three doses"
    if span < FLOOR:
        return "no effect"
    rising = v if change >= 0 else -v
    back = float((np.maximum.accumulate(rising) - rising).max())
    if back > REVERSAL * span:
        return "the response rises and falls with dose: no single EC50"
    if not change or _unsettled(d, v) > UNSETTLED:
        return (
            f"still changing at {rounded(d[-1])}{{unit}}: no EC50 in the tested range"
        )
    return ""


def _dose_of(d: FloatArray, v: FloatArray, level: float) -> float:
    """Return the dose at which a curve crosses a level; NaN where it does not."""
    sign = 1.0 if v[-1] >= v[0] else -1.0
    low, high = sorted(
        (sign * float(v[0]), sign * float(v.max() if sign > 0 else v.min()))
    )
    if not low < sign * level <= high:
        return math.nan
    if d[0] > 0:
        d, v = np.concatenate(([0.0], d)), np.concatenate((v[:1], v))
    dose = float(Curve.through(d, sign * v).dose_of(sign * level))
    return dose if math.isfinite(dose) else math.nan


def half_effects(drawn: Resampled, doses: FloatArray) -> dict[str, HalfEffect]:
    """Return the half effect of each of ``RESPONSES`` of dishes with one swept dose."""
    found, quantities = {}, drawn.quantities()
    for name in RESPONSES:
        point, dishes = quantities[name]
        level, change = None, None
        if name == "dead_end":
            level = 50.0
            if drawn.change is not None:  # of the same cells
                change = drawn.change[1][:, int(np.argmax(doses))]
        found[name] = half_effect(doses, point, dishes, level=level, change=change)
    return found


def half_effect_lines(drawn: Resampled, doses: FloatArray, unit: str) -> list[str]:
    """Return one sentence a response, and the dose at which half of the cells die.

    The first one tells the change of dead cells from the lowest to the highest dose.
    """
    lines = []
    if drawn.change is not None:
        lines.append(_change_line(drawn.change, drawn.band, doses, unit))
    for name, found in half_effects(drawn, doses).items():
        text = f"{LABELS[name]}: {found.text(unit)}"
        if math.isfinite(found.level.dose):
            text += f"; half of the cells dead at {found.level.text(unit)}"
        lines.append(f"{text}.")
    return lines


def _change_line(
    change: tuple[FloatArray, FloatArray], band: str, doses: FloatArray, unit: str
) -> str:
    """Return how many more of the same cells die at the highest dose."""
    point, drawn = change
    top, bottom = int(np.argmax(doses)), int(np.argmin(doses))
    low, high = map(float, percentiles(drawn[:, top], BAND))
    ends = ends_text(float(point[top]), low, high, "+.3g")
    ends = ends.replace(UNTOLD, "its spread is not told from the drawing of cells")
    return (
        f"dead cells at {doses[top]:.4g} {unit} minus those at {doses[bottom]:.4g}, "
        f"same cells: {point[top]:+.3g} {POINTS} ({ends}, {band})."
    )
