"""The picture of a validation: measured against predicted, and claims."""

import math
import textwrap
from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mir21sim.analysis.pictures import Picture
from mir21sim.model.info import unique
from mir21sim.units import rounded
from mir21sim.validation.verdicts import Outcome

COLOURS = {"pass": "#0072B2", "fail": "#D55E00", "conflict": "#999999"}


MARKERS = {"pass": "o", "fail": "X", "conflict": "D"}
"""Colour and shape say the same, so that either is enough (Okabe and Ito 2008)."""


def plot_validation(outcomes: Sequence[Outcome]) -> Figure:
    """Draw the verdicts: observations against their range, claims by cell line.

    Observations are drawn relative to the measured value, so that all fit one axis;
    points outside the axis are drawn at its edge.
    """
    measured = [o for o in outcomes if o.kind == "observation"]
    claims = [o for o in outcomes if o.kind == "claim"]
    rows = max(len(measured), len(unique(o.id + o.what for o in claims)), 4)
    figure = Picture(figsize=(15.5, 2.2 + 0.235 * rows), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _draw_measured(left, measured)
    _draw_claims(right, claims)
    counts = Counter(str(o.verdict) for o in outcomes)
    figure.legend(
        handles=[
            Line2D(
                [], [], ls="", marker=MARKERS[v], color=COLOURS[v], ms=7,
                label=f"{v} ({counts[v]})",
            )
            for v in COLOURS
        ],
        loc="outside upper center",
        ncols=3,
        frameon=False,
    )  # fmt: skip
    return figure


def _draw_measured(ax: Axes, outcomes: Sequence[Outcome]) -> None:
    """Draw predicted over observed, with the accepted range as a bar."""
    ax.set_title("Observations: prediction relative to the measured value", fontsize=11)
    limit = 4.0
    for k, o in enumerate(outcomes):
        scale = _scale(o)
        low, high, value = (
            _relative(x, o.observed, scale) for x in (o.low, o.high, o.predicted)
        )
        ax.plot(
            np.clip([low, high], -limit, limit),
            [k, k],
            color="0.65",
            lw=5,
            solid_capstyle="butt",
            zorder=1,
        )
        ax.plot(0.0, k, marker="|", color="0.2", ms=9, zorder=2)
        if math.isnan(value):
            note = textwrap.shorten(o.reason, 44, placeholder="…")
            ax.text(0.1, k, f"  {note}", va="center", fontsize=7, color=COLOURS["fail"])
            continue
        ax.plot(
            np.clip(value, -limit, limit),
            k,
            ls="",
            marker=MARKERS[o.verdict],
            color=COLOURS[o.verdict],
            ms=6.5,
            zorder=3,
        )
        ax.text(
            limit * 1.04,
            k,
            f"{rounded(o.predicted)} / {rounded(o.observed)} {o.unit}",
            va="center",
            fontsize=7,
            color="0.25",
        )
    ax.set_yticks(
        range(len(outcomes)),
        [f"{textwrap.shorten(o.what, 52, placeholder='…')}  {o.id}" for o in outcomes],
        fontsize=7.5,
    )
    ticks = (-4, -2, -1, 0, 1, 2, 4)
    ax.set_xticks(ticks, [f"{2.0**t:g}×" for t in ticks])
    ax.set_xlim(-limit * 1.03, limit * 1.03)
    ax.set_ylim(len(outcomes) - 0.4, -0.6)
    ax.set_xlabel(
        "prediction over measurement (shares: their difference, 0.25 a doubling);\n"
        "grey bar: accepted range; right: predicted / observed",
        fontsize=8.5,
    )
    ax.grid(axis="x", color="0.92", lw=0.6)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)


def _scale(o: Outcome) -> float:
    """Return the divisor of a share's difference; 0 for ratios."""
    return 0.25 if o.unit == "fraction" or o.low <= 0 or o.observed <= 0 else 0.0


def _relative(value: float, observed: float, scale: float) -> float:
    """Return where a value stands: doublings from the observed, or difference."""
    if math.isnan(value):
        return math.nan
    if scale:
        return (value - observed) / scale
    return math.log2(value / observed) if value > 0 else -math.inf


def _draw_claims(ax: Axes, outcomes: Sequence[Outcome]) -> None:
    """Draw one dot a claim and cell line."""
    ax.set_title("Claims, by cell line", fontsize=11)
    lines = unique(o.context for o in outcomes)
    keys = list(dict.fromkeys((o.id, o.what) for o in outcomes))
    for o in outcomes:
        ax.plot(
            lines.index(o.context),
            keys.index((o.id, o.what)),
            ls="",
            marker=MARKERS[o.verdict],
            color=COLOURS[o.verdict],
            ms=6.5,
        )
    ax.set_xticks(range(len(lines)), lines, rotation=45, ha="left", fontsize=8)
    ax.xaxis.tick_top()
    ax.set_yticks(
        range(len(keys)),
        [f"{textwrap.shorten(what, 58, placeholder='…')}  {id_}" for id_, what in keys],
        fontsize=7.5,
    )
    ax.set_xlim(-0.6, max(len(lines), 1) - 0.4)
    ax.set_ylim(len(keys) - 0.4, -0.6)
    ax.grid(color="0.93", lw=0.6)
    ax.set_axisbelow(True)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
