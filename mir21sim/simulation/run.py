"""One plan through resting state, solver and labels.

Simulate, sweep and rerun share it.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, SolverStatus
from mir21sim.simulation import dataset as results
from mir21sim.simulation import perturbations as perturbing
from mir21sim.simulation.checkpoint import PartialResults, folder_for
from mir21sim.simulation.chunks import integrate_in_parts, part_size
from mir21sim.simulation.failures import describe
from mir21sim.simulation.options import Options, choose_method
from mir21sim.simulation.plan import Plan, check_tolerances
from mir21sim.simulation.provenance import _attributes, _provenance
from mir21sim.simulation.steady_state import resting_states
from mir21sim.simulation.translate import Arranged, arrange
from mir21sim.solvers.methods import is_batch
from mir21sim.solvers.settings import Settings, Workers


@dataclass(frozen=True, slots=True, eq=False)
class Executed:
    """A Dataset with the statuses of its runs and whether it was cut short."""

    dataset: xr.Dataset
    status: IntArray
    t_end: FloatArray
    messages: tuple[str, ...]
    interrupted: bool
    resting: FloatArray | None
    store: PartialResults | None = None


def execute(
    model: CompiledModel,
    plan: Plan,
    options: Options,
    kind: str,
    *,
    output: Path | None = None,
    resume: bool = False,
) -> Executed:
    """Run a plan: check, arrange, integrate, interpret, label.

    With `output`, the numbers lie on disk beside it while the runs go on; with
    `resume`, runs that are there already are not done again. The folder is left for
    the caller to delete (``Executed.store``) when the result is saved.
    """
    method = choose_method(model, options.method, kind)
    rtol = options.relative_tolerance
    atol = check_tolerances(model, rtol, options.atol)
    if options.max_steps < 1 or not options.timeout > 0:
        raise InputError(
            "`max_steps` must be 1 or more and `timeout` above 0 s, got "
            f"{options.max_steps} and {options.timeout}."
        )
    equilibrate = rests(model, options)
    arranged, unrested = prepare(model, plan, options, method)
    record = _provenance(
        model,
        plan,
        arranged,
        options,
        method=method,
        equilibrate=equilibrate,
        kind=kind,
    )
    workers = _workers(options, method, len(arranged.problem))
    store = None
    if output is not None:
        store = PartialResults(
            folder_for(output),
            record,
            arranged.problem,
            part_size=part_size(method, workers.n_jobs),
            resume=resume,
        )
    found, interrupted = integrate_in_parts(
        model,
        arranged.problem,
        Settings(
            method,
            rtol,
            atol,
            options.max_steps,
            options.timeout,
            equilibrate,
            options.allow_negative,
        ),
        workers=workers,
        store=store,
    )
    found.status[unrested] = SolverStatus.NO_RESTING_STATE
    messages = tuple(
        describe(model, arranged, found, run, atol)
        for run in range(len(arranged.problem))
    )
    labelled = results.dataset(
        [(a.name, a.values, a.unit, a.label) for a in arranged.axes],
        arranged.times_h,
        [(o.name, o.unit, o.label) for o in arranged.outputs],
        found,
        messages=messages,
        attributes=_attributes(model, options, method, record),
        time_unit=model.border.time_unit,
    )
    return Executed(
        dataset=labelled,
        status=found.status,
        t_end=found.t_end,
        messages=messages,
        interrupted=interrupted,
        resting=arranged.problem.y0 if equilibrate else None,
        store=store,
    )


def _workers(options: Options, method: str, n_run: int) -> Workers:
    """Return who does the work: a thread per core where that pays."""
    n_jobs = options.n_jobs
    if n_jobs is None:
        n_jobs = os.cpu_count() or 1 if is_batch(method) else 1
    if n_jobs < 1:
        raise InputError(f"`n_jobs` must be 1 or more, got {n_jobs}.")
    return Workers(min(n_jobs, max(1, n_run)), options.executor, options.progress)


def rests(model: CompiledModel, options: Options) -> bool:
    """Say whether runs start from the resting state: as asked, or as the model says."""
    wanted = options.equilibrate
    return model.info.equilibrate if wanted is None else wanted


def prepare(
    model: CompiledModel, plan: Plan, options: Options, method: str
) -> tuple[Arranged, IntArray]:
    """Return the runs of a plan from where they start, and which have no resting state.

    A clamp counts from the resting state without it; the cell then rests under it.
    """
    arranged, equilibrate = arrange(model, plan), rests(model, options)
    problem = arranged.problem
    n_jobs = _workers(options, method, len(problem)).n_jobs
    y0, status = problem.y0, np.full(len(problem), SolverStatus.OK, dtype=np.int64)
    if equilibrate:
        y0, status = resting_states(model, y0, problem.p, method, n_jobs=n_jobs)
    if problem.frozen is not None:
        y0 = perturbing.clamped(model, plan.treatment.perturbations, y0, problem.p)
        if equilibrate:
            rested, status = np.flatnonzero(status == SolverStatus.OK), np.array(status)
            y0[rested], status[rested] = resting_states(
                model,
                y0[rested],
                problem.p[rested],
                method,
                problem.frozen,
                n_jobs=n_jobs,
            )
    moved = replace(arranged, problem=replace(problem, y0=y0))
    return moved, np.flatnonzero(status != SolverStatus.OK)
