"""Claims as a laboratory would show them: which assay reads what of which dishes.

Rows are data (``models/validation/assays.csv``) in the words of ``checks``;
``assay_verdicts`` runs and judges them.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from mir21sim._typing import FloatArray
from mir21sim.assays.assay import Assay
from mir21sim.assays.experiment import Sample
from mir21sim.assays.flow import FlowCytometry
from mir21sim.assays.luciferase import LuciferaseAssay
from mir21sim.assays.noise import PlateNoise
from mir21sim.assays.plate import PlateAssay
from mir21sim.assays.statistics import Scale
from mir21sim.assays.western import WesternBlot
from mir21sim.errors import InputError, ModelError, hint
from mir21sim.model import files as model_files
from mir21sim.model.files import DEFAULT_MODEL
from mir21sim.simulation.treatment import Treatment
from mir21sim.validation.claims import (
    cell_lines,
    check_comparison,
    check_known,
    parsed,
    table_rows,
    tables_folder,
)
from mir21sim.validation.validate import FLOORS

RANGING_H = 24.0
"""h after a dose at which a viability plate finds how much of it kills half."""

COARSE = tuple(10.0 ** (k / 2) for k in range(-4, 11))
"""Amounts of the dose written ``?``, two a decade from 0.01 to 100,000, in its unit."""

FINE = tuple(10.0 ** (k / 12) for k in range(-4, 5))
"""Amounts that join them on the second plate, over the half-way one of the first."""


# ----------------------------------------------------------------------- what is read
Make: TypeAlias = Callable[[tuple[str, ...], float], Assay]
Take: TypeAlias = Callable[[pd.DataFrame, str, tuple[str, ...]], FloatArray]


@dataclass(frozen=True, slots=True)
class Kind:
    """How one assay is set up for a claim, and what is taken from its raw table.

    Attributes
    ----------
    arguments : their names, for messages
    make : assay from arguments and the time of reading, h
    take : replicates from raw table, sample and arguments, float array (n_replicate,)
    scale, blocks : how its replicates are compared, as in ``compare_groups``
    floor : least absolute difference that counts
    """

    arguments: tuple[str, ...]
    make: Make
    take: Take
    scale: Scale = "log"
    blocks: bool = False
    floor: float = 0.0


def _column(name: str, **keys: str | int) -> Take:
    """Return what takes a column of the rows of a sample; `keys` name the arguments."""

    def take(raw: pd.DataFrame, sample: str, given: tuple[str, ...]) -> FloatArray:
        chosen = np.ones(len(raw), dtype=bool)
        for column, value in keys.items():
            wanted = sample if value == "sample" else given[int(value)]
            chosen &= (raw[column] == wanted).to_numpy()
        return np.asarray(raw.loc[chosen, name], dtype=float)

    return take


def _quadrant(raw: pd.DataFrame, sample: str, given: tuple[str, ...]) -> FloatArray:
    """Return the percentages of a sample in a quadrant; "dead": in both apoptotic."""
    columns = {"dead": ["early apoptotic", "late apoptotic"]}.get(given[0], [given[0]])
    rows = raw.loc[raw["sample"] == sample, columns]
    return np.asarray(rows.sum(axis=1), dtype=float)


_LEAST_LIGHT = PlateNoise().detection_sd * PlateNoise().background_sd
"""RLU, what a plate can tell from a blank."""

KINDS: dict[str, Kind] = {
    "luciferase": Kind(
        ("target", "construct"),
        lambda given, h: LuciferaseAssay(targets=(given[0],), times_h=(h,)),
        _column("ratio", treatment="sample", target=0, construct=1),
    ),
    "western": Kind(
        ("protein",),
        lambda given, h: WesternBlot(proteins=(given[0],), time_h=h),
        _column("scaled", sample="sample", protein=0),
        blocks=True,
    ),
    "flow": Kind(
        ("quadrant",),
        lambda given, h: FlowCytometry(time_h=h),
        _quadrant,
        scale="angle",
        floor=100 * FLOORS["cells"],  # percent
    ),
    "caspase": Kind(
        (),
        lambda given, h: PlateAssay("caspase", time_h=h),
        _column("net", sample="sample"),
        floor=_LEAST_LIGHT,
    ),
    "viability": Kind(
        (),
        lambda given, h: PlateAssay("viability", time_h=h),
        _column("net", sample="sample"),
        floor=_LEAST_LIGHT,
    ),
}
"""Assay to how it is read; ``ic50`` is ``viability`` over a series of doses."""

_READOUT = re.compile(r"\s*(\w+)\s*\(([^()]*)\)\s*")


@dataclass(frozen=True, slots=True)
class AssayReadout:
    """What is read by which assay: ``western(PTEN)`` or ``luciferase(PDCD4, WT)``.

    ``ic50(viability)`` is the amount, of the dose written ``?``, at which the signal of
    an assay is half way down. With any other read-out ``?`` stands for the amount that
    kills half of the reference within a day, which a viability plate finds first: a
    laboratory too reads where there is room for more and for less.
    """

    assay: str
    arguments: tuple[str, ...]
    series: bool = False

    @classmethod
    def parse(cls, text: str) -> "AssayReadout":
        """Read a read-out; an unknown assay is named with the near one."""
        match = _READOUT.fullmatch(text)
        if match is None:
            raise InputError(f"A read-out reads ASSAY(ARGUMENTS), got `{text}`.")
        name, inside = (
            match[1],
            tuple(filter(None, map(str.strip, match[2].split(",")))),
        )
        if name == "ic50":
            return replace(cls.parse(f"{''.join(inside)}()"), series=True)
        if name not in KINDS:
            raise InputError(f"Unknown assay `{name}`. {hint(name, (*KINDS, 'ic50'))}")
        if len(inside) != len(KINDS[name].arguments):
            needed = ", ".join(KINDS[name].arguments) or "nothing"
            raise InputError(f"`{name}` takes {needed} in brackets, got `{text}`.")
        return cls(name, inside)

    def __str__(self) -> str:
        if self.series:
            return f"ic50({self.assay})"
        return f"{self.assay}({', '.join(self.arguments)})"

    def assay_at(self, time_h: float) -> Assay:
        """Return the assay that reads it at a time."""
        return KINDS[self.assay].make(self.arguments, time_h)


# ------------------------------------------------------------------------ one question
@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: what is done, and what is read at its end."""

    treatment: Treatment
    readout: AssayReadout
    amounts: tuple[float, ...] = COARSE

    @property
    def end_h(self) -> float:
        """When it is read, h."""
        assert self.treatment.end_h is not None  # the table reader sees to it
        return self.treatment.end_h

    def ranging(self) -> "Side":
        """Return what finds the half-lethal amount of its dose ``?`` within a day."""
        end_h = max(self.end_h, self.treatment.stimulus_h + RANGING_H)
        return replace(
            self,
            treatment=replace(self.treatment, end_h=end_h),
            readout=AssayReadout("viability", (), series=True),
        )

    def finer(self, centre: float) -> "Side":
        """Return the series with more amounts around one; none where it is infinite."""
        more = (float(f"{centre * f:.3g}") for f in FINE if math.isfinite(centre))
        return replace(self, amounts=tuple(sorted({*COARSE, *more})))

    def at(self, amount: float) -> "Side":
        """Return the side with an amount in place of its ``?``."""
        return replace(self, treatment=self.treatment.with_amount(amount))

    def samples(self) -> tuple[Sample, ...]:
        """Return its dish, or one for each dose of its series."""
        if self.treatment.searched is None:
            return (_sample(self.treatment, ""),)
        return tuple(
            _sample(self.treatment.with_amount(dose), f"{dose:g}")
            for dose in self.amounts
        )


def _sample(treatment: Treatment, label: str) -> Sample:
    """Return a dish, named after all that is done to it but for when it is read."""
    done = replace(treatment, end_h=None, searched=None)
    return Sample(
        name=f"{done} {label}".strip(),
        doses=treatment.doses,
        perturb=treatment.perturb,
        parameters=treatment.parameters,
    )


@dataclass(frozen=True, slots=True)
class AssayCheck:
    """One row of the table in one context: two sides and how they must compare."""

    id: str
    what: str
    context: str
    treated: Side
    against: Side
    comparison: str
    conflict: str
    place: str

    def joined(self, extra: Treatment) -> "AssayCheck":
        """Return the row with more done on both sides."""

        def more(side: Side) -> Side:
            return replace(side, treatment=side.treatment.joined(extra))

        return replace(self, treated=more(self.treated), against=more(self.against))

    @property
    def ranged(self) -> bool:
        """Whether it is read at the half-lethal amount for the reference."""
        return self.against.treatment.searched is not None and not (
            self.treated.readout.series
        )

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both sides, the reference first."""
        return self.against, self.treated


def assay_checks(
    model: str | Path = DEFAULT_MODEL,
    *,
    only: Sequence[str] | None = None,
    contexts: Sequence[str] | None = None,
    folder: str | Path | None = None,
) -> list[AssayCheck]:
    """Return the rows of ``assays.csv``, checked, one a context.

    Raises
    ------
    ModelError
        For an unknown column, assay, comparison or context, by file and line.
    """
    available = (*model_files.contexts(model), model_files.BASE)
    found = [
        check
        for place, row in table_rows(tables_folder(folder) / "assays.csv")
        for check in _row_checks(place, row, available)
    ]
    check_known("id", only, [check.id for check in found])
    check_known("context", contexts, available)
    return [
        check
        for check in found
        if (not only or check.id in only)
        and (not contexts or check.context in contexts)
    ]


def _row_checks(
    place: str, row: Mapping[str, str], available: tuple[str, ...]
) -> list[AssayCheck]:
    check_comparison(place, row["comparison"])
    readout = parsed(place, AssayReadout.parse, row["readout"])
    other = row["against_readout"] or row["readout"]
    treated = Side(parsed(place, Treatment.parse, row["treatment"]), readout)
    against = Side(
        parsed(place, Treatment.parse, row["against"]),
        parsed(place, AssayReadout.parse, other),
    )
    for side in (treated, against):
        if side.treatment.end_h is None:
            raise ModelError(f"{place}: a treatment needs --end, when it is read.")
        if side.readout.series and side.treatment.searched is None:
            raise ModelError(f"{place}: an ic50 needs one dose `?`.")
        if side.treatment.cells or side.treatment.uniform or side.treatment.initials:
            raise ModelError(
                f"{place}: all assays read one population: no --cells, --uniform or "
                "--init here."
            )
    if (treated.treatment.searched is None) != (against.treatment.searched is None):
        raise ModelError(f"{place}: both sides, or none, have a dose `?`.")
    if readout.assay == "western" and treated.end_h != against.end_h:
        raise ModelError(f"{place}: the lanes of one blot are lysed at one time.")
    return [
        AssayCheck(
            id=row["id"],
            what=row["what"],
            context=context,
            treated=treated,
            against=against,
            comparison=row["comparison"],
            conflict=row["conflict"],
            place=place,
        )
        for context in cell_lines(place, row["context"], available)
    ]
