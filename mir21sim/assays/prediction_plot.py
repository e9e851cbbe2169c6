"""The picture of the predictions of a study: dead cells of each sample, with bands."""

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mir21sim._typing import FloatArray
from mir21sim.analysis.dish_plot import BLUE, FONT, WIDTHS, ZERO
from mir21sim.analysis.pictures import Picture

ROW = 0.24
"""Height of the row of a sample, inches."""

MOST_ROWS = 40
"""Samples in one picture; of more the first ones are drawn, and the picture says so."""


def plot_prediction(fate: xr.Dataset, band: str) -> Figure:
    """Draw the dead cells of each sample at the last time, and their change.

    A row a sample: the mean over the parameter sets, a thick line for 50 % and a thin
    one for 95 % of them.

    Parameters
    ----------
    fate : from ``predicted_fate``
    band : the meaning of the bands
    """
    last = fate.isel(time=-1, sample=slice(0, MOST_ROWS))
    names = [str(name) for name in last["sample"].values]
    with mpl.rc_context({"font.size": FONT, "axes.titlesize": FONT}):
        size = (WIDTHS["double"], ROW * len(names) + 1.1)
        figure = Picture(figsize=size, layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        _draw_rows(left, last, "dead")
        _draw_rows(right, last, "dead_change")
        left.set_yticks(range(len(names)), names)
        left.set_ylim(len(names) - 0.5, -0.5)
        left.set_xlim(-1, 101)
        hours = f"{float(last['time']):g} h"
        left.set_xlabel(f"dead cells at {hours} (%)")
        right.set_xlabel(f"change against {names[0]} (percentage points)")
        right.axvline(0.0, color=ZERO, lw=0.6)
        words = f"Point: mean. Lines: 50 % and {band}."
        if fate.sizes["sample"] > MOST_ROWS:
            words += f" First {MOST_ROWS} of {fate.sizes['sample']} samples."
        figure.supxlabel(words, fontsize=FONT, color="0.35", x=0.99, ha="right")
    return figure


def _draw_rows(ax: Axes, last: xr.Dataset, name: str) -> None:
    """Draw one quantity, a row a sample."""
    rows: FloatArray = np.arange(last.sizes["sample"], dtype=float)
    for end, width in (("", 0.9), ("50", 2.6)):
        low, high = last[f"{name}_low{end}"].values, last[f"{name}_high{end}"].values
        ax.hlines(rows, low, high, color=BLUE, lw=width)
    ax.plot(last[name].values, rows, "o", color=BLUE, mec="white", mew=0.6, ms=4.5)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=True, axis="x", color="0.92", lw=0.6)
    ax.set_axisbelow(True)
