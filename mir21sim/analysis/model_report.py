"""Texts about models and about this installation."""

import textwrap
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mir21sim.analysis.oligonucleotide import pharmacokinetic_lines
from mir21sim.analysis.text_tables import TextTable, lines_of
from mir21sim.compiler import conservation
from mir21sim.model import files as model_files
from mir21sim.model import metadata, read
from mir21sim.model.expressions import text
from mir21sim.model.network import Event
from mir21sim.model.numbers import source_rows as source_rows

if TYPE_CHECKING:
    from mir21sim.model.network import Network


WIDTH = 80
"""Columns of a terminal that texts fit into."""


def model_text(files: model_files.ModelFiles) -> str:
    """Return a model as text: purpose, size, inputs, observables, papers."""
    network, info = read.understand(files)
    rules = Counter(rule.kind for rule in network.rules)
    available = ", ".join((*model_files.contexts(files.name), model_files.BASE))
    start = "the resting state" if info.equilibrate else "its initial amounts"
    size = (
        f"{len(network.species)} species, {len(network.reactions)} reactions, "
        f"{len(network.parameters)} parameters, {rules['assignment']} assignment and "
        f"{rules['rate']} rate rules"
    )
    if network.events:
        size += f", {len(network.events)} events"
    lines = [f"{info.id}: {info.title}" if info.title else info.id, ""]
    if info.description:
        lines += [textwrap.fill(" ".join(info.description.split()), WIDTH), ""]
    lines += [
        f"context      {files.context or model_files.BASE} (available: {available})",
        f"size         {size}",
        f"starts from  {start}",
        f"protocol     {', '.join(info.doses) or 'no dose'}; to {info.end_h:g} h",
    ]
    table = metadata.parameter_table(files)
    if table:
        shares = status_shares(row.status for row in table.values())
        lines.append(f"numbers      {shares}")
    totals = conserved_text(network)
    if totals:
        lines += ["", "conserved totals (no reaction changes them):"]
        lines += [f"  {line}" for line in totals]
    if info.inputs:
        lines += ["", "inputs (dose with --dose, sweep with --over):"]
        for entry in info.inputs.values():
            per = entry.molecules_per_unit
            stated = per and entry.unit != "molecule"
            words = f"; 1 {entry.unit} = {per:g} molecules per cell" if stated else ""
            lines.append(f"  {entry.species:24s} {entry.label} [{entry.unit}]{words}")
    lines += _kinetics(network, info.cell_compartment)
    if info.observables:
        lines += ["", "observables (--observe):"]
        lines += [f"  {o.id:24s} {o.label}" for o in info.observables.values()]
    if network.events:
        lines += ["", "events:"]
        lines += [_event_text(event) for event in network.events]
    if info.references:
        lines += ["", "papers:"]
        lines += [
            f"  {citation}" + (f"  doi:{doi}" if doi else "")
            for citation, doi in info.references
        ]
    return "\n".join(piece for line in lines for piece in _fitting(line))


def _kinetics(network: "Network", cell: str) -> list[str]:
    """Return the way of an anti-miR through the dish, nothing for other models."""
    volume = next((c.size for c in network.compartments if c.id == cell), None)
    lines = pharmacokinetic_lines(network, volume) if volume else []
    return ["", *lines] if lines else []


def _event_text(event: Event) -> str:
    """Return the trigger, delay and assignments of an event in one line."""
    delay = f", {text(event.delay)} later" if event.delay is not None else ""
    sets = ", ".join(f"{a.variable} = {text(a.math)}" for a in event.assignments)
    return f"  {event.id:24s} at {text(event.trigger)}{delay}: {sets or 'nothing'}"


def conserved_text(network: "Network") -> list[str]:
    """Return the totals that no reaction changes, as ``AKT + pAKT = 1e5``."""
    from mir21sim.compiler import symbolic  # SymPy takes half a second

    system = symbolic.build(network)
    amounts = {s.id: s.initial for s in network.species}
    lines = []
    for total in conservation.pools(len(system.state_names), system.stoichiometry):
        named = {system.state_names[state]: c for state, c in total.items()}
        text = " + ".join(n if c == 1 else f"{c:g} {n}" for n, c in named.items())
        start = [amounts.get(name) for name in named]
        if None not in start:
            held = sum(c * (amounts[n] or 0.0) for n, c in named.items())
            text += f" = {held:.6g}"
        lines.append(text.replace("+ -", "- "))
    return lines


SOURCE_COLUMNS = ("id", "value", "unit", "status", "source", "note", "from")


def source_text(files: model_files.ModelFiles) -> str:
    """Return the table of ``source_rows`` to read, and the share of each status."""
    rows = source_rows(files)
    if not rows:
        return f"{files.name} has no parameters."
    shown = []
    for r in rows:
        source = str(r["source"]) or "–"
        if files.context and r["from"] == files.context:
            source = f"[{files.context}] {source}"
        value = f"{r['value']:.6g}"
        shown.append((str(r["id"]), value, str(r["unit"]), str(r["status"]), source))
    titles = ("parameter", "value", "unit", "status", "source")
    lines = lines_of(TextTable(titles, tuple(shown)))
    lines += ["", f"{len(rows)} numbers: {status_shares(r['status'] for r in rows)}"]
    return "\n".join(piece for line in lines for piece in _fitting(line))


def _fitting(text: str) -> list[str]:
    """Return the lines of a text, the long ones in pieces of at most 80 columns."""
    return [
        piece.rstrip()
        for line in text.split("\n")
        for piece in (_pieces(line) if len(line) > WIDTH else [line])
    ]


def _pieces(line: str) -> list[str]:
    return textwrap.wrap(
        line,
        WIDTH,
        subsequent_indent=" " * 6,
        drop_whitespace=False,
        replace_whitespace=False,
        break_on_hyphens=False,
    )


def status_shares(statuses: Iterable[str | float]) -> str:
    """Return '12 measured (40%), …', the commonest first."""
    shares = Counter(map(str, statuses))
    total = sum(shares.values())
    return ", ".join(f"{n} {s} ({n / total:.0%})" for s, n in shares.most_common())
