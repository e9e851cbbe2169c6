"""Claims and observations: the rows of the validation tables.

Rows are data (``models/validation``): treatment in the syntax of the
command line, read-out, and reference.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mir21sim.errors import ModelError, hint
from mir21sim.model.files import DEFAULT_MODEL
from mir21sim.validation.readouts import Readout
from mir21sim.validation.rows import cell_lines, check_comparison, parsed, read_rows
from mir21sim.validation.trial import Trial

UNITS = {
    "molecule": 1.0, "fraction": 1.0, "%": 100.0, "fold": 1.0, "h": 1.0, "min": 60.0,
    "nM": 1.0, "uM": 1.0, "ng/ml": 1.0,
}  # fmt: skip
"""Units of a row; value: one native unit (h, fraction, molecule) in that unit."""

USES = ("fit", "test", "context")
"""Use of an observation, set before any fit: parameters are fitted to a ``fit`` row and
never to a ``test`` row; a ``context`` row conflicts with others and has no verdict."""


# ------------------------------------------------------------------------ one question
@dataclass(frozen=True, slots=True)
class Case:
    """A treatment of one cell line and the read-out."""

    context: str
    trial: Trial
    readout: Readout


@dataclass(frozen=True, slots=True)
class ValidationRow:
    """One row of a table in one context.

    Attributes
    ----------
    kind : "claim" or "observation"
    case : the prediction
    against : the reference that it is divided by or compared with, or None
    effect_of : treatment whose effect (ratio with it to without) is read, or None
    comparison : "up", "down", "same", "near" for a claim; "" for an observation
    observed, low, high : measured value and accepted range, in `unit`; NaN for a claim
    conflict : why no verdict can be forced, "" where it can
    use : "fit", "test" or "context" for an observation, see ``USES``
    place : file and line, for messages
    is_interval : whether the error is a range ``a..b``, read as a 95 % interval, and
        not one standard deviation
    """

    id: str
    kind: str
    what: str
    case: Case
    against: Case | None
    effect_of: Trial | None
    comparison: str
    observed: float
    low: float
    high: float
    unit: str
    conflict: str
    source: str
    note: str
    place: str
    use: str = ""
    is_interval: bool = False

    @property
    def context(self) -> str:
        """The cell line."""
        return self.case.context

    def cases(self) -> list[Case]:
        """Return every case that must be run."""
        plain = [case for case in (self.case, self.against) if case is not None]
        if self.effect_of is None:
            return plain
        return plain + [
            replace(case, trial=case.trial.joined(self.effect_of)) for case in plain
        ]


def validation_rows(
    model: str | Path = DEFAULT_MODEL,
    *,
    only: Sequence[str] | None = None,
    contexts: Sequence[str] | None = None,
    folder: str | Path | None = None,
) -> list[ValidationRow]:
    """Return the rows of ``claims.csv`` and ``observations.csv``, one a cell line.

    Parameters and errors are those of ``rows.read_rows``.
    """
    readers = {"claims.csv": _claim_rows, "observations.csv": _observation_rows}
    return read_rows(readers, model, only=only, contexts=contexts, folder=folder)


def _claim_rows(
    place: str, row: Mapping[str, str], available: tuple[str, ...]
) -> list[ValidationRow]:
    check_comparison(place, row["comparison"])
    made = []
    for context in cell_lines(place, row["context"], available):
        case = _case(place, context, row["treatment"], row["readout"])
        other = row["against_context"] or context
        cell_lines(place, other, available)
        against = _case(
            place, other, row["against"], row["against_readout"] or row["readout"]
        )
        effect = parsed(place, Trial.parse, row["effect_of"])
        made.append(
            ValidationRow(
                id=row["id"],
                kind="claim",
                what=row["what"],
                case=case,
                against=against,
                effect_of=effect if row["effect_of"] else None,
                comparison=row["comparison"],
                observed=math.nan,
                low=math.nan,
                high=math.nan,
                unit="",
                conflict=row["conflict"],
                source="",
                note="",
                place=place,
            )
        )
    return made


def _observation_rows(
    place: str, row: Mapping[str, str], available: tuple[str, ...]
) -> list[ValidationRow]:
    for column, known in (("unit", UNITS), ("use", USES)):
        if not row[column]:
            raise ModelError(
                f"{place}: `{row['id']}` has no {column}; give one of "
                f"{', '.join(known)}."
            )
    if row["unit"] not in UNITS:
        raise ModelError(
            f"{place}: unknown unit `{row['unit']}`. {hint(row['unit'], tuple(UNITS))}"
        )
    if row["use"] not in USES:
        raise ModelError(
            f"{place}: use must be fit, test or context, got `{row['use']}`."
        )
    observed, low, high = _measured(place, row["observed"], row["error"])
    made = []
    for context in cell_lines(place, row["context"], available):
        case = _case(place, context, row["treatment"], row["readout"])
        against = None
        if row["unit"] == "fold" and row["against"]:
            against = _case(place, context, row["against"], row["readout"])
        made.append(
            ValidationRow(
                id=row["id"],
                kind="observation",
                what=row["what"],
                case=case,
                against=against,
                effect_of=None,
                comparison="",
                observed=observed,
                low=low,
                high=high,
                unit=row["unit"],
                conflict=row["note"] if row["use"] == "context" else "",
                source=row["source"],
                note=row["note"],
                place=place,
                use=row["use"],
                is_interval=".." in row["error"],
            )
        )
    return made


def _measured(place: str, observed: str, error: str) -> tuple[float, float, float]:
    """Return a measured value and the range of its error, ``e`` or ``a..b``."""
    try:
        value = float(observed)
        if ".." in error:
            low, high = (float(part) for part in error.split(".."))
        else:
            low, high = value - float(error), value + float(error)
    except ValueError as fault:
        raise ModelError(
            f"{place}: observed and error must be numbers (or a range a..b), got "
            f"`{observed}` and `{error}`."
        ) from fault
    if not low <= value <= high or not math.isfinite(value):
        raise ModelError(f"{place}: {value:g} lies outside {low:g} to {high:g}.")
    return value, low, high


def _case(place: str, context: str, treatment: str, readout: str) -> Case:
    read = parsed(place, Readout.parse, readout)
    done = parsed(place, Trial.parse, treatment)
    if read.many and not done.cells:
        raise ModelError(f"{place}: `{read.feature}` needs --cells in the treatment.")
    if (read.feature == "threshold") != (done.searched is not None):
        raise ModelError(f"{place}: a threshold, and only a threshold, needs one `?`.")
    return Case(context, done, read)
