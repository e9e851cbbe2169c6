"""Runs with exact derivatives: the entry point for fits and sensitivity analysis.

Tangents carry directions forward (``solve_tangents``), the adjoint takes one number of
the outputs back to everything that a run starts from (``record``, then ``adjoint``).
Both are derivatives of the steps that were taken and agree to rounding. Doses, events
and conditions on time are breakpoints, which may move (``timed_sensitivities``).
"""

from typing import TypeAlias

from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import CodegenError, InputError
from mir21sim.solvers.batch.rosenbrock import supports
from mir21sim.solvers.problem import Problem
from mir21sim.solvers.settings import Settings, Workers
from mir21sim.solvers.stretch_sensitivities import (
    TABLEAUX,
    RecordedRuns,
    model_kernels,
    record_stretch,
    stretch_tangents,
)
from mir21sim.solvers.stretch_sensitivities import Gradient as Gradient
from mir21sim.solvers.stretch_sensitivities import Moment as Moment
from mir21sim.solvers.stretch_sensitivities import Seeds as Seeds
from mir21sim.solvers.stretch_sensitivities import TangentSolution as TangentSolution
from mir21sim.solvers.timed_sensitivities import APART as APART
from mir21sim.solvers.timed_sensitivities import (
    TimedRuns,
    gradients_of,
    timed_record,
    timed_tangents,
)

Recorded: TypeAlias = RecordedRuns | TimedRuns
"""Runs whose steps are kept, ready to be differentiated by the adjoint."""


def refusal(model: CompiledModel, method: str) -> str | None:
    """Return why the runs of a model have no exact derivatives, None where they do."""
    if method not in TABLEAUX:
        known = ", ".join(TABLEAUX)
        return f"they need a method of the batch solver ({known}), not {method}"
    reason = supports(model)
    if reason is not None:
        return reason
    try:
        model_kernels(model)
        if model.kernels.events is not None:
            gradients_of(model)
    except CodegenError as error:
        return str(error).rstrip(".")
    return None


def _check(model: CompiledModel, settings: Settings) -> None:
    reason = refusal(model, settings.method)
    if reason is not None:
        raise InputError(f"{model.id} has no exact derivatives: {reason}.")


def solve_tangents(
    model: CompiledModel,
    problem: Problem,
    settings: Settings,
    seeds: Seeds,
    workers: Workers | None = None,
) -> TangentSolution:
    """Integrate every run and the tangents of its selected quantities.

    An output at the very time of a breakpoint shows the state behind it, and so do its
    tangents.

    Parameters
    ----------
    settings : the method must be one of the batch solver (Rodas5P, Rodas4)
    seeds : the directions, one a column

    Raises
    ------
    InputError
        For another method, whose steps have no tangents, and for a model with events
        that depend on its state or with a function that has no derivative.
    """
    _check(model, settings)
    way = stretch_tangents if model.kernels.events is None else timed_tangents
    return way(model, problem, settings, seeds, workers or Workers())


def record(
    model: CompiledModel,
    problem: Problem,
    settings: Settings,
    workers: Workers | None = None,
) -> Recorded:
    """Integrate every run and keep its steps, for gradients by the adjoint.

    A run takes 8 bytes a state and step: 400 kB for 168 states and 300 steps.

    Raises
    ------
    InputError
        As ``solve_tangents``.
    """
    _check(model, settings)
    if model.kernels.events is None:
        return record_stretch(model, problem, settings, workers)
    return timed_record(model, problem, settings, workers or Workers())
