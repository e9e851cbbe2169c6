"""One run as curves over its own steps, with tangents at any time.

The steps of the batch solver do not depend on the output times, so the same run is
asked again wherever a feature needs it. A model that the batch solver cannot run, as
one with events that depend on its state, has central differences of whole runs
instead, over a fine grid of equal steps.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import SolverError, SolverStatus
from mir21sim.simulation.start_tangents import Directions
from mir21sim.solvers.problem import Problem, Schedule, Solution
from mir21sim.solvers.sensitivities import (
    Moment,
    Seeds,
    TangentSolution,
    record,
    refusal,
    solve_tangents,
)
from mir21sim.solvers.settings import Settings
from mir21sim.solvers.solve import solve
from mir21sim.solvers.step_curve import StepCurve, node_times

DIFFERENCE_STEP = 1e-4
"""Relative step of central differences."""

DIFFERENCE_RTOL = 1e-9
"""Relative tolerance of the runs whose differences are taken, at most."""

GRID_STEPS = 1000
"""Equal steps over a run of a method whose own steps are not kept."""


class AtTimes(NamedTuple):
    """Selected quantities of a run at some times.

    Attributes
    ----------
    values : float array, shape (n_time, n_select)
    tangents : float array, shape (n_time, n_select, n_column)
    reason : why tangents are NaN, "" where none are
    """

    values: FloatArray
    tangents: FloatArray
    reason: str


def run_curves(
    model: CompiledModel, problem: Problem, settings: Settings, made: Directions
) -> "RunCurves":
    """Return the curves of a problem with one run, exact where the model allows."""
    if refusal(model, settings.method) is None:
        return ExactCurves(model, problem, settings, made)
    return DifferenceCurves(model, problem, settings, made)


def _between(problem: Problem, times: FloatArray) -> tuple[Problem, IntArray]:
    """Return a problem with other output times, and which of them were asked for."""
    ends = problem.times[[0, -1]]
    inside = np.clip(times, *ends)
    whole = np.unique(np.concatenate([inside, ends]))
    rows: IntArray = np.searchsorted(whole, inside)
    return replace(problem, times=whole), rows


@dataclass(frozen=True, slots=True, eq=False)
class ExactCurves:
    """Curves over the steps of the batch solver, with exact tangents."""

    model: CompiledModel
    problem: Problem
    settings: Settings
    made: Directions
    method: str = "tangents"

    def curves(self) -> list[StepCurve]:
        """Return the curve of every selected quantity over the accepted steps."""
        ends = replace(self.problem, times=self.problem.times[[0, -1]])
        kept = record(self.model, ends, self.settings)
        _stop_on_failure(self.model, kept.solution)
        start, length = kept.steps(0)
        nodes = node_times(start, length)
        problem, rows = _between(self.problem, nodes.ravel())
        values = self._solved(problem).values[0, rows]
        return _curves(start, length, values)

    def tangents(self, times: FloatArray) -> "AtTimes":
        """Return values and tangents at some times."""
        problem, rows = _between(self.problem, times)
        found = self._differentiated(problem)
        return AtTimes(
            found.solution.values[0, rows], found.tangents[0, rows], found.reasons[0]
        )

    def moments(self) -> tuple[Moment, ...]:
        """Return the moments of events and conditions on time, with their tangents."""
        if self.model.kernels.events is None:
            return ()
        ends = replace(self.problem, times=self.problem.times[[0, -1]])
        return self._differentiated(ends).moments[0]

    def _differentiated(self, problem: Problem) -> TangentSolution:
        seeds = Seeds.of(problem, self.made.p, self.made.y0, self.made.dose)
        return solve_tangents(self.model, problem, self.settings, seeds)

    def _solved(self, problem: Problem) -> Solution:
        return solve(self.model, problem, self.settings)[0]


@dataclass(frozen=True, slots=True, eq=False)
class DifferenceCurves:
    """Curves over equal steps, with central differences of whole runs."""

    model: CompiledModel
    problem: Problem
    settings: Settings
    made: Directions
    method: str = "differences"

    def curves(self) -> list[StepCurve]:
        """Return the curve of every selected quantity over equal steps."""
        first, last = self.problem.times[[0, -1]]
        stops = self.problem.schedule.time
        inside = stops[(stops > first) & (stops < last)]
        edges = np.unique(
            np.concatenate([np.linspace(first, last, GRID_STEPS + 1), inside])
        )
        start, length = edges[:-1], np.diff(edges)
        problem, rows = _between(self.problem, node_times(start, length).ravel())
        found = solve(self.model, problem, self._tight())[0]
        _stop_on_failure(self.model, found)
        return _curves(start, length, found.values[0, rows])

    def moments(self) -> tuple[Moment, ...]:
        """Return no moments: a corner is not told from a bend."""
        return ()

    def tangents(self, times: FloatArray) -> "AtTimes":
        """Return values and central differences at some times."""
        problem, rows = _between(self.problem, times)
        sides = []
        for step in (DIFFERENCE_STEP, -DIFFERENCE_STEP):
            found = solve(self.model, self._moved(problem, step), self._tight())[0]
            sides.append(found.values[:, rows])
        change = (sides[0] - sides[1]) / (2 * DIFFERENCE_STEP)
        values = solve(self.model, problem, self._tight())[0].values[0, rows]
        return AtTimes(values, change.transpose(1, 2, 0), "")

    def _moved(self, problem: Problem, step: float) -> Problem:
        """Return a run for each column, moved along it."""
        schedule = problem.schedule
        return replace(
            problem,
            y0=problem.y0 + step * self.made.y0,
            p=problem.p + step * self.made.p,
            schedule=Schedule(
                schedule.time,
                schedule.state,
                schedule.kind,
                schedule.value + step * self.made.dose,
            ),
        )

    def _tight(self) -> Settings:
        rtol = min(self.settings.rtol, DIFFERENCE_RTOL)
        atol = self.settings.atol * (rtol / self.settings.rtol)
        return replace(self.settings, rtol=rtol, atol=atol)


RunCurves: TypeAlias = ExactCurves | DifferenceCurves


def _curves(
    start: FloatArray, length: FloatArray, values: FloatArray
) -> list[StepCurve]:
    nodes = values.reshape(len(start), 5, -1)
    return [StepCurve(start, length, nodes[:, :, k]) for k in range(nodes.shape[2])]


def _stop_on_failure(model: CompiledModel, found: Solution) -> None:
    status = SolverStatus(int(found.status[0]))
    if status != SolverStatus.OK:
        raise SolverError(f"{model.id}: {status.message}", status)


def collected(
    use: Callable[[Callable[[FloatArray], FloatArray]], object], n_column: int
) -> FloatArray:
    """Return all times at which a calculation asks for tangents, in order."""
    asked: list[FloatArray] = []

    def noting(times: FloatArray) -> FloatArray:
        asked.append(times)
        return np.zeros((len(times), n_column))

    use(noting)
    return np.unique(np.concatenate(asked)) if asked else np.zeros(0)
