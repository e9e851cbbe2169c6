"""The main picture: activity of a dish, dead cells, dose–response and effect, bands."""

import textwrap
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from mir21sim._typing import FloatArray
from mir21sim.analysis.cell_means import BAND_TEXT, POINTS
from mir21sim.analysis.dish import LABELS, RESPONSES
from mir21sim.analysis.pictures import Picture
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.units import rounded

WIDTHS = {"single": 3.35, "double": 7.1}
"""Widths of a journal's columns, in inches (85 and 180 mm)."""

FONT = 7.0
"""Size of letters at print size, points; journals ask for 5 to 7 at least."""

LABELLED_LINES = 6
"""Lines that are labelled one by one; more lines take a colour bar."""

LETTERS = 20
"""Letters of this size that fit into an inch."""

LABEL_WIDTH = 34
"""Letters in one line of an axis label."""

ZERO = "0.35"
"""Grey of the untreated dish."""

BLUE = "#0072B2"
"""Okabe and Ito 2008."""


def plot_dish(
    found: xr.Dataset, response: str = "dead_end", *, width: str = "double"
) -> Figure:
    """Draw the activity of a dish, its dead cells, one response and the effect.

    The effect is the change of dead cells against the lowest dose, of the same cells:
    its band is that of the difference, not the difference of two bands.

    Parameters
    ----------
    found : from ``dish``, with a swept dose
    response : "peak", "integrated" or "dead_end"
    width : "single" (four panels below each other) or "double" (two by two)

    Raises
    ------
    InputError
        For a result without a swept dose.
    UnknownNameError
        For another response or width.

    Examples
    --------
    >>> import mir21sim as ms
    >>> import numpy as np
    >>> import xarray as xr
    >>> t, cells = np.linspace(0, 8, 9), ("anti_miR21", "cell", "time")
    >>> die = np.array([[9.0, 6.0], [4.0, 3.0], [2.0, 2.0]])[:, :, None]
    >>> curves = {"A": (cells, np.exp(-((t - die) ** 2)), {"units": "molecule"})}
    >>> curves["PS_exposed"] = (cells, 1.0 * (t >= die))
    >>> doses = ("anti_miR21", [0.0, 1.0, 10.0], {"units": "nM"})
    >>> result = xr.Dataset(curves, {"anti_miR21": doses, "time": t})
    >>> figure = ms.plot_dish(ms.dish(result, ["A"], "PS_exposed"), "dead_end")
    >>> len(figure.axes) >= 4
    True
    """
    if response not in RESPONSES:
        raise UnknownNameError("response", response, RESPONSES)
    if width not in WIDTHS:
        raise UnknownNameError("width", width, tuple(WIDTHS))
    if len(found["peak"].dims) != 1:
        got = ", ".join(map(str, found["peak"].dims)) or "none"
        raise InputError(f"The picture of a dish needs one swept dose, got {got}.")
    with mpl.rc_context({"font.size": FONT, "axes.titlesize": FONT}):
        figure, axes = _panels(width)
        _draw_curves(axes[0], found, "activity")
        _draw_curves(axes[1], found, "dead")
        _name_lines(figure, axes[1], found)
        _draw_response(axes[2], found, response)
        _draw_response(axes[3], found, "dead_change")
        for letter, ax in zip("abcd", axes, strict=True):
            ax.set_title(letter, loc="left", weight="bold")
            ax.spines[["top", "right"]].set_visible(False)
        headline = textwrap.fill(_headline(found), int(LETTERS * WIDTHS[width]))
        figure.suptitle(headline, fontsize=FONT, x=0.01, ha="left")
        figure.supxlabel(
            _band_words(found),
            fontsize=FONT,
            color="0.35",
            x=0.99,
            ha="right",
        )
    return figure


def _band_words(found: xr.Dataset) -> str:
    """Return the meaning of the bands in one line."""
    text = str(found["dead"].attrs["band"])
    if text == BAND_TEXT:
        return f"Bands: {text}."
    return f"Line: mean. Bands: {text} (c, d, inner: 50 %)."


def _panels(width: str) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure of the column's width with four axes."""
    inches = WIDTHS[width]
    if width == "double":
        figure = Picture(figsize=(inches, 4.4), layout="constrained")
        return figure, list(figure.subplots(2, 2).flat)
    figure = Picture(figsize=(inches, 8.4), layout="constrained")
    return figure, list(figure.subplots(4, 1))


def _swept(found: xr.Dataset) -> xr.DataArray:
    """Return the coordinate of the swept dose."""
    return found[str(found["peak"].dims[0])]


def _norm(doses: FloatArray) -> Normalize:
    """Return the colour scale of doses: logarithmic where they span a decade."""
    positive = doses[doses > 0]
    if positive.size > 1 and positive.max() > 10 * positive.min():
        return LogNorm(positive.min(), positive.max())
    return Normalize(float(doses.min()), float(doses.max()) or 1.0)


def _colour(dose: float, norm: Normalize) -> tuple[float, ...] | str:
    """Return the colour of a dose; grey for none. The light end is left out."""
    if dose == 0:
        return ZERO
    return tuple(mpl.colormaps["viridis"](0.88 * float(norm(dose))))


def _draw_curves(ax: Axes, found: xr.Dataset, name: str) -> None:
    """Draw one curve a dose with its band."""
    swept = _swept(found)
    norm = _norm(swept.values)
    after = found["after"].values
    few = len(swept) <= LABELLED_LINES
    for k, dose in enumerate(swept.values):
        colour = _colour(float(dose), norm)
        row = found.isel({str(swept.dims[0]): k})
        if few or k in (
            0,
            len(swept) - 1,
        ):  # bands of many lines would cover each other
            low, high = row[f"{name}_low"].values, row[f"{name}_high"].values
            ax.fill_between(after, low, high, color=colour, alpha=0.2, lw=0)
        ax.plot(
            after,
            row[name].values,
            color=colour,
            lw=1.1,
            ls="--" if dose == 0 else "-",
            label=rounded(dose),
        )
    unit = str(found[name].attrs["units"])
    ax.set_ylabel(axis_text(found, name))
    ax.set_xlabel(f"time after {_event(found)} (h)")
    ax.set_xlim(float(after[0]), float(after[-1]))
    ax.set_ylim(0, 102 if unit == "%" else None)


def axis_text(found: xr.Dataset, name: str) -> str:
    """Return a label with its unit."""
    unit = str(found[name].attrs.get("units", ""))
    unit = unit.replace("molecule", "active molecules per cell")
    label = f"{LABELS[name]} ({unit})" if unit else LABELS[name]
    if len(label) > LABEL_WIDTH and unit:
        return f"{textwrap.fill(LABELS[name], LABEL_WIDTH)}\n({unit})"
    return textwrap.fill(label, LABEL_WIDTH)


def _event(found: xr.Dataset) -> str:
    """Return the dose that times are counted from."""
    return str(found.attrs.get("counted_from", "the start"))


def _name_lines(figure: Figure, ax: Axes, found: xr.Dataset) -> None:
    """Label lines by a legend where they are few, by a colour bar where not."""
    swept = _swept(found)
    label = dose_label(swept)
    if len(swept) <= LABELLED_LINES:
        ax.legend(title=label, frameon=False, fontsize=FONT, title_fontsize=FONT)
        return
    colours = mpl.colormaps["viridis"]
    shown = mpl.colors.ListedColormap(colours(np.linspace(0.0, 0.88, 256)))
    bar = figure.colorbar(
        ScalarMappable(_norm(swept.values), shown), ax=ax, label=label, fraction=0.07
    )
    bar.ax.minorticks_off()
    bar.ax.yaxis.set_major_formatter("{x:g}")  # no exponents in smaller letters
    if (swept.values == 0).any():
        bar.ax.set_xlabel("0: dashed", fontsize=FONT, color=ZERO)


def dose_label(swept: xr.DataArray) -> str:
    """Return 'name (unit)' of the swept dose."""
    name = str(swept.attrs.get("long_name", swept.name))
    unit = str(swept.attrs.get("units", ""))
    return f"{name} ({unit})" if unit and unit != "1" else name


def _draw_response(ax: Axes, found: xr.Dataset, response: str) -> None:
    """Draw one response by dose with its band, dose 0 apart on the left."""
    swept = _swept(found)
    doses = swept.values.astype(float)
    point = found[response].values
    positive = np.flatnonzero(doses > 0)
    order = positive[np.argsort(doses[positive])]
    span = doses[order].max() / doses[order].min() if order.size else 1.0
    zero = doses[order].min() / span ** (1 / 7) if span > 10 else None
    for ends, alpha, width in _bands(found, response):
        low = found[f"{response}_low{ends}"].values
        high = found[f"{response}_high{ends}"].values
        ax.fill_between(
            doses[order], low[order], high[order], color=BLUE, alpha=alpha, lw=0
        )
        if zero is not None:
            here = doses == 0
            ax.vlines([zero] * here.sum(), low[here], high[here], ZERO, lw=width)
    ax.plot(doses[order], point[order], "-o", color=BLUE, lw=1.1, ms=2.5)
    if zero is not None:
        ax.plot([zero] * (doses == 0).sum(), point[doses == 0], "o", color=ZERO, ms=2.5)
        log_axis(ax, zero, doses)
    unit = found[response].attrs["units"]
    if unit == POINTS:
        ax.axhline(0.0, color=ZERO, lw=0.6)
    else:
        ax.set_ylim(0, 102 if unit == "%" else None)
    ax.set_xlabel(dose_label(swept))
    ax.set_ylabel(axis_text(found, response))


def _bands(found: xr.Dataset, response: str) -> list[tuple[str, float, float]]:
    """Return the ends of each band, its opacity, and its width at dose 0."""
    outer, inner = ("", 0.2, 0.7), ("50", 0.25, 2.0)
    over_cells = found[response].attrs["band"] == BAND_TEXT  # else over sets
    return [outer] if over_cells else [outer, inner]


def log_axis(ax: Axes, zero: float, doses: FloatArray) -> None:
    """Make the axis of doses logarithmic; dose 0 is at `zero`, at its left end."""
    ax.set_xscale("log")
    positive = doses[doses > 0]
    bottom, top = np.ceil(np.log10(positive.min())), np.floor(np.log10(positive.max()))
    decades = 10.0 ** np.arange(bottom, top + 1)
    decades = decades[:: max(1, int(np.ceil(len(decades) / 5)))]
    places, names = list(decades), [f"{d:g}" for d in decades]
    if (doses == 0).any():
        places, names = [zero, *places], ["0", *names]
    ax.set_xticks(places, names)
    ax.minorticks_off()


def _headline(found: xr.Dataset) -> str:
    """Return the cells and their treatment, in one line."""
    parts = [str(found.attrs.get(key, "")) for key in ("context", "treatment")]
    parts.append(f"{found.attrs['cells']} simulated cells a dose")
    return " · ".join(filter(None, parts))
