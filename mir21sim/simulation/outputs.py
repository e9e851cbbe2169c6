"""Names to observe, found in a model: amounts, concentrations, rates."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np

from mir21sim import units
from mir21sim._typing import BoolArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.model.border import UNDECLARED, concentration_unit, unit_name
from mir21sim.model.info import unique
from mir21sim.model.network import Compartment, Species
from mir21sim.solvers.problem import Selection, Source
from mir21sim.units import UnitParts

_Row: TypeAlias = tuple[Source, int, Source, int, float]
"""Place of a selected quantity, its divisor, and its factor."""


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """One selected quantity: its name in a Dataset, unit and label."""

    name: str
    unit: str
    label: str


def amount_unit(model: CompiledModel) -> str:
    """Return the unit in which amounts are reported."""
    if model.border.is_guest:
        return unit_name(model.network.units.substance)
    return "molecule"


def start_unit(model: CompiledModel, name: str) -> str:
    """Return the unit in which the start of a state is given."""
    pool = species_of(model).get(name)
    if pool is None:
        return _stated(model, _Known.of(model).units.get(name))
    if model.border.means_concentration(pool):
        return concentration_unit(pool, _home(model, pool).unit)
    return model.border.amount_unit(pool)


def _stated(model: CompiledModel, unit: UnitParts | None) -> str:
    """Return the text of a declared unit; of none in a guest that there is none."""
    return unit_name(unit) if model.border.is_guest else units.parts_text(unit)


def _home(model: CompiledModel, pool: Species) -> Compartment:
    """Return the compartment of a species."""
    return next(c for c in model.network.compartments if c.id == pool.compartment)


def default_outputs(model: CompiledModel) -> tuple[str, ...]:
    """Return the model's observables, or everything in a file that names none."""
    if model.info.observables:
        return tuple(model.info.observables)
    known = {*model.network.ids()}
    return tuple(n for n in (*model.state_names, *model.assigned_names) if n in known)


def select_outputs(
    model: CompiledModel, names: Iterable[str]
) -> tuple[tuple[Output, ...], Selection]:
    """Resolve names to the selection that solvers keep.

    ``A`` is molecules and ``[A]`` nM in our models. In a guest's, ``A`` has the meaning
    that the file gives it and ``[A]`` is its concentration, in the units of the file. A
    rule variable or parameter has its own unit, a reaction's id is its rate.
    """
    chosen, known = tuple(unique(names)), _Known.of(model)
    if chosen not in known.selected:
        if len(known.selected) >= _MOST_SELECTED:
            known.selected.clear()
        known.selected[chosen] = _selected(model, known, chosen)
    return known.selected[chosen]


_MOST_SELECTED = 64
"""Selections that are kept with a model; more would only take memory."""


def _selected(
    model: CompiledModel, known: "_Known", names: Iterable[str]
) -> tuple[tuple[Output, ...], Selection]:
    """Return the labels and the selection of some names; its arrays are read-only."""
    outputs, rows = [], []
    for name in names:
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
    for column in fields(Selection):
        getattr(selection, column.name).setflags(write=False)  # shared by all runs
    return tuple(outputs), selection


@dataclass(frozen=True, slots=True)
class _Known:
    """The parts of a model that are looked up once.

    Attributes
    ----------
    species : by id
    places : where each quantity is
    units : those that are declared
    amounts : bool array, shape (n_state,), states that must not become negative
    selected : past selections
    """

    species: Mapping[str, Species]
    places: Mapping[str, tuple[Source, int]]
    units: Mapping[str, UnitParts | None]
    amounts: BoolArray
    selected: dict[tuple[str, ...], tuple[tuple[Output, ...], Selection]] = field(
        default_factory=dict
    )

    @classmethod
    def of(cls, model: CompiledModel) -> "_Known":
        """Return the names of a model, collected once and kept with it."""
        if model not in _KNOWN:
            _KNOWN[model] = cls._collected(model)
        return _KNOWN[model]

    @classmethod
    def _collected(cls, model: CompiledModel) -> "_Known":
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
        species = {s.id: s for s in model.network.species}
        amounts = np.array([name in species for name in model.state_names], bool)
        amounts &= np.isfinite(model.y0) & (model.y0 >= 0)
        amounts.setflags(write=False)  # shared by all runs
        return cls(species, places, stated, amounts)


_KNOWN: WeakKeyDictionary[CompiledModel, _Known] = WeakKeyDictionary()


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
    if pool is not None and model.border.means_concentration(pool):
        return _concentration(model, known, name, species=bare, label=label)
    if pool is not None:
        return Output(name, model.border.amount_unit(pool), label), _row(place)
    if bare in model.rate_names:
        return Output(name, _rate_unit(model), f"rate of {bare}"), _row(place)
    return Output(name, _stated(model, known.units.get(bare)), label), _row(place)


def _rate_unit(model: CompiledModel) -> str:
    """Return the unit of a reaction's rate, "" where a file of ours leaves it open."""
    declared = model.network.units
    if declared.extent is not None and declared.time is not None:
        extent, time = map(units.parts_text, (declared.extent, declared.time))
        return f"{extent}/{time}"
    return UNDECLARED if model.border.is_guest else ""


def _row(
    place: tuple[Source, int],
    scale: float = 1.0,
    divisor: tuple[Source, int] = (Source.PARAM, -1),
) -> _Row:
    return (*place, *divisor, scale)


def _concentration(
    model: CompiledModel, known: _Known, name: str, *, species: str, label: str
) -> tuple[Output, _Row]:
    """Return a species over the size of its compartment, whatever that does."""
    pool = known.species.get(species)
    if pool is None:
        raise UnknownNameError("species", species, tuple(known.species))
    home = _home(model, pool)
    above, below = known.places[species], known.places[home.id]
    if model.border.is_guest:
        if home.id in _points(model):
            return Output(name, model.border.amount_unit(pool), label), _row(above)
        label = f"{label} concentration" if name.startswith("[") else label
        unit = concentration_unit(pool, home.unit)
        return Output(name, unit, label), _row(above, 1.0, below)
    per_size = units.picolitres(1.0, home.unit)
    if home.dimensions != 3.0:
        raise InputError(
            f"`{species}` is in compartment `{home.id}` of {home.dimensions:g} "
            f"dimensions, so it has no molar concentration; observe `{species}`."
        )
    if per_size is None:
        return Output(name, UNDECLARED, f"{label} concentration"), _row(
            above, 1.0, below
        )
    # 1 nM in 1 pL is 602.2 molecules; the size may change or be swept, so it divides.
    scale = 1.0 / (units.AVOGADRO * 1e-21 * per_size)
    return Output(name, "nM", f"{label} concentration"), _row(above, scale, below)


def _points(model: CompiledModel) -> set[str]:
    """Return the compartments without a size to divide by."""
    return {
        c.id
        for c in model.network.compartments
        if c.id not in {*model.param_names, *model.state_names, *model.assigned_names}
    }


def amounts_of(model: CompiledModel) -> BoolArray:
    """Return which states must not become negative, shape (n_state,)."""
    return _Known.of(model).amounts


def species_of(model: CompiledModel) -> Mapping[str, Species]:
    """Return the species of a model by id."""
    return _Known.of(model).species
