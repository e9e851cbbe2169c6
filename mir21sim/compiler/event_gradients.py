"""Derivatives of what events compute: assigned values, delays, moments of relations.

These formulas are evaluated once a moment and not once a step, so their derivatives are
taken on expression trees and evaluated without compiled code.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import sympy

from mir21sim._typing import FloatArray
from mir21sim.compiler import symbolic, symbolic_events
from mir21sim.compiler.equations import equations
from mir21sim.compiler.lane_derivatives import Leaf, Tree, partials
from mir21sim.compiler.lane_programs import Planner
from mir21sim.compiler.tree_values import tree_value
from mir21sim.model.network import Network

Slopes: TypeAlias = dict[Leaf, float]
"""Derivatives by ("t", 0), by ("y", state) and by ("p", parameter), without zeros."""


@dataclass(frozen=True, slots=True, eq=False)
class Formula:
    """A formula and its direct derivatives by the rows that it reads."""

    tree: Tree
    slopes: Mapping[Leaf, Tree]

    @classmethod
    def of(cls, tree: Tree) -> "Formula":
        """Derive a tree."""
        return cls(tree, partials(tree))


@dataclass(frozen=True, slots=True, eq=False)
class EventGradients:
    """Formulas of the events of a network; orders as in ``SymbolicEvents``.

    Attributes
    ----------
    rules : the assigned variables, in an order of evaluation
    values, sizes : per event, one for each of its assignments
    delays : per event
    moments : per relation, the times at which it may turn, with its kinds apart
    """

    rules: tuple[Formula, ...]
    values: tuple[tuple[Formula, ...], ...]
    sizes: tuple[tuple[Formula, ...], ...]
    delays: tuple[Formula, ...]
    moments: tuple[tuple[Formula, ...], ...]

    def evaluated(
        self, formula: Formula, t: float, y: FloatArray, p: FloatArray
    ) -> tuple[float, Slopes]:
        """Return the value of a formula and its total derivatives.

        Parameters
        ----------
        y, p : float arrays, shapes (n_state,) and (n_param,)
        """
        rows = {"t": np.array([t]), "y": y, "p": p, "a": np.zeros(len(self.rules))}
        with np.errstate(all="ignore"):
            return self._value(formula, rows, {})

    def _value(
        self, formula: Formula, rows: dict[str, FloatArray], known: dict[int, Slopes]
    ) -> tuple[float, Slopes]:
        """Return value and slopes; `known` has those of the rules that were needed."""
        for kind, row in _rules_within(formula.tree):
            if row not in known:
                rows[kind][row], known[row] = self._value(self.rules[row], rows, known)
        found: Slopes = {}
        for leaf, slope in formula.slopes.items():
            own = float(tree_value(slope, rows))
            inner = known[leaf[1]] if leaf[0] == "a" else {leaf: 1.0}
            for source, change in inner.items():
                found[source] = found.get(source, 0.0) + own * change
        return float(tree_value(formula.tree, rows)), found


def _rules_within(tree: Tree) -> list[Leaf]:
    """Return the rule variables that a tree reads, conditions included."""
    if tree[0] == "a":
        return [tree]
    parts = (part for part in tree[1:] if isinstance(part, tuple))
    return list(dict.fromkeys(leaf for part in parts for leaf in _rules_within(part)))


@dataclass(frozen=True, slots=True)
class _Structure:
    """A network by the name of its kernels, which decides its formulas."""

    name: str
    network: Network = field(compare=False)


def event_gradients(network: Network, name: str) -> EventGradients:
    """Return the derivatives of the events of a network.

    Parameters
    ----------
    name : ``cache.key(network)``

    Raises
    ------
    CodegenError
        For a function without a derivative here.
    """
    return _made(_Structure(name, network))


@lru_cache(maxsize=16)
def _made(structure: _Structure) -> EventGradients:
    network = structure.network
    with symbolic.as_written(network):
        system = symbolic.build(network)
        events = symbolic_events.build(equations(network), system)
    planner = Planner(system, frozenset(s.id for s in network.species))

    def formulas(expressions: Iterable[Any]) -> tuple[Formula, ...]:
        return tuple(Formula.of(planner.tree(e)) for e in expressions)

    def moments(relation: int) -> tuple[Formula, ...]:
        one = events.moments[relation]
        if one is not sympy.nan:
            return formulas([one])
        if not events.timed[relation]:
            return ()
        pieces = [zero for k, zero in events.pieces if k == relation]
        return formulas([*pieces, *events.jumps])

    return EventGradients(
        rules=formulas(system.assigned),
        values=tuple(map(formulas, events.values)),
        sizes=tuple(map(formulas, events.sizes)),
        delays=formulas(events.delays),
        moments=tuple(map(moments, range(len(events.roots)))),
    )
