"""Branches of steady states as a picture: stable solid, unstable dashed."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from mir21sim.analysis.pictures import Picture
from mir21sim.analysis.plot_style import wrapped
from mir21sim.errors import UnknownNameError

STABLE, UNSTABLE = "#0072B2", "0.45"
MARKS = {"fold": "s", "Hopf": "o", "branch point": "D"}
"""Marker of each kind of special point."""

WIDE = 300.0
"""Ratio of the largest to the smallest value above which an axis is logarithmic."""


def plot_continuation(result: xr.Dataset, observe: str | None = None) -> Axes:
    """Draw one quantity of the steady states over the varied number.

    Parameters
    ----------
    result : from ``continuation``
    observe : the quantity; by default the first

    Raises
    ------
    UnknownNameError
        For a quantity that the result does not have.

    Examples
    --------
    >>> import mir21sim as ms
    >>> found = ms.continuation("mir21_core", {"k_deg_PTEN": "log:1e-6:1e-4:2"},
    ...     observe=["PTEN"])
    >>> axes = ms.plot_continuation(found)
    >>> axes.get_xscale()
    'log'
    """
    known = quantities_of(result)
    observe = known[0] if observe is None else observe
    if observe not in known:
        raise UnknownNameError("quantity", observe, known)
    name = varied_name(result)
    axes: Axes = Picture(figsize=(4.2, 3.2), layout="constrained").add_subplot()
    x, y = result[name].values, result[observe].values
    stable, branch = result["stable"].values == 1, result["branch"].values
    labels = {True: "stable", False: "unstable"}
    for k in np.unique(branch):
        for start, end, steady in _runs(stable, np.flatnonzero(branch == k)):
            axes.plot(
                x[start:end],
                y[start:end],
                color=STABLE if steady else UNSTABLE,
                linestyle="-" if steady else "--",
                linewidth=1.4,
                label=labels.pop(steady, None),
            )
    _mark(axes, result, observe)
    _scales(axes, result, x, y)
    axes.set_xlabel(_titled(name, result[name].attrs.get("units", "")))
    label = str(result[observe].attrs.get("long_name", observe))
    title = _titled(label, result[observe].attrs.get("units", ""))
    axes.set_ylabel(wrapped(title))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return axes


def quantities_of(result: xr.Dataset) -> tuple[str, ...]:
    """Return the quantities of a continuation."""
    own = {"stable", "eigenvalue_real", "eigenvalue_imag"}
    return tuple(
        str(n)
        for n in result.data_vars
        if result[n].dims == ("point",) and n not in own
    )


def varied_name(result: xr.Dataset) -> str:
    """Return the name of the varied number."""
    return next(
        str(n)
        for n, c in result.coords.items()
        if c.dims == ("point",) and n != "branch"
    )


def _runs(stable: np.ndarray, places: np.ndarray) -> list[tuple[int, int, bool]]:
    """Return stretches of equal stability: first, one behind the last, stable or not.

    Each begins with the last point of the one before, so that no gap is drawn.
    """
    found: list[tuple[int, int, bool]] = []
    start = int(places[0])
    for k in places[1:]:
        if stable[k] != stable[k - 1]:
            found.append((start, int(k), bool(stable[k - 1])))
            start = int(k) - 1
    found.append((start, int(places[-1]) + 1, bool(stable[places[-1]])))
    return found


def _mark(axes: Axes, result: xr.Dataset, observe: str) -> None:
    """Mark folds and Hopf points, each kind once in the legend."""
    kinds = result["special_kind"].values.astype(str)
    for kind, mark in MARKS.items():
        which = kinds == kind
        if which.any():
            axes.plot(
                result["special_value"].values[which],
                result[f"special_{observe}"].values[which],
                mark,
                color="#D55E00",
                markersize=5,
                label=kind,
                zorder=3,
            )


def _scales(axes: Axes, result: xr.Dataset, x: np.ndarray, y: np.ndarray) -> None:
    if result.attrs.get("log"):
        axes.set_xscale("log")
        if x.max() / x.min() < WIDE:  # powers of ten alone would be too few
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
    if y.min() > 0 and y.max() / y.min() > WIDE:
        axes.set_yscale("log")  # margins of the linear scale would reach to zero
        axes.set_ylim(0.5 * float(y.min()), 2.0 * float(y.max()))
    else:
        axes.set_ylim(bottom=min(0.0, float(y.min())))
    axes.set_xlim(float(x.min()), float(x.max()))


def _titled(name: str, unit: object) -> str:
    return f"{name} ({unit})" if unit and unit != "1" else name
