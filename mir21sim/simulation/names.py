"""Names as users type them → the ids of a model."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar
from weakref import WeakKeyDictionary

from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import as_symbol, plain
from mir21sim.simulation.perturbations import Perturbations
from mir21sim.simulation.treatment import Treatment

V = TypeVar("V")

_BY_MODEL: WeakKeyDictionary[CompiledModel, Mapping[str, str]] = WeakKeyDictionary()


def canonical(model: CompiledModel, name: str) -> str:
    """Return the id that a name stands for; an unknown name as it is.

    Case, spaces and signs are free where only one id is meant: ``bcl-2`` for BCL2. The
    labels and aliases of inputs and observables are names too: ``5-FU``; ``caspase-3``
    is CASP3. Square brackets, for a concentration, are kept.

    Examples
    --------
    >>> from mir21sim.compiler.load import load
    >>> model = load("mir21_core", backend="numpy")
    >>> canonical(model, "anti-miR-21"), canonical(model, "[pten]")
    ('anti_miR21', '[PTEN]')
    """
    return _canonical(_ids(model), name)


def _canonical(ids: Mapping[str, str], name: str) -> str:
    if name in ids:
        return ids[name]
    if name.startswith("[") and name.endswith("]"):
        return f"[{_canonical(ids, name[1:-1])}]"
    return ids.get(plain(name)) or ids.get(as_symbol(name), name)


def canonical_treatment(model: CompiledModel, treatment: Treatment) -> Treatment:
    """Return a treatment with the ids of a model in place of the names typed."""
    done = treatment.perturbations
    return Treatment(
        tuple(
            replace(dose, target=canonical(model, dose.target))
            for dose in treatment.doses
        ),
        _renamed(model, treatment.parameters),
        _renamed(model, treatment.initials),
        Perturbations(
            _renamed(model, done.clamp),
            _renamed(model, done.knockdown),
            _renamed(model, done.overexpress),
            canonical_names(model, done.no_site),
        )
        if done
        else done,
    )


def canonical_names(model: CompiledModel, names: Iterable[str]) -> tuple[str, ...]:
    """Return the ids that some names stand for."""
    ids = _ids(model)
    return tuple(_canonical(ids, name) for name in names)


def _renamed(model: CompiledModel, given: Mapping[str, V]) -> dict[str, V]:
    return {canonical(model, name): value for name, value in given.items()}


def _ids(model: CompiledModel) -> Mapping[str, str]:
    """Return the ids of a model by themselves and by unambiguous plain names."""
    if model not in _BY_MODEL:
        _BY_MODEL[model] = _collected(model)
    return _BY_MODEL[model]


def _collected(model: CompiledModel) -> dict[str, str]:
    ids = dict.fromkeys(
        (
            *model.info.inputs,
            *model.info.observables,
            *model.info.genes,
            *model.state_names,
            *model.assigned_names,
            *model.param_names,
            *model.rate_names,
        )
    )
    found: dict[str, set[str]] = {}
    for name in ids:
        found.setdefault(plain(name), set()).add(name)
    for entry in model.info.inputs.values():
        for text in (entry.label, *entry.aliases):
            found.setdefault(plain(text), {entry.species})
    for observable in model.info.observables.values():
        found.setdefault(plain(observable.label), {observable.id})
    return {key: min(names) for key, names in found.items() if len(names) == 1} | {
        name: name for name in ids
    }
