"""A Rosenbrock tableau as a method: which models it supports, and how it runs them."""

from dataclasses import replace
from functools import partial

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import SolverStatus
from mir21sim.solvers.batch import timed_events
from mir21sim.solvers.batch.tableau import Tableau
from mir21sim.solvers.method import BATCH, Method
from mir21sim.solvers.problem import Problem, Solution, Source
from mir21sim.solvers.settings import Settings, Workers


def rosenbrock_method(tableau: Tableau) -> Method:
    """Return the method of a tableau, for ``methods.METHODS``."""
    return Method(
        name=tableau.name,
        kisao="KISAO:0000033",  # Rosenbrock method
        family=BATCH,
        supports=supports,
        integrate=partial(integrate, tableau),
    )


def supports(model: CompiledModel) -> str | None:
    """Return why the batch solver cannot run a model, None where it can.

    It needs the Numba backend, a state, and vector code for every function. Events and
    conditions must depend on time and parameters alone, so that their moments are
    breakpoints; others need the steps of SciPy, which look for them.
    """
    if model.kernels.backend != "numba":
        return f"the backend {model.kernels.backend} has no vector kernels"
    if model.solver_fills:
        return model.solver_fills
    if timed_events.watched(model):
        return "the model has events or conditions that depend on its state"
    if not model.state_names:
        return "the model has no state"
    return None if model.lane_kernels is not None else model.lane_refusal


def integrate(
    tableau: Tableau,
    model: CompiledModel,
    problem: Problem,
    settings: Settings,
    workers: Workers,
) -> tuple[Solution, bool]:
    """Integrate all runs; keep the states that the selection needs, then select."""
    from mir21sim.solvers.batch import integrate as batch  # Numba takes half a second
    from mir21sim.solvers.batch import outputs

    if settings.allow_negative:
        problem = replace(problem, amounts=np.zeros_like(problem.amounts))
    if model.kernels.events is not None:
        return timed_events.integrate_timed(tableau, model, problem, settings, workers)
    kernels = model.lane_kernels
    assert kernels is not None, model.lane_refusal
    need = needed_states(model, problem)
    shape = len(problem.selection.source), len(problem), len(problem.times)
    values = np.full(shape, np.nan)
    observer = outputs.Observer.of(kernels, problem.selection, need)
    features = recorder = None
    if problem.features is not None:
        from mir21sim.solvers.batch import step_features

        features = step_features.StepFeatures(observer, problem, settings.rtol)
        recorder = batch.Recorder(
            features.use,
            step_features.RUNS,
            nodes=True,
            most=features.most,
        )

    def keep(first: int, last: int, states: FloatArray, found: Solution) -> None:
        p = problem.p[first:last]
        observer.fill(problem.times, states, p, first, values)
        if features is not None:
            features.ok[first:last] = found.status[first:last] == SolverStatus.OK

    solution, interrupted = batch.integrate_runs(
        kernels,
        problem,
        settings,
        tableau=tableau,
        need=need,
        keep=keep,
        n_jobs=workers.n_jobs,
        progress=workers.progress,
        recorder=recorder,
    )
    if features is not None:
        solution = replace(solution, features=features.found)
    # A view: one quantity after the other in memory, so that labelling copies nothing.
    return replace(solution, values=values.transpose(1, 2, 0)), interrupted


def needed_states(model: CompiledModel, problem: Problem) -> IntArray:
    """Return the states that the selected quantities depend on, one at least."""
    names = {
        int(Source.STATE): model.state_names,
        int(Source.ASSIGNED): model.assigned_names,
        int(Source.RATE): model.rate_names,
        int(Source.PARAM): model.param_names,
    }
    chosen = problem.selection
    rows = [
        *zip(chosen.source.tolist(), chosen.index.tolist(), strict=True),
        *zip(chosen.divisor_source.tolist(), chosen.divisor.tolist(), strict=True),
    ]
    wanted = [names[kind][index] for kind, index in rows if index >= 0]
    found = model.needed_states(wanted)
    return found.copy() if len(found) else np.zeros(1, dtype=np.int64)
