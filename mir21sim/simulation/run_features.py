"""Features of curves from the dense output of the solver, not from the output times.

The steps of a run do not depend on its output times, so the same runs are asked again
at other times. The times are dense where the curves bend: a panel of time is divided
until the polynomial of degree four through five of its points gives the points between
them to ``ACCURACY``. These times depend on the runs alone, never on the output times
that the user asks for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mir21sim._typing import BoolArray, FloatArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import SolverStatus
from mir21sim.solvers.problem import Problem
from mir21sim.solvers.settings import Settings, Workers
from mir21sim.solvers.solve import solve, subset
from mir21sim.solvers.step_curve import NODES, StepCurve, node_times

FEATURES = {
    "baseline": (
        "{unit}",
        "value at the reference time (or the last output before it)",
    ),
    "peak": ("{unit}", "largest value after the reference time"),
    "peak_time_h": ("{time}", "time of the peak, from the reference time"),
    "lag_h": ("{time}", "time to 10 % of the rise"),
    "t_half_h": ("{time}", "time to half of the rise"),
    "switch_time_h": ("{time}", "time from 10 % to 90 % of the rise"),
    "max_rate_per_h": ("{unit}/{time}", "steepest slope"),
    "area_h": ("{unit}·{time}", "area under the curve from the reference time"),
    "final_fraction": ("1", "value at the end over the peak"),
}

CROSSING = "half_level_h"
"""Feature of a share: time at which it first reaches one half, infinite for never."""

CROSSING_TEXT = ("{time}", "time at which one half is first reached")

FLAT = 1e-6
"""A rise below this share of the peak is none: solver noise at default tolerances."""

ACCURACY = 1e-6
"""Error of the polynomials between their points, over the largest value of the run."""

PANELS = 400
"""Equal panels of time over a run at first, of eight points each."""

MOST_PANELS = 6000
"""Panels of a group of runs at most."""

SHORTEST = 1e-8
"""A panel below this share of the run is not divided: there is a jump in it."""

_PASSES = 8
_PARTS = 4
_GROUP = 32
"""Runs that share their panels."""

_HALF = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class _Panels:
    """Panels of time with the values of some runs.

    Attributes
    ----------
    start, length : float arrays, shape (n_panel,)
    values : float array, shape (n_run, n_panel, 2, 5, n_select), at the nodes of both
        halves of each panel
    """

    start: FloatArray
    length: FloatArray
    values: FloatArray

    def errors(self) -> FloatArray:
        """Return the largest error of each panel over the size of its curve."""
        halves = self.values
        scale = np.abs(halves).max(axis=(1, 2, 3), keepdims=True)[:, :, 0]
        first, second = halves[:, :, 0], halves[:, :, 1]
        known = np.stack(
            [first[:, :, 0], first[:, :, 2], first[:, :, 4], second[:, :, 2],
             second[:, :, 4]], axis=2,
        )  # fmt: skip
        between = np.stack(
            [first[:, :, 1], first[:, :, 3], second[:, :, 1], second[:, :, 3]], axis=2
        )
        guess = np.einsum("mn,rpns->rpms", _BETWEEN, known)
        apart = np.abs(guess - between) / np.where(scale > 0.0, scale, 1.0)
        found: FloatArray = apart.max(axis=(0, 2, 3))
        return found

    def without(self, those: BoolArray) -> "_Panels":
        """Return the other panels."""
        return _Panels(self.start[~those], self.length[~those], self.values[:, ~those])

    def joined(self, more: "_Panels") -> "_Panels":
        """Return all panels in the order of time."""
        start = np.concatenate([self.start, more.start])
        order = np.argsort(start)
        length = np.concatenate([self.length, more.length])[order]
        values = np.concatenate([self.values, more.values], axis=1)[:, order]
        return _Panels(start[order], length, values)

    def curve(self, run: int, select: int) -> StepCurve:
        """Return one quantity of one run, with the halves as its steps."""
        length = np.repeat(self.length / 2.0, 2)
        start = np.repeat(self.start, 2)
        start[1::2] += length[1::2]
        return StepCurve(start, length, self.values[run, ..., select].reshape(-1, 5))


_BETWEEN = np.vander(np.array([1.0, 3.0, 5.0, 7.0]) / 8.0, 5, increasing=True) @ (
    np.linalg.inv(np.vander(NODES, 5, increasing=True))
)
"""Values at the nodes of a panel → those halfway between them."""


def run_features(
    model: CompiledModel,
    problem: Problem,
    settings: Settings,
    workers: Workers,
    *,
    good: BoolArray,
    since: float,
    shares: Sequence[bool],
) -> dict[str, FloatArray] | None:
    """Return the features of every selected quantity of every run.

    Parameters
    ----------
    good : bool array, shape (n_run,): the runs that ended well; others are NaN
    since : model time, reference time
    shares : for each selected quantity, whether it is without a unit

    Returns
    -------
    Name of ``FEATURES`` and ``CROSSING`` to float array, shape (n_run, n_select), in
    model time; None where the work was interrupted
    """
    names = (*FEATURES, CROSSING)
    found = {name: np.full((len(problem), len(shares)), np.nan) for name in names}
    which = np.flatnonzero(good)
    here = replace(workers, executor=None, progress=None)
    for first in range(0, len(which), _GROUP):
        runs = which[first : first + _GROUP]
        panels = _panels(model, subset(problem, runs), settings, here)
        if panels is None:
            return None
        for place, run in enumerate(runs):
            for k, share in enumerate(shares):
                curve = panels.curve(place, k).after(since)
                if np.isnan(curve.nodes).any():
                    continue
                for name, value in features_of_curve(curve, share=share).items():
                    found[name][run, k] = value
    return found


def _panels(
    model: CompiledModel, problem: Problem, settings: Settings, workers: Workers
) -> _Panels | None:
    """Return panels over the whole run that are divided where the curves need it."""
    first, last = map(float, problem.times[[0, -1]])
    stops = problem.schedule.time
    inside = stops[(stops > first) & (stops < last)]
    edges = np.unique(np.concatenate([np.linspace(first, last, PANELS + 1), inside]))
    panels = _solved(model, problem, settings, workers, (edges[:-1], np.diff(edges)))
    for _ in range(_PASSES):
        if panels is None:
            return None
        errors = panels.errors()
        bad = (errors > ACCURACY) & (panels.length > SHORTEST * (last - first))
        room = (MOST_PANELS - len(errors)) // (_PARTS - 1)
        if bad.sum() > room:
            bad &= errors >= np.sort(errors[bad])[::-1][max(room - 1, 0)]
        if not bad.any() or room < 1:
            break
        length = np.repeat(panels.length[bad] / _PARTS, _PARTS)
        start = np.repeat(panels.start[bad], _PARTS)
        start += length * np.tile(np.arange(_PARTS), int(bad.sum()))
        more = _solved(model, problem, settings, workers, (start, length))
        panels = None if more is None else panels.without(bad).joined(more)
    return panels


def _solved(
    model: CompiledModel,
    problem: Problem,
    settings: Settings,
    workers: Workers,
    panels: tuple[FloatArray, FloatArray],
) -> _Panels | None:
    """Return panels with the values of the runs; None where it was interrupted."""
    start, length = panels
    starts = np.stack([start, start + length / 2.0], axis=1).ravel()
    times = node_times(starts, np.repeat(length / 2.0, 2)).ravel()
    ends = problem.times[[0, -1]]
    inside = np.clip(times, *ends)
    whole = np.unique(np.concatenate([inside, ends]))
    asked = replace(problem, times=whole)
    solution, interrupted = solve(model, asked, settings, workers)
    if interrupted:
        return None
    values = solution.values[:, np.searchsorted(whole, inside)]
    values[solution.status != SolverStatus.OK] = np.nan
    shape = (len(problem), len(start), 2, 5, values.shape[-1])
    return _Panels(start, length, values.reshape(shape))


def features_of_curve(curve: StepCurve, *, share: bool) -> dict[str, float]:
    """Return ``FEATURES`` of a curve since its start, and ``CROSSING`` of a share."""
    since, first = float(curve.start[0]), float(curve.nodes[0, 0])
    top, last = curve.peak(), float(curve.nodes[-1, -1])
    found = {
        "baseline": first,
        "peak": top.value,
        "max_rate_per_h": curve.steepest(),
        "area_h": curve.area(),
        "final_fraction": last / top.value if top.value else math.nan,
    }
    if share:
        found[CROSSING] = _reached(curve, _HALF, first, top.value) - since
    rise = top.value - first
    if rise <= FLAT * max(abs(top.value), abs(first)):
        return found
    low, half, high = (
        _reached(curve, first + part * rise, first, top.value)
        for part in (0.1, 0.5, 0.9)
    )
    return found | {
        "peak_time_h": top.time - since,
        "lag_h": low - since,
        "t_half_h": half - since,
        "switch_time_h": high - low,
    }


def _reached(curve: StepCurve, level: float, first: float, top: float) -> float:
    """Return when a curve first reaches a level: at its start, later or never."""
    if first >= level:
        return float(curve.start[0])
    if top < level:
        return math.inf
    place = curve.crossing(level)
    return math.inf if place is None else place.time
