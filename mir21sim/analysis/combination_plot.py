"""Two drugs as a picture: response surface, excess over a null model, isobologram."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mir21sim._typing import FloatArray
from mir21sim.analysis.combination import MEASURES, Curve
from mir21sim.analysis.dish_plot import FONT, LETTERS, WIDTHS, dose_label
from mir21sim.analysis.pictures import Picture
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.units import rounded

LEVELS = (25.0, 50.0, 75.0)
"""Effects of the contours and of the isoboles, % of cells."""

MOST_ORDERS = 4
"""Orders of two drugs that a picture shows beside each other."""

TICKS = 7
"""Dose labels on one axis at most."""


def plot_combination(
    table: xr.Dataset,
    measure: str = "Bliss",
    *,
    level: float = 50.0,
    width: str = "double",
) -> Figure:
    """Draw the response surface, the excess of one measure, and the isobologram.

    Parameters
    ----------
    table : from ``combination``
    measure : one of ``MEASURES``
    level : effect of the isobole, % of cells
    width : "single" (panels below each other) or "double" (side by side)

    Raises
    ------
    UnknownNameError
        For another measure or width.

    Examples
    --------
    >>> import mir21sim as ms
    >>> import numpy as np
    >>> import xarray as xr
    >>> t, dims = np.linspace(0, 8, 9), ("a", "b", "cell", "time")
    >>> need = np.linspace(0.5, 6.0, 40)  # a cell dies where the doses sum to this
    >>> sums = np.add.outer(np.arange(4.0), np.arange(4.0))
    >>> dead = (sums[..., None] >= need)[..., None] * (t >= 4)
    >>> curves = {name: (dims, 1.0 * dead) for name in ("A", "PS_exposed")}
    >>> doses = {name: (name, np.arange(4.0), {"units": "nM"}) for name in "ab"}
    >>> result = xr.Dataset(curves, {**doses, "time": t})
    >>> drawn = ms.resample(result, ["A"], "PS_exposed")
    >>> figure = ms.plot_combination(ms.combination(drawn, result), "Bliss")
    >>> len(figure.axes) >= 3
    True
    """
    if measure not in MEASURES:
        raise UnknownNameError("measure", measure, MEASURES)
    if width not in WIDTHS:
        raise UnknownNameError("width", width, tuple(WIDTHS))
    names = [str(d) for d in table[measure].dims]
    with mpl.rc_context({"font.size": FONT, "axes.titlesize": FONT}):
        figure, (left, middle, right) = _panels(3, width)
        _heat_map(left, table["effect"].transpose(*names[::-1]), "viridis", (0, 100))
        limit = max(10.0, float(abs(table[measure]).max()))
        excess = table[measure].transpose(*names[::-1])
        _heat_map(middle, excess, "RdBu_r", (-limit, limit))
        _mark_clear(middle, table, measure)
        _isobologram(right, table, names, level)
        for letter, ax in zip("abc", (left, middle, right), strict=True):
            ax.set_title(letter, loc="left", weight="bold")
        _frame(figure, table, measure, width)
    return figure


def _panels(count: int, width: str) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure with panels side by side, or below each other in one column."""
    single = width == "single"
    size = (WIDTHS[width], 2.6 * count + 0.4 if single else 2.7)
    figure = Picture(figsize=size, layout="constrained")
    grid = figure.subplots(*((count, 1) if single else (1, count)), squeeze=False)
    return figure, list(grid.flat)


def _frame(figure: Figure, table: xr.Dataset, measure: str, width: str) -> None:
    """Put cells and treatment above the panels, and the meaning of the dots below."""
    headline = _headline(table, width)
    figure.suptitle(headline, fontsize=FONT, x=0.01, ha="left")
    words = f"Dots: excess with an interval off 0 ({table[measure].attrs['band']})."
    words = textwrap.fill(words, int(LETTERS * WIDTHS[width]))
    figure.supxlabel(words, fontsize=FONT, color="0.35", x=0.99, ha="right")


def plot_orders(
    tables: Mapping[str, xr.Dataset],
    drug: str,
    measure: str = "Bliss",
    *,
    width: str = "double",
) -> Figure:
    """Draw the excess of one measure for each order of the drugs, on one scale.

    Parameters
    ----------
    tables : order in words → table from ``combination``, at most ``MOST_ORDERS``
    drug : the swept drug whose times differ
    width : "single" (panels below each other) or "double" (side by side)

    Raises
    ------
    UnknownNameError
        For another measure or width.
    InputError
        For no order, or more than fit beside each other.
    """
    if measure not in MEASURES:
        raise UnknownNameError("measure", measure, MEASURES)
    if width not in WIDTHS:
        raise UnknownNameError("width", width, tuple(WIDTHS))
    if not 1 <= len(tables) <= MOST_ORDERS:
        raise InputError(
            f"The picture shows 1 to {MOST_ORDERS} orders beside each other, got "
            f"{len(tables)}."
        )
    found = list(tables.values())
    limit = max(10.0, *(float(abs(table[measure]).max()) for table in found))
    with mpl.rc_context({"font.size": FONT, "axes.titlesize": FONT}):
        figure, axes = _panels(len(found), width)
        beside = 1 if width == "single" else len(found)
        for k, (ax, table, words) in enumerate(zip(axes, found, tables, strict=True)):
            names = [str(d) for d in table[measure].dims]
            excess = table[measure].transpose(*names[::-1])
            last = k == len(found) - 1 or width == "single"
            _heat_map(ax, excess, "RdBu_r", (-limit, limit), bar=last)
            _mark_clear(ax, table, measure)
            wide = int(LETTERS * WIDTHS[width] / beside) - 4
            title = f"{table[drug].attrs.get('long_name', drug)} {words}"
            ax.set_title(textwrap.fill(title, wide), loc="left")
            if k and width == "double":
                ax.set_ylabel("")
        _frame(figure, found[0].assign_attrs(treatment=""), measure, width)
    return figure


def _heat_map(
    ax: Axes,
    quantity: xr.DataArray,
    colours: str,
    limits: tuple[float, float],
    *,
    bar: bool = True,
) -> None:
    """Draw one quantity as a heat map; doses are rows and columns of equal size."""
    image = ax.imshow(
        quantity.values,
        origin="lower",
        aspect="auto",
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
    )
    if quantity.name == "effect":
        lines = ax.contour(
            quantity.values, levels=LEVELS, colors="white", linewidths=0.8
        )
        ax.clabel(lines, fmt="%g %%", fontsize=FONT)
    if bar:
        label = f"{quantity.attrs['long_name']} ({quantity.attrs['units']})"
        scale = ax.figure.colorbar(image, ax=ax, fraction=0.06)
        scale.set_label(textwrap.fill(label, 30))
    for axis, name in zip((ax.yaxis, ax.xaxis), quantity.dims, strict=True):
        doses = quantity[name].values
        shown = np.unique(np.linspace(0, len(doses) - 1, TICKS).round().astype(int))
        axis.set_ticks(shown, [rounded(doses[k]) for k in shown])
        axis.set_label_text(dose_label(quantity[name]))
    ax.tick_params(axis="x", rotation=45)


def _mark_clear(ax: Axes, table: xr.Dataset, measure: str) -> None:
    """Put a dot where the interval of the excess does not hold 0."""
    if f"{measure}_low" not in table:
        return
    low, high = table[f"{measure}_low"].values, table[f"{measure}_high"].values
    rows, columns = np.nonzero((low > 0) | (high < 0))
    ax.plot(rows, columns, "o", color="black", ms=1.5)


def _isobologram(ax: Axes, table: xr.Dataset, names: list[str], level: float) -> None:
    """Draw the dose pairs of one effect, in units of the doses of each drug alone."""
    surface = table["effect"].transpose(*names).values
    one, two = (table[name].values.astype(float) for name in names)
    alone = (
        float(Curve.through(one, surface[:, 0]).dose_of(level)),
        float(Curve.through(two, surface[0, :]).dose_of(level)),
    )
    labels = [str(table[n].attrs.get("long_name", n)) for n in names]
    if not (np.isfinite(alone[0]) and np.isfinite(alone[1])):
        _dose_isobole(ax, table, names, level)
        return
    pairs = isobole(surface, (one, two), level)
    ax.plot([0, 1], [1, 0], ls="--", color="0.5", lw=0.9, label="additive (Loewe)")
    ax.plot(pairs[:, 0] / alone[0], pairs[:, 1] / alone[1], "-o", ms=2.5, lw=1.1)
    ax.set_xlabel(f"{labels[0]} / dose alone")
    ax.set_ylabel(f"{labels[1]} / dose alone")
    ax.set_xlim(0, None)
    ax.set_ylim(0, None)
    ax.legend(frameon=False, fontsize=FONT, title=f"{level:g} % killed")
    ax.spines[["top", "right"]].set_visible(False)


def _dose_isobole(ax: Axes, table: xr.Dataset, names: list[str], level: float) -> None:
    """Draw the dose pairs of one effect where a drug alone does not reach it."""
    surface = table["effect"].transpose(*names).values
    one, two = (table[name].values.astype(float) for name in names)
    pairs = isobole(surface, (one, two), level)
    ax.plot(pairs[:, 0], pairs[:, 1], "-o", ms=2.5, lw=1.1)
    ax.set_xscale("symlog", linthresh=float(one[1]))
    ax.set_yscale("symlog", linthresh=float(two[1]))
    for axis, doses in ((ax.xaxis, one), (ax.yaxis, two)):
        low, high = np.ceil(np.log10(doses[1])), np.floor(np.log10(doses[-1]))
        decades = [0.0, *10.0 ** np.arange(low, high + 1)]
        axis.set_ticks(decades, [rounded(d) for d in decades])
    ax.set_xlim(0, one[-1])
    ax.set_ylim(0, two[-1])
    ax.set_xlabel(dose_label(table[names[0]]))
    ax.set_ylabel(dose_label(table[names[1]]))
    text = f"dose pairs that kill {level:g} %"
    if not len(pairs):
        text = f"no dose pair kills {level:g} %"
    ax.text(0.04, 0.04, text, transform=ax.transAxes, ha="left", va="bottom")
    ax.spines[["top", "right"]].set_visible(False)


def isobole(
    surface: FloatArray, doses: tuple[FloatArray, FloatArray], level: float
) -> FloatArray:
    """Return dose pairs that have one effect, shape (n_pair, 2).

    One pair for each dose of the first drug with which some dose of the second
    reaches the effect within the range.
    """
    pairs = []
    for dose, row in zip(doses[0], surface, strict=True):
        needed = float(Curve.through(doses[1], row).dose_of(level))
        if needed == 0:  # the first drug reaches it alone, at a dose not above this
            alone = float(Curve.through(doses[0], surface[:, 0]).dose_of(level))
            pairs.append((alone, 0.0))
            break
        if np.isfinite(needed):
            pairs.append((dose, needed))
    return np.array(pairs).reshape(-1, 2)


def _headline(table: xr.Dataset, width: str) -> str:
    """Return cell line and treatment, in lines of the picture's width."""
    parts = [str(table.attrs.get(key, "")) for key in ("context", "treatment")]
    parts.append(f"{table.attrs['cells']} simulated cells a dose pair")
    letters = int(LETTERS * WIDTHS[width])
    return textwrap.fill(" · ".join(filter(None, parts)), letters)
