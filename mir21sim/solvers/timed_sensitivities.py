"""Exact derivatives of runs with events and conditions that depend on time alone.

Such a run goes from moment to moment; within a stretch its steps have the derivatives
of ``stretch_sensitivities``, and at a moment changes pass by the map that
``recorded_run`` notes. Tangents take the map forward, the adjoint its transpose back.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.event_gradients import EventGradients, event_gradients
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, SolverStatus
from mir21sim.solvers.batch import moment_map
from mir21sim.solvers.batch.moment_map import Apart, Step
from mir21sim.solvers.batch.recorded_run import RecordedRun
from mir21sim.solvers.batch.timed_events import Stretched, stretch_of, walk
from mir21sim.solvers.methods import NAMES
from mir21sim.solvers.problem import Problem, Selection, Solution, Source
from mir21sim.solvers.settings import Settings, Workers
from mir21sim.solvers.stretch_sensitivities import (
    Gradient,
    Moment,
    RecordedRuns,
    Seeds,
    TangentSolution,
    reasons,
    record_stretch,
    rescue,
    stretch_tangents,
)

APART = (
    "Two breakpoints fall on one moment and do not move together, so that the curve "
    "has another derivative on either side; move one of them a little."
)
"""Reason for a derivative that is not a number at a moment."""

_MOMENT = 1e-9
"""Length of a stretch that stands for the last moment, in shares of the run."""

Member: TypeAlias = tuple[int, RecordedRun]


def plain(model: CompiledModel) -> CompiledModel:
    """Return the model as it is between two moments."""
    return replace(model, kernels=replace(model.kernels, events=None))


def gradients_of(model: CompiledModel) -> EventGradients:
    """Return the derivatives of the formulas of a model's events."""
    return event_gradients(model.network, model.kernel_key)


def _with_states(selection: Selection, n_state: int) -> Selection:
    """Return a selection with all states as they are behind it."""
    state, none = np.arange(n_state), np.full(n_state, -1)
    kind = np.full(n_state, int(Source.STATE))
    return Selection(
        np.concatenate([selection.source, kind]),
        np.concatenate([selection.index, state]),
        np.concatenate([selection.divisor_source, kind]),
        np.concatenate([selection.divisor, none]),
        np.concatenate([selection.scale, np.ones(n_state)]),
    )


class _Walk:
    """What tangents and records have in common.

    Attributes
    ----------
    problem : all runs, whose stretches select every state behind the outputs
    n_select : number of the outputs
    """

    def __init__(
        self,
        model: CompiledModel,
        problem: Problem,
        settings: Settings,
        workers: Workers,
        *,
        shifts: bool,
    ) -> None:
        self.model, self.settings, self.workers = model, settings, workers
        if settings.allow_negative:
            problem = replace(problem, amounts=np.zeros_like(problem.amounts))
        self.problem, self.shifts = problem, shifts
        self.between = plain(model)
        self.each = replace(settings, retried=frozenset())
        self.gradients = gradients_of(model)
        self.n_select = len(problem.selection.source)
        self.n_state = problem.y0.shape[1]
        self.selection = _with_states(problem.selection, self.n_state)

    def make(self, run: int, stop: threading.Event) -> RecordedRun:
        """Return a run at its start."""
        return RecordedRun(
            self.model,
            self.gradients,
            self.problem,
            run,
            self.settings,
            stop,
            shifts=self.shifts,
        )

    def part(self, members: Sequence[Member]) -> Problem:
        """Return the stretch of some runs, with all infusions that may change."""
        fed = np.unique(np.concatenate([one.fed() for _, one in members]))
        part = stretch_of(self.problem, [one for _, one in members], fed)
        return replace(part, selection=self.selection, features=None)

    def last_moment(self, one: RecordedRun) -> Problem:
        """Return a stretch that stands for the moment at which a run ended."""
        times = self.problem.times
        length = _MOMENT * (max(float(times[-1] - times[0]), abs(one.t)) or 1.0)
        one.end = one.t + length
        part = self.part([(0, one)])
        return replace(part, times=part.times[[0, -1]])

    def solved(
        self,
        stretch: Callable[[list[Member]], Stretched],
        at_end: Callable[[int, RecordedRun], None],
    ) -> Solution:
        """Take all runs to their ends; give failed ones a second try by Radau."""
        solution, interrupted = walk(
            self.problem, self.make, stretch, self.workers, at_end
        )
        if interrupted:
            raise KeyboardInterrupt
        solution.method[:] = NAMES.index(self.settings.method)
        rescue(self.model, self.problem, self.settings, solution)
        return solution

    def stretched(self, found: Solution) -> Stretched:
        """Return a stretch's results with its states."""
        return found, np.ascontiguousarray(found.values[:, :, self.n_select :])


class _Tangents(_Walk):
    """Carries the columns of each run from moment to moment."""

    def __init__(
        self,
        model: CompiledModel,
        problem: Problem,
        settings: Settings,
        workers: Workers,
        seeds: Seeds,
    ) -> None:
        shifts = bool(seeds.dose_time.any())
        super().__init__(model, problem, settings, workers, shifts=shifts)
        shape = len(problem), len(problem.times), self.n_select, seeds.n_column
        self.found = np.full(shape, np.nan)
        self.changes = [_start(seeds, run) for run in range(len(problem))]
        self.left: dict[int, FloatArray] = {}
        self.moments: list[list[Moment]] = [[] for _ in range(len(problem))]

    def stretch(self, members: list[Member]) -> Stretched:
        """Integrate a stretch with its tangents."""
        made = self._solved(self.part(members), members)
        for (run, one), tangents in zip(members, made.tangents, strict=True):
            self.found[run, one.rows()] = tangents[1:-1, : self.n_select]
            self.changes[run][: self.n_state] = tangents[-1, self.n_select :]
            self.left[run] = tangents[-1, : self.n_select]
        return self.stretched(made.solution)

    def _solved(self, part: Problem, members: Sequence[Member]) -> TangentSolution:
        """Integrate from the moments at the start on, and fill the outputs at these."""
        written = []
        for run, one in members:
            steps, now = one.taken()
            self.changes[run] = moment_map.forward(steps, self.changes[run], one.n_row)
            written.append(now)
            changes = self.changes[run]
            self.moments[run] += [Moment(t, changes[row]) for t, row in one.moments]
            one.moments.clear()
        at, fed = members[0][1].places, part.schedule.state
        x = [self.changes[run] for run, _ in members]
        seeds = Seeds.of(
            part,
            p=np.array([each[at.p : at.inflow].T for each in x]),
            y0=np.array([each[: at.p].T for each in x]),
            dose=np.array([each[at.inflow + fed].T for each in x]),
        )
        made = stretch_tangents(self.between, part, self.each, seeds, self.workers)
        for k, (run, _) in enumerate(members):
            self.found[run, written[k]] = made.tangents[k, 0, : self.n_select]
        return made

    def at_end(self, run: int, one: RecordedRun) -> None:
        """Fill the output at the last moment."""
        if run in self.left and not one.acted:
            self.found[run, one.now] = self.left[run]
        else:
            self._solved(self.last_moment(one), [(run, one)])


def _start(seeds: Seeds, run: int) -> FloatArray:
    """Return the changes of a run at its start, shape (n_row, n_column)."""
    n_column, n_state = seeds.y0.shape[1:]
    parts = (
        seeds.y0[run],
        seeds.p[run],
        np.zeros((n_column, n_state)),
        seeds.dose[run],
        seeds.dose_time[run],
        np.zeros((n_column, 1)),
    )
    return np.concatenate(parts, axis=1).T.copy()


def timed_tangents(
    model: CompiledModel,
    problem: Problem,
    settings: Settings,
    seeds: Seeds,
    workers: Workers,
) -> TangentSolution:
    """Integrate runs with moments and the tangents of their outputs."""
    way = _Tangents(model, problem, settings, workers, seeds)
    solution = way.solved(way.stretch, way.at_end)
    found = way.found
    found[solution.status != SolverStatus.OK] = np.nan
    why = [*reasons(solution, settings.method)]
    for run, reason in enumerate(why):
        if reason:
            found[run] = np.nan
        elif np.isnan(found[run]).any():
            why[run] = APART
    return TangentSolution(solution, found, tuple(why), tuple(map(tuple, way.moments)))


@dataclass(frozen=True, slots=True, eq=False)
class _Stretch:
    """The steps of some runs between two moments.

    Attributes
    ----------
    runs : their numbers
    jumps : per run, what the moments before the stretch do
    rows : per run, the outputs within the stretch
    now : per run, the outputs at its start
    kept : the steps
    n_time : number of times of the stretch
    """

    runs: tuple[int, ...]
    jumps: tuple[list[Step | Apart], ...]
    rows: tuple[slice, ...]
    now: tuple[list[int], ...]
    kept: RecordedRuns
    n_time: int
    fed: IntArray


class _Records(_Walk):
    """Keeps the steps of every stretch."""

    def __init__(
        self,
        model: CompiledModel,
        problem: Problem,
        settings: Settings,
        workers: Workers,
    ) -> None:
        shifts = bool(len(problem.schedule.time))
        super().__init__(model, problem, settings, workers, shifts=shifts)
        self.stretches: list[_Stretch] = []
        self.ends: dict[int, RecordedRun] = {}
        self.late: dict[int, list[int]] = {}
        self.begun: set[int] = set()

    def stretch(self, members: list[Member]) -> Stretched:
        """Integrate a stretch and keep its steps."""
        part = self.part(members)
        return self.stretched(self._kept(part, members).kept.solution)

    def _kept(
        self, part: Problem, members: Sequence[Member], *, last: bool = False
    ) -> _Stretch:
        nothing = slice(0, 0)
        rows = tuple(nothing if last else one.rows() for _, one in members)
        taken = [one.taken() for _, one in members]
        self.begun.update(run for run, _ in members)
        made = _Stretch(
            tuple(run for run, _ in members),
            tuple(steps for steps, _ in taken),
            rows,
            tuple(now for _, now in taken),
            record_stretch(self.between, part, self.each, self.workers),
            len(part.times),
            part.schedule.state,
        )
        self.stretches.append(made)
        return made

    def at_end(self, run: int, one: RecordedRun) -> None:
        """Keep what the output at the last moment needs."""
        self.ends[run] = one
        if run in self.begun and not one.acted:
            self.late[run] = one.now
        else:
            self._kept(self.last_moment(one), [(run, one)], last=True)


@dataclass(frozen=True, slots=True, eq=False)
class TimedRuns:
    """Runs with moments whose steps are kept; see ``RecordedRuns``."""

    solution: Solution
    reasons: tuple[str, ...]
    way: _Records

    def steps(self, run: int) -> tuple[FloatArray, FloatArray]:
        """Return start and length of the steps of a run, of all its stretches."""
        parts = [
            stretch.kept.steps(stretch.runs.index(run))
            for stretch in self.way.stretches
            if run in stretch.runs
        ]
        start, length = (np.concatenate(column) for column in zip(*parts, strict=True))
        inside = start < self.way.problem.times[-1]  # not the last moment's
        return start[inside], length[inside]

    def adjoint(self, weights: FloatArray, workers: Workers | None = None) -> Gradient:
        """Return the gradient of Σ weights · values, for each run and functional.

        Parameters
        ----------
        weights : as in ``RecordedRuns.adjoint``
        """
        way, problem = self.way, self.way.problem
        weights = np.asarray(weights, float)
        if weights.ndim == 3:
            weights = weights[:, np.newaxis]
        shape = len(problem), weights.shape[1], len(problem.times), way.n_select
        if weights.shape != shape:
            raise InputError(f"`weights` must have shape {shape}, got {weights.shape}.")
        adjoints = {
            run: np.zeros((one.n_row, shape[1])) for run, one in way.ends.items()
        }
        late = dict(way.late)
        for stretch in reversed(way.stretches):
            self._back(stretch, weights, adjoints, late, workers or Workers())
        return self._gradient(adjoints, shape[1])

    def _back(
        self,
        stretch: _Stretch,
        weights: FloatArray,
        adjoints: dict[int, FloatArray],
        late: dict[int, list[int]],
        workers: Workers,
    ) -> None:
        """Take the adjoints of some runs from the end of a stretch to its start."""
        way, n_select, n_functional = self.way, self.way.n_select, weights.shape[1]
        n = n_select + way.n_state
        own = np.zeros((len(stretch.runs), n_functional, stretch.n_time, n))
        going = [(k, run) for k, run in enumerate(stretch.runs) if run in adjoints]
        for k, run in going:
            own[k, :, 1:-1, :n_select] = weights[run, :, stretch.rows[k]]
            at_start, at_end = stretch.now[k], late.pop(run, [])
            own[k, :, 0, :n_select] += weights[run][:, at_start].sum(axis=1)
            own[k, :, -1, :n_select] += weights[run][:, at_end].sum(axis=1)
            own[k, :, -1, n_select:] += adjoints[run][: way.n_state].T
        found = stretch.kept.adjoint(own, workers)
        for k, run in going:
            at, x = way.ends[run].places, adjoints[run]
            x[: at.p] = found.y0[k].T
            x[at.p : at.inflow] += found.p[k].T
            x[at.inflow + stretch.fed] += found.dose[k].T
            moment_map.backward(stretch.jumps[k], x)

    def _gradient(self, adjoints: dict[int, FloatArray], n_functional: int) -> Gradient:
        """Return the gradients of all runs from the adjoints at their starts."""
        problem = self.way.problem
        n_action = len(problem.schedule.time)
        sizes = (problem.p.shape[1], problem.y0.shape[1], n_action, n_action)
        shape = len(problem), n_functional
        found = Gradient(*(np.full((*shape, size), np.nan) for size in sizes))
        for run, x in adjoints.items():
            if self.reasons[run]:
                continue
            at = self.way.ends[run].places
            found.y0[run] = x[: at.p].T
            found.p[run] = x[at.p : at.inflow].T
            found.dose[run] = x[at.dose : at.dose_time].T
            found.dose_time[run] = x[at.dose_time : at.fixed].T
        return found


def timed_record(
    model: CompiledModel, problem: Problem, settings: Settings, workers: Workers
) -> TimedRuns:
    """Integrate runs with moments and keep their steps, for the adjoint."""
    way = _Records(model, problem, settings, workers)
    solution = way.solved(way.stretch, way.at_end)
    return TimedRuns(solution, reasons(solution, settings.method), way)
