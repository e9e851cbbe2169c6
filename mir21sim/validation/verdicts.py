"""Outcomes of a validation, as values, text and records."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from mir21sim.analysis.text_tables import TextTable, lines_of
from mir21sim.model.info import unique

Verdict: TypeAlias = Literal["pass", "fail", "conflict"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on one check; numbers are in `unit`, NaN where there is none.

    `n` and `p` are those of an assay's replicates; 0 and NaN where nothing is measured.
    `use` is that of an observation ("fit", "test" or "context"), "" of a claim.
    """

    id: str
    kind: str
    what: str
    context: str
    predicted: float
    reference: float
    comparison: str
    observed: float
    low: float
    high: float
    unit: str
    verdict: Verdict
    reason: str
    source: str
    n: int = 0
    p: float = math.nan
    use: str = ""


def summary(outcomes: Sequence[Outcome]) -> list[str]:
    """Return how many claims and observations pass, one sentence a kind.

    A claim passes where all its rows pass, in every context, conflicts left out. The
    observations that parameters were fitted to are counted apart from the others.
    """
    lines = []
    for kind, plural in (("claim", "claims"), ("observation", "observations")):
        mine = [o for o in outcomes if o.kind == kind]
        if not mine:
            continue
        rows = unique(o.id for o in mine)
        failed = unique(o.id for o in mine if o.verdict == "fail")
        open_ = [
            i for i in rows if all(o.verdict == "conflict" for o in mine if o.id == i)
        ]
        passed = len(rows) - len(failed) - len(open_)
        text = f"{passed} of {len(rows)} {plural} pass"
        if failed:
            text += f", {len(failed)} fail ({', '.join(failed)})"
        if open_:
            text += f", {len(open_)} conflict ({', '.join(open_)})"
        count = sum(o.verdict == "pass" for o in mine)
        lines.append(f"{text}; {count} of {len(mine)} rows pass")
        lines += _by_use(mine)
    return lines


def _by_use(outcomes: Sequence[Outcome]) -> list[str]:
    """Return how many rows of each use pass; nothing for claims."""
    parts = []
    for use in ("fit", "test"):
        mine = [o for o in outcomes if o.use == use]
        if mine:
            passed = sum(o.verdict == "pass" for o in mine)
            parts.append(f"{passed} of {len(mine)} {use} rows")
    return [f"observations within their error: {', '.join(parts)}"] if parts else []


def outcome_text(outcomes: Sequence[Outcome]) -> str:
    """Return the verdicts as one table to read, with a summary below."""
    tested = any(o.n for o in outcomes)  # then the table has n and p
    titles = ("id", "what", "context", "predicted", "observed")
    titles += (*(("n", "p") if tested else ()), "verdict", "reason")
    rows = [
        (
            *(o.id, o.what, o.context, *_shown(o)),
            *((str(o.n), "–" if math.isnan(o.p) else f"{o.p:.2g}") if tested else ()),
            *(o.verdict, o.reason),
        )
        for o in outcomes
    ]
    lines = lines_of(TextTable(titles, tuple(rows)))
    return "\n".join([*lines, "", *summary(outcomes)])


def _shown(outcome: Outcome) -> tuple[str, str]:
    """Return the predicted and the observed column of one verdict."""
    if outcome.kind == "observation":
        measured = (
            f"{outcome.observed:.4g} ({outcome.low:.4g} to {outcome.high:.4g}) "
            f"{outcome.unit}"
        )
        none = math.isnan(outcome.predicted)
        return "–" if none else f"{outcome.predicted:.4g} {outcome.unit}", measured
    if math.isnan(outcome.predicted):
        return "–", outcome.comparison
    text = f"{outcome.predicted:.4g} against {outcome.reference:.4g}"
    return text, outcome.comparison


def outcome_records(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return the verdicts as rows for a file."""
    return [asdict(outcome) for outcome in outcomes]
