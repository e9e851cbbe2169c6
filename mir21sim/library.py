"""load("mir21_core") → CompiledModel: the one place that runs the whole chain. Layer 5.

Model files → SBML → Network (with a context's values) → lint → kernels.
"""

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from mir21sim import lint, results, toml_text, unit_check, units
from mir21sim.codegen import cache
from mir21sim.compiled import CompiledModel, Gene, Input, ModelInfo, Observable
from mir21sim.equations import equations
from mir21sim.errors import InputError, ModelError, UnknownNameError, hint
from mir21sim.frontends import antimony, texts
from mir21sim.ir import Network

UnitPolicy: TypeAlias = Literal["check", "ignore"]

BASE = "base"
"""Context name for the numbers of the model file itself."""

ATOL_FRACTION = 1e-11
"""Absolute tolerance over a state's scale, at rtol 1e-6: 1e-5 molecules for a pool of
1e6. Cascades amplify what is small before the switch, so this is tight: against 1e-9
it cuts the error of EARM 2 twentyfold for a third more steps (benchmarks/README.md)."""

_SBML_SUFFIXES = (".xml", ".sbml")
_TOML_KEYS = {
    "id", "title", "description", "cell_compartment", "equilibrate", "default_context",
    "references", "protocol", "inputs", "observables", "genes", "modules",
}  # fmt: skip
_GENE_KEYS = {"protein", "mrna", "synthesis", "site"}
_CONTEXT_KEYS = {"id", "title", "identity", "description", "models"}
_OVERRIDE_KEYS = {"value", "unit", "status", "source", "note"}


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The texts that make one model; ``texts`` maps a role to its text.

    Roles: ``sbml`` (always), ``toml``, ``parameters``, ``context`` (where present).
    ``context`` is the id of the context to apply, "" for none.
    """

    name: str
    texts: Mapping[str, str]
    context: str = ""


def models_folder() -> Path:
    """Return the folder of the shipped models, in a wheel or in a checkout."""
    inside = Path(__file__).parent / "models"
    return inside if inside.is_dir() else Path(__file__).parents[1] / "models"


def shipped() -> dict[str, Path]:
    """Return the shipped models: name to SBML file."""
    return {path.stem: path for path in sorted(models_folder().glob("*.xml"))}


def contexts(model: str | Path) -> dict[str, Path]:
    """Return the contexts that have values for a model: id to file."""
    stem, folder = Path(model).stem, models_folder()
    if str(model) not in shipped():
        folder = Path(model).resolve().parent
    found = {}
    for path in sorted((folder / "contexts").glob("*.toml")):
        if stem in toml_text.parse(path.read_text(encoding="utf-8"), path.name).get(
            "models", {}
        ):
            found[path.stem] = path
    return found


def load(
    model: str | Path,
    context: str | None = None,
    *,
    backend: cache.Backend = "numba",
    unit_policy: UnitPolicy = "check",
) -> CompiledModel:
    """Load a model by name or file, with a context's values, ready to simulate.

    The first load of a network generates and compiles its kernels; later ones, in any
    process, take them from the cache.

    Parameters
    ----------
    model : name of a shipped model, or a path of an SBML (``.xml``, ``.sbml``) or
        Antimony (``.ant``) file
    context : name of a cell line in ``models/contexts``; by default the model's own
        default context; ``"base"`` for the numbers of the model file
    backend : "numba", or "numpy" (slow, nothing to compile)
    unit_policy : "check" stops on contradicting units, "ignore" does not look

    Raises
    ------
    UnknownNameError
        For a model or context that does not exist; with the near name and the list.
    ModelError
        For a file that cannot be simulated as it stands: a missing or valueless
        symbol, contradicting units, unsupported constructs.

    Examples
    --------
    >>> load("earm_1_3", backend="numpy").state_names[:3]
    ('L', 'pR', 'L_pR')
    """
    return assemble(find(model, context), backend=backend, unit_policy=unit_policy)


def find(model: str | Path, context: str | None = None) -> ModelFiles:
    """Return the texts of a model and its context, read but not yet understood."""
    known = shipped()
    path = known.get(str(model)) or Path(model)
    if str(model) not in known:
        _check_model_path(path, known)
    text = texts.read_model_file(path)
    if antimony.is_antimony(path):
        text = antimony.antimony_to_sbml(text, path.name)
    from mir21sim.frontends import comp  # libSBML takes 0.2 s

    if comp.is_hierarchical(text):
        text = comp.flattened(text, path)
    roles = {"sbml": text}
    for role, suffix in (("toml", ".toml"), ("parameters", ".parameters.tsv")):
        companion = path.with_name(path.stem + suffix)
        if companion.is_file():
            roles[role] = texts.read_model_file(companion)
    wanted = context
    if wanted is None and "toml" in roles:
        wanted = toml_text.parse(roles["toml"], f"{path.stem}.toml").get(
            "default_context", ""
        )
    if not wanted or wanted == BASE:
        return ModelFiles(path.stem, roles)
    available = contexts(model)
    if wanted not in available:
        raise UnknownNameError(f"context for {path.stem}", wanted, (*available, BASE))
    roles["context"] = available[wanted].read_text(encoding="utf-8")
    return ModelFiles(path.stem, roles, wanted)


def _check_model_path(path: Path, known: Iterable[str]) -> None:
    """Stop unless a path is an existing file of a kind that can be loaded."""
    suffixes = (*_SBML_SUFFIXES, *antimony.SUFFIXES)
    is_model = path.suffix.lower() in suffixes
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix.lower() in suffixes)
        raise InputError(
            f"`{path}` is a folder; name a model file in it. {hint(path.name, inside)}"
        )
    if not path.is_file():
        if not is_model:
            raise UnknownNameError("model", str(path), tuple(known))
        raise InputError(
            f"The model file `{path}` does not exist. {_near_files(path, suffixes)}"
        )
    if path.suffix.lower() == ".nc":
        raise InputError(
            f"`{path.name}` is a result, not a model; `mir21sim rerun {path.name}` "
            "runs the model it holds."
        )
    if not is_model:
        raise InputError(
            f"A model file must end in .xml, .sbml or .ant, got `{path.name}`."
        )


def _near_files(path: Path, suffixes: Iterable[str]) -> str:
    """Return the model files beside a missing one, the near name first."""
    folder = path.parent
    if not folder.is_dir():
        return f"There is no folder `{folder}`."
    inside = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in suffixes)
    return hint(path.name, inside)


def assemble(
    files: ModelFiles,
    *,
    backend: cache.Backend = "numba",
    unit_policy: UnitPolicy = "check",
) -> CompiledModel:
    """Turn the texts of a model into a CompiledModel."""
    network, info = understand(files)
    _stop_on(lint.structure_issues(network), files.name)
    # Units depend on the structure alone: once passed, a later start skips the check.
    if unit_policy == "check" and not cache.has_passed(network, "units"):
        _stop_on(unit_check.unit_issues(network), files.name)
        cache.note_passed(network, "units")
    return _compiled(files, network, info, backend)


def understand(files: ModelFiles) -> tuple[Network, ModelInfo]:
    """Return the network (context applied) and the words of a model, unchecked."""
    from mir21sim.frontends import sbml  # libSBML takes 0.2 s

    network = sbml.read_sbml(files.texts["sbml"], files.name)
    info = _info(files, network)
    if files.context:
        table = toml_text.parse(files.texts["context"], f"{files.context}.toml")
        network = _apply_context(network, table, files)
    return network, info


def parameter_table(files: ModelFiles) -> dict[str, lint.SourcedNumber]:
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
    rows: dict[str, lint.SourcedNumber] = {}
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
        rows[row["id"]] = lint.SourcedNumber(
            id=row["id"],
            value=value,
            unit=row["unit"] or "",
            status=row["status"] or "",
            source=row["source"] or "",
            note=row["note"] or "",
            line=line,
        )
    return rows


def context_table(files: ModelFiles) -> dict[str, lint.SourcedNumber]:
    """Return the numbers that a context puts in place of the model's, by id."""
    if not files.context:
        return {}
    text = files.texts["context"]
    table = toml_text.parse(text, f"{files.context}.toml")
    return {
        key: lint.SourcedNumber(
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


def check(files: ModelFiles) -> list[lint.Issue]:
    """Return everything lint has to say about a model, errors first."""
    network, _ = understand(files)
    issues = lint.structure_issues(network)
    if not issues:
        issues += unit_check.unit_issues(network)
    if "parameters" in files.texts:
        base, _ = understand(ModelFiles(files.name, files.texts))
        issues += lint.source_issues(
            base, parameter_table(files), f"{files.name}.parameters.tsv"
        )
    issues += lint.advice(network)
    return sorted(issues, key=lambda issue: issue.severity != "error")


def _stop_on(issues: list[lint.Issue], name: str) -> None:
    """Raise the first error among issues, with the number of the others."""
    errors = [issue for issue in issues if issue.severity == "error"]
    if errors:
        more = len(errors) - 1
        tail = f" ({more} more; `mir21sim lint` lists them)" if more else ""
        raise ModelError(f"{name}: {errors[0].message}{tail}")


def _known_keys(table: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise ModelError(
                f"{where}: unknown key `{key}`. {hint(key, sorted(known))}"
            )


def _info(files: ModelFiles, network: Network) -> ModelInfo:
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
        _known_keys(
            entry, {"label", "unit", "molecules_per_unit", "source"}, f"{name}, {key}"
        )
        inputs[key] = Input(species=key, **{"label": key, "unit": "nM"} | entry)
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


def _apply_context(
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


def _compiled(
    files: ModelFiles, network: Network, info: ModelInfo, backend: cache.Backend
) -> CompiledModel:
    """Compile a checked network and evaluate its nominal start values."""
    module = cache.kernels(network, backend)
    amounts = {s.id: s.initial for s in network.species}
    constants = {c.id: c.size for c in network.compartments}
    constants |= {p.id: p.value for p in network.parameters}
    y0 = np.array([_start(amounts, constants, n) for n in module.state_names], float)
    p0 = np.array([_start(constants, amounts, n) for n in module.param_names], float)
    keep_y, keep_p = np.zeros(len(y0), dtype=bool), np.zeros(len(p0), dtype=bool)
    try:
        module.kernels.initial(0.0, y0, p0, keep_y, keep_p)
    except ArithmeticError as error:  # of plain numbers, where arrays would give NaN
        raise ModelError(
            f"{files.name}: a formula of numbers alone has no value ({error}); look at "
            "the rules and initial assignments."
        ) from error
    unknown = [n for n, v in zip(module.state_names, y0, strict=True) if math.isnan(v)]
    unknown += [n for n, v in zip(module.param_names, p0, strict=True) if math.isnan(v)]
    if unknown:
        _stop_on_needed(network, unknown, files.name)
    changed = {a.variable for event in network.events for a in event.assignments}
    volumes = {
        c.id: units.picolitres(float(p0[module.param_names.index(c.id)]), c.unit)
        for c in network.compartments
        if c.id in module.param_names and c.id not in changed and c.dimensions == 3.0
    }
    return CompiledModel(
        info=info,
        context=files.context,
        network=network,
        kernels=module.kernels,
        state_names=module.state_names,
        param_names=module.param_names,
        assigned_names=module.assigned_names,
        rate_names=module.rate_names,
        y0=y0,
        p0=p0,
        atol=_atol(y0),
        cell_volume_pL=_cell_volume(info, volumes),
        volumes_pL=volumes,
        seconds_per_time=units.seconds_per(network.units.time),
        molecules_per_amount=units.molecules_per(network.units.substance),
        source=dict(files.texts),
        digest=network.digest(),
    )


def _stop_on_needed(network: Network, unknown: list[str], name: str) -> None:
    """Raise for a start value that is not a number and that any change depends on."""
    model = equations(network)
    needed = model.needs([*model.states, *(rate.name for rate in model.rates)])
    for entry in unknown:
        if entry in needed:
            raise ModelError(
                f"{name}: the start value of `{entry}` is not a number; look at its "
                "initial assignment."
            )


def _start(
    first: Mapping[str, float | None], second: Mapping[str, float | None], name: str
) -> float:
    """Return a start value; one that a formula sets is NaN until it is evaluated."""
    value = first.get(name, second.get(name))
    return math.nan if value is None else float(value)


def _atol(y0: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
    """Return the absolute tolerance per state from its scale.

    The scale of a state that starts at zero is the median of those that do not.
    """
    sizes = np.abs(y0)
    present = sizes[np.isfinite(sizes) & (sizes > 0)]
    typical = float(np.median(present)) if present.size else 1.0
    return ATOL_FRACTION * np.where(np.isfinite(sizes) & (sizes > 0), sizes, typical)


def _cell_volume(info: ModelInfo, volumes: Mapping[str, float]) -> float:
    """Return the volume of the cell compartment; NaN where none is stated."""
    if info.cell_compartment:
        if info.cell_compartment not in volumes:
            raise ModelError(
                f"{info.id}.toml: the compartment `{info.cell_compartment}` is not one "
                f"of the model. {hint(info.cell_compartment, tuple(volumes))}"
            )
        return volumes[info.cell_compartment]
    return next(iter(volumes.values())) if len(volumes) == 1 else math.nan


def convert(source: str | Path, target: str | Path, context: str | None = None) -> Path:
    """Write a model as SBML L3V2 (``.xml``, ``.sbml``) or Antimony (``.ant``).

    A file in the one format is translated into the other as it stands, notes and
    annotations included. With a context, from a shipped model's name, or from SBML of
    any level to SBML, it is the network that is written, with the context's values.

    Parameters
    ----------
    source : a shipped model's name, or a file
    target : the file to write
    context : cell line whose values are written, as in ``load``

    Raises
    ------
    InputError
        For a missing file, a file of another kind, Antimony to Antimony without a
        context, or a target that cannot be written.
    ModelError
        When the source cannot be read, or the target's format cannot hold it.
    """
    source, target = Path(source), Path(target)
    if not antimony.is_antimony(target) and target.suffix.lower() not in _SBML_SUFFIXES:
        raise InputError(f"`{target}` must end in .ant, .xml or .sbml.")
    known = shipped()
    by_name = str(source) in known
    if not by_name:
        _check_model_path(source, known)
    as_text = not by_name and context is None
    if as_text and antimony.is_antimony(source) != antimony.is_antimony(target):
        text = texts.read_model_file(source)
        if antimony.is_antimony(source):
            made = antimony.antimony_to_sbml(text, source.name)
        else:
            made = antimony.sbml_to_antimony(text, source.name)
    elif as_text and antimony.is_antimony(target):
        raise InputError(f"`{source.name}` and `{target.name}` are both Antimony.")
    else:
        made = _written(understand(find(source, context))[0], target)
    part = results.prepare_output(target)
    part.write_text(made, encoding="utf-8", newline="\n")
    part.replace(target)
    return target


def _written(network: Network, target: Path) -> str:
    """Return a network in the format of a file name."""
    from mir21sim.frontends import antimony_writer, sbml_writer  # libSBML takes 0.2 s

    if antimony.is_antimony(target):
        return antimony_writer.write_antimony(network)
    return sbml_writer.write_sbml(network)
