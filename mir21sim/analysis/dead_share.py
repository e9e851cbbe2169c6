"""Who is dead by when, of cells that lived at first: shares and changes with bands."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from mir21sim import units
from mir21sim._typing import BoolArray, FloatArray
from mir21sim.analysis.cell_death import DEAD, death_times
from mir21sim.analysis.cell_means import Drawn, Means, band_means, put_with_ends
from mir21sim.analysis.curves import time_unit
from mir21sim.analysis.treatment_words import counted_from, treatment_text

TIMES = 201
"""Times at which the share is read."""


@dataclass(frozen=True, slots=True, eq=False)
class Fates:
    """When each cell dies, and the share of them that is dead by a time.

    Attributes
    ----------
    dims, shape : names and sizes of the swept dimensions, n_dose in all
    died : float array, shape (n_dose, n_cell): time of death, infinite for a cell that
        lives
    alive : bool array, shape (n_dose, n_cell): cells that lived at first, whose fate is
        known; the others are left out
    band : the meaning of the draws, in words
    means : mean over the kept cells of some values, and the mean of each draw
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    died: FloatArray
    alive: BoolArray
    band: str
    means: Means

    def dead_by(self, after: FloatArray) -> Drawn:
        """Return the dead cells (%) by some times, (…, n_after), and their draws."""
        return self.means(self._dead(after), self.alive, self.shape)

    def change_by(self, after: FloatArray, reference: int) -> Drawn:
        """Return the dead cells minus those of the same cells at a reference dose.

        A cell counts where it lived at first at both doses.

        Parameters
        ----------
        after : float array, shape (n_after,)
        reference : position among the n_dose doses

        Returns
        -------
        percentage points, shape (…, n_after), and the draws
        """
        dead = self._dead(after)
        both = self.alive & self.alive[reference]
        return self.means(dead - dead[reference], both, self.shape)

    def _dead(self, after: FloatArray) -> FloatArray:
        """Return 100 where a cell is dead by a time, else 0."""
        return np.where(self.died[..., np.newaxis] <= after, 100.0, 0.0)


def fates(
    result: xr.Dataset,
    death: str,
    *,
    since: float | str = 0.0,
    level: float = DEAD,
    known: BoolArray | None = None,
) -> Fates:
    """Return the fates of the cells of a population.

    Cells that were dead at `since`, or whose fate is not known, are left out of every
    share. The draws are the parameter sets that the cells are spread over, else
    resampled cells.

    Parameters
    ----------
    result : with the dimensions ``cell`` and ``time``, and any swept ones
    death : quantity that reaches `level` when a cell dies
    since : h, or text
    known : bool array, shape (n_dose, n_cell): cells that may count, by default all
    """
    times = death_times(result, death, since=since, level=level)
    dims = tuple(str(d) for d in times.dims if d != "cell")
    died = times.transpose(*dims, "cell").values.reshape(-1, times.sizes["cell"])
    alive = died > 0  # not where NaN
    means, band = band_means(result)
    shape = tuple(times.sizes[name] for name in dims)
    kept = alive if known is None else alive & known
    return Fates(dims, shape, died, kept, band, means)


def dead_share(
    result: xr.Dataset, death: str, *, since: float | str = 0.0
) -> xr.Dataset:
    """Return the share of cells dead over time, with the bands of ``fates``.

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
    found = fates(result, death, since=since)
    length = float(result["time"][-1]) - units.time_in(since, clock, "since")
    after = np.linspace(0.0, length, TIMES)
    table = xr.Dataset(
        coords={"after": ("after", after, {"units": clock})},
        attrs={
            "band": found.band,
            "cells": result.sizes["cell"],
            "counted_from": counted_from(result, since),
            "treatment": treatment_text(result),
        },
    )
    words = {"units": "%", "long_name": "dead cells"}
    over = (*found.dims, "after")
    put_with_ends(table, "dead", over, found.dead_by(after), **words)
    return table.assign_coords({name: result[name] for name in found.dims})
