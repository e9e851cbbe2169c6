"""A dish of unlike cells: mean activity, dead cells and responses by dose, with bands.

The bands are percentiles over resampled cells (bootstrap): they measure how much the
result depends on which cells happen to be in the dish, not how well the model's
numbers are known.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from mir21sim import units
from mir21sim._typing import BoolArray, FloatArray
from mir21sim.analysis.cell_death import death_times
from mir21sim.errors import InputError
from mir21sim.units import SECONDS_PER_HOUR

RESAMPLES = 400
"""Number of resampled dishes behind a band."""

BAND = (2.5, 97.5)
"""Percentiles of a band: 95 % of the resampled dishes."""

BAND_TEXT = f"95 % of {RESAMPLES} resamplings of the cells"

LABELS = {
    "activity": "DEVDase activity of the dish",
    "dead": "dead cells",
    "peak": "largest DEVDase activity of the dish",
    "integrated": "DEVDase activity integrated over time",
    "dead_end": "dead cells at the end",
}
"""Names of the quantities of ``dish``, with the label a figure prints."""

RESPONSES = ("peak", "integrated", "dead_end")
"""Quantities of ``dish`` that are one number a dose."""

SEED = 21
"""Seed of the resampling: the same result gives the same band."""


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
    result : from ``simulate_population``: the dimensions ``cell`` and ``time``, and one
        swept dimension at most; the same cells at every dose
    activity : quantities whose sum is the activity of a cell, such as ``CASP3_active``
        and ``CASP7_active``
    death : quantity that crosses one half when a cell dies
    since : h, or text; times of the result are counted from here

    Returns
    -------
    Dataset with the swept dimension and ``after`` (h after `since`): ``activity`` (mean
    over cells), ``dead`` (%), and per dose ``peak``, ``integrated`` and ``dead_end``;
    each with ``_low`` and ``_high``, the ends of the band; ``left_out`` and ``cells``

    Raises
    ------
    InputError
        For a result without cells, more than one swept dimension, or an unknown name.
    """
    start = units.seconds(since, "since") / SECONDS_PER_HOUR
    dose, sums = _checked(result, activity, death)
    after = result["time"].values - start
    keep = after >= -1e-9
    values = sums.transpose(dose, "cell", "time").values[..., keep]
    died = death_times(result, death, since=since)
    died = died.expand_dims(_ALONE) if dose == _ALONE else died
    times = died.transpose(dose, "cell").values
    good = np.isfinite(values).all(axis=-1) & ~np.isnan(times)
    alive = good & (times > 0)
    after = after[keep]
    dead_by = np.where(times[..., np.newaxis] <= after, 100.0, 0.0)
    weights = _weights(good.shape[1])
    active, dead = _means(values, good, weights), _means(dead_by, alive, weights)
    found = {
        "activity": active,
        "dead": dead,
        "peak": [curves.max(axis=-1) for curves in active],
        "integrated": [np.trapezoid(curves, after, axis=-1) for curves in active],
        "dead_end": [curves[..., -1] for curves in dead],
    }
    table = _labelled(
        found, dose, after, str(result[activity[0]].attrs.get("units", ""))
    )
    table["left_out"] = (dose, (~good).sum(axis=1))
    table.attrs = {**result.attrs, "cells": good.shape[1], "activity": list(activity)}
    if dose == _ALONE:
        return table.isel({_ALONE: 0})
    return table.assign_coords({dose: result[dose]})


_ALONE = "_dish"
"""Name of the swept dimension of a result that has none."""


def _checked(
    result: xr.Dataset, activity: Sequence[str], death: str
) -> tuple[str, xr.DataArray]:
    """Return the swept dimension and the activity of each cell, after checks."""
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
    swept = [str(d) for d in sums.dims if d not in ("cell", "time")]
    if len(swept) > 1:
        raise InputError(
            f"A dish picture shows one swept dose, got {', '.join(swept)}: select a "
            "value of the others first, or use `combine`."
        )
    if not swept:
        return _ALONE, sums.expand_dims(_ALONE)
    return swept[0], sums


def _weights(n_cell: int) -> FloatArray:
    """Return how often each cell is drawn in each resampled dish, (n_resample, n_cell).

    The same cells are drawn at every dose, so that differences between doses keep the
    pairing of cells.
    """
    rng = np.random.default_rng(SEED)
    return rng.multinomial(n_cell, [1.0 / n_cell] * n_cell, size=RESAMPLES).astype(
        float
    )


def _means(
    values: FloatArray, keep: BoolArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return means over the kept cells, and over those of each resampled dish.

    Parameters
    ----------
    values : shape (n_dose, n_cell, n_time)
    keep : shape (n_dose, n_cell)

    Returns
    -------
    means of shape (n_dose, n_time) and (n_resample, n_dose, n_time); NaN where no cell
    is left
    """
    kept = np.where(keep[..., np.newaxis], values, 0.0)
    count = keep.astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        point = kept.sum(axis=1) / count.sum(axis=1)[:, np.newaxis]
        drawn = np.stack([weights @ block for block in kept], axis=1)
        return point, drawn / (weights @ count.T)[..., np.newaxis]


def _labelled(
    found: Mapping[str, Sequence[FloatArray]],
    dose: str,
    after: FloatArray,
    unit: str,
) -> xr.Dataset:
    """Return the Dataset of a dish from points and resampled values by name."""
    units_of = {"activity": unit, "peak": unit, "integrated": f"{unit} h"}
    table = xr.Dataset(coords={"after": ("after", after, {"units": "h"})})
    for name, (point, drawn) in found.items():
        low, high = np.nanpercentile(drawn, BAND, axis=0)
        dims = (dose, "after") if point.ndim == 2 else (dose,)
        table[name] = (dims, point)
        table[f"{name}_low"], table[f"{name}_high"] = (dims, low), (dims, high)
        table[name].attrs = {
            "units": units_of.get(name, "%"),
            "long_name": LABELS[name],
            "band": BAND_TEXT,
        }
    return table
