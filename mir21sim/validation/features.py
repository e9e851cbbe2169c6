"""The features of a read-out: one number from the curves of a run.

A new feature is one entry of ``FEATURES``.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mir21sim._typing import BoolArray, FloatArray
from mir21sim.analysis.cell_death import DEAD, crossing_times
from mir21sim.analysis.curves import curve_features
from mir21sim.errors import ModelWarning

#: Least number of cells whose mean is a number.
LEAST_CELLS = 3


@dataclass(frozen=True, slots=True)
class RunCurves:
    """The curves that a feature is read from.

    Attributes
    ----------
    times : float array, shape (n_time,), h
    curves : one float array a quantity, shape (n_time,), or (n_cell, n_time)
    since : h, reference time: the last dose, or the start where no dose is in the run
    number : last argument of the read-out where that is a time, h; else NaN
    """

    times: FloatArray
    curves: tuple[FloatArray, ...]
    since: float
    number: float = math.nan

    def crossing(self, place: int, level: float = DEAD) -> FloatArray:
        """Return when the curves of a quantity reach a level, h after `since`."""
        return crossing_times(self.times, self.curves[place], level, self.since)

    def curve_feature(self, name: str, place: int = 0) -> float:
        """Return a feature of ``curve_features``; a time that never comes is inf."""
        curve = self.curves[place]
        value = curve_features(self.times, curve, self.since)[name]
        return math.inf if math.isnan(value) and np.isfinite(curve).all() else value


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature.

    Attributes
    ----------
    name : as read-outs spell it
    unit : "h", "1" (a fraction), "dose" (an amount that is searched), or "quantity"
        (the unit of the quantity)
    arity : number of arguments
    read : the number from the curves of a run; None where runs must be searched
    many : whether it reads the cells of a population
    timed : whether the last argument is a time
    """

    name: str
    unit: str
    arity: int
    read: Callable[[RunCurves], float] | None
    many: bool = False
    timed: bool = False


def mean_of_cells(values: FloatArray) -> float:
    """Return the mean of the finite numbers; NaN where fewer than three are finite."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size >= LEAST_CELLS else math.nan


# --------------------------------------------------------------------- of a single run
def _level(run: RunCurves) -> float:
    """Return the share of its maximum that A has at half of B."""
    when = run.since + run.curve_feature("t_half_h", 1)
    if not math.isfinite(when):
        return math.nan
    return float(np.interp(when, run.times, run.curves[0]) / run.curves[0].max())


def _lag(run: RunCurves) -> float:
    """Return the time from half of A to half of B, h."""
    return run.curve_feature("t_half_h", 1) - run.curve_feature("t_half_h", 0)


def _hold(run: RunCurves) -> float:
    """Return for how long a curve stays above half of its peak after `since`, h."""
    fine = np.linspace(run.since, run.times[-1], 4001)
    curve = np.interp(fine, run.times, run.curves[0])
    above = np.flatnonzero(curve >= curve.max() / 2)
    return float(fine[above[-1]] - fine[above[0]])


def switch_times(run: RunCurves) -> FloatArray:
    """Return the time from 10 to 90 % of absolute fractions, infinite without 90 %."""
    low, high = run.crossing(0, 0.1), run.crossing(0, 0.9)
    return np.where(np.isfinite(high), high - np.where(np.isfinite(low), low, 0), high)


def _after(run: RunCurves) -> FloatArray:
    """Return each curve of A a while after B crosses one half, NaN where none is."""
    when = np.atleast_1d(run.crossing(1)) + run.since + run.number
    values = np.atleast_2d(run.curves[0])
    known = np.isfinite(when) & (when <= run.times[-1])
    pairs = zip(when, values, known, strict=True)
    return np.array(
        [np.interp(t, run.times, v) if ok else np.nan for t, v, ok in pairs]
    )


# --------------------------------------------------------------------- of a population
def _alive_at_start(run: RunCurves) -> FloatArray:
    """Return the times of death of the cells alive at `since`; inf where none comes."""
    crossing = run.crossing(0)
    return crossing[crossing > 0]


def _dead(run: RunCurves) -> float:
    times = _alive_at_start(run)
    return float(np.isfinite(times).mean()) if times.size else math.nan


def _mean(run: RunCurves) -> float:
    """Return the mean at the end over the cells that have a value; say how many not."""
    ends = run.curves[0][:, -1]
    known = np.isfinite(ends)
    if known.all() or not known.any():
        return float(ends.mean())
    warnings.warn(
        f"{np.sum(~known)} of {len(ends)} cells have no value and are left out of the "
        "mean.",
        ModelWarning,
        stacklevel=2,
    )
    return float(ends[known].mean())


def _mean_area(run: RunCurves) -> float:
    """Return the mean over the cells of the area under a curve after `since`, h."""
    after = run.times >= run.since
    areas = np.trapezoid(run.curves[0][:, after], run.times[after], axis=-1)
    return float(areas.mean())


def _cv_time(run: RunCurves) -> float:
    times = _alive_at_start(run)
    died = times[np.isfinite(times)]
    return float(died.std(ddof=1)) / mean_of_cells(died) if died.size > 1 else math.nan


def _never(run: RunCurves) -> BoolArray:
    return np.isinf(run.crossing(1))


#: Every feature by name; the docstring of ``readouts.Readout`` lists their meanings.
FEATURES: dict[str, Feature] = {
    feature.name: feature
    for feature in (
        Feature("constant", "quantity", 0, lambda run: run.number),
        Feature("end", "quantity", 1, lambda run: float(run.curves[0][-1])),
        Feature(
            "at",
            "quantity",
            2,
            lambda run: float(np.interp(run.number, run.times, run.curves[0])),
            timed=True,
        ),
        Feature("rest", "quantity", 1, lambda run: float(run.curves[0][0])),
        Feature("most", "quantity", 1, lambda run: float(run.curves[0].max())),
        Feature("peak", "quantity", 1, lambda run: run.curve_feature("peak")),
        Feature("area", "quantity", 1, lambda run: run.curve_feature("area_h")),
        Feature("time_to", "h", 1, lambda run: float(run.crossing(0))),
        Feature("rise_time", "h", 1, lambda run: run.curve_feature("switch_time_h")),
        Feature("switch_time", "h", 1, lambda run: float(switch_times(run))),
        Feature("lag", "h", 2, _lag),
        Feature("hold", "h", 1, _hold),
        Feature("level", "quantity", 2, _level),
        Feature("after", "quantity", 3, lambda run: float(_after(run)[0]), timed=True),
        Feature("threshold", "dose", 1, None),
        Feature("dead", "1", 1, _dead, many=True),
        Feature("alive", "1", 1, lambda run: 1.0 - _dead(run), many=True),
        Feature("mean", "quantity", 1, _mean, many=True),
        Feature("mean_area", "quantity", 1, _mean_area, many=True),
        Feature(
            "mean_time",
            "h",
            1,
            lambda run: mean_of_cells(_alive_at_start(run)),
            many=True,
        ),
        Feature("cv_time", "1", 1, _cv_time, many=True),
        Feature(
            "mean_switch",
            "h",
            1,
            lambda run: mean_of_cells(switch_times(run)),
            many=True,
        ),
        Feature(
            "mean_after",
            "quantity",
            3,
            lambda run: mean_of_cells(_after(run)),
            many=True,
            timed=True,
        ),
        Feature(
            "mean_without",
            "quantity",
            2,
            lambda run: mean_of_cells(run.curves[0][_never(run), -1]),
            many=True,
        ),
    )
}
