"""Share of dead cells of a population over time, with its bands."""

import numpy as np
import xarray as xr

from mir21sim import units
from mir21sim.analysis.cell_death import death_times
from mir21sim.analysis.curves import time_unit
from mir21sim.analysis.dish import BAND, INNER, band_means, counted_from, treatment_text
from mir21sim.analysis.set_bands import percentiles

POINTS = 201
"""Times at which the share is read."""


def dead_share(
    result: xr.Dataset, death: str, *, since: float | str = 0.0
) -> xr.Dataset:
    """Return the share of cells dead over time, with bands.

    Cells that were dead at `since`, or whose fate is not known, are left out. The bands
    are those of ``dish``: over the parameter sets that the cells are spread over, else
    over resampled cells.

    Parameters
    ----------
    result : from ``simulate_population``: the dimension ``cell``, and any swept ones
    death : quantity that crosses one half when a cell dies
    since : h, or text

    Returns
    -------
    Dataset with the swept dimensions and ``after`` (h after `since`): ``dead`` (%), and
    ``dead_low``, ``dead_high``, ``dead_low50``, ``dead_high50``, the ends of the bands;
    the attribute ``band`` says of what they are
    """
    clock = time_unit(result)
    died = death_times(result, death, since=since)
    dims = tuple(str(d) for d in died.dims if d != "cell")
    length = float(result["time"][-1]) - units.time_in(since, clock, "since")
    after = np.linspace(0.0, length, POINTS)
    shape = tuple(died.sizes[name] for name in dims)
    when = died.transpose(*dims, "cell").values.reshape(-1, died.sizes["cell"])
    dead_by = np.where(when[..., np.newaxis] <= after, 100.0, 0.0)
    means, band = band_means(result)
    share, drawn = means(dead_by, when > 0, shape)
    low, high, low50, high50 = percentiles(drawn, (*BAND, *INNER))
    over = (*dims, "after")
    table = xr.Dataset(
        {
            "dead": (over, share, {"units": "%", "long_name": "dead cells"}),
            "dead_low": (over, low),
            "dead_high": (over, high),
            "dead_low50": (over, low50),
            "dead_high50": (over, high50),
        },
        coords={"after": ("after", after, {"units": clock})},
        attrs={
            "band": band,
            "cells": died.sizes["cell"],
            "counted_from": counted_from(result, since),
            "treatment": treatment_text(result),
        },
    )
    return table.assign_coords({name: result[name] for name in dims})
