"""Dual-luciferase reporter: firefly under a 3'UTR, Renilla as control.

The reporter is part of the model: its mRNA competes for loaded miR-21 with all other
sites. Renilla is made and lost as firefly is, but without a site. So its signal is that
of the mutant reporter, in proportion to its plasmids.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from mir21sim.analysis.pictures import Picture
from mir21sim.analysis.plot_style import OVERLAY_COLOURS
from mir21sim.assays.assay import Assay, AssayClaim, Conditions, Reading, take_column
from mir21sim.assays.experiment import Sample
from mir21sim.assays.noise import LuciferaseNoise
from mir21sim.assays.signals import (
    at_time,
    control_of,
    dish_mean,
    lognormal,
    no_signal,
    noise_of,
    scale_of,
)
from mir21sim.assays.statistics import summary_rows
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.model.info import unique
from mir21sim.simulation.doses import Dose
from mir21sim.simulation.names import canonical
from mir21sim.simulation.treatment import Treatment

SITE = {
    "kr_RISC_reporter": "kr_RISC_{gene}",
    "r_deg_reporter": "r_deg_{gene}",
    "zeta_reporter": "zeta_{gene}",
}
"""Parameter of the reporter → that of the gene whose 3'UTR it carries."""

CONSTRUCTS = ("WT", "MUT")
PLASMIDS = {"WT": "reporter_WT", "MUT": "reporter_MUT"}
ACTIVITY = {"WT": "luciferase_WT", "MUT": "luciferase_MUT"}
_DISH = "reporter {target} {construct} {plasmids:g}"


@dataclass(frozen=True, slots=True)
class LuciferaseAssay(Assay[Reading]):
    """A dual-luciferase assay of the 3'UTRs of some targets of miR-21.

    Parameters
    ----------
    targets : genes whose 3'UTR the reporter carries; each must have a site of miR-21
    plasmids : firefly plasmids per cell, one amount or several
    renilla : Renilla plasmids per cell
    transfection_h : h, when the plasmids are given
    times_h : when cells are lysed; by default at the last time kept
    control : treatment that ratios are relative to; by default the first

    Examples
    --------
    >>> import mir21sim as ms
    >>> ms.LuciferaseAssay(("PDCD4", "PTEN"), times_h=(24.0,)).name
    'luciferase'
    """

    kinds: ClassVar[tuple[str, ...]] = ("luciferase",)
    replicate_word: ClassVar[str] = "wells"

    targets: tuple[str, ...] = ("PDCD4",)
    plasmids: tuple[float, ...] = (100.0,)
    renilla: float = 10.0
    transfection_h: float = 0.0
    times_h: tuple[float, ...] = ()
    control: str | None = None
    noise: LuciferaseNoise = field(default_factory=LuciferaseNoise)

    def __post_init__(self) -> None:
        if not self.targets:
            raise InputError("A luciferase assay needs one target or more.")
        amounts = (*self.plasmids, self.renilla)
        if not self.plasmids or not all(math.isfinite(a) and a > 0 for a in amounts):
            raise InputError(
                "Plasmids per cell, firefly and Renilla, must be finite and above 0, "
                f"got {', '.join(f'{a:g}' for a in amounts)}."
            )

    @property
    def name(self) -> str:
        """``luciferase``."""
        return "luciferase"

    @property
    def heading(self) -> str:
        """Heading of its section in a report."""
        return "Dual-luciferase reporter"

    @property
    def caption(self) -> str:
        """Caption of its picture."""
        return (
            "Bars: mean firefly over Renilla relative to the control, ± SD; points: "
            "wells."
        )

    @classmethod
    def claim(cls, kind: str) -> AssayClaim:
        """Return firefly over Renilla with the site of one target, or without."""
        return AssayClaim(
            lambda given, h: cls(targets=(given[0],), times_h=(h,)),
            take_column("ratio", treatment="sample", target=0, construct=1),
            ("target", "construct"),
        )

    def needs(self, model: CompiledModel) -> tuple[str, ...]:
        """Return the two luciferases; a model without reporters is an error."""
        for name in (*PLASMIDS.values(), *ACTIVITY.values()):
            if name not in model.state_names:
                raise InputError(
                    f"A luciferase assay needs the species `{name}`, and {model.id} "
                    "has none."
                )
        return tuple(ACTIVITY.values())

    def dishes(
        self, samples: Sequence[Sample], model: CompiledModel
    ) -> tuple[Sample, ...]:
        """Return every sample with every reporter of every target and amount."""
        self.needs(model)
        return tuple(
            self._dish(sample, target, construct, plasmids, model)
            for sample in samples
            if not sample.dish
            for target in self.targets
            for plasmids in self.plasmids
            for construct in CONSTRUCTS
        )

    def _dish(
        self,
        sample: Sample,
        target: str,
        construct: str,
        plasmids: float,
        model: CompiledModel,
    ) -> Sample:
        """Return a sample with firefly and Renilla plasmids in its cells."""
        given = {construct: plasmids}
        if construct == "WT":
            given["MUT"] = self.renilla
        doses = [
            Dose(self.transfection_h, amount, PLASMIDS[key])
            for key, amount in given.items()
        ]
        plasmid = Treatment(tuple(doses), site_of(model, target))
        dish = _DISH.format(target=target, construct=construct, plasmids=plasmids)
        return replace(
            sample,
            name=f"{sample.name}, {dish}",
            treatment=plasmid.joined(sample.done),
            group=sample.name,
            dish=dish,
        )

    def measure(self, cells: xr.Dataset, conditions: Conditions) -> Reading:
        """Return light of every well, and the firefly over Renilla of every treatment.

        ``raw``: treatment, target, construct, plasmids, time_h, replicate, firefly and
        renilla (RLU, without background), ratio, relative (to the control's mean ratio
        of the same reporter and time). ``summary``: one row a treatment and reporter;
        mean and SD are of the ratio.
        """
        noise = conditions.noise
        raw, summary, notes = [], [], []
        for time_h, target, plasmids, construct in itertools.product(
            self.times_h or (float(cells["time"][-1]),),
            self.targets,
            self.plasmids,
            CONSTRUCTS,
        ):
            keys = {
                "target": target,
                "construct": construct,
                "plasmids": plasmids,
                "time_h": time_h,
            }
            light = self._light(at_time(cells, time_h), keys, conditions)
            groups = {
                name: np.array([well["ratio"] for well in rows])
                for name, rows in light.items()
            }
            control = control_of(tuple(groups), self.control)
            lit = [well["renilla"] for well in light[control]]
            floor = self.noise.detection_sd * self.noise.background_sd_rlu
            base = float(groups[control].mean())
            measurable = base > 0 and min(lit) > (floor if noise else 0.0)
            if not measurable:
                notes.append(no_signal(control, f"{target} {construct}"))
            summary += summary_rows(
                groups,
                control,
                test=conditions.test if measurable else "none",
                scale=scale_of(
                    (
                        np.array([[w["firefly"], w["renilla"]] for w in rows])
                        for rows in light.values()
                    ),
                    floor,
                ),
                measurable=measurable,
                keys=keys,
            )
            raw += [
                well | {"relative": well["ratio"] / base if measurable else math.nan}
                for rows in light.values()
                for well in rows
            ]
        return Reading(
            self.name, pd.DataFrame(raw), pd.DataFrame(summary), unique(notes)
        )

    def _light(
        self,
        moment: xr.Dataset,
        keys: dict[str, Any],
        conditions: Conditions,
    ) -> dict[str, list[dict[str, Any]]]:
        """Return the wells of each treatment with one reporter at one time."""
        construct, plasmids = keys["construct"], keys["plasmids"]
        dish = _DISH.format(
            target=keys["target"], construct=construct, plasmids=plasmids
        )
        chosen = np.flatnonzero(moment["dish"].values == dish)
        if not len(chosen):
            known = unique(d for d in moment["dish"].values if d)
            raise UnknownNameError("reporter dish in the experiment", dish, known)
        part = moment.isel(sample=chosen)
        amounts = []
        for replicate in conditions.dishes(part):
            firefly = dish_mean(replicate, [ACTIVITY[construct]])
            renilla = dish_mean(replicate, [ACTIVITY["MUT"]])
            if construct == "MUT":  # one reporter serves as both, in proportion
                renilla = renilla * (self.renilla / plasmids)
            amounts.append((firefly, renilla))
        found: dict[str, list[dict[str, Any]]] = {}
        for k, treatment in enumerate(map(str, part["treatment"].values)):
            found[treatment] = [
                {"treatment": treatment, **keys, "replicate": r + 1}
                | self._well(
                    (float(amounts[r][0][k]), float(amounts[r][1][k])),
                    noise_of(conditions.seed, part, k, self.name, r),
                    noise=conditions.noise,
                )
                for r in range(conditions.replicates)
            ]
        return found

    def _well(
        self, amounts: tuple[float, float], rng: np.random.Generator, *, noise: bool
    ) -> dict[str, float]:
        """Return the light of one well, both channels, without background."""
        about = self.noise
        light = [amount * about.gain_rlu for amount in amounts]
        if noise:
            shared = lognormal(rng, about.transfection_cv)
            light = [
                value
                * shared
                * lognormal(rng, about.pipetting_cv)
                * lognormal(rng, about.reader_cv)
                + about.background_sd_rlu * float(rng.standard_normal())
                for value in light
            ]
        firefly, renilla = light
        ratio = firefly / renilla if renilla > 0 else math.nan
        return {"firefly": firefly, "renilla": renilla, "ratio": ratio}

    def draw(self, reading: Reading) -> Figure:
        """Draw the ratio to the control, WT beside MUT, with every well as a point."""
        return plot_luciferase(reading)


def site_of(model: CompiledModel, gene: str) -> dict[str, float]:
    """Return the reporter's parameters with the site of a gene's 3'UTR.

    Raises
    ------
    UnknownNameError
        For a gene on which miR-21 has no site in the model.
    """
    able = tuple(name for name, entry in model.info.genes.items() if entry.site)
    gene = canonical(model, gene, able)
    if gene not in able:
        raise UnknownNameError("gene with a site of miR-21", gene, able)
    numbers = dict(zip(model.param_names, model.p0, strict=True))
    names = {key: pattern.format(gene=gene) for key, pattern in SITE.items()}
    for name in (*names, *names.values()):
        if name not in numbers:
            raise InputError(
                f"A reporter of `{gene}` needs the parameter `{name}`, and {model.id} "
                "has none."
            )
    return {key: float(numbers[name]) for key, name in names.items()}


def plot_luciferase(reading: Reading) -> Figure:
    """Draw relative luciferase by treatment, one panel a target, amount and time."""
    panels = list(reading.summary.groupby(["target", "plasmids", "time_h"], sort=False))
    treatments = list(dict.fromkeys(reading.summary["treatment"]))
    width = 1.2 + max(2.6, 0.8 * len(treatments)) * len(panels)
    figure = Picture(figsize=(width, 4.0), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for ax, ((target, plasmids, time_h), table) in zip(axes, panels, strict=True):
        for k, construct in enumerate(CONSTRUCTS):
            part = table[table["construct"] == construct]
            x = np.arange(len(part)) + (k - 0.5) * 0.38
            ax.bar(
                x,
                part["relative"],
                width=0.36,
                yerr=part["relative_sd"].fillna(0.0),
                capsize=3,
                color=OVERLAY_COLOURS[k],
                alpha=0.75,
                label={"WT": "wild type", "MUT": "mutant site"}[construct],
            )
            wells = reading.raw[
                (reading.raw["target"] == target)
                & (reading.raw["plasmids"] == plasmids)
                & (reading.raw["time_h"] == time_h)
                & (reading.raw["construct"] == construct)
            ]
            for place, treatment in zip(x, part["treatment"], strict=True):
                values = wells.loc[wells["treatment"] == treatment, "relative"]
                spread = np.linspace(-0.08, 0.08, len(values)) if len(values) > 1 else 0
                ax.plot(place + spread, values, "o", ms=3.5, color="0.15")
        ax.axhline(1.0, color="0.6", lw=0.8, ls=":")
        ax.set_xticks(range(len(treatments)), treatments, rotation=25, ha="right")
        ax.set_title(
            f"{target} 3′UTR, {plasmids:g} plasmids, {time_h:g} h", fontsize=10
        )
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("firefly/Renilla, relative to control")
    axes[0].set_ylim(bottom=0)
    axes[-1].legend(frameon=False, fontsize="small")
    return figure
