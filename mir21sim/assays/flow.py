"""Annexin V/PI flow cytometry: the share of cells in each quadrant.

A cell is Annexin V positive by the phosphatidylserine (PS) that it exposes, in
proportion. The model follows the ruptured membrane of a cell as a probability, so each
event of that cell is PI positive with that probability.
"""

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from mir21sim._typing import FloatArray
from mir21sim.analysis.cell_death import EXPOSED
from mir21sim.assays.assay import Assay, AssayClaim, Conditions, Exported, Reading
from mir21sim.assays.cytometer import NAME, Cytometer, true_shares
from mir21sim.assays.fcs import NO_FCS, can_write_fcs, write_fcs
from mir21sim.assays.flow_reading import FlowReading, plot_flow
from mir21sim.assays.gates import QUADRANTS, Gates, quadrants
from mir21sim.assays.noise import FlowNoise
from mir21sim.assays.signals import (
    at_time,
    control_of,
    dishes_of,
    no_signal,
    noise_of,
)
from mir21sim.assays.statistics import Test, summary_rows
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError
from mir21sim.files import slug
from mir21sim.model.info import unique

PS, RUPTURED = EXPOSED, "membrane_ruptured"

#: Largest number of events of one tube; a cytometer records 10,000 to 100,000.
MAX_EVENTS = 1_000_000

#: %, least difference between two samples that counts for a claim.
LEAST_PERCENT = 1.0


@dataclass(frozen=True, slots=True)
class FlowCytometry(Assay[FlowReading]):
    """An Annexin V-FITC/PI measurement of every sample.

    Parameters
    ----------
    events : events recorded in each tube, debris included
    positive_ps : share of PS exposed from which a cell counts as Annexin V positive,
        where the gate lies between the negative and the positive peak on a log axis
        (assumed)
    time_h : when cells are harvested; by default at the last time kept
    control : sample that ratios are relative to; by default the first
    gates : in place of those set by the controls

    Examples
    --------
    >>> import mir21sim as ms
    >>> ms.FlowCytometry(events=5000, time_h=24.0).name
    'flow'
    """

    kinds: ClassVar[tuple[str, ...]] = (NAME,)
    reading_type: ClassVar[type[Reading]] = FlowReading
    replicate_word: ClassVar[str] = "tubes from dishes of their own"

    events: int = 10_000
    positive_ps: float = 0.1
    time_h: float | None = None
    control: str | None = None
    gates: Gates | None = None
    noise: FlowNoise = field(default_factory=FlowNoise)

    def __post_init__(self) -> None:
        if not 1 <= self.events <= MAX_EVENTS:
            raise InputError(
                f"`events` must be 1 to {MAX_EVENTS:,}, got {self.events:,}."
            )
        if not 0 < self.positive_ps < 1:
            raise InputError(
                f"`positive_ps` must lie between 0 and 1, got {self.positive_ps}."
            )

    @property
    def name(self) -> str:
        """``flow``."""
        return NAME

    @property
    def heading(self) -> str:
        """Heading of its section in a report."""
        return "Annexin V/PI flow cytometry"

    @property
    def caption(self) -> str:
        """Caption of its picture."""
        return "The first tube of each sample; quadrants are set by stained controls."

    @property
    def death_level(self) -> float | None:
        """Share of PS exposed from which a cell is Annexin V positive."""
        return self.positive_ps

    @classmethod
    def claim(cls, kind: str) -> AssayClaim:
        """Return the percentages of one quadrant, or of "dead" cells."""
        return AssayClaim(
            lambda _, h: cls(time_h=h),
            _take_quadrant,
            ("quadrant",),
            scale="angle",
            floor=LEAST_PERCENT,
        )

    def needs(self, model: CompiledModel) -> tuple[str, ...]:
        """Return PS exposure and membrane rupture; a model without is an error."""
        for name in (PS, RUPTURED):
            if name not in (*model.state_names, *model.assigned_names):
                raise InputError(
                    f"Flow cytometry needs the quantity `{name}`, and {model.id} has "
                    "none."
                )
        return PS, RUPTURED

    def measure(self, cells: xr.Dataset, conditions: Conditions) -> FlowReading:
        """Return the events of every tube and the share of cells in each quadrant.

        ``raw``: sample, replicate, events, gated (cells, without debris), percent in
        each of ``QUADRANTS``, and ``true …``, the percentages among the events that
        are cells, before the instrument. ``summary``: one row a sample and quadrant,
        and "dead", the sum of early and late; mean and SD are percent.

        Without noise the percentages are the expectation over the cells, exactly, and
        the events are one a cell, without autofluorescence or overlap.

        Raises
        ------
        InputError
            For gates that leave no cells.
        """
        part = at_time(dishes_of(cells), self.time_h)
        names = [str(name) for name in part["sample"].values]
        blocks = [
            {
                name: dish[name].transpose("sample", "cell").values
                for name in (PS, RUPTURED)
            }
            for dish in conditions.dishes(part)
        ]
        noise, seed = conditions.noise, conditions.seed
        cytometer = Cytometer(self.noise, self.events, self.positive_ps)
        beads, controls = (
            noise_of(seed, part, None, self.name, stain)
            for stain in ("beads", "controls")
        )
        spill = cytometer.beads(beads) if noise else np.eye(2)
        gates = self.gates or cytometer.gates(controls, spill, noise=noise)
        tubes, rows = [], []
        for k, r in itertools.product(range(len(names)), range(conditions.replicates)):
            block = blocks[r]
            known = np.isfinite(block[PS][k])
            if not known.any():
                raise InputError(f"No cell of `{names[k]}` could be run to its end.")
            fate = (block[PS][k][known], block[RUPTURED][k][known])
            rng = noise_of(seed, part, k, self.name, r)
            tube = cytometer.tube(names[k], r + 1, fate, rng, noise=noise)
            shares = quadrants(tube.events, spill, gates, what=tube.sample)
            true = true_shares(tube)
            if not noise:
                true = shares = self._expected(*fate)
            tubes.append(tube)
            rows.append(
                {
                    "sample": names[k],
                    "replicate": r + 1,
                    "events": len(tube.events),
                    "gated": int((tube.events[:, 0] >= gates.scatter).sum()),
                    **shares,
                    **{f"true {name}": value for name, value in true.items()},
                }
            )
        raw = pd.DataFrame(rows)
        summary, notes = self._summary(raw, names, conditions.test)
        return FlowReading(self.name, raw, summary, notes, tuple(tubes), spill, gates)

    def _expected(self, ps: FloatArray, ruptured: FloatArray) -> dict[str, float]:
        """Return the percentages that the model expects of its cells."""
        positive = ps >= self.positive_ps
        share = (
            (~positive * (1 - ruptured)).mean(),
            (positive * (1 - ruptured)).mean(),
            (positive * ruptured).mean(),
            (~positive * ruptured).mean(),
        )
        return {q: 100.0 * float(s) for q, s in zip(QUADRANTS, share, strict=True)}

    def _summary(
        self, raw: pd.DataFrame, names: list[str], test: Test
    ) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Return one row a sample and quadrant, percent."""
        control = control_of(names, self.control)
        rows, notes = [], []
        shown = {q: raw[q] for q in QUADRANTS}
        shown["dead"] = raw["early apoptotic"] + raw["late apoptotic"]
        for quadrant, values in shown.items():
            groups = {
                name: values[raw["sample"] == name].to_numpy(dtype=float)
                for name in names
            }
            measurable = bool(groups[control].mean() > 0)
            if not measurable:
                notes.append(no_signal(control, f"{quadrant} cells"))
            rows += summary_rows(
                groups,
                control,
                test=test,
                scale="angle",
                measurable=measurable,
                keys={"quadrant": quadrant},
                label="sample",
            )
        return pd.DataFrame(rows), unique(notes)

    def draw(self, reading: FlowReading) -> Figure:
        """Draw the first tube of each sample with its quadrants."""
        return plot_flow(reading)

    def export_instrument(self, reading: FlowReading, folder: Path) -> Exported:
        """Write every tube as an FCS file, where ``flowio`` is installed."""
        if not can_write_fcs():
            return Exported((), (NO_FCS,))
        return Exported(
            tuple(
                write_fcs(
                    tube,
                    folder / f"{slug(tube.sample)}-{tube.replicate}.fcs",
                    reading.spillover,
                )
                for tube in reading.tubes
            )
        )


def _take_quadrant(
    raw: pd.DataFrame, sample: str, given: tuple[str, ...]
) -> FloatArray:
    """Return the percentages of a sample in a quadrant; "dead": in both apoptotic."""
    columns = {"dead": ["early apoptotic", "late apoptotic"]}.get(given[0], [given[0]])
    rows = raw.loc[raw["sample"] == sample, columns]
    return np.asarray(rows.sum(axis=1), dtype=float)
