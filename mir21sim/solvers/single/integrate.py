"""SciPy's stiff integrators over many runs.

The reference path: LSODA, BDF and Radau of ``scipy.integrate``, in threads or one after
another, with a second try for failures. ``one_run`` says how a run is done.
"""

import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.integrate

from mir21sim.compiler.kernels import Kernels
from mir21sim.errors import SolverStatus
from mir21sim.solvers.blas_threads import one_blas_thread
from mir21sim.solvers.interrupt import ctrl_c_sets
from mir21sim.solvers.problem import (
    METHOD_NAMES,
    Problem,
    Progress,
    Solution,
    Tolerances,
)
from mir21sim.solvers.settings import RETRIED
from mir21sim.solvers.single.run import OneRun

METHODS = ("LSODA", "BDF", "Radau")
RETRY = "Radau"
"""A run that fails in another method is tried once more by this one."""


def integrate_runs(
    kernels: Kernels,
    problem: Problem,
    tolerances: Tolerances,
    *,
    method: str = "LSODA",
    n_jobs: int = 1,
    progress: Progress | None = None,
    allow_negative: bool = False,
    retried: frozenset[SolverStatus] = RETRIED,
) -> tuple[Solution, bool]:
    """Integrate every run; one that fails is tried again by Radau, then given up.

    Failures with a status that is not in `retried` are given up at once.

    Results do not depend on `n_jobs`. Ctrl-C stops the runs under way and keeps the
    finished ones.

    Returns
    -------
    results : Solution
    interrupted : bool
    """
    results = Solution.empty(problem)
    stop = threading.Event()

    def work(run: int) -> None:
        _run_with_retry(
            kernels,
            problem,
            run,
            tolerances,
            method,
            allow_negative=allow_negative,
            retried=retried,
            stop=stop,
            results=results,
        )

    interrupted = False
    with _quiet(), one_blas_thread(), ctrl_c_sets(stop):
        if n_jobs == 1:
            try:
                for run in range(len(problem)):
                    work(run)
                    if stop.is_set():
                        break
                    if progress:
                        progress(run + 1, len(problem))
            except KeyboardInterrupt:
                interrupted = True
        else:
            interrupted = _in_threads(work, len(problem), n_jobs, progress, stop)
        interrupted |= stop.is_set()
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
        warnings.filterwarnings("ignore", category=scipy.integrate.ODEintWarning)
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
    problem: Problem,
    run: int,
    tolerances: Tolerances,
    method: str,
    *,
    allow_negative: bool,
    retried: frozenset[SolverStatus],
    stop: threading.Event,
    results: Solution,
) -> None:
    """Integrate one run into its row of the results."""
    for attempt in (method, RETRY):
        if stop.is_set():
            return
        one = OneRun(kernels, problem, run, tolerances, attempt, allow_negative, stop)
        with np.errstate(all="ignore"):  # what is not finite is found and told
            status = one.integrate()
        retry = status in retried and attempt != RETRY
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
