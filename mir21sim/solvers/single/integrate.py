"""Many runs by SciPy's stiff integrators: in threads or one after another.

The reference path; ``run`` integrates one run.
"""

import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from typing import Any

import scipy.integrate

from mir21sim.compiler.kernels import Kernels
from mir21sim.errors import SolverStatus
from mir21sim.solvers.blas_threads import one_blas_thread
from mir21sim.solvers.interrupt import Stop, ctrl_c_sets
from mir21sim.solvers.problem import Problem, Progress, Solution
from mir21sim.solvers.settings import Settings, Workers
from mir21sim.solvers.single import scale
from mir21sim.solvers.single.run import SingleRun


def integrate_by_scipy(
    kernels: Kernels,
    problem: Problem,
    settings: Settings,
    solver: str,
    workers: Workers,
) -> tuple[Solution, bool]:
    """Integrate every run by a class of ``scipy.integrate``; see ``integrate_runs``."""

    def work(run: int, stop: threading.Event) -> scale.Ended:
        return scipy_run(kernels, problem, run, settings, solver, stop)

    return integrate_runs(problem, workers, work)


def scipy_run(
    kernels: Kernels,
    problem: Problem,
    run: int,
    settings: Settings,
    solver: str,
    stop: threading.Event,
) -> scale.Ended:
    """Integrate one run by a class of ``scipy.integrate``."""

    def make(chosen: Settings, _growth: float) -> SingleRun:
        return SingleRun(kernels, problem, run, chosen, solver, stop)

    return scale.integrate(make, problem, run, settings)


def integrate_runs(
    problem: Problem,
    workers: Workers,
    integrate: Callable[[int, threading.Event], scale.Ended],
    *,
    by_scipy: bool = True,
) -> tuple[Solution, bool]:
    """Integrate every run by a function of its number and a flag that stops it.

    Parameters
    ----------
    by_scipy : False where nothing of SciPy runs, whose warnings and threads take longer
        to hold back than a run of a small model. Nothing calls back into Python there
        either, so that Ctrl-C comes as an exception

    Returns
    -------
    solution : Solution
    interrupted : bool
    """
    solution, stop = Solution.empty(problem), Stop()

    def work(run: int) -> None:
        if stop.is_set():
            return
        ended = integrate(run, stop)
        if ended.status != SolverStatus.INTERRUPTED:
            write_run(ended.one, ended.status, solution, run)

    with _calm(stop) if by_scipy else nullcontext():
        if workers.n_jobs == 1:
            interrupted = _in_turn(work, len(problem), workers.progress, stop)
        else:
            interrupted = _in_threads(work, len(problem), workers, stop)
        interrupted |= stop.is_set()
    return solution, interrupted


@contextmanager
def _calm(stop: threading.Event) -> Iterator[None]:
    """Keep SciPy to one thread and its warnings off stderr; let Ctrl-C set `stop`."""
    with _quiet(), one_blas_thread(), ctrl_c_sets(stop):
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep SciPy's warnings off stderr: the status of a run replaces them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(?s)lsoda:.*", category=UserWarning)
        warnings.filterwarnings("ignore", category=scipy.integrate.ODEintWarning)
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="scipy.*")
        yield


def _in_turn(
    work: Any, n_run: int, progress: Progress | None, stop: threading.Event
) -> bool:
    """Run the work in this thread; return whether it was interrupted."""
    try:
        for run in range(n_run):
            work(run)
            if stop.is_set():
                break
            if progress:
                progress(run + 1, n_run)
    except KeyboardInterrupt:
        return True
    return False


def _in_threads(work: Any, n_run: int, workers: Workers, stop: threading.Event) -> bool:
    """Run the work in threads; return whether it was interrupted."""
    pool = ThreadPoolExecutor(workers.n_jobs)
    try:
        waiting = {pool.submit(work, run) for run in range(n_run)}
        done = 0
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
            done += len(finished)
            if workers.progress:
                workers.progress(done, n_run)
    except KeyboardInterrupt:
        stop.set()
        for future in waiting:
            future.cancel()
        wait(waiting)
        return True
    finally:
        pool.shutdown(cancel_futures=True)
    return False


def write_run(
    one: SingleRun, status: SolverStatus, solution: Solution, run: int
) -> None:
    """Write a run that has ended into its row of the solution, the status last."""
    solution.values[run] = one.out
    solution.t_end[run], solution.y_end[run] = one.t, one.y
    solution.n_steps[run] = one.n_steps
    solution.n_rhs[run], solution.n_jac[run] = one.n_rhs, one.n_jac
    solution.signed[run] = one.signed
    if one.events is not None:
        solution.n_events[run] = one.events.n_executed
        solution.culprit[run] = one.events.culprit
    solution.status[run] = status
