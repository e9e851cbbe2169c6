"""One run through its breakpoints, by an integrator of SciPy.

Our own loop steps the integrators, so that dose times are hit exactly, work is bounded,
and a failure keeps the results before it. The output times never touch the step
control: they are read off the dense output of each step.
"""

import math
import threading
import time
from typing import Any

import numpy as np
import scipy.integrate

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.kernels import Kernels
from mir21sim.errors import SolverStatus
from mir21sim.solvers.problem import Action, Problem, negative_slack
from mir21sim.solvers.settings import Settings
from mir21sim.solvers.single import lsoda
from mir21sim.solvers.single.event_search import States
from mir21sim.solvers.single.events import SAME_TIME, EventQueue
from mir21sim.solvers.single.outputs import Outputs
from mir21sim.solvers.single.reduced_problem import SPARSE_FROM, ReducedProblem, clipped
from mir21sim.solvers.single.reduction import Reduction, moving_states, ties_of

_STEPS_WITH_EVENTS = 100
"""Steps at least over a whole run in which triggers or relations are watched."""

_AFTER_EVENT = 0.1
"""First step after an event over the longest before it."""

#: Steps after which the way that a solver has made is looked at.
_STALL_CHECK_STEPS = 1000

#: Share of its way that a solver must have made in these steps, or it is started anew:
#: LSODA, which met a jump, can keep its estimate of the slope there and tiny steps.
_STALL_FRACTION = 1e-3

_SHARE_OF_FAST_PATH = 0.25
"""Share of the time left that going to a stop in one call may take."""

_NEAR_ZERO = 1e-3
"""Share of the run's length that counts as the size of a time near zero."""

_ERRORS = 10.0
"""Tolerances that the error of a partner may be when it makes an amount negative."""

_SEEN = 256
"""About how many times of a run are kept for the sizes of its states."""

_GRID = 64
"""Times between two stops at which sizes are looked at, where outputs are fewer."""

_LOOK_EVERY = 32
"""Steps between looks at the clock."""


class SingleRun:
    """One initial value problem on its way through its breakpoints."""

    def __init__(
        self,
        kernels: Kernels,
        problem: Problem,
        run: int,
        settings: Settings,
        solver: str,
        stop: threading.Event,
    ) -> None:
        self.kernels, self.settings, self.stop = kernels, settings, stop
        self.solver = solver
        self.p = problem.p[run].copy()
        self.y = problem.y0[run].copy()
        self.times, self.schedule = problem.times, problem.schedule
        self.dose_values = problem.schedule.value[run]
        self.outputs = self._outputs(problem)
        self.never_negative, self.frozen = problem.amounts, problem.frozen
        self.out = np.full((len(self.times), self.outputs.n_select), np.nan)
        self.input = np.zeros_like(self.y)
        self.t = float(self.times[0])
        self.near_zero = _NEAR_ZERO * float(self.times[-1] - self.times[0])
        self.latest = math.inf
        self.edge = False  # the next stop comes right after a time, by rounding
        self.pace = 0.0  # about the longest step of late, where there are events
        self.next_output = 0
        self.next_dose = int(np.searchsorted(self.schedule.time, self.t))
        self.n_steps = self.n_rhs = self.n_jac = 0
        self.deadline = time.monotonic() + settings.timeout
        self.peak = np.abs(self.y)
        share, floor = negative_slack(settings.rtol, settings.atol)
        watched = (
            np.zeros_like(problem.amounts)
            if settings.allow_negative
            else problem.amounts
        )
        self.share, self.floor = share, np.where(watched, floor, np.inf)
        self.samples: list[tuple[FloatArray, FloatArray]] = []
        self.reduction: Reduction | None = None
        self.pattern: tuple[bytes, bytes] | None = None
        self.events = None
        if kernels.events is not None:
            self.events = EventQueue.of(kernels.events, self.y, self.p, self._clipped)

    def _outputs(self, problem: Problem) -> Outputs:
        """Return the quantities that are kept."""
        return Outputs(self.kernels, problem.selection)

    def integrate(self) -> SolverStatus:
        """Go from the first to the last output time; return how it ended."""
        if self.events is not None:
            status = self.events.begin(self.t, self.y, self.p)
            if status != SolverStatus.OK:
                return status
        last = float(self.times[-1])
        while True:
            ended = self._act_and_record(last)
            if ended is not None:
                return ended
            status = self._integrate_to(self._next_stop(last))
            if status != SolverStatus.OK:
                return status

    def _act_and_record(self, last: float) -> SolverStatus | None:
        """Act on this moment and write its output; return how the run ends, if it does.

        Parameters
        ----------
        last : time at which the run is over
        """
        status = self._act()
        if status != SolverStatus.OK:
            return status
        self._record_now()
        if not self._finite_start():
            return SolverStatus.NON_FINITE
        return SolverStatus.OK if self.t >= last else None

    def _next_stop(self, last: float) -> float:
        """Return where to stop next: a dose, a known moment of the events, the end.

        Moments that only rounding keeps apart are one, the latest of them. But a moment
        right after a time (``time > 5``) leaves that time, and its output, before it.
        """
        stops = [last, *map(float, self.schedule.time[self.next_dose :][:1])]
        self.edge = False
        if self.events is not None:
            moment = self.events.next_moment(self.t, self.y, self.p)
            # The value after a jump at the stop holds from the stop on.
            self.latest = math.nextafter(moment, -math.inf)
            if self.events.after:
                self.edge = moment < min(stops)
                return min(moment, *stops)
            stops.append(moment)
        soonest = min(stops)
        return max(s for s in stops if s <= soonest + self._same(soonest))

    def _same(self, t: float) -> float:
        """Return how far another moment may be for being the same as this one."""
        if self.events is None:
            return 0.0
        return SAME_TIME * max(
            abs(t), _NEAR_ZERO * float(self.times[-1] - self.times[0])
        )

    def _before(self, stop: float) -> float:
        """Return the time up to which outputs show the state before a stop."""
        return stop if self.edge else stop - self._same(stop)

    def _act(self) -> SolverStatus:
        """Apply the doses of this moment in the order of the schedule, then events."""
        self.latest = math.inf
        due = int(np.searchsorted(self.schedule.time, self.t, side="right"))
        for k in range(self.next_dose, due):
            state, value = self.schedule.state[k], self.dose_values[k]
            kind = self.schedule.kind[k]
            if kind == Action.ADD:
                self.y[state] += value
            elif kind == Action.SET:
                self.y[state] = value
            else:
                self.input[state] += value
        self.next_dose = due
        status = SolverStatus.OK
        if self.events is not None:
            status = self.events.settle(self.t, self.y, self.p)
        self._note_now()
        return status

    def _note(self, times: FloatArray, states: FloatArray) -> None:
        """Keep accepted states, shape (n_time, n_state), for the sizes of the run."""
        if self.settings.adapts and len(times):
            self.samples.append((times, states))

    def _note_now(self) -> None:
        """Keep the state where the run is."""
        if self.settings.adapts:
            self.samples.append((np.array([self.t]), self.y[np.newaxis].copy()))

    def seen(self) -> tuple[FloatArray, FloatArray]:
        """Return times and states that the run went through, (n,) and (n, n_state)."""
        times = np.concatenate([times for times, _ in self.samples])
        states = np.concatenate([states for _, states in self.samples])
        every = max(1, len(times) // _SEEN)
        order = np.argsort(times[::every], kind="stable")
        return times[::every][order], states[::every][order]

    def tolerances(self, states: FloatArray) -> FloatArray:
        """Return the tolerances at the states seen, shape (n_time, n_state)."""
        return np.broadcast_to(self.settings.atol, states.shape)

    def _clipped(self, y: FloatArray) -> FloatArray:
        """Return states without amounts below zero."""
        return clipped(y, self.never_negative)

    def slope(self) -> FloatArray:
        """Return dy/dt of all states where the run is."""
        out: FloatArray = np.empty_like(self.y)
        t = min(self.t, self.latest)
        self.kernels.rhs(t, self.y, self.p, out)
        if not math.isfinite(out.sum()):
            self.kernels.rhs(t, self._clipped(self.y), self.p, out)
        out += self.input
        if self.frozen is not None:
            out[self.frozen] = 0.0
        return out

    def jacobian(
        self, t: float, y: FloatArray
    ) -> tuple[IntArray, IntArray, FloatArray]:
        """Return rows, columns and values of d(dy/dt)/dy, shape (n_nonzero,) each."""
        k = self.kernels
        data = np.zeros(len(k.j_row))
        k.jac(float(t), np.array(y), self.p, data)
        return k.j_row, k.j_col, data

    def _finite_start(self) -> bool:
        return bool(np.isfinite(self.y).all() and np.isfinite(self.slope()).all())

    def _integrate_to(self, end: float) -> SolverStatus:
        """Integrate up to a stop, or to an event before it, and write outputs."""
        if end - self.t <= self._same(end):
            return self._advance_without_solver(end)
        reduction = self._current_reduction()
        if not len(reduction):
            return self._advance_constant(end)
        if self.events is None and self.solver == "LSODA":
            for some in (self._tied_reduction(), reduction):
                if some is not None and self._integrate_in_one_call(
                    self._reduced_problem(some), end
                ):
                    return SolverStatus.OK
        return self._step_by_step(self._reduced_problem(reduction), end)

    def _current_reduction(self) -> Reduction:
        """Return the states that move from here on."""
        pattern = (self.y == 0.0).tobytes(), (self.input != 0.0).tobytes()
        if self.reduction is None or pattern != self.pattern:
            mask = moving_states(self.kernels, self.y, self.input, self.frozen)
            self.reduction, self.pattern = Reduction.of(self.kernels, mask), pattern
        return self.reduction

    def _tied_reduction(self) -> Reduction | None:
        """Return moving states from which others follow by conserved totals."""
        assert self.reduction is not None
        mask = np.zeros(len(self.y), dtype=bool)
        mask[self.reduction.index] = True
        ties = ties_of(self.kernels, mask, self.y, self.input, self.frozen)
        return None if ties is None else Reduction.of(self.kernels, mask, ties)

    def _reduced_problem(self, reduction: Reduction) -> ReducedProblem:
        reduced = ReducedProblem(
            self.kernels,
            reduction,
            self.y,
            self.p,
            self.input,
            self.never_negative,
            self.stop,
        )
        reduced.latest = self.latest
        return reduced

    def _integrate_in_one_call(self, reduced: ReducedProblem, end: float) -> bool:
        """Go to a stop in one call where nothing odd happens on the way; say whether.

        Outputs at the stop wait for the doses and events there.
        """
        index, now = reduced.index, time.monotonic()
        last = int(np.searchsorted(self.times, end, side="left"))
        inside = slice(self.next_output, last)
        peak = self.peak[index]
        wanted = np.concatenate([[self.t], self.times[inside], [end]])
        times = wanted
        if self.settings.adapts and len(wanted) < _GRID:
            times = np.union1d(wanted, np.linspace(self.t, end, _GRID))
        found = lsoda.integrate_segment(
            reduced,
            times,
            peak=peak,
            share=self.share,
            floor=self.floor[index],
            rtol=self.settings.rtol,
            atol=self.settings.atol[index],
            max_step=self.settings.max_step,
            max_steps=self.settings.max_steps - self.n_steps,
            # A segment that it gives up is done again in the time left.
            until=now + _SHARE_OF_FAST_PATH * (self.deadline - now),
        )
        if found is None or time.monotonic() > self.deadline or self.stop.is_set():
            return False
        self.n_steps += found.n_steps
        self.n_rhs += found.n_rhs
        self.n_jac += found.n_jac
        states = reduced.whole(found.z)
        self._note(times, states)
        self._write(inside, states[np.searchsorted(times, wanted[1:-1])])
        self.next_output = last
        self.peak[index] = peak
        np.maximum(self.peak, np.abs(states).max(axis=0), out=self.peak)
        self.y, self.t = states[-1].copy(), end
        return True

    def _step_by_step(self, reduced: ReducedProblem, end: float) -> SolverStatus:
        """Integrate with a look at every step."""
        solver = self._solver(reduced, end)
        self.pace *= _AFTER_EVENT
        n_steps, start = 0, self.t
        status, crossed = SolverStatus.OK, False
        while solver.status == "running" and not crossed and status == SolverStatus.OK:
            try:
                solver.step()
            except (ValueError, RuntimeError, np.linalg.LinAlgError):
                # Raised by the linear algebra for non-finite or singular matrices.
                status = self._broken()
                break
            status, crossed = self._after_step(solver, reduced)
            n_steps += 1
            if n_steps % _STALL_CHECK_STEPS == 0:
                if self.t - start < _STALL_FRACTION * (end - start):
                    break
                start = self.t
        self.n_rhs += reduced.n_rhs
        self.n_jac += reduced.n_jac
        if solver.status == "finished" and not crossed:
            self.t = end
        return status

    def _solver(self, reduced: ReducedProblem, end: float) -> Any:
        """Return an integrator of SciPy for a reduced."""
        sparse = len(reduced) >= SPARSE_FROM and self.solver != "LSODA"
        return getattr(scipy.integrate, self.solver)(
            reduced.slope,
            self.t,
            self.y[reduced.index],
            end,
            rtol=self.settings.rtol,
            atol=self.settings.atol[reduced.index],
            jac=reduced.sparse_matrix if sparse else reduced.matrix,
            max_step=self._longest_step(),
            first_step=self._first_step(end),
        )

    def _longest_step(self) -> float:
        """Return a step so short that no event hides between the places looked at."""
        longest = self.settings.max_step
        if self.events is None or not self.events.watches:
            return longest
        span = float(self.times[-1] - self.times[0])
        return min(longest, span / _STEPS_WITH_EVENTS)

    def _first_step(self, end: float) -> float | None:
        """Return a try for the first step after an event, None to leave it open.

        Most events change little, and a model may have a hundred thousand: the steps
        before one tell more than the slope after it. The error test has the last word.
        """
        step = min(_AFTER_EVENT * self.pace, end - self.t)
        return step if step > self._same(end) else None

    def _advance_without_solver(self, end: float) -> SolverStatus:
        """Cross a gap that is rounding alone, too short for any integrator."""
        self.n_steps += 1
        self.y = self.y + (end - self.t) * self.slope()
        self.t = end
        return self._verdict()

    def _advance_constant(self, end: float) -> SolverStatus:
        """Write the outputs where nothing but the time goes on."""
        crossing, status = None, SolverStatus.OK
        while self.t < end and crossing is None and status == SolverStatus.OK:
            to = min(end, self.t + self._longest_step())
            if self.events is not None:
                self.n_steps += 1
                crossing = self.events.first_crossing(
                    self.t, to, self._longest_step(), self._constant_states, self.p
                )
                to = to if crossing is None else crossing
            last = int(np.searchsorted(self.times, self._before(to), side="left"))
            if last > self.next_output:
                inside = slice(self.next_output, last)
                self._write(inside, self._constant_states(self.times[inside]))
                self.next_output = last
            self.t, status = to, self._verdict()
        return status

    def _constant_states(self, times: FloatArray) -> FloatArray:
        """Return the states at some times where they do not change."""
        return np.tile(self.y, (len(times), 1))

    def _broken(self) -> SolverStatus:
        data = np.empty(len(self.kernels.j_row))
        self.kernels.jac(self.t, self.y, self.p, data)
        finite = np.isfinite(data).all()
        return SolverStatus.STEP_TOO_SMALL if finite else SolverStatus.NON_FINITE

    def _after_step(
        self, solver: Any, reduced: ReducedProblem
    ) -> tuple[SolverStatus, bool]:
        """Take over an accepted step up to the first event in it, or say why not.

        Returns
        -------
        status : SolverStatus
        crossed : bool, whether an event ends the step
        """
        self.n_steps += 1
        if self.stop.is_set():
            return SolverStatus.INTERRUPTED, False
        if solver.status == "failed":
            finite = (
                np.isfinite(solver.y).all()
                and np.isfinite(reduced.slope(solver.t, solver.y)).all()
            )
            failed = SolverStatus.STEP_TOO_SMALL if finite else SolverStatus.NON_FINITE
            return failed, False
        if not np.isfinite(solver.y).all():
            return SolverStatus.NON_FINITE, False
        crossed = self._take(solver, reduced)
        self._note_now()
        np.maximum(self.peak, np.abs(self.y), out=self.peak)
        return self._verdict(), crossed

    def _take(self, solver: Any, reduced: ReducedProblem) -> bool:
        """Move to the end of a step or to the first event in it; say whether to that.

        Outputs at a stop wait for the doses and events there.
        """
        t, y, crossing = solver.t, reduced.whole(solver.y), None
        if self.events is not None and self.events.watches and t > self.t:
            states = self._interpolant(solver, reduced)
            crossing = self.events.first_crossing(
                self.t, t, self._longest_step(), states, self.p
            )
            if crossing is not None:
                t, y = crossing, states(np.array([crossing]))[0].copy()
        self.pace = max(self.pace, t - self.t) if self.events is not None else 0.0
        at_stop = crossing is not None or solver.status != "running"
        self._record(solver, reduced, self._before(t) if at_stop else t)
        self.t, self.y = t, y
        return crossing is not None

    def _interpolant(self, solver: Any, reduced: ReducedProblem) -> States:
        """Return the state within a step; it starts exactly where the last one ended.

        Dense output meets the step's own start only within its error, which could make
        a root function just left behind come back.
        """
        dense, start, end = solver.dense_output(), self.t, solver.t
        first, gap = self.y, self.y[reduced.index] - dense(start)

        def states(times: FloatArray) -> FloatArray:
            share = (end - times) / (end - start)
            rows = reduced.whole(dense(times).T + share[:, np.newaxis] * gap)
            rows[times == start] = first  # to the last bit
            return rows

        return states

    def _verdict(self) -> SolverStatus:
        """Return whether a run may go on from where it has come to."""
        if self._negative():
            return SolverStatus.NEGATIVE
        if self.events is not None and self.events.culprit >= 0:
            return SolverStatus.EVENT_UNDEFINED
        if self.n_steps >= self.settings.max_steps and self.t < self.times[-1]:
            return SolverStatus.MAX_STEPS
        if self.stop.is_set():
            return SolverStatus.INTERRUPTED
        if self.n_steps % _LOOK_EVERY == 0 and self._late():
            return SolverStatus.TIMEOUT
        return SolverStatus.OK

    def _late(self) -> bool:
        """Say whether the time that the run may take is over."""
        return time.monotonic() > self.deadline

    def _negative(self) -> bool:
        """Say whether an amount is negative by more than numerical error explains."""
        below = np.flatnonzero(self.y < -(self.share * self.peak + self.floor))
        if not below.size:
            return False
        return bool((self.y[below] < -self._error_from_partners()[below]).any())

    def _error_from_partners(self) -> FloatArray:
        """Return the error that the asked tolerance allows by states a reaction ties.

        An error of `rtol` in a large pool is one of the small pool that it turns into.
        """
        k, value = self.kernels, np.abs(self.kernels.n_value)
        extents = np.zeros(k.n_rate)
        np.maximum.at(extents, k.n_col, self.peak[k.n_row] / value)
        reach = np.zeros(len(self.y))
        np.maximum.at(reach, k.n_row, extents[k.n_col] * value)
        error: FloatArray = _ERRORS * self.settings.rtol * reach
        error += self.share * self.peak + self.floor
        return error

    def _record(self, solver: Any, reduced: ReducedProblem, end: float) -> None:
        """Write the outputs before `end` within the step just made."""
        last = int(np.searchsorted(self.times, end, side="left"))
        if last <= self.next_output:
            return
        inside = slice(self.next_output, last)
        z = solver.dense_output()(self.times[inside])
        self._write(inside, reduced.whole(z.T))
        self.next_output = last

    def _record_now(self) -> None:
        """Write the output at the current time, where one is wanted."""
        due = self.next_output
        if due < len(self.times) and (self.times[due] <= self.t + self._same(self.t)):
            self._write(slice(due, due + 1), self.y[np.newaxis])
            self.next_output = due + 1

    def _write(self, rows: slice, states: FloatArray) -> None:
        """Write the outputs of some times, states of shape (n_time, n_state)."""
        self.out[rows] = self.outputs.rows(
            self.times[rows], states, self.p, self._clipped
        )
