"""Exposure of a dish to an oligonucleotide: amounts over time, and their effect.

Non-compartmental numbers as pharmacologists define them (Gabrielsson and Weiner 2012,
doi:10.1007/978-1-62703-050-2_16): largest amount, its time, area under the curve by the
linear-up logarithmic-down rule, terminal half-life by regression.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from mir21sim._typing import FloatArray
from mir21sim.analysis.dish_plot import FONT, LETTERS, WIDTHS
from mir21sim.analysis.pictures import Picture
from mir21sim.analysis.set_bands import percentiles
from mir21sim.analysis.treatment_words import treatment_text
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.simulation.ensemble import DRAW
from mir21sim.units import rounded

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito 2008."""

NAME_WIDTH = 36
"""Letters in one line of a quantity's name."""

NUMBERS = {
    "largest": "C_max",
    "largest_at_h": "t_max_h",
    "area": "AUC_h",
    "half_life_h": "half_life_h",
}
"""Attribute of ``Exposure`` → its title in a table."""

BANDS = (2.5, 25.0, 50.0, 75.0, 97.5)
"""Percentiles of draws: ends of the 95 % band, of the 50 % band, and the median."""

LEAST_POINTS = 3
"""Points of a terminal regression at least."""

LEAST_R2 = 0.98
"""Adjusted R² below which a decline is not exponential: no half-life is given."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """Non-compartmental numbers of one curve, in the units of the curve and hours.

    Attributes
    ----------
    largest : C_max, unit of the curve
    largest_at_h : t_max
    area : AUC from the first to the last time, unit of the curve times h
    half_life_h : terminal half-life; NaN where the curve does not decline
        exponentially, by half or more, at its end
    """

    largest: float
    largest_at_h: float
    area: float
    half_life_h: float


def exposure(times_h: FloatArray, amounts: FloatArray) -> Exposure:
    """Return the non-compartmental numbers of one curve.

    Parameters
    ----------
    times_h : float array, shape (n,), ascending
    amounts : float array, shape (n,), 0 or more

    Raises
    ------
    InputError
        For fewer than two points, or amounts that are not finite.

    Examples
    --------
    >>> t = np.linspace(0, 24, 49)
    >>> found = exposure(t, 100 * 0.5 ** (t / 6))
    >>> round(found.half_life_h, 6), round(found.area, 3)
    (6.0, 811.516)
    """
    t, c = np.asarray(times_h, float), np.asarray(amounts, float)
    if len(t) < 2 or not np.isfinite(c).all():
        raise InputError(
            f"Exposure needs 2 finite amounts or more, got {len(t)} times and "
            f"{int((~np.isfinite(c)).sum())} amounts that are not finite."
        )
    k = int(c.argmax())
    return Exposure(float(c[k]), float(t[k]), _area(t, c), _half_life(t, c))


def _area(t: FloatArray, c: FloatArray) -> float:
    """Return the area: straight lines up, exponentials down."""
    a, b, dt = c[:-1], c[1:], np.diff(t)
    down = (b < a) & (b > 0)
    ratio = np.log(np.where(down, a, math.e) / np.where(down, b, 1.0))
    parts = np.where(down, dt * (a - b) / ratio, dt * (a + b) / 2.0)
    return float(parts.sum())


def _half_life(t: FloatArray, c: FloatArray) -> float:
    """Return ln 2/λ of the end of a curve with the best adjusted R², NaN for none."""
    start = int(c.argmax()) + 1
    best, half_life = LEAST_R2, math.nan
    for first in range(start, len(t) - LEAST_POINTS + 1):
        if not (c[first:] > 0).all():
            continue
        x, y = t[first:], np.log(c[first:])
        slope, level = np.polyfit(x, y, 1)
        spread = float(((y - y.mean()) ** 2).sum())
        if slope >= 0 or spread == 0 or -slope * (x[-1] - x[0]) < math.log(2.0):
            continue  # rises, or falls by less than half: no half-life is seen
        n = len(x)
        left = float(((y - level - slope * x) ** 2).sum()) / spread
        adjusted = 1.0 - left * (n - 1) / (n - 2)
        if adjusted > best + 1e-4:  # the longest stretch among equals
            best, half_life = adjusted, math.log(2.0) / -float(slope)
    return half_life


def exposure_records(
    result: xr.Dataset, names: Sequence[str]
) -> list[dict[str, float | str]]:
    """Return the exposure to each pool of an inhibitor, one record a quantity.

    Parameters
    ----------
    result : of one run, or of the draws of an ensemble; times in h
    names : quantities, such as ``anti_miR21`` and ``anti_miR21_cyt``

    Returns
    -------
    Records of ``quantity``, ``C_max``, ``t_max_h``, ``AUC_h``, ``half_life_h`` and
    ``unit``. Of draws each number is the median, with the ends of the 95 % band behind
    it, ``C_max_low`` and ``C_max_high``; a half-life is that of the draws that have one
    """
    records: list[dict[str, float | str]] = []
    for name in names:
        curves = _curves(result, name)
        found = [exposure(result["time"].values, curve) for curve in curves]
        record: dict[str, float | str] = {"quantity": name}
        for key, title in NUMBERS.items():
            values = np.array([getattr(one, key) for one in found])
            low, middle, high = percentiles(values, (2.5, 50.0, 97.5))
            record[title] = float(middle)
            if DRAW in result[name].dims:
                record |= {f"{title}_low": float(low), f"{title}_high": float(high)}
        record["unit"] = str(result[name].attrs.get("units", ""))
        records.append(record)
    return records


def exposure_tables(
    records: Sequence[dict[str, float | str]],
) -> list[list[dict[str, float | str]]]:
    """Return records as tables that fit into a line: two where they have bands."""
    if not any("C_max_low" in record for record in records):
        return [list(records)]
    parts = (("C_max", "t_max_h"), ("AUC_h", "half_life_h"))
    return [[_shown(record, titles) for record in records] for titles in parts]


def _shown(
    record: dict[str, float | str], titles: Sequence[str]
) -> dict[str, float | str]:
    """Return some numbers of a record with their bands in brackets."""
    row: dict[str, float | str] = {"quantity": record["quantity"]}
    for title in titles:
        ends = (title, f"{title}_low", f"{title}_high")
        row[title] = _in_words(*(float(record[end]) for end in ends))
    return row | {"unit": record["unit"]}


def _in_words(value: float, low: float, high: float) -> str:
    """Return a number with its band, a dash where there is none."""
    if math.isnan(value):
        return "–"
    return f"{rounded(value)} ({rounded(low)} to {rounded(high)})"


def _curves(result: xr.Dataset, name: str) -> FloatArray:
    """Return the curves of a quantity, shape (n_draw, n_time); failed draws left out.

    Raises
    ------
    InputError
        Where no draw is left, or for a result of more than one run without draws.
    """
    values = result[name]
    if set(values.dims) - {"time", DRAW}:
        raise InputError(
            "Exposure is read from one run, or from the draws of an ensemble, got the "
            f"dimensions {', '.join(map(str, values.dims))}."
        )
    if DRAW not in values.dims:
        return np.asarray(values.values[np.newaxis], float)
    block = np.asarray(values.transpose(DRAW, "time").values, float)
    good = np.isfinite(block).all(axis=1)
    if not good.any():
        raise InputError(f"No draw of the ensemble has a whole curve of `{name}`.")
    whole: FloatArray = block[good]
    return whole


def plot_exposure(
    result: xr.Dataset,
    pools: Sequence[str],
    effects: Sequence[str],
    *,
    targets: Sequence[str] = (),
    width: str = "double",
    way: str = "",
) -> Figure:
    """Draw the pools of an inhibitor over time, and its effects beside them.

    Parameters
    ----------
    result : of one run that starts at its resting state; of the draws of an ensemble
        the lines are medians, with bands of 50 and 95 %
    pools : quantities of the inhibitor, on a logarithmic axis
    effects : what it binds, as multiples of the first value
    targets : what that represses, as multiples of the first value, in a third panel
    width : "single" (below each other) or "double" (side by side)
    way : chemistry and way in, for the headline

    Raises
    ------
    InputError
        For a quantity that the result lacks.
    UnknownNameError
        For another width.

    Examples
    --------
    >>> import mir21sim as ms
    >>> import numpy as np
    >>> import xarray as xr
    >>> t = np.linspace(0, 24, 25)
    >>> medium = ("time", 100 * 0.5 ** (t / 6), {"units": "molecule"})
    >>> target = ("time", 50 - 40 * 0.5 ** (t / 6), {"units": "molecule"})
    >>> result = xr.Dataset({"medium": medium, "PTEN": target}, {"time": t})
    >>> figure = ms.plot_exposure(result, ["medium"], ["PTEN"])
    >>> len(figure.axes)
    2
    """
    if width not in WIDTHS:
        raise UnknownNameError("width", width, tuple(WIDTHS))
    missing = [name for name in (*pools, *effects, *targets) if name not in result]
    if missing:
        raise InputError(
            f"The result lacks {', '.join(missing)}: run it with them in `observe`."
        )
    groups = [group for group in (effects, targets) if group]
    n = 1 + len(groups)
    single = width == "single"
    size = (WIDTHS[width], 2.8 * n + 0.2 if single else 3.3)
    with mpl.rc_context({"font.size": FONT}):
        figure = Picture(figsize=size, layout="constrained")
        grid = figure.subplots(n if single else 1, 1 if single else n, squeeze=False)
        axes = list(grid.ravel())
        _draw_pools(axes[0], result, pools)
        for ax, group in zip(axes[1:], groups, strict=True):
            _draw_effects(ax, result, group)
        for letter, ax in zip("abc", axes, strict=False):
            ax.set_title(letter, loc="left", weight="bold", fontsize=FONT)
            ax.set_xlabel("time (h)")
            ax.set_xlim(float(result["time"][0]), float(result["time"][-1]))
            ax.spines[["top", "right"]].set_visible(False)
        line = " · ".join(
            filter(None, (result.attrs.get("context"), treatment_text(result), way))
        )
        headline = textwrap.fill(line, int(LETTERS * WIDTHS[width]))
        figure.suptitle(headline, fontsize=FONT, x=0.01, ha="left")
        if DRAW in result.dims:
            words = band_words(result)
            figure.supxlabel(words, fontsize=FONT, color="0.35", x=0.99, ha="right")
    return figure


def band_words(result: xr.Dataset) -> str:
    """Return the meaning of the lines and bands of the draws of an ensemble."""
    return (
        f"Line: median. Bands: 50 and 95 % of {result.sizes[DRAW]} parameter sets of "
        "the ensemble."
    )


def _draw_pools(ax: Axes, result: xr.Dataset, pools: Sequence[str]) -> None:
    """Draw the pools on a logarithmic axis, named above it."""
    top = max(float(np.median(_curves(result, n).max(axis=1))) for n in pools)
    for k, name in enumerate(pools):
        _line(ax, result, name, COLOURS[k % len(COLOURS)])
    ax.set_yscale("log")
    ax.set_ylim(max(top * 1e-7, 0.5), top * 3)
    ax.yaxis.set_major_locator(LogLocator(numticks=7))
    ax.yaxis.set_major_formatter(lambda value, _: _power(value))
    ax.minorticks_off()
    ax.set_ylabel("molecules per cell")
    _name_below(ax)


def _power(value: float) -> str:
    """Return ``10⁵``, whose exponent is a letter of full size, of a power of ten."""
    exponent = f"{round(math.log10(value))}"
    return "10" + exponent.translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _draw_effects(ax: Axes, result: xr.Dataset, names: Sequence[str]) -> None:
    """Draw quantities as multiples of their resting state."""
    for k, name in enumerate(names):
        _line(ax, result, name, COLOURS[k % len(COLOURS)], relative=True)
    ax.set_ylim(0, None)
    ax.set_ylabel("multiple of the resting state")
    _name_below(ax)


def _name_below(ax: Axes) -> None:
    """Name the lines below the axis of time, where no line is."""
    ax.legend(
        frameon=False,
        fontsize=FONT,
        loc="upper left",
        bbox_to_anchor=(-0.05, -0.2),
        handlelength=1.2,
        borderaxespad=0.0,
    )


def _line(
    ax: Axes, result: xr.Dataset, name: str, colour: str, *, relative: bool = False
) -> None:
    """Draw one quantity, in its unit or as a multiple of its first value."""
    curves = _curves(result, name)
    if relative:  # each draw by its own resting state
        first = curves[:, :1]
        curves = np.divide(
            curves, first, out=np.full_like(curves, np.nan), where=first != 0
        )
    label = textwrap.fill(str(result[name].attrs.get("long_name", name)), NAME_WIDTH)
    times = result["time"].values
    low, quarter, middle, upper, high = percentiles(curves, BANDS)
    if len(curves) > 1:
        ax.fill_between(times, low, high, color=colour, alpha=0.15, lw=0)
        ax.fill_between(times, quarter, upper, color=colour, alpha=0.25, lw=0)
    ax.plot(times, middle, color=colour, lw=1.1, label=label)
