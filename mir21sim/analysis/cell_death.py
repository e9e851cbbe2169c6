"""Death times and dead fractions: from curves to times and shares of death."""

import math

import numpy as np
import numpy.typing as npt
import xarray as xr

from mir21sim import units
from mir21sim._typing import FloatArray
from mir21sim.analysis.curves import quantity, time_unit
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError
from mir21sim.simulation.stored_features import CROSSING, stored_feature

DEAD = 0.5
"""A cell is dead when the quantity that commits it crosses one half."""

NOBODY = np.array([math.nan])
"""Times of death where nobody dies."""

EXPOSED = "PS_exposed"
"""Share of phosphatidylserine outside, which Annexin V binds: the usual death."""

DEATHS = (EXPOSED, "MOMP_fraction", "PARP_cleaved_fraction")
"""Quantities that say that a cell dies, the one that a laboratory sees most first."""


def crossing_times(
    times: FloatArray, curves: FloatArray, level: float = DEAD, since: float = 0.0
) -> FloatArray:
    """Return the time after `since` at which each curve first reaches a level.

    Between two output times the curve is taken as straight.

    Parameters
    ----------
    times : float array, shape (n_time,), ascending
    curves : float array, shape (…, n_time)

    Returns
    -------
    float array, shape (…): 0 where it is there from the start, infinite where it never
    comes, NaN where the curve stops before it

    Examples
    --------
    >>> crossing_times(np.array([0.0, 1.0, 2.0]), np.array([[0.0, 0.2, 0.8]]))
    array([1.5])
    """
    first = min(int(np.searchsorted(times, since)), len(times) - 1)
    t, v = times[first:], curves[..., first:]
    above = v >= level
    k = above.argmax(axis=-1)
    before = np.maximum(k - 1, 0)
    high = np.take_along_axis(v, k[..., np.newaxis], -1)[..., 0]
    low = np.take_along_axis(v, before[..., np.newaxis], -1)[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (level - low) / (high - low)
        found = t[before] + share * (t[k] - t[before]) - since
    found = np.where(k == 0, 0.0, found)
    never = np.where(np.isnan(v[..., -1]), np.nan, np.inf)
    return np.where(above.any(axis=-1), found, never)


def death_quantity(model: CompiledModel) -> str:
    """Return which of ``DEATHS`` a model has, the first one.

    Raises
    ------
    InputError
        For a model with none.
    """
    known = (*model.state_names, *model.assigned_names)
    found = next((name for name in DEATHS if name in known), None)
    if found is None:
        raise InputError(
            f"{model.id} has none of {', '.join(DEATHS)}: say which quantity kills a "
            "cell when it crosses one half (`--death`)."
        )
    return found


def death_times(
    result: xr.Dataset,
    observe: str = EXPOSED,
    *,
    since: float | str = 0.0,
    level: float = DEAD,
) -> xr.DataArray:
    """Return when each cell dies: the quantity first crosses a level, after `since`.

    Times are in the unit of the result's times: h but for files of others.

    Parameters
    ----------
    result : with the dimensions ``cell`` and ``time``, and any others
    observe : ``PS_exposed`` (as Annexin V sees it), ``MOMP_fraction``, …
    since : h, or text; usually when the stimulus is given
    level : value of the quantity in a dead cell; by default one half

    Returns
    -------
    DataArray without ``time``: 0 for a cell that was dead by then, infinite for one
    that lives, NaN where the run stopped before

    Examples
    --------
    >>> import mir21sim as ms
    >>> import numpy as np
    >>> import xarray as xr
    >>> t, cells = np.linspace(0, 8, 9), ("anti_miR21", "cell", "time")
    >>> die = np.array([[9.0, 6.0], [4.0, 3.0], [2.0, 2.0]])[:, :, None]
    >>> curves = {"PS_exposed": (cells, 1.0 * (t >= die))}
    >>> curves["status"] = (cells[:2], np.zeros((3, 2), int))
    >>> doses = ("anti_miR21", [0.0, 1.0, 10.0], {"units": "nM"})
    >>> result = xr.Dataset(curves, {"anti_miR21": doses, "time": t})
    >>> ms.death_times(result).values
    array([[inf, 5.5],
           [3.5, 2.5],
           [1.5, 1.5]])
    """
    clock = time_unit(result)
    start = units.time_in(since, clock, "since")
    curves = quantity(result, observe).transpose(..., "time")
    found = crossing_times(result["time"].values, curves.values, level, start)
    name = str(curves.name)
    exact = stored_feature(result, name, CROSSING, start) if level == DEAD else None
    if exact is not None:
        known = exact.transpose(*(d for d in curves.dims if d != "time")).values
        found = np.where(np.isnan(known), found, known)
    times = curves.isel(time=0, drop=True).copy(data=found).rename("death_time")
    return times.assign_attrs(units=clock, long_name="time of death")


def fraction_dead(
    result: xr.Dataset,
    at: npt.ArrayLike,
    observe: str = EXPOSED,
    *,
    since: float | str = 0.0,
) -> xr.DataArray:
    """Return the share of cells that have died by some times.

    Cells that were dead at `since` are left out, above and below; so are those whose
    run stopped before their fate was known.

    Parameters
    ----------
    at : float array, shape (n_at,), h after `since`

    Returns
    -------
    DataArray with the dimension ``at`` in place of ``cell``; NaN where no cell is left

    Examples
    --------
    >>> import mir21sim as ms
    >>> import numpy as np
    >>> import xarray as xr
    >>> t, cells = np.linspace(0, 8, 9), ("anti_miR21", "cell", "time")
    >>> die = np.array([[9.0, 6.0], [4.0, 3.0], [2.0, 2.0]])[:, :, None]
    >>> curves = {"PS_exposed": (cells, 1.0 * (t >= die))}
    >>> curves["status"] = (cells[:2], np.zeros((3, 2), int))
    >>> doses = ("anti_miR21", [0.0, 1.0, 10.0], {"units": "nM"})
    >>> result = xr.Dataset(curves, {"anti_miR21": doses, "time": t})
    >>> ms.fraction_dead(result, [3, 8]).values
    array([[0. , 0.5],
           [0.5, 1. ],
           [1. , 1. ]])
    """
    died = death_times(result, observe, since=since)
    known = (died > 0).sum("cell")
    by = xr.DataArray(np.atleast_1d(np.asarray(at, dtype=float)), dims="at")
    by = by.assign_coords(at=("at", by.values, {"units": time_unit(result)}))
    share = ((died > 0) & (died <= by)).sum("cell") / known.where(known > 0)
    return share.rename("fraction_dead").assign_attrs(units="1", long_name="dead cells")


def kill_curve(
    result: xr.Dataset,
    at: float,
    observe: str = EXPOSED,
    *,
    since: float | str = 0.0,
) -> xr.DataArray:
    """Return fractional killing by dose: the share of cells dead by one time.

    Parameters
    ----------
    result : of ``simulate_population`` with `over`, or of an experiment: one dimension
        or more besides ``cell`` and ``time``
    at : h after `since`

    Raises
    ------
    InputError
        For a result in which nothing differs but the cells.

    Examples
    --------
    >>> import mir21sim as ms
    >>> import numpy as np
    >>> import xarray as xr
    >>> t, cells = np.linspace(0, 8, 9), ("anti_miR21", "cell", "time")
    >>> die = np.array([[9.0, 6.0], [4.0, 3.0], [2.0, 2.0]])[:, :, None]
    >>> curves = {"PS_exposed": (cells, 1.0 * (t >= die))}
    >>> curves["status"] = (cells[:2], np.zeros((3, 2), int))
    >>> doses = ("anti_miR21", [0.0, 1.0, 10.0], {"units": "nM"})
    >>> result = xr.Dataset(curves, {"anti_miR21": doses, "time": t})
    >>> ms.kill_curve(result, 4).values
    array([0., 1., 1.])
    """
    share = fraction_dead(result, [at], observe, since=since).isel(at=0)
    if not share.dims:
        raise InputError(
            "A kill curve needs a swept dose (`over`) besides `cell` and `time`."
        )
    return share


def death_records(
    result: xr.Dataset, observe: str = EXPOSED, *, since: float | str = 0.0
) -> list[dict[str, float]]:
    """Return dead cells and death times, one record for each swept value.

    Returns
    -------
    Records of the swept values by name, ``cells`` that live at `since`, the share of
    them that is ``dead`` at the end, of their times of death ``mean_h``, ``CV`` and the
    percentiles ``p10_h``, ``half_h`` and ``p90_h`` (NaN where too few die), and the
    ``lost`` cells, whose run stopped before their fate was known
    """
    died = death_times(result, observe, since=since)
    dims = [str(d) for d in died.dims if d != "cell"]
    times = died.transpose(*dims, "cell").values
    records = []
    for place in np.ndindex(*times.shape[:-1]):
        alive = times[place][times[place] > 0]
        when = alive[np.isfinite(alive)]
        low, middle, high = np.percentile(when if len(when) else NOBODY, (10, 50, 90))
        swept = zip(dims, place, strict=True)
        records.append(
            {name: float(result[name].values[k]) for name, k in swept}
            | {
                "cells": len(alive),
                "dead": len(when) / len(alive) if len(alive) else math.nan,
                "mean_h": when.mean() if len(when) else math.nan,
                "CV": when.std(ddof=1) / when.mean() if len(when) > 1 else math.nan,
                "p10_h": low,
                "half_h": middle,
                "p90_h": high,
                "lost": int(np.isnan(times[place]).sum()),
            }
        )
    return records
