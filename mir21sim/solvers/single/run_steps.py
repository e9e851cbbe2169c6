"""One run between two breakpoints, step by step, by an integrator of SciPy.

Our own loop steps the integrators, so that work is bounded, events are found within a
step, and a failure keeps the results before it.
"""

from typing import Any

import numpy as np
import scipy.integrate

from mir21sim._typing import FloatArray
from mir21sim.errors import SolverStatus
from mir21sim.solvers.single.event_search import States
from mir21sim.solvers.single.reduced_problem import SPARSE_FROM, ReducedProblem
from mir21sim.solvers.single.run_state import RunState

_AFTER_EVENT = 0.1
"""First step after an event over the longest before it."""

#: Steps after which the way that a solver has made is looked at.
_STALL_CHECK_STEPS = 1000

#: Share of its way that a solver must have made in these steps, or it is started anew:
#: LSODA, which met a jump, can keep its estimate of the slope there and tiny steps.
_STALL_FRACTION = 1e-3


class SteppedRun(RunState):
    """A run that an integrator takes from one breakpoint to the next."""

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

    def _first_step(self, end: float) -> float | None:
        """Return a try for the first step after an event, None to leave it open.

        Most events change little, and a model may have a hundred thousand: the steps
        before one tell more than the slope after it. The error test has the last word.
        """
        step = min(_AFTER_EVENT * self.pace, end - self.t)
        return step if step > self._same(end) else None

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

    def _record(self, solver: Any, reduced: ReducedProblem, end: float) -> None:
        """Write the outputs before `end` within the step just made."""
        last = int(np.searchsorted(self.times, end, side="left"))
        if last <= self.next_output:
            return
        inside = slice(self.next_output, last)
        z = solver.dense_output()(self.times[inside])
        self._write(inside, reduced.whole(z.T))
        self.next_output = last
