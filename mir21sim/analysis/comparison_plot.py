"""Curves of compared results with bands, and their difference beside them."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mir21sim._typing import FloatArray
from mir21sim.analysis.cell_means import BAND, INNER, Drawn
from mir21sim.analysis.curves import (
    Results,
    label_results,
    quantity,
    swept_of,
    time_unit,
)
from mir21sim.analysis.feature_bands import Members
from mir21sim.analysis.measured import Measured
from mir21sim.analysis.pictures import Picture
from mir21sim.analysis.plot_style import (
    OVERLAY_COLOURS,
    axis_label,
    clean,
    draw_measured,
    wrapped,
)
from mir21sim.analysis.set_bands import percentiles
from mir21sim.errors import InputError
from mir21sim.units import rounded

MOST = 4
"""Curves with bands in one panel; more would hide each other."""


class Curve(NamedTuple):
    """The members of one run.

    Attributes
    ----------
    label : as it is drawn
    result : label of the result
    where : swept names and values
    members : cells or draws
    times : float array, shape (n_time,)
    values : float array, shape (n_member, n_time)
    """

    label: str
    result: str
    where: tuple[tuple[str, float], ...]
    members: Members
    times: FloatArray
    values: FloatArray


def plot_comparison(
    results: Results, observe: str, measured: Iterable[Measured] = ()
) -> Figure:
    """Draw one quantity of several results with bands, and the change beside it.

    The change is that from the first result at the same swept values, or from the
    lowest swept value of a single one. At most four curves are drawn, spread evenly.

    Parameters
    ----------
    results : as in ``compare_bands``
    measured : points over the curves

    Raises
    ------
    InputError
        For results at other times, whose curves have no difference.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> t = ("time", np.linspace(0, 10, 11), {"units": "h"})
    >>> draws = np.linspace(1.0, 2.0, 101)[:, np.newaxis] * t[1]
    >>> low = xr.Dataset({"C": (("draw", "time"), draws)}, {"time": t})
    >>> left, right = plot_comparison({"low": low, "twice": 2 * low}, "C").axes
    >>> len(left.lines), len(right.lines)
    (6, 4)
    """
    labelled = label_results(results)
    curves = _curves(labelled, observe)
    first = next(iter(labelled.values()))
    figure = Picture(figsize=(9.0, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    places = np.unique(np.linspace(0, len(curves) - 1, min(len(curves), MOST)))
    shown = [curves[int(k)] for k in places]
    references = [_reference(curve, curves, len(labelled) > 1) for curve in shown]
    right.axhline(0.0, color="0.35", lw=0.9)
    for curve, reference, colour in zip(
        shown, references, OVERLAY_COLOURS, strict=False
    ):
        middle = curve.members.drawn(curve.values)
        _draw(left, curve.times, middle, colour, curve.label)
        if reference is not None:
            _draw(right, curve.times, _change(reference, curve), colour, curve.label)
    draw_measured(left, measured)
    what = quantity(first, observe)
    unit = time_unit(first)
    left.set(xlabel=f"time ({unit})", ylabel=wrapped(axis_label(what)))
    right.set(xlabel=f"time ({unit})", ylabel=wrapped(f"change of {axis_label(what)}"))
    base = next(iter(labelled)) if len(labelled) > 1 else _lowest(curves).label
    same = " at the same values" if len(labelled) > 1 and curves[0].where else ""
    right.set_title(f"minus {base}{same}", fontsize=9, loc="left")
    for ax in (left, right):
        clean(ax)
    figure.legend(
        *left.get_legend_handles_labels(),
        loc="outside upper left",
        ncols=2,
        frameon=False,
        fontsize="small",
    )
    words = _words(labelled, len(curves), len(shown))
    figure.supxlabel(words, fontsize=8, color="0.35")
    return figure


def _curves(labelled: dict[str, xr.Dataset], observe: str) -> list[Curve]:
    """Return the curve of each run."""
    found = []
    for label, result in labelled.items():
        members = Members.of(result)
        values = quantity(result, observe)
        if members.name not in values.dims:
            values = values.expand_dims(members.name)
        dims = swept_of(values)
        block = values.transpose(*dims, members.name, "time").values
        for place in np.ndindex(*block.shape[:-2]):
            where = tuple(
                (d, float(result[d][k])) for d, k in zip(dims, place, strict=True)
            )
            texts = [_dose_words(result[d], value) for d, value in where]
            words = [label, *texts] if len(labelled) > 1 or not where else texts
            found.append(
                Curve(
                    ", ".join(words),
                    label,
                    where,
                    members,
                    result["time"].values,
                    block[place],
                )
            )
    return found


def _dose_words(coordinate: xr.DataArray, value: float) -> str:
    """Return 'anti-miR-21 100 nM'."""
    name = coordinate.attrs.get("long_name", coordinate.name)
    unit = str(coordinate.attrs.get("units", ""))
    return f"{name} {rounded(value)} {'' if unit == '1' else unit}".rstrip()


def _lowest(curves: Sequence[Curve]) -> Curve:
    """Return the curve at the lowest swept values."""
    return min(curves, key=lambda curve: [value for _, value in curve.where])


def _reference(curve: Curve, curves: Sequence[Curve], several: bool) -> Curve | None:
    """Return the curve that one is compared with, None where it has none."""
    first = curves[0].result
    if not several:
        lowest = _lowest(curves)
        return None if curve is lowest else lowest
    if curve.result == first:
        return None
    same = (c for c in curves if c.result == first and c.where == curve.where)
    return next(same, None)


def _change(reference: Curve, other: Curve) -> Drawn:
    """Return the middle of a difference of curves, and its draws."""
    a, b = reference.values, other.values
    times, clock = reference.times, other.times
    if times.shape != clock.shape or not np.allclose(times, clock):
        raise InputError(
            "The difference of curves needs the same output times in all results, got "
            f"{len(times)} to {times[-1]:g} and {len(clock)} to {clock[-1]:g}: run "
            "them with the same --end and --points."
        )
    if other.members.like(reference.members):
        return other.members.drawn(b - a)
    (top, tops), (low, lows) = other.members.drawn(b), reference.members.drawn(a)
    return top - low, (tops[:, np.newaxis] - lows).reshape(-1, *top.shape)


def _draw(
    ax: Axes,
    times: FloatArray,
    drawn: Drawn,
    colour: str,
    label: str,
) -> None:
    """Draw a middle with its 50 and 95 % bands."""
    middle, draws = drawn
    for edge in percentiles(draws, BAND):
        ax.plot(times, edge, color=colour, lw=0.6, ls="--")
    low, high = percentiles(draws, INNER)
    ax.fill_between(times, low, high, color=colour, alpha=0.2, lw=0)
    ax.plot(times, middle, color=colour, lw=1.8, label=label)


def _words(labelled: dict[str, xr.Dataset], count: int, shown: int) -> str:
    """Return what lines and bands are, below the picture."""
    bands = dict.fromkeys(Members.of(r).band for r in labelled.values())
    texts = [
        band.replace("95 %", "50 % (shade) and 95 % (dashed)", 1) for band in bands
    ]
    words = f"Lines and bands: {'; '.join(filter(None, texts))}."
    if shown < count:
        words += f" {shown} of {count} curves."
    return textwrap.fill(words, 120)
