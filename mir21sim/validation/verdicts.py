"""Outcomes of a validation, as values, text and records."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeAlias

from mir21sim.analysis.text_tables import TextTable, lines_of
from mir21sim.model.info import unique
from mir21sim.units import rounded

Verdict: TypeAlias = Literal["pass", "fail", "conflict"]

GOAL = 0.95
"""Share of the parameter sets in which the direction of a claim should hold."""


TITLES = (
    "| claim | line | what | direction | no effect | against | with 10 % | change |"
)


@dataclass(frozen=True, slots=True)
class SetShares:
    """The predictions of an ensemble's parameter sets for a row.

    Attributes
    ----------
    n, known : number of sets, and of those with a number
    median, low_50, high_50, low_95, high_95 : of the predictions, in the unit of the
        row; of a claim, of its relative change
    agree : share of the sets in which the prediction lies within the error of the
        observation, or in which the claim holds; a set without a number does not agree
    direction, against : share of the sets whose change has the direction of the claim,
        be it below 10 %, and of those with the other direction; the rest have no effect
        that can be seen (a tie, less than the least that counts, no number). NaN for
        an observation
    """

    n: int
    known: int
    median: float
    low_50: float
    high_50: float
    low_95: float
    high_95: float
    agree: float
    direction: float
    against: float

    @property
    def seen(self) -> float:
        """Share of the sets with an effect."""
        return self.direction + self.against

    @property
    def of_seen(self) -> float:
        """Share of the sets with an effect that have the direction; NaN for none."""
        return self.direction / self.seen if self.seen else math.nan


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on one check; numbers are in `unit`, NaN where there is none.

    `n` and `p` are those of an assay's replicates; 0 and NaN where nothing is measured.
    `use` is that of an observation ("fit", "test" or "context"), "" of a claim. `sets`
    is None without an ensemble.
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
    sets: SetShares | None = None


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
    spread = any(o.sets is not None for o in outcomes)
    titles = [*("id", "what", "context", "predicted")]
    titles += ["sets: median (50 %) [95 %]"] if spread else []
    titles += ["observed", *(["sets that agree"] if spread else [])]
    titles += [*(("n", "p") if tested else ()), "verdict", "reason"]
    rows = []
    for o in outcomes:
        predicted, observed = _shown(o)
        row = [o.id, o.what, o.context, predicted]
        row += [_spread(o)] if spread else []
        row += [observed]
        row += [_agreement(o)] if spread else []
        row += [str(o.n), "–" if math.isnan(o.p) else f"{o.p:.2g}"] if tested else []
        rows.append((*row, o.verdict, o.reason))
    lines = lines_of(TextTable(tuple(titles), tuple(rows)))
    return "\n".join([*lines, "", *summary(outcomes), *set_summary(outcomes)])


def _spread(outcome: Outcome) -> str:
    """Return median and intervals over the sets; a claim's are relative changes."""
    sets = outcome.sets
    if sets is None or not sets.known:
        return "–"
    numbers = (sets.median, sets.low_50, sets.high_50, sets.low_95, sets.high_95)
    if outcome.kind == "claim":
        texts = [_percent(x) for x in numbers]
        unit = " %"
    else:
        texts, unit = [rounded(x) for x in numbers], ""
    middle, low, high, lowest, highest = texts
    return f"{middle}{unit} ({low} to {high}) [{lowest} to {highest}]"


def _agreement(outcome: Outcome) -> str:
    """Return the share of the sets that agree, and of those with the direction."""
    sets = outcome.sets
    if sets is None:
        return "–"
    text = f"{sets.agree:.0%}"
    if outcome.kind == "claim":
        text += f", direction {_directions(sets)}"
    missing = sets.n - sets.known
    return f"{text}, {missing} without a number" if missing else text


def _directions(sets: SetShares) -> str:
    """Return the shares of the sets with, without and against a direction."""
    return (
        f"{sets.direction:.0%} (no effect {1.0 - sets.seen:.0%}, "
        f"against {sets.against:.0%})"
    )


def set_summary(outcomes: Sequence[Outcome]) -> list[str]:
    """Return how rows fare over the parameter sets, nothing without an ensemble."""
    spread = [(o, o.sets) for o in outcomes if o.sets is not None]
    if not spread:
        return []
    n = spread[0][1].n
    lines = [f"over {n} parameter sets:"]
    seen = [(o, s) for o, s in spread if o.kind == "observation"]
    for use in ("fit", "test"):
        mine = [(o, s) for o, s in seen if o.use == use and s.known]
        if mine:
            inner = sum(s.low_50 <= o.observed <= s.high_50 for o, s in mine)
            outer = sum(s.low_95 <= o.observed <= s.high_95 for o, s in mine)
            meet = sum(s.low_95 <= o.high and o.low <= s.high_95 for o, s in mine)
            lines.append(
                f"  the observation lies inside the 50 % interval in {inner}, inside "
                f"the 95 % interval in {outer} of {len(mine)} {use} rows; the 95 % "
                f"interval meets the range of the observation in {meet}"
            )
    claims = [(o, s) for o, s in spread if o.kind == "claim"]
    if claims:
        lines += [f"  {line}" for line in _claim_counts([s for _, s in claims])]
        lines += [
            f"  {_directions(s)}  {o.id} {o.context}: {o.what}"
            for o, s in _below(claims)
        ]
    return lines


def _claim_counts(claims: Sequence[SetShares]) -> list[str]:
    """Return in how many rows the direction of a claim holds, in three ways."""
    whole = sum(s.agree >= GOAL for s in claims)
    right = sum(s.direction >= GOAL for s in claims)
    of_seen = sum(s.of_seen >= GOAL for s in claims)
    few = sum(s.seen < 0.5 for s in claims)
    n = len(claims)
    return [
        (
            f"the direction of a claim holds in {GOAL:.0%} of the sets or more in "
            f"{right} of {n} rows, with an effect of 10 % in {whole}"
        ),
        (
            f"of the sets with an effect {GOAL:.0%} or more have the direction in "
            f"{of_seen} of {n} rows; fewer than half of the sets have one in {few}"
        ),
    ]


def _below(
    claims: Sequence[tuple[Outcome, SetShares]],
) -> list[tuple[Outcome, SetShares]]:
    """Return the claims below the goal, those with most sets against them first."""
    below = [(o, s) for o, s in claims if s.direction < GOAL]
    return sorted(below, key=lambda c: (-c[1].against, c[1].direction, c[0].id))


def set_markdown(outcomes: Sequence[Outcome]) -> str:
    """Return the predictions of the sets as a section of Markdown."""
    spread = [(o, o.sets) for o in outcomes if o.sets is not None]
    claims = [(o, s) for o, s in spread if o.kind == "claim"]
    seen = [(o, s) for o, s in spread if o.kind == "observation"]
    counts = [line.strip() for line in set_summary(outcomes) if " rows" in line]
    lines = [f"* {line}" for line in counts]
    lines += [
        "",
        "Claims whose direction holds in fewer sets than 95 %; no effect: too small to",
        "be seen, or a tie; change: median over the sets and its 95 % interval, in",
        "percent of the reference.",
        "",
        TITLES,
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {o.id} | {o.context} | {o.what} | {s.direction:.0%} | {1.0 - s.seen:.0%} | "
        f"{s.against:.0%} | {s.agree:.0%} | "
        f"{_percent(s.median)} ({_percent(s.low_95)} to {_percent(s.high_95)}) |"
        for o, s in _below(claims)
    ]
    lines += ["", "Observations; sets within error: share of the sets.", ""]
    lines += ["| id | use | observed | median (50 %) [95 %] | sets within error |"]
    lines += ["|---|---|---|---|---|"]
    lines += [
        f"| {o.id} | {o.use} | {o.low:.4g}–{o.high:.4g} {o.unit} | {_spread(o)} | "
        f"{s.agree:.0%} |"
        for o, s in seen
    ]
    return "\n".join(lines)


def _percent(share: float) -> str:
    """Return a change in percent."""
    if math.isnan(share):
        return "–"
    return "no end" if math.isinf(share) else f"{100.0 * share:+.3g}"


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
    """Return the verdicts as rows for a file, one column a number of the sets."""
    spread = any(o.sets is not None for o in outcomes)
    names = [f.name for f in fields(SetShares)] if spread else []
    made = []
    for outcome in outcomes:
        record = asdict(outcome)
        sets = record.pop("sets") or {}
        made.append(record | {f"sets_{name}": sets.get(name) for name in names})
    return made
