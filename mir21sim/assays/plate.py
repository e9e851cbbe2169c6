"""Plates: caspase-3/7 activity and viability by luminescence.

The cells of a well are lysed together, so a well reads the mean of its dish times the
cells in it. A dish is cells of the experiment; wells of one dish differ by noise alone.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from mir21sim._typing import FloatArray
from mir21sim.analysis.cell_death import EXPOSED
from mir21sim.analysis.hill_fit import HillFit, fit_hill
from mir21sim.assays.assay import (
    Assay,
    AssayClaim,
    Conditions,
    Exported,
    Reading,
    take_column,
)
from mir21sim.assays.experiment import Sample
from mir21sim.assays.noise import PlateNoise
from mir21sim.assays.plate_map import (
    BLANK,
    EMPTY,
    ROWS,
    PlateMap,
    Well,
    layout,
    write_plate_map,
)
from mir21sim.assays.plate_reading import PlateReading, plot_plate, z_prime
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
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.model.info import unique


@dataclass(frozen=True, slots=True)
class PlateAssay(Assay[PlateReading]):
    """Caspase-3/7 activity or viability, well by well.

    Parameters
    ----------
    kind : "caspase" (DEVD cleaved by free active caspase-3 and -7, alike) or
        "viability" (ATP or MTT: cells that neither expose PS nor are ruptured)
    plate : contents of the wells; by default ``layout`` of all samples
    size : wells of the plate that is laid out
    time_h : when it is read; by default at the last time kept
    control : treatment that ratios are relative to; by default the first
    positive : treatment of the Z′ factor; by default the one farthest from the control
    cells_per_well : cells seeded
    edge : share by which wells on the rim read higher, as their medium dries (0: none)

    Examples
    --------
    >>> import mir21sim as ms
    >>> ms.PlateAssay("viability", time_h=48.0).size
    96
    """

    kinds: ClassVar[tuple[str, ...]] = ("caspase", "viability")
    reading_type: ClassVar[type[Reading]] = PlateReading
    replicate_word: ClassVar[str] = "wells"

    kind: Literal["caspase", "viability"] = "caspase"
    plate: PlateMap | None = None
    size: int = 96
    time_h: float | None = None
    control: str | None = None
    positive: str | None = None
    cells_per_well: float = 10_000.0
    edge: float = 0.0
    noise: PlateNoise = field(default_factory=PlateNoise)

    def __post_init__(self) -> None:
        if self.kind not in self.kinds:
            raise UnknownNameError("plate assay", self.kind, self.kinds)
        if self.size not in ROWS:
            raise InputError(f"A plate has 96 or 384 wells, got {self.size}.")
        if self.control is not None and self.control == self.positive:
            raise InputError(
                f"`control` and `positive` must differ, got `{self.control}` for both."
            )
        if not (math.isfinite(self.cells_per_well) and self.cells_per_well > 0):
            raise InputError(
                f"`cells_per_well` must be above 0, got {self.cells_per_well}."
            )
        if not (math.isfinite(self.edge) and self.edge > -1):
            raise InputError(f"`edge` must be above -1, got {self.edge}.")

    @property
    def name(self) -> str:
        """``caspase`` or ``viability``."""
        return self.kind

    @property
    def heading(self) -> str:
        """Heading of its section in a report."""
        return {"caspase": "Caspase-3/7 activity"}.get(self.kind, "Viability")

    @property
    def caption(self) -> str:
        """Caption of its picture."""
        return "Left: signal of every well; right: signal without blank, ± SD."

    @classmethod
    def claim(cls, kind: str) -> AssayClaim:
        """Return the signals of the wells of a sample, without blank."""
        noise = PlateNoise()
        return AssayClaim(
            lambda _, h: cls("caspase" if kind == "caspase" else "viability", time_h=h),
            take_column("net", sample="sample"),
            floor=noise.detection_sd * noise.background_sd,
        )

    def needs(self, model: CompiledModel) -> tuple[str, ...]:
        """Return the quantities that make the signal of a well."""
        known = (*model.state_names, *model.assigned_names)
        found = tuple(name for name in _NEEDS[self.kind] if name in known)
        if not found or (self.kind == "viability" and len(found) < 2):
            raise InputError(
                f"The {self.kind} assay needs {', '.join(_NEEDS[self.kind])}, and "
                f"{model.id} lacks them."
            )
        return found

    def group_names(self, samples: Sequence[Sample]) -> tuple[str, ...]:
        """Return samples and treatments; a treatment means the first of its doses."""
        return unique(name for s in samples for name in (s.name, s.group))

    def check_samples(self, samples: Sequence[Sample], replicates: int) -> None:
        """Stop where the plate does not suit some samples, before they are run.

        Raises
        ------
        InputError
            For a well whose contents and dose are none of the samples, and for samples
            that do not fit on the plate that is laid out.
        """
        known = {
            (s.group, None if math.isnan(s.dose) else s.dose): 0.0 for s in samples
        }
        if self.plate is None:
            layout([(s.group, s.dose) for s in samples], replicates, self.size)
            return
        for well in self.plate.wells:
            if well.contents not in (BLANK, EMPTY) and well.sample not in known:
                raise _unknown_contents(well, known)

    def measure(self, cells: xr.Dataset, conditions: Conditions) -> PlateReading:
        """Return the signal of every well and of every sample.

        ``raw``: well, row, column, contents, dose, sample, edge, signal (RLU), net
        (without the mean of the blanks). ``summary``: one row a sample; mean and SD are
        of the net signal. `replicates` is how often each sample stands on the plate
        that is laid out; a plate given has its own.

        Raises
        ------
        UnknownNameError
            For a well whose contents are no treatment of the experiment.
        """
        part = at_time(dishes_of(cells), self.time_h)
        each = [self._levels(dish) for dish in conditions.dishes(part)]
        levels = {key: tuple(level[key] for level in each) for key in each[0]}
        noise = conditions.noise
        plate = self.plate or layout(
            [(name, math.nan if d is None else d) for name, d in levels],
            conditions.replicates,
            self.size,
        )
        raw = self._wells(plate, levels, part, conditions)
        used = raw[raw["contents"] != BLANK]
        groups = {
            str(name): table["net"].to_numpy(dtype=float)
            for name, table in used.groupby("sample", sort=False)
        }
        control = control_of(tuple(groups), self._named(self.control, raw))
        floor = self.noise.detection_sd * self.noise.background_sd if noise else 0.0
        measurable = bool(groups[control].mean() > floor)
        seen = any(values.mean() > floor for values in groups.values())
        rows = summary_rows(
            groups,
            control,
            test=conditions.test if seen else "none",
            scale=scale_of(groups.values(), floor),
            measurable=measurable,
            keys={},
            label="sample",
        )
        about = used.drop_duplicates("sample").set_index("sample")
        for row in rows:
            row["contents"] = about.loc[row["sample"], "contents"]
            row["dose"] = about.loc[row["sample"], "dose"]
        notes = []
        if not seen:
            notes.append(nothing_seen(self.kind))
        elif not measurable:
            notes.append(no_signal(control, self.kind))
        positive = self._named(self.positive, raw) or _farthest(groups, control)
        factor = z_prime(groups[control], groups[positive])
        if math.isfinite(factor):
            notes.append(f"Z′ = {factor:.2f} ({control} against {positive}).")
        units = [str(u) for u in part["dose_unit"].values if u]
        return PlateReading(
            self.name,
            raw,
            pd.DataFrame(rows),
            unique(notes),
            plate,
            factor,
            _fits(used, scatter=noise),
            units[0] if units else "",
        )

    def _levels(self, part: xr.Dataset) -> dict[tuple[str, float | None], float]:
        """Return the mean signal of a cell of each sample, by treatment and dose."""
        if self.kind == "caspase":
            names = [name for name in _NEEDS["caspase"] if name in part]
            means = dish_mean(part, names) * self.noise.caspase_gain
        else:
            alive = (1.0 - part[_NEEDS["viability"][0]]) * (
                1.0 - part[_NEEDS["viability"][1]]
            )
            means = dish_mean(alive.to_dataset(name="alive"), ["alive"])
            means = means * self.noise.viability_gain
        return dict(zip(_keys(part), map(float, means), strict=True))

    def _named(self, wanted: str | None, raw: pd.DataFrame) -> str | None:
        """Return the sample that a treatment or sample name stands for."""
        if wanted is None or (raw["sample"] == wanted).any():
            return wanted
        match = raw.loc[raw["contents"] == wanted, "sample"]
        if len(match):
            return str(match.iloc[0])
        raise UnknownNameError("control on the plate", wanted, unique(raw["sample"]))

    def _wells(
        self,
        plate: PlateMap,
        levels: Mapping[tuple[str, float | None], Sequence[float]],
        part: xr.Dataset,
        conditions: Conditions,
    ) -> pd.DataFrame:
        """Return every well that is not empty with its signal."""
        places = {key: k for k, key in enumerate(_keys(part))}
        rows = []
        used: Counter[tuple[str, float | None]] = Counter()
        for well in plate.wells:
            if well.contents == EMPTY:
                continue
            if well.contents == BLANK:
                level, sample = 0.0, BLANK
            else:
                if well.sample not in levels:
                    raise _unknown_contents(well, levels)
                mine = levels[well.sample]  # a replicate each, from the first well on
                level = mine[used[well.sample] % len(mine)]
                sample = str(part["sample"].values[places[well.sample]])
                used[well.sample] += 1
            edge = plate.is_edge(well)
            signal = level * self.cells_per_well * (1.0 + self.edge * edge)
            if conditions.noise:
                rng = noise_of(
                    conditions.seed,
                    part,
                    places.get(well.sample),  # None for a blank
                    self.name,
                    well.place,
                )
                signal = self._noisy(signal, rng)
            rows.append(
                {
                    "well": well.place,
                    "row": well.row,
                    "column": well.column,
                    "contents": well.contents,
                    "dose": well.dose,
                    "sample": sample,
                    "edge": edge,
                    "signal": signal,
                }
            )
        raw = pd.DataFrame(rows)
        if raw.empty or (raw["contents"] == BLANK).all():
            raise InputError("The plate map has no well with cells.")
        blanks = raw.loc[raw["contents"] == BLANK, "signal"]
        raw["net"] = raw["signal"] - (float(blanks.mean()) if len(blanks) else 0.0)
        return raw

    def _noisy(self, signal: float, rng: np.random.Generator) -> float:
        """Return the reading of one well."""
        about = self.noise
        cv = (about.seeding_cv, about.pipetting_cv, about.reader_cv)
        light = signal * math.prod(lognormal(rng, c) for c in cv)
        return light + about.background + about.background_sd * rng.standard_normal()

    def draw(self, reading: PlateReading) -> Figure:
        """Draw the plate, and its dose series or samples."""
        return plot_plate(reading)

    def export_instrument(self, reading: PlateReading, folder: Path) -> Exported:
        """Write the plate map."""
        return Exported((write_plate_map(reading.plate, folder / "plate.csv"),))


_NEEDS = {
    "caspase": ("CASP3_active", "CASP7_active"),
    "viability": (EXPOSED, "membrane_ruptured"),
}


def _keys(part: xr.Dataset) -> list[tuple[str, float | None]]:
    """Return treatment and dose of each sample, which no two may share."""
    keys = [
        (str(treatment), None if math.isnan(dose) else float(dose))
        for treatment, dose in zip(
            part["treatment"].values, part["dose"].values, strict=True
        )
    ]
    for k, key in enumerate(keys):
        if key in keys[:k]:
            raise InputError(
                f"Two samples are `{key[0]}` at one dose, so a well cannot say which "
                "it holds: give them treatments of their own."
            )
    return keys


def _unknown_contents(
    well: Well, levels: Mapping[tuple[str, float | None], Any]
) -> InputError:
    """Return the error for a well whose contents the experiment lacks."""
    treatments = unique(name for name, _ in levels)
    if well.contents not in treatments:
        return UnknownNameError(
            f"contents of the well {well.place}",
            well.contents,
            (*treatments, BLANK, EMPTY),
        )
    doses = ", ".join(
        "none" if d is None else f"{d:g}" for n, d in levels if n == well.contents
    )
    shown = "no dose" if math.isnan(well.dose) else f"the dose {well.dose:g}"
    return InputError(
        f"The well {well.place} has {shown} of `{well.contents}`; the experiment has: "
        f"{doses}."
    )


def _farthest(groups: Mapping[str, FloatArray], control: str) -> str:
    """Return the group whose mean is farthest from the control's."""
    base = groups[control].mean()
    return max(groups, key=lambda name: abs(float(groups[name].mean()) - base))


def _fits(used: pd.DataFrame, *, scatter: bool) -> dict[str, HillFit]:
    """Return a Hill curve through the wells of each treatment with doses."""
    return {
        str(name): fit_hill(
            table["dose"].to_numpy(dtype=float),
            table["net"].to_numpy(dtype=float),
            scatter=scatter,
        )
        for name, table in used.groupby("contents", sort=False)
        if table["dose"].nunique() > 1
    }
