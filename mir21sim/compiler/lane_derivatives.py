"""Exact derivatives of lane programs: forward mode on expression trees.

A tree is a nested tuple as ``lane_programs`` makes them; its leaves are rows of arrays,
``("y", 3)``. The derivative of a tree is a tree again, with None for an exact zero, so
that no instruction is spent on it. Piecewise constant functions have the derivative
zero, and conditions are taken as fixed: where a condition depends on time the step ends
at the change, so that a step never contains one.
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from mir21sim.errors import CodegenError

Tree: TypeAlias = Any
Leaf: TypeAlias = tuple[str, int]
Seeds: TypeAlias = Callable[[Leaf], Tree | None]
"""The derivative of a leaf, None for zero."""

ZERO: Tree = ("c", 0.0)
ONE: Tree = ("c", 1.0)
LEAVES = frozenset({"t", "y", "p", "a"})
"""Arrays that a rate or a rule reads."""
_CONSTANT = frozenset({"floor", "ceil", "trunc"})


def total(parts: list[Tree]) -> Tree | None:
    """Return the sum of trees; None where there are none."""
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else ("+", *parts)


def product(*factors: Tree) -> Tree:
    """Return the product of trees without factors of one."""
    kept = [factor for factor in factors if factor != ONE]
    if not kept:
        return ONE
    return kept[0] if len(kept) == 1 else ("*", *kept)


def leaves(tree: Tree) -> set[Leaf]:
    """Return the rows that a tree reads."""
    if tree[0] in LEAVES:
        return {tree}
    found: set[Leaf] = set()
    for part in tree[1:]:
        if isinstance(part, tuple):
            found |= leaves(part)
    return found


def partials(tree: Tree) -> dict[Leaf, Tree]:
    """Return the derivative of a tree by each row that it reads, without zeros."""
    found = {}
    for leaf in sorted(leaves(tree)):
        derivative = directional(tree, {leaf: ONE}.get)
        if derivative is not None:
            found[leaf] = derivative
    return found


def directional(tree: Tree, seeds: Seeds) -> Tree | None:
    """Return the derivative of a tree along the direction that `seeds` gives.

    Raises
    ------
    CodegenError
        For an operation without a derivative here.
    """
    op = tree[0]
    if op == "c" or op in _CONSTANT:
        return None
    if op in LEAVES:
        return seeds(tree)
    rule = _RULES.get(op)
    if rule is not None:
        return rule(tree, seeds)
    outer = _OUTER.get(op)
    if outer is None:
        raise CodegenError(f"The operation `{op}` has no derivative in vector code.")
    inner = directional(tree[1], seeds)
    return None if inner is None else outer(tree, inner)


def _sum(tree: Tree, seeds: Seeds) -> Tree | None:
    return total([d for x in tree[1:] if (d := directional(x, seeds)) is not None])


def _product(tree: Tree, seeds: Seeds) -> Tree | None:
    parts = []
    for i, factor in enumerate(tree[1:], start=1):
        derivative = directional(factor, seeds)
        if derivative is not None:
            parts.append(product(*tree[1:i], *tree[i + 1 :], derivative))
    return total(parts)


def _difference(tree: Tree, seeds: Seeds) -> Tree | None:
    plus, minus = directional(tree[1], seeds), directional(tree[2], seeds)
    if minus is None:
        return plus
    return ("neg", minus) if plus is None else ("-", plus, minus)


def _quotient(tree: Tree, seeds: Seeds) -> Tree | None:
    above, below = directional(tree[1], seeds), directional(tree[2], seeds)
    if below is None:
        return None if above is None else ("/", above, tree[2])
    change = product(tree, below)
    rest = ("neg", change) if above is None else ("-", above, change)
    return ("/", rest, tree[2])


def _power(tree: Tree, seeds: Seeds) -> Tree | None:
    base, exponent = tree[1], tree[2]
    parts = []
    inner = directional(base, seeds)
    if inner is not None:
        lower = ("c", exponent[1] - 1.0) if exponent[0] == "c" else ("-", exponent, ONE)
        parts.append(product(exponent, ("pow", base, lower), inner))
    outer = directional(exponent, seeds)
    if outer is not None:
        # 0**n has no slope in n, but log(0) is not finite.
        change = product(tree, ("log", base), outer)
        parts.append(("select", ("<=", base, ZERO), ZERO, change))
    return total(parts)


def _select(tree: Tree, seeds: Seeds) -> Tree | None:
    yes, no = directional(tree[2], seeds), directional(tree[3], seeds)
    if yes is None and no is None:
        return None
    return ("select", tree[1], ZERO if yes is None else yes, ZERO if no is None else no)


def _max0(tree: Tree, seeds: Seeds) -> Tree | None:
    inner = directional(tree[1], seeds)
    return None if inner is None else ("select", ("<", tree[1], ZERO), ZERO, inner)


_RULES: dict[str, Callable[[Tree, Seeds], Tree | None]] = {
    "+": _sum,
    "*": _product,
    "-": _difference,
    "/": _quotient,
    "pow": _power,
    "select": _select,
    "max0": _max0,
}


def _square(tree: Tree) -> Tree:
    return ("*", tree, tree)


def _over(divisor: Callable[[Tree], Tree]) -> Callable[[Tree, Tree], Tree]:
    """Return the rule d f(x) = dx / divisor(x)."""
    return lambda tree, inner: ("/", inner, divisor(tree[1]))


_OUTER: dict[str, Callable[[Tree, Tree], Tree]] = {
    "neg": lambda _, d: ("neg", d),
    "exp": product,
    "log": lambda tree, d: ("/", d, tree[1]),
    "log10": lambda tree, d: ("/", d, ("*", ("c", math.log(10.0)), tree[1])),
    "sqrt": lambda tree, d: ("/", d, ("*", ("c", 2.0), tree)),
    "fabs": lambda tree, d: ("select", ("<", tree[1], ZERO), ("neg", d), d),
    "sin": lambda tree, d: product(("cos", tree[1]), d),
    "cos": lambda tree, d: ("neg", product(("sin", tree[1]), d)),
    "tan": lambda tree, d: product(("+", ONE, _square(tree)), d),
    "asin": _over(lambda x: ("sqrt", ("-", ONE, _square(x)))),
    "acos": lambda tree, d: (
        "neg",
        ("/", d, ("sqrt", ("-", ONE, _square(tree[1])))),
    ),
    "atan": _over(lambda x: ("+", ONE, _square(x))),
    "sinh": lambda tree, d: product(("cosh", tree[1]), d),
    "cosh": lambda tree, d: product(("sinh", tree[1]), d),
    "tanh": lambda tree, d: product(("-", ONE, _square(tree)), d),
    "asinh": _over(lambda x: ("sqrt", ("+", _square(x), ONE))),
    "acosh": _over(lambda x: ("sqrt", ("-", _square(x), ONE))),
    "atanh": _over(lambda x: ("-", ONE, _square(x))),
}
