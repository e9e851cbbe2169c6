"""A plan: treatment, times, outputs and axes of a set of runs, defaults filled in."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mir21sim import units
from mir21sim._typing import FloatArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError
from mir21sim.simulation.doses import DosesLike, Protocol
from mir21sim.simulation.outputs import default_outputs
from mir21sim.simulation.perturbations import NONE, Perturbations
from mir21sim.units import SECONDS_PER_HOUR

ATOL_AT_RTOL = 1e-6
"""Relative tolerance at which a model's own ``atol`` is meant."""


MAX_RUNS = 10_000_000
"""More grid points than this are a mistake in a list of values, not a sweep."""


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """One swept name with its values and unit.

    ``kind`` is "dose" (amounts of the doses of a species), "parameter", "initial" or
    "cell" (one cell a value, with numbers of its own).
    """

    name: str
    kind: str
    values: FloatArray
    unit: str
    label: str


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What to run, as the user said it; ``arrange`` turns it into arrays.

    Attributes
    ----------
    times_h : float array, shape (n_time,), h
    protocol : the doses; those of a swept target give times only
    over : swept name to (values, unit or "")
    parameters, initials : fixed overrides, model units
    observe : names to keep
    perturb : clamps, knock-downs, over-expression, missing sites
    cells : parameter or species to float array, shape (n_cell,): what each cell has;
        cells are the first dimension
    """

    times_h: FloatArray
    protocol: Protocol
    over: Mapping[str, tuple[FloatArray, str]]
    parameters: Mapping[str, float]
    initials: Mapping[str, float]
    observe: tuple[str, ...]
    perturb: Perturbations = NONE
    cells: Mapping[str, FloatArray] = field(default_factory=dict)


def check_tolerances(
    model: CompiledModel, rtol: float, atol: float | npt.ArrayLike | None
) -> FloatArray:
    """Return the absolute tolerance per state; both tolerances must be above 0.

    By default it follows `rtol`: a tighter run is tighter for small amounts too.
    """
    if not (math.isfinite(rtol) and 1e-14 <= rtol < 1):
        raise InputError(f"`rtol` must be from 1e-14 to below 1, got {rtol}.")
    if atol is None:
        return model.atol * (rtol / ATOL_AT_RTOL)
    given = np.asarray(atol, dtype=float)
    if given.ndim > 1 or given.shape not in ((), model.atol.shape):
        raise InputError(
            f"`atol` must be a number or have shape {model.atol.shape}, "
            f"got shape {given.shape}."
        )
    if not (np.isfinite(given) & (given > 0)).all():
        raise InputError(f"`atol` must be finite and above 0, got {given.min()}.")
    return np.broadcast_to(given, model.atol.shape).copy()


def output_times(
    start: float | str,
    end: float | str,
    points: int,
    times: npt.ArrayLike | None,
) -> FloatArray:
    """Return the output times in h from a range or an explicit list."""
    if times is not None:
        result = np.atleast_1d(np.asarray(times, dtype=float))
        if result.ndim != 1 or result.size < 2 or not np.isfinite(result).all():
            raise InputError("`times` must be 1-D and finite, with 2 times or more.")
        if not (np.diff(result) > 0).all():
            raise InputError("`times` must be strictly increasing.")
        return result
    first = units.seconds(start, "start") / SECONDS_PER_HOUR
    last = units.seconds(end, "end") / SECONDS_PER_HOUR
    if not last > first:
        raise InputError(f"The end ({last:g} h) must be after the start ({first:g} h).")
    if points < 2:
        raise InputError(f"`points` must be 2 or more, got {points}.")
    return np.linspace(first, last, points)


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
