"""One plan through resting state, solver and labels.

Simulate, sweep and rerun share it.
"""

import base64
import functools
import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, SolverStatus, UnknownNameError
from mir21sim.simulation import dataset as results
from mir21sim.simulation import perturbations as perturbing
from mir21sim.simulation.checkpoint import PartialResults, folder_for
from mir21sim.simulation.chunks import integrate_in_parts, part_size
from mir21sim.simulation.doses import DosesLike, Protocol
from mir21sim.simulation.outputs import default_outputs
from mir21sim.simulation.perturbations import NONE, Perturbations
from mir21sim.simulation.problem import (
    Arranged,
    Plan,
    arrange,
    check_tolerances,
    output_times,
)
from mir21sim.simulation.steady_state import resting_states
from mir21sim.solvers.problem import Progress, RunResults, Tolerances
from mir21sim.solvers.solve import (
    BATCH_METHODS,
    MANY,
    METHODS,
    SINGLE,
    Workers,
    usable_method,
)

RTOL = 1e-6
"""Relative tolerance of runs where none is asked for; ``population`` has its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """How to integrate; all of it is written into the result.

    Attributes
    ----------
    method : "Rodas5P" or "Rodas4" (the batch solver: eight runs at once), or SciPy's
        "LSODA", "BDF" or "Radau"; None: LSODA for one run, Rodas5P for many. A model
        with events, or with conditions on time in its rates, takes LSODA for a batch
        method; a seed for the order of equal events is made of the start values
    rtol : relative tolerance of the local error; None: 1e-6, for the cells of a
        population 1e-3
    atol : absolute tolerance, one number or shape (n_state,); None: from the scale of
        each state, ``model.atol`` at rtol 1e-6 and in proportion to rtol
    max_steps : steps that one run may take
    timeout : s of wall time that one run may take; in the batch solver seven others run
        beside it
    equilibrate : start from the resting state; None: as the model says
    allow_negative : accept amounts below zero
    n_jobs : threads over runs; None: one per core for the batch solver, else 1, as
        SciPy's solvers hold Python's lock and gain nothing from more
    executor : any ``concurrent.futures`` executor, instead of own threads: a process
        pool, or ``client.get_executor()`` of dask.distributed
    progress : called with (runs finished, runs in all)
    """

    method: str | None = None
    rtol: float | None = None
    atol: npt.ArrayLike | None = None
    max_steps: int = 100_000
    timeout: float = 600.0
    equilibrate: bool | None = None
    allow_negative: bool = False
    n_jobs: int | None = None
    executor: Executor | None = None
    progress: Progress | None = None

    @property
    def relative_tolerance(self) -> float:
        """What ``rtol`` is, where it is left open too."""
        return RTOL if self.rtol is None else self.rtol


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


def make_plan(
    model: CompiledModel,
    *,
    start: float | str,
    end: float | str | None,
    points: int,
    times: npt.ArrayLike | None,
    observe: Sequence[str] | str | None,
    doses: DosesLike | None,
    parameters: Mapping[str, float] | None,
    initials: Mapping[str, float] | None,
    over: Mapping[str, tuple[FloatArray, str]],
    perturb: Perturbations | None = None,
    cells: Mapping[str, FloatArray] | None = None,
) -> Plan:
    """Fill in the model's defaults for what the user left open."""
    if isinstance(observe, str):
        observe = [observe]
    return Plan(
        times_h=output_times(
            start, model.info.end_h if end is None else end, points, times
        ),
        protocol=Protocol.of(model.info.doses if doses is None else doses),
        over=over,
        parameters=dict(parameters or {}),
        initials=dict(initials or {}),
        observe=tuple(observe or (n for n in default_outputs(model) if n not in over)),
        perturb=perturb or NONE,
        cells=cells or {},
    )


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
    workers = _workers(options, method, len(arranged.runs))
    store = None
    if output is not None:
        store = PartialResults(
            folder_for(output),
            record,
            arranged.runs,
            part_size=part_size(method, workers.n_jobs),
            resume=resume,
        )
    found, interrupted = integrate_in_parts(
        model,
        arranged.runs,
        Tolerances(rtol, atol, options.max_steps, options.timeout),
        method=method,
        workers=workers,
        store=store,
        allow_negative=options.allow_negative,
    )
    found.status[unrested] = SolverStatus.NO_RESTING_STATE
    messages = tuple(
        describe(model, arranged, found, run, atol) for run in range(len(arranged.runs))
    )
    labelled = results.dataset(
        [(a.name, a.values, a.unit, a.label) for a in arranged.axes],
        arranged.times_h,
        [(o.name, o.unit, o.label) for o in arranged.outputs],
        found,
        messages=messages,
        attributes=_attributes(model, options, method, record),
    )
    return Executed(
        dataset=labelled,
        status=found.status,
        t_end=found.t_end,
        messages=messages,
        interrupted=interrupted,
        resting=arranged.runs.y0 if equilibrate else None,
        store=store,
    )


def choose_method(model: CompiledModel, method: str | None, kind: str) -> str:
    """Return the method's exact name, or the default for one run or many.

    Upper and lower case do not matter. Where the batch solver cannot run the model,
    LSODA takes its place; the result says which method ran.
    """
    wanted = method or (SINGLE if kind == "simulate" else MANY)
    by_lower = {name.lower(): name for name in METHODS}
    if wanted.lower() not in by_lower:
        raise UnknownNameError("method", wanted, METHODS)
    return usable_method(model, by_lower[wanted.lower()])


def _workers(options: Options, method: str, n_run: int) -> Workers:
    """Return who does the work: a thread per core where that pays."""
    n_jobs = options.n_jobs
    if n_jobs is None:
        n_jobs = os.cpu_count() or 1 if method in BATCH_METHODS else 1
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
    runs = arranged.runs
    n_jobs = _workers(options, method, len(runs)).n_jobs
    y0, status = runs.y0, np.full(len(runs), SolverStatus.OK, dtype=np.int64)
    if equilibrate:
        y0, status = resting_states(model, y0, runs.p, method, n_jobs=n_jobs)
    if runs.frozen is not None:
        y0 = perturbing.clamped(model, plan.perturb, y0)
        if equilibrate:
            rested, status = np.flatnonzero(status == SolverStatus.OK), np.array(status)
            y0[rested], status[rested] = resting_states(
                model,
                y0[rested],
                runs.p[rested],
                method,
                runs.frozen,
                n_jobs=n_jobs,
            )
    moved = replace(arranged, runs=replace(runs, y0=y0))
    return moved, np.flatnonzero(status != SolverStatus.OK)


def describe(
    model: CompiledModel,
    arranged: Arranged,
    found: RunResults,
    run: int,
    atol: FloatArray,
) -> str:
    """Return one sentence on how a run failed and where, "" for a good one."""
    status = SolverStatus(found.status[run])
    if status == SolverStatus.OK:
        return ""
    text = status.message
    y, t = found.y_end[run], float(found.t_end[run])
    if not math.isfinite(t) or status == SolverStatus.NO_RESTING_STATE:
        return text
    hours = t * model.seconds_per_time / 3600.0
    event = int(found.culprit[run])
    if event >= 0:
        culprit = f", event `{model.network.events[event].id}`"
    else:
        culprit = suspect(model, status, t, y, p=arranged.runs.p[run], atol=atol)
    return f"At {hours:.4g} h{culprit}: {text}"


def suspect(
    model: CompiledModel,
    status: SolverStatus,
    t: float,
    y: FloatArray,
    *,
    p: FloatArray,
    atol: FloatArray,
) -> str:
    """Return ', reaction `r` of species `s`' for what stands out at a failure."""
    v = np.empty(model.kernels.n_rate)
    if not len(v) or _events_set_parameters(model):
        return ""  # with the parameters of the start it would name the wrong one
    model.kernels.rates(t, np.array(y), np.array(p), v)
    if not np.isfinite(v).all():
        rate = int(np.flatnonzero(~np.isfinite(v))[0])
        return f", reaction `{model.rate_names[rate]}` (rate {v[rate]})"
    rows, columns = model.kernels.n_row, model.kernels.n_col
    if not len(rows):
        return ""
    flux = model.kernels.n_value * v[columns]
    if status == SolverStatus.NEGATIVE:
        state = int(np.argmin(y / (np.abs(y).max() + atol)))
        mine = np.flatnonzero(rows == state)
        worst = mine[np.argmin(flux[mine])]
        name, value = model.state_names[state], y[state]
        reaction = model.rate_names[columns[worst]]
        return f", species `{name}` ({value:.3g}) in reaction `{reaction}`"
    k = int(np.argmax(np.abs(flux) / (np.abs(y[rows]) + atol[rows])))
    return (
        f", where reaction `{model.rate_names[columns[k]]}` changes "
        f"`{model.state_names[rows[k]]}` fastest"
    )


def _events_set_parameters(model: CompiledModel) -> bool:
    events = model.kernels.events
    return events is not None and not events.is_state.all()


def _attributes(
    model: CompiledModel, options: Options, method: str, record: dict[str, Any]
) -> dict[str, Any]:
    return {
        "title": model.info.title or model.id,
        "model_id": model.id,
        "model_sha256": model.digest,
        "context": model.context,
        "cell_volume_pL": model.cell_volume_pL,
        "method": method,
        "rtol": options.relative_tolerance,
        "mir21sim_version": _version("mir21sim"),
        "provenance": json.dumps(record),
    }


def _provenance(
    model: CompiledModel,
    plan: Plan,
    arranged: Arranged,
    options: Options,
    *,
    method: str,
    equilibrate: bool,
    kind: str,
) -> dict[str, Any]:
    """Return everything needed to run again, as plain JSON values."""
    atol = None if options.atol is None else np.asarray(options.atol).tolist()
    return {
        "kind": kind,
        "model": model.id,
        "model_sha256": model.digest,
        "context": model.context,
        "backend": model.kernels.backend,
        "times_h": plan.times_h.tolist(),
        "doses": Protocol(arranged.protocol.doses).to_records(),
        "over": {
            axis.name: {"values": axis.values.tolist(), "unit": plan.over[axis.name][1]}
            for axis in arranged.axes
            if axis.kind != "cell"
        },
        "cells": {name: _packed(values) for name, values in plan.cells.items()},
        "perturb": plan.perturb.to_record(),
        "parameters": dict(plan.parameters),
        "initials": dict(plan.initials),
        "observe": list(plan.observe),
        "method": method,
        "rtol": options.relative_tolerance,
        "atol": atol,
        "max_steps": options.max_steps,
        "timeout": options.timeout,
        "equilibrate": equilibrate,
        "allow_negative": options.allow_negative,
        "versions": {
            name: _version(name) for name in ("mir21sim", "numpy", "scipy", "numba")
        }
        | {"python": platform.python_version()},
    }


def _packed(values: FloatArray) -> str:
    """Return an array as text: base64 of its little-endian doubles.

    A population has a million numbers, which as digits would take longer than its runs.
    """
    return base64.b64encode(np.asarray(values, dtype="<f8").tobytes()).decode("ascii")


def _unpacked(text: str) -> FloatArray:
    return np.frombuffer(base64.b64decode(text), dtype="<f8").astype(float)


@functools.cache  # a package cannot change under a running process; 2 ms to look up
def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def plan_from(record: Mapping[str, Any]) -> tuple[Plan, Options]:
    """Return the plan and options that a provenance record was made from."""
    plan = Plan(
        times_h=np.array(record["times_h"], dtype=float),
        protocol=Protocol.from_records(record["doses"]),
        over={
            name: (np.array(entry["values"], dtype=float), entry["unit"])
            for name, entry in record["over"].items()
        },
        parameters=record["parameters"],
        initials=record["initials"],
        observe=tuple(record["observe"]),
        perturb=Perturbations.from_record(record.get("perturb", {})),
        cells={name: _unpacked(text) for name, text in record.get("cells", {}).items()},
    )
    options = Options(
        method=record["method"],
        rtol=record["rtol"],
        atol=record["atol"],
        max_steps=record["max_steps"],
        timeout=record["timeout"],
        equilibrate=record["equilibrate"],
        allow_negative=record["allow_negative"],
    )
    return plan, options
