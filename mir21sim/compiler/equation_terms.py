"""The equations of a model as a record, and how its formulas are combined. No SymPy."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mir21sim.model import expressions as ex
from mir21sim.model.network import Event

CHAIN = "chain"
"""Operator for a total derivative by time: (expr, x, dx/dt, z, dz/dt, …)."""

ROOT = "solution for "
"""Begin of the names of parameters that the solver gives the value of an unknown."""

EXTENT = "extent of "
"""Begin of the names of extents of fast reactions."""


@dataclass(frozen=True, slots=True, eq=False)
class Rate:
    """One term of the right-hand side: a reaction's rate, or a share of a slope."""

    name: str
    math: ex.Expr


@dataclass(frozen=True, slots=True, eq=False)
class Equations:
    """A model as differential and explicit equations.

    Attributes
    ----------
    states : ids with a differential equation; species are amounts
    params : ids that keep their value during a run
    defined : id → formula at all times, in an order of evaluation; besides rule
        variables, reaction ids that formulas use and slopes, called ``d x/dt``
    rates : v; the reactions first
    stoichiometry : {(state, rate): coefficient}: dy/dt = N·v
    starts : id → formula at the start, in an order of evaluation; defined ids that they
        need stand among them
    events : as in the network, with formulas over stored quantities; an assigned value
        has the meaning that its variable has in formulas
    homes : species whose id means a concentration → compartment
    roots : parameter → defined id: the solver gives the parameter the value at which
        the defined quantity is zero
    extents : parameter → fast reaction: the solver lets the reaction go on, its extent
        being the parameter, until its rate is zero
    pools : state → defined id of the amount with the fast reactions
    """

    states: tuple[str, ...]
    params: tuple[str, ...]
    defined: Mapping[str, ex.Expr]
    rates: tuple[Rate, ...]
    stoichiometry: Mapping[tuple[int, int], float]
    starts: Mapping[str, ex.Expr]
    events: tuple[Event, ...]
    homes: Mapping[str, str]
    roots: Mapping[str, str] = field(default_factory=dict)
    extents: Mapping[str, str] = field(default_factory=dict)
    pools: Mapping[str, str] = field(default_factory=dict)

    def needs(self, names: Iterable[str]) -> set[str]:
        """Return the stored quantities that some ids or rates depend on, themselves."""
        formulas = {r.name: r.math for r in self.rates} | dict(self.defined)
        return closure(names, formulas)


def slow_part(name: str) -> str:
    """Return the name of the amount without the fast reactions."""
    return f"{name} without fast reactions"


def extent_of(reaction: str) -> str:
    """Return the name of the extent of a fast reaction."""
    return f"{EXTENT}{reaction}"


ZERO, ONE = ex.Number(0.0), ex.Number(1.0)


def added(terms: list[ex.Expr]) -> ex.Expr:
    """Return a sum without zeros; of numbers, a number."""
    constant = sum(t.value for t in terms if isinstance(t, ex.Number))
    others = [t for t in terms if not isinstance(t, ex.Number)]
    if not others:
        return ex.Number(constant)
    if constant:
        return ex.Call("plus", (*others, ex.Number(constant)))
    return others[0] if len(others) == 1 else ex.Call("plus", tuple(others))


def multiplied(a: ex.Expr, b: ex.Expr) -> ex.Expr:
    """Return a product without ones; with a zero, zero."""
    if ZERO in (a, b):
        return ZERO
    if ONE in (a, b):
        return b if a == ONE else a
    return ex.Call("times", (a, b))


def closure(names: Iterable[str], formulas: Mapping[str, ex.Expr]) -> set[str]:
    """Return names and all that their formulas use, directly or not."""
    waiting, seen = list(names), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            if name in formulas:
                waiting.extend(ex.symbols(formulas[name]))
    return seen
