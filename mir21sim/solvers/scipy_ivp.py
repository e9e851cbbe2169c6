"""SciPy's stiff integrators over many runs with exact breakpoints. Layer 3.

The reference path: LSODA, BDF and Radau of ``scipy.integrate``, stepped by our own
loop so that dose times are hit exactly, work is bounded, and a failure keeps what was
reached. The output times never touch the step control: they are read off the dense
output of each step.
"""

import math
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.integrate
import scipy.sparse

from mir21sim._typing import FloatArray
from mir21sim.compiled import Kernels
from mir21sim.errors import SolverStatus
from mir21sim.solvers.events import SAME_TIME, EventQueue, States
from mir21sim.solvers.runs import (
    METHOD_NAMES,
    Action,
    Progress,
    RunResults,
    Runs,
    Selection,
    Source,
    Tolerances,
    negative_slack,
)

METHODS = ("LSODA", "BDF", "Radau")
RETRY = "Radau"
"""A run that fails in another method is tried once more by this one."""

_SPARSE_FROM = 300
"""States from which a sparse LU beats LAPACK's dense one (measured on chains)."""

_STEPS_WITH_EVENTS = 100
"""Steps at least over a whole run in which triggers or relations are watched."""

_AFTER_EVENT = 0.1
"""First step after an event over the longest before it."""

_PATIENCE = 1000
_CRAWL = 1e-3
"""Steps in which a solver must cross this share of its way, or it is started anew:
LSODA, which met a jump, can keep its estimate of the slope there and tiny steps."""

_LOOK_EVERY = 32
"""Steps between looks at the clock."""

RETRIED = {
    SolverStatus.MAX_STEPS,
    SolverStatus.STEP_TOO_SMALL,
    SolverStatus.NON_FINITE,
}


def integrate_runs(
    kernels: Kernels,
    runs: Runs,
    tolerances: Tolerances,
    *,
    method: str = "LSODA",
    n_jobs: int = 1,
    progress: Progress | None = None,
    allow_negative: bool = False,
) -> tuple[RunResults, bool]:
    """Integrate every run; one that fails is tried again by Radau, then given up.

    Results do not depend on `n_jobs`. Ctrl-C stops the runs under way and keeps the
    finished ones.

    Returns
    -------
    results : RunResults
    interrupted : bool
    """
    results = RunResults.empty(runs)
    stop = threading.Event()

    def work(run: int) -> None:
        _run_with_retry(
            kernels, runs, run, tolerances, method, allow_negative, stop, results
        )

    interrupted = False
    with _quiet():
        if n_jobs == 1:
            try:
                for run in range(len(runs)):
                    work(run)
                    if stop.is_set():
                        interrupted = True
                        break
                    if progress:
                        progress(run + 1, len(runs))
            except KeyboardInterrupt:
                interrupted = True
        else:
            interrupted = _in_threads(work, len(runs), n_jobs, progress, stop)
    if interrupted:
        # What was under way when the key was pressed is not a result.
        unfinished = results.status == SolverStatus.NOT_RUN
        results.values[unfinished] = np.nan
    return results, interrupted


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep SciPy's own remarks off stderr: the status says them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(?s)lsoda:.*", category=UserWarning)
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="scipy.*")
        yield


def _in_threads(
    work: Any,
    n_run: int,
    n_jobs: int,
    progress: Progress | None,
    stop: threading.Event,
) -> bool:
    """Run the work in threads; return whether it was interrupted."""
    pool = ThreadPoolExecutor(n_jobs)
    try:
        waiting = {pool.submit(work, run) for run in range(n_run)}
        done = 0
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
            done += len(finished)
            if progress:
                progress(done, n_run)
    except KeyboardInterrupt:
        stop.set()
        for future in waiting:
            future.cancel()
        wait(waiting)
        return True
    finally:
        pool.shutdown(cancel_futures=True)
    return False


def _run_with_retry(
    kernels: Kernels,
    runs: Runs,
    run: int,
    tolerances: Tolerances,
    method: str,
    allow_negative: bool,
    stop: threading.Event,
    results: RunResults,
) -> None:
    """Integrate one run into its row of the results."""
    for attempt in (method, RETRY):
        if stop.is_set():
            return
        one = _OneRun(kernels, runs, run, tolerances, attempt, allow_negative, stop)
        with np.errstate(all="ignore"):  # what is not finite is found and told
            status = one.integrate()
        retry = status in RETRIED and attempt != RETRY
        if not retry:
            break
    if status == SolverStatus.INTERRUPTED:
        return
    results.values[run] = one.out
    results.t_end[run], results.y_end[run] = one.t, one.y
    results.n_steps[run] = one.n_steps
    results.n_rhs[run], results.n_jac[run] = one.n_rhs, one.n_jac
    results.method[run] = METHOD_NAMES.index(attempt)
    if one.events is not None:
        results.n_events[run] = one.events.n_executed
        results.culprit[run] = one.events.culprit
    results.status[run] = status


class _OneRun:
    """One initial value problem on its way through its breakpoints."""

    def __init__(
        self,
        kernels: Kernels,
        runs: Runs,
        run: int,
        tolerances: Tolerances,
        method: str,
        allow_negative: bool,
        stop: threading.Event,
    ) -> None:
        self.kernels, self.tolerances, self.stop = kernels, tolerances, stop
        # Here, as LSODA may swallow what goes wrong in a callback that compiles.
        self.rhs, self.jac = kernels.rhs, kernels.jac
        self.solver_class = getattr(scipy.integrate, method)
        self.p = runs.p[run].copy()
        self.y = runs.y0[run].copy()
        self.times, self.schedule = runs.times, runs.schedule
        self.dose_values = runs.schedule.value[run]
        self.selection = runs.selection
        self.never_negative, self.frozen = runs.amounts, runs.frozen
        self.amounts = np.zeros_like(runs.amounts) if allow_negative else runs.amounts
        self.out = np.full((len(self.times), len(self.selection.source)), np.nan)
        self.input = np.zeros_like(self.y)
        self.t = float(self.times[0])
        self.latest = math.inf
        self.pace = 0.0  # about the longest step of late, where there are events
        self.next_output = 0
        self.next_dose = int(np.searchsorted(self.schedule.time, self.t))
        self.n_steps = self.n_rhs = self.n_jac = 0
        self.deadline = time.monotonic() + tolerances.timeout
        self.peak = np.abs(self.y)
        n = len(self.y)
        self.flat = kernels.j_row * n + kernels.j_col
        self.events = None
        if kernels.events is not None:
            self.events = EventQueue.of(kernels.events, self.y, self.p, self._clipped)

    def integrate(self) -> SolverStatus:
        """Go from the first to the last output time; return how it ended."""
        if self.events is not None:
            status = self.events.begin(self.t, self.y, self.p)
            if status != SolverStatus.OK:
                return status
        last = float(self.times[-1])
        while True:
            status = self._act()
            if status != SolverStatus.OK:
                return status
            self._record_now()
            if not self._finite_start():
                return SolverStatus.NON_FINITE
            if self.t >= last:
                return SolverStatus.OK
            status = self._cross(self._next_stop(last))
            if status != SolverStatus.OK:
                return status

    def _next_stop(self, last: float) -> float:
        """Return where to stop next: a dose, a known moment of the events, the end.

        Moments that only rounding keeps apart are one, the latest of them.
        """
        stops = [last, *map(float, self.schedule.time[self.next_dose :][:1])]
        if self.events is not None:
            moment = self.events.next_moment(self.t, self.y, self.p)
            stops.append(moment)
            # What jumps at the stop belongs to what comes after it.
            self.latest = math.nextafter(moment, -math.inf)
        soonest = min(stops)
        return max(s for s in stops if s <= soonest + self._same(soonest))

    def _same(self, t: float) -> float:
        """Return how far another moment may be for being the same as this one."""
        return SAME_TIME * abs(t) if self.events is not None else 0.0

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
        if self.events is None:
            return SolverStatus.OK
        return self.events.settle(self.t, self.y, self.p)

    def _fun(self, t: float, y: FloatArray) -> FloatArray:
        try:
            return self._slope(t, y)
        except KeyboardInterrupt:
            # LSODA may swallow what a callback raises: the flag does not get lost.
            self.stop.set()
            raise

    def _slope(self, t: float, y: FloatArray) -> FloatArray:
        t, out = min(t, self.latest), np.empty_like(y)
        self.rhs(t, y, self.p, out)
        self.n_rhs += 1
        if not math.isfinite(out.sum()):
            self.rhs(t, self._clipped(y), self.p, out)
        if self.has_input:
            out += self.input
        if self.frozen is not None:
            out[self.frozen] = 0.0
        return out

    def _clipped(self, y: FloatArray) -> FloatArray:
        """Return a state without amounts below zero.

        Rounding takes what is nearly gone to -1e-30, where a Hill function with a
        broken exponent is not a number although its model is sound.
        """
        return np.where(self.never_negative & (y < 0), 0.0, y)

    def _jac(self, t: float, y: FloatArray) -> Any:
        try:
            return self._matrix(t, y)
        except KeyboardInterrupt:
            self.stop.set()
            raise

    def _matrix(self, t: float, y: FloatArray) -> Any:
        t, data = min(t, self.latest), np.empty(len(self.kernels.j_row))
        self.jac(t, y, self.p, data)
        if not math.isfinite(data.sum()):
            self.jac(t, self._clipped(y), self.p, data)
        if self.frozen is not None:
            data[self.frozen[self.kernels.j_row]] = 0.0
        self.n_jac += 1
        n = len(y)
        if self.sparse:
            place = (self.kernels.j_row, self.kernels.j_col)
            return scipy.sparse.csc_matrix((data, place), shape=(n, n))
        dense = np.zeros(n * n)
        dense[self.flat] = data
        return dense.reshape(n, n)

    def _finite_start(self) -> bool:
        if not len(self.y):
            return True
        self.has_input = bool(self.input.any())
        return bool(
            np.isfinite(self.y).all() and np.isfinite(self._fun(self.t, self.y)).all()
        )

    def _cross(self, end: float) -> SolverStatus:
        """Integrate up to a stop, or to an event before it, and write outputs."""
        if end - self.t <= self._same(end):
            return self._hop(end)
        if not len(self.y):
            return self._cross_without_states(end)
        self.sparse = (
            len(self.y) >= _SPARSE_FROM
            and self.solver_class is not scipy.integrate.LSODA
        )
        solver = self.solver_class(
            self._fun,
            self.t,
            self.y,
            end,
            rtol=self.tolerances.rtol,
            atol=self.tolerances.atol,
            jac=self._jac,
            max_step=self._longest_step(),
            first_step=self._first_step(end),
        )
        self.pace *= _AFTER_EVENT
        n_steps, start = 0, self.t
        while solver.status == "running":
            try:
                solver.step()
            except (ValueError, RuntimeError, np.linalg.LinAlgError):
                # Raised by the linear algebra for non-finite or singular matrices.
                return self._broken()
            status, crossed = self._after_step(solver)
            n_steps += 1
            if crossed or status != SolverStatus.OK:
                return status
            if n_steps % _PATIENCE == 0:
                if self.t - start < _CRAWL * (end - start):
                    return status
                start = self.t
        self.y, self.t = solver.y.copy(), end
        return SolverStatus.OK

    def _longest_step(self) -> float:
        """Return a step so short that no event hides between the places looked at."""
        if self.events is None or not self.events.watches:
            return math.inf
        return float(self.times[-1] - self.times[0]) / _STEPS_WITH_EVENTS

    def _first_step(self, end: float) -> float | None:
        """Return a try for the first step after an event, None to leave it open.

        Most events change little, and a model may have a hundred thousand: the steps
        before one tell more than the slope after it. The error test has the last word.
        """
        step = min(_AFTER_EVENT * self.pace, end - self.t)
        return step if step > self._same(end) else None

    def _hop(self, end: float) -> SolverStatus:
        """Cross a gap that is rounding alone, too short for any integrator."""
        self.n_steps += 1
        if len(self.y):
            self.y = self.y + (end - self.t) * self._fun(self.t, self.y)
        self.t = end
        return self._verdict()

    def _cross_without_states(self, end: float) -> SolverStatus:
        """Write the outputs of a model in which nothing but the time goes on."""
        crossing, status = None, SolverStatus.OK
        while self.t < end and crossing is None and status == SolverStatus.OK:
            to = min(end, self.t + self._longest_step())
            if self.events is not None:
                self.n_steps += 1
                crossing = self.events.first_crossing(
                    self.t, to, self._longest_step(), _stateless, self.p
                )
                to = to if crossing is None else crossing
            upto = to - self._same(to)
            while (t := float(self.times[self.next_output])) < upto:
                self._write(self.next_output, t, self.y)
                self.next_output += 1
            self.t, status = to, self._verdict()
        return status

    def _broken(self) -> SolverStatus:
        data = np.empty(len(self.kernels.j_row))
        self.jac(self.t, self.y, self.p, data)
        finite = np.isfinite(data).all()
        return SolverStatus.STEP_TOO_SMALL if finite else SolverStatus.NON_FINITE

    def _after_step(self, solver: Any) -> tuple[SolverStatus, bool]:
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
            finite = np.isfinite(solver.y).all() and self._finite_at(solver)
            failed = SolverStatus.STEP_TOO_SMALL if finite else SolverStatus.NON_FINITE
            return failed, False
        if not np.isfinite(solver.y).all():
            return SolverStatus.NON_FINITE, False
        crossed = self._take(solver)
        np.maximum(self.peak, np.abs(self.y), out=self.peak)
        return self._verdict(), crossed

    def _take(self, solver: Any) -> bool:
        """Move to the end of a step or to the first event in it; say whether to that.

        Outputs at a stop wait for what happens there.
        """
        t, y, crossing = solver.t, solver.y.copy(), None
        if self.events is not None and self.events.watches and t > self.t:
            states = self._interpolant(solver)
            crossing = self.events.first_crossing(
                self.t, t, self._longest_step(), states, self.p
            )
            if crossing is not None:
                t, y = crossing, states(np.array([crossing]))[0].copy()
        self.pace = max(self.pace, t - self.t) if self.events is not None else 0.0
        at_stop = crossing is not None or solver.status != "running"
        self._record(solver, t - self._same(t) if at_stop else t)
        self.t, self.y = t, y
        return crossing is not None

    def _interpolant(self, solver: Any) -> States:
        """Return the state within a step; it starts exactly where the last one ended.

        Dense output meets the step's own start only within its error, which could make
        a root function just left behind come back.
        """
        dense, start, end = solver.dense_output(), self.t, solver.t
        first, gap = self.y, self.y - dense(start)

        def states(times: FloatArray) -> FloatArray:
            share = (end - times) / (end - start)
            rows = np.asarray(dense(times).T + share[:, np.newaxis] * gap)
            rows[times == start] = first  # to the last bit
            return rows

        return states

    def _verdict(self) -> SolverStatus:
        """Return whether a run may go on from where it has come to."""
        if self._negative():
            return SolverStatus.NEGATIVE
        if self.events is not None and self.events.culprit >= 0:
            return SolverStatus.EVENT_UNDEFINED
        if self.n_steps >= self.tolerances.max_steps and self.t < self.times[-1]:
            return SolverStatus.MAX_STEPS
        if self.stop.is_set():
            return SolverStatus.INTERRUPTED
        if self.n_steps % _LOOK_EVERY == 0 and time.monotonic() > self.deadline:
            return SolverStatus.TIMEOUT
        return SolverStatus.OK

    def _finite_at(self, solver: Any) -> bool:
        """Say whether the slope is finite where a solver gave up."""
        return bool(np.isfinite(self._fun(solver.t, solver.y)).all())

    def _negative(self) -> bool:
        """Say whether an amount is negative by more than numerical error explains."""
        share, floor = negative_slack(self.tolerances.rtol, self.tolerances.atol)
        return bool(np.any((self.y < -(share * self.peak + floor)) & self.amounts))

    def _record(self, solver: Any, end: float) -> None:
        """Write the outputs before `end` within the step just made."""
        stop = int(np.searchsorted(self.times, end, side="left"))
        if stop <= self.next_output:
            return
        inside = slice(self.next_output, stop)
        states = solver.dense_output()(self.times[inside])
        for k, t in enumerate(self.times[inside]):
            self._write(
                self.next_output + k, float(t), np.ascontiguousarray(states[:, k])
            )
        self.next_output = stop

    def _record_now(self) -> None:
        """Write the output at the current time, where one is wanted."""
        due = self.next_output
        if due < len(self.times) and (self.times[due] <= self.t + self._same(self.t)):
            self._write(due, float(self.times[due]), self.y)
            self.next_output = due + 1

    def _write(self, row: int, t: float, y: FloatArray) -> None:
        values = select(self.kernels, self.selection, t, y, self.p)
        if not math.isfinite(values.sum()):
            values = select(self.kernels, self.selection, t, self._clipped(y), self.p)
        self.out[row] = values


def _stateless(times: FloatArray) -> FloatArray:
    """Return the states of a model that has none."""
    return np.empty((len(times), 0))


def select(
    kernels: Kernels, selection: Selection, t: float, y: FloatArray, p: FloatArray
) -> FloatArray:
    """Return the selected quantities at one time.

    Returns
    -------
    float array, shape (n_select,)
    """
    pools = {Source.STATE: y, Source.PARAM: p}
    if selection.uses(Source.ASSIGNED):
        pools[Source.ASSIGNED] = np.empty(kernels.n_assigned)
        kernels.assigned(t, y, p, pools[Source.ASSIGNED])
    if selection.uses(Source.RATE):
        pools[Source.RATE] = np.empty(kernels.n_rate)
        kernels.rates(t, y, p, pools[Source.RATE])
    out = np.empty(len(selection.source))
    below = np.ones(len(out))
    for kind, pool in pools.items():
        above = selection.source == kind
        out[above] = pool[selection.index[above]]
        divides = (selection.divisor_source == kind) & (selection.divisor >= 0)
        below[divides] = pool[selection.divisor[divides]]
    return out * selection.scale / below
