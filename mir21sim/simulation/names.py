"""Names as users type them → the ids of a model."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar
from weakref import WeakKeyDictionary

from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError
from mir21sim.model.aliases import Names
from mir21sim.simulation.curve_features import parse_feature
from mir21sim.simulation.perturbations import Perturbations
from mir21sim.simulation.treatment import Treatment

V = TypeVar("V")

_BY_MODEL: WeakKeyDictionary[CompiledModel, Names] = WeakKeyDictionary()


def canonical(
    model: CompiledModel, name: str, among: Container[str] | None = None
) -> str:
    """Return the id that a name stands for; an unknown name as it is.

    Case, spaces and signs are free where only one id is meant: ``bcl-2`` for BCL2. The
    labels and aliases of inputs and observables are names too: ``5-FU``; ``caspase-3``
    is CASP3, ``cleaved PARP`` PARP_cleaved_fraction. Square brackets, for a
    concentration, are kept.

    Parameters
    ----------
    among : ids that may be meant here, for a name of several

    Examples
    --------
    >>> from mir21sim.compiler.load import load
    >>> model = load("mir21_core", backend="numpy")
    >>> canonical(model, "anti-miR-21"), canonical(model, "[pten]")
    ('anti_miR21', '[PTEN]')
    """
    return _names(model).find(name, among)


def canonical_treatment(model: CompiledModel, treatment: Treatment) -> Treatment:
    """Return a treatment with the ids of a model in place of the names typed.

    Raises
    ------
    InputError
        For one quantity under two names.
    """
    done = treatment.perturbations
    genes, states = model.info.genes, model.state_places
    held = {*genes, *states}
    return Treatment(
        tuple(
            replace(dose, target=canonical(model, dose.target, states))
            for dose in treatment.doses
        ),
        renamed(model, treatment.parameters, model.param_places),
        renamed(model, treatment.initials, states),
        Perturbations(
            renamed(model, done.clamp, held),
            renamed(model, done.knockdown, genes),
            renamed(model, done.overexpress, genes),
            canonical_names(model, done.no_site, genes),
        )
        if done
        else done,
    )


def canonical_names(
    model: CompiledModel, names: Iterable[str], among: Container[str] | None = None
) -> tuple[str, ...]:
    """Return the ids that some names stand for."""
    known = _names(model)
    return tuple(known.find(name, among) for name in names)


def renamed(
    model: CompiledModel, given: Mapping[str, V], among: Container[str] | None = None
) -> dict[str, V]:
    """Return values by the ids that their names stand for.

    Raises
    ------
    InputError
        For one quantity under two names.
    """
    found: dict[str, V] = {}
    typed: dict[str, str] = {}
    for name, value in given.items():
        meant = canonical(model, name, among)
        if meant in found:
            raise InputError(
                f"`{typed[meant]}` and `{name}` both mean `{meant}`: give it once."
            )
        found[meant], typed[meant] = value, name
    return found


def settable(model: CompiledModel) -> frozenset[str]:
    """Return the names that take values before a run: inputs, states, parameters."""
    return frozenset((*model.state_names, *model.param_names))


def canonical_feature(model: CompiledModel, text: str) -> str:
    """Return a quantity, or a feature of one such as ``peak(A)``, by the model's id.

    Examples
    --------
    >>> from mir21sim.compiler.load import load
    >>> canonical_feature(load("mir21_core", backend="numpy"), "peak(cleaved PARP)")
    'peak(PARP_cleaved_fraction)'
    """
    feature = parse_feature(text)
    if feature is None:
        return canonical(model, text.strip())
    _, _, level = text.strip().removesuffix(")").partition(",")
    rest = f", {level.strip()}" if level else ""
    return f"{feature.kind}({canonical(model, feature.name)}{rest})"


def _names(model: CompiledModel) -> Names:
    """Return the names of a model, collected once and kept with it."""
    if model not in _BY_MODEL:
        _BY_MODEL[model] = Names(_ids(model), _labels(model))
    return _BY_MODEL[model]


def _ids(model: CompiledModel) -> tuple[str, ...]:
    return (
        *model.info.inputs,
        *model.info.observables,
        *model.info.genes,
        *model.state_names,
        *model.assigned_names,
        *model.param_names,
        *model.rate_names,
    )


def _labels(model: CompiledModel) -> dict[str, str]:
    """Return the words of a model's own file for its inputs and observables."""
    found: dict[str, str] = {}
    for entry in model.info.inputs.values():
        for text in (entry.label, *entry.aliases):
            found.setdefault(text, entry.species)
    for observable in model.info.observables.values():
        found.setdefault(observable.label, observable.id)
    return found
