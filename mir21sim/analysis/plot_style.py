"""Colours, labels and axes that all pictures share."""

import textwrap
from collections.abc import Iterable

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mir21sim._typing import FloatArray
from mir21sim.analysis.measured import Measured
from mir21sim.analysis.pictures import Picture
from mir21sim.units import rounded

OVERLAY_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito 2008, without the hues that fade on white."""


def new_axes(width: float = 7.2, height: float = 4.4) -> Axes:
    """Return axes in a new figure of its own, in inches."""
    ax: Axes = Picture(figsize=(width, height), layout="constrained").add_subplot()
    return ax


def axis_label(coordinate: xr.DataArray) -> str:
    """Return 'name (unit)' from a coordinate's attributes."""
    name = coordinate.attrs.get("long_name", coordinate.name)
    return f"{name}{bracketed(str(coordinate.attrs.get('units', '')))}"


def wrapped(text: str, width: int = 34) -> str:
    """Return a text in lines short enough for an axis."""
    return "\n".join(textwrap.wrap(text, width))


def bracketed(unit: str) -> str:
    """Return ' (unit)', or nothing for a number without unit."""
    return f" ({unit})" if unit and unit not in ("1", "dimensionless") else ""


def zero_place(positive: FloatArray) -> float:
    """Return where dose 0 stands on a logarithmic axis: a ninth of it to the left."""
    if not positive.size:
        return 1.0
    decades = max(1.0, float(np.ptp(np.log10(positive))))
    return float(positive.min() * 10 ** (-decades / 8))


def places(doses: FloatArray) -> FloatArray:
    """Return where doses stand on a logarithmic axis, dose 0 apart at its left."""
    return np.where(doses > 0, doses, zero_place(doses[doses > 0]))


def log_axis(ax: Axes, doses: FloatArray) -> None:
    """Make the axis of doses logarithmic; label dose 0, and only whole decades else."""
    positive = doses[doses > 0]
    if not positive.size:
        return
    ax.set_xscale("log")
    if not (doses == 0).any():
        return
    zero = zero_place(positive)
    low, high = np.floor(np.log10(positive.min())), np.ceil(np.log10(positive.max()))
    decades = [
        d for d in 10.0 ** np.arange(low, high + 1) if d >= positive.min() * 0.99
    ]
    ax.set_xticks([zero, *decades], ["0", *(rounded(d) for d in decades)])
    ax.minorticks_off()
    ax.axvline(zero * np.sqrt(positive.min() / zero), color="0.85", lw=0.8, ls=":")


def clean(ax: Axes) -> None:
    """Leave out the upper and the right frame, and draw a faint grid."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(visible=True, color="0.92", lw=0.6)
    ax.set_axisbelow(True)


def shades(values: FloatArray) -> FloatArray:
    """Return a colour for each value, dark to light in their order, not too light."""
    ranks = np.argsort(np.argsort(values))
    share = ranks / max(1, len(values) - 1)
    found: FloatArray = mpl.colormaps["viridis"](0.88 * share)
    return found


def figure_of(ax: Axes) -> Figure:
    """Return the figure that holds the axes."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def draw_measured(ax: Axes, measured: Iterable[Measured]) -> None:
    """Draw measured points with their errors, a marker for each series."""
    for k, curve in enumerate(measured):
        ax.errorbar(
            curve.times_h,
            curve.values,
            yerr=curve.errors,
            fmt="osD^v"[k % 5],
            ms=4.5,
            color="0.15",
            mfc="white",
            capsize=2,
            label=f"{curve.label} (measured)",
        )
