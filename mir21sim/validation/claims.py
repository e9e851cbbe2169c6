"""What a validation asks: the rows of its tables.

Rows are data (``models/validation``): what is done to the cell in the words of the
command line, what is read, and what it is compared with.
"""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mir21sim.errors import InputError, Mir21simError, ModelError, hint
from mir21sim.model import files as model_files
from mir21sim.model.files import DEFAULT_MODEL
from mir21sim.model.info import unique
from mir21sim.simulation.treatment import Treatment
from mir21sim.validation.readouts import Readout

COMPARISONS = ("up", "down", "same", "near")
UNITS = {
    "molecule": 1.0, "fraction": 1.0, "%": 100.0, "fold": 1.0, "h": 1.0, "min": 60.0,
    "nM": 1.0, "ng/ml": 1.0,
}  # fmt: skip
"""Units of a row, and what one native unit (h, fraction, molecule) is in them."""

USES = ("fit", "test", "context")
"""Use of an observation, set before any fit: parameters are fitted to a ``fit`` row and
never to a ``test`` row; a ``context`` row conflicts with others and has no verdict."""

CLAIM_COLUMNS = (
    "id", "what", "context", "treatment", "readout", "comparison", "against",
    "against_context", "against_readout", "effect_of", "conflict",
)  # fmt: skip
ASSAY_COLUMNS = (
    "id", "what", "context", "treatment", "readout", "comparison", "against",
    "against_readout", "conflict",
)  # fmt: skip
OBSERVATION_COLUMNS = (
    "id", "what", "context", "treatment", "readout", "against", "observed", "error",
    "unit", "use", "source", "note",
)  # fmt: skip


# ------------------------------------------------------------------------ one question
@dataclass(frozen=True, slots=True)
class Case:
    """A treatment of one cell line and what is read from it."""

    context: str
    treatment: Treatment
    readout: Readout


@dataclass(frozen=True, slots=True)
class Check:
    """One row of a table in one context.

    Attributes
    ----------
    kind : "claim" or "observation"
    case : what is predicted
    against : what it is divided by or compared with, or None
    effect_of : treatment whose effect (ratio with it to without) is read, or None
    comparison : "up", "down", "same", "near" for a claim; "" for an observation
    observed, low, high : measured value and accepted range, in `unit`; NaN for a claim
    conflict : why no verdict can be forced, "" where it can
    use : "fit", "test" or "context" for an observation, see ``USES``
    place : file and line, for messages
    """

    id: str
    kind: str
    what: str
    case: Case
    against: Case | None
    effect_of: Treatment | None
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

    def cases(self) -> list[Case]:
        """Return every case that must be run."""
        plain = [case for case in (self.case, self.against) if case is not None]
        if self.effect_of is None:
            return plain
        return plain + [
            replace(case, treatment=case.treatment.joined(self.effect_of))
            for case in plain
        ]


def checks(
    model: str | Path = DEFAULT_MODEL,
    *,
    only: Sequence[str] | None = None,
    contexts: Sequence[str] | None = None,
    folder: str | Path | None = None,
) -> list[Check]:
    """Return the rows of the validation tables, checked, one a context.

    Parameters
    ----------
    only : ids to keep; contexts : cell lines to keep
    folder : where ``claims.csv``, ``observations.csv`` and ``quantities.csv`` are

    Raises
    ------
    ModelError
        For an unknown column, read-out, unit, comparison or context, by file and line.
    """
    root = tables_folder(folder)
    available = (*model_files.contexts(model), model_files.BASE)
    found = [
        check
        for name, reader in (
            ("claims.csv", _claim_checks),
            ("observations.csv", _observation_checks),
        )
        for place, row in table_rows(root / name)
        for check in reader(place, row, available)
    ]
    check_known("id", only, [check.id for check in found])
    check_known("context", contexts, available)
    return [
        check
        for check in found
        if (not only or check.id in only)
        and (not contexts or check.case.context in contexts)
    ]


def tables_folder(folder: str | Path | None = None) -> Path:
    """Return where the tables of a validation are, by default the shipped ones."""
    return Path(folder) if folder else model_files.models_folder() / "validation"


def check_known(kind: str, wanted: Sequence[str] | None, known: Iterable[str]) -> None:
    """Stop at the first wanted name that is not known, with the near one."""
    known = unique(known)
    for name in wanted or ():
        if name not in known:
            raise InputError(f"Unknown {kind} `{name}`. {hint(name, known)}")


def vocabulary(folder: str | Path | None = None) -> dict[str, str]:
    """Return the names that rows may use although a model lacks them, with meanings."""
    root = tables_folder(folder)
    return {row["id"]: row["meaning"] for _, row in table_rows(root / "quantities.csv")}


def table_rows(path: Path) -> list[tuple[str, dict[str, str]]]:
    """Return the rows of a table with their places; a missing file has none."""
    columns = {
        "claims.csv": CLAIM_COLUMNS,
        "observations.csv": OBSERVATION_COLUMNS,
        "quantities.csv": ("id", "meaning"),
        "assays.csv": ASSAY_COLUMNS,
    }[path.name]
    if not path.is_file():
        return []
    reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    titles = tuple(reader.fieldnames or ())
    if titles != columns:
        raise ModelError(
            f"{path.name}, line 1: the columns must be {', '.join(columns)}; got "
            f"{', '.join(titles)}."
        )
    rows = []
    for row in reader:
        place = f"{path.name}, line {reader.line_num}"
        if None in row or None in row.values():
            raise ModelError(f"{place}: {len(columns)} entries are needed.")
        rows.append((place, {key: value.strip() for key, value in row.items()}))
    return rows


def check_comparison(place: str, comparison: str) -> None:
    """Stop at a comparison that does not exist."""
    if comparison not in COMPARISONS:
        raise ModelError(
            f"{place}: unknown comparison `{comparison}`. "
            f"{hint(comparison, COMPARISONS)}"
        )


def _claim_checks(
    place: str, row: Mapping[str, str], available: tuple[str, ...]
) -> list[Check]:
    check_comparison(place, row["comparison"])
    made = []
    for context in cell_lines(place, row["context"], available):
        case = _case(place, context, row["treatment"], row["readout"])
        other = row["against_context"] or context
        cell_lines(place, other, available)
        against = _case(
            place, other, row["against"], row["against_readout"] or row["readout"]
        )
        effect = parsed(place, Treatment.parse, row["effect_of"])
        made.append(
            Check(
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


def _observation_checks(
    place: str, row: Mapping[str, str], available: tuple[str, ...]
) -> list[Check]:
    if row["unit"] not in UNITS:
        raise ModelError(
            f"{place}: unknown unit `{row['unit']}`. "
            f"{hint(row['unit'], tuple(u for u in UNITS if u))}"
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
            Check(
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


def cell_lines(place: str, text: str, available: tuple[str, ...]) -> list[str]:
    """Return the cell lines of ``A|B``; one that exists nowhere is an error."""
    names = [name.strip() for name in text.split("|")]
    everywhere = {
        p.stem for p in (model_files.models_folder() / "contexts").glob("*.toml")
    }
    for name in names:
        if name not in available and name not in everywhere:
            raise ModelError(
                f"{place}: unknown context `{name}`. "
                f"{hint(name, unique((*available, *sorted(everywhere))))}"
            )
    return names


def _case(place: str, context: str, treatment: str, readout: str) -> Case:
    read = parsed(place, Readout.parse, readout)
    done = parsed(place, Treatment.parse, treatment)
    if read.many and not done.cells:
        raise ModelError(f"{place}: `{read.feature}` needs --cells in the treatment.")
    if (read.feature == "threshold") != (done.searched is not None):
        raise ModelError(f"{place}: a threshold, and only a threshold, needs one `?`.")
    return Case(context, done, read)


def parsed(place: str, parse: Callable[[str], Any], text: str) -> Any:
    """Return what a text means, or raise with the file and line."""
    try:
        return parse(text)
    except Mir21simError as error:
        raise ModelError(f"{place}: {error}") from error
    except ValueError as error:
        raise ModelError(f"{place}: `{text}` cannot be read ({error}).") from error
