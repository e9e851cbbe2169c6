"""The outcome of a run in words: when the average cell dies, how many cells are dead.

The interval of a share is that of drawing cells: the central 95 % of the posterior of a
share under Jeffreys' prior (Brown, Cai and DasGupta 2001, doi:10.1214/ss/1009213286).
Cells of several parameter sets are not drawn alike, so that they have no such interval.
"""

import math
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.special import betaincinv

from mir21sim.analysis.cell_death import death_times
from mir21sim.analysis.curves import dose_records, stimulus_time
from mir21sim.simulation.spread import SET
from mir21sim.units import rounded


def share_interval(hits: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of cells, fractions.

    The ends are 0 for no hit and 1 for hits only.

    Examples
    --------
    >>> tuple(round(end, 3) for end in share_interval(89, 100))
    (0.818, 0.940)
    """
    a, b = hits + 0.5, n - hits + 0.5
    low = 0.0 if hits == 0 else float(betaincinv(a, b, 0.025))
    high = 1.0 if hits == n else float(betaincinv(a, b, 0.975))
    return low, high


def outcome_lines(result: xr.Dataset, death: str) -> list[str]:
    """Return one sentence for each treatment of a result, two for many treatments.

    Parameters
    ----------
    result : of ``simulate``, ``sweep`` or ``simulate_population``, times in h
    death : quantity that crosses one half when a cell dies

    Returns
    -------
    sentences; of a sweep, those of its first and last values; none where the result
    does not hold the quantity
    """
    if death not in result:
        return []
    since = stimulus_time(result)
    start = float(result["time"][0]) if since is None else since
    end = float(result["time"][-1])
    event = _event(result, since)
    dims = [str(d) for d in result[death].dims if d not in ("cell", "time")]
    order = ("cell", "time") if "cell" in result.dims else ("time",)
    died = death_times(result, death, since=start).transpose(*dims, *order[:-1]).values
    shape = died.shape[: len(dims)]
    chosen = [()] if not dims else [(0,) * len(dims), tuple(n - 1 for n in shape)]
    kind = _Kind("cell" in order, event, _count_of_sets(result))
    lines = []
    for place in dict.fromkeys(chosen):
        where = ", ".join(
            _value(result[name], k) for name, k in zip(dims, place, strict=True)
        )
        text = _fate(np.atleast_1d(died[place]), end - start, kind)
        lines.append(f"{where}: {text}" if where else text[0].upper() + text[1:])
    return lines


class _Kind(NamedTuple):
    """Cells or the average cell, the event they are counted from, parameter sets."""

    cells: bool
    event: str
    sets: int


def _count_of_sets(result: xr.Dataset) -> int:
    """Return over how many parameter sets the cells are spread, 0 for one model."""
    return len(np.unique(result[SET])) if SET in result.coords else 0


def _event(result: xr.Dataset, since: float | None) -> str:
    """Return 'after TRAIL', or 'after the start'."""
    names = dict.fromkeys(
        str(dose["target"]) for dose in dose_records(result) if dose["time"] == since
    )
    return f"after {' and '.join(names)}" if names else "after the start"


def _value(coordinate: xr.DataArray, k: int) -> str:
    """Return 'anti-miR-21 10 nM'."""
    label = coordinate.attrs.get("long_name", coordinate.name)
    unit = str(coordinate.attrs.get("units", ""))
    return f"{label} {float(coordinate[k]):.4g} {'' if unit == '1' else unit}".strip()


def _fate(died: np.ndarray, length: float, kind: _Kind) -> str:
    """Return the fate of one cell, or of the cells of a dish."""
    event = kind.event
    if not kind.cells:
        when = float(died[0])
        if math.isnan(when):
            return "the run of the average cell stopped before its fate was known."
        if when == 0:
            return f"the average cell is dead before the time counted from ({event})."
        if math.isinf(when):
            return f"the average cell is alive {rounded(length)} h {event}."
        return f"the average cell dies {rounded(when, 2)} h {event}."
    known = died[~np.isnan(died)]
    alive = known[known > 0]
    if not alive.size:
        return f"no cell is alive to begin with ({event})."
    dead = int(np.isfinite(alive).sum())
    low, high = share_interval(dead, alive.size)
    about = f"{100 * low:.0f} to {100 * high:.0f} %, 95 % interval of drawing cells"
    if kind.sets:
        about = f"of {kind.sets} parameter sets, whose spread the bands show"
    text = f"{dead} of {alive.size} cells dead by {rounded(length)} h {event} ({about})"
    if dead:
        middle = float(np.median(alive[np.isfinite(alive)]))
        text += f"; half of them by {rounded(middle, 2)} h"
    else:
        text = text.replace(f"0 of {alive.size} cells dead", "no cell dead", 1)
    early = known.size - alive.size
    if early:
        text += f"; {early} dead before"
    left_out = died.size - known.size
    if left_out:
        text += f"; {left_out} left out, whose run stopped or which have no rest"
    return f"{text}."
