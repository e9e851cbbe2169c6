"""Means over the cells of a dish, with the draws that their bands are read from.

A draw is a parameter set where the cells are spread over sets (``set_bands``), else a
dish of resampled cells (bootstrap).
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import xarray as xr

from mir21sim._typing import BoolArray, FloatArray
from mir21sim.analysis.set_bands import percentiles, set_means
from mir21sim.simulation.spread import SET

RESAMPLES = 400
"""Number of resampled dishes behind a band."""

BAND = (2.5, 97.5)
"""Percentiles of a band: 95 % of the draws."""

INNER = (25.0, 75.0)
"""Percentiles of the inner band: 50 % of the draws."""

ENDS = ("low", "high", "low50", "high50")
"""Ends of the 95 % band and of the 50 % band, as names of variables end."""

BAND_TEXT = f"95 % of {RESAMPLES} resamplings of the cells"

SET_TEXT = "95 % of {} parameter sets of the ensemble, with the error of their mean"
"""Meaning of a band by an ensemble, with its number of sets."""

POINTS = "percentage points"
"""Unit of a difference of two shares."""

SEED = 21
"""Seed of the resampling: the same result gives the same band."""

Drawn: TypeAlias = tuple[FloatArray, FloatArray]
"""A mean over the cells, shape (…), and the mean of each draw, shape (n_draw, …)."""

Means: TypeAlias = Callable[[FloatArray, BoolArray, tuple[int, ...]], Drawn]
"""From values (n_dose, n_cell, n_time), kept cells (n_dose, n_cell), swept shape."""


def band_means(result: xr.Dataset) -> tuple[Means, str]:
    """Return how means and their draws are made of a result, and the band in words."""
    if SET in result.coords:
        of_cell = result[SET].values.astype(np.int64)
        return (
            lambda values, keep, shape: set_means(values, keep, of_cell, shape),
            SET_TEXT.format(len(np.unique(of_cell))),
        )
    weights = _weights(result.sizes["cell"])
    return lambda values, keep, shape: _means(values, keep, weights, shape), BAND_TEXT


def put_with_ends(
    table: xr.Dataset, name: str, dims: tuple[str, ...], drawn: Drawn, **attrs: str
) -> None:
    """Put a mean and the ends of its bands into a table: ``name``, ``name_low``, ….

    Parameters
    ----------
    dims : of the mean
    attrs : of the mean, such as ``units``
    """
    point, draws = drawn
    table[name] = (dims, point, attrs)
    ends = percentiles(draws, (*BAND, *INNER))
    for end, values in zip(ENDS, ends, strict=True):
        table[f"{name}_{end}"] = (dims, values)


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
    values: FloatArray, keep: BoolArray, weights: FloatArray, shape: tuple[int, ...]
) -> Drawn:
    """Return means over the kept cells, and over those of each resampled dish.

    Parameters
    ----------
    values : shape (n_dose, n_cell, n_time)
    keep : shape (n_dose, n_cell)
    shape : of the swept dimensions, n_dose in all

    Returns
    -------
    means of shape (…, n_time) and (n_resample, …, n_time); NaN where no cell is left
    """
    kept = np.where(keep[..., np.newaxis], values, 0.0)
    count = keep.astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        point = kept.sum(axis=1) / count.sum(axis=1)[:, np.newaxis]
        drawn = np.stack([weights @ block for block in kept], axis=1)
        drawn /= (weights @ count.T)[..., np.newaxis]
    n_time = values.shape[-1]
    return point.reshape(*shape, n_time), drawn.reshape(-1, *shape, n_time)
