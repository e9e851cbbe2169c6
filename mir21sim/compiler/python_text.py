"""SymbolicSystem → text of a kernel module.

The text is plain Python without Numba; ``cache`` decides how it runs. Same network,
same bytes.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import sympy

from mir21sim.compiler.conservation import conserved_totals
from mir21sim.compiler.printer import HEADER_IMPORT, kernel_text
from mir21sim.compiler.symbolic import Chained, SymbolicSystem, chain_rule
from mir21sim.compiler.symbolic_events import SymbolicEvents
from mir21sim.compiler.symbolic_zeros import zero_terms
from mir21sim.compiler.version import GENERATOR


def module_text(
    system: SymbolicSystem, events: SymbolicEvents, model_id: str, key: str
) -> str:
    """Return the source of the module with all kernels of one network.

    Functions in it, all filling their last array and returning nothing:
    ``rates(t, y, p, v)``, ``rates_dy(t, y, p, d)`` (non-zeros of dv/dy, in the order of
    ``DV_ROW``/``DV_COL``), ``rates_dt(t, y, p, d)`` (of dv/dt, ``DT_ROW``),
    ``assigned(t, y, p, a)``, ``initial(t, y, p, keep_y, keep_p)`` (changes y and p in
    place, except where told to keep). The right-hand side, its Jacobian and its slope
    in time are made of these by the sparse stoichiometry (``solvers.signatures``).
    ``kernels.Kernels`` describes the arrays TERM, FACTOR and TOTAL. For
    the events, in the words of ``SymbolicEvents``: ``roots``, ``moments``, ``delays``,
    ``priorities`` and, one of each per event, ``VALUES`` and ``SIZES``, all
    ``(t, y, p, out)``, and ``triggers(t, r, p, out)``.
    """
    writer = _Writer(system)
    dv_dy = chain_rule(system, system.y)
    dv_dt = chain_rule(system, (system.t,))
    parts = [
        f'"""Kernels of {model_id}, network {key}. Generated, do not edit."""\n',
        HEADER_IMPORT,
        "\nimport numpy as np\n",
        f"GENERATOR = {GENERATOR}",
        _names("STATE_NAMES", system.state_names),
        _names("PARAM_NAMES", system.param_names),
        _names("ASSIGNED_NAMES", system.assigned_names),
        _names("RATE_NAMES", system.rate_names),
        *_patterns(system, sorted(dv_dy.values), sorted(dv_dt.values)),
        *_zeros(system),
        *_totals(system),
        writer.rates(),
        writer.derivatives("rates_dy", dv_dy, by_state=True),
        writer.derivatives("rates_dt", dv_dt, by_state=False),
        writer.assigned(),
        writer.initial(),
        *_event_patterns(events),
        *writer.events(events),
        *map(_stub, COMPILED),
    ]
    return "\n".join(parts) + "\n"


MOST_STATES = 400
"""States up to which conserved totals are sought: exact elimination takes a fifth of a
second then, more than linear time beyond, and one state less in each saves little."""

COMPILED = ("rhs", "jac", "dfdt", "rates", "assigned", "roots")
"""Kernels that Numba compiles; ``build_kernels`` describes their parts."""


def _stub(name: str) -> str:
    """Return the function that a compiled kernel is made of; see ``scalar``."""
    return f"\n\ndef compiled_{name}(t, y, p, out):\n    emit_{name}(t, y, p, out)"


def _names(label: str, names: Sequence[str]) -> str:
    lines = "".join(f"    {name!r},\n" for name in names)
    return f"{label} = (\n{lines})" if names else f"{label} = ()"


def _array(label: str, values: Iterable[float], kind: str) -> str:
    return f"{label} = np.array([{', '.join(map(repr, values))}], dtype=np.{kind})"


def _patterns(
    system: SymbolicSystem,
    dv_dy: list[tuple[int, int]],
    dv_dt: list[tuple[int, int]],
) -> list[str]:
    """Return the constant arrays: N, the pattern of dv/dy, maps to J and df/dt."""
    n = sorted(system.stoichiometry.items())
    by_rate: dict[int, list[tuple[int, float]]] = {}
    for (i, r), factor in n:
        by_rate.setdefault(r, []).append((i, factor))
    terms = [
        (i, j, factor, k)
        for k, (r, j) in enumerate(dv_dy)
        for i, factor in by_rate.get(r, ())
    ]
    # Column-major, as SciPy's sparse Jacobians want it.
    pattern = sorted({(j, i) for i, j, _, _ in terms})
    place = {key: k for k, key in enumerate(pattern)}
    dt_terms = [
        (i, factor, k)
        for k, (r, _) in enumerate(dv_dt)
        for i, factor in by_rate.get(r, ())
    ]
    return [
        _array("N_ROW", (i for (i, _), _ in n), "int64"),
        _array("N_COL", (r for (_, r), _ in n), "int64"),
        _array("N_VALUE", (float(f) for _, f in n), "float64"),
        _array("DV_ROW", (r for r, _ in dv_dy), "int64"),
        _array("DV_COL", (j for _, j in dv_dy), "int64"),
        _array("J_ROW", (i for _, i in pattern), "int64"),
        _array("J_COL", (j for j, _ in pattern), "int64"),
        _array("J_TO", (place[j, i] for i, j, _, _ in terms), "int64"),
        _array("J_FACTOR", (float(f) for _, _, f, _ in terms), "float64"),
        _array("J_FROM", (k for _, _, _, k in terms), "int64"),
        _array("DT_ROW", (r for r, _ in dv_dt), "int64"),
        _array("DFT_TO", (i for i, _, _ in dt_terms), "int64"),
        _array("DFT_FACTOR", (float(f) for _, f, _ in dt_terms), "float64"),
        _array("DFT_FROM", (k for _, _, k in dt_terms), "int64"),
    ]


def _zeros(system: SymbolicSystem) -> list[str]:
    """Return the constant arrays that say which states at zero make rates zero."""
    terms = [(r, term) for r, row in enumerate(zero_terms(system)) for term in row]
    pairs = [(k, i) for k, (_, term) in enumerate(terms) for i in sorted(term)]
    return [
        _array("TERM_RATE", (r for r, _ in terms), "int64"),
        _array("FACTOR_TERM", (k for k, _ in pairs), "int64"),
        _array("FACTOR_STATE", (i for _, i in pairs), "int64"),
    ]


def _totals(system: SymbolicSystem) -> list[str]:
    """Return the constant arrays of a basis of the conserved totals.

    There are none for a large model, whose solver can do without.
    """
    n = len(system.y)
    totals = conserved_totals(n, system.stoichiometry) if n <= MOST_STATES else []
    entries = [(k, i, c) for k, row in enumerate(totals) for i, c in row.items()]
    return [
        _array("TOTAL_ROW", (k for k, _, _ in entries), "int64"),
        _array("TOTAL_STATE", (i for _, i, _ in entries), "int64"),
        _array("TOTAL_VALUE", (c for _, _, c in entries), "float64"),
    ]


def _event_patterns(events: SymbolicEvents) -> list[str]:
    """Return the constant arrays of relations, events and their assignments."""
    records = events.records
    targets = [target for row in events.targets for target in row]
    first = itertools.accumulate(map(len, events.targets), initial=0)
    known = zip(events.timed, events.moments, strict=True)
    pieced = (timed and moment is sympy.nan for timed, moment in known)
    return [
        _names("EVENT_NAMES", [e.id for e in records]),
        _array("EVENT_INITIAL", (e.initial_value for e in records), "bool_"),
        _array("EVENT_PERSISTENT", (e.persistent for e in records), "bool_"),
        _array("EVENT_EARLY", (e.values_from_trigger_time for e in records), "bool_"),
        _array("EVENT_RANKED", (e.priority is not None for e in records), "bool_"),
        _array("EVENT_FIRST", first, "int64"),
        _array("TARGET_IS_STATE", (kind == "y" for kind, _ in targets), "bool_"),
        _array("TARGET_INDEX", (index for _, index in targets), "int64"),
        _array("ROOT_KIND", events.kinds, "int64"),
        _array("ROOT_USER", events.users, "int64"),
        _array("ROOT_MOVING", events.moving, "bool_"),
        _array("ROOT_TIMED", events.timed, "bool_"),
        _array("PIECE_OF", (k for k, _ in events.pieces), "int64"),
        _array("ROOT_FROM_LEFT", events.from_left, "bool_"),
        _array("ROOT_PIECED", pieced, "bool_"),
        f"N_JUMP = {len(events.jumps)}",
    ]


class _Writer:
    """Writes the functions of one system; knows which intermediates each needs."""

    def __init__(self, system: SymbolicSystem) -> None:
        self.system = system
        self.names = dict(zip(system.a, system.assigned_names, strict=True))
        self.places = {s: sympy.Symbol(f"y[{i}]") for i, s in enumerate(system.y)}
        self.places |= {s: sympy.Symbol(f"p[{i}]") for i, s in enumerate(system.p)}

    def _named(self, lines: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any, str]]:
        """Return lines with the id of the rule variable that each computes, or ""."""
        return [(symbol, expr, self.names.get(symbol, "")) for symbol, expr in lines]

    def rates(self) -> str:
        """Write ``rates(t, y, p, v)``."""
        before = self._named(self.system.needed_assigned(self.system.rates))
        results = [
            (f"v[{r}]", expr, name)
            for r, (expr, name) in enumerate(
                zip(self.system.rates, self.system.rate_names, strict=True)
            )
        ]
        return self._function("rates(t, y, p, v)", before, results)

    def derivatives(self, name: str, chained: Chained, *, by_state: bool) -> str:
        """Write the kernel of the non-zeros of dv/dy or dv/dt, row by row."""
        results = []
        for k, (r, j) in enumerate(sorted(chained.values)):
            variable = self.system.state_names[j] if by_state else "t"
            label = f"d {self.system.rate_names[r]} / d {variable}"
            results.append((f"d[{k}]", chained.values[r, j], label))
        before = self._named(chained.before)
        return self._function(f"{name}(t, y, p, d)", before, results)

    def assigned(self) -> str:
        """Write ``assigned(t, y, p, a)``: every rule variable."""
        before = self._named(zip(self.system.a, self.system.assigned, strict=True))
        results = [
            (f"a[{i}]", symbol, name)
            for i, (symbol, name) in enumerate(
                zip(self.system.a, self.system.assigned_names, strict=True)
            )
        ]
        return self._function("assigned(t, y, p, a)", before, results)

    def initial(self) -> str:
        """Write ``initial(t, y, p, keep_y, keep_p)``: start values by formulas."""
        lines = ["", "", "def initial(t, y, p, keep_y, keep_p):"]
        for kind, index, expr in self.system.initials:
            text = self._indexed(expr)
            if kind == "a":
                lines.append(f"    a{index} = {text}")
            else:
                lines.append(f"    if not keep_{kind}[{index}]:")
                lines.append(f"        {kind}[{index}] = {text}")
        if not self.system.initials:
            lines.append("    return")
        return "\n".join(lines)

    def events(self, events: SymbolicEvents) -> list[str]:
        """Write the functions of the events and of the relations."""
        per_event = [e.id for e in events.records]
        relations = [f"{e} = 0" for e in events.roots]
        return [
            self._listed("roots", events.roots, relations),
            self._listed("moments", events.moments, relations),
            self._listed(
                "pieces",
                [zero for _, zero in events.pieces],
                [relations[k] for k, _ in events.pieces],
            ),
            self._listed("jumps", events.jumps, ["next jump"] * len(events.jumps)),
            self._triggers(events),
            self._listed("delays", events.delays, per_event),
            self._listed("priorities", events.priorities, per_event),
            *self._assignments("values", events, events.values),
            *self._assignments("sizes", events, events.sizes),
        ]

    def _assignments(
        self, name: str, events: SymbolicEvents, rows: Sequence[Sequence[Any]]
    ) -> list[str]:
        """Write one function per event, and the tuple of them."""
        texts = [
            self._listed(f"{name}_{k}", row, [a.variable for a in record.assignments])
            for k, (record, row) in enumerate(zip(events.records, rows, strict=True))
        ]
        listed = "".join(f"{name}_{k}, " for k in range(len(rows)))
        return [*texts, f"\n\n{name.upper()} = ({listed})"]

    def _listed(
        self, name: str, expressions: Sequence[Any], labels: Sequence[str]
    ) -> str:
        """Write ``name(t, y, p, out)``, one element of `out` per expression."""
        before = self._named(self.system.needed_assigned(expressions))
        results = [
            (f"out[{k}]", expr, label)
            for k, (expr, label) in enumerate(zip(expressions, labels, strict=True))
        ]
        return self._function(f"{name}(t, y, p, out)", before, results)

    def _triggers(self, events: SymbolicEvents) -> str:
        """Write ``triggers(t, r, p, out)``: conditions over truths of relations."""
        lines = ["", "", "def triggers(t, r, p, out):"]
        lines += [f"    {symbol} = r[{k}]" for k, symbol in enumerate(events.r)]
        lines += [
            f"    out[{k}] = {kernel_text(expr)}  # {record.id}"
            for k, (expr, record) in enumerate(
                zip(events.triggers, events.records, strict=True)
            )
        ]
        return "\n".join([*lines, "    return"])

    def _indexed(self, expr: Any) -> str:
        """Return text that reads y and p by index: they change between the lines."""
        names = {s: self.places[s] for s in expr.free_symbols & self.places.keys()}
        return kernel_text(expr.xreplace(names))

    def _function(
        self,
        signature: str,
        before: list[tuple[Any, Any, str]],
        results: list[tuple[str, Any, str]],
    ) -> str:
        """Write one kernel: load arguments, common subexpressions, then results."""
        expressions = [expr for _, expr, _ in before] + [expr for _, expr, _ in results]
        used = _free(expressions)
        lines = ["", "", f"def {signature}:"]
        for letter, symbols, names in (
            ("y", self.system.y, self.system.state_names),
            ("p", self.system.p, self.system.param_names),
        ):
            lines += [
                f"    {symbol} = {letter}[{i}]  # {name}"
                for i, (symbol, name) in enumerate(zip(symbols, names, strict=True))
                if symbol in used
            ]
        lines += [
            f"    {symbol} = {kernel_text(expr)}" + (f"  # {name}" if name else "")
            for symbol, expr, name in before
        ]
        common, reduced = sympy.cse(
            [expr for _, expr, _ in results],
            symbols=sympy.numbered_symbols("c"),
            order="none",
        )
        lines += [f"    {symbol} = {kernel_text(expr)}" for symbol, expr in common]
        lines += [
            f"    {target} = {kernel_text(expr)}  # {name}"
            for (target, _, name), expr in zip(results, reduced, strict=True)
        ]
        if not before and not results:
            lines.append("    return")
        return "\n".join(lines)


def _free(expressions: Iterable[Any]) -> set[Any]:
    found: set[Any] = set()
    for expr in expressions:
        found |= expr.free_symbols
    return found
