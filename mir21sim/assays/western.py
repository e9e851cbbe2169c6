"""Western blot: lanes, bands and densitometry.

A lane is a dish: the mean over its cells, dead ones too. One replicate is one blot,
with every lane on it, of lysates from dishes of its own. The loading control is a
protein that no treatment changes; it is not part of the model.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from mir21sim._typing import FloatArray
from mir21sim.assays.antibodies import LOADING, Antibody, antibodies, antibodies_against
from mir21sim.assays.assay import Assay, AssayClaim, Conditions, Reading, take_column
from mir21sim.assays.noise import WesternNoise
from mir21sim.assays.signals import (
    at_time,
    control_of,
    dish_mean,
    dishes_of,
    lognormal,
    no_signal,
    noise_of,
    nothing_seen,
    scale_of,
)
from mir21sim.assays.statistics import summary_rows
from mir21sim.assays.western_reading import WesternReading, plot_western
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.model.aliases import Names
from mir21sim.model.info import unique
from mir21sim.simulation.randomness import stream


@dataclass(frozen=True, slots=True)
class WesternBlot(Assay[WesternReading]):
    """A western blot of some proteins, one lane a sample.

    Parameters
    ----------
    proteins : names of ``antibodies(model)``, or an ``Antibody`` of one's own; ``A/B``
        is the density of one over that of another, both on the blot
    time_h : when cells are lysed; by default at the last time kept
    control : sample that ratios are relative to; by default the first
    detection : "ecl" (linear up to full scale, then clipped) or "film" (saturates)

    Examples
    --------
    >>> import mir21sim as ms
    >>> blot = ms.WesternBlot(("PTEN", "cleaved CASP3"), time_h=24.0)
    >>> blot.name
    'western'
    """

    kinds: ClassVar[tuple[str, ...]] = ("western",)
    reading_type: ClassVar[type[Reading]] = WesternReading
    replicate_word: ClassVar[str] = "blots of lysates of their own"

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

    @property
    def heading(self) -> str:
        """Heading of its section in a report."""
        return "Western blot"

    @property
    def caption(self) -> str:
        """Caption of its picture."""
        return "The first of the blots, with the densities of all of them."

    @classmethod
    def claim(cls, kind: str) -> AssayClaim:
        """Return the densities of one protein, compared blot by blot."""
        return AssayClaim(
            lambda given, h: cls(proteins=(given[0],), time_h=h),
            take_column("scaled", sample="sample", protein=0),
            ("protein",),
            blocks=True,
        )

    def needs(self, model: CompiledModel) -> tuple[str, ...]:
        """Return the quantities that the antibodies bind.

        Raises
        ------
        UnknownNameError
            For an antibody against a quantity that the model lacks.
        """
        chosen = self._chosen(antibodies(model))
        quantities = (*model.state_names, *model.assigned_names)
        for antibody in chosen.values():
            for name in (*antibody.binds, *antibody.rest):
                if name not in quantities:
                    what = f"protein that the antibody {antibody.name} binds"
                    raise UnknownNameError(what, name, quantities)
        return unique(n for a in chosen.values() for n in (*a.binds, *a.rest))

    def _chosen(self, known: Mapping[str, Antibody]) -> dict[str, Antibody]:
        """Return the antibodies in order, those of a ratio apart."""
        names = Names(known)
        found: dict[str, Antibody] = {}
        for wanted in self.proteins:
            if isinstance(wanted, Antibody):
                found[wanted.name] = wanted
                continue
            parts = {name: names.find(name) for name in wanted.split("/")}
            if len(parts) > 2 or len({*parts.values()}) <= wanted.count("/"):
                raise InputError(
                    f"A ratio is one protein over another, `A/B`, got `{wanted}`."
                )
            for name, meant in parts.items():
                if meant not in known:
                    raise UnknownNameError("antibody", name, tuple(known))
                found[name] = known[meant]
        return found

    def _read_out(self) -> list[tuple[str, list[str]]]:
        """Return the names that are reported, each with the one or two bands of it."""
        names = [p.name if isinstance(p, Antibody) else p for p in self.proteins]
        return [(name, name.split("/")) for name in unique(names)]

    def measure(self, cells: xr.Dataset, conditions: Conditions) -> WesternReading:
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
            antibodies_against(
                {str(name) for name in part.data_vars}, json.loads(part.attrs["genes"])
            )
        )
        rows = [
            row
            for blot, dish in enumerate(conditions.dishes(part))
            for row in self._blot(chosen, dish, lanes, blot, conditions)
        ]
        raw = pd.DataFrame(rows)
        summary, notes = self._summary(raw, lanes, conditions)
        return WesternReading(
            self.name,
            raw,
            summary,
            notes,
            {name: antibody.kda for name, antibody in chosen.items()},
            conditions.seed,
        )

    def _blot(
        self,
        chosen: Mapping[str, Antibody],
        dish: xr.Dataset,
        lanes: Sequence[str],
        blot: int,
        conditions: Conditions,
    ) -> list[dict[str, Any]]:
        """Return the bands of one blot.

        Parameters
        ----------
        dish : the cells of this replicate, molecules per cell
        """
        amounts = {name: dish_mean(dish, a.binds) for name, a in chosen.items()}
        # A blot is exposed for all forms of a protein.
        wholes = {
            name: dish_mean(dish, (*a.binds, *a.rest)) for name, a in chosen.items()
        }
        loaded = np.ones(len(lanes))
        if conditions.noise:
            for k in range(len(lanes)):
                rng = noise_of(conditions.seed, dish, k, self.name, "load", blot)
                loaded[k] = lognormal(rng, self.noise.loading_cv)
        shares = {LOADING.name: loaded / loaded.max()}
        for name, values in amounts.items():
            full = max(float((wholes[name] * loaded).max()), self.noise.least_amount)
            shares[name] = values * loaded / full if conditions.noise else values
        bands = {
            name: self._bands(name, values, dish, blot, conditions)
            for name, values in shares.items()
        }
        loading = bands[LOADING.name]
        floor = self._floor(conditions)
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
                    "saturated": bool(conditions.noise and parts[0][k] >= _FULL),
                    "density": float(density[k]),
                    "scaled": float(scaled[k]),
                }
                for k, lane in enumerate(lanes)
            ]
        return rows

    def _summary(
        self, raw: pd.DataFrame, lanes: list[str], conditions: Conditions
    ) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Return one row a sample and protein, and notes."""
        control = control_of(lanes, self.control)
        floor = self._floor(conditions)
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
                test=conditions.test if finite and seen else "none",
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
        dish: xr.Dataset,
        blot: int,
        conditions: Conditions,
    ) -> FloatArray:
        """Return the volume of one antibody's band in each lane, share of full scale.

        `amounts` are shares of the amount that the antibody is exposed for.

        Without noise it is the amount itself.
        """
        if not conditions.noise:
            return amounts
        about, seed = self.noise, conditions.seed
        affinity = lognormal(
            stream(seed, self.name, "antibody", name), about.affinity_cv
        )
        exposure = lognormal(
            noise_of(seed, dish, None, self.name, "exposure", name, blot),
            about.exposure_cv,
        )
        light = np.zeros(len(amounts))
        for k in range(len(amounts)):
            rng = noise_of(seed, dish, k, self.name, "band", name, blot)
            bound = exposure * amounts[k] * lognormal(rng, about.transfer_cv)
            light[k] = (
                about.exposure * bound
                if self.detection == "ecl"
                else bound / (bound + about.film_half)
            )
            # A weak antibody is exposed for longer, and its background with it.
            light[k] += about.background_sd / affinity * float(rng.standard_normal())
        return np.minimum(light, _FULL)

    def _floor(self, conditions: Conditions) -> float:
        """Return the weakest signal that counts as a band."""
        return self.noise.detection_sd * self.noise.background_sd * conditions.noise

    def draw(self, reading: WesternReading) -> Figure:
        """Draw the first blot as a membrane, and the densities below it."""
        return plot_western(reading)


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
