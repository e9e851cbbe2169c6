"""Readings of a plate: signals, Z′ factor, fits, and the picture."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mir21sim._typing import FloatArray
from mir21sim.analysis.hill_fit import HillFit
from mir21sim.analysis.pictures import Picture
from mir21sim.analysis.plot_style import OVERLAY_COLOURS
from mir21sim.assays.assay import NamedTable, Reading
from mir21sim.assays.plate_map import BLANK, COLUMNS, ROWS, PlateMap, layout, row_letter
from mir21sim.units import rounded


@dataclass(frozen=True, slots=True, eq=False)
class PlateReading(Reading):
    """A reading with the plate, its Z′ factor and the fits of its dose series.

    Attributes
    ----------
    z_prime : of `control` against `positive`; NaN where replicates are too few
    fits : treatment to the Hill curve through its doses, or the reason for none
    """

    plate: PlateMap = field(default_factory=lambda: layout([]))
    z_prime: float = math.nan
    fits: Mapping[str, HillFit] = field(default_factory=dict)
    unit: str = ""

    def tables(self) -> tuple[NamedTable, ...]:
        """Return the dose of half effect of each series, or why it has none."""
        if not self.fits:
            return ()
        records = tuple(
            {
                "treatment": name,
                "EC50": fit.ec50,
                "EC50_low": fit.ec50_low,
                "EC50_high": fit.ec50_high,
                "unit": self.unit,
                "Hill": fit.hill,
                "R2": fit.r2,
                "note": fit.reason,
            }
            for name, fit in self.fits.items()
        )
        return (
            NamedTable(
                "fits",
                "EC50 of a Hill curve; 95 % interval from the scatter of wells",
                records,
            ),
        )


def z_prime(negative: FloatArray, positive: FloatArray) -> float:
    """Return the Z′ factor of two controls, 1 − 3(SD₊ + SD₋)/|mean₊ − mean₋|.

    NaN for fewer than 2 wells of either, −inf for equal means.

    References
    ----------
    Zhang JH et al. 1999, J Biomol Screen 4:67, doi 10.1177/108705719900400206.

    Examples
    --------
    >>> round(z_prime(np.array([1.0, 2.0, 3.0]), np.array([20.0, 21.0, 22.0])), 3)
    0.684
    """
    if len(negative) < 2 or len(positive) < 2:
        return math.nan
    gap = abs(float(np.mean(positive) - np.mean(negative)))
    spread = float(np.std(positive, ddof=1) + np.std(negative, ddof=1))
    if gap == 0:
        return -math.inf
    return 1.0 - 3.0 * spread / gap


def plot_plate(reading: PlateReading) -> Figure:
    """Draw the signal of every well where it is, and of every sample beside it."""
    figure = Picture(figsize=(10.5, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1.0))
    _plot_wells(left, reading)
    series = [name for name, fit in reading.fits.items()]
    if series:
        _plot_series(right, reading, series)
    else:
        _plot_bars(right, reading)
    right.spines[["top", "right"]].set_visible(False)
    return figure


def _plot_wells(ax: Axes, reading: PlateReading) -> None:
    size = reading.plate.size
    grid = np.full((ROWS[size], COLUMNS[size]), np.nan)
    for row, column, signal in zip(
        reading.raw["row"], reading.raw["column"], reading.raw["signal"], strict=True
    ):
        grid[ord(row) - ord("A"), int(column) - 1] = signal
    image = ax.imshow(grid, cmap="viridis")
    blanks = reading.raw[reading.raw["contents"] == BLANK]
    for row, column in zip(blanks["row"], blanks["column"], strict=True):
        ax.text(
            int(column) - 1,
            ord(row) - ord("A"),
            "B",
            ha="center",
            va="center",
            color="w",
            fontsize=7 if size == 96 else 4,
        )
    columns = [str(k + 1) for k in range(COLUMNS[size])]
    ax.set_xticks(range(COLUMNS[size]), columns, fontsize=7)
    ax.set_yticks(
        range(ROWS[size]), [row_letter(k) for k in range(ROWS[size])], fontsize=7
    )
    ax.xaxis.tick_top()
    ax.set_facecolor("0.93")
    ax.set_xlabel(f"{reading.assay}: signal of each well (B: blank, grey: empty)")
    ax.figure.colorbar(image, ax=ax, label="signal (RLU)", shrink=0.7)


def _plot_series(ax: Axes, reading: PlateReading, series: list[str]) -> None:
    """Draw net signal over dose with the fitted curves; dose 0 stands at the left."""
    given = reading.raw.loc[reading.raw["contents"].isin(series), "dose"]
    zero = float(given[given > 0].min()) / 5
    for k, name in enumerate(series):
        wells = reading.raw[reading.raw["contents"] == name]
        dose = wells["dose"].to_numpy(dtype=float)
        colour = OVERLAY_COLOURS[k % len(OVERLAY_COLOURS)]
        shown = np.where(dose > 0, dose, zero)
        ax.plot(shown, wells["net"], "o", ms=4, color=colour, mfc="none", label=name)
        fit = reading.fits[name]
        if not fit.reason:
            x = np.geomspace(zero * 2, float(dose.max()), 200)
            label = f"EC50 {rounded(fit.ec50)} {reading.unit}"
            label += f" ({fit.interval_text()})" if fit.has_interval else ""
            ax.plot(x, fit(x), color=colour, lw=1.5, label=label)
    ax.set_xscale("log")
    if (given == 0).any():
        # The axis is broken between dose 0 and the smallest dose.
        least, most = zero * 5, float(given.max())
        decades = [10.0**k for k in range(-12, 13) if least <= 10.0**k <= most]
        ax.minorticks_off()
        ax.set_xticks([zero, *decades], ["0", *(f"{d:g}" for d in decades)])
        ax.text(
            zero * 1.9,
            0,
            "//",
            transform=ax.get_xaxis_transform(),
            ha="center",
            va="center",
        )
    ax.set_xlabel(f"dose ({reading.unit})" if reading.unit else "dose")
    ax.set_ylabel("signal without blank (RLU)")
    ax.set_ylim(bottom=min(0.0, float(reading.raw["net"].min())))
    # Curves fall or rise through the middle: the only free place is above them.
    ax.legend(
        frameon=False, fontsize="x-small", loc="lower left", bbox_to_anchor=(0.0, 1.0)
    )


def _plot_bars(ax: Axes, reading: PlateReading) -> None:
    table = reading.summary
    x = np.arange(len(table))
    ax.bar(
        x,
        table["mean"],
        yerr=table["sd"].fillna(0.0),
        capsize=3,
        color=OVERLAY_COLOURS[0],
        alpha=0.75,
    )
    for place, name in zip(x, table["sample"], strict=True):
        values = reading.raw.loc[reading.raw["sample"] == name, "net"]
        spread = np.linspace(-0.1, 0.1, len(values)) if len(values) > 1 else 0
        ax.plot(place + spread, values, "o", ms=3.5, color="0.15")
    ax.set_xticks(x, table["sample"], rotation=25, ha="right")
    ax.set_ylabel("signal without blank (RLU)")
