"""Texts about models and about this installation. Layer 11."""

import importlib.metadata
import os
import platform
import textwrap
from collections import Counter

from mir21sim import library
from mir21sim.codegen import cache
from mir21sim.errors import Mir21simError
from mir21sim.ir import Event, text

CORE = (
    "numpy", "scipy", "sympy", "numba", "matplotlib", "python-libsbml", "xarray",
    "h5netcdf", "h5py", "pint", "typer", "rich",
)  # fmt: skip
OPTIONAL = {"antimony": "Antimony files", "libroadrunner": "cross-checks"}


def model_text(files: library.ModelFiles) -> str:
    """Return what a model is, as text: purpose, size, inputs, observables, papers."""
    network, info = library.understand(files)
    rules = Counter(rule.kind for rule in network.rules)
    available = ", ".join((*library.contexts(files.name), library.BASE))
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
        lines += [textwrap.fill(" ".join(info.description.split()), 88), ""]
    lines += [
        f"context      {files.context or library.BASE} (available: {available})",
        f"size         {size}",
        f"starts from  {start}",
        f"protocol     {', '.join(info.doses) or 'no dose'}; to {info.end_h:g} h",
    ]
    table = library.parameter_table(files)
    if table:
        shares = Counter(row.status for row in table.values())
        total = sum(shares.values())
        lines.append(
            "numbers      "
            + ", ".join(f"{n} {s} ({n / total:.0%})" for s, n in shares.most_common())
        )
    if info.inputs:
        lines += ["", "inputs (dose with --dose, sweep with --over):"]
        for entry in info.inputs.values():
            per = entry.molecules_per_unit
            stated = per and entry.unit != "molecule"
            words = f"; 1 {entry.unit} = {per:g} molecules per cell" if stated else ""
            lines.append(f"  {entry.species:24s} {entry.label} [{entry.unit}]{words}")
    if info.observables:
        lines += ["", "observables (--observe):"]
        lines += [f"  {o.id:24s} {o.label}" for o in info.observables.values()]
    if network.events:
        lines += ["", "events:"]
        lines += [_event_text(event) for event in network.events]
    if info.references:
        lines += ["", "papers:"]
        lines += [f"  {citation}  doi:{doi}" for citation, doi in info.references]
    return "\n".join(lines)


def _event_text(event: Event) -> str:
    """Return one line on when an event happens and what it does."""
    delay = f", {text(event.delay)} later" if event.delay is not None else ""
    sets = ", ".join(f"{a.variable} = {text(a.math)}" for a in event.assignments)
    return f"  {event.id:24s} at {text(event.trigger)}{delay}: {sets or 'nothing'}"


def doctor_text() -> tuple[str, bool]:
    """Return versions, folders and the state of the parts, and whether all is well."""
    healthy = True
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    python = platform.python_version()
    lines = [
        f"mir21sim {_version('mir21sim')}, Python {python}, {machine}",
        f"cache folder: {cache.folder()}",
        f"models: {library.models_folder()} ({', '.join(library.shipped())})",
    ]
    for name in CORE:
        version = _version(name)
        healthy &= version != "missing"
        lines.append(f"  {name:16s} {version}")
    for name, use in OPTIONAL.items():
        lines.append(f"  {name:16s} {_version(name)} (optional: {use})")
    for name in library.shipped():
        try:
            library.load(name, library.BASE, backend="numpy")
            lines.append(f"  model {name}: loads")
        except Mir21simError as error:
            healthy = False
            lines.append(f"  model {name}: {error}")
    lines.append("all is well" if healthy else "something is missing, see above")
    return "\n".join(lines), healthy


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
