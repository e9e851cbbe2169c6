"""The texts beside the SBML of a model: its words, sources, contexts."""

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from mir21sim.errors import ModelError, hint
from mir21sim.model import sources
from mir21sim.model import toml_lines as toml_text
from mir21sim.model.files import ModelFiles
from mir21sim.model.info import Gene, Input, ModelInfo, Observable
from mir21sim.model.network import Network

_TOML_KEYS = {
    "id", "title", "description", "cell_compartment", "equilibrate", "default_context",
    "references", "protocol", "inputs", "observables", "genes", "modules",
}  # fmt: skip
_GENE_KEYS = {"protein", "mrna", "synthesis", "site"}
_CONTEXT_KEYS = {"id", "title", "identity", "description", "models"}
_OVERRIDE_KEYS = {"value", "unit", "status", "source", "note"}


def parameter_table(files: ModelFiles) -> dict[str, sources.SourcedNumber]:
    """Return the rows of a model's ``.parameters.tsv`` by id; empty without one.

    Raises
    ------
    ModelError
        For a missing column, a repeated id or a value that is no number, by line.
    """
    text = files.texts.get("parameters")
    if text is None:
        return {}
    name = f"{files.name}.parameters.tsv"
    reader = csv.DictReader(io.StringIO(text), delimiter="\t")
    needed = {"id", "value", "unit", "status", "source", "note"}
    missing = needed - set(reader.fieldnames or ())
    if missing:
        raise ModelError(f"{name} lacks the columns {', '.join(sorted(missing))}.")
    rows: dict[str, sources.SourcedNumber] = {}
    for row in reader:
        line = reader.line_num
        try:
            value = float(row["value"])
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"{name}, line {line}: value must be a number, got `{row['value']}`."
            ) from error
        if row["id"] in rows:
            raise ModelError(f"{name}, line {line}: `{row['id']}` stands twice.")
        rows[row["id"]] = sources.SourcedNumber(
            id=row["id"],
            value=value,
            unit=row["unit"] or "",
            status=row["status"] or "",
            source=row["source"] or "",
            note=row["note"] or "",
            line=line,
        )
    return rows


def context_table(files: ModelFiles) -> dict[str, sources.SourcedNumber]:
    """Return the numbers that a context puts in place of the model's, by id."""
    if not files.context:
        return {}
    text = files.texts["context"]
    table = toml_text.parse(text, f"{files.context}.toml")
    return {
        key: sources.SourcedNumber(
            id=key,
            value=float(entry["value"]),
            unit=entry.get("unit", ""),
            status=entry.get("status", ""),
            source=entry.get("source", ""),
            note=entry.get("note", ""),
            line=toml_text.line_of(text, ("models", files.name, key)),
        )
        for key, entry in table["models"][files.name].items()
    }


_INPUT_KEYS = {
    "label", "unit", "molecules_per_unit", "molecular_weight", "source", "aliases",
}  # fmt: skip


def model_info(files: ModelFiles, network: Network) -> ModelInfo:
    """Return the words of a model; a file without a `.toml` gets plain defaults."""
    if "toml" not in files.texts:
        return ModelInfo(id=files.name, title=network.name)
    name = f"{files.name}.toml"
    table = toml_text.parse(files.texts["toml"], name)
    _known_keys(table, _TOML_KEYS, name)
    species = {s.id for s in network.species}
    outputs = species | {r.variable for r in network.rules}
    inputs = {}
    for key, entry in table.get("inputs", {}).items():
        if key not in species:
            raise ModelError(
                f"{name}: the input `{key}` is not a species. "
                f"{hint(key, sorted(species))}"
            )
        _known_keys(entry, _INPUT_KEYS, f"{name}, {key}")
        aliases = tuple(entry.get("aliases", ()))
        stated = {"label": key, "unit": "nM"} | entry | {"aliases": aliases}
        inputs[key] = Input(species=key, **stated)
    observables = {}
    for key, entry in table.get("observables", {}).items():
        if key not in outputs:
            raise ModelError(
                f"{name}: the observable `{key}` is neither a species nor a rule. "
                f"{hint(key, sorted(outputs))}"
            )
        _known_keys(entry, {"label", "commits"}, f"{name}, {key}")
        observables[key] = Observable(id=key, **{"label": key} | entry)
    protocol = table.get("protocol", {})
    _known_keys(protocol, {"end_h", "doses"}, f"{name}, protocol")
    return ModelInfo(
        id=files.name,
        title=table.get("title", network.name),
        description=table.get("description", ""),
        cell_compartment=table.get("cell_compartment", ""),
        equilibrate=bool(table.get("equilibrate", False)),
        default_context=table.get("default_context", ""),
        references=tuple(
            (entry.get("citation", ""), entry.get("doi", ""))
            for entry in table.get("references", ())
        ),
        inputs=inputs,
        observables=observables,
        genes=_genes(table.get("genes", {}), network, files),
        modules=_modules(table.get("modules", {}), network, files),
        end_h=float(protocol.get("end_h", 24.0)),
        doses=tuple(protocol.get("doses", ())),
    )


def _genes(
    table: Mapping[str, Any], network: Network, files: ModelFiles
) -> dict[str, Gene]:
    """Return the genes that a `.toml` declares, each with the names it points to."""
    species = [s.id for s in network.species]
    constants = [p.id for p in network.parameters]
    genes = {}
    for key, entry in table.items():
        where = _toml_place(files, "genes", key)
        if not isinstance(entry, dict):
            raise ModelError(f"{where}: a gene is a table, got {entry!r}.")
        _known_keys(entry, _GENE_KEYS, where)
        site: dict[str, Any] = entry.get("site", {})
        for name, value in site.items():
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ModelError(f"{where}: `{name}` must be a number, got {value!r}.")
        gene = Gene(
            id=key,
            protein=tuple(entry.get("protein", ())),
            mrna=entry.get("mrna", ""),
            synthesis=tuple(entry.get("synthesis", ())),
            site=site,
        )
        if not gene.protein:
            raise ModelError(f"{where}: `protein` must name one species or more.")
        mrna = (gene.mrna,) if gene.mrna else ()
        _known_names(where, "species", (*gene.protein, *mrna), species)
        _known_names(where, "parameter", (*gene.synthesis, *gene.site), constants)
        genes[key] = gene
    return genes


def _modules(
    table: Mapping[str, Any], network: Network, files: ModelFiles
) -> dict[str, tuple[str, ...]]:
    """Return the modules of a `.toml`: name to species, each in one module at most."""
    species = [s.id for s in network.species]
    home: dict[str, str] = {}
    for key, members in table.items():
        where = _toml_place(files, "modules", key)
        _known_names(where, "species", members, species)
        for member in members:
            if member in home:
                raise ModelError(
                    f"{where}: `{member}` stands in the modules {home[member]} and "
                    f"{key}; one of the two must go."
                )
            home[member] = key
    return {key: tuple(members) for key, members in table.items()}


def _known_keys(table: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise ModelError(
                f"{where}: unknown key `{key}`. {hint(key, sorted(known))}"
            )


def _known_names(where: str, kind: str, names: Iterable[str], known: list[str]) -> None:
    for name in names:
        if name not in known:
            raise ModelError(
                f"{where}: the model has no {kind} `{name}`. {hint(name, known)}"
            )


def _toml_place(files: ModelFiles, *path: str) -> str:
    """Return 'file, line N, table.key' of an entry in a model's `.toml`."""
    place = toml_text.place(files.texts["toml"], f"{files.name}.toml", path)
    return f"{place}, {'.'.join(path)}"


def apply_context(
    network: Network, table: dict[str, Any], files: ModelFiles
) -> Network:
    """Return the network with a context's numbers in place of its own."""
    name = f"{files.context}.toml"
    _known_keys(table, _CONTEXT_KEYS, name)
    overrides = table["models"][files.name]
    known = network.ids()
    values: dict[str, float] = {}
    for key, entry in overrides.items():
        where = toml_text.place(
            files.texts["context"], name, ("models", files.name, key)
        )
        if key not in known:
            raise ModelError(
                f"{where}: the model {files.name} has no `{key}`. {hint(key, known)}"
            )
        _known_keys(entry, _OVERRIDE_KEYS, f"{where}, {key}")
        value = entry.get("value")
        if not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
            raise ModelError(
                f"{where}: `{key}` must be a finite number of 0 or more, got {value!r}."
            )
        values[key] = float(value)
    return with_values(network, values)


def with_values(network: Network, values: Mapping[str, float]) -> Network:
    """Return a network with some constants or initial amounts replaced."""
    return replace(
        network,
        compartments=tuple(
            replace(c, size=values[c.id]) if c.id in values else c
            for c in network.compartments
        ),
        species=tuple(
            replace(s, initial=values[s.id]) if s.id in values else s
            for s in network.species
        ),
        parameters=tuple(
            replace(p, value=values[p.id]) if p.id in values else p
            for p in network.parameters
        ),
    )
