"""Readings of the cytometer, and the picture of its tubes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mir21sim._typing import FloatArray
from mir21sim.analysis.pictures import Picture
from mir21sim.assays.assay import NamedTable, Reading
from mir21sim.assays.cytometer import Tube
from mir21sim.assays.gates import CHANNELS, Gates, compensated


@dataclass(frozen=True, slots=True, eq=False)
class FlowReading(Reading):
    """A reading with its events, the spillover found in the beads, and the gates.

    Attributes
    ----------
    tubes : one a sample and replicate
    spillover : float array, shape (2, 2): row the dye, column the detector
    gates : the same for all tubes
    """

    tubes: tuple[Tube, ...] = ()
    spillover: FloatArray = field(default_factory=lambda: np.eye(2))
    gates: Gates = field(default_factory=lambda: Gates(0.0, 0.0, 0.0))

    def tables(self) -> tuple[NamedTable, ...]:
        """Return the gates, by which the percentages can be found again."""
        gates = (
            ("cells", CHANNELS[0], self.gates.scatter),
            ("Annexin V positive", CHANNELS[2], self.gates.annexin),
            ("PI positive", CHANNELS[3], self.gates.pi),
        )
        records = tuple(
            {"gate": name, "channel": channel, "least": least}
            for name, channel, least in gates
        )
        return (NamedTable("gates", "Gates (compensated, a.u.)", records),)


MAX_DOTS = 4000

_LINEAR = 300.0
"""a.u.; the axes are linear between ± this and logarithmic beyond."""


def plot_flow(reading: FlowReading) -> Figure:
    """Draw Annexin V against PI of each sample's first tube, with percentages."""
    tubes = [tube for tube in reading.tubes if tube.replicate == 1]
    rows = math.ceil(len(tubes) / 4)
    columns = math.ceil(len(tubes) / rows)
    figure = Picture(figsize=(3.1 * columns, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for ax in axes.flat:
        ax.tick_params(labelbottom=True, labelleft=True)
    for ax in axes.flat[len(tubes) :]:
        ax.axis("off")
    first = reading.raw[reading.raw["replicate"] == 1].to_dict("records")
    for ax, tube, shares in zip(axes.ravel(), tubes, first, strict=False):
        _plot_tube(ax, tube, reading, shares)
    figure.supxlabel("Annexin V-FITC (compensated, a.u.)", fontsize=10)
    figure.supylabel("propidium iodide (compensated, a.u.)", fontsize=10)
    return figure


def _plot_tube(
    ax: Axes, tube: Tube, reading: FlowReading, shares: Mapping[Any, Any]
) -> None:
    """Draw one tube: a dot an event, coloured by how crowded it is there."""
    gates = reading.gates
    cells = tube.events[tube.events[:, 0] >= gates.scatter][:MAX_DOTS]
    light = compensated(cells[:, 2:4], reading.spillover)
    shown = np.arcsinh(light / _LINEAR)
    low, high = shown.min(axis=0), shown.max(axis=0) + 1e-9
    bins = np.minimum(((shown - low) / (high - low) * 60).astype(int), 59)
    counts = np.zeros((60, 60))
    np.add.at(counts, (bins[:, 0], bins[:, 1]), 1.0)
    crowd = np.log1p(counts[bins[:, 0], bins[:, 1]])
    order = np.argsort(crowd)
    ax.scatter(
        light[order, 0],
        light[order, 1],
        c=crowd[order],
        cmap="viridis",
        s=2,
        linewidths=0,
        rasterized=True,
    )
    for axis in ("x", "y"):
        getattr(ax, f"set_{axis}scale")("symlog", linthresh=_LINEAR, linscale=0.5)
        getattr(ax, f"set_{axis}lim")(-_LINEAR, 6e5)
        getattr(ax, f"set_{axis}ticks")([0, 1e3, 1e4, 1e5])
    ax.axvline(gates.annexin, color="0.25", lw=0.9)
    ax.axhline(gates.pi, color="0.25", lw=0.9)
    corners = {
        "necrotic": (0.03, 0.98, "left"),
        "late apoptotic": (0.98, 0.98, "right"),
        "viable": (0.03, None, "left"),
        "early apoptotic": (0.98, None, "right"),
    }
    below = ax.transAxes.inverted().transform(ax.transData.transform((0, gates.pi)))[1]
    for quadrant, (x, y, ha) in corners.items():
        ax.text(
            x,
            below - 0.02 if y is None else y,
            f"{quadrant}\n{shares[quadrant]:.1f} %",
            transform=ax.transAxes,
            ha=ha,
            va="top",
            fontsize=7.5,
        )
    ax.set_title(f"{tube.sample} ({shares['gated']:,} cells)", fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
