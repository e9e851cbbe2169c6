"""Many runs by the Rosenbrock driver: in chunks, by threads, each in its time.

``driver`` integrates a chunk in compiled code; here chunks are shared out, runs that
take too long are marked, and finished chunks are handed on.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

# Imported here, since the first call of `drive` would do it in a thread: the types that
# it registers must not appear while another thread looks one up.
import numba.experimental.function_type  # noqa: F401
import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.build_lane_kernels import LaneKernels
from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.errors import SolverStatus
from mir21sim.solvers.batch.driver import drive
from mir21sim.solvers.batch.records import (
    Doses,
    Ends,
    Limits,
    Outputs,
    Scheme,
    Sizes,
    Starts,
    Trail,
    new_lanes,
    new_state,
    new_step,
)
from mir21sim.solvers.batch.tableau import Tableau, chained_stages
from mir21sim.solvers.interrupt import Stop
from mir21sim.solvers.problem import (
    Action,
    Problem,
    Progress,
    Solution,
    negative_slack,
)
from mir21sim.solvers.settings import Settings

CHUNK = 128
"""Runs that a thread takes at a time: enough to keep eight lanes busy, few enough to
stop soon when asked to."""

TOLERANCE_SHARE = 0.05
"""The local error is held to this share of the tolerance, so that the error at the end
is no more than three times that of SciPy's Radau at the same tolerances, also on
problems that amplify errors. Time at an achieved error does not change by it."""

Done: TypeAlias = "Future[int]"
"""A chunk that a thread works on; its number of runs when it is done."""


TRAIL = 512
"""Accepted steps of a run that a trail has room for at first."""


@dataclass(frozen=True, slots=True, eq=False)
class Recorder:
    """Asks for the accepted steps of every run.

    Attributes
    ----------
    use : called in the working thread with (first, last, trail) after a chunk
    size : runs in a chunk at most
    states : keep the state at the start of each step as well
    nodes : keep the needed states at the nodes of each step as well
    most : steps for which the trail has room at most; None for any number
    """

    use: Callable[[int, int, Trail], None]
    size: int
    states: bool = False
    nodes: bool = False
    most: int | None = None


class _Watch:
    """Runs that are under way, since when, and which of them are to stop.

    The clock is read here, in the thread that waits: the compiled driver only looks at
    a mark, so that no number depends on it but those of a run that is stopped.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._chunks: set[_Chunk] = set()
        self._lock = threading.Lock()

    @property
    def every_s(self) -> float:
        """Time between two looks, s."""
        return min(max(self.limit_s / 20.0, 1e-3), 0.5)

    @contextmanager
    def over(self, n_run: int) -> Iterator["_Chunk"]:
        """Look after a chunk while it is integrated."""
        chunk = _Chunk(n_run)
        with self._lock:
            self._chunks.add(chunk)
        try:
            yield chunk
        finally:
            with self._lock:
                self._chunks.discard(chunk)

    def wait(self, waiting: set[Done]) -> tuple[set[Done], set[Done]]:
        """Wait for a chunk or for the time to look; return done ones and others."""
        finished, waiting = wait(waiting, self.every_s, FIRST_COMPLETED)
        self.look()
        return finished, waiting

    def look(self) -> None:
        """Note the runs that have begun, and mark those that take too long."""
        now = time.monotonic()
        with self._lock:
            for chunk in self._chunks:
                new = chunk.begun & np.isnan(chunk.since)
                chunk.since[new] = now
                # The time is NaN before a run begins, and NaN is above no limit.
                chunk.halt[now - chunk.since > self.limit_s] = True

    def end(self) -> None:
        """Mark all runs that are under way: nobody wants them any more."""
        with self._lock:
            for chunk in self._chunks:
                chunk.halt[:] = True


class _Chunk:
    """Marks of the runs of one chunk; a run is as old as the first look that saw it."""

    def __init__(self, n_run: int) -> None:
        self.begun, self.halt = np.zeros(n_run, np.bool_), np.zeros(n_run, np.bool_)
        self.since = np.full(n_run, np.nan)


def integrate_runs(
    kernels: LaneKernels,
    problem: Problem,
    settings: Settings,
    *,
    tableau: Tableau,
    need: IntArray,
    keep: Callable[[int, int, FloatArray, Solution], None],
    n_jobs: int = 1,
    progress: Progress | None = None,
    recorder: Recorder | None = None,
) -> tuple[Solution, bool]:
    """Integrate every run in chunks, which threads share.

    A run that takes longer than ``settings.timeout`` ends with TIMEOUT, late by no
    more than a tenth of that time or a second. After Ctrl-C, or where the flag of
    ``stopped_by`` is set, the runs under way end and are NOT_RUN, as those not begun.

    Parameters
    ----------
    need : int array, shape (n_need,): the states to keep at the output times
    keep : called in the working thread with (first, last, states, results) when a chunk
        is done; states has shape (last − first, n_time, n_need)
    recorder : gets the accepted steps of every chunk

    Returns
    -------
    results : Solution without ``values``, which are the caller's; a chunk that
        was not reached is NOT_RUN
    interrupted : bool
    """
    results = Solution.empty(problem, selected=False)
    stop, watch = Stop(), _Watch(settings.timeout)
    n_run = len(problem)
    # Small sweeps are shared out as well, in whole groups of lanes.
    share = -(-n_run // (n_jobs * LANES)) * LANES
    size = max(LANES, min(CHUNK if recorder is None else recorder.size, share))
    starts = range(0, n_run, size)

    def work(start: int) -> int:
        if stop.is_set():
            return 0
        end = min(n_run, start + size)
        states = np.full((end - start, len(problem.times), len(need)), np.nan)
        bounds = (start, end)
        with watch.over(end - start) as chunk:
            task = (kernels, problem, settings, tableau, need, bounds)
            trail = _drive_recorded(task, states, results, chunk, recorder)
        if stop.is_set():
            _forget_halted(results, states, start)
        keep(start, end, states, results)
        if recorder is not None:
            recorder.use(start, end, trail)
        return end - start

    done, waiting = 0, set[Done]()
    pool = ThreadPoolExecutor(n_jobs)
    try:
        try:
            waiting = {pool.submit(work, start) for start in starts}
            while waiting and not stop.is_set():
                finished, waiting = watch.wait(waiting)
                done += sum(future.result() for future in finished)
                if progress and finished:
                    progress(done, n_run)
        except KeyboardInterrupt:
            stop.set()
        while waiting:
            watch.end()
            _, waiting = watch.wait(waiting)
    finally:
        pool.shutdown(cancel_futures=True)
    return results, stop.is_set()


def _forget_halted(results: Solution, states: FloatArray, start: int) -> None:
    """Take back the runs of an unwanted chunk that did not reach their end."""
    end = start + len(states)
    halted = np.flatnonzero(results.status[start:end] == SolverStatus.TIMEOUT)
    states[halted] = np.nan
    results.status[start + halted] = SolverStatus.NOT_RUN
    results.t_end[start + halted] = np.nan
    results.y_end[start + halted] = np.nan


def _drive_recorded(
    task: tuple[LaneKernels, Problem, Settings, Tableau, IntArray, tuple[int, int]],
    states: FloatArray,
    results: Solution,
    chunk: _Chunk,
    recorder: Recorder | None,
) -> Trail:
    """Run the driver over one chunk; again where the trail was too short."""
    n_run = len(states)
    if recorder is None:
        trail = Trail.empty(n_run, 0)
        _drive(*task, states, results, chunk, trail)
        return trail
    n_state = task[1].y0.shape[1] if recorder.states else 0
    n_need = states.shape[2] if recorder.nodes else 0
    n_kept = TRAIL
    while True:
        trail = Trail.empty(n_run, n_kept, n_state, n_need)
        _drive(*task, states, results, chunk, trail)
        # The steps of a failed run are of no use, and it may have made any number.
        failed = results.status[slice(*task[5])] != SolverStatus.OK
        trail.n[failed] = np.minimum(trail.n[failed], n_kept)
        needed = int(trail.n.max(initial=0))
        if recorder.most is not None:
            needed = min(needed, recorder.most)
        if needed <= n_kept:
            return trail
        n_kept = needed
        chunk.begun[:], chunk.since[:] = False, np.nan  # the time begins anew


def _drive(
    kernels: LaneKernels,
    problem: Problem,
    settings: Settings,
    tableau: Tableau,
    need: IntArray,
    bounds: tuple[int, int],
    states: FloatArray,
    results: Solution,
    chunk: _Chunk,
    trail: Trail,
) -> None:
    """Run the compiled driver over one chunk."""
    block, schedule = slice(*bounds), problem.schedule
    held = (
        np.zeros(0, np.int64)
        if problem.frozen is None
        else np.flatnonzero(problem.frozen)
    )
    sizes = Sizes(kernels.n_rate, kernels.n_a, kernels.n_w, kernels.has_time)
    n_state, n_param = problem.y0.shape[1], problem.p.shape[1]
    drive(
        kernels.rates,
        kernels.matrix,
        kernels.solve,
        kernels.time,
        _scheme(tableau),
        sizes,
        Starts(
            np.array(problem.y0[block], order="C"),
            np.array(problem.p[block], order="C"),
            held,
        ),
        Doses(
            schedule.time,
            schedule.state,
            schedule.kind,
            np.ascontiguousarray(schedule.value[block]),
            bool((schedule.kind == Action.RATE).any()),
        ),
        Outputs(problem.times, need, states),
        _limits(problem, settings),
        Ends(
            results.status[block],
            results.t_end[block],
            results.y_end[block],
            results.n_steps[block],
            results.n_rejected[block],
            chunk.begun,
            chunk.halt,
        ),
        trail,
        new_state(n_state, n_param, len(schedule.time)),
        new_step(len(tableau.alpha), n_state, len(need), sizes),
        new_lanes(),
    )


@cache
def _scheme(tableau: Tableau) -> Scheme:
    """Return a tableau as arrays that compiled code takes."""
    return Scheme(
        np.array(tableau.A),
        np.array(tableau.C),
        np.array(tableau.alpha),
        np.array(tableau.D),
        np.array(tableau.H).ravel(),
        tableau.gamma,
        tableau.order,
        chained_stages(tableau),
    )


def _limits(problem: Problem, settings: Settings) -> Limits:
    """Return the tolerances to which the local error is held, and the other limits."""
    share, slack = negative_slack(settings.rtol, settings.atol)
    # Not below the rounding error of an error estimate.
    rtol = max(TOLERANCE_SHARE * settings.rtol, min(settings.rtol, 2e-13))
    return Limits(
        np.array([rtol, share]),
        settings.atol * TOLERANCE_SHARE,
        np.where(problem.amounts, slack, np.inf),
        settings.max_steps,
    )
