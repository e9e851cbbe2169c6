"""Tolerances of many runs from a few of them, and the check of their results."""

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import ModelWarning, SolverStatus
from mir21sim.solvers.interrupt import Stop
from mir21sim.solvers.methods import is_batch, method_of, usable
from mir21sim.solvers.problem import Problem, Solution, subset
from mir21sim.solvers.settings import Settings
from mir21sim.solvers.solve import solve

CHECKED_FROM = 8
"""Runs from which on one of them is made again with smaller tolerances."""

TIGHTER = 100.0
"""Factor on the relative tolerance of the run that checks."""

ALLOWED = 1e3
"""Error of a curve, over its own size and ``rtol``, from which on a check warns: the
tolerance is that of a step, and errors of steps add up."""

LEAST_ALLOWED = 1e-3

SMALL = 1e-6
"""Of the largest value of a single run: below it a curve is not checked."""

DEARER = 10
"""Times its steps that the check of a single run may take; it is dropped beyond."""


def fitted(model: CompiledModel, problem: Problem, settings: Settings) -> Settings:
    """Return settings whose absolute tolerances fit the sizes in some of the runs.

    The batch solver has one tolerance a state for all runs, so the smallest of the
    first, the middle and the last run counts. Single runs find their own.
    """
    if not settings.adapts or not is_batch(settings.method):
        return settings
    from mir21sim.solvers.single.integrate import scipy_run  # imports SciPy

    runs = sorted({0, len(problem) // 2, len(problem) - 1})
    atol = np.full(len(model.state_names), np.inf)
    for run in runs:
        ended = scipy_run(model.kernels, problem, run, settings, "LSODA", Stop())
        atol = np.minimum(atol, ended.atol)
    return replace(settings, atol=atol)  # single runs of a second try adapt it


NOTHING = 1e-4
"""Molecules, or a share, that are nothing in a model of ours."""


def warn_of_errors(
    model: CompiledModel,
    problem: Problem,
    settings: Settings,
    found: Solution,
    names: Sequence[str],
) -> None:
    """Make one run again with smaller tolerances; warn where it differs.

    One of many runs, by another method; of a guest's file also the first single run of
    the model by each method, which costs some times its integration, once. A difference
    counts in shares of each curve's own largest value. A jump at an output time may lie
    on either side of it, so each event may differ at one of them.
    """
    many = len(problem) >= CHECKED_FROM
    first = settings.method not in model.checked_methods
    if not many and not (first and model.border.is_guest):
        return
    good = np.flatnonzero(found.status == SolverStatus.OK)
    if not good.size:
        return
    model.checked_methods.add(settings.method)
    run = int(good[len(good) // 2])
    rtol = max(settings.rtol / TIGHTER, 1e-12)
    tight = replace(
        settings,
        rtol=rtol,
        atol=settings.atol * (rtol / settings.rtol),
        method=usable(model, method_of("LSODA")).name if many else settings.method,
        max_steps=settings.max_steps
        if many
        else DEARER * (100 + int(found.n_steps[run])),
        retried=frozenset(),
    )
    again, interrupted = solve(model, subset(problem, np.array([run])), tight)
    if interrupted:
        model.checked_methods.discard(settings.method)
    if again.status[0] != SolverStatus.OK:
        return
    floor = 0.0 if model.border.is_guest else NOTHING
    if not many:  # differences of large amounts are their rounding
        floor = max(floor, SMALL * np.nanmax(np.abs(again.values), initial=0.0))
    jumps = int(max(found.n_events[run], again.n_events[0]))
    apart = relative_difference(found.values[run], again.values[0], floor, spare=jumps)
    allowed = max(ALLOWED * settings.rtol, LEAST_ALLOWED)
    if (apart > allowed).any():
        worst = int(np.argmax(apart))
        warnings.warn(
            f"{model.id}: run {run + 1} of {len(problem)}, made again at rtol "
            f"{rtol:g}, differs by {apart[worst]:.2g} of the largest value in "
            f"`{names[worst]}`: the error is larger than rtol {settings.rtol:g} asks "
            "for. Lower --rtol, or --max-step where rates have short pulses.",
            ModelWarning,
            stacklevel=3,
        )


def relative_difference(
    one: FloatArray, other: FloatArray, floor: float = 0.0, *, spare: int = 0
) -> FloatArray:
    """Return the largest difference of each curve over its own largest value.

    Parameters
    ----------
    one, other : float arrays, shape (n_time, n_curve)
    floor : least size that counts: a curve below it is nothing but noise
    spare : times that may differ: those with the largest differences are left out
    """
    size = np.nanmax(np.abs(other), axis=0, initial=0.0)
    size = np.maximum(size, floor)
    with np.errstate(all="ignore"):
        apart = np.abs(one - other) / np.where(size > 0, size, 1.0)
    apart[(one == other) | (np.isnan(one) & np.isnan(other))] = 0.0
    apart = np.sort(np.nan_to_num(apart, nan=np.inf), axis=0)
    kept = len(apart) - min(spare, len(apart))
    worst: FloatArray = apart[:kept].max(axis=0, initial=0.0)
    return worst
