"""Claims as a laboratory would show them: assay, quantity and dishes of each claim.

Rows are data (``models/validation/assays.csv``) in the words of ``checks``;
``assay_verdicts`` runs and judges them.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mir21sim.assays.assay import Assay
from mir21sim.assays.experiment import Sample
from mir21sim.assays.kinds import KINDS
from mir21sim.errors import InputError, ModelError, hint
from mir21sim.model.files import DEFAULT_MODEL
from mir21sim.validation.rows import cell_lines, check_comparison, parsed, read_rows
from mir21sim.validation.trial import Trial

RANGING_H = 24.0
"""h after a dose at which a viability plate finds how much of it kills half."""

COARSE = tuple(10.0 ** (k / 2) for k in range(-4, 11))
"""Amounts of the dose written ``?``, two a decade from 0.01 to 100,000, in its unit."""

FINE = tuple(10.0 ** (k / 12) for k in range(-4, 5))
"""Amounts that join them on the second plate, over the half-way one of the first."""


#: Assay to how it is set up and read; ``ic50`` is ``viability`` over a series of doses.
CLAIMS = {kind: assay.claim(kind) for kind, assay in KINDS.items()}

_READOUT = re.compile(r"\s*(\w+)\s*\(([^()]*)\)\s*")


@dataclass(frozen=True, slots=True)
class AssayReadout:
    """Assay and quantity of a claim: ``western(PTEN)`` or ``luciferase(PDCD4, WT)``.

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
        if name not in CLAIMS:
            raise InputError(f"Unknown assay `{name}`. {hint(name, (*CLAIMS, 'ic50'))}")
        if len(inside) != len(CLAIMS[name].arguments):
            needed = ", ".join(CLAIMS[name].arguments) or "nothing"
            raise InputError(f"`{name}` takes {needed} in brackets, got `{text}`.")
        return cls(name, inside)

    def __str__(self) -> str:
        if self.series:
            return f"ic50({self.assay})"
        return f"{self.assay}({', '.join(self.arguments)})"

    def assay_at(self, time_h: float) -> Assay[Any]:
        """Return the assay that reads it at a time."""
        return CLAIMS[self.assay].make(self.arguments, time_h)


# ------------------------------------------------------------------------ one question
@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: a treatment, and the read-out at its end."""

    trial: Trial
    readout: AssayReadout
    amounts: tuple[float, ...] = COARSE

    @property
    def end_h(self) -> float:
        """When it is read, h."""
        assert self.trial.end_h is not None  # the table reader sees to it
        return self.trial.end_h

    def ranging(self) -> "Side":
        """Return the viability plate that finds the half-lethal amount of its ``?``."""
        end_h = max(self.end_h, self.trial.last_dose_h + RANGING_H)
        return replace(
            self,
            trial=replace(self.trial, end_h=end_h),
            readout=AssayReadout("viability", (), series=True),
        )

    def finer(self, centre: float) -> "Side":
        """Return the series with more amounts around one; none where it is infinite."""
        more = (float(f"{centre * f:.3g}") for f in FINE if math.isfinite(centre))
        return replace(self, amounts=tuple(sorted({*COARSE, *more})))

    def at(self, amount: float) -> "Side":
        """Return the side with an amount in place of its ``?``."""
        return replace(self, trial=self.trial.with_amount(amount))

    def samples(self) -> tuple[Sample, ...]:
        """Return its dish, or one for each dose of its series."""
        if self.trial.searched is None:
            return (_sample(self.trial, ""),)
        return tuple(
            _sample(self.trial.with_amount(dose), f"{dose:g}") for dose in self.amounts
        )


def _sample(trial: Trial, label: str) -> Sample:
    """Return a dish, named after its treatment and, in a series, its dose."""
    done = replace(trial, end_h=None, searched=None)
    return Sample(f"{done} {label}".strip(), trial.treatment)


@dataclass(frozen=True, slots=True)
class AssayRow:
    """One row of the table in one context: two sides and how they must compare."""

    id: str
    what: str
    context: str
    treated: Side
    against: Side
    comparison: str
    conflict: str
    place: str

    def joined(self, extra: Trial) -> "AssayRow":
        """Return the row with more done on both sides."""

        def more(side: Side) -> Side:
            return replace(side, trial=side.trial.joined(extra))

        return replace(self, treated=more(self.treated), against=more(self.against))

    @property
    def ranged(self) -> bool:
        """Whether it is read at the half-lethal amount for the reference."""
        return self.against.trial.searched is not None and not (
            self.treated.readout.series
        )

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both sides, the reference first."""
        return self.against, self.treated


def assay_rows(
    model: str | Path = DEFAULT_MODEL,
    *,
    only: Sequence[str] | None = None,
    contexts: Sequence[str] | None = None,
    folder: str | Path | None = None,
) -> list[AssayRow]:
    """Return the rows of ``assays.csv``, one a cell line.

    Parameters and errors are those of ``rows.read_rows``.
    """
    readers = {"assays.csv": _rows_of}
    return read_rows(readers, model, only=only, contexts=contexts, folder=folder)


def _rows_of(
    place: str, row: Mapping[str, str], available: tuple[str, ...]
) -> list[AssayRow]:
    check_comparison(place, row["comparison"])
    readout = parsed(place, AssayReadout.parse, row["readout"])
    other = row["against_readout"] or row["readout"]
    treated = Side(parsed(place, Trial.parse, row["treatment"]), readout)
    against = Side(
        parsed(place, Trial.parse, row["against"]),
        parsed(place, AssayReadout.parse, other),
    )
    for side in (treated, against):
        if side.trial.end_h is None:
            raise ModelError(f"{place}: a treatment needs --end, when it is read.")
        if side.readout.series and side.trial.searched is None:
            raise ModelError(f"{place}: an ic50 needs one dose `?`.")
        if side.trial.cells or side.trial.uniform or side.trial.treatment.initials:
            raise ModelError(
                f"{place}: all assays read one population: no --cells, --uniform or "
                "--init here."
            )
    if (treated.trial.searched is None) != (against.trial.searched is None):
        raise ModelError(f"{place}: both sides, or none, have a dose `?`.")
    if CLAIMS[readout.assay].blocks and treated.end_h != against.end_h:
        raise ModelError(f"{place}: the lanes of one blot are lysed at one time.")
    return [
        AssayRow(
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
