"""Network → SymbolicSystem: rates, stoichiometry and exact derivatives.

The right-hand side is N·v(y, p, t) and the Jacobian N·dv/dy, so only v and its
derivatives are symbolic. Assignment rules stay named intermediates a(y, p, t) with
their own derivatives (chain rule), which keeps the generated code small.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import sympy
from sympy.core.parameters import distribute

from mir21sim.compiler.equation_terms import CHAIN, Equations
from mir21sim.compiler.equations import equations
from mir21sim.compiler.slopes import Slopes
from mir21sim.errors import CodegenError
from mir21sim.model import expressions as ex
from mir21sim.model.network import Network

Line: TypeAlias = tuple[Any, Any]
"""(symbol, expression) of one assignment."""


class _Step(sympy.Function):  # type: ignore[misc]
    """A piecewise constant function: its derivative is zero wherever it has one."""

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative by an argument: zero."""
        return sympy.Integer(0)


class Power(sympy.Function):  # type: ignore[misc]
    """b**e with an exponent that is no number, such as a Hill coefficient.

    SymPy derives it to e*b**e/b, which is 0/0 where the signal is gone; e*b**(e-1) is
    the same and has its value there.
    """

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative by the base or by the exponent."""
        base, exponent = self.args
        if argindex == 1:
            return exponent * Power(base, exponent - 1)
        return self * sympy.log(base)


class Floor(_Step):
    """Largest integer not above the argument."""


class Ceiling(_Step):
    """Smallest integer not below the argument."""


class Quotient(_Step):
    """Integer part of a/b, rounded towards zero."""


class Factorial(_Step):
    """n! of a whole number."""


class Log10(sympy.Function):  # type: ignore[misc]
    """Decimal logarithm, kept as such for its accuracy."""

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative by the argument."""
        return 1 / (self.args[0] * sympy.log(10))


@dataclass(frozen=True, slots=True, eq=False)
class SymbolicSystem:
    """Rates and their derivatives as SymPy expressions over indexed symbols.

    States are amounts. ``dv_dy`` and the others are sparse: {(row, column): expr}, with
    ``da_*`` the direct derivatives of the assigned variables and ``dv_da``, ``da_da``
    the couplings through them.

    Attributes
    ----------
    state_names, param_names, assigned_names, rate_names : axis orders
    y, p, a, t : the symbols that stand for them
    assigned : expressions of the assigned variables, in an order of evaluation
    rates : v, extent per time; rate rules follow the reactions as rates of their own
    stoichiometry : {(state, rate): coefficient}
    initials : (kind, index, expr) in an order of evaluation; kind is "y", "p" or "a"
    """

    state_names: tuple[str, ...]
    param_names: tuple[str, ...]
    assigned_names: tuple[str, ...]
    rate_names: tuple[str, ...]
    y: tuple[Any, ...]
    p: tuple[Any, ...]
    a: tuple[Any, ...]
    t: Any
    assigned: tuple[Any, ...]
    rates: tuple[Any, ...]
    stoichiometry: dict[tuple[int, int], float]
    initials: tuple[tuple[str, int, Any], ...]

    def derivatives(
        self, expressions: tuple[Any, ...], variables: tuple[Any, ...]
    ) -> dict[tuple[int, int], Any]:
        """Return the non-zero direct derivatives {(expression, variable): expr}."""
        place = {symbol: j for j, symbol in enumerate(variables)}
        found, slopes = {}, Slopes()
        for i, expr in enumerate(expressions):
            for symbol in sorted(
                slopes.free(expr) & place.keys(), key=lambda s: place[s]
            ):
                derivative = slopes.of(expr, symbol)
                if derivative != 0:
                    found[i, place[symbol]] = derivative
        return found

    def needed_assigned(self, expressions: Iterable[Any]) -> tuple[Line, ...]:
        """Return the assigned variables that expressions need, in order."""
        lines = zip(self.a, self.assigned, strict=True)
        return tuple(_needed(list(lines), _free(expressions)))


@dataclass(frozen=True, slots=True, eq=False)
class Chained:
    """Total derivatives of the rates, through the assigned variables.

    Attributes
    ----------
    before : (symbol, expression) that ``values`` need, in order of evaluation
    values : {(rate, variable): expression}, non-zeros only
    """

    before: tuple[Line, ...]
    values: dict[tuple[int, int], Any]


@functools.lru_cache(maxsize=4)
def chain_rule(system: SymbolicSystem, variables: tuple[Any, ...]) -> Chained:
    """Return dv/dx for states or the time.

    The derivative of rate r by variable j is the direct one plus, through each assigned
    variable i, dv_r/da_i · da_i/dx_j; the latter get symbols of their own, so that the
    code stays as small as the model. The last results are kept: each kind of kernel
    of a network asks for the same ones.
    """
    da_da = system.derivatives(system.assigned, system.a)
    direct = system.derivatives(system.assigned, variables)
    through: dict[int, list[int]] = {}
    for i, k in sorted(da_da):
        through.setdefault(i, []).append(k)
    reach = _reach(len(system.a), direct, through)
    values = dict(system.derivatives(system.rates, variables))
    for (r, i), outer in system.derivatives(system.rates, system.a).items():
        for j in sorted(reach[i]):
            term = outer * _gradient(i, j)
            values[r, j] = values.get((r, j), sympy.Integer(0)) + term
    values = {key: expr for key, expr in values.items() if expr != 0}
    chain = []
    for i in range(len(reach)):
        for j in sorted(reach[i]):
            total = direct.get((i, j), sympy.Integer(0))
            for k in through.get(i, ()):
                if j in reach[k]:
                    total = total + da_da[i, k] * _gradient(k, j)
            chain.append((_gradient(i, j), total))
    chain = _needed(chain, _free(values.values()))
    used = [*values.values(), *(expr for _, expr in chain)]
    return Chained((*system.needed_assigned(used), *chain), values)


def _reach(
    count: int, direct: Iterable[tuple[int, int]], through: Mapping[int, list[int]]
) -> list[set[int]]:
    """Return, for each assigned variable, the variables it depends on at all."""
    reach: list[set[int]] = [set() for _ in range(count)]
    for i, j in direct:
        reach[i].add(j)
    for i in range(count):  # in order of evaluation
        for k in through.get(i, ()):
            reach[i] |= reach[k]
    return reach


def _gradient(i: int, j: int) -> Any:
    """Return the symbol that stands for da_i/dx_j."""
    return sympy.Symbol(f"g{i}_{j}")


def _free(expressions: Iterable[Any]) -> set[Any]:
    found: set[Any] = set()
    for expr in expressions:
        found |= expr.free_symbols
    return found


def _needed(lines: list[Line], wanted: set[Any]) -> list[Line]:
    """Return the lines, in order, that the wanted symbols need directly or not."""
    wanted, kept = set(wanted), []
    for symbol, expr in reversed(lines):
        if symbol in wanted:
            wanted |= expr.free_symbols
            kept.append((symbol, expr))
    return kept[::-1]


_WHOLE = frozenset({"floor", "ceiling", "quotient", "rem"})
"""Functions that jump where their argument is a whole number."""


_ANGLES = ("sin", "cos", "tan", "sec", "csc", "cot")
"""Beginnings of the names of trigonometric and hyperbolic functions."""


def as_written(network: Network) -> AbstractContextManager[None]:
    """Return a context in which (t - 28)/24 stays so, where a formula takes its floor.

    SymPy makes it t/24 - 7/6, which rounding leaves below 0 at t = 28: the floor is
    then too small by one at the very times at which conditions are looked at.
    """
    model = equations(network)
    formulas = [*model.defined.values(), *model.starts.values()]
    formulas += [rate.math for rate in model.rates]
    for event in model.events:
        formulas += [event.trigger, *(a.math for a in event.assignments)]
        formulas += [f for f in (event.delay, event.priority) if f is not None]
    used = {op for formula in formulas for op in ex.operators(formula)}
    # SymPy takes minus signs out of angles by distribution, and never ends without it.
    angles = any(op.removeprefix("arc").startswith(_ANGLES) for op in used)
    return distribute(False) if used & _WHOLE and not angles else nullcontext()


def build(network: Network) -> SymbolicSystem:
    """Turn a checked network into rates and stoichiometry.

    Raises
    ------
    ModelError
        For a cycle of assignment rules or initial assignments, printed as a path.
    UnsupportedFeatureError
        For algebraic rules that are not linear in the unknowns that they determine.
    """
    return Translator(equations(network)).build()


class Translator:
    """Assigns every stored quantity its symbol, then translates the formulas."""

    def __init__(self, model: Equations) -> None:
        self.model = model
        self.t = sympy.Symbol("t")
        self.y = tuple(sympy.Symbol(f"y{i}") for i in range(len(model.states)))
        self.p = tuple(sympy.Symbol(f"p{i}") for i in range(len(model.params)))
        self.a = tuple(sympy.Symbol(f"a{i}") for i in range(len(model.defined)))
        self.symbols = dict(zip(model.states, self.y, strict=True))
        self.symbols |= dict(zip(model.params, self.p, strict=True))
        self.symbols |= dict(zip(model.defined, self.a, strict=True))

    def build(self) -> SymbolicSystem:
        """Return rates, stoichiometry and start values."""
        model = self.model
        return SymbolicSystem(
            state_names=model.states,
            param_names=model.params,
            assigned_names=tuple(model.defined),
            rate_names=tuple(rate.name for rate in model.rates),
            y=self.y,
            p=self.p,
            a=self.a,
            t=self.t,
            assigned=tuple(self.value(math) for math in model.defined.values()),
            rates=tuple(self.value(rate.math) for rate in model.rates),
            stoichiometry=dict(model.stoichiometry),
            initials=tuple(self._initials()),
        )

    def _initials(self) -> Iterator[tuple[str, int, Any]]:
        """Yield start values that are formulas, each after those it depends on."""
        places = {
            name: (kind, i)
            for kind, names in (
                ("y", self.model.states),
                ("p", self.model.params),
                ("a", self.model.defined),
            )
            for i, name in enumerate(names)
        }
        for name, math in self.model.starts.items():
            yield (*places[name], self.value(math))

    def value(self, expr: ex.Expr) -> Any:
        """Return a formula of a quantity as SymPy: a number, 1 for true."""
        return _numeric(self.translate(expr))

    def translate(self, expr: ex.Expr) -> Any:
        """Return an expression over stored quantities as SymPy."""
        if isinstance(expr, ex.Number):
            return _number(expr.value)
        if isinstance(expr, ex.Symbol):
            return self.symbols[expr.name]
        if expr.op == ex.TIME:
            return self.t
        if expr.op == CHAIN:
            return self._total_derivative(expr)
        make = _TRANSLATIONS.get(expr.op)
        if make is None:
            raise CodegenError(f"`{ex.text(expr)}`: no translation for `{expr.op}`.")
        arguments = [self.translate(arg) for arg in expr.args]
        if expr.op not in _TAKES_TRUTH:
            arguments = [_numeric(argument) for argument in arguments]
        try:
            made = make(*arguments)
        except TypeError as error:
            raise CodegenError(
                f"`{ex.text(expr)}`: `{expr.op}` cannot take these arguments."
            ) from error
        return sympy.nan if made.has(sympy.I) else made

    def _total_derivative(self, expr: ex.Call) -> Any:
        """Return d(formula)/dt from the slopes of its quantities."""
        formula, *pairs = expr.args
        value = self.value(formula)
        total = sympy.diff(value, self.t)
        for quantity, slope in zip(pairs[0::2], pairs[1::2], strict=True):
            direct = sympy.diff(value, self.translate(quantity))
            total += direct * self.translate(slope)
        return total


def _number(value: float) -> Any:
    """Return a literal; small whole numbers exactly, so that powers stay powers."""
    if not np.isfinite(value):
        return _special(value)
    if abs(value) < 1e6 and value == int(value):
        return sympy.Integer(int(value))
    return sympy.Float(value, 17)


def _special(value: float) -> Any:
    if np.isnan(value):
        return sympy.nan
    return sympy.oo if value > 0 else -sympy.oo


def _piecewise(*args: Any) -> Any:
    pairs = [(_numeric(v), c) for v, c in zip(args[0::2], args[1::2], strict=False)]
    if len(args) % 2:
        pairs.append((_numeric(args[-1]), sympy.true))
    else:
        pairs.append((sympy.nan, sympy.true))
    return sympy.Piecewise(*[(value, truth(test)) for value, test in pairs])


def truth(value: Any) -> Any:
    """Return a SymPy value as a Boolean; a number is true where it is not zero."""
    if value in (sympy.true, sympy.false) or getattr(value, "is_Boolean", False):
        return value
    if getattr(value, "is_Relational", False):
        return value
    return sympy.Ne(value, 0)


def _numeric(value: Any) -> Any:
    """Return a number; true counts as 1 (SBML L3V2 section 3.4.8)."""
    if getattr(value, "is_Boolean", False) or getattr(value, "is_Relational", False):
        return sympy.Piecewise((1, value), (0, True))
    return value


def _logic(combine: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: combine(*[truth(arg) for arg in args])


def _relation(compare: Callable[..., Any]) -> Callable[..., Any]:
    """Chain a relation over two arguments or more: a < b < c."""
    return lambda *args: sympy.And(
        *[_compared(compare, a, b) for a, b in itertools.pairwise(args)]
    )


def _compared(compare: Callable[..., Any], a: Any, b: Any) -> Any:
    """Return a relation; what is not a number is unlike all (IEEE 754)."""
    if sympy.nan in (a, b):
        return sympy.true if compare is sympy.Ne else sympy.false
    return compare(a, b)


def _extreme(compare: Callable[..., Any]) -> Callable[..., Any]:
    def fold(*args: Any) -> Any:
        if sympy.nan in args:
            return sympy.nan
        best = args[0]
        for arg in args[1:]:
            best = sympy.Piecewise((best, compare(best, arg)), (arg, True))
        return best

    return fold


def _minus(*args: Any) -> Any:
    return -args[0] if len(args) == 1 else args[0] - args[1]


def _log(base: Any, x: Any) -> Any:
    return Log10(x) if base == 10 else sympy.log(x) / sympy.log(base)


def _root(degree: Any, x: Any) -> Any:
    return sympy.sqrt(x) if degree == 2 else _power(x, 1 / degree)


def _power(base: Any, exponent: Any) -> Any:
    return base**exponent if exponent.is_Number else Power(base, exponent)


_TRANSLATIONS: dict[str, Callable[..., Any]] = {
    "plus": sympy.Add,
    "minus": _minus,
    "times": sympy.Mul,
    "divide": lambda a, b: a / b,
    "power": _power,
    "root": _root,
    "exp": sympy.exp,
    "ln": sympy.log,
    "log": _log,
    "abs": lambda x: sympy.Piecewise((x, _compared(sympy.Ge, x, 0)), (-x, True)),
    "floor": Floor,
    "ceiling": Ceiling,
    "factorial": Factorial,
    "quotient": Quotient,
    "rem": lambda a, b: a - b * Quotient(a, b),
    "min": _extreme(sympy.Le),
    "max": _extreme(sympy.Ge),
    "piecewise": _piecewise,
    "eq": _relation(sympy.Eq),
    "neq": _relation(sympy.Ne),
    "lt": _relation(sympy.Lt),
    "leq": _relation(sympy.Le),
    "gt": _relation(sympy.Gt),
    "geq": _relation(sympy.Ge),
    "and": _logic(sympy.And),
    "or": _logic(sympy.Or),
    "not": _logic(sympy.Not),
    "xor": _logic(sympy.Xor),
    "implies": _logic(sympy.Implies),
    "true": lambda: sympy.true,
    "false": lambda: sympy.false,
    "sin": sympy.sin,
    "cos": sympy.cos,
    "tan": sympy.tan,
    "sec": lambda x: 1 / sympy.cos(x),
    "csc": lambda x: 1 / sympy.sin(x),
    "cot": lambda x: 1 / sympy.tan(x),
    "sinh": sympy.sinh,
    "cosh": sympy.cosh,
    "tanh": sympy.tanh,
    "sech": lambda x: 1 / sympy.cosh(x),
    "csch": lambda x: 1 / sympy.sinh(x),
    "coth": lambda x: 1 / sympy.tanh(x),
    "arcsin": sympy.asin,
    "arccos": sympy.acos,
    "arctan": sympy.atan,
    "arcsec": lambda x: sympy.acos(1 / x),
    "arccsc": lambda x: sympy.asin(1 / x),
    "arccot": lambda x: sympy.atan(1 / x),
    "arcsinh": sympy.asinh,
    "arccosh": sympy.acosh,
    "arctanh": sympy.atanh,
    "arcsech": lambda x: sympy.acosh(1 / x),
    "arccsch": lambda x: sympy.asinh(1 / x),
    "arccoth": lambda x: sympy.atanh(1 / x),
}


_TAKES_TRUTH = ex.LOGIC | {"piecewise"}
"""Operators whose arguments may be true or false; others see 1 or 0."""
