"""SymbolicSystem → text of a kernel module. Layer 4.

The text is plain Python without Numba; ``cache`` decides how it runs. Same network,
same bytes.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import sympy

from mir21sim.codegen.emit_version import GENERATOR
from mir21sim.codegen.printer import HEADER_IMPORT, kernel_text
from mir21sim.symbolic import Chained, SymbolicSystem, chain_rule


def module_text(system: SymbolicSystem, model_id: str, key: str) -> str:
    """Return the source of the module with all kernels of one network.

    Functions in it, all filling their last array and returning nothing:
    ``rates(t, y, p, v)``, ``rates_dy(t, y, p, d)`` (non-zeros of dv/dy, in the order of
    ``DV_ROW``/``DV_COL``), ``rates_dt(t, y, p, d)`` (of dv/dt, ``DT_ROW``),
    ``assigned(t, y, p, a)``, ``initial(t, y, p, keep_y, keep_p)`` (changes y and p in
    place, except where told to keep), and ``rhs``, ``jac``, ``dfdt`` made of these by
    the sparse stoichiometry.
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
        writer.rates(),
        writer.derivatives("rates_dy", dv_dy, by_state=True),
        writer.derivatives("rates_dt", dv_dt, by_state=False),
        writer.assigned(),
        writer.initial(),
        _GENERIC,
    ]
    return "\n".join(parts)


_GENERIC = """
def rhs(t, y, p, out):
    v = np.empty(len(RATE_NAMES))
    rates(t, y, p, v)
    out[:] = 0.0
    for k in range(len(N_ROW)):
        out[N_ROW[k]] += N_VALUE[k] * v[N_COL[k]]


def jac(t, y, p, out):
    d = np.empty(len(DV_ROW))
    rates_dy(t, y, p, d)
    out[:] = 0.0
    for k in range(len(J_TO)):
        out[J_TO[k]] += J_FACTOR[k] * d[J_FROM[k]]


def dfdt(t, y, p, out):
    d = np.empty(len(DT_ROW))
    rates_dt(t, y, p, d)
    out[:] = 0.0
    for k in range(len(DFT_TO)):
        out[DFT_TO[k]] += DFT_FACTOR[k] * d[DFT_FROM[k]]
"""


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


class _Writer:
    """Writes the functions of one system; knows which intermediates each needs."""

    def __init__(self, system: SymbolicSystem) -> None:
        self.system = system
        self.names = dict(zip(system.a, system.assigned_names, strict=True))

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

    def _indexed(self, expr: Any) -> str:
        """Return text that reads y and p by index: they change between the lines."""
        names = {s: sympy.Symbol(f"y[{i}]") for i, s in enumerate(self.system.y)}
        names |= {s: sympy.Symbol(f"p[{i}]") for i, s in enumerate(self.system.p)}
        return kernel_text(expr.xreplace(names))

    def _function(
        self,
        signature: str,
        before: list[tuple[Any, Any, str]],
        results: list[tuple[str, Any, str]],
    ) -> str:
        """Write one kernel: load what is used, common subexpressions, then results."""
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
