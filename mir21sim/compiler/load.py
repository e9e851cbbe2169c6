"""load("mir21_core") → CompiledModel: the one place that runs the whole chain.

Model files → SBML → Network (with a context's values) → lint → kernels.
"""

import math
import textwrap
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from mir21sim import units
from mir21sim._typing import FloatArray
from mir21sim.compiler import cache, reading_cache
from mir21sim.compiler.equations import equations
from mir21sim.compiler.garbage import rare_collections
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, ModelError, ModelWarning, hint
from mir21sim.model import delays, lint, sources, unit_check
from mir21sim.model.files import BASE as BASE
from mir21sim.model.files import ModelFiles as ModelFiles
from mir21sim.model.files import contexts as contexts
from mir21sim.model.files import find as find
from mir21sim.model.files import models_folder as models_folder
from mir21sim.model.files import shipped as shipped
from mir21sim.model.info import ModelInfo
from mir21sim.model.metadata import context_table as context_table
from mir21sim.model.metadata import parameter_table as parameter_table
from mir21sim.model.network import Network
from mir21sim.model.read import reading, understand, warn_of_left_open

UnitPolicy: TypeAlias = Literal["check", "strict", "ignore"]

ATOL_FRACTION = 1e-11
"""Absolute tolerance over a state's scale, at rtol 1e-6: 1e-5 molecules for a pool of
1e6. Cascades amplify small amounts before the switch, so this is tight: against 1e-9
it cuts the error of EARM 2 twentyfold for a third more steps (benchmarks/README.md)."""

ATOL_MOLECULES = 1e-6
"""Absolute tolerance at least, at rtol 1e-6, in molecules per cell: a pool at a
thousandth of a molecule needs no 14 digits after the point. It saves a tenth of the
steps of `mir21_apoptosis`; at 1e-5 the error of EARM 2 would be fivefold."""

ATOL_SHARE = 1e-9
"""That least tolerance over the scale of the model at most: some models count in units
of which they have one."""


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
    unit_policy : "check" stops on contradicting units in the shipped models and warns
        of them in any other file, "strict" stops in every file, "ignore" does not look

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


def loaded(model: CompiledModel | str | Path) -> CompiledModel:
    """Return a model as it is, or load it by name or file.

    Raises
    ------
    InputError
        For any other object.
    """
    if isinstance(model, CompiledModel):
        return model
    if isinstance(model, (str, Path)):
        return load(model)
    raise InputError(
        f"A model must come from `load`, or be a name or path, got {type(model)!r}."
    )


def assemble(
    files: ModelFiles,
    *,
    backend: cache.Backend = "numba",
    unit_policy: UnitPolicy = "check",
) -> CompiledModel:
    """Turn the texts of a model into a CompiledModel."""
    with rare_collections():
        return _assembled(files, backend, unit_policy)


def _assembled(
    files: ModelFiles, backend: cache.Backend, unit_policy: UnitPolicy
) -> CompiledModel:
    network, info = _understood(files)
    expanded, _ = delays.expanded(network)
    key = cache.key(expanded)
    if unit_policy != "ignore":
        strict = unit_policy == "strict" or is_shipped(files)
        _check_units(files, network, key, strict=strict)
    return _compiled(files, network, info, cache.kernels(expanded, backend, key))


def _understood(files: ModelFiles) -> tuple[Network, ModelInfo]:
    """Return the network and the labels of a model whose structure has no error."""
    found = reading_cache.kept(files)
    if found is None:
        found = reading(files)
        _stop_on(lint.structure_issues(found.network), files.name)
        reading_cache.keep(files, found)
    warn_of_left_open(files.name, found.left_open)
    return found.network, found.info


def is_shipped(files: ModelFiles) -> bool:
    """Say whether a model is one of the package, by its name."""
    return files.name in shipped()


def _check_units(
    files: ModelFiles, network: Network, key: str, *, strict: bool
) -> None:
    """Stop on contradicting units, or warn of them in one line.

    Units depend on the structure alone: once looked at, a later start skips the check.
    """
    noted = cache.noted(key, "units")
    if noted is None or (strict and noted):
        issues = unit_check.unit_issues(network)
        if strict:
            _stop_on(issues, files.name)
        noted = f"{len(issues)} {issues[0].message}" if issues else ""
        cache.note(key, "units", noted)
    if noted:
        count, _, first = noted.partition(" ")
        plural = "" if count == "1" else "s"
        warnings.warn(
            f"{files.name}: units of {count} formula{plural} contradict each other; no "
            f"number depends on them. First: {textwrap.shorten(first, 200)} "
            "`mir21sim lint` lists them, `--strict-units` refuses them.",
            ModelWarning,
            stacklevel=3,
        )


def check(files: ModelFiles) -> list[lint.Issue]:
    """Return everything lint has to say about a model, errors first."""
    network, _ = understand(files)
    issues = lint.structure_issues(network)
    if not issues:
        severity: Literal["error", "warning"]
        severity = "error" if is_shipped(files) else "warning"
        found = unit_check.unit_issues(network)
        issues += [replace(issue, severity=severity) for issue in found]
    if "parameters" in files.texts:
        base, _ = understand(ModelFiles(files.name, files.texts))
        issues += sources.source_issues(
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


def _compiled(
    files: ModelFiles, network: Network, info: ModelInfo, module: cache.KernelModule
) -> CompiledModel:
    """Label the kernels of a checked network and evaluate its nominal start values."""
    amounts = {s.id: s.initial for s in network.species}
    constants = {c.id: c.size for c in network.compartments}
    expanded, _ = delays.expanded(network)
    constants |= {p.id: p.value for p in expanded.parameters}
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
    sizes = {
        c.id: units.picolitres(float(p0[module.param_names.index(c.id)]), c.unit)
        for c in network.compartments
        if c.id in module.param_names and c.id not in changed and c.dimensions == 3.0
    }
    volumes = {name: size for name, size in sizes.items() if size is not None}
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
        atol=_atol(y0, units.molecules_per(network.units.substance)),
        cell_volume_pL=_cell_volume(info, volumes),
        volumes_pL=volumes,
        seconds_per_time=units.seconds_per(network.units.time) or 1.0,
        molecules_per_amount=units.molecules_per(network.units.substance),
        source=dict(files.texts),
        digest=network.digest(),
        kernel_key=module.key,
    )


def _stop_on_needed(network: Network, unknown: list[str], name: str) -> None:
    """Raise for a start value that is not a number and that any change depends on."""
    model = equations(delays.expanded(network)[0])
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


def _atol(y0: FloatArray, molecules_per_amount: float | None) -> FloatArray:
    """Return the absolute tolerance per state from its scale.

    The scale of a state that starts at zero is the median of those that do not.
    """
    sizes = np.abs(y0)
    known = np.isfinite(sizes) & (sizes > 0)
    typical = float(np.median(sizes[known])) if known.any() else 1.0
    least = 0.0
    if molecules_per_amount is not None:
        least = min(ATOL_MOLECULES / molecules_per_amount, ATOL_SHARE * typical)
    return np.maximum(ATOL_FRACTION * np.where(known, sizes, typical), least)


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
