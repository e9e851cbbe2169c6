"""A plan: treatment, times, outputs and axes of a set of runs, defaults filled in."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from mir21sim._typing import FloatArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError
from mir21sim.simulation.doses import DosesLike, Protocol
from mir21sim.simulation.names import (
    canonical_names,
    canonical_treatment,
    renamed,
    settable,
)
from mir21sim.simulation.outputs import default_outputs
from mir21sim.simulation.perturbations import site_parameters
from mir21sim.simulation.treatment import Treatment
from mir21sim.units import SECONDS_PER_HOUR

MAX_RUNS = 10_000_000
"""More grid points than this are a mistake in a list of values, not a sweep."""
LONGEST = 1e12
"""Largest time of a run, in the unit of the model's border."""
MAX_POINTS = 1_000_000
"""Most output times, from a number of points or in a list."""


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
    """A set of runs in the user's units; ``translate`` makes the solver's arrays.

    Attributes
    ----------
    treatment : of all runs; the doses of a swept target give the times only
    times_h : float array, shape (n_time,), in the time unit of the model's border (h)
    observe : names to keep
    over : swept name to (values, unit or "")
    cells : parameter or species to float array, shape (n_cell,): the values of each
        cell; cells are the first dimension
    rest_from : amounts from which the search for the resting state of cells starts,
        where the treatment and the cells do not give others
    """

    treatment: Treatment
    times_h: FloatArray
    observe: tuple[str, ...]
    over: Mapping[str, tuple[FloatArray, str]] = field(default_factory=dict)
    cells: Mapping[str, FloatArray] = field(default_factory=dict)
    rest_from: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: CompiledModel,
        treatment: Treatment,
        times_h: FloatArray,
        *,
        observe: Sequence[str] | str | None = None,
        over: Mapping[str, tuple[FloatArray, str]] | None = None,
        cells: Mapping[str, FloatArray] | None = None,
    ) -> "Plan":
        """Return a plan that observes the model's default outputs if none is named."""
        over = renamed(model, over or {}, settable(model))
        treatment = canonical_treatment(model, treatment)
        if isinstance(observe, str):
            observe = [observe]
        kept = observe or [n for n in default_outputs(model) if n not in over]
        if treatment.doses:
            doses = Protocol(treatment.doses).within(model.border).doses
            treatment = replace(treatment, doses=doses)
        names = canonical_names(model, kept)
        return cls(treatment, times_h, names, over, cells or {})

    def fixed(self, model: CompiledModel) -> frozenset[str]:
        """Return the numbers that no draw and no cell replaces."""
        done = self.treatment
        sites = site_parameters(model, done.perturbations.no_site)
        return sites.union(done.parameters, done.initials, self.over)


def doses_or_default(
    model: CompiledModel, doses: DosesLike | None, over: Iterable[str] = ()
) -> Protocol:
    """Return the doses given, or those of the model where none is given or swept.

    Where doses are swept, the model's own doses of the swept targets give the times;
    its other doses are left out, since nobody asked for them.
    """
    if doses is not None:
        return Protocol.of(doses)
    own = Protocol.of(model.info.doses)
    names = canonical_names(model, over, settable(model))
    swept = {n for n in names if n in model.info.inputs or n in own.targets()}
    if not swept:
        return own
    return Protocol(tuple(dose for dose in own.doses if dose.target in swept))


def checked_times(times: npt.ArrayLike) -> FloatArray:
    """Return explicit output times after checking that they ascend."""
    result = np.atleast_1d(np.asarray(times, dtype=float))
    if result.ndim != 1 or result.size < 2 or not np.isfinite(result).all():
        raise InputError("`times` must be 1-D and finite, with 2 times or more.")
    _check_number_of_points(result.size)
    if not (np.diff(result) > 0).all():
        raise InputError("`times` must be strictly increasing.")
    return result


def _check_number_of_points(points: int) -> None:
    if not 2 <= points <= MAX_POINTS:
        raise InputError(
            f"`points` must be 2 or more, and at most {MAX_POINTS}, got {points}."
        )


def output_times(
    model: CompiledModel,
    start: float | str,
    end: float | str | None,
    points: int,
    times: npt.ArrayLike | None = None,
) -> FloatArray:
    """Return the output times, in the border's unit, from a range or explicit list.

    Without an end, the range ends at the default end of the model.
    """
    if times is not None:
        return checked_times(times)
    border = model.border
    first = border.time(start, "start")
    last = default_end(model) if end is None else border.time(end, "end")
    if not last > first:
        unit = border.time_unit
        raise InputError(
            f"The end ({last:g} {unit}) must be after the start ({first:g} {unit})."
        )
    _check_number_of_points(points)
    if not max(abs(first), abs(last)) <= LONGEST:
        raise InputError(
            f"Start and end must lie within {LONGEST:g} {border.time_unit}, got "
            f"{first:g} to {last:g}."
        )
    return _spaced(first, last, points).copy()


@functools.lru_cache(maxsize=8)
def _spaced(first: float, last: float, points: int) -> FloatArray:
    """Return equally spaced times, kept for the next run."""
    return np.linspace(first, last, points)


def reference_time(
    model: CompiledModel, times_h: FloatArray, since: float | str | None
) -> float:
    """Return the reference time of features in the border's unit, within the run.

    Raises
    ------
    InputError
        For a time outside the run.
    """
    first, last = float(times_h[0]), float(times_h[-1])
    since_h = first if since is None else model.border.time(since, "since")
    if not first <= since_h < last:
        unit = model.border.time_unit
        raise InputError(
            f"`since` must be from {first:g} to below {last:g} {unit}, got {since_h:g}."
        )
    return since_h


GUEST_END = 100.0
"""End of a run of a guest's file where none is asked for, in its own unit of time."""


def default_end(model: CompiledModel) -> float:
    """Return the end of a run where none is asked for, in the border's unit of time.

    A guest ends at ``GUEST_END`` of its own units, unless its `.toml` gives hours.
    """
    seconds = model.border.seconds
    if model.border.is_guest and (seconds is None or "toml" not in model.source):
        return GUEST_END
    return model.info.end_h * SECONDS_PER_HOUR / (seconds or 1.0)
