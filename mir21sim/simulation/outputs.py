"""Names to observe, found in a model: amounts, concentrations, rates."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mir21sim import units
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.model.info import unique
from mir21sim.model.network import Species
from mir21sim.solvers.problem import Selection, Source
from mir21sim.units import UnitParts

_Row: TypeAlias = tuple[Source, int, Source, int, float]
"""Where a selected quantity is, what divides it, and its factor."""


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """One selected quantity: its name in a Dataset, unit and label."""

    name: str
    unit: str
    label: str


def amount_unit(model: CompiledModel) -> str:
    """Return the unit in which amounts are reported."""
    if model.molecules_per_amount is not None:
        return "molecule"
    return units.parts_text(model.network.units.substance)


def default_outputs(model: CompiledModel) -> tuple[str, ...]:
    """Return the model's observables, or everything in a file that names none."""
    if model.info.observables:
        return tuple(model.info.observables)
    known = {*model.network.ids()}
    return tuple(n for n in (*model.state_names, *model.assigned_names) if n in known)


def select_outputs(
    model: CompiledModel, names: Iterable[str]
) -> tuple[tuple[Output, ...], Selection]:
    """Resolve names to what solvers keep.

    ``A`` is molecules, ``[A]`` is nM, a rule variable or parameter has its own unit, a
    reaction's id is its rate.
    """
    outputs, rows, known = [], [], _Known.of(model)
    for name in unique(names):
        output, row = _resolve(model, known, name)
        outputs.append(output)
        rows.append(row)
    if not rows:
        raise InputError("`observe` must name one quantity or more.")
    source, index, divisor_source, divisor, scale = zip(*rows, strict=True)
    selection = Selection(
        source=np.array(source, dtype=np.int64),
        index=np.array(index, dtype=np.int64),
        divisor_source=np.array(divisor_source, dtype=np.int64),
        divisor=np.array(divisor, dtype=np.int64),
        scale=np.array(scale, dtype=np.float64),
    )
    return tuple(outputs), selection


@dataclass(frozen=True, slots=True)
class _Known:
    """What a model has: species, where each quantity is kept, units that are stated."""

    species: Mapping[str, Species]
    places: Mapping[str, tuple[Source, int]]
    units: Mapping[str, UnitParts | None]

    @classmethod
    def of(cls, model: CompiledModel) -> "_Known":
        kinds = (  # the first one has a name that several have
            (Source.STATE, model.state_names),
            (Source.ASSIGNED, model.assigned_names),
            (Source.RATE, model.rate_names),
            (Source.PARAM, model.param_names),
        )
        places: dict[str, tuple[Source, int]] = {}
        for kind, names in kinds:
            for i, name in enumerate(names):
                places.setdefault(name, (kind, i))
        stated = {p.id: p.unit for p in model.network.parameters}
        stated |= {c.id: c.unit for c in model.network.compartments}
        return cls(species_of(model), places, stated)


def _resolve(model: CompiledModel, known: _Known, name: str) -> tuple[Output, _Row]:
    """Return how one output is labelled and where it comes from."""
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    observable = model.info.observables.get(bare)
    pool = known.species.get(bare)
    label = observable.label if observable else bare
    if pool is not None and not observable:
        label = pool.name or bare
    if bare != name:
        return _concentration(model, known, name, species=bare, label=label)
    place = known.places.get(bare)
    if place is None:
        names = unique((*model.network.ids(), *model.rate_names))
        raise UnknownNameError("quantity to observe", name, names)
    if pool is not None:
        scale = model.molecules_per_amount or 1.0
        return Output(name, amount_unit(model), label), _row(place, scale)
    if bare in model.rate_names:
        extent = units.parts_text(model.network.units.extent)
        time = units.parts_text(model.network.units.time)
        unit = f"{extent}/{time}" if extent and time else ""
        return Output(name, unit, f"rate of {bare}"), _row(place)
    return Output(name, units.parts_text(known.units.get(bare)), label), _row(place)


def _row(
    place: tuple[Source, int],
    scale: float = 1.0,
    divisor: tuple[Source, int] = (Source.PARAM, -1),
) -> _Row:
    return (*place, *divisor, scale)


def _concentration(
    model: CompiledModel, known: _Known, name: str, *, species: str, label: str
) -> tuple[Output, _Row]:
    """Return a species over the size of its compartment, whatever that does, in nM."""
    pool = known.species.get(species)
    if pool is None:
        raise UnknownNameError("species", species, tuple(known.species))
    home = next(c for c in model.network.compartments if c.id == pool.compartment)
    if home.dimensions != 3.0:
        raise InputError(
            f"`{species}` is in compartment `{home.id}` of {home.dimensions:g} "
            f"dimensions, so it has no molar concentration; observe `{species}`."
        )
    above, below = known.places[species], known.places[home.id]
    # 1 nM in 1 pL is 602.2 molecules; the size may change or be swept, so it divides.
    per_size = units.AVOGADRO * 1e-21 * units.picolitres(1.0, home.unit)
    scale = (model.molecules_per_amount or 1.0) / per_size
    return Output(name, "nM", f"{label} concentration"), _row(above, scale, below)


def species_of(model: CompiledModel) -> dict[str, Species]:
    """Return the species of a model by id."""
    return {s.id: s for s in model.network.species}
