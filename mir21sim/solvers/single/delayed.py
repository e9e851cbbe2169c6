"""Single runs of models with delayed values: the method of steps.

A delayed value x(t − τ) is read from the dense output of the steps made so far, and
before the start from the start values. The integrator (SciPy's Radau) takes no step
longer than the shortest delay, so that it needs values of the past alone. A jump at a
time t returns in the slopes at t + τ, t + 2τ, …, each time in a higher derivative; the
run stops there, as at a dose.

References
----------
Bellen A & Zennaro M 2003, Numerical Methods for Delay Differential Equations,
doi 10.1093/acprof:oso/9780198506546.001.0001 (method of steps, breaking points)
"""

import bisect
import math
import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mir21sim._typing import BoolArray, FloatArray, Kernel
from mir21sim.compiler.kernels import Kernels
from mir21sim.compiler.model import CompiledModel, DelayPlaces
from mir21sim.errors import SolverStatus
from mir21sim.solvers.method import SINGLE, Method
from mir21sim.solvers.problem import Problem, Solution
from mir21sim.solvers.settings import Settings, Workers
from mir21sim.solvers.single import scale
from mir21sim.solvers.single.event_search import States
from mir21sim.solvers.single.reduced_problem import ReducedProblem
from mir21sim.solvers.single.run import SingleRun

ORDER = 5
"""Times that a jump returns until it is too smooth to matter for Radau, of order 5."""

LEAST_STEP = 1e-5
"""Share of the run below which a delay counts as one of this length for the steps."""

MOST_CORNERS = 2000
"""Times of returning jumps that are kept."""

SOLVER = "Radau"

_SLOPES = ("rhs", "jac", "dfdt")
_VALUES = ("rates", "assigned")
"""Kernels that read parameters; ``roots`` is among those of the events."""


@dataclass(frozen=True, slots=True, eq=False)
class _Stretch:
    """A step of the past: its ends, its states, and the parameters in it."""

    start: float
    end: float
    states: States
    p: FloatArray


class History:
    """The past of a run, and the delayed values that follow from it.

    Parameters
    ----------
    kernels : of the model, which read delayed values from parameters
    places : of each delayed value, inner ones first

    Attributes
    ----------
    before_start : kernels that hold before the start, by default the same
    """

    def __init__(
        self,
        kernels: Kernels,
        places: DelayPlaces,
        t: float,
        y: FloatArray,
        p: FloatArray,
    ) -> None:
        self.kernels, self.places = kernels, places
        self.before_start = kernels
        self.begin, self.y0, self.p0 = t, y.copy(), p.copy()
        self.formulas = self._formulas()
        self.stretches: list[_Stretch] = []
        self.ends: list[float] = []
        self.last_read: tuple[float, FloatArray, FloatArray] | None = None

    def _formulas(self) -> tuple[BoolArray, BoolArray]:
        """Return which states and parameters keep their start value before the start.

        Others start with a formula of time, which holds before the start too
        (SBML L3V2, section 3.4.6); a start that the user gave is kept.
        """
        made = [self._started(t) for t in (self.begin, self.begin - 1.0)]
        (y_now, p_now), (y_then, p_then) = made
        varies_y = (y_now != y_then) & (y_now == self.y0)
        varies_p = (p_now != p_then) & (p_now == self.p0)
        return ~varies_y, ~varies_p

    def _started(
        self, t: float, keep: tuple[BoolArray, BoolArray] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return start values whose formulas are evaluated at a time."""
        y, p = self.y0.copy(), self.p0.copy()
        if keep is None:
            keep = np.zeros(len(y), bool), np.zeros(len(p), bool)
        self.kernels.initial(t, y, p, *keep)
        return y, p

    def add(self, start: float, end: float, states: States, p: FloatArray) -> None:
        """Keep a step that was accepted."""
        if end > start:
            self.stretches.append(_Stretch(start, end, states, p.copy()))
            self.ends.append(end)

    def at(self, t: float, now: tuple[float, FloatArray, FloatArray]) -> Any:
        """Return states and parameters at an earlier time.

        Between the last step and `now` (time, states, parameters) states are
        interpolated by a line, which steps as short as the delay leave for rounding.
        """
        if t < self.begin:
            return self._started(t, self.formulas)
        if t == self.begin or (not self.stretches and t < now[0]):
            return self.y0, self.p0
        if t >= now[0] or not self.stretches:
            return now[1], now[2]
        last = self.stretches[-1]
        if t <= last.end:
            if self.last_read is None or self.last_read[0] != t:
                stretch = self.stretches[bisect.bisect_left(self.ends, t)]
                self.last_read = t, stretch.states(np.array([t]))[0], stretch.p
            return self.last_read[1:]
        before = last.states(np.array([last.end]))[0]
        share = (t - last.end) / (now[0] - last.end)
        return before + share * (now[1] - before), now[2]

    def fill(self, t: float, y: FloatArray, p: FloatArray, upto: int = -1) -> None:
        """Write the delayed values of a time into its parameters."""
        count = len(self.places.value) if upto < 0 else upto
        if not count:
            return
        values = np.empty(self.kernels.n_assigned)
        for k in range(count):
            self.kernels.assigned(t, y, p, values)
            lag = values[self.places.lag[k]]
            past = t - lag
            if not (math.isfinite(lag) and lag >= 0):  # a delay is 0 or more
                p[self.places.value[k]] = math.nan
                continue
            states, numbers = (y, p) if lag == 0 else self.at(past, (t, y, p))
            if self.places.nested[k]:
                numbers = numbers.copy()
                self.fill(past, states, numbers, k)
            early = past < self.begin
            kernels = self.before_start if early else self.kernels
            kernels.assigned(past, np.array(states), numbers, values)
            place = self.places.before if early else self.places.past
            p[self.places.value[k]] = values[place[k]]

    def lags(self, t: float, y: FloatArray, p: FloatArray) -> FloatArray:
        """Return all delays at a time; float array, shape (n_delay,)."""
        numbers, values = p.copy(), np.empty(self.kernels.n_assigned)
        self.fill(t, y, numbers)
        self.kernels.assigned(t, y, numbers, values)
        return np.asarray(values[self.places.lag])

    def filled(self, kernel: Kernel) -> Kernel:
        """Return a kernel that gets the delayed values of the time it is called for."""

        def call(t: float, y: FloatArray, p: FloatArray, *rest: Any) -> None:
            numbers = np.array(p)
            self.fill(float(t), np.asarray(y), numbers)
            kernel(t, y, numbers, *rest)

        return call

    def wrapped(self) -> Kernels:
        """Return the kernels with delayed values filled in."""
        inner = self.kernels
        parts = (*_VALUES, *_SLOPES) if self.places.in_slopes else _VALUES

        def make(name: str) -> Kernel:
            kernel = inner.make(name)
            return self.filled(kernel) if name in parts else kernel

        events = inner.events
        if events is not None:
            events = events.wrapped(self.filled)
        return replace(inner, make=make, events=events)


class DelayedRun(SingleRun):
    """One run with delayed values."""

    def __init__(
        self,
        kernels: Kernels,
        places: DelayPlaces,
        problem: Problem,
        run: int,
        settings: Settings,
        stop: threading.Event,
    ) -> None:
        start, p = float(problem.times[0]), problem.p[run]
        self.history = History(kernels, places, start, problem.y0[run], p)
        super().__init__(self.history.wrapped(), problem, run, settings, SOLVER, stop)
        self.corners: list[tuple[float, int]] = []
        self._corner(ORDER)

    def _corner(self, left: int) -> None:
        """Note where a jump at this time returns."""
        if left <= 0 or len(self.corners) > MOST_CORNERS:
            return
        for lag in self.history.lags(self.t, self.y, self.p):
            if lag > 0 and math.isfinite(lag):
                self._insert(self.t + float(lag), left - 1)

    def _insert(self, t: float, left: int) -> None:
        """Keep a corner, one for all that only rounding keeps apart."""
        place = bisect.bisect_left(self.corners, (t, left))
        for k in (place - 1, place):
            if 0 <= k < len(self.corners):
                other, more = self.corners[k]
                if abs(other - t) <= 1e-9 * max(abs(t), 1e-300):
                    self.corners[k] = other, max(left, more)
                    return
        self.corners.insert(place, (t, left))

    def _act(self) -> SolverStatus:
        """Apply doses and events; a jump here returns after each delay."""
        before, numbers = self.y.copy(), self.p.copy()
        status = super()._act()
        if not (np.array_equal(before, self.y) and np.array_equal(numbers, self.p)):
            self._corner(ORDER)
        while self.corners and self.corners[0][0] <= self.t + self._same(self.t):
            self._corner(self.corners.pop(0)[1])
        return status

    def _next_stop(self, last: float) -> float:
        stop = super()._next_stop(last)
        corner = next((t for t, _ in self.corners if t > self.t), math.inf)
        if corner < stop:
            self.edge = False
            return corner
        return stop

    def _same(self, t: float) -> float:
        return max(super()._same(t), 1e-14 * abs(t))

    def _longest_step(self) -> float:
        """Return the shortest delay, so that a step needs the past alone."""
        lags = self.history.lags(self.t, self.y, self.p)
        span = float(self.times[-1] - self.times[0])
        shortest = float(np.min(lags[lags > 0], initial=math.inf))
        return min(super()._longest_step(), max(shortest, LEAST_STEP * span))

    def _take(self, solver: Any, reduced: ReducedProblem) -> bool:
        start, states = self.t, self._interpolant(solver, reduced)
        crossed = super()._take(solver, reduced)
        self.history.add(start, self.t, states, self.p)
        solver.max_step = self._longest_step()
        return crossed

    def _advance_constant(self, end: float) -> SolverStatus:
        """Go where no state moves; its past is kept too."""
        start, held = self.t, self.y.copy()

        def states(times: FloatArray) -> FloatArray:
            return np.tile(held, (len(times), 1))

        status = super()._advance_constant(end)
        self.history.add(start, self.t, states, self.p)
        return status

    def _advance_without_solver(self, end: float) -> SolverStatus:
        start, first = self.t, self.y.copy()
        status = super()._advance_without_solver(end)
        last = self.y.copy()

        def states(times: FloatArray) -> FloatArray:
            share = ((times - start) / (end - start))[:, np.newaxis]
            return np.asarray(first + share * (last - first))

        self.history.add(start, self.t, states, self.p)
        return status


def supports(model: CompiledModel) -> str | None:
    """Return why the method cannot run a model, None where it can."""
    if model.implicit is not None:
        return "the model has an equation without closed form"
    return None if model.delays is not None else "the model has no delay()"


def _integrate(
    model: CompiledModel, problem: Problem, settings: Settings, workers: Workers
) -> tuple[Solution, bool]:
    from mir21sim.solvers.single.integrate import integrate_runs  # imports SciPy

    places = model.delays
    assert places is not None

    def work(run: int, stop: threading.Event) -> scale.Ended:
        def make(chosen: Settings, _growth: float) -> SingleRun:
            return DelayedRun(model.kernels, places, problem, run, chosen, stop)

        return scale.integrate(make, problem, run, settings)

    return integrate_runs(problem, workers, work)


METHOD = Method("Radau-delay", "KISAO:0000304", SINGLE, supports, _integrate)
