"""The predictions of a study: readings without noise, over parameter sets.

The replicates of a study imitate a measurement: cells with the model's own numbers, and
noise. How sure the model is of a reading is another question, which replicates do not
answer. Here the cells of every dish are spread over parameter sets
(``simulation.spread``), and each assay is read without noise from the cells of each
set. The drawing of cells is taken out (``analysis.set_bands``); for readings by the two
halves of the cells of a set, which differ by it alone.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from mir21sim._typing import FloatArray, IntArray
from mir21sim.analysis.cell_death import EXPOSED
from mir21sim.analysis.cell_means import BAND, SET_TEXT, put_with_ends
from mir21sim.analysis.dead_share import fates
from mir21sim.analysis.set_bands import (
    UNTOLD,
    ends_text,
    of_halves,
    percentiles,
)
from mir21sim.assays.assay import Assay
from mir21sim.errors import InputError
from mir21sim.simulation.spread import SET
from mir21sim.units import rounded

Frame: TypeAlias = pd.DataFrame
"""A table of readings."""

OWN = ("n", "mean", "sd", "relative", "relative_sd", "control", "test", "p_anova", "p")
"""Columns of the summary of an assay that are not the names of its groups."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The prediction of a study, over parameter sets.

    Attributes
    ----------
    cells : of all dishes, spread over the sets
    n_sets : parameter sets
    fate : ``dead`` (%) and ``dead_change`` (percentage points, against the first
        sample, same cells) on (sample, time), each with ``_low``, ``_high``,
        ``_low50`` and ``_high50``; None where no cell can be seen to die
    readings : for each assay a row a group: its names, ``mean``, ``low`` and ``high``
    """

    cells: xr.Dataset
    n_sets: int
    fate: xr.Dataset | None
    readings: tuple[pd.DataFrame, ...]

    @property
    def band(self) -> str:
        """The meaning of the bands, in words."""
        return SET_TEXT.format(self.n_sets)


def predicted_fate(cells: xr.Dataset, level: float) -> xr.Dataset | None:
    """Return the dead cells of each sample with bands over parameter sets.

    Parameters
    ----------
    cells : of plain dishes, spread over sets; dead cells are counted from the start
    level : share of phosphatidylserine exposed in a dead cell
    """
    if EXPOSED not in cells:
        return None
    found = fates(cells, EXPOSED, level=level)
    times = cells["time"].values
    table = xr.Dataset(coords={n: cells[n] for n in ("sample", "time")})
    over = ("sample", "time")
    put_with_ends(table, "dead", over, found.dead_by(times))
    put_with_ends(table, "dead_change", over, found.change_by(times, 0))
    return table


def predicted_reading(assay: Assay[Any], cells: xr.Dataset) -> pd.DataFrame:
    """Return the reading of an assay without noise, with its band over parameter sets.

    Parameters
    ----------
    cells : of the dishes that it reads, spread over sets of four cells or more

    Returns
    -------
    one row a group: its names, ``mean``, ``low``, ``high`` (95 %) and ``sets``, those
    in which it could be read; NaN where fewer than two could

    Raises
    ------
    InputError
        Where the assay cannot be read in any set.
    """
    of_cell = cells[SET].values.astype(np.int64)
    names: pd.DataFrame | None = None
    halves: list[list[FloatArray | None]] = []
    why: InputError | None = None
    for one in np.unique(of_cell):
        mine = np.flatnonzero(of_cell == one)
        row: list[FloatArray | None] = []
        for half in (mine[::2], mine[1::2]):
            try:
                summary = _summary(assay, cells, half)
            except InputError as error:  # no cell of these few can be read
                why, summary = error, None
            if summary is not None:
                names = summary[[c for c in summary if c not in OWN]]
            row.append(None if summary is None else summary["mean"].to_numpy(float))
        halves.append(row)
    if names is None:
        raise why or InputError(f"The assay `{assay.name}` reads no group.")
    empty = np.full(len(names), np.nan)
    first, second = (
        np.array([empty if row[k] is None else row[k] for row in halves])
        for k in (0, 1)
    )
    middle, drawn = of_halves(first, second)
    low, high = percentiles(drawn, BAND)
    sets = np.isfinite(drawn).sum(axis=0)
    return names.assign(mean=middle, low=low, high=high, sets=sets)


def _summary(assay: Assay[Any], cells: xr.Dataset, half: IntArray) -> pd.DataFrame:
    """Return the summary of an assay of some cells, without noise."""
    reading = assay.read(cells.isel(cell=half), noise=False)
    summary: pd.DataFrame = reading.summary
    return summary


def fate_records(fate: xr.Dataset) -> list[dict[str, str]]:
    """Return the predicted dead cells as texts: a row a sample, a column a time."""
    records = []
    for sample in fate["sample"].values:
        row = fate.sel(sample=sample)
        record = {"sample": str(sample)}
        for k, time in enumerate(row["time"].values):
            low, middle, high = (
                float(row[name][k]) for name in ("dead_low", "dead", "dead_high")
            )
            record[f"{time:g} h"] = (
                f"{rounded(middle)} % ({ends_text(middle, low, high, '.0f')})"
            )
        records.append(record)
    return records


def with_prediction(summary: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Return a summary with a column of the sets' predictions, behind mean and SD.

    Raises
    ------
    InputError
        Where the groups are others.
    """
    keys = [c for c in summary if c not in OWN]
    if not summary[keys].reset_index(drop=True).equals(found[keys]):
        raise InputError("The prediction is of other groups than the reading.")
    texts = [
        UNTOLD
        if np.isnan(low)
        else f"{rounded(middle)} ({ends_text(middle, low, high)})"
        for middle, low, high in zip(
            found["mean"], found["low"], found["high"], strict=True
        )
    ]
    table = summary.copy()
    place = "sd" if "sd" in table else "mean"
    table.insert(list(table.columns).index(place) + 1, "predicted", texts)
    return table
