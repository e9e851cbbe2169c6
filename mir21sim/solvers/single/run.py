"""One run through its breakpoints, by an integrator of SciPy.

The run stops at every dose and at every known moment of an event, so that these are hit
exactly. Between two stops it goes in one call where it can (``lsoda``), else step by
step (``run_steps``).
"""

import math
import time

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.errors import SolverStatus
from mir21sim.solvers.single import lsoda
from mir21sim.solvers.single.reduced_problem import ReducedProblem
from mir21sim.solvers.single.reduction import Reduction, moving_states, ties_of
from mir21sim.solvers.single.run_steps import SteppedRun

_SHARE_OF_FAST_PATH = 0.25
"""Share of the time left that going to a stop in one call may take."""

_GRID = 64
"""Times between two stops at which sizes are looked at, where outputs are fewer."""


class SingleRun(SteppedRun):
    """One initial value problem on its way through its breakpoints."""

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
