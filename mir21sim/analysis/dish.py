"""A dish of unlike cells: mean activity, dead cells and responses by dose, with bands.

Without an ensemble the bands are percentiles over resampled cells (bootstrap): they
measure how much the result depends on which cells happen to be in the dish, not how
well the numbers of the model are known. Where cells are spread over parameter sets of
an ensemble, the bands are percentiles over these sets and the error of their mean, the
rest of the drawing of cells taken out (``set_bands``); the line is the mean over them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from mir21sim import units
from mir21sim._typing import FloatArray, IntArray
from mir21sim.analysis.cell_means import (
    BAND_TEXT,
    POINTS,
    Drawn,
    band_means,
    put_with_ends,
)
from mir21sim.analysis.curves import time_unit
from mir21sim.analysis.dead_share import fates
from mir21sim.analysis.set_bands import ends_text
from mir21sim.analysis.treatment_words import counted_from, treatment_text
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError
from mir21sim.units import rounded

LABELS = {
    "activity": "DEVDase activity of the dish",
    "dead": "dead cells",
    "peak": "largest DEVDase activity of the dish",
    "integrated": "DEVDase activity integrated over time",
    "dead_end": "dead cells at the end",
    "dead_change": "change of dead cells at the end",
}
"""Names of the quantities of ``dish``, with the label a figure prints."""

TITLES = {"peak": "peak", "integrated": "area", "dead_end": "dead"}
"""Short names of the responses, for the head of a table."""

RESPONSES = ("peak", "integrated", "dead_end")
"""Quantities of ``dish`` that are one number a dose."""

ACTIVITY = ("CASP3_active", "CASP7_active")
"""Effector caspases whose activity a DEVDase assay measures, those a model has."""


def dish(
    result: xr.Dataset,
    activity: Sequence[str],
    death: str,
    *,
    since: float | str = 0.0,
) -> xr.Dataset:
    """Return curves and responses of a dish from the curves of its cells.

    Cells whose run stopped early, or which have no resting state, are left out of
    every mean and counted in ``left_out``. Cells that were dead at `since` stay in the
    activity of the dish and are left out of the dead cells, as in ``fraction_dead``.

    Parameters
    ----------
    result : from ``simulate_population``: the dimensions ``cell`` and ``time``, and any
        swept dimensions; the same cells at every dose
    activity : quantities whose sum is the activity of a cell, such as ``CASP3_active``
        and ``CASP7_active``
    death : quantity that crosses one half when a cell dies
    since : h, or text; times of the result are counted from here

    Returns
    -------
    Dataset with the swept dimensions and ``after`` (h after `since`): ``activity``
    (mean over cells), ``dead`` (%), and per dose ``peak``, ``integrated`` and
    ``dead_end``; with one swept dose also ``dead_change``, the dead cells at the end
    minus those of the same cells at the lowest dose, in percentage points; each with
    ``_low`` and ``_high``, the ends of the band, and ``_low50`` and ``_high50``, those
    of its inner half; ``left_out``

    Raises
    ------
    InputError
        For a result without cells or without one of the quantities.

    Examples
    --------
    >>> import mir21sim as ms
    >>> import numpy as np
    >>> import xarray as xr
    >>> t, cells = np.linspace(0, 8, 9), ("anti_miR21", "cell", "time")
    >>> die = np.array([[9.0, 6.0], [4.0, 3.0], [2.0, 2.0]])[:, :, None]
    >>> curves = {"A": (cells, np.exp(-((t - die) ** 2)), {"units": "molecule"})}
    >>> curves["PS_exposed"] = (cells, 1.0 * (t >= die))
    >>> doses = ("anti_miR21", [0.0, 1.0, 10.0], {"units": "nM"})
    >>> result = xr.Dataset(curves, {"anti_miR21": doses, "time": t})
    >>> found = ms.dish(result, ["A"], "PS_exposed")
    >>> found["dead_end"].values
    array([ 50., 100., 100.])
    """
    return dish_of(
        resample(result, activity, death, since=since), result, activity, since
    )


def dish_of(
    drawn: "Resampled", result: xr.Dataset, activity: Sequence[str], since: float | str
) -> xr.Dataset:
    """Return the Dataset of ``dish`` from the means of resampled dishes or sets."""
    unit = str(result[activity[0]].attrs.get("units", ""))
    clock = time_unit(result)
    units_of = {
        "activity": unit,
        "peak": unit,
        "integrated": f"{unit} {clock}",
        "dead_change": POINTS,
    }
    table = xr.Dataset(coords={"after": ("after", drawn.after, {"units": clock})})
    for name, (point, dishes) in drawn.quantities().items():
        dims = (*drawn.dims, "after") if name in ("activity", "dead") else drawn.dims
        words = {"units": units_of.get(name, "%"), "long_name": LABELS[name]}
        put_with_ends(table, name, dims, (point, dishes), **words, band=drawn.band)
    table["left_out"] = (drawn.dims, drawn.left_out)
    table.attrs = {
        **result.attrs,
        "cells": result.sizes["cell"],
        "activity": list(activity),
        "counted_from": counted_from(result, since),
        "treatment": treatment_text(result),
    }
    return table.assign_coords({name: result[name] for name in drawn.dims})


def dish_records(found: xr.Dataset) -> list[dict[str, str]]:
    """Return the responses of each dish with their bands as texts, for a table."""
    dims = [str(d) for d in found["peak"].dims]
    records = []
    for place in np.ndindex(*(found.sizes[name] for name in dims)):
        row = found.isel(dict(zip(dims, place, strict=True)))
        record = {_titled(found[name]): rounded(float(row[name]), 4) for name in dims}
        for name in RESPONSES:
            point, low, high = (float(row[name + end]) for end in ("", "_low", "_high"))
            text = f"{rounded(point)} ({ends_text(point, low, high)})"
            record[f"{TITLES[name]} ({found[name].attrs['units']})"] = text
        records.append(record)
    return records


def _titled(coordinate: xr.DataArray) -> str:
    """Return 'name (unit)' of a swept dose."""
    unit = str(coordinate.attrs.get("units", ""))
    return (
        f"{coordinate.name} ({unit})" if unit and unit != "1" else f"{coordinate.name}"
    )


def activity_quantities(model: CompiledModel) -> tuple[str, ...]:
    """Return which of ``ACTIVITY`` a model has.

    Raises
    ------
    InputError
        For a model with none.
    """
    known = (*model.state_names, *model.assigned_names)
    found = tuple(name for name in ACTIVITY if name in known)
    if not found:
        raise InputError(
            f"{model.id} has none of {', '.join(ACTIVITY)}, so a dish has no DEVDase "
            "activity: name the active quantities (`--activity`), or run the average "
            "cell alone (`--cells 1`)."
        )
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """Means over the cells of a dish, and over those of each resampled dish.

    Attributes
    ----------
    dims : names of the swept dimensions, shape (…) below
    after : float array, shape (n_after,), h
    activity, dead : pairs of float arrays, shapes (…, n_after) and
        (n_resample, …, n_after); with an ensemble the mean over its sets, and a
        parameter set in the place of each resampled dish
    left_out : int array, shape (…), cells left out
    change : pair of float arrays, shapes (n_dose,) and (n_resample, n_dose): dead
        cells at the end minus those of the same cells at the lowest dose, percentage
        points; None without a single swept dose
    band : the meaning of the band, in words
    """

    dims: tuple[str, ...]
    after: FloatArray
    activity: Drawn
    dead: Drawn
    left_out: IntArray
    change: Drawn | None = None
    band: str = BAND_TEXT

    def quantities(self) -> dict[str, Drawn]:
        """Return curves and responses by name, each a point and its resamplings."""
        (curve, curves), (dead, deaths) = self.activity, self.dead
        found = {
            "activity": self.activity,
            "dead": self.dead,
            "peak": (curve.max(axis=-1), curves.max(axis=-1)),
            "integrated": (
                np.trapezoid(curve, self.after, axis=-1),
                np.trapezoid(curves, self.after, axis=-1),
            ),
            "dead_end": (dead[..., -1], deaths[..., -1]),
        }
        if self.change is not None:
            found["dead_change"] = self.change
        return found


def resample(
    result: xr.Dataset,
    activity: Sequence[str],
    death: str,
    *,
    since: float | str = 0.0,
) -> Resampled:
    """Return the means of a dish and of resampled dishes; parameters as in ``dish``.

    Examples
    --------
    >>> import mir21sim as ms
    >>> import numpy as np
    >>> import xarray as xr
    >>> t, cells = np.linspace(0, 8, 9), ("anti_miR21", "cell", "time")
    >>> die = np.array([[9.0, 6.0], [4.0, 3.0], [2.0, 2.0]])[:, :, None]
    >>> curves = {"A": (cells, np.exp(-((t - die) ** 2)), {"units": "molecule"})}
    >>> curves["PS_exposed"] = (cells, 1.0 * (t >= die))
    >>> doses = ("anti_miR21", [0.0, 1.0, 10.0], {"units": "nM"})
    >>> result = xr.Dataset(curves, {"anti_miR21": doses, "time": t})
    >>> drawn = ms.resample(result, ["A"], "PS_exposed")
    >>> point, dishes = drawn.quantities()["dead_end"]
    >>> point.shape, dishes.shape
    ((3,), (400, 3))
    """
    sums = _activity(result, activity, death)
    dims = tuple(str(d) for d in result[death].dims if d not in ("cell", "time"))
    after = result["time"].values - units.time_in(since, time_unit(result), "since")
    keep = after >= -1e-9
    shape = tuple(result.sizes[name] for name in dims)
    values = sums.transpose(*dims, "cell", "time").values[..., keep]
    values = values.reshape(-1, *values.shape[-2:])
    followed = np.isfinite(values).all(axis=-1)
    cells = fates(result, death, since=since, known=followed)
    good = followed & ~np.isnan(cells.died)
    means, band = band_means(result)
    change = None
    if len(dims) == 1:
        lowest = int(np.argmin(result[dims[0]].values))
        point, drawn = cells.change_by(after[keep][-1:], lowest)
        change = point[..., 0], drawn[..., 0]
    return Resampled(
        dims,
        after[keep],
        means(values, good, shape),
        cells.dead_by(after[keep]),
        (~good).sum(axis=1).reshape(shape),
        change,
        band,
    )


def _activity(result: xr.Dataset, activity: Sequence[str], death: str) -> xr.DataArray:
    """Return the activity of each cell, after checks."""
    missing = [name for name in (*activity, death) if name not in result]
    if missing or not activity:
        raise InputError(
            f"The dish needs the quantities {', '.join((*activity, death))}, but the "
            f"result lacks {', '.join(missing) or 'an activity'}: run it with them in "
            "`observe`."
        )
    sums: xr.DataArray = sum(
        (result[name] for name in activity[1:]), result[activity[0]]
    )
    if "cell" not in sums.dims:
        raise InputError(
            "The result holds one cell a run; a dish needs the dimension `cell`: run "
            "`simulate_population`, or `sweep` with `cells` of 2 or more."
        )
    return sums
