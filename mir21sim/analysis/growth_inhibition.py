"""Growth-rate inhibition of a dish: GR50, GRmax and GR AOC with intervals.

Cells divide at one rate while they live, so that a share s of cells alive after t hours
is s·2^(t/doubling time) times the cells at the start. Hafner et al. 2016, Nat Methods
13:521, doi:10.1038/nmeth.3853: GR = 2^(log2(x/x0)/log2(x_control/x0)) − 1, which is 1
without an effect, 0 where cells neither grow nor shrink, and below 0 where they die.
GR50 is the dose of GR = 0.5, GRmax the value at the highest dose, GR AOC the mean of
1 − GR over the logarithm of dose.
"""

import math
from dataclasses import dataclass

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.analysis.dish_response import Crossing, crossing
from mir21sim.analysis.dose_response import growth_rate_inhibition
from mir21sim.errors import InputError

BAND = (2.5, 97.5)
"""Percentiles of an interval."""

HALF = 0.5
"""GR value whose dose is GR50."""


@dataclass(frozen=True, slots=True, eq=False)
class GrowthInhibition:
    """GR values of a dish and their metrics; intervals are of resampled dishes.

    Attributes
    ----------
    doses, values : float arrays, shape (n_dose,), doses ascending
    gr50 : dose of GR = 0.5
    gr_max, gr_aoc : value and the two ends of its interval
    """

    doses: FloatArray
    values: FloatArray
    gr50: Crossing
    gr_max: tuple[float, float, float]
    gr_aoc: tuple[float, float, float]

    def text(self, unit: str) -> str:
        """Return the metrics as words."""
        top, area = (f"{v:.2f} ({a:.2f} to {b:.2f})" for v, a, b in self._ends())
        return f"GR50 {self.gr50.text(unit)}; GRmax {top}; GR AOC {area}"

    def _ends(self) -> tuple[tuple[float, float, float], ...]:
        return self.gr_max, self.gr_aoc


def growth_inhibition(
    doses: FloatArray,
    dead: FloatArray,
    members: FloatArray,
    *,
    doubling_h: float,
    hours: float,
) -> GrowthInhibition:
    """Return the GR metrics of a dose series.

    Parameters
    ----------
    doses : float array, shape (n_dose,), with 0, in any order
    dead : float array, shape (n_dose,), % of cells dead at the end
    members : float array, shape (n_member, n_dose): the same of resampled dishes
    doubling_h : h in which living cells double
    hours : from the start of the count to its end

    Raises
    ------
    InputError
        Without dose 0 and another one, for times that are not above 0, or where the
        untreated cells do not grow.

    Examples
    --------
    >>> doses = np.array([0.0, 1.0, 10.0])
    >>> dead = np.array([0.0, 50.0, 75.0])  # as many as at the start; half of them
    >>> found = growth_inhibition(doses, dead, dead[None], doubling_h=24, hours=24)
    >>> found.values.tolist()
    [1.0, 0.0, -0.5]
    """
    order = np.argsort(doses)
    d, shares = doses[order], 1.0 - dead[order] / 100.0
    if not (doubling_h > 0 and hours > 0):
        raise InputError(
            "GR needs a doubling time and a duration above 0 h, got "
            f"{doubling_h:g} h and {hours:g} h."
        )
    if d[0] != 0 or not d[-1] > 0:
        raise InputError(
            "GR compares with untreated cells: sweep dose 0 and one dose above it, got "
            f"{', '.join(f'{x:g}' for x in d)}."
        )
    rate = math.log(2.0) / doubling_h
    values = growth_rate_inhibition(shares, float(shares[0]), rate, hours)
    drawn = _of_members(1.0 - members[:, order] / 100.0, rate, hours)
    top, area = values[-1], _aoc(d, values)
    return GrowthInhibition(
        d,
        values,
        crossing(d, values, drawn, HALF),
        (float(top), *_interval(drawn[:, -1])),
        (area, *_interval(np.array([_aoc(d, row) for row in drawn]))),
    )


def _of_members(alive: FloatArray, rate: float, hours: float) -> FloatArray:
    """Return the GR values of resampled dishes whose untreated cells grow."""
    grown = alive[:, 0] * math.exp(rate * hours) > 1.0
    return np.array(
        [
            growth_rate_inhibition(row, float(row[0]), rate, hours)
            for row in alive[grown]
        ]
    ).reshape(-1, alive.shape[1])


def _aoc(doses: FloatArray, values: FloatArray) -> float:
    """Return the mean of 1 − GR over the logarithm of the doses above 0."""
    positive = doses > 0
    if positive.sum() < 2:
        return float(1.0 - values[positive].mean())
    logs = np.log10(doses[positive])
    area = np.trapezoid(1.0 - values[positive], logs)
    return float(area / (logs[-1] - logs[0])) if logs[-1] > logs[0] else math.nan


def _interval(values: FloatArray) -> tuple[float, float]:
    if not len(values):
        return math.nan, math.nan
    low, high = np.percentile(values, BAND)
    return float(low), float(high)
