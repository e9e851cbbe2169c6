"""SymbolicSystem → lane programs for the exact derivatives of a Rosenbrock step.

The rates v(y, p, t) and the rule variables a(y, p, t) that they read form one list of
*quantities*; quantity g has the row g of an array ``g``: first all rule variables, then
all rates. Only the direct partial derivatives of each quantity are computed; the chain
rule through the rule variables is part of the linear programs, so that the code stays
as small as the model.

With the direct partials in rows of ``d``, at a state y_n and parameters p:

* a direction (ẏ, ṗ) gives the rows of ``g`` by ``linear`` and dy/dt by ``bend``;
* ``second`` gives the change ``e`` of those partials along a direction;
* ``inner`` gives the change ``au`` of the rule variables along a stage U;
* ``bend`` adds (dJ) U, the change of the Jacobian times U, through ``e`` and ``au``.

Each has a transposed program for the discrete adjoint, with the suffix ``_t``.
Derivatives by the parameters are not part of ``linear``: a column of a tangent usually
moves one parameter, so its few terms are added row by row (``Terms``).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mir21sim.compiler.lane_derivatives import (
    ZERO,
    Leaf,
    Tree,
    directional,
    leaves,
    partials,
    product,
    total,
)
from mir21sim.compiler.lane_programs import Planner, _Elimination, _weighted
from mir21sim.compiler.llvm_lanes import Statement, text
from mir21sim.compiler.symbolic import SymbolicSystem, chain_rule

ARRAYS = {
    "partials": ("t", "y", "p", "a", "d"),
    "extra": ("t", "y", "p", "a", "d"),
    "linear": ("d", "sd", "g"),
    "extra_linear": ("d", "sd", "g"),
    "second": ("t", "y", "p", "a", "d", "sd", "pd", "g", "e"),
    "inner": ("d", "u", "ut", "au"),
    "stage": ("d", "d0", "sd", "e", "u", "ut", "au", "b", "g", "out"),
    "bend": ("d", "e", "u", "ut", "au", "b", "g", "out"),
    "gather": ("phi", "g"),
    "linear_t": ("d", "g", "out", "pb"),
    "extra_t": ("d", "g", "out", "pb"),
    "bend_t": ("d", "g", "u", "ut", "au", "b", "q"),
    "second_t": ("t", "y", "p", "a", "d", "q", "g", "out", "pb"),
    "solve_t": ("w", "out"),
}
"""Arguments of each kernel, in order.

partials : a and d = values of the rules that rates need; the direct partials
extra : the same for the rules that only outputs need, behind the others
linear : g += partials · (sd, g), the tangents of rules and rates; on entry g has the
    terms of the parameters
second : e = change of the partials of states along (sd, pd); g as for ``linear``
inner : au = tangents of the rules along the stage u and the time ut
stage : ``linear`` and ``bend`` in one: out += N·(d·sd + e·u + d0·b), d at the stage
    and d0 at the start of the step; on entry the rules' rows of g have their terms of
    the parameters, and out those of the rates
bend : out += N·(g + e·u + partials·b), b = e·u for the rules
gather : rows of g for rates = Nᵀ·phi
linear_t, extra_t : out += and pb += the adjoint of ``linear``; g of rules is used up
bend_t : q += the adjoint of e
second_t : out += and pb += the adjoint of ``second``
solve_t : out = W⁻ᵀ·out, in place, with the factors of ``matrix``
"""

PIECE = 400
"""Statements per compiled function."""


@dataclass(frozen=True, slots=True)
class Partial:
    """A direct partial derivative: of which quantity, by which row, and its tree."""

    quantity: int
    leaf: Leaf
    tree: Tree


@dataclass(frozen=True, slots=True, eq=False)
class SensitivityPrograms:
    """The programs of one network and the places of their derivatives.

    Attributes
    ----------
    programs : {name: statements}, names as in ``ARRAYS``
    by_param : (row of d, parameter, row of g) of each partial by a parameter
    by_param_extra : the same for rules that only outputs need
    n_quantity, n_partial, n_second : rows of g, d and e
    """

    programs: dict[str, list[Statement]]
    by_param: tuple[tuple[int, int, int], ...]
    by_param_extra: tuple[tuple[int, int, int], ...]
    n_quantity: int
    n_partial: int
    n_second: int


def sensitivity_programs(
    system: SymbolicSystem, species: frozenset[str]
) -> SensitivityPrograms:
    """Return the programs for the derivatives of a system.

    Raises
    ------
    CodegenError
        For a function without vector code or without a derivative.
    """
    return _SensitivityPlanner(system, species).plan()


class _SensitivityPlanner:
    """Collects the direct partial derivatives and writes the linear programs."""

    def __init__(self, system: SymbolicSystem, species: frozenset[str]) -> None:
        self.system = system
        self.planner = Planner(system, species)
        self.n_a = len(system.a)
        rows = {symbol: i for i, symbol in enumerate(system.a)}
        needed = [rows[symbol] for symbol, _ in system.needed_assigned(system.rates)]
        rest = [i for i in range(self.n_a) if i not in set(needed)]
        tree = self.planner.tree
        self.rules = {i: tree(system.assigned[i]) for i in needed}
        self.extra_rules = {i: tree(system.assigned[i]) for i in rest}
        self.rates = {self.n_a + r: tree(v) for r, v in enumerate(system.rates)}
        step = [*_partials_of(self.rules), *_partials_of(self.rates)]
        # Partials by states, rules and time have second derivatives that a step needs.
        self.by_state = [x for x in step if x.leaf[0] != "p"]
        self.by_param = [x for x in step if x.leaf[0] == "p"]
        self.by_extra = list(_partials_of(self.extra_rules))
        self.every = [*self.by_state, *self.by_param, *self.by_extra]
        self.place = {(x.quantity, x.leaf): k for k, x in enumerate(self.every)}
        self.seconds, self.second_trees = self._second_trees()

    def plan(self) -> SensitivityPrograms:
        """Return all programs."""
        step, extra = {**self.rules, **self.rates}, self.extra_rules
        n_step = len(self.by_state) + len(self.by_param)
        terms = [
            (k, x.leaf[1], x.quantity)
            for k, x in enumerate(self.every)
            if x.leaf[0] == "p"
        ]
        return SensitivityPrograms(
            programs={
                "partials": self._values(self.rules, range(n_step)),
                "extra": self._values(extra, range(n_step, len(self.every))),
                "linear": self._linear(step, self.by_state),
                "extra_linear": self._linear(extra, self.by_extra),
                "second": self._second(),
                "inner": self._inner(),
                "stage": self._stage(),
                "bend": self._bend(),
                "gather": self._gather(),
                "linear_t": self._linear_t(self.rules, self.by_state, self.by_param),
                "extra_t": self._linear_t(extra, self.by_extra, self.by_extra),
                "bend_t": self._bend_t(),
                "second_t": self._second_t(),
                "solve_t": self._solve_t(),
            },
            by_param=tuple(term for term in terms if term[0] < n_step),
            by_param_extra=tuple(term for term in terms if term[0] >= n_step),
            n_quantity=self.n_a + len(self.rates),
            n_partial=len(self.every),
            n_second=len(self.seconds),
        )

    # ---- values

    def _values(self, rules: dict[int, Tree], rows: Iterable[int]) -> list[Statement]:
        statements: list[Statement] = [("a", i, "=", x) for i, x in rules.items()]
        statements += [("d", k, "=", self.every[k].tree) for k in rows]
        return statements

    def _second_trees(self) -> tuple[dict[int, int], list[Tree]]:
        """Return {row of d: row of e} and the trees of e along (sd, pd, g)."""
        names = {"y": "sd", "p": "pd", "a": "g"}

        def seeds(leaf: Leaf) -> Tree | None:
            return (names[leaf[0]], leaf[1]) if leaf[0] in names else None

        places: dict[int, int] = {}
        trees: list[Tree] = []
        for k, partial in enumerate(self.by_state):
            tree = directional(partial.tree, seeds)
            if tree is not None:
                places[k] = len(trees)
                trees.append(tree)
        return places, trees

    # ---- forward

    def _chain(
        self, quantities: Iterable[int], entries: Sequence[Partial], target: str
    ) -> list[Statement]:
        """Return target_g += Σ partial · (sd or target), rules in their order."""
        terms = self._by_quantity(entries)
        statements: list[Statement] = []
        for g in quantities:
            parts = []
            for leaf, k in terms.get(g, ()):
                if leaf[0] in {"y", "a"}:
                    other = ("sd", leaf[1]) if leaf[0] == "y" else (target, leaf[1])
                    parts.append(("*", ("d", k), other))
            if parts:
                statements.append((target, g, "+=", total(parts)))
        return statements

    def _by_quantity(
        self, entries: Sequence[Partial]
    ) -> dict[int, list[tuple[Leaf, int]]]:
        found: dict[int, list[tuple[Leaf, int]]] = {}
        for x in entries:
            found.setdefault(x.quantity, []).append(
                (x.leaf, self.place[x.quantity, x.leaf])
            )
        return found

    def _linear(
        self, quantities: dict[int, Tree], entries: Sequence[Partial]
    ) -> list[Statement]:
        return self._chain(quantities, entries, "g")

    def _second(self) -> list[Statement]:
        statements = self._chain(self.rules, self.by_state, "g")
        statements += [("e", m, "=", x) for m, x in enumerate(self.second_trees)]
        return statements

    def _inner(self) -> list[Statement]:
        terms = self._by_quantity(self.by_state)
        places = {"y": "u", "a": "au", "t": "ut"}
        statements: list[Statement] = []
        for i in self.rules:
            parts = [
                ("*", ("d", k), (places[leaf[0]], leaf[1]))
                for leaf, k in terms.get(i, ())
            ]
            statements.append(("au", i, "=", total(parts) or ZERO))
        return statements

    def _bent(
        self, g: int, terms: dict[int, list[tuple[Leaf, int]]], start: str = "d"
    ) -> list[Tree]:
        """Return the terms of quantity g in the change of J times a stage."""
        places = {"y": "u", "a": "au", "t": "ut"}
        parts = []
        for leaf, k in terms.get(g, ()):
            if k in self.seconds:
                other = (places[leaf[0]], leaf[1])
                parts.append(("*", ("e", self.seconds[k]), other))
            if leaf[0] == "a":
                parts.append(("*", (start, k), ("b", leaf[1])))
        return parts

    def _stage(self) -> list[Statement]:
        """Return the whole right-hand side of a stage, without a row for each rate."""
        terms = self._by_quantity(self.by_state)
        statements = self._chain(self.rules, self.by_state, "g")
        statements += [
            ("b", i, "=", total(self._bent(i, terms, "d0")) or ZERO) for i in self.rules
        ]
        change = {}
        for g in self.rates:
            parts = self._bent(g, terms, "d0")
            for leaf, k in terms.get(g, ()):
                if leaf[0] != "t":
                    other = "sd" if leaf[0] == "y" else "g"
                    parts.append(("*", ("d", k), (other, leaf[1])))
            if parts:
                change[g - self.n_a] = total(parts)
        return statements + self._by_state_row(change)

    def _by_state_row(self, change: dict[int, Tree]) -> list[Statement]:
        """Return out += N · the change of each rate."""
        by_row: dict[int, list[tuple[Tree, float]]] = {}
        for (i, r), factor in sorted(self.system.stoichiometry.items()):
            if r in change:
                by_row.setdefault(i, []).append((change[r], factor))
        return [("out", i, "+=", _weighted(x)) for i, x in by_row.items()]

    def _bend(self) -> list[Statement]:
        terms = self._by_quantity(self.by_state)
        statements: list[Statement] = [
            ("b", i, "=", total(self._bent(i, terms)) or ZERO) for i in self.rules
        ]
        change = {}
        for g in self.rates:
            own = ("g", g)
            change[g - self.n_a] = total([own, *self._bent(g, terms)]) or own
        return statements + self._by_state_row(change)

    # ---- transposed

    def _gather(self) -> list[Statement]:
        by_rate: dict[int, list[tuple[Tree, float]]] = {}
        for (i, r), factor in sorted(self.system.stoichiometry.items()):
            by_rate.setdefault(r, []).append((("phi", i), factor))
        return [
            ("g", g, "=", _weighted(by_rate[g - self.n_a]))
            if g - self.n_a in by_rate
            else ("g", g, "=", ZERO)
            for g in self.rates
        ]

    def _rules_t(
        self, rules: Iterable[int], entries: Sequence[Partial], target: str
    ) -> list[Statement]:
        """Return target_i += Σ partial by rule i · target, last rule first."""
        by_rule: dict[int, list[Tree]] = {}
        for x in entries:
            if x.leaf[0] == "a":
                # The rates' adjoints are rows of g, whichever array the rules use.
                of = target if x.quantity < self.n_a else "g"
                k = self.place[x.quantity, x.leaf]
                by_rule.setdefault(x.leaf[1], []).append(
                    ("*", ("d", k), (of, x.quantity))
                )
        return [
            (target, i, "+=", total(by_rule[i]))
            for i in reversed([*rules])
            if i in by_rule
        ]

    def _linear_t(
        self,
        rules: dict[int, Tree],
        entries: Sequence[Partial],
        by_param: Sequence[Partial],
    ) -> list[Statement]:
        # Rules that only outputs need also read the others: these come after them.
        order = [*self.rules, *rules] if rules is self.extra_rules else [*rules]
        statements = self._rules_t(order, entries, "g")
        return statements + self._rows_t(entries, by_param, "g")

    def _rows_t(
        self, entries: Sequence[Partial], by_param: Sequence[Partial], source: str
    ) -> list[Statement]:
        """Return out += and pb += Σ partial · adjoint of its quantity."""
        by_state: dict[int, list[Tree]] = {}
        by_parameter: dict[int, list[Tree]] = {}
        for found, kind, some in (
            (by_state, "y", entries),
            (by_parameter, "p", by_param),
        ):
            for x in some:
                if x.leaf[0] == kind:
                    k = self.place[x.quantity, x.leaf]
                    found.setdefault(x.leaf[1], []).append(
                        ("*", ("d", k), (source, x.quantity))
                    )
        return [
            *(("out", j, "+=", total(x)) for j, x in sorted(by_state.items())),
            *(("pb", m, "+=", total(x)) for m, x in sorted(by_parameter.items())),
        ]

    def _bend_t(self) -> list[Statement]:
        statements = self._rules_t(self.rules, self.by_state, "b")
        places = {"y": "u", "a": "au", "t": "ut"}
        for k, x in enumerate(self.by_state):
            if k in self.seconds:
                source = ("b" if x.quantity < self.n_a else "g", x.quantity)
                term = ("*", source, (places[x.leaf[0]], x.leaf[1]))
                statements.append(("q", self.seconds[k], "+=", term))
        return statements

    def _second_t(self) -> list[Statement]:
        """Return the adjoint of ``second``: Σ q · second partials, through rules."""
        by_leaf: dict[Leaf, list[Tree]] = {}
        for k, m in self.seconds.items():
            for leaf, tree in partials(self.by_state[k].tree).items():
                if leaf[0] != "t":
                    by_leaf.setdefault(leaf, []).append(product(("q", m), tree))
        statements: list[Statement] = []
        rules = [x for x in self.by_state if x.quantity < self.n_a]
        through = {
            target: expression
            for _, target, _, expression in self._rules_t(self.rules, rules, "g")
        }
        for i in reversed([*self.rules]):
            parts = [*by_leaf.get(("a", i), ())]
            if i in through:
                parts.append(through[i])
            statements.append(("g", i, "=", total(parts) or ZERO))
        statements += [
            ("out" if leaf[0] == "y" else "pb", leaf[1], "+=", total(parts))
            for leaf, parts in sorted(by_leaf.items())
            if leaf[0] != "a"
        ]
        params = [x for x in self.by_param if x.quantity < self.n_a]
        return statements + self._rows_t(rules, params, "g")

    def _solve_t(self) -> list[Statement]:
        """Return the forward and backward substitution with the transposed factors."""
        by_rate: dict[int, list[int]] = {}
        for i, r in self.system.stoichiometry:
            by_rate.setdefault(r, []).append(i)
        chained = chain_rule(self.system, self.system.y).values
        pattern = {(i, j): ZERO for r, j in chained for i in by_rate.get(r, ())}
        made = _Elimination(pattern, len(self.system.y))
        statements: list[Statement] = []
        for k in made.order:
            pivot = ("w", made.place[k, k])
            statements.append(("out", k, "=", ("*", ("out", k), pivot)))
            for j in made.right[k]:
                change = ("*", ("w", made.place[k, j]), ("out", k))
                statements.append(("out", j, "=", ("-", ("out", j), change)))
        for k in reversed(made.order):
            for i in made.below[k]:
                change = ("*", ("w", made.place[i, k]), ("out", i))
                statements.append(("out", k, "=", ("-", ("out", k), change)))
        return statements


def _partials_of(quantities: dict[int, Tree]) -> Iterable[Partial]:
    for g, tree in quantities.items():
        if leaves(tree):
            for leaf, derivative in partials(tree).items():
                yield Partial(g, leaf, derivative)


def module_text(
    made: SensitivityPrograms, system: SymbolicSystem, model_id: str, key: str
) -> str:
    """Return the source of the module with the sensitivity programs of one network."""
    parts = [
        f'"""Sensitivity programs of {model_id}, network {key}. Generated."""\n',
        f"N_STATE = {len(system.y)}",
        f"N_PARAM = {len(system.p)}",
        f"N_RULE = {len(system.a)}",
        f"N_QUANTITY = {max(1, made.n_quantity)}",
        f"N_PARTIAL = {max(1, made.n_partial)}",
        f"N_SECOND = {max(1, made.n_second)}",
        f"BY_PARAM = {made.by_param!r}",
        f"BY_PARAM_EXTRA = {made.by_param_extra!r}",
        f"PIECE = {PIECE}",
        f"ARRAYS = {ARRAYS!r}",
        "PROGRAMS = {",
    ]
    parts += [
        f'    {name!r}: """\n{text(program)}\n""",'
        for name, program in made.programs.items()
    ]
    parts.append("}")
    for name, arguments in ARRAYS.items():
        call = ", ".join(arguments)
        parts.append(f"\n\ndef {name}({call}):\n    emit_{name}({call})")
    return "\n".join(parts) + "\n"
