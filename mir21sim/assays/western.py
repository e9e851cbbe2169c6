"""Western blot: bands, densitometry, and the picture of the membrane. Layer 15.

A lane is a dish: the mean over its cells, dead ones too. One replicate is one blot,
with every lane on it, of lysates from dishes of its own. The loading control is a
protein that no treatment changes; it is not part of the model.
"""

import json
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.ndimage
import xarray as xr
from matplotlib.figure import Figure

from mir21sim._typing import FloatArray
from mir21sim.assays.assay import (
    Reading,
    at_time,
    control_of,
    dish_mean,
    dishes_of,
    lognormal,
    no_signal,
    nothing_seen,
    own,
    replicates_of,
    scale_of,
    stream,
)
from mir21sim.assays.noise import WesternNoise
from mir21sim.assays.statistics import Test, summary_rows
from mir21sim.bench import Sample
from mir21sim.compiled import CompiledModel, unique
from mir21sim.errors import InputError, UnknownNameError


@dataclass(frozen=True, slots=True)
class Antibody:
    """What an antibody binds, and where the band runs.

    Attributes
    ----------
    name : as the blot is labelled
    binds : model quantities whose sum is the band
    kda : kDa, apparent mass
    """

    name: str
    binds: tuple[str, ...]
    kda: float


FORMS = (
    Antibody("p-AKT", ("pAKT",), 60),
    Antibody("AKT", ("AKT", "AKT_T308", "pAKT"), 60),
    Antibody("p-ERK", ("pERK",), 43),
    Antibody("ERK", ("ERK", "pERK"), 43),
    Antibody("p-FOXO", ("pFOXO",), 80),
    Antibody("FOXO", ("FOXO", "pFOXO"), 80),
    Antibody("p-BAD", ("pBAD_total",), 23),
    Antibody("CASP3", ("CASP3",), 35),
    Antibody("cleaved CASP3", ("CASP3_a", "XIAP_CASP3"), 17),
    Antibody("CASP7", ("CASP7",), 35),
    Antibody("cleaved CASP7", ("CASP7_a", "XIAP_CASP7"), 20),
    Antibody("CASP8", ("CASP8",), 55),
    Antibody("cleaved CASP8", ("CASP8_a", "BFAR_CASP8"), 18),
    Antibody("PARP", ("PARP1",), 116),
    Antibody("cleaved PARP", ("PARP1_c",), 89),
    Antibody("BID", ("BID",), 22),
    Antibody("tBID", ("tBID_total",), 15),
)
"""Antibodies that tell forms of one protein apart; masses are recalled."""

KDA = {
    "PTEN": 54, "PDCD4": 54, "BCL2": 26, "TIMP3": 24, "SPRY1": 35, "SPRY2": 35,
    "NFIB": 47, "XIAP": 57, "CFLAR": 55, "CASP6": 34, "CASP9": 47, "BFAR": 52,
    "BAX": 21, "BAK1": 25, "BCL2L1": 30, "MCL1": 40, "BAD": 23, "BBC3": 23,
    "PMAIP1": 11, "BCL2L11": 23, "TP53": 53, "MDM2": 90, "AP1": 39, "APAF1": 140,
    "DIABLO": 25, "CYCS": 14, "TNFRSF10B": 48, "FAS": 45, "TNFRSF1A": 55,
    "TNFRSF1B": 75,
}  # fmt: skip
"""kDa, apparent mass of a gene's protein, all forms in one band; recalled."""

LOADING = Antibody("β-actin", (), 42)


def antibodies(model: CompiledModel) -> dict[str, Antibody]:
    """Return every antibody that has something to bind in a model, by name."""
    genes = {name: gene.protein for name, gene in model.info.genes.items()}
    return _antibodies({*model.state_names, *model.assigned_names}, genes)


def _antibodies(
    known: Set[str], genes: Mapping[str, Sequence[str]]
) -> dict[str, Antibody]:
    """Return the antibodies against some quantities; of a gene, all forms count."""
    found = {a.name: a for a in FORMS if known >= {*a.binds}}
    for name, kda in KDA.items():
        for binds in ((f"{name}_total",), tuple(genes.get(name, ())), (name,)):
            if binds and known >= {*binds}:
                found[name] = Antibody(name, binds, kda)
                break
    return found


@dataclass(frozen=True, slots=True, eq=False)
class WesternReading(Reading):
    """A reading of a blot, with what its picture needs: kDa by band, in order."""

    masses: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class WesternBlot:
    """A western blot of some proteins, one lane a sample.

    Parameters
    ----------
    proteins : names of ``antibodies(model)``, or an ``Antibody`` of one's own; ``A/B``
        is the density of one over that of another, both on the blot
    time_h : when cells are lysed; by default at the last time kept
    control : sample that ratios are relative to; by default the first
    detection : "ecl" (linear up to full scale, then clipped) or "film" (saturates)
    """

    proteins: tuple[str | Antibody, ...] = ("PTEN", "PDCD4", "BCL2", "p-AKT/AKT")
    time_h: float | None = None
    control: str | None = None
    detection: Literal["ecl", "film"] = "ecl"
    noise: WesternNoise = field(default_factory=WesternNoise)

    def __post_init__(self) -> None:
        if not self.proteins:
            raise InputError("A western blot needs one protein or more.")
        if self.detection not in ("ecl", "film"):
            raise UnknownNameError("detection", self.detection, ("ecl", "film"))

    @property
    def name(self) -> str:
        """``western``."""
        return "western"

    def needs(self, model: CompiledModel) -> tuple[str, ...]:
        """Return what the antibodies bind.

        Raises
        ------
        UnknownNameError
            For an antibody against what the model does not have.
        """
        chosen = self._chosen(antibodies(model))
        quantities = (*model.state_names, *model.assigned_names)
        for antibody in chosen.values():
            for name in antibody.binds:
                if name not in quantities:
                    what = f"protein that the antibody {antibody.name} binds"
                    raise UnknownNameError(what, name, quantities)
        return unique(n for a in chosen.values() for n in a.binds)

    def _chosen(self, known: Mapping[str, Antibody]) -> dict[str, Antibody]:
        """Return the antibodies in order, those of a ratio apart."""
        found: dict[str, Antibody] = {}
        for wanted in self.proteins:
            if isinstance(wanted, Antibody):
                found[wanted.name] = wanted
                continue
            parts = wanted.split("/")
            if len(parts) > 2 or len(set(parts)) < len(parts):
                raise InputError(
                    f"A ratio is one protein over another, `A/B`, got `{wanted}`."
                )
            for name in parts:
                if name not in known:
                    raise UnknownNameError("antibody", name, tuple(known))
                found[name] = known[name]
        return found

    def _read_out(self) -> list[tuple[str, list[str]]]:
        """Return the names that are reported, each with the one or two bands of it."""
        names = [p.name if isinstance(p, Antibody) else p for p in self.proteins]
        return [(name, name.split("/")) for name in unique(names)]

    def dishes(
        self, samples: Sequence[Sample], model: CompiledModel
    ) -> tuple[Sample, ...]:
        """Return none: a blot reads the samples of the experiment."""
        return ()

    def read(
        self,
        cells: xr.Dataset,
        *,
        noise: bool = True,
        seed: int = 0,
        replicates: int = 3,
        test: Test = "auto",
    ) -> WesternReading:
        """Return the density of every band, and of every protein in every sample.

        ``raw``: replicate (blot), lane, sample, protein, kda, signal, loading (band
        volumes, share of full scale), saturated, density (signal over loading), scaled
        (density over the mean of the lanes of its blot). A ratio has a row of its own,
        with the ratio of the two densities. ``summary``: one row a sample and protein;
        mean and SD are of the scaled density.

        Notes
        -----
        Blots differ in exposure, so densities are scaled by the mean over each blot's
        own lanes before blots are averaged. Dividing by one lane would put that lane's
        error into all others.
        """
        part = at_time(dishes_of(cells), self.time_h)
        lanes = [str(name) for name in part["sample"].values]
        chosen = self._chosen(
            _antibodies(
                {str(name) for name in part.data_vars}, json.loads(part.attrs["genes"])
            )
        )
        amounts = {
            name: dish_mean(part, antibody.binds) for name, antibody in chosen.items()
        }
        blots = replicates_of(noise, replicates)
        rows = [
            row
            for blot in range(blots)
            for row in self._blot(chosen, amounts, lanes, (seed, blot), noise=noise)
        ]
        raw = pd.DataFrame(rows)
        summary, notes = self._summary(raw, lanes, test, noise=noise)
        return WesternReading(
            self.name,
            raw,
            summary,
            notes,
            {name: antibody.kda for name, antibody in chosen.items()},
            seed,
        )

    def _blot(
        self,
        chosen: Mapping[str, Antibody],
        amounts: Mapping[str, FloatArray],
        lanes: Sequence[str],
        place: tuple[int, int],
        *,
        noise: bool,
    ) -> list[dict[str, Any]]:
        """Return the bands of one blot."""
        seed, blot = place
        if noise:
            loaded = [
                lognormal(
                    stream(seed, self.name, "load", lane, blot), self.noise.loading_cv
                )
                for lane in lanes
            ]
        else:
            loaded = [1.0] * len(lanes)
        bands = {
            name: self._bands(name, values * loaded, lanes, place, noise=noise)
            for name, values in {LOADING.name: np.ones(len(lanes)), **amounts}.items()
        }
        loading = bands[LOADING.name]
        floor = self.noise.detection_sd * self.noise.background_sd if noise else 0.0
        rows = []
        for name in unique((*chosen, *(name for name, _ in self._read_out()))):
            parts = [bands[part] for part in _parts(name, chosen)]
            density = parts[0] / loading
            if len(parts) > 1:
                with np.errstate(divide="ignore", invalid="ignore"):
                    density = np.where(parts[1] > floor, parts[0] / parts[1], np.nan)
            scaled = _scaled(density, seen=bool((parts[0] > floor).any()))
            rows += [
                {
                    "replicate": blot + 1,
                    "lane": k + 1,
                    "sample": lane,
                    "protein": name,
                    "kda": chosen[name].kda if name in chosen else math.nan,
                    "signal": float(parts[0][k]),
                    "loading": float(loading[k]),
                    "saturated": bool(noise and parts[0][k] >= _FULL),
                    "density": float(density[k]),
                    "scaled": float(scaled[k]),
                }
                for k, lane in enumerate(lanes)
            ]
        return rows

    def _summary(
        self, raw: pd.DataFrame, lanes: list[str], test: Test, *, noise: bool
    ) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Return one row a sample and protein, and what a reader must know."""
        control = control_of(lanes, self.control)
        floor = self.noise.detection_sd * self.noise.background_sd if noise else 0.0
        rows, notes = [], []
        for name, table in raw.groupby("protein", sort=False):
            groups = {
                lane: table.loc[table["sample"] == lane, "scaled"].to_numpy()
                for lane in lanes
            }
            finite = all(np.isfinite(values).all() for values in groups.values())
            signals = table.groupby("sample", sort=False)["signal"]
            base, seen = float(signals.mean()[control]), signals.mean().max() > floor
            if not finite:
                notes.append(f"{name}: no band in any lane, or none to divide by.")
            elif not seen:
                notes.append(nothing_seen(str(name)))
            elif base <= floor:
                notes.append(no_signal(control, str(name)))
            rows += summary_rows(
                groups,
                control,
                test=test if noise and finite and seen else "none",
                scale=scale_of([table[["signal", "loading"]].to_numpy()], floor),
                blocks=True,
                measurable=finite and base > floor,
                keys={"protein": str(name)},
                label="sample",
            )
            if bool(table["saturated"].any()):
                notes.append(
                    f"{name}: the strongest band is saturated, so differences look "
                    "smaller than they are; expose for less time."
                )
        return pd.DataFrame(rows), unique(notes)

    def _bands(
        self,
        name: str,
        amounts: FloatArray,
        lanes: Sequence[str],
        place: tuple[int, int],
        *,
        noise: bool,
    ) -> FloatArray:
        """Return the volume of one antibody's band in each lane, share of full scale.

        Without noise it is the amount itself.
        """
        seed, blot = place
        strongest = float(amounts.max(initial=0.0))
        if not noise:
            return amounts
        about = self.noise
        affinity = lognormal(
            stream(seed, self.name, "antibody", name), about.affinity_cv
        )
        exposure = lognormal(
            stream(seed, self.name, "exposure", name, blot), about.exposure_cv
        )
        light = np.zeros(len(lanes))
        for k, lane in enumerate(lanes):
            rng = stream(seed, self.name, "band", name, lane, blot)
            share = amounts[k] / strongest if strongest > 0 else 0.0
            bound = exposure * share * lognormal(rng, about.transfer_cv)
            light[k] = (
                about.exposure * bound
                if self.detection == "ecl"
                else bound / (bound + about.film_half)
            )
            # A weak antibody is exposed for longer, and its background with it.
            light[k] += about.background_sd / affinity * float(rng.standard_normal())
        return np.minimum(light, _FULL)

    def plot(self, reading: Reading) -> Figure:
        """Draw the first blot as a membrane, and the densities below it."""
        return plot_western(own(reading, WesternReading, self.name))


_FULL = 1.0
"""Full scale of film or camera."""


def _parts(name: str, chosen: Mapping[str, Antibody]) -> list[str]:
    """Return the bands of a name: one, or the two of a ratio."""
    return [name] if name in chosen else name.split("/")


def _scaled(density: FloatArray, *, seen: bool) -> FloatArray:
    """Return densities over the mean of their blot; NaN where there is no band."""
    mean = float(density.mean())
    if not (seen and math.isfinite(mean) and mean > 0):
        return np.full(len(density), np.nan)
    return density / mean


# ------------------------------------------------------------------------- the picture
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
    figure = Figure(
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
    """Return what stands under the lanes of a protein; nothing under the loading."""
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
