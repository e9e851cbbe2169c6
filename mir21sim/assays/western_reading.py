"""Readings of a blot, and the picture of its membrane."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.ndimage
from matplotlib.figure import Figure

from mir21sim._typing import FloatArray
from mir21sim.analysis.pictures import Picture
from mir21sim.assays.antibodies import LOADING
from mir21sim.assays.assay import Reading
from mir21sim.simulation.randomness import stream


@dataclass(frozen=True, slots=True, eq=False)
class WesternReading(Reading):
    """A reading of a blot, with the masses (kDa) of its bands, in order."""

    masses: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0


_LANE, _STRIP = 56, 46
"""Pixels of a lane's width and of a strip's height."""


def membrane(signals: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return a strip of a blot as grey values, 0 black to 1 white.

    Bands are as wide as the lane, thicker where they are stronger, slightly bent and
    unevenly filled; the membrane has grain and blotches.

    Parameters
    ----------
    signals : float array, shape (n_lane,), share of full scale

    Returns
    -------
    float array, shape (n_pixel_y, n_pixel_x)
    """
    height, width = _STRIP, _LANE * len(signals)
    y, x = np.mgrid[0:height, 0:_LANE].astype(float)
    dark = np.zeros((height, width))
    for k, signal in enumerate(signals):
        across = (x - (_LANE - 1) / 2) / (0.36 * _LANE)
        bend = rng.normal(1.6, 0.6) * across**2 + rng.normal(0.0, 0.8) * across
        centre = height / 2 + rng.normal(0.0, 0.5) - bend
        thickness = 3.2 + 3.0 * max(0.0, signal)
        fill = (
            1.0
            + 0.10
            * scipy.ndimage.gaussian_filter(
                rng.standard_normal((height, _LANE)), (2.0, 9.0)
            )
            * 12
        )
        edge = 1.0 / (1.0 + np.exp((np.abs(across) - 0.98) * 14))
        shape = np.exp(-0.5 * np.abs((y - centre) / thickness) ** 2.4)
        band = max(0.0, signal) * shape * edge * np.clip(fill, 0.6, 1.4)
        dark[:, k * _LANE : (k + 1) * _LANE] += band
    dark = scipy.ndimage.gaussian_filter(dark, (1.0, 1.4))
    grain = scipy.ndimage.gaussian_filter(rng.standard_normal(dark.shape), 0.7) * 0.025
    cloud = scipy.ndimage.gaussian_filter(rng.standard_normal(dark.shape), 14) * 0.5
    # Optical density to grey: strong bands go to black, not beyond.
    grey: FloatArray = np.exp(-2.6 * dark) * (0.93 + grain + cloud)
    return np.clip(grey, 0.0, 1.0)


def plot_western(reading: WesternReading) -> Figure:
    """Draw the first blot with labelled lanes and masses, densities of all below it.

    Under each lane stands the mean density of all blots, times the control's; where
    that has no band, times the strongest lane's. Ratios have rows of their own.
    """
    raw = reading.raw[reading.raw["replicate"] == 1]
    lanes = list(dict.fromkeys(raw["sample"]))
    strips: list[tuple[str, float, FloatArray]] = [
        (name, kda, raw.loc[raw["protein"] == name, "signal"].to_numpy())
        for name, kda in reading.masses.items()
    ]
    first = raw[raw["protein"] == next(iter(reading.masses))]
    strips.append((LOADING.name, LOADING.kda, first["loading"].to_numpy()))
    ratios = [name for name in dict.fromkeys(raw["protein"]) if "/" in name]
    ratios = [name for name in ratios if name not in reading.masses]
    full = max(1.0, *(float(signals.max()) for *_, signals in strips))
    n_row = len(strips) + len(ratios)
    figure = Picture(
        figsize=(2.9 + 0.66 * len(lanes), 1.3 + 0.74 * len(strips) + 0.3 * len(ratios)),
        layout="constrained",
    )
    axes = figure.subplots(
        n_row,
        1,
        squeeze=False,
        height_ratios=[1.0] * len(strips) + [0.04] * len(ratios),
    )[:, 0]
    centres = (np.arange(len(lanes)) + 0.5) * _LANE
    for ax, (name, kda, signals) in zip(axes, strips, strict=False):
        # Without noise signals are amounts: they are drawn as shares of the strongest.
        top = 1.0 if full == 1.0 else 2 * max(float(signals.max()), 1e-300)
        rng = stream(reading.seed, "membrane", name)
        ax.imshow(
            membrane(signals / top, rng), cmap="gray", vmin=0, vmax=1, aspect="auto"
        )
        ax.set_yticks([_STRIP / 2], [name])
        ax.tick_params(length=0)
        ax.text(
            1.015, 0.5, f"– {kda:g}", transform=ax.transAxes, va="center", fontsize=9
        )
        for side in ax.spines.values():
            side.set(color="0.3", lw=0.8)
        ax.set_xticks(centres, _densities(reading, name, lanes), fontsize=8)
    for ax, name in zip(axes[len(strips) :], ratios, strict=True):
        ax.set_xlim(0, _LANE * len(lanes))
        ax.set_yticks([0.5], [name])
        ax.set_xticks([])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        for place, text in zip(centres, _densities(reading, name, lanes), strict=True):
            ax.text(place, 0.5, text, ha="center", va="center", fontsize=8)
    head = axes[0].secondary_xaxis("top")
    head.set_xticks(centres, lanes, rotation=35, ha="left")
    head.tick_params(length=0)
    head.spines[:].set_visible(False)
    axes[0].text(1.015, 1.02, "kDa", transform=axes[0].transAxes, fontsize=9)
    figure.supxlabel(
        "first blot; numbers: density, mean of all blots, times the control's\n"
        "(in brackets: times the strongest lane's, where the control has no band)",
        fontsize=8,
    )
    return figure


def _densities(
    reading: WesternReading, protein: str, lanes: Sequence[str]
) -> list[str]:
    """Return the numbers below the lanes of a protein; "" for the loading control."""
    table = reading.summary[reading.summary["protein"] == protein]
    if table.empty:
        return [""] * len(lanes)
    row = table.set_index("sample").loc[list(lanes)]
    if row["relative"].notna().all():
        return [f"{value:.2f}" for value in row["relative"]]
    strongest = float(row["mean"].max())
    if not strongest > 0:
        return ["–"] * len(lanes)
    return [f"({max(0.0, value / strongest):.2f})" for value in row["mean"]]
