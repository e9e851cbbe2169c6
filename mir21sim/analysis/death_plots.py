"""Times and shares of death of a population as a picture."""

import textwrap

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mir21sim._typing import FloatArray
from mir21sim.analysis.cell_death import death_times
from mir21sim.analysis.dead_share import dead_share
from mir21sim.analysis.pictures import Picture
from mir21sim.analysis.plot_style import (
    OVERLAY_COLOURS,
    axis_label,
    clean,
    log_axis,
    places,
)
from mir21sim.analysis.plots import plot_family
from mir21sim.errors import InputError
from mir21sim.units import rounded

LETTERS = 110
"""Letters in a line over or below a picture."""


def plot_population(
    result: xr.Dataset,
    observe: str,
    *,
    since: float | str = 0.0,
    share: xr.Dataset | None = None,
) -> Figure:
    """Draw when the cells of a population die, and the share dead over time.

    With one swept dose, the share dead at the end by dose takes the place of the times.
    Bands of the share are those of ``dish``.

    Parameters
    ----------
    result : from ``simulate_population``, with one dimension at most besides ``cell``
        and ``time``
    observe : quantity that crosses one half in a cell that dies
    since : h, or text; cells that were dead by then are left out
    share : from ``dead_share`` of the same, where it is at hand

    Raises
    ------
    InputError
        For a result that has more dimensions besides: select first.

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
    >>> figure = ms.plot_population(result.isel(anti_miR21=1, drop=True), "PS_exposed")
    >>> len(figure.axes) >= 2
    True
    """
    died = death_times(result, observe, since=since)
    dims = [str(d) for d in died.dims if d != "cell"]
    if len(dims) > 1:
        raise InputError(
            "The picture shows one swept dose of a population, got the dimensions "
            f"{', '.join(dims)}: select a value first."
        )
    if share is None:
        share = dead_share(result, observe, since=since)
    clock, length = share["after"].attrs["units"], float(share["after"][-1])
    event = share.attrs["counted_from"]
    figure = Picture(figsize=(9.0, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    if dims:
        _plot_kill_curve(left, share)
        left.set(ylabel=f"dead cells {length:g} {clock} after {event} (%)")
        plot_family(right, share["dead"].rename(after="time"), dims[0], legend=True)
    else:
        _plot_times_of_death(left, died.values, length)
        left.set(xlabel=f"time after {event} ({clock})", xlim=(0, length))
        for ends, alpha in (("", 0.15), ("50", 0.25)):
            right.fill_between(
                share["after"].values,
                share[f"dead_low{ends}"].values,
                share[f"dead_high{ends}"].values,
                color=OVERLAY_COLOURS[0],
                alpha=alpha,
                lw=0,
            )
        right.plot(share["after"], share["dead"], color=OVERLAY_COLOURS[0], lw=1.8)
    right.set(ylabel="dead cells (%)", ylim=(0, 102))
    right.set(xlabel=f"time after {event} ({clock})", xlim=(0, length))
    for ax in (left, right):
        clean(ax)
    whose = [*map(result.attrs.get, ("model_id", "context")), share.attrs["treatment"]]
    whose.append(f"{share.attrs['cells']} cells{' a dose' if dims else ''}")
    _frame(
        figure, " · ".join(filter(None, whose)), result[observe], share.attrs["band"]
    )
    return figure


def _frame(figure: Figure, headline: str, death: xr.DataArray, band: str) -> None:
    """Put the treatment over a picture, and when a cell is dead and the bands below."""
    figure.suptitle(textwrap.fill(headline, LETTERS), fontsize=10, x=0.01, ha="left")
    words = f"Dead: {axis_label(death)} crosses one half. Bands: 50 and {band}."
    figure.supxlabel(
        textwrap.fill(words, LETTERS), fontsize=8, color="0.35", x=0.99, ha="right"
    )


def _plot_times_of_death(ax: Axes, died: FloatArray, length: float) -> None:
    """Draw how many cells die when, and how many of them."""
    when = died[np.isfinite(died) & (died > 0)]
    ax.hist(when, bins=np.linspace(0.0, length, 41).tolist(), color=OVERLAY_COLOURS[0])
    ax.set_ylabel("cells")
    alive = int((died > 0).sum())
    title = f"{len(when)} of {alive} cells die" if len(when) else "no cell dies"
    if len(when) > 1:
        title += (
            f"; mean {rounded(when.mean())} h, CV {when.std(ddof=1) / when.mean():.2f}"
        )
    ax.set_title(title, fontsize=10)


def _plot_kill_curve(ax: Axes, share: xr.Dataset) -> None:
    """Draw the share dead by dose, dose 0 apart at the left of a logarithmic axis."""
    end = share.isel(after=-1)
    (name,) = end["dead"].dims
    doses, dead = end[name].values.astype(float), end["dead"].values
    place = places(doses)
    order = np.argsort(place)
    joined = order[doses[order] > 0]
    colour = OVERLAY_COLOURS[0]
    for ends, width in (("", 1.0), ("50", 3.0)):
        low, high = end[f"dead_low{ends}"].values, end[f"dead_high{ends}"].values
        ax.vlines(place, low, high, color=colour, lw=width, alpha=0.5)
    ax.plot(place[joined], dead[joined], color=colour, lw=1.8)
    ax.plot(place, dead, "o", color=colour, mfc="white", ms=5)
    if (dead == 0).all():
        ax.set_title("no cell dies at any of these doses", fontsize=10)
    log_axis(ax, doses)
    ax.set(xlabel=axis_label(end[name]), ylim=(0, 102))
