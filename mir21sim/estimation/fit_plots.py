"""Pictures of fits: waterfall, parameters, curves over data, profiles, bands."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import scipy.stats
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mir21sim._typing import FloatArray
from mir21sim.estimation.curves import Curve, curves_of
from mir21sim.estimation.fit import NEAR, FitResult
from mir21sim.estimation.profiles import Profile
from mir21sim.units import rounded

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
    """Draw the fitted curves over the data, one panel an observable.

    The band is one noise wide to either side. Data of steady states alone are drawn
    against the simulated values.
    """
    found = curves_of(result.objective, result.x)
    if not found:
        return _plot_against(result)
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
        ax.set_ylabel("measured and fitted")
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
            curve.low,
            curve.high,
            color=colour,
            alpha=0.15,
            lw=0,
        )
        ax.scatter(curve.time, curve.value, color=colour, s=14, zorder=3)
    if 1 < len(curves) <= 8:
        ax.legend(frameon=False, fontsize="x-small")
    if all(curve.logarithmic for curve in curves):
        ax.set_yscale("log")
    _clean(ax)


def _plot_against(result: FitResult) -> Figure:
    """Draw the measured values over the simulated ones."""
    figure, ax = _subplots(figsize=(4.6, 4.2))
    data, problem = result.problem.data, result.problem
    fit, _ = result.objective.fit(result.x)
    ax.axline((0.0, 0.0), slope=1.0, color=_OTHER, lw=1)
    colours = plt.get_cmap("viridis")(np.linspace(0.05, 0.85, len(problem.observables)))
    for o, observable in enumerate(problem.observables):
        rows = data.observable == o
        ax.scatter(
            fit.simulated[rows],
            data.value[rows],
            color=colours[o],
            s=18,
            label=problem.labels.get(observable.id, observable.id),
        )
    if 1 < len(problem.observables) <= MOST_PANELS:
        ax.legend(frameon=False, fontsize="x-small")
    ax.set_xlabel("fitted steady state")
    ax.set_ylabel("measured")
    _clean(ax)
    return figure


def plot_profiles(found: Mapping[str, Profile]) -> Figure:
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
        threshold = 0.5 * float(scipy.stats.chi2.ppf(profile.level, 1))
        ax.plot(profile.x, profile.rise, color=_BEST, marker="o", ms=3)
        ax.axhline(threshold, color=_DATA, lw=0.8, ls="--")
        level = f"{100 * profile.level:g} %"
        ax.annotate(
            level,
            (0.5, threshold),
            xycoords=("axes fraction", "data"),
            ha="center",
            va="bottom",
            fontsize="small",
        )
        ax.set_ylim(min(0.0, float(profile.rise.min())) - 0.1, 2.5 * threshold)
        ax.set_xlabel(f"{profile.scale} {profile.name}".removeprefix("lin "))
        ax.set_ylabel("objective over the best")
        ends = ("open" if profile.open_low else rounded(profile.low)) + " to "
        ends += "open" if profile.open_high else rounded(profile.high)
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
