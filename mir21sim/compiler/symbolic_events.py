"""Network → SymbolicEvents: triggers as conditions over root functions.

A condition is a combination of relations, and a relation changes its truth where its
root function, left side minus right side, passes through zero. The solver watches the
root functions; the conditions are evaluated from the truths alone. Relations that stand
in rates or rules make a right-hand side jump; of these the ones that depend on time,
and pairs that bound a window of a state, are watched as well, as a pulse may be shorter
than a step.
"""

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import sympy

from mir21sim.compiler.equation_terms import EXTENT, ROOT, Equations
from mir21sim.compiler.kernels import RELATIONS
from mir21sim.compiler.symbolic import (
    Ceiling,
    Floor,
    Quotient,
    SymbolicSystem,
    Translator,
    truth,
)
from mir21sim.model import delays
from mir21sim.model import expressions as ex
from mir21sim.model.network import Event

FILLED = (delays.PREFIX, ROOT, EXTENT)
"""Begins of the names of parameters that the solver fills while time goes on."""

_MOST_PIECES = 64
"""Pieces of a root function that are looked at one by one."""


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
    timed : whether it is known when each relation may turn: of ``moments``, or of
        ``pieces`` and ``jumps``
    pieces : (relation, time at which a piece of its root function is zero), where it is
        linear in time between jumps; a piece holds until the next jump
    jumps : the next times after ``t`` at which such root functions jump
    from_left : whether the value at a jump is that before it, as of a ceiling
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
    timed: tuple[bool, ...]
    pieces: tuple[tuple[int, Any], ...]
    jumps: tuple[Any, ...]
    from_left: tuple[bool, ...]
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
    moments = tuple(_moment(relation, system, filled) for relation in relations)
    cut = [
        _linear_pieces(relation, system, filled) if moment is sympy.nan else None
        for relation, moment in zip(relations, moments, strict=True)
    ]
    return SymbolicEvents(
        records=model.events,
        roots=tuple(relation.lhs - relation.rhs for relation in relations),
        kinds=tuple(RELATIONS.index(relation.rel_op) for relation in relations),
        moments=moments,
        timed=tuple(
            moment is not sympy.nan or pieces is not None
            for moment, pieces in zip(moments, cut, strict=True)
        ),
        pieces=tuple((k, z) for k, found in enumerate(cut) if found for z in found[0]),
        jumps=tuple(dict.fromkeys(j for found in cut if found for j in found[1])),
        from_left=tuple(_from_left(relation, system) for relation in relations),
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


def _linear_pieces(
    relation: Any, system: SymbolicSystem, filled: set[Any]
) -> tuple[list[Any], list[Any]] | None:
    """Return when the pieces of a root function are zero, and when it jumps next.

    ``time - 12*floor(time/12)`` is linear between the times at which time/12 is whole.
    Conditions of pieces count as pieces, as the root function may jump at their zeros.

    Returns
    -------
    (zeros, jumps), or None where the root function has pieces that are not linear in
    time, or depends on a state
    """
    root, t = _root(relation, system), system.t
    if t not in root.free_symbols or root.free_symbols & {*system.y, *filled}:
        return None
    steps: dict[Any, Any] = {}
    zeros: dict[Any, None] = {}
    try:
        for piece in _pieces(root, t, steps):
            slope = _slope(piece, t)
            if slope != 0:
                zeros[-piece.xreplace({t: sympy.Integer(0)}) / slope] = None
        jumps = [_next_whole(argument, t) for argument in _arguments(steps)]
    except _NotLinearError:
        return None
    # Steps within steps are put back from the outermost to the innermost.
    for symbol, step in reversed(steps.items()):
        zeros = dict.fromkeys(zero.xreplace({symbol: step}) for zero in zeros)
        jumps = [jump.xreplace({symbol: step}) for jump in jumps]
    return list(zeros), list(dict.fromkeys(jumps))


def _from_left(relation: Any, system: SymbolicSystem) -> bool:
    """Say whether a root function jumps by ceilings of rising arguments alone."""
    root = _root(relation, system)
    return root.has(Ceiling) and not root.has(Floor, Quotient)


class _NotLinearError(Exception):
    """A piece of a root function that is not linear in time."""


def _pieces(expr: Any, t: Any, steps: dict[Any, Any]) -> list[Any]:
    """Return the pieces of an expression without the steps, which are put in a dict.

    Parameters
    ----------
    steps : symbol → floor, ceiling or quotient that it stands for; added to
    """
    if t not in expr.free_symbols:
        return [expr]
    if isinstance(expr, sympy.Piecewise):
        found = [piece for value, _ in expr.args for piece in _pieces(value, t, steps)]
        for _, condition in expr.args:
            for inner in _within([condition]):
                found += _pieces(inner.lhs - inner.rhs, t, steps)
        return found
    combined = [_pieces(arg, t, steps) for arg in expr.args] or [[expr]]
    if math.prod(map(len, combined)) > _MOST_PIECES:
        raise _NotLinearError
    whole = isinstance(expr, Floor | Ceiling | Quotient)
    found = []
    for args in itertools.product(*combined):
        made = expr.func(*args) if expr.args else expr
        if whole and t in made.free_symbols:
            known = {step: symbol for symbol, step in steps.items()}
            symbol = known.get(made, sympy.Dummy("step"))
            steps[symbol] = made
            made = symbol
        found.append(made)
    return found


def _slope(piece: Any, t: Any) -> Any:
    """Return the slope of a piece that is linear in time."""
    if not piece.is_polynomial(t):
        raise _NotLinearError
    slope = sympy.diff(piece, t)
    if t in slope.free_symbols:
        slope = sympy.expand(slope)
    if t in slope.free_symbols:
        raise _NotLinearError
    return slope


def _arguments(steps: dict[Any, Any]) -> list[Any]:
    """Return the expressions of which steps take the whole part."""
    return [
        step.args[0] / step.args[1] if isinstance(step, Quotient) else step.args[0]
        for step in steps.values()
    ]


def _next_whole(argument: Any, t: Any) -> Any:
    """Return the first time after t at which a function linear in time is whole."""
    slope, offset = _slope(argument, t), argument.xreplace({t: sympy.Integer(0)})
    if not slope.free_symbols and slope.is_negative:
        return (Ceiling(argument) - 1 - offset) / slope
    up = (Floor(argument) + 1 - offset) / slope
    if not slope.free_symbols:
        return up
    down = (Ceiling(argument) - 1 - offset) / slope
    return sympy.Piecewise((up, slope > 0), (down, True))
