"""Curves and dose–responses as pictures: data in, Axes or a Figure out.

No pyplot, so no window and no global state: save with ``save`` or ``ax.figure``.
Colours come from viridis, which reads the same with any colour vision.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import scipy.interpolate
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mir21sim import files
from mir21sim._typing import FloatArray
from mir21sim.analysis.curves import (
    Results,
    compare,
    dose_records,
    label_results,
    named_dims,
    quantity,
    responses_of,
    stimulus_time,
)
from mir21sim.analysis.estimates import DoseResponse
from mir21sim.analysis.feature_bands import band_words, bars_of
from mir21sim.analysis.measured import Measured
from mir21sim.analysis.pictures import Picture
from mir21sim.analysis.plot_style import (
    OVERLAY_COLOURS,
    axis_label,
    bracketed,
    clean,
    draw_measured,
    figure_of,
    log_axis,
    new_axes,
    places,
    shades,
    wrapped,
)
from mir21sim.analysis.switch_window import switch_window
from mir21sim.errors import InputError
from mir21sim.simulation import dataset
from mir21sim.simulation.stored_features import FEATURES
from mir21sim.units import rounded

MAX_PANELS = 6
MAX_LEGEND = 16
STYLES = ("-", "--", ":", "-.")

BESIDE = 1.03
"""Factor between the places of the bars of two series at one dose."""


def plot_curves(
    result: xr.Dataset,
    observe: str,
    ax: Axes | None = None,
    *,
    legend: bool = True,
) -> Axes:
    """Plot one quantity over time, one curve a run, coloured by the swept value.

    Parameters
    ----------
    result : from ``simulate`` or ``sweep``, with at most one swept dimension
    observe : the quantity
    ax : where to draw; a new figure by default

    Raises
    ------
    InputError
        For more than one swept dimension: select first, or use ``plot_sweep``.

    Examples
    --------
    >>> import mir21sim as ms
    >>> import numpy as np
    >>> import xarray as xr
    >>> t = np.linspace(0, 10, 101)
    >>> doses = ("anti_miR21", [0.0, 1.0, 10.0], {"units": "nM"})
    >>> rise = np.array([1.0, 2.0, 4.0])[:, None] * (1 - np.exp(-t))
    >>> result = xr.Dataset(
    ...     {"A": (("anti_miR21", "time"), rise, {"units": "molecule"})},
    ...     {"anti_miR21": doses, "time": ("time", t, {"units": "h"})},
    ... )
    >>> result["status"] = ("anti_miR21", [0, 0, 0])
    >>> axes = ms.plot_curves(result, "A")
    >>> len(axes.lines)
    3
    """
    ax = ax if ax is not None else new_axes()
    curves = quantity(result, observe)
    dims = [str(d) for d in curves.dims if d != "time"]
    if len(dims) > 1:
        raise InputError(
            f"One picture shows one swept name, got {', '.join(dims)}: select a value "
            "first (`result.isel(...)`) or use `plot_sweep`."
        )
    times = result["time"].values
    if not dims:
        ax.plot(times, curves.values, color=OVERLAY_COLOURS[0], lw=1.8)
    else:
        plot_family(ax, curves, dims[0], legend=legend)
    _mark_doses(ax, result, skip=dims)
    _label(ax, result, observe)
    return ax


def plot_family(ax: Axes, curves: xr.DataArray, name: str, *, legend: bool) -> None:
    """Draw one curve a swept value, a colour each, and say which is which."""
    values = curves[name].values
    colours = shades(values)
    block = curves.transpose(name, "time").values
    handles = []
    for value, row, colour in zip(values, block, colours, strict=True):
        dashed = value == 0
        handles += ax.plot(
            curves["time"].values,
            row,
            color="0.25" if dashed else colour,
            ls="--" if dashed else "-",
            lw=1.8,
            label=rounded(value),
        )
    if not legend:
        return
    shown = handles
    if len(handles) > MAX_LEGEND:
        chosen = np.unique(np.linspace(0, len(handles) - 1, MAX_LEGEND).round())
        shown = [handles[int(k)] for k in chosen]
    ax.legend(
        handles=shown,
        title=axis_label(curves[name]),
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        fontsize="small",
        title_fontsize="small",
    )


def plot_dose_response(
    features: xr.Dataset,
    response: str | None = None,
    ax: Axes | None = None,
    *,
    over: str | None = None,
) -> Axes:
    """Plot a feature against the dose with its EC50, one series a result.

    Dose 0 is drawn apart at the left of the logarithmic axis. A dotted line is at the
    EC50; where the doses do not determine it, the legend has the reason.

    Parameters
    ----------
    features : from ``compare``, or ``compare_bands``, whose bands are drawn as bars
    response : feature to plot; by default that of ``compare``

    Examples
    --------
    >>> import mir21sim as ms
    >>> import numpy as np
    >>> import xarray as xr
    >>> t = np.linspace(0, 10, 101)
    >>> doses = ("anti_miR21", [0.0, 1.0, 10.0], {"units": "nM"})
    >>> rise = np.array([1.0, 2.0, 4.0])[:, None] * (1 - np.exp(-t))
    >>> result = xr.Dataset(
    ...     {"A": (("anti_miR21", "time"), rise, {"units": "molecule"})},
    ...     {"anti_miR21": doses, "time": ("time", t, {"units": "h"})},
    ... )
    >>> result["status"] = ("anti_miR21", [0, 0, 0])
    >>> axes = ms.plot_dose_response(ms.compare(result, "A"))
    >>> axes.get_xlabel()
    'anti_miR21 (nM)'
    """
    ax = ax if ax is not None else new_axes()
    response = response or str(features.attrs["response"])
    if response not in FEATURES:
        raise InputError(f"`response` must be one of {', '.join(FEATURES)}.")
    swept = [str(d) for d in features[response].dims if d != "result"]
    over = over or swept[0]
    others = [d for d in swept if d != over]
    doses = features[over].values.astype(float)
    unit = str(features[over].attrs.get("units", ""))
    found: Any = responses_of(features, response, over)
    block = features[response].transpose("result", *others, over)
    found = found.reshape(block.shape[:-1])
    bars = bars_of(features, response, block)
    for k, place in enumerate(np.ndindex(found.shape)):
        where = [str(features["result"].values[place[0]])]
        where += [
            f"{d} {rounded(float(features[d].values[n]))}"
            for d, n in zip(others, place[1:], strict=True)
        ]
        colour = OVERLAY_COLOURS[k % len(OVERLAY_COLOURS)]
        style = {"label": ", ".join(where), "colour": colour, "unit": unit}
        _plot_series(ax, doses, block.values[place], found[place], **style)
        for low, high, width in bars:
            ends = low.values[place], high.values[place]
            beside = places(doses) * BESIDE**k  # so that none hides another
            ax.vlines(beside, *ends, color=colour, lw=width, alpha=0.5)
    log_axis(ax, doses)
    ax.set_xlabel(axis_label(features[over]))
    meaning = FEATURES[response][1]
    own = str(features[response].attrs.get("units", ""))
    ax.set_ylabel(f"{features.attrs['observe']}:\n{wrapped(meaning + bracketed(own))}")
    # From zero, so that a small effect looks small.
    shown = [block, *(end for bar in bars for end in bar[:2])]
    lowest = min(0.0, *(float(values.min()) for values in shown))
    top = max(0.0, *(float(values.max()) for values in shown))
    ax.set_ylim(lowest - 0.04 * (top - lowest), top + 0.08 * (top - lowest) or 1.0)
    ax.legend(
        frameon=False,
        fontsize="small",
        title=wrapped(band_words(features), 38) if bars else None,
        title_fontsize="small",
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
    )
    clean(ax)
    return ax


def _plot_series(
    ax: Axes,
    doses: FloatArray,
    points: FloatArray,
    found: DoseResponse,
    *,
    label: str,
    colour: str,
    unit: str,
) -> None:
    """Draw the points of one dose–response, joined, and mark its EC50."""
    order = np.argsort(doses, kind="stable")
    order = order[(doses[order] > 0) & np.isfinite(points[order])]
    if order.size > 1:
        curve = scipy.interpolate.PchipInterpolator(np.log(doses[order]), points[order])
        fine = np.geomspace(doses[order[0]], doses[order[-1]], 300)
        ax.plot(fine, curve(np.log(fine)), "-", color=colour, lw=1.6)
    text = f"{label}\n{wrapped(found.summary(unit), 36)}"
    ax.plot(places(doses), points, "o", color=colour, ms=5, label=text)
    for flank in (found.ec50, found.falling_ec50):
        if flank.relation == "equal":
            ax.axvline(flank.value, color=colour, lw=0.9, ls=":")
        elif flank.relation == "between":
            ax.axvspan(flank.low, flank.high, color=colour, alpha=0.12, lw=0)


def plot_sweep(result: xr.Dataset, observe: str) -> Figure:
    """Return the picture of a sweep: curves by dose, and the dose–response beside it.

    Where curves rise too sharply to be read, as those of single cells do, a further
    panel shows the time of their switch alone. With two swept names there is one panel
    of curves for each value of the second.

    Raises
    ------
    InputError
        For more than two swept names or more than six values of the second.

    Examples
    --------
    >>> import mir21sim as ms
    >>> import numpy as np
    >>> import xarray as xr
    >>> t = np.linspace(0, 10, 101)
    >>> doses = ("anti_miR21", [0.0, 1.0, 10.0], {"units": "nM"})
    >>> rise = np.array([1.0, 2.0, 4.0])[:, None] * (1 - np.exp(-t))
    >>> result = xr.Dataset(
    ...     {"A": (("anti_miR21", "time"), rise, {"units": "molecule"})},
    ...     {"anti_miR21": doses, "time": ("time", t, {"units": "h"})},
    ... )
    >>> result["status"] = ("anti_miR21", [0, 0, 0])
    >>> figure = ms.plot_sweep(result, "A")
    >>> len(figure.axes) >= 2
    True
    """
    dims = [str(d) for d in quantity(result, observe).dims if d != "time"]
    if len(dims) > 2:
        raise InputError(
            f"A picture shows two swept names at most, got {', '.join(dims)}."
        )
    panels = _slices(result, dims[1]) if len(dims) == 2 else [result]
    window = switch_window(result, observe) if len(dims) < 2 else None
    if window is not None:
        panels = [result, result]
    n = len(panels) + (1 if dims else 0)
    width = 7.2 if n == 1 else 5.4 * n + 2.0
    figure = Picture(figsize=(width, 4.4), layout="constrained")
    axes = list(figure.subplots(1, n, squeeze=False).flat)
    for k, (panel, ax) in enumerate(zip(panels, axes, strict=False)):
        plot_curves(panel, observe, ax, legend=k == len(panels) - 1)
        if len(dims) == 2:
            value = panel[dims[1]]
            ax.set_title(
                f"{axis_label(value)} = {rounded(float(value))}", fontsize="medium"
            )
    if window is not None:
        _enlarge(axes[0], axes[1], window)
    if dims:
        features = compare(result, observe, since=stimulus_time(result))
        plot_dose_response(features, ax=axes[-1], over=dims[0])
    return _titled(figure, result)


def _enlarge(whole: Axes, part: Axes, window: tuple[float, float]) -> None:
    """Limit one of two panels to the time of the switch, and mark it in the other."""
    whole.axvspan(*window, color="0.5", alpha=0.2, lw=0)
    for text in list(part.texts):  # names of doses: those outside would be cut
        if not window[0] <= float(text.xy[0]) <= window[1]:  # type: ignore[attr-defined]
            text.remove()
    part.set_xlim(*window)
    part.set_ylabel("")
    part.set_title("the switch, grey on the left", fontsize="medium")


def _slices(result: xr.Dataset, name: str) -> list[xr.Dataset]:
    count = result.sizes[name]
    if count > MAX_PANELS:
        raise InputError(
            f"A picture has at most {MAX_PANELS} panels, `{name}` has {count} values; "
            "select some first."
        )
    return [result.isel({name: k}) for k in range(count)]


def plot_overlay(
    results_: Results,
    observe: str,
    measured: Iterable[Measured] = (),
    ax: Axes | None = None,
) -> Axes:
    """Plot one quantity of several results together, and measured points over it.

    Each result has a colour; the runs of a sweep within it go from pale to full.

    Examples
    --------
    >>> import mir21sim as ms
    >>> import numpy as np
    >>> import xarray as xr
    >>> t = np.linspace(0, 10, 101)
    >>> doses = ("anti_miR21", [0.0, 1.0, 10.0], {"units": "nM"})
    >>> rise = np.array([1.0, 2.0, 4.0])[:, None] * (1 - np.exp(-t))
    >>> result = xr.Dataset(
    ...     {"A": (("anti_miR21", "time"), rise, {"units": "molecule"})},
    ...     {"anti_miR21": doses, "time": ("time", t, {"units": "h"})},
    ... )
    >>> result["status"] = ("anti_miR21", [0, 0, 0])
    >>> axes = ms.plot_overlay({"low": result.isel(anti_miR21=0)}, "A")
    >>> axes.get_xlabel()
    'time (h)'
    """
    ax = ax if ax is not None else new_axes()
    labelled = label_results(results_)
    for k, (label, result) in enumerate(labelled.items()):
        curves = quantity(result, observe)
        dims = [str(d) for d in curves.dims if d != "time"]
        block = curves.transpose(*dims, "time").values.reshape(-1, result.sizes["time"])
        shades = np.linspace(0.3, 1.0, len(block)) if len(block) > 1 else [1.0]
        colour = OVERLAY_COLOURS[k % len(OVERLAY_COLOURS)]
        style = STYLES[k // len(OVERLAY_COLOURS) % len(STYLES)]
        for row, shade in zip(block, shades, strict=True):
            ax.plot(result["time"], row, ls=style, color=colour, alpha=shade, lw=1.6)
        span = ", ".join(_span(result[d]) for d in dims)
        shown = f"{label}\n({span}, pale to full)" if dims else label
        ax.plot([], [], ls=style, color=colour, lw=1.6, label=shown)
    draw_measured(ax, measured)
    _label(ax, next(iter(labelled.values())), observe)
    ax.legend(
        frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.01, 0.5)
    )
    return ax


def save(
    figure: Figure | Axes,
    path: str | Path,
    *,
    size: tuple[float, float] | None = None,
    dpi: float = 300.0,
) -> Path:
    """Write a figure as PNG, SVG or PDF by its file name, on white.

    Text stays text: TrueType fonts (Type 42) in PDF, text elements in SVG.

    Parameters
    ----------
    size : width and height, inches; by default that of the figure
    dpi : dots per inch of a PNG

    Raises
    ------
    InputError
        For an unknown format, or a path that cannot be written.
    """
    path = files.check_writable(path, dataset.PICTURE_KINDS)
    figure = figure_of(figure) if isinstance(figure, Axes) else figure
    kind = path.suffix[1:].lower()
    if size is not None:
        figure.set_size_inches(*size)
    with files.writing(path) as part, mpl.rc_context(_FONTS):
        figure.savefig(part, format=kind, dpi=dpi, facecolor="white")
    return path


_FONTS = {"pdf.fonttype": 42, "svg.fonttype": "none"}
"""Fonts as journals want them: TrueType in PDF, text in SVG."""


def _label(ax: Axes, result: xr.Dataset, observe: str) -> None:
    """Put names and units on both axes of a time course."""
    ax.set_xlabel(axis_label(result["time"]))
    curves = quantity(result, observe)
    unit = str(curves.attrs.get("units", ""))
    shown = {"molecule": " (molecules per cell)"}.get(unit, bracketed(unit))
    name = curves.attrs.get("long_name", curves.name)
    ax.set_ylabel(wrapped(f"{name}{shown}"))
    ax.set_xlim(float(result["time"][0]), float(result["time"][-1]))
    clean(ax)


def _span(coordinate: xr.DataArray) -> str:
    low, high = float(coordinate.min()), float(coordinate.max())
    return f"{axis_label(coordinate)} {rounded(low)} to {rounded(high)}"


def _mark_doses(ax: Axes, result: xr.Dataset, skip: Sequence[str]) -> None:
    """Draw a thin line at each dose in the run, and its name; infusions as spans.

    Doses of the targets in `skip` are swept here: their amounts are in the legend.
    """
    start, end = float(result["time"][0]), float(result["time"][-1])
    for dose in dose_records(result):
        times = [t for t in _times_of(dose) if start <= t < end]
        if not times:
            continue
        for time in times:
            if dose.get("duration", 0.0):
                until = min(end, time + float(dose["duration"]))
                ax.axvspan(time, until, color="0.6", alpha=0.15, lw=0)
            ax.axvline(time, color="0.6", lw=0.9, ls=":")
        # On the left of its line, where the curves of a response are not yet; near
        # the start, where no room is left of it, on the right.
        side = 1 if times[0] - start < 0.06 * (end - start) else -1
        ax.annotate(
            _words_of(dose, result, len(times), swept=dose["target"] in skip),
            (times[0], 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3 * side, -3),
            textcoords="offset points",
            rotation=90,
            ha="left" if side > 0 else "right",
            va="top",
            fontsize="x-small",
            color="0.35",
        )


def _words_of(
    dose: Mapping[str, Any], result: xr.Dataset, count: int, *, swept: bool
) -> str:
    """Return name, amount and number of doses, as a mark in a picture shows them."""
    target = str(dose["target"])
    # In a panel of a sweep of two doses the second one is a coordinate.
    in_panel = not swept and target in result.coords
    amount = float(result[target]) if in_panel else dose["amount"]
    words = "wash" if dose["mode"] == "set" else f"{amount:g} {dose['unit']}"
    series = f"×{count}" if count > 1 else ""
    return " ".join(w for w in (target, "" if swept else words, series) if w)


def _times_of(dose: Mapping[str, Any]) -> tuple[float, ...]:
    """Return when a dose is given, h, each repetition."""
    count = int(dose.get("additional", 0)) + 1
    every = float(dose.get("interval", 0.0))
    return tuple(float(dose["time"]) + k * every for k in range(count))


def _titled(figure: Figure, result: xr.Dataset) -> Figure:
    """Put model, cell line, doses, cells, times and method over a picture.

    Results that were put into one Dataset have no such line in common.
    """
    title = str(result.attrs.get("title", ""))
    line = "" if named_dims(result) else str(result.attrs.get("summary", ""))
    figure.suptitle(line or title, fontsize="small", x=0.01, ha="left", wrap=True)
    return figure
