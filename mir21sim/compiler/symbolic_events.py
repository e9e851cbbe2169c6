"""Network → SymbolicEvents: triggers as conditions over root functions.

A condition is a combination of relations, and a relation changes its truth where its
root function, left side minus right side, passes through zero. The solver watches the
root functions; the conditions are evaluated from the truths alone. Relations that stand
in rates or rules make a right-hand side jump; of these the ones that depend on time,
and pairs that bound a window of a state, are watched as well, as a pulse may be shorter
than a step.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import sympy

from mir21sim.compiler.equation_terms import EXTENT, ROOT, Equations
from mir21sim.compiler.kernels import RELATIONS
from mir21sim.compiler.symbolic import SymbolicSystem, Translator, truth
from mir21sim.model import delays
from mir21sim.model import expressions as ex
from mir21sim.model.network import Event

FILLED = (delays.PREFIX, ROOT, EXTENT)
"""Begins of the names of parameters that the solver fills while time goes on."""


@dataclass(frozen=True, slots=True, eq=False)
class SymbolicEvents:
    """The events of a network as SymPy expressions over the symbols of its system.

    Attributes
    ----------
    records : the events as the network has them; the other tuples follow their order
    roots : root functions of the relations
    kinds : indices into ``RELATIONS``
    moments : the time at which each relation's root function is zero where it is
        linear in time and free of states, NaN for all others
    moving : whether a root function changes while no event does anything
    users : number of the first event whose trigger has the relation, -1 for none
    r : the symbols that stand for the truths of the relations
    triggers : conditions over ``r``
    delays, priorities : 0 where an event has none
    targets : per event, ("y" or "p", index) of every assignment
    values : per event, the assigned values, in the meaning of variables in formulas
    sizes : per event, factors that make values amounts; 1 where it is no concentration
    """

    records: tuple[Event, ...]
    roots: tuple[Any, ...]
    kinds: tuple[int, ...]
    moments: tuple[Any, ...]
    moving: tuple[bool, ...]
    users: tuple[int, ...]
    r: tuple[Any, ...]
    triggers: tuple[Any, ...]
    delays: tuple[Any, ...]
    priorities: tuple[Any, ...]
    targets: tuple[tuple[tuple[str, int], ...], ...]
    values: tuple[tuple[Any, ...], ...]
    sizes: tuple[tuple[Any, ...], ...]


def build(model: Equations, system: SymbolicSystem) -> SymbolicEvents:
    """Return the events of a model, over the symbols of its system."""
    translator = Translator(model)
    value = translator.value
    conditions = [truth(translator.translate(e.trigger)) for e in model.events]
    users: dict[Any, int] = {}
    for number, condition in enumerate(conditions):
        for relation in _outermost(condition):
            users.setdefault(relation, number)
    hidden = [*system.rates, *system.assigned, *(s for u in users for s in u.args)]
    within = [relation for relation in _within(hidden) if relation not in users]
    windows = _window_edges(within, system)
    for relation in within:
        timed = system.t in _root(relation, system).free_symbols
        if timed or relation in windows:
            users[relation] = -1
    relations = tuple(users)
    named = zip(system.p, system.param_names, strict=True)
    filled = {symbol for symbol, name in named if name.startswith(FILLED)}
    changing = {system.t, *system.y, *filled}
    r = tuple(sympy.Symbol(f"r{k}") for k in range(len(relations)))
    truths = dict(zip(relations, r, strict=True))
    return SymbolicEvents(
        records=model.events,
        roots=tuple(relation.lhs - relation.rhs for relation in relations),
        kinds=tuple(RELATIONS.index(relation.rel_op) for relation in relations),
        moments=tuple(_moment(relation, system, filled) for relation in relations),
        moving=tuple(
            bool(_root(relation, system).free_symbols & changing)
            for relation in relations
        ),
        users=tuple(users.values()),
        r=r,
        triggers=tuple(c.xreplace(truths) for c in conditions),
        delays=tuple(_optional(e.delay, value) for e in model.events),
        priorities=tuple(_optional(e.priority, value) for e in model.events),
        targets=tuple(
            tuple(_target(a.variable, system) for a in e.assignments)
            for e in model.events
        ),
        values=tuple(tuple(value(a.math) for a in e.assignments) for e in model.events),
        sizes=tuple(
            tuple(_size(a.variable, model, translator) for a in e.assignments)
            for e in model.events
        ),
    )


def _optional(expr: ex.Expr | None, value: Callable[[ex.Expr], Any]) -> Any:
    return sympy.Integer(0) if expr is None else value(expr)


def _size(variable: str, model: Equations, translator: Translator) -> Any:
    """Return the factor that makes an amount of the value of a variable."""
    home = model.homes.get(variable)
    return sympy.Integer(1) if home is None else translator.symbols[home]


def _target(variable: str, system: SymbolicSystem) -> tuple[str, int]:
    """Return where the value of a variable is kept: among states or parameters."""
    if variable in system.state_names:
        return "y", system.state_names.index(variable)
    return "p", system.param_names.index(variable)


def _outermost(condition: Any) -> list[Any]:
    """Return the relations that a condition combines, without those inside them."""
    if getattr(condition, "is_Relational", False):
        return [condition]
    found = [relation for arg in condition.args for relation in _outermost(arg)]
    return sorted(found, key=lambda relation: relation.sort_key())


def _within(expressions: Iterable[Any]) -> list[Any]:
    """Return all relations anywhere in expressions, in a fixed order."""
    found = {r for e in expressions for r in e.atoms(sympy.core.relational.Relational)}
    return sorted(found, key=lambda relation: relation.sort_key())


def _window_edges(relations: Iterable[Any], system: SymbolicSystem) -> set[Any]:
    """Return the relations on states that may be the two edges of one window.

    ``clock > 500 && clock < 500.5`` is true for less than a step: a method would pass
    over it. One threshold alone stays crossed, so the error test of a step sees it.
    Edges of one window have root functions that differ by terms without a state.
    """
    states = set(system.y)
    groups: dict[Any, list[Any]] = {}
    for relation in relations:
        root = _root(relation, system)
        if not root.free_symbols & states:
            continue
        moving = sympy.expand(root).as_independent(*states, as_Add=True)[1]
        sign = -1 if moving.could_extract_minus_sign() else 1
        groups.setdefault(sign * moving, []).append(relation)
    return {r for group in groups.values() if len(group) > 1 for r in group}


def _root(relation: Any, system: SymbolicSystem) -> Any:
    """Return a root function with the assigned variables written out."""
    root = relation.lhs - relation.rhs
    for symbol, expr in reversed(list(zip(system.a, system.assigned, strict=True))):
        if symbol in root.free_symbols:
            root = root.xreplace({symbol: expr})
    return root


def _moment(relation: Any, system: SymbolicSystem, filled: set[Any]) -> Any:
    """Return the time at which a relation turns where it is a + b·t, else NaN."""
    root, t = _root(relation, system), system.t
    if t not in root.free_symbols or root.free_symbols & {*system.y, *filled}:
        return sympy.nan
    if not root.is_polynomial(t) or sympy.degree(root, t) != 1:
        return sympy.nan
    return -root.xreplace({t: sympy.Integer(0)}) / sympy.diff(root, t)
