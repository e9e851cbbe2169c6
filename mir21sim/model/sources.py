"""The source and status of every number of a model."""

from collections.abc import Mapping
from dataclasses import dataclass

from mir21sim.errors import hint
from mir21sim.model.lint import Issue
from mir21sim.model.network import Network

STATUSES = ("measured", "derived", "recalled", "assumed", "fitted")
"""How a number of a model came to be; anything else is refused."""


@dataclass(frozen=True, slots=True)
class SourcedNumber:
    """One row of a `.parameters.tsv`: a number and where it comes from."""

    id: str
    value: float
    unit: str
    status: str
    source: str
    note: str
    line: int


def source_issues(
    network: Network, table: Mapping[str, SourcedNumber], name: str
) -> list[Issue]:
    """Return numbers without a row, rows without a number, and values that differ."""
    values = {c.id: c.size for c in network.compartments if c.constant}
    ruled = {r.variable for r in network.rules if r.kind == "assignment"}
    values |= {p.id: p.value for p in network.parameters if p.id not in ruled}
    started = [s for s in network.species if s.initial and s.id not in ruled]
    values |= {s.id: s.initial for s in started}
    found = [
        (key, _row_fault(key, value, table.get(key), name))
        for key, value in values.items()
    ]
    known = network.ids()
    for key, row in table.items():
        if key not in known:
            where = f"{name}, line {row.line}"
            found.append(
                (key, f"{where}: the model has no `{key}`. {hint(key, known)}")
            )
    return [Issue("error", "source", key, fault) for key, fault in found if fault]


def _row_fault(
    key: str, value: float | None, row: SourcedNumber | None, name: str
) -> str:
    """Return the fault in the row of one number, "" for nothing."""
    if row is None:
        return f"`{key}` has no row in {name}, so no source."
    where = f"{name}, line {row.line}: "
    if value is not None and row.value != value:
        return f"{where}`{key}` is {row.value!r} here, {value!r} in the model."
    if not row.source:
        return f"{where}`{key}` has no source."
    if row.status not in STATUSES:
        known = ", ".join(STATUSES)
        return f"{where}status of `{key}` must be one of {known}, got `{row.status}`."
    return ""
