"""Problem → Solution: run the method of the settings, and retry failed runs."""

from dataclasses import replace

import numpy as np

from mir21sim._typing import IntArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import SolverStatus
from mir21sim.solvers.method import BATCH
from mir21sim.solvers.methods import NAMES, method_of, second_try
from mir21sim.solvers.panels import fill_features
from mir21sim.solvers.problem import PER_RUN, Problem, Solution, subset
from mir21sim.solvers.settings import Settings, Workers

_OK, _NOT_RUN = int(SolverStatus.OK), int(SolverStatus.NOT_RUN)
"""As plain numbers, which NumPy compares with at a tenth of the time."""


def solve(
    model: CompiledModel,
    problem: Problem,
    settings: Settings,
    workers: Workers | None = None,
) -> tuple[Solution, bool]:
    """Integrate every run by ``settings.method``, which must support the model.

    A run that fails with one of the statuses ``settings.retried`` is tried once more by
    Radau, a run of our own method by LSODA first; the other runs are not touched by it.

    Returns
    -------
    solution : Solution
    interrupted : bool
    """
    method, workers = method_of(settings.method), workers or Workers()
    solution, interrupted = method.integrate(model, problem, settings, workers)
    solution.method[solution.status != _NOT_RUN] = NAMES.index(method.name)
    again = _to_retry(solution, settings)
    other = second_try(method)
    if again.size and not interrupted and other is not None:
        second, interrupted = solve(
            model, subset(problem, again), replace(settings, method=other.name)
        )
        for name in PER_RUN:
            getattr(solution, name)[again] = getattr(second, name)
    if problem.features is not None and not interrupted:
        interrupted = _fill_features(model, problem, settings, solution)
    return solution, interrupted


def _fill_features(
    model: CompiledModel, problem: Problem, settings: Settings, solution: Solution
) -> bool:
    """Find the features of good runs that have none; return whether interrupted.

    A method whose steps are not kept leaves them open, as does a run of very many steps
    and one with a quantity that is not finite.
    """
    good = solution.status == SolverStatus.OK
    good &= np.isnan(solution.features).all(axis=(1, 2))
    finite = np.isfinite(solution.values).all(axis=1)
    good &= np.any(finite, axis=1)
    if not good.any():
        return False

    def ask(asked: Problem) -> tuple[Solution, bool]:
        return solve(model, asked, settings)

    return fill_features(problem, solution, good, ask)


def _to_retry(solution: Solution, settings: Settings) -> IntArray:
    """Return the failed runs that a second method may integrate.

    A guest's amount that became negative is among them where a batch method failed: a
    single run finds tolerances of its own and knows how far partners explain it.
    """
    if (solution.status == _OK).all():
        return np.empty(0, dtype=np.int64)
    statuses = {int(status) for status in settings.retried}
    if settings.adapts and method_of(settings.method).family == BATCH:
        statuses.add(int(SolverStatus.NEGATIVE))
    return np.flatnonzero(np.isin(solution.status, list(statuses)))
