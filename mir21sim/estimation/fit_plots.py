"""Pictures of fits: waterfall, parameters, curves over data, profiles, bands."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mir21sim._typing import FloatArray
from mir21sim.estimation.curves import Curve, curves_of
from mir21sim.estimation.fit import NEAR, FitResult
from mir21sim.estimation.profiles import Profile

_BEST, _OTHER, _DATA = "#1f6f8b", "#b8b8b8", "#222222"

MOST_PANELS = 12
"""Panels of one picture; others are left out, and the title has their number."""


def plot_waterfall(result: FitResult) -> Figure:
    """Draw the objective of every start over the best, in ascending order."""
    figure, ax = _subplots(figsize=(5.6, 3.8))
    values = np.array([s.value for s in result.starts])
    good = np.isfinite(values)
    gap = values[good] - result.best.value
    place = np.arange(1, len(gap) + 1)
    same = gap < NEAR
    ax.plot(place, 1.0 + gap, color=_OTHER, lw=1, zorder=1)
    ax.scatter(place[~same], 1.0 + gap[~same], color=_OTHER, zorder=2, s=28)
    ax.scatter(
        place[same],
        1.0 + gap[same],
        color=_BEST,
        zorder=3,
        s=28,
        label=f"{int(same.sum())} of {len(values)} starts at the best optimum",
    )
    ax.set_yscale("log")
    ax.set_ylim(0.9, max(10.0, 1.5 * float(1.0 + gap.max(initial=0.0))))
    ax.set_xlabel("start, in order")
    ax.set_ylabel("1 + objective over the best")
    ax.xaxis.get_major_locator().set_params(integer=True)
    failed = int((~good).sum())
    ax.set_title(f"Best objective {result.best.value:.6g}; {failed} starts failed")
    ax.legend(frameon=False)
    _clean(ax)
    return figure


def plot_parameters(result: FitResult) -> Figure:
    """Draw the values of all starts within the bounds, the best on top."""
    names = result.problem.names
    lower, upper = result.problem.bounds
    height = max(2.4, 0.26 * len(names) + 1.2)
    figure, ax = _subplots(figsize=(6.4, height))
    places = np.arange(len(names))[::-1]
    span = np.where(np.isfinite(upper - lower), upper - lower, 1.0)
    for start in reversed(result.starts):
        if np.isfinite(start.value):
            near = start.value - result.best.value < NEAR
            ax.plot(
                (start.x - lower) / span,
                places,
                color=_BEST if near else _OTHER,
                lw=0.8,
                marker="o",
                ms=3.5,
                zorder=3 if near else 2,
            )
    ax.set_yticks(places, names, fontsize="small")
    ax.set_xlim(-0.02, 1.02)
    ax.set_xticks([0, 0.5, 1], ["lower bound", "middle", "upper bound"])
    ax.set_title(f"{len(result.starts)} starts; blue: at the best optimum")
    _clean(ax)
    return figure


def plot_fit(result: FitResult) -> Figure:
    """Draw the fitted curves over the data, one panel an observable."""
    found = curves_of(result.objective, result.x)
    labels = list(dict.fromkeys(curve.observable for curve in found))
    shown = labels[:MOST_PANELS]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = _subplots(
        rows,
        columns,
        figsize=(4.0 * columns + 0.6, 3.1 * rows + 0.4),
        squeeze=False,
    )
    problem = result.problem
    for ax, label in zip(axes.flat, shown, strict=False):
        _panel(ax, [c for c in found if c.observable == label])
        ax.set_title(problem.labels.get(label, label), fontsize="medium")
        ax.set_xlabel(f"time ({problem.time_unit})" if problem.time_unit else "time")
    for ax in list(axes.flat)[len(shown) :]:
        ax.set_visible(False)
    if len(labels) > len(shown):
        figure.suptitle(f"{len(shown)} of {len(labels)} observables")
    return figure


def _panel(ax: Axes, curves: list[Curve]) -> None:
    colours = plt.get_cmap("viridis")(np.linspace(0.05, 0.85, max(len(curves), 1)))
    for curve, colour in zip(curves, colours, strict=True):
        ax.plot(curve.line_time, curve.line, color=colour, lw=1.6, label=curve.label)
        ax.fill_between(
            curve.line_time,
            curve.line - curve.line_noise,
            curve.line + curve.line_noise,
            color=colour,
            alpha=0.15,
            lw=0,
        )
        ax.scatter(curve.time, curve.value, color=colour, s=14, zorder=3)
    if 1 < len(curves) <= 8:
        ax.legend(frameon=False, fontsize="x-small")
    _clean(ax)


def plot_profiles(found: Mapping[str, Profile], threshold: float = 1.92) -> Figure:
    """Draw profile likelihoods with their intervals."""
    shown = list(found.values())[:MOST_PANELS]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = _subplots(
        rows,
        columns,
        figsize=(3.6 * columns + 0.4, 2.8 * rows + 0.4),
        squeeze=False,
    )
    for ax, profile in zip(axes.flat, shown, strict=False):
        ax.plot(profile.x, profile.rise, color=_BEST, marker="o", ms=3)
        ax.axhline(threshold, color=_DATA, lw=0.8, ls="--")
        ax.set_ylim(min(0.0, float(profile.rise.min())) - 0.1, 2.5 * threshold)
        ax.set_xlabel(f"{profile.scale} {profile.name}".removeprefix("lin "))
        ax.set_ylabel("objective over the best")
        ends = ("open" if profile.open_low else f"{profile.low:.3g}") + " to "
        ends += "open" if profile.open_high else f"{profile.high:.3g}"
        ax.set_title(ends, fontsize="medium")
        _clean(ax)
    for ax in list(axes.flat)[len(shown) :]:
        ax.set_visible(False)
    return figure


def band(
    ax: Axes, time: FloatArray, quantiles: FloatArray, colour: str = _BEST
) -> None:
    """Draw a median with its 50 and 95 % bands; quantiles of shape (5, n_time)."""
    ax.fill_between(time, quantiles[0], quantiles[4], color=colour, alpha=0.15, lw=0)
    ax.fill_between(time, quantiles[1], quantiles[3], color=colour, alpha=0.3, lw=0)
    ax.plot(time, quantiles[2], color=colour, lw=1.8)


def _clean(ax: Axes) -> None:
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _subplots(*sizes: int, **options: Any) -> tuple[Figure, Any]:
    """Return a figure whose parts do not overlap, and its axes."""
    figure: Figure
    figure, axes = plt.subplots(*sizes, layout="constrained", **options)
    return figure, axes
