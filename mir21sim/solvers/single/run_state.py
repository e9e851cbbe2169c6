"""Where one run stands: its state, doses and outputs, and whether it may go on.

The output times never touch the step control: they are read off the dense output of
each step.
"""

import math
import threading
import time

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.kernels import Kernels
from mir21sim.errors import SolverStatus
from mir21sim.solvers.problem import Action, Problem, negative_slack
from mir21sim.solvers.settings import Settings
from mir21sim.solvers.single.event_jumps import SAME_TIME
from mir21sim.solvers.single.events import EventQueue
from mir21sim.solvers.single.outputs import Outputs
from mir21sim.solvers.single.reduced_problem import clipped
from mir21sim.solvers.single.reduction import Reduction

_AT_ONCE = 1e-6
"""Share of a run within which a fall from zero belongs to its start."""

_STEPS_WITH_EVENTS = 100
"""Steps at least over a whole run in which triggers or relations are watched."""

_NEAR_ZERO = 1e-3
"""Share of the run's length that counts as the size of a time near zero."""

_ERRORS = 10.0
"""Tolerances that the error of a partner may be when it makes an amount negative."""

_SEEN = 256
"""About how many times of a run are kept for the sizes of its states."""

_LOOK_EVERY = 32
"""Steps between looks at the clock."""


class RunState:
    """The state of one initial value problem on its way through its breakpoints."""

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
        self.begun, self.frozen = problem.y0[run], problem.frozen
        self.never_negative = problem.amounts.copy()  # those that may fall leave it
        self.signed, self.rises = -1, np.zeros(0, dtype=bool)
        self.out = np.empty((len(self.times), self.outputs.n_select))
        self.out.fill(np.nan)
        self.input = np.zeros(len(self.y))
        self.t = float(self.times[0])
        self.near_zero = _NEAR_ZERO * float(self.times[-1] - self.times[0])
        self.latest = math.inf
        self.edge = False  # the next stop comes right after a time, by rounding
        self.pace = 0.0  # about the longest step of late, where there are events
        self.next_output = 0
        self.next_dose = int(self.schedule.time.searchsorted(self.t))
        self.n_steps = self.n_rhs = self.n_jac = 0
        self.deadline = time.monotonic() + settings.timeout
        self.peak = np.abs(self.y)
        share, floor = negative_slack(settings.rtol, settings.atol)
        self.share, self.floor = share, np.where(problem.amounts, floor, np.inf)
        self.samples: list[tuple[FloatArray, FloatArray]] = []
        self.reduction: Reduction | None = None
        self.pattern: tuple[bytes, bytes] | None = None
        self.events = None
        if kernels.events is not None:
            self.events = EventQueue.of(kernels.events, self.y, self.p, self._clipped)

    def _outputs(self, problem: Problem) -> Outputs:
        """Return the quantities that are kept."""
        return Outputs(self.kernels, problem.selection)

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
        due = int(self.schedule.time.searchsorted(self.t, side="right"))
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
        slope = self.slope()
        if not len(self.rises):
            self.rises = slope > 0.0  # at the start
        return bool(np.isfinite(self.y).all() and np.isfinite(slope).all())

    def _longest_step(self) -> float:
        """Return a step so short that no event hides between the places looked at."""
        longest = self.settings.max_step
        if self.events is None or not self.events.watches:
            return longest
        span = float(self.times[-1] - self.times[0])
        return min(longest, span / _STEPS_WITH_EVENTS)

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
        """Say whether an amount is negative that must not be.

        That is: by more than numerical error explains. A state that may be negative is
        released (``_release``): any state with ``allow_negative``; in a file of others
        one that starts at zero and falls at once.
        """
        below = np.flatnonzero(self.y < -(self.share * self.peak + self.floor))
        if below.size:
            below = below[self.y[below] < -self._error_from_partners()[below]]
        if not below.size:
            return False
        if self.settings.allow_negative:
            self._release(below)
            return False
        if not self.settings.signed_from_zero:
            return True
        falls = self.peak[below] <= -self.y[below]  # never above zero
        falls |= self.t - self.times[0] <= _AT_ONCE * (self.times[-1] - self.times[0])
        falls &= (self.begun[below] == 0) & ~self.rises[below]
        if falls.any():
            self._release(below[falls])
            self.signed = int(below[falls][0])
        return not falls.all()

    def _release(self, states: IntArray) -> None:
        """Let some states be negative from here on."""
        self.floor[states] = np.inf
        self.never_negative[states] = False

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
