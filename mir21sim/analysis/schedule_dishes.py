"""Dishes on several schedules of one substance: responses and their differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from mir21sim._typing import FloatArray
from mir21sim.analysis.cell_means import BAND
from mir21sim.analysis.curves import dose_records
from mir21sim.analysis.dish import (
    LABELS,
    RESPONSES,
    TITLES,
    Resampled,
    dish_of,
    resample,
)
from mir21sim.analysis.dish_response import HalfEffect, half_effects
from mir21sim.analysis.set_bands import ends_text
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.simulation.schedules import Schedule
from mir21sim.units import rounded


@dataclass(frozen=True, slots=True, eq=False)
class ScheduledDishes:
    """The dishes of each schedule, of the same cells.

    Attributes
    ----------
    target : the scheduled substance
    labels : the schedules in words
    drawn : the means of each schedule's dishes
    tables : ``dish`` of each schedule
    since : h; times are counted from here in all of them
    """

    target: str
    labels: tuple[str, ...]
    drawn: tuple[Resampled, ...]
    tables: tuple[xr.Dataset, ...]
    since: float

    @property
    def swept(self) -> xr.DataArray:
        """The doses of the scheduled substance."""
        return self.tables[0][self.target]


def scheduled_dishes(
    found: Mapping[Schedule, xr.Dataset],
    target: str,
    activity: Sequence[str],
    death: str,
) -> ScheduledDishes:
    """Return the dishes of each schedule, counted from the last other dose.

    Parameters
    ----------
    found : from ``sweep_schedules`` with cells, with one swept dose

    Raises
    ------
    InputError
        For more swept names than the scheduled substance.

    Examples
    --------
    >>> import mir21sim as ms
    >>> model = ms.load("mir21_core", "HeLa")
    >>> found = ms.sweep_schedules(
    ...     model, "anti_miR21=0h,6h", "9h", cells=ms.Population(3), points=4,
    ...     doses=["anti_miR21=10 nM@0h", "TRAIL=50 ng/ml@6h"],
    ...     observe=["CASP3_active", "MOMP_fraction"],
    ... )
    >>> dishes = ms.scheduled_dishes(
    ...     found, "anti_miR21", ["CASP3_active"], "MOMP_fraction"
    ... )
    >>> len(found)
    2
    """
    results = list(found.values())
    since = last_other_dose(results[0], target)
    drawn = [resample(run, activity, death, since=since) for run in results]
    if drawn[0].dims != (target,):
        others = ", ".join(d for d in drawn[0].dims if d != target)
        raise InputError(
            f"Dishes on schedules take one swept dose, that of `{target}`, got "
            f"{others} too: use `combine` for two drugs."
        )
    return ScheduledDishes(
        target,
        tuple(schedule.label for schedule in found),
        tuple(drawn),
        tuple(
            dish_of(own, run, activity, since)
            for own, run in zip(drawn, results, strict=True)
        ),
        since,
    )


def last_other_dose(result: xr.Dataset, target: str) -> float:
    """Return the time of the last dose of another substance, h; else the start."""
    end = float(result["time"][-1])
    times = [
        dose["time"]
        for dose in dose_records(result)
        if dose["target"] != target and dose["time"] < end
    ]
    return float(max(times, default=float(result["time"][0])))


def schedule_records(dishes: ScheduledDishes) -> list[dict[str, str]]:
    """Return the responses at the largest dose, one record a schedule.

    ``than first`` is the difference in dead cells from the first schedule, of the same
    cells and resamplings, in percentage points with its interval.
    """
    records = []
    first = _at_top(dishes, 0, "dead_end")
    for k, label in enumerate(dishes.labels):
        record = {"schedule": label}
        for name in RESPONSES:
            point, low, high = _with_ends(*_at_top(dishes, k, name))
            unit = dishes.tables[k][name].attrs["units"]
            record[f"{TITLES[name]} ({unit})"] = (
                f"{rounded(point)} ({ends_text(point, low, high)})"
            )
        own = _at_top(dishes, k, "dead_end")
        point, low, high = _with_ends(own[0] - first[0], own[1] - first[1])
        record["than first (points)"] = (
            f"{point:+.1f} ({ends_text(point, low, high, '+.1f')})" if k else "–"
        )
        records.append(record)
    return records


def _at_top(dishes: ScheduledDishes, k: int, response: str) -> tuple[float, FloatArray]:
    """Return a response at the largest dose of a schedule, and its resamplings."""
    point, members = dishes.drawn[k].quantities()[response]
    top = int(np.argmax(dishes.swept.values))
    return float(point[top]), members[:, top]


def _with_ends(point: float, members: FloatArray) -> tuple[float, float, float]:
    low, high = np.nanpercentile(members, BAND)
    return point, float(low), float(high)


def half_effects_by_schedule(
    dishes: ScheduledDishes, response: str
) -> dict[str, HalfEffect]:
    """Return the half effect of a response on each schedule.

    Raises
    ------
    UnknownNameError
        For another response.
    """
    if response not in RESPONSES:
        raise UnknownNameError("response", response, RESPONSES)
    doses = dishes.swept.values.astype(float)
    return {
        label: half_effects(own, doses)[response]
        for label, own in zip(dishes.labels, dishes.drawn, strict=True)
    }


def schedule_lines(dishes: ScheduledDishes, response: str) -> list[str]:
    """Return the finding in sentences: the best schedule, and half effects by dose."""
    points = [_at_top(dishes, k, "dead_end") for k in range(len(dishes.labels))]
    order = np.argsort([-point for point, _ in points], kind="stable")
    best, least = int(order[0]), int(order[-1])
    apart, low, high = _with_ends(
        points[best][0] - points[least][0], points[best][1] - points[least][1]
    )
    head = (
        f"Most cells are dead with {dishes.target} at {dishes.labels[best]} "
        f"({points[best][0]:.0f} %), fewest at {dishes.labels[least]} "
        f"({points[least][0]:.0f} %): {apart:+.0f} percentage points ({low:+.0f} to "
        f"{high:+.0f})."
    )
    if len(points) < 2 or low <= 0:
        head = (
            "No schedule kills more cells than another by a difference whose interval "
            f"is off 0 (largest: {apart:+.1f} percentage points)."
        )
    lines = [head]
    if len(dishes.swept) > 2:
        unit = str(dishes.swept.attrs.get("units", ""))
        for label, found in half_effects_by_schedule(dishes, response).items():
            lines.append(f"{label}: {LABELS[response]} {found.text(unit)}.")
    return lines
