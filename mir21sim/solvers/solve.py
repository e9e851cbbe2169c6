"""Which method integrates a set of runs, and the second try of failures.

One interface over the two engines: SciPy's integrators, and the batch solver with its
vector kernels. Both take the same ``Problem`` and return the same ``Solution``.
"""

from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import SolverStatus
from mir21sim.solvers.batch.tableaus import TABLEAUX
from mir21sim.solvers.problem import (
    METHOD_NAMES,
    PER_RUN,
    Problem,
    Progress,
    Schedule,
    Solution,
    Source,
    Tolerances,
)
from mir21sim.solvers.settings import RETRIED, Settings
from mir21sim.solvers.single import integrate as scipy_ivp

BATCH_METHODS = tuple(TABLEAUX)
METHODS = (*BATCH_METHODS, *scipy_ivp.METHODS)
SINGLE, MANY = "LSODA", "Rodas5P"
"""Default methods of one run and of many."""


@dataclass(frozen=True, slots=True, eq=False)
class Workers:
    """Thread count, optional executor (for ``chunks``) and progress callback."""

    n_jobs: int = 1
    executor: Executor | None = None
    progress: Progress | None = None


def usable_method(model: CompiledModel, method: str) -> str:
    """Return the method, or LSODA where the batch solver cannot run this model.

    It needs the Numba backend, a state, and vector code for every function. Events,
    and rates with conditions on time, need SciPy's steps, which end where they must.
    """
    if method not in BATCH_METHODS:
        return method
    kernels = model.kernels
    if kernels.backend != "numba" or kernels.events or not model.state_names:
        return SINGLE
    return method if model.lane_kernels is not None else SINGLE


def solve(
    model: CompiledModel,
    problem: Problem,
    settings: Settings,
    workers: Workers | None = None,
) -> tuple[Solution, bool]:
    """Integrate every run as the settings say.

    A run that fails with one of the statuses ``settings.retried`` is tried once more by
    Radau; the good runs are not touched by it.

    Returns
    -------
    solution : Solution
    interrupted : bool
    """
    return integrate(
        model,
        problem,
        Tolerances(settings.rtol, settings.atol, settings.max_steps, settings.timeout),
        method=settings.method,
        workers=workers or Workers(),
        allow_negative=settings.allow_negative,
        retried=settings.retried,
    )


def integrate(
    model: CompiledModel,
    problem: Problem,
    tolerances: Tolerances,
    *,
    method: str,
    workers: Workers,
    allow_negative: bool = False,
    retried: frozenset[SolverStatus] = RETRIED,
) -> tuple[Solution, bool]:
    """Integrate every run by a method that ``usable_method`` returned.

    A run that fails with one of the statuses `retried` is tried once more by Radau; the
    good runs are not touched by it.

    Returns
    -------
    results : Solution
    interrupted : bool
    """
    if method not in BATCH_METHODS:
        return scipy_ivp.integrate_runs(
            model.kernels,
            problem,
            tolerances,
            method=method,
            n_jobs=workers.n_jobs,
            progress=workers.progress,
            allow_negative=allow_negative,
            retried=retried,
        )
    results, interrupted = _batch(
        model, problem, tolerances, method, workers, allow_negative=allow_negative
    )
    again = np.flatnonzero(np.isin(results.status, [int(s) for s in retried]))
    if again.size and not interrupted:
        second, interrupted = scipy_ivp.integrate_runs(
            model.kernels,
            subset(problem, again),
            tolerances,
            method=scipy_ivp.RETRY,
            allow_negative=allow_negative,
        )
        _merge(results, second, again)
    return results, interrupted


def _batch(
    model: CompiledModel,
    problem: Problem,
    tolerances: Tolerances,
    method: str,
    workers: Workers,
    *,
    allow_negative: bool,
) -> tuple[Solution, bool]:
    """Integrate by the batch solver, keeping only what the selection needs."""
    from mir21sim.solvers.batch import integrate as batch
    from mir21sim.solvers.batch import outputs as observe  # Numba takes half a second

    kernels = model.lane_kernels
    assert kernels is not None, model.lane_refusal
    need = needed_states(model, problem)
    n_select = len(problem.selection.source)
    # One quantity after the other, so that labelling them copies nothing.
    values = np.full((n_select, len(problem), len(problem.times)), np.nan)
    if allow_negative:
        problem = replace(problem, amounts=np.zeros_like(problem.amounts))

    def keep(first: int, last: int, states: FloatArray, _: Solution) -> None:
        observe.observe(
            kernels,
            problem.selection,
            need,
            times=problem.times,
            states=states,
            p=problem.p[first:last],
            first_run=first,
            out=values,
        )

    results, interrupted = batch.integrate_runs(
        kernels,
        problem,
        tolerances,
        tableau=TABLEAUX[method],
        need=need,
        keep=keep,
        n_jobs=workers.n_jobs,
        progress=workers.progress,
    )
    results.method[results.status != SolverStatus.NOT_RUN] = METHOD_NAMES.index(method)
    return replace(results, values=values.transpose(1, 2, 0)), interrupted


def needed_states(model: CompiledModel, problem: Problem) -> IntArray:
    """Return the states that the selected quantities depend on, one at least."""
    names = {
        Source.STATE: model.state_names,
        Source.ASSIGNED: model.assigned_names,
        Source.RATE: model.rate_names,
        Source.PARAM: model.param_names,
    }
    chosen = problem.selection
    rows = [
        *zip(chosen.source, chosen.index, strict=True),
        *zip(chosen.divisor_source, chosen.divisor, strict=True),
    ]
    wanted = [names[Source(kind)][index] for kind, index in rows if index >= 0]
    found = model.needed_states(wanted)
    return found.copy() if len(found) else np.zeros(1, dtype=np.int64)


def subset(problem: Problem, which: IntArray) -> Problem:
    """Return some of the runs, in the order given."""
    schedule = problem.schedule
    return replace(
        problem,
        y0=problem.y0[which],
        p=problem.p[which],
        schedule=Schedule(
            schedule.time, schedule.state, schedule.kind, schedule.value[which]
        ),
    )


def _merge(results: Solution, second: Solution, which: IntArray) -> None:
    """Put the results of a second try in their places."""
    for name in PER_RUN:
        getattr(results, name)[which] = getattr(second, name)
