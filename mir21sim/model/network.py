"""Network: the record that every front end produces and that is compiled.

Frozen records without SymPy. Expressions are small trees of our own, so that text from
a file never reaches an evaluator.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mir21sim.model.expressions import Call, Expr, Number
from mir21sim.units import UnitParts

Count: TypeAlias = float | Expr
"""A stoichiometry: a plain number, or a formula that may change during a run."""


@dataclass(frozen=True, slots=True)
class Compartment:
    """A volume; ``size`` in the model's volume unit.

    A membrane has two ``dimensions``; species on it have no molar concentration.
    """

    id: str
    size: float | None
    unit: UnitParts | None = None
    constant: bool = True
    name: str = ""
    dimensions: float = 3.0


@dataclass(frozen=True, slots=True)
class Species:
    """A pool of molecules in a compartment.

    ``initial`` is an amount, or a concentration where ``initial_is_concentration``. In
    formulas the id means the amount where ``only_amount`` (SBML's
    ``hasOnlySubstanceUnits``), the concentration otherwise. ``boundary`` species are
    not changed by reactions. ``conversion`` is the id of the parameter that turns
    extents of reactions into amounts of this species, "" for none.
    """

    id: str
    compartment: str
    initial: float | None
    initial_is_concentration: bool = False
    only_amount: bool = True
    boundary: bool = False
    constant: bool = False
    unit: UnitParts | None = None
    name: str = ""
    sbo: str = ""
    identity: str = ""
    conversion: str = ""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number with a unit.

    Ids of local parameters read ``reaction.parameter``. A stoichiometry that has an id
    is a parameter too.
    """

    id: str
    value: float | None
    unit: UnitParts | None = None
    constant: bool = True
    name: str = ""


@dataclass(frozen=True, slots=True)
class Reaction:
    """A process; ``reactants`` and ``products`` are (species, stoichiometry) pairs.

    One that is ``fast`` is at its equilibrium at all times: its rate is zero.
    """

    id: str
    reactants: tuple[tuple[str, Count], ...]
    products: tuple[tuple[str, Count], ...]
    modifiers: tuple[str, ...]
    rate: Expr
    reversible: bool = False
    name: str = ""
    sbo: str = ""
    fast: bool = False

    def changes(self) -> Iterator[tuple[str, Expr]]:
        """Yield (species, signed stoichiometry) of every reactant and product."""
        for sign, side in ((-1.0, self.reactants), (1.0, self.products)):
            for name, count in side:
                if isinstance(count, float):
                    yield name, Number(sign * count)
                else:
                    yield name, count if sign > 0 else Call("minus", (count,))

    def net(self) -> dict[str, Count]:
        """Return the changes by one unit of extent: species → number or formula."""
        sums: dict[str, Count] = {}
        for name, count in self.changes():
            change: Count = count.value if isinstance(count, Number) else count
            if name in sums:
                change = _added(sums[name], change)
            sums[name] = change
        return sums

    def formulas(self) -> Iterator[Expr]:
        """Yield the rate and every stoichiometry that is a formula."""
        yield self.rate
        for _, count in (*self.reactants, *self.products):
            if not isinstance(count, float):
                yield count


def _added(a: Count, b: Count) -> Count:
    if isinstance(a, float) and isinstance(b, float):
        return a + b
    return Call("plus", tuple(Number(x) if isinstance(x, float) else x for x in (a, b)))


@dataclass(frozen=True, slots=True)
class Rule:
    """``variable := math`` at all times, or ``d variable/dt = math``."""

    kind: Literal["assignment", "rate"]
    variable: str
    math: Expr


@dataclass(frozen=True, slots=True)
class InitialAssignment:
    """``variable = math`` at the start of a run, before any rule acts."""

    variable: str
    math: Expr


@dataclass(frozen=True, slots=True)
class Assignment:
    """``variable = math`` when an event is executed."""

    variable: str
    math: Expr


@dataclass(frozen=True, slots=True)
class Event:
    """Changes of a model at the moment at which a condition becomes true.

    The meaning is that of SBML L3V2 core, section 4.11.

    Attributes
    ----------
    id : of the event; one without a name in its file is ``event 3``
    trigger : a condition; the event fires when it goes from false to true
    delay : time from there to the execution; None: at once
    priority : of simultaneous events the highest is executed first, equal ones by lot;
        None: after those that have one, in the order in which they fired
    assignments : the changes by the execution, all of it together
    initial_value : the value of the trigger before the start
    persistent : executed even where the trigger is false again by then
    values_from_trigger_time : assigned values are those of the moment of firing
    """

    id: str
    trigger: Expr
    delay: Expr | None = None
    priority: Expr | None = None
    assignments: tuple[Assignment, ...] = ()
    initial_value: bool = True
    persistent: bool = True
    values_from_trigger_time: bool = True
    name: str = ""


@dataclass(frozen=True, slots=True)
class ModelUnits:
    """The units that the model measures in; None where the file does not say."""

    time: UnitParts | None = None
    substance: UnitParts | None = None
    volume: UnitParts | None = None
    extent: UnitParts | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """A reaction network as its author wrote it, checked only for being well formed."""

    id: str
    name: str
    compartments: tuple[Compartment, ...]
    species: tuple[Species, ...]
    parameters: tuple[Parameter, ...]
    reactions: tuple[Reaction, ...]
    rules: tuple[Rule, ...]
    initial_assignments: tuple[InitialAssignment, ...]
    units: ModelUnits
    algebraic: tuple[Expr, ...] = ()  # each is zero at all times
    events: tuple[Event, ...] = ()

    def digest(self) -> str:
        """Return the SHA-256 of all that can change a number of a simulation."""
        return hashlib.sha256(repr(self).encode()).hexdigest()

    def structure_digest(self) -> str:
        """Return the SHA-256 of everything in the kernels: all but the values."""
        balanced = any(r.fast for r in self.reactions)
        parts: tuple[object, ...] = (
            [(c.id, c.constant, c.unit, c.dimensions) for c in self.compartments],
            [
                (
                    s.id,
                    s.compartment,
                    # It stands in a formula: times a volume, or before a balance.
                    s.initial if s.initial_is_concentration or balanced else None,
                    s.initial_is_concentration,
                    s.only_amount,
                    s.boundary,
                    s.constant,
                    s.unit,
                    s.conversion,
                )
                for s in self.species
            ],
            [(p.id, p.unit, p.constant) for p in self.parameters],
            [(r.id, r.reactants, r.products, r.rate, r.fast) for r in self.reactions],
            self.rules,
            self.initial_assignments,
            self.units,
            self.algebraic,
            self.events,
        )
        if self.algebraic:  # the start of an unknown says which solution is meant
            parts += (
                [c.size for c in self.compartments if not c.constant],
                [p.value for p in self.parameters if not p.constant],
                [s.initial for s in self.species],
            )
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def ids(self) -> tuple[str, ...]:
        """Return every id that a formula may use, in file order."""
        groups = (self.compartments, self.species, self.parameters)
        return tuple(item.id for group in groups for item in group)
