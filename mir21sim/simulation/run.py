"""One plan through resting state, solver and labels.

Simulate, sweep and rerun share it.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, SolverStatus
from mir21sim.simulation import dataset as results
from mir21sim.simulation import perturbations as perturbing
from mir21sim.simulation.accuracy import fitted, warn_of_errors
from mir21sim.simulation.checkpoint import PartialResults, folder_for
from mir21sim.simulation.chunks import integrate_in_parts, part_size
from mir21sim.simulation.failures import describe, warn_of_signed
from mir21sim.simulation.memory import check_fits
from mir21sim.simulation.options import Options
from mir21sim.simulation.plan import Plan
from mir21sim.simulation.provenance import attributes, provenance
from mir21sim.simulation.steady_state import resting_states
from mir21sim.simulation.stored_features import request, wanted, with_features
from mir21sim.simulation.summary import summary
from mir21sim.simulation.translate import Translated, translate
from mir21sim.simulation.zarr_store import SUFFIX
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
    """Run a plan: resolve, translate, settle, integrate, describe failures, label.

    With `output`, finished parts are kept on disk beside it while the runs go on; with
    `resume`, parts that are there already are not run again. The caller deletes the
    folder (``Executed.store``) when the result is saved.
    """
    settings = options.resolved(model, many=kind == "sweep")
    translated = translate(model, plan)
    _check_steps(model, translated, settings)
    _check_result_fits(translated, output)
    workers = options.workers(settings, len(translated.problem))
    ready, unrested = settled(model, plan, translated, settings, workers)
    record = provenance(model, plan, ready, options, settings, kind=kind)
    settings = fitted(model, ready.problem, settings)
    finds = wanted(options.features, model, ready, settings)
    if finds:
        asked = replace(ready.problem, features=request(model, ready))
        ready = replace(ready, problem=asked)
    store = None
    if output is not None:
        store = PartialResults(
            folder_for(output),
            record,
            ready.problem,
            part_size=part_size(settings.method, workers.n_jobs),
            resume=resume,
            on_disk=_on_disk(output),
        )
    try:
        found, interrupted = integrate_in_parts(
            model, ready.problem, settings, workers=workers, store=store
        )
    except BaseException:
        if store is not None:
            store.close()
        raise
    if not interrupted:
        names = [output.name for output in ready.outputs]
        warn_of_errors(model, ready.problem, settings, found, names)
    warn_of_signed(model, found)
    found.status[unrested] = SolverStatus.NO_RESTING_STATE
    messages = tuple(
        describe(model, ready, found, run, settings.atol)
        for run in range(len(ready.problem))
    )
    labelled = results.dataset(
        [(a.name, a.values, a.unit, a.label) for a in ready.axes],
        ready.times_h,
        [(o.name, o.unit, o.label) for o in ready.outputs],
        found,
        messages=messages,
        attributes=attributes(
            model, settings, record, summary(model, plan, ready, settings)
        ),
        time_unit=model.border.time_unit,
    )
    if finds:
        labelled = with_features(labelled, model, ready, found.features)
    return Executed(
        dataset=labelled,
        status=found.status,
        t_end=found.t_end,
        messages=messages,
        interrupted=interrupted,
        resting=ready.problem.y0 if settings.equilibrate else None,
        store=store,
    )


def _on_disk(output: Path | None) -> bool:
    """Return whether results go to disk while the runs go on."""
    return output is not None and output.suffix.lower() == SUFFIX


def _check_steps(
    model: CompiledModel, translated: Translated, settings: Settings
) -> None:
    """Stop before runs whose longest step leaves them more steps than they may take."""
    times = translated.problem.times
    span = float(times[-1] - times[0])
    if settings.max_step * settings.max_steps >= span:
        return
    border = model.border
    least = span / settings.max_steps / border.per_time
    raise InputError(
        f"`max_step` is {settings.max_step / border.per_time:.3g} {border.time_unit}, "
        f"by which a run of {span / border.per_time:g} {border.time_unit} takes more "
        f"than the {settings.max_steps} steps of `max_steps`: make it longer "
        f"than {least:.3g}, or raise `max_steps`."
    )


def _check_result_fits(translated: Translated, output: Path | None) -> None:
    """Stop before runs whose result cannot be held."""
    if _on_disk(output):
        return
    sizes = (
        len(translated.problem),
        len(translated.times_h),
        len(translated.outputs),
    )
    shape = "{} runs, {} times and {} quantities".format(*sizes)
    check_fits(
        math.prod(sizes),
        f"A result of {shape}",
        "keep fewer times or quantities, or write to a `.zarr`, which stays on disk",
    )


def prepare(
    model: CompiledModel, plan: Plan, options: Options, *, many: bool = False
) -> tuple[Translated, Settings]:
    """Return the runs of a plan from their start states, and their settings."""
    settings = options.resolved(model, many=many)
    translated = translate(model, plan)
    _check_steps(model, translated, settings)
    workers = options.workers(settings, len(translated.problem))
    return settled(model, plan, translated, settings, workers)[0], settings


def settled(
    model: CompiledModel,
    plan: Plan,
    translated: Translated,
    settings: Settings,
    workers: Workers,
) -> tuple[Translated, IntArray]:
    """Return the runs from their start states, and the runs without a resting state.

    A clamp relative to rest is relative to the resting state without it; the cell then
    settles under the clamp.
    """
    problem, n_jobs = translated.problem, workers.n_jobs
    if not settings.equilibrate and problem.frozen is None:
        return translated, np.empty(0, dtype=np.int64)
    y0, status = problem.y0, np.full(len(problem), SolverStatus.OK, dtype=np.int64)
    method = settings.method
    if settings.equilibrate:
        y0, status = resting_states(model, y0, problem.p, method, n_jobs=n_jobs)
    if problem.frozen is not None:
        y0 = perturbing.clamped(model, plan.treatment.perturbations, y0, problem.p)
        if settings.equilibrate:
            rested, status = np.flatnonzero(status == SolverStatus.OK), np.array(status)
            y0[rested], status[rested] = resting_states(
                model,
                y0[rested],
                problem.p[rested],
                method,
                problem.frozen,
                n_jobs=n_jobs,
            )
    moved = replace(translated, problem=replace(problem, y0=y0))
    return moved, np.flatnonzero(status != SolverStatus.OK)
