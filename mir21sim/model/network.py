"""Network: what every front end produces and the only thing that is compiled.

Frozen records without SymPy. Expressions are small trees of our own, so that text from
a file never reaches an evaluator.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mir21sim.errors import ModelError
from mir21sim.units import UnitParts


@dataclass(frozen=True, slots=True)
class Number:
    """A literal, with its unit where the file gives one."""

    value: float
    unit: UnitParts | None = None


@dataclass(frozen=True, slots=True)
class Symbol:
    """A reference by id to a species, parameter, compartment or reaction (its rate)."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """An operator or function of the table ``OPERATORS`` applied to its arguments."""

    op: str
    args: tuple["Expr", ...]


Expr: TypeAlias = Number | Symbol | Call
Count: TypeAlias = float | Expr
"""A stoichiometry: a plain number, or a formula that may change during a run."""

TIME = "time"
"""Operator without arguments that stands for the simulation time."""

RATE_OF = "rateOf"
"""Operator for the rate of change of the id that is its argument."""

INFIX = {"plus": " + ", "minus": " - ", "times": "*", "divide": "/", "power": "^"}
RELATIONS = {"eq": "==", "neq": "!=", "lt": "<", "leq": "<=", "gt": ">", "geq": ">="}
_NAMES = """
abs arccos arccosh arccot arccoth arccsc arccsch arcsec arcsech arcsin arcsinh arctan
arctanh ceiling cos cosh cot coth csc csch exp factorial floor ln log max min piecewise
quotient rem root sec sech sin sinh tan tanh
"""
FUNCTIONS = frozenset(_NAMES.split())
LOGIC = frozenset({"and", "or", "not", "xor", "implies", "true", "false"})
OPERATORS = (
    frozenset(INFIX) | frozenset(RELATIONS) | FUNCTIONS | LOGIC | {TIME, RATE_OF}
)


@dataclass(frozen=True, slots=True)
class Compartment:
    """A volume; ``size`` in the model's volume unit.

    A membrane has two ``dimensions``; what is on it has no molar concentration.
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
        """Return what one unit of extent changes: species → number or formula."""
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
    """What happens to a model at the moment at which a condition becomes true.

    The meaning is that of SBML L3V2 core, section 4.11.

    Attributes
    ----------
    id : of the event; one without a name in its file is ``event 3``
    trigger : a condition; the event fires when it goes from false to true
    delay : time from there to the execution; None: at once
    priority : of simultaneous events the highest is executed first, equal ones by lot;
        None: after those that have one, in the order in which they fired
    assignments : what the execution does, all of it together
    initial_value : what the trigger counts as before the start
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
        """Return the SHA-256 of what decides the kernels: everything but the values."""
        balanced = any(r.fast for r in self.reactions)
        parts = (
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
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def ids(self) -> tuple[str, ...]:
        """Return every id that a formula may use, in file order."""
        groups = (self.compartments, self.species, self.parameters)
        return tuple(item.id for group in groups for item in group)


def symbols(expr: Expr) -> Iterator[str]:
    """Yield the ids in an expression, left to right, with repetitions."""
    stack = [expr]
    while stack:
        node = stack.pop()
        if isinstance(node, Symbol):
            yield node.name
        elif isinstance(node, Call):
            stack.extend(reversed(node.args))


def uses_time(expr: Expr) -> bool:
    """Say whether the simulation time stands in an expression."""
    stack = [expr]
    while stack:
        node = stack.pop()
        if isinstance(node, Call):
            if node.op == TIME:
                return True
            stack.extend(node.args)
    return False


def depth(expr: Expr) -> int:
    """Return how many operations stand within each other at most, the leaf included."""
    deepest, level = 0, [expr]
    while level:
        deepest += 1
        level = [a for node in level if isinstance(node, Call) for a in node.args]
    return deepest


def size(expr: Expr, limit: int) -> int:
    """Return how many nodes an expression has, counted up to a limit."""
    count, stack = 0, [expr]
    while stack and count < limit:
        node = stack.pop()
        count += 1
        if isinstance(node, Call):
            stack.extend(node.args)
    return count


def substitute(expr: Expr, values: Mapping[str, Expr]) -> Expr:
    """Return the expression with some ids replaced by other expressions."""
    if isinstance(expr, Symbol):
        return values.get(expr.name, expr)
    if isinstance(expr, Call):
        return Call(expr.op, tuple(substitute(arg, values) for arg in expr.args))
    return expr


def text(expr: Expr) -> str:
    """Return an expression as a person would type it, for messages.

    Examples
    --------
    >>> text(Call("times", (Symbol("k"), Call("plus", (Symbol("A"), Number(1.0))))))
    'k*(A + 1)'
    """
    if isinstance(expr, Number):
        return f"{expr.value:g}"
    if isinstance(expr, Symbol):
        return expr.name
    if expr.op == TIME:
        return "time"
    if expr.op == "minus" and len(expr.args) == 1:
        return "-" + _inner(expr.args[0], "times")
    joiner = INFIX.get(expr.op) or RELATIONS.get(expr.op)
    if joiner is None:
        return f"{expr.op}({', '.join(text(arg) for arg in expr.args)})"
    return joiner.join(
        _inner(arg, expr.op, last=i > 0) for i, arg in enumerate(expr.args)
    )


_BINDS = {"plus": 1, "minus": 1, "times": 2, "divide": 2, "power": 3}


def _inner(arg: Expr, outer: str, last: bool = False) -> str:
    """Return an argument, in brackets where the outer operator binds closer."""
    shown = text(arg)
    if not isinstance(arg, Call) or arg.op not in _BINDS | dict.fromkeys(RELATIONS, 0):
        return shown
    inner, around = _BINDS.get(arg.op, 0), _BINDS.get(outer, 0)
    needs = inner < around or (last and inner == around and outer in _NOT_ASSOCIATIVE)
    return f"({shown})" if needs else shown


_NOT_ASSOCIATIVE = {"minus", "divide", "power"}


def order(
    definitions: Mapping[str, Iterable[str]], describe: Callable[[str], str]
) -> tuple[str, ...]:
    """Sort variables so that each stands after those it needs.

    Parameters
    ----------
    definitions : variable to the ids in its formula (others than keys are ignored)
    describe : what the definitions are, used in the message of a cycle

    Raises
    ------
    ModelError
        For a cycle, printed as ``a → b → a``.
    """
    needs = {k: [i for i in ids if i in definitions] for k, ids in definitions.items()}
    done: dict[str, bool] = {}
    result: list[str] = []
    for start in needs:
        stack = [(start, iter(needs[start]))] if start not in done else []
        done.setdefault(start, False)
        while stack:
            name, waiting = stack[-1]
            for other in waiting:
                if other not in done:
                    done[other] = False
                    stack.append((other, iter(needs[other])))
                    break
                if not done[other]:
                    path = [entry for entry, _ in stack]
                    cycle = [*path[path.index(other) :], other]
                    raise ModelError(describe(" → ".join(cycle)))
            else:
                stack.pop()
                done[name] = True
                result.append(name)
    return tuple(result)
