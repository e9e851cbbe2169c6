"""Which proteins tell who dies, and when: shares of variance between unlike cells."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from mir21sim._typing import BoolArray, FloatArray
from mir21sim.analysis.cell_death import death_times
from mir21sim.analysis.tables import lines_of, text_table
from mir21sim.errors import InputError

SPARE_CELLS = 30
"""Least number of cells above that of the proteins for a regression."""

LEAST_SPREAD = 1e-6
"""Range of logarithms of times of death below which all cells die at once."""

LEAST_SHARE = 0.01
"""Proteins with less of the variance are not listed."""


def variance_by_protein(
    result: xr.Dataset,
    levels: Mapping[str, FloatArray],
    observe: str,
    *,
    since: float | str = 0.0,
) -> pd.DataFrame:
    """Return the share of variance that each protein explains, largest first.

    Least squares of the fate (1 dies, 0 lives) and of the logarithm of the time of
    death on the logarithms of the levels. The share of a protein is its slope times
    its covariance with the fate, over the variance of the fate (Pratt 1987, recalled),
    less what chance alone gives (the squared standard error). Shares are of the linear
    part; the ``attrs`` of the frame hold their sum (``who``, ``when``), the rest is
    curved, joint, or chance.

    Parameters
    ----------
    result : cells under one treatment, with the dimensions ``cell`` and ``time``
    levels : protein to its level in each cell, times the average, shape (n_cell,)
    observe : quantity that crosses one half in a cell that dies
    since : h, or text; cells that are dead by then are left out

    Returns
    -------
    DataFrame with protein, who, when (fractions; NaN where too few cells die or live)

    Raises
    ------
    InputError
        For a result with other dimensions, or levels of another number of cells.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> level = np.exp(0.3 * np.random.default_rng(0).standard_normal((2, 200)))
    >>> t = np.linspace(0, 8, 801)
    >>> curves = {"PS_exposed": (("cell", "time"), 1.0 * (t >= 3 / level[0][:, None]))}
    >>> result = xr.Dataset(curves, {"time": t})
    >>> found = variance_by_protein(
    ...     result, {"A": level[0], "B": level[1]}, "PS_exposed"
    ... )
    >>> found["when"].round(2).tolist()
    [1.0, 0.0]
    """
    times = death_times(result, observe, since=since)
    if times.dims != ("cell",):
        raise InputError(
            "Shares of variance need cells under one treatment, with the dimension "
            f"`cell` alone, got {times.dims}."
        )
    died = times.values
    known = ~np.isnan(died) & (died > 0)
    logs = {name: np.log(np.asarray(v, float)) for name, v in levels.items()}
    for name, values in logs.items():
        if values.shape != died.shape:
            raise InputError(
                f"The levels of `{name}` must be those of {died.size} cells, got "
                f"shape {values.shape}."
            )
    x = np.column_stack(list(logs.values())) if logs else np.empty((died.size, 0))
    dead = known & np.isfinite(died)
    when = np.log(np.where(dead, died, 1.0))
    parts = {
        "who": _shares(x, dead.astype(float), known),
        "when": _shares(x, when, dead),
    }
    frame = pd.DataFrame({"protein": list(logs), **parts})
    order = frame[["who", "when"]].max(axis=1).sort_values(ascending=False).index
    frame = frame.loc[order].reset_index(drop=True)
    frame.attrs.update({k: float(np.sum(v)) for k, v in parts.items()})
    return frame


def _shares(x: FloatArray, y: FloatArray, use: BoolArray) -> FloatArray:
    """Return the part of each column of x in the variance of y."""
    moves = x.std(axis=0) > 0
    shares = np.full(x.shape[1], np.nan)
    n, d = int(use.sum()), int(moves.sum())
    if n < d + SPARE_CELLS or np.ptp(y[use]) <= LEAST_SPREAD:
        return shares
    z, target = x[use][:, moves], y[use] - y[use].mean()
    z = z - z.mean(axis=0)
    slopes, *_ = np.linalg.lstsq(z, target, rcond=None)
    rest = float(np.sum((target - z @ slopes) ** 2)) / (n - d - 1)
    errors = rest * np.diag(np.linalg.inv(z.T @ z))
    # Pratt's measure: of independent levels the squared standardised slopes; among the
    # cells that die levels go together, and it still adds up to what they explain.
    parts = slopes * (z.T @ target) / n - errors * z.var(axis=0)
    shares[moves] = np.maximum(parts, 0.0) / target.var()
    shares[~moves] = 0.0
    return shares


def variance_text(frame: pd.DataFrame, most: int = 10) -> str:
    """Return shares of variance as lines to read."""
    if frame[["who", "when"]].isna().all(axis=None):
        return "share of variance by protein: too few cells die or live to tell"
    rows = frame[frame[["who", "when"]].max(axis=1) >= LEAST_SHARE].head(most)
    if rows.empty:
        return "share of variance by protein: no protein explains 1 % of it"
    shown = rows.copy()
    shown[["who", "when"]] *= 100.0
    titles = {"who": "who dies [%]", "when": "time of death [%]"}
    shown = shown.dropna(axis=1, how="all")
    sums = [
        f"{frame.attrs[key]:.0%} of {words}"
        for key, words in (("who", "who dies"), ("when", "the time of death"))
        if np.isfinite(frame.attrs[key])
    ]
    body = "\n".join(lines_of(text_table(shown.round(1), titles=titles)))
    return (
        "share of variance by protein (log levels, linear; in sum "
        f"{' and '.join(sums)})\n{body}"
    )
