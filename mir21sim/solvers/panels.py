"""Features of runs whose steps are not kept, from values at many times.

The steps of a run do not depend on its output times, so the same run is asked again at
other times. The times are dense where the curves bend: a panel of time is divided until
the polynomial of degree four through five of its points gives the points between them
to ``ACCURACY``. These times depend on the run alone, never on the output times that the
user asks for. A spike that is narrower than 1/3200 of a run can be missed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from mir21sim._typing import BoolArray, FloatArray
from mir21sim.errors import SolverStatus
from mir21sim.solvers.problem import Problem, Solution, subset
from mir21sim.solvers.step_curve import NODES, node_times

Ask: TypeAlias = Callable[[Problem], tuple[Solution, bool]]
"""Problem → Solution, and whether it was interrupted."""

ACCURACY = 1e-6
"""Error of the polynomials between their points, over the largest value of the run."""

PANELS = 400
"""Equal panels of time over a run at first, of eight points each."""

MOST_PANELS = 6000
"""Panels of a run at most."""

SHORTEST = 1e-8
"""A panel below this share of the run is not divided: there is a jump in it."""

_PASSES = 8
_PARTS = 4


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

    def steps(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return starts and lengths of the halves, and values (n_select, n_step, 5)."""
        length = np.repeat(self.length / 2.0, 2)
        start = np.repeat(self.start, 2)
        start[1::2] += length[1::2]
        nodes = self.values[0].reshape(len(start), 5, -1).transpose(2, 0, 1)
        return start, length, np.array(nodes, order="C")


_BETWEEN = np.vander(np.array([1.0, 3.0, 5.0, 7.0]) / 8.0, 5, increasing=True) @ (
    np.linalg.inv(np.vander(NODES, 5, increasing=True))
)
"""Values at the nodes of a panel → those halfway between them."""


def fill_features(
    problem: Problem, solution: Solution, which: BoolArray, ask: Ask
) -> bool:
    """Fill in the features of some runs; return whether it was interrupted.

    Parameters
    ----------
    which : bool array, shape (n_run,)
    ask : integrates a problem with one run by the method that made the solution
    """
    from mir21sim.solvers.batch.feature_kernel import curve_features

    request = problem.features
    assert request is not None
    plain = replace(problem, features=None)
    for run in np.flatnonzero(which):
        panels = _panels(subset(plain, np.array([run])), ask)
        if panels is None:
            return True
        start, length, nodes = panels.steps()
        found = np.empty((request.n_row, len(request.shares)))
        curve_features(start, length, nodes, request.since, request.shares, found)
        solution.features[run] = found
    return False


def _panels(problem: Problem, ask: Ask) -> _Panels | None:
    """Return panels over the whole run that are divided where the curves need it."""
    first, last = map(float, problem.times[[0, -1]])
    stops = problem.schedule.time
    inside = stops[(stops > first) & (stops < last)]
    edges = np.unique(np.concatenate([np.linspace(first, last, PANELS + 1), inside]))
    panels = _solved(problem, ask, (edges[:-1], np.diff(edges)))
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
        more = _solved(problem, ask, (start, length))
        panels = None if more is None else panels.without(bad).joined(more)
    return panels


def _solved(
    problem: Problem,
    ask: Ask,
    panels: tuple[FloatArray, FloatArray],
) -> _Panels | None:
    """Return panels with the values of the runs; None where it was interrupted."""
    start, length = panels
    starts = np.stack([start, start + length / 2.0], axis=1).ravel()
    times = node_times(starts, np.repeat(length / 2.0, 2)).ravel()
    ends = problem.times[[0, -1]]
    inside = np.clip(times, *ends)
    whole = np.unique(np.concatenate([inside, ends]))
    solution, interrupted = ask(replace(problem, times=whole))
    if interrupted:
        return None
    values = solution.values[:, np.searchsorted(whole, inside)]
    values[solution.status != SolverStatus.OK] = np.nan
    shape = (len(problem), len(start), 2, 5, values.shape[-1])
    return _Panels(start, length, values.reshape(shape))
