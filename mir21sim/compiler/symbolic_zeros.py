"""Which states at zero make a rate zero, whatever all others are.

A drug that is not given takes part in nothing: every rate that would make or use it has
a factor that is absent. Which factors those are is read off the formulas, once; who is
absent is decided when a run starts and at each of its stops (``solvers.moving``).
"""

import itertools
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import sympy

from mir21sim.compiler.symbolic import SymbolicSystem

Terms: TypeAlias = tuple[frozenset[int], ...]
"""A formula as a sum: for each term, the states any of which at zero makes it zero.

The formula is zero if every term is; a term that nothing makes zero is empty."""

MAX_TERMS = 64
"""A product of sums is multiplied out up to so many terms; beyond, factors are left out
of account, which finds fewer zeros, never false ones."""

_NEVER: Terms = (frozenset(),)


def zero_terms(system: SymbolicSystem) -> tuple[Terms, ...]:
    """Return the terms of every rate."""
    known: dict[Any, Terms] = {y: (frozenset((i,)),) for i, y in enumerate(system.y)}
    for symbol, expr in zip(system.a, system.assigned, strict=True):
        known[symbol] = _terms(expr, known)
    return tuple(_terms(rate, known) for rate in system.rates)


def _terms(expr: Any, known: dict[Any, Terms]) -> Terms:
    """Return the terms of an expression over symbols whose terms are known."""
    if expr.is_Symbol:
        return known.get(expr, _NEVER)
    if expr.is_Number and not expr:
        return ()
    for kind, combine in _KINDS.items():
        if isinstance(expr, kind):
            return combine(expr, known)
    return _NEVER


def _of_sum(expr: Any, known: dict[Any, Terms]) -> Terms:
    return _needed(itertools.chain(*(_terms(arg, known) for arg in expr.args)))


def _of_product(expr: Any, known: dict[Any, Terms]) -> Terms:
    factors = [_terms(arg, known) for arg in expr.args]
    product = _NEVER
    for factor in sorted(factors, key=len):
        if len(product) * len(factor) <= MAX_TERMS:
            product = _needed(a | b for a in product for b in factor)
    return product


def _of_power(expr: Any, known: dict[Any, Terms]) -> Terms:
    base, exponent = expr.args
    return _terms(base, known) if exponent.is_positive else _NEVER


def _of_pieces(expr: Any, known: dict[Any, Terms]) -> Terms:
    """Return the terms of all branches: whichever holds, it must be zero."""
    return _needed(itertools.chain(*(_terms(v, known) for v, _ in expr.args)))


_KINDS: dict[Any, Callable[[Any, dict[Any, Terms]], Terms]] = {
    sympy.Add: _of_sum,
    sympy.Mul: _of_product,
    sympy.Pow: _of_power,
    sympy.Piecewise: _of_pieces,
}


def _needed(terms: Iterable[frozenset[int]]) -> Terms:
    """Return terms without those that are zero whenever another one is."""
    kept: list[frozenset[int]] = []
    for term in sorted(set(terms), key=lambda term: (len(term), sorted(term))):
        if not any(other <= term for other in kept):
            kept.append(term)
    return tuple(kept)
