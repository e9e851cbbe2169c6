"""Dishes on several schedules as a picture: activity, dead cells, response."""

import textwrap

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mir21sim.analysis.curves import dose_records
from mir21sim.analysis.dish import RESPONSES
from mir21sim.analysis.dish_plot import (
    FONT,
    LABELLED_LINES,
    LETTERS,
    WIDTHS,
    axis_text,
    dose_label,
    log_axis,
)
from mir21sim.analysis.pictures import Picture
from mir21sim.analysis.plot_style import OVERLAY_COLOURS
from mir21sim.analysis.schedule_dishes import ScheduledDishes
from mir21sim.errors import InputError, UnknownNameError

NAME_WIDTH = 14
"""Letters in one line of a schedule's name."""


def plot_schedules(
    dishes: ScheduledDishes, response: str = "dead_end", *, width: str = "double"
) -> Figure:
    """Draw activity and dead cells over time, and a response, by schedule.

    At one dose panel c has a point a schedule, at several a curve. Panels a and b are
    of the largest dose.

    Parameters
    ----------
    response : "peak", "integrated" or "dead_end"
    width : "single" or "double"

    Raises
    ------
    InputError
        For more schedules than can be told apart by colour.
    UnknownNameError
        For another response or width.

    Examples
    --------
    >>> import mir21sim as ms
    >>> model = ms.load("mir21_core", "HeLa")
    >>> found = ms.sweep_schedules(
    ...     model, "anti_miR21=0h,6h", "9h", cells=ms.Population(3), points=4,
    ...     doses=["anti_miR21=10 nM@0h", "TRAIL=50 ng/ml@6h"],
    ...     observe=["CASP3_active", "MOMP_fraction"],
    ... )
    >>> dishes = ms.scheduled_dishes(
    ...     found, "anti_miR21", ["CASP3_active"], "MOMP_fraction"
    ... )
    >>> figure = ms.plot_schedules(dishes)
    >>> len(figure.axes) >= 3
    True
    """
    if response not in RESPONSES:
        raise UnknownNameError("response", response, RESPONSES)
    if width not in WIDTHS:
        raise UnknownNameError("width", width, tuple(WIDTHS))
    if len(dishes.labels) > LABELLED_LINES:
        raise InputError(
            f"The picture tells {LABELLED_LINES} schedules apart at most, got "
            f"{len(dishes.labels)}: give fewer, or leave --plot out."
        )
    with mpl.rc_context({"font.size": FONT, "axes.titlesize": FONT}):
        single = width == "single"
        size = (WIDTHS[width], 6.6 if single else 2.7)
        figure = Picture(figsize=size, layout="constrained")
        axes = list(figure.subplots(3, 1) if single else figure.subplots(1, 3))
        _draw_curves(axes[0], dishes, "activity")
        _draw_curves(axes[1], dishes, "dead")
        if len(dishes.swept) > 1:
            _draw_doses(axes[2], dishes, response)
            axes[0].legend(frameon=False, fontsize=FONT, loc="upper right")
        else:
            _draw_points(axes[2], dishes, response)
        for letter, ax in zip("abc", axes, strict=True):
            ax.set_title(letter, loc="left", weight="bold")
            ax.spines[["top", "right"]].set_visible(False)
        figure.suptitle(_headline(dishes, width), fontsize=FONT, x=0.01, ha="left")
        figure.supxlabel(
            f"Bands: {dishes.drawn[0].band}.",
            fontsize=FONT,
            color="0.35",
            x=0.99,
            ha="right",
        )
    return figure


def _draw_curves(ax: Axes, dishes: ScheduledDishes, name: str) -> None:
    """Draw one curve a schedule at the largest dose, with its band."""
    top = int(np.argmax(dishes.swept.values))
    for k, table in enumerate(dishes.tables):
        row = table.isel({dishes.target: top})
        after = row["after"].values
        low, high = row[f"{name}_low"].values, row[f"{name}_high"].values
        ax.fill_between(after, low, high, color=OVERLAY_COLOURS[k], alpha=0.15, lw=0)
        label = textwrap.fill(dishes.labels[k], NAME_WIDTH)
        ax.plot(after, row[name].values, color=OVERLAY_COLOURS[k], lw=1.1, label=label)
    table = dishes.tables[0]
    ax.set_xlim(float(table["after"][0]), float(table["after"][-1]))
    ax.set_ylim(0, 102 if table[name].attrs["units"] == "%" else None)
    ax.set_ylabel(axis_text(table, name))
    ax.set_xlabel(f"time after {table.attrs['counted_from']} (h)")


def _draw_points(ax: Axes, dishes: ScheduledDishes, response: str) -> None:
    """Draw a point with its interval for each schedule, named at the axis."""
    for k, table in enumerate(dishes.tables):
        row = table.isel({dishes.target: 0})
        point = float(row[response])
        reach = [
            [point - float(row[f"{response}_low"])],
            [float(row[f"{response}_high"]) - point],
        ]
        ax.errorbar(
            point,
            -k,
            xerr=np.maximum(reach, 0.0),
            fmt="o",
            ms=3.5,
            lw=1.1,
            color=OVERLAY_COLOURS[k],
        )
    names = [textwrap.fill(label, NAME_WIDTH) for label in dishes.labels]
    ax.set_yticks(-np.arange(len(names)), names)
    for tick, colour in zip(ax.get_yticklabels(), OVERLAY_COLOURS, strict=False):
        tick.set_color(colour)
    ax.set_ylim(0.5 - len(names), 0.5)
    ax.set_xlabel(axis_text(dishes.tables[0], response))
    ax.grid(axis="x", color="0.9", lw=0.6)
    ax.set_axisbelow(True)


def _draw_doses(ax: Axes, dishes: ScheduledDishes, response: str) -> None:
    """Draw the response by dose, a curve a schedule."""
    doses = dishes.swept.values.astype(float)
    positive = np.flatnonzero(doses > 0)
    order = positive[np.argsort(doses[positive])]
    for k, table in enumerate(dishes.tables):
        low, high = table[f"{response}_low"].values, table[f"{response}_high"].values
        ax.fill_between(
            doses[order],
            low[order],
            high[order],
            color=OVERLAY_COLOURS[k],
            alpha=0.15,
            lw=0,
        )
        ax.plot(
            doses[order],
            table[response].values[order],
            "-o",
            color=OVERLAY_COLOURS[k],
            lw=1.1,
            ms=2.5,
        )
    span = doses[order].max() / doses[order].min() if order.size else 1.0
    if span > 10:
        log_axis(ax, doses[order].min() / span ** (1 / 7), doses[order])
    ax.set_ylim(0, 102 if dishes.tables[0][response].attrs["units"] == "%" else None)
    ax.set_xlabel(dose_label(dishes.swept))
    ax.set_ylabel(axis_text(dishes.tables[0], response))


def _headline(dishes: ScheduledDishes, width: str) -> str:
    """Return cell line, other doses and the scheduled substance."""
    table = dishes.tables[0]
    name = str(dishes.swept.attrs.get("long_name", dishes.target))
    unit = str(dishes.swept.attrs.get("units", ""))
    top = f"{name} {float(dishes.swept.values.max()):g} {unit}".strip()
    others = [
        f"{dose['target']} {dose['amount']:g} {dose['unit']} at {dose['time']:g} h"
        for dose in dose_records(table)
        if dose["target"] != dishes.target
    ]
    parts = [
        str(table.attrs.get("context", "")),
        ", ".join([f"{top}, by schedule", *others]),
        f"{table.attrs['cells']} simulated cells a schedule",
    ]
    return textwrap.fill(" · ".join(filter(None, parts)), int(LETTERS * WIDTHS[width]))
