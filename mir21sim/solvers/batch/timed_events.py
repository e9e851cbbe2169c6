"""Events and conditions that depend on time alone, as breakpoints of the batch solver.

Their moments are known in advance, as those of doses are. Each run goes from one moment
to the next with the meaning of events that ``single.run`` has; the stretches between
are integrated in the lanes, all runs with equal ends together.
"""

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TypeAlias, TypeVar

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.build_lane_kernels import LaneKernels
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import SolverStatus
from mir21sim.solvers.batch.tableau import Tableau
from mir21sim.solvers.problem import Action, Problem, Schedule, Solution
from mir21sim.solvers.settings import Settings, Workers
from mir21sim.solvers.single.integrate import write_run
from mir21sim.solvers.single.run import SingleRun

BEFORE = 4
"""Floating-point numbers by which a stretch ends before a moment: no stage of its last
step may see a condition that turns there."""


def watched(model: CompiledModel) -> bool:
    """Return whether a relation of the model may turn at a time not known before."""
    events = model.kernels.events
    return events is not None and bool((events.moving & ~events.timed).any())


class TimedRun(SingleRun):
    """A run that stops wherever something happens, for the lanes to go on from."""

    end = math.nan

    def to_stretch(self) -> SolverStatus | None:
        """Act on this moment and cross short gaps.

        Returns
        -------
        SolverStatus or None : how the run ended; None where it is to be integrated from
            ``t`` to ``end``
        """
        last = float(self.times[-1])
        while True:
            ended = self._act_and_record(last)
            if ended is not None:
                return ended
            self.end = self._next_stop(last)
            # A gap too short for a step, or no state that moves: no solver is needed.
            if self.end - self.t <= self._same(self.end):
                status = self._advance_without_solver(self.end)
            elif self._nothing_moves():
                status = self._advance_constant(self.end)
            else:
                return None
            if status != SolverStatus.OK:
                return status

    def _nothing_moves(self) -> bool:
        """Say whether all states stay as they are up to the next stop."""
        return not len(self._current_reduction())

    def rows(self) -> slice:
        """Return the outputs that the stretch writes."""
        last = int(np.searchsorted(self.times, self._before(self.end), side="left"))
        return slice(self.next_output, max(last, self.next_output))

    def take(self, states: FloatArray, y: FloatArray) -> SolverStatus:
        """Take over a stretch that ended well: outputs, then the state at its end."""
        # The states are those at the output times within the stretch, in order.
        rows = self.rows()
        self._write(rows, states)
        self.next_output = rows.stop
        np.maximum(self.peak, np.abs(states).max(axis=0, initial=0.0), out=self.peak)
        self.y, self.t = y.copy(), self.end
        np.maximum(self.peak, np.abs(y), out=self.peak)
        return self._verdict()


Stretched: TypeAlias = tuple[Solution, FloatArray]
"""Results of a stretch, and its states, shape (n_run, n_time, n_state)."""

Timed = TypeVar("Timed", bound=TimedRun)


def integrate_timed(
    tableau: Tableau,
    model: CompiledModel,
    problem: Problem,
    settings: Settings,
    workers: Workers,
) -> tuple[Solution, bool]:
    """Integrate all runs of a model whose events depend on time alone."""
    from mir21sim.solvers.batch.integrate import integrate_runs

    lanes = model.lane_kernels
    assert isinstance(lanes, LaneKernels), model.lane_refusal

    def make(run: int, stop: threading.Event) -> TimedRun:
        return TimedRun(model.kernels, problem, run, settings, "", stop)

    def stretch(members: list[tuple[int, TimedRun]]) -> Stretched:
        part = stretch_of(problem, [one for _, one in members])
        states = np.empty((len(part), len(part.times), problem.y0.shape[1]))

        def keep(first: int, last: int, found: FloatArray, _: Solution) -> None:
            states[first:last] = found

        found, interrupted = integrate_runs(
            lanes,
            part,
            settings,
            tableau=tableau,
            need=np.arange(problem.y0.shape[1]),
            keep=keep,
            n_jobs=workers.n_jobs,
        )
        if interrupted:
            raise KeyboardInterrupt
        return found, states

    return walk(problem, make, stretch, workers)


def walk(
    problem: Problem,
    make: Callable[[int, threading.Event], Timed],
    stretch: Callable[[list[tuple[int, Timed]]], Stretched],
    workers: Workers,
    at_end: Callable[[int, Timed], None] | None = None,
) -> tuple[Solution, bool]:
    """Take all runs from moment to moment.

    Parameters
    ----------
    make : returns a run at its start, by its number
    stretch : integrates runs with equal ``t`` and ``end``
    at_end : called with each run that came to its end
    """
    solution, stop = Solution.empty(problem), threading.Event()
    runs: list[tuple[int, Timed]] = []
    for run in range(len(problem)):
        one = make(run, stop)
        assert one.events is not None
        status = one.events.begin(one.t, one.y, one.p)
        if status == SolverStatus.OK:
            runs.append((run, one))
        else:
            write_run(one, status, solution, run)
    done = len(problem) - len(runs)
    try:
        while runs:
            runs = _at_moments(runs, solution, at_end)
            left: list[tuple[int, Timed]] = []
            # Runs with equal (start, end) share a stretch: a Problem has one `times`.
            key = sorted(runs, key=lambda item: (item[1].t, item[1].end, item[0]))
            for _, group in groupby(key, lambda item: (item[1].t, item[1].end)):
                members = list(group)
                left += _taken(members, *stretch(members), solution)
            if workers.progress and len(problem) - len(left) > done:
                done = len(problem) - len(left)
                workers.progress(done, len(problem))
            runs = left
    except KeyboardInterrupt:
        return solution, True
    return solution, False


def _at_moments(
    runs: list[tuple[int, Timed]],
    solution: Solution,
    at_end: Callable[[int, Timed], None] | None,
) -> list[tuple[int, Timed]]:
    """Let every run act on its moment; write those that end, return the others."""
    left = []
    for run, one in runs:
        # Numbers that are not finite are found by `to_stretch`, which returns a status.
        with np.errstate(all="ignore"):
            status = one.to_stretch()
        if status is None:
            left.append((run, one))
            continue
        write_run(one, status, solution, run)
        if at_end is not None and status == SolverStatus.OK:
            at_end(run, one)
    return left


def _taken(
    members: list[tuple[int, Timed]],
    found: Solution,
    states: FloatArray,
    solution: Solution,
) -> list[tuple[int, Timed]]:
    """Let runs take over their stretch; write those that failed, return the others."""
    going = []
    for k, (run, one) in enumerate(members):
        one.n_steps += int(found.n_steps[k])
        status = SolverStatus(int(found.status[k]))
        if status == SolverStatus.OK:
            # The first and last times are the ends of the stretch (``stretch_of``).
            status = one.take(states[k, 1:-1], found.y_end[k])
        else:
            # A failed run keeps the time and state at which it failed.
            one.t, one.y = float(found.t_end[k]), found.y_end[k].copy()
        if status == SolverStatus.OK:
            going.append((run, one))
        else:
            write_run(one, status, solution, run)
    return going


def stretch_of(
    problem: Problem, members: Sequence[TimedRun], fed: IntArray | None = None
) -> Problem:
    """Return the stretch of some runs as a problem; infusions go on in it.

    Parameters
    ----------
    fed : int array, states that get an infusion whatever its rate is; None for those
        with a rate other than zero
    """
    first = members[0]
    # math.ulp is the distance to the next number above `end`.
    end = first.end - BEFORE * math.ulp(first.end)
    inside = np.clip(first.times[first.rows()], first.t, end)
    feeding = np.array([one.input for one in members])
    states = np.flatnonzero(feeding.any(axis=0)) if fed is None else fed
    # Infusions that are on at the start, as RATE doses there: (n_run, n_fed) rates.
    schedule = Schedule(
        np.full(len(states), first.t),
        states,
        np.full(len(states), int(Action.RATE)),
        np.ascontiguousarray(feeding[:, states]),
    )
    return replace(
        problem,
        y0=np.array([one.y for one in members]),
        p=np.array([one.p for one in members]),
        times=np.concatenate([[first.t], inside, [end]]),
        schedule=schedule,
    )
