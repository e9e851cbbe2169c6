"""SymbolicSystem → programs over rows of eight lanes, for the batch solver.

Rates, the matrix W = I/(hγ) − J, its static LU factors and the triangular solves are
straight-line statements; ``solvers.vector`` turns them into vector instructions. The
elimination order is chosen once per model (Markowitz 1957, doi:10.1287/mnsc.3.3.255) on
the pattern of W, whose diagonal is never structurally zero, so nothing is pivoted.
"""

import heapq
import itertools
from dataclasses import dataclass
from typing import Any

import sympy

from mir21sim.compiler import llvm_loops
from mir21sim.compiler.llvm_lanes import CALLS, Statement, text
from mir21sim.compiler.printer import FUNCTIONS
from mir21sim.compiler.symbolic import Chained, SymbolicSystem, chain_rule
from mir21sim.errors import CodegenError


@dataclass(frozen=True, slots=True, eq=False)
class LanePrograms:
    """The straight-line programs of one network.

    Attributes
    ----------
    rates : ``(t, y, p, v, a, out)``: out += N·v(y, p, t)
    matrix : ``(t, y, p, a, w, hg)``: W and its LU factors in w; hg = 1/(hγ), a row a
        state
    solve : ``(w, out)``: out = W⁻¹ out, in place
    time : ``(t, y, p, a, out)``: out = df/dt; empty where time does not appear
    assigned : ``(t, y, p, a)``: the rule variables
    w_row, w_column : the element of W that each row of w holds
    n_w, n_a : rows of w and a; after ``matrix`` the last row of a is the least share
        of a pivot that its diagonal element of W is, 1 or less: small where elements
        grew in the elimination and drowned the digits of others
    """

    rates: tuple[Statement, ...]
    matrix: tuple[Statement, ...]
    solve: tuple[Statement, ...]
    time: tuple[Statement, ...]
    assigned: tuple[Statement, ...]
    w_row: tuple[int, ...]
    w_column: tuple[int, ...]
    n_w: int
    n_a: int


def programs(system: SymbolicSystem, species: frozenset[str]) -> LanePrograms:
    """Return the programs of a system.

    Parameters
    ----------
    species : states that are amounts; a trace below zero has no broken power

    Raises
    ------
    CodegenError
        For a function that has no vector code; such a model runs by SciPy.
    """
    return Planner(system, species).plan()


class Planner:
    """Holds the names of rows and the derivatives of one system."""

    def __init__(self, system: SymbolicSystem, species: frozenset[str]) -> None:
        self.system = system
        self.rows: dict[Any, tuple[Any, ...]] = {system.t: ("t", 0)}
        self.rows |= {s: ("y", i) for i, s in enumerate(system.y)}
        self.rows |= {s: ("p", i) for i, s in enumerate(system.p)}
        self.rows |= {s: ("a", i) for i, s in enumerate(system.a)}
        self.n_a = len(system.a)
        names = system.state_names
        self.amounts = {s for s, n in zip(system.y, names, strict=True) if n in species}

    def plan(self) -> LanePrograms:
        """Return all programs; intermediates get rows of `a` behind the variables."""
        by_state = chain_rule(self.system, self.system.y)
        by_time = chain_rule(self.system, (self.system.t,))
        for chained in (by_state, by_time):
            for symbol, _ in chained.before:
                if symbol not in self.rows:
                    self.rows[symbol] = ("a", self.n_a)
                    self.n_a += 1
        shared, jacobian = self._jacobian(by_state)
        pattern = _Elimination(jacobian, len(self.system.y), self.n_a)
        before = (*self._before(by_state), *shared)
        return LanePrograms(
            rates=self._rates(),
            matrix=(*before, *pattern.matrix(), *pattern.factors()),
            solve=tuple(pattern.solves()),
            time=self._time(by_time),
            assigned=tuple(
                ("a", i, "=", self.tree(expr))
                for i, expr in enumerate(self.system.assigned)
            ),
            w_row=tuple(row for row, _ in pattern.place),
            w_column=tuple(column for _, column in pattern.place),
            n_w=len(pattern.place),
            n_a=pattern.growth + 1,
        )

    def _before(self, chained: Chained) -> list[Statement]:
        """Return the statements for the intermediates that derivatives need."""
        return [
            (*self.rows[symbol], "=", self.tree(expr))
            for symbol, expr in chained.before
        ]

    def _rates(self) -> tuple[Statement, ...]:
        """Return assigned variables that rates need, rates, and N·v."""
        needed = self.system.needed_assigned(self.system.rates)
        statements: list[Statement] = [
            (*self.rows[symbol], "=", self.tree(expr)) for symbol, expr in needed
        ]
        statements += [
            ("v", r, "=", self.tree(expr)) for r, expr in enumerate(self.system.rates)
        ]
        by_state: dict[int, list[tuple[int, float]]] = {}
        for (i, r), factor in sorted(self.system.stoichiometry.items()):
            by_state.setdefault(i, []).append((r, factor))
        statements += [
            ("out", i, "+=", _weighted([(("v", r), f) for r, f in terms]))
            for i, terms in by_state.items()
        ]
        return tuple(statements)

    def _time(self, chained: Chained) -> tuple[Statement, ...]:
        if not chained.values:
            return ()
        terms: dict[int, list[tuple[Any, float]]] = {}
        for (r, _), expr in sorted(chained.values.items(), key=lambda item: item[0]):
            for (i, rate), factor in sorted(self.system.stoichiometry.items()):
                if rate == r:
                    terms.setdefault(i, []).append((self.tree(expr), factor))
        statements = self._before(chained)
        for i in range(len(self.system.y)):
            value = _weighted(terms[i]) if i in terms else ("c", 0.0)
            statements.append(("out", i, "=", value))
        return tuple(statements)

    def _jacobian(
        self, chained: Chained
    ) -> tuple[list[Statement], dict[tuple[int, int], Any]]:
        """Return J = N·dv/dy, {(row, column): expression}, and statements before it.

        The derivatives of a rate stand in every row of its stoichiometry. Where that
        makes the text long they are computed before it, in rows of `a`.
        """
        by_rate: dict[int, list[tuple[int, float]]] = {}
        for (i, r), factor in sorted(self.system.stoichiometry.items()):
            by_rate.setdefault(r, []).append((i, factor))
        ordered = sorted(chained.values.items(), key=lambda item: item[0])
        trees = {key: self.tree(expr) for key, expr in ordered}
        repeated = sum(
            _size(tree) * (len(by_rate.get(r, ())) - 1)
            for (r, _), tree in trees.items()
        )
        shared: list[Statement] = []
        terms: dict[tuple[int, int], list[tuple[Any, float]]] = {}
        for (r, j), tree in trees.items():
            rows, value = by_rate.get(r, ()), tree
            if repeated > MOST_REPEATED and len(rows) > 1:
                value = ("a", self.n_a)
                shared.append((*value, "=", tree))
                self.n_a += 1
            for i, factor in rows:
                terms.setdefault((i, j), []).append((value, factor))
        return shared, {key: _weighted(found) for key, found in terms.items()}

    def tree(self, expr: Any) -> Any:
        """Return a SymPy expression as nested tuples."""
        if expr in self.rows:
            return self.rows[expr]
        if expr.is_Number or expr.is_NumberSymbol:
            return ("c", float(expr))
        if expr.is_Add:
            return self._sum(expr)
        if expr.is_Mul:
            return self._product(expr)
        if expr.is_Pow or type(expr).__name__ == "Power":
            return self._power(*expr.args)
        if expr.is_Piecewise:
            return self._piecewise(expr)
        name = FUNCTIONS.get(type(expr).__name__, "")
        if name in CALLS:
            return (name, *[self.tree(argument) for argument in expr.args])
        if type(expr).__name__ == "Quotient":
            return ("trunc", ("/", *[self.tree(argument) for argument in expr.args]))
        raise CodegenError(f"`{expr}` has no vector code.")

    def _sum(self, expr: Any) -> Any:
        plus: list[Any] = []
        minus: list[Any] = []
        for term in expr.as_ordered_terms():
            coefficient = term.as_coeff_Mul()[0]
            (minus if coefficient < 0 else plus).append(term)
        added = [self.tree(term) for term in plus]
        taken = [self.tree(-term) for term in minus]
        if not added:
            return ("neg", _many("+", taken))
        total = _many("+", added)
        return ("-", total, _many("+", taken)) if taken else total

    def _product(self, expr: Any) -> Any:
        above, below, negative = [], [], False
        for factor in expr.as_ordered_factors():
            if factor.is_Pow and factor.exp.is_Rational and factor.exp < 0:
                below.append(self.tree(1 / factor))
            elif factor.is_Number and factor < 0:
                negative = not negative
                if factor != -1:
                    above.append(self.tree(-factor))
            else:
                above.append(self.tree(factor))
        result = _many("*", above) if above else ("c", 1.0)
        if below:
            result = ("/", result, _many("*", below))
        return ("neg", result) if negative else result

    def _power(self, base: Any, exponent: Any) -> Any:
        if exponent.is_Integer and 1 <= abs(exponent) <= 8:
            product = _many("*", [self.tree(base)] * abs(int(exponent)))
            return product if exponent > 0 else ("/", ("c", 1.0), product)
        tree = self.tree(base)
        if not exponent.is_Integer:
            # The true amount is not negative: rounding below zero must not end the run.
            tree = self._without_traces(base, tree)
        if exponent == sympy.Rational(1, 2):
            return ("sqrt", tree)
        return ("pow", tree, self.tree(exponent))

    def _without_traces(self, base: Any, tree: Any) -> Any:
        positive = base in self.amounts or (
            base.is_Mul
            and any(f in self.amounts for f in base.args)
            and all(
                f in self.amounts or f in self.system.p or f.is_Pow for f in base.args
            )
        )
        return ("max0", tree) if positive else tree

    def _piecewise(self, expr: Any) -> Any:
        result: Any = ("c", float("nan"))
        for value, test in reversed(expr.args):
            chosen = self.tree(value)
            if test != sympy.true:
                chosen = ("select", self.truth(test), chosen, result)
            result = chosen
        return result

    def truth(self, test: Any) -> Any:
        """Return a condition as nested tuples."""
        if test == sympy.true or test == sympy.false:
            return ("true",) if test == sympy.true else ("false",)
        if test.is_Relational:
            return (test.rel_op, self.tree(test.lhs), self.tree(test.rhs))
        name = type(test).__name__.lower()
        if name == "ite":
            test, yes, no = (self.truth(part) for part in test.args)
            return ("or", ("and", test, yes), ("and", ("not", test), no))
        if name not in {"and", "or", "not", "xor"}:
            raise CodegenError(f"`{test}` has no vector code.")
        arguments = sorted(test.args, key=lambda argument: argument.sort_key())
        return (name, *[self.truth(argument) for argument in arguments])


def _size(tree: Any) -> int:
    """Return the number of operations and rows of a tree."""
    return 1 + sum(_size(part) for part in tree[1:] if isinstance(part, tuple))


def _many(op: str, parts: list[Any]) -> Any:
    return (op, *parts) if len(parts) > 1 else parts[0]


def _weighted(terms: list[tuple[Any, float]]) -> Any:
    """Return Σ factor·tree with as few operations as the factors allow."""
    plus: list[Any] = []
    minus: list[Any] = []
    for tree, factor in terms:
        size = abs(factor)
        part = tree if size == 1.0 else ("*", ("c", size), tree)
        (plus if factor > 0 else minus).append(part)
    if not plus:
        return ("neg", _many("+", minus))
    total = _many("+", plus)
    return ("-", total, _many("+", minus)) if minus else total


class _Elimination:
    """Order, fill and operations of the LU factorisation of W = I/(hγ) − J."""

    def __init__(
        self, jacobian: dict[tuple[int, int], Any], n: int, n_a: int = 0
    ) -> None:
        """Plan the elimination; rows of `a` from `n_a` on are free."""
        self.jacobian, self.n = jacobian, n
        rows: list[set[int]] = [{i} for i in range(n)]
        columns: list[set[int]] = [{i} for i in range(n)]
        for i, j in jacobian:
            rows[i].add(j)
            columns[j].add(i)
        self.order = self._markowitz(rows, columns)
        self.place = {key: k for k, key in enumerate(sorted(self.filled))}
        changed = sorted({i for k in self.order for i in self.below[k]})
        self.kept = {i: n_a + m for m, i in enumerate(changed)}
        self.growth = n_a + len(changed)

    def _markowitz(self, rows: list[set[int]], columns: list[set[int]]) -> list[int]:
        """Choose diagonal pivots with least fill; record rows and columns at each."""
        self.filled = {(i, j) for i in range(self.n) for j in rows[i]}
        self.below: dict[int, list[int]] = {}
        self.right: dict[int, list[int]] = {}

        def cost(i: int) -> tuple[int, int]:
            return (len(rows[i]) - 1) * (len(columns[i]) - 1), i

        left, order = set(range(self.n)), []
        # Holds the cost of every row that is left, and outdated ones beside them.
        queue = [cost(i) for i in range(self.n)]
        heapq.heapify(queue)
        while left:
            found = heapq.heappop(queue)
            k = found[1]
            if k not in left or found != cost(k):
                continue
            left.discard(k)
            order.append(k)
            self.below[k] = sorted(columns[k] & left)
            self.right[k] = sorted(rows[k] & left)
            for i in self.below[k]:
                rows[i] |= rows[k] & left
                rows[i].discard(k)
                self.filled |= {(i, j) for j in self.right[k]}
            for j in self.right[k]:
                columns[j] |= columns[k] & left
                columns[j].discard(k)
            for i in {*self.below[k], *self.right[k]}:
                heapq.heappush(queue, cost(i))
        return order

    def matrix(self) -> list[Statement]:
        """Return the statements that set W before elimination."""
        statements: list[Statement] = []
        for (i, j), row in self.place.items():
            entry = self.jacobian.get((i, j))
            if i == j:
                value: Any = ("hg", i) if entry is None else ("-", ("hg", i), entry)
            else:
                value = ("c", 0.0) if entry is None else ("neg", entry)
            statements.append(("w", row, "=", value))
            if i == j and i in self.kept:
                statements.append(("a", self.kept[i], "=", ("w", row)))
        statements.append(("a", self.growth, "=", ("c", 1.0)))
        return statements

    def tables(self) -> llvm_loops.Tables:
        """Return the rows of all steps, for loops in place of statements."""
        steps = self.order
        below = [(i, k) for k in steps for i in self.below[k]]
        right = [(k, j) for k in steps for j in self.right[k]]
        return (
            tuple(self.place[k, k] for k in steps),
            tuple(self.kept.get(k, -1) for k in steps),
            tuple(steps),
            (0, *itertools.accumulate(len(self.below[k]) for k in steps)),
            tuple(self.place[key] for key in below),
            tuple(i for i, _ in below),
            (0, *itertools.accumulate(len(self.right[k]) for k in steps)),
            tuple(self.place[key] for key in right),
            tuple(j for _, j in right),
            tuple(self.place[i, j] for i, k in below for j in self.right[k]),
            (self.growth,),
        )

    @property
    def is_long(self) -> bool:
        """Say whether loops do the elimination."""
        products = sum(len(self.below[k]) * len(self.right[k]) for k in self.order)
        return products > MOST_PRODUCTS

    def factors(self) -> list[Statement]:
        """Return the elimination: L below, U above, reciprocal pivots between."""
        if self.is_long:
            return [("w", 0, llvm_loops.ELIMINATE, self.tables())]
        statements: list[Statement] = []
        for k in self.order:
            pivot = ("w", self.place[k, k])
            statements.append((*pivot, "=", ("/", ("c", 1.0), pivot)))
            if k in self.kept:
                share = ("fabs", ("*", ("a", self.kept[k]), pivot))
                least = ("least", ("a", self.growth), share)
                statements.append(("a", self.growth, "=", least))
            for i in self.below[k]:
                multiplier = ("w", self.place[i, k])
                statements.append((*multiplier, "=", ("*", multiplier, pivot)))
                for j in self.right[k]:
                    target = ("w", self.place[i, j])
                    product = ("*", multiplier, ("w", self.place[k, j]))
                    statements.append((*target, "=", ("-", target, product)))
        return statements

    def solves(self) -> list[Statement]:
        """Return the forward and backward substitution on `out`."""
        if self.is_long:
            return [("out", 0, llvm_loops.SUBSTITUTE, self.tables())]
        statements: list[Statement] = []
        for k in self.order:
            for i in self.below[k]:
                product = ("*", ("w", self.place[i, k]), ("out", k))
                statements.append(("out", i, "=", ("-", ("out", i), product)))
        for k in reversed(self.order):
            value: Any = ("out", k)
            for j in self.right[k]:
                value = ("-", value, ("*", ("w", self.place[k, j]), ("out", j)))
            statements.append(("out", k, "=", ("*", value, ("w", self.place[k, k]))))
        return statements


ARRAYS = {
    "rates": ("t", "y", "p", "v", "a", "out"),
    "matrix": ("t", "y", "p", "a", "w", "hg"),
    "solve": ("w", "out"),
    "time": ("t", "y", "p", "a", "out"),
    "assigned": ("t", "y", "p", "a"),
}
"""Arguments of each lane kernel, in order."""

ONE = ("which", "a", "b", "c", "d", "e", "f")
"""Arguments of the kernel of one run: the number of a program and its arrays."""

PIECE = 400
"""Statements per compiled function."""

MOST_PRODUCTS = 20_000
"""Products of an elimination above which it is loops over tables: chosen. That of
BioModels 471, 185,736 statements, did not end to compile."""

MOST_REPEATED = 100_000
"""Operations that are written again, in other rows of J, above which derivatives are
computed before it. The numbers may change in the last bit, since a product and a sum
are one rounding where they stand in one statement."""


def module_text(
    made: LanePrograms, system: SymbolicSystem, model_id: str, key: str
) -> str:
    """Return the source of the module with the lane programs of one network."""
    parts = [
        f'"""Lane programs of {model_id}, network {key}. Generated, do not edit."""\n',
        f"N_STATE = {len(system.y)}",
        f"N_PARAM = {len(system.p)}",
        f"N_RATE = {max(1, len(system.rates))}",
        f"N_W = {made.n_w}",
        f"N_A = {made.n_a}",
        f"W_ROW = {made.w_row!r}",
        f"W_COLUMN = {made.w_column!r}",
        f"PIECE = {PIECE}",
        f"ARRAYS = {ARRAYS!r}",
        f"HAS_TIME = {bool(made.time)}",
        "PROGRAMS = {",
    ]
    # As JSON in strings: read when they are compiled, not at every start.
    parts.extend(
        f'    {name!r}: """\n{text(getattr(made, name))}\n""",' for name in ARRAYS
    )
    parts.append("}")
    for name, arguments in (ARRAYS | {"one": ONE}).items():
        call = ", ".join(arguments)
        parts.append(f"\n\ndef {name}({call}):\n    emit_{name}({call})")
    return "\n".join(parts) + "\n"
