"""Formulas evaluated together with their exact derivatives, by forward mode.

A ``Dual`` is a column of numbers and the derivatives of each by some variables. The
formulas are expression trees; no text is evaluated and no code is generated.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mir21sim._typing import BoolArray, FloatArray, IntArray
from mir21sim.errors import UnsupportedFeatureError
from mir21sim.model import expressions as ex


@dataclass(frozen=True, slots=True, eq=False)
class Dual:
    """Numbers with derivatives.

    Attributes
    ----------
    value : float array, shape (n,)
    slope : float array, shape (n, m), derivatives by m variables; None where all are 0
    """

    value: FloatArray
    slope: FloatArray | None = None

    def __getitem__(self, rows: IntArray) -> "Dual":
        slope = None if self.slope is None else self.slope[rows]
        return Dual(self.value[rows], slope)

    def dense(self, n_variable: int) -> FloatArray:
        """Return the derivatives with the zeros written out."""
        if self.slope is None:
            return np.zeros((len(self.value), n_variable))
        return self.slope


Lookup: TypeAlias = Callable[[str], Dual]
"""Id of a quantity → its value and derivatives."""


def constant(value: float, n: int) -> Dual:
    """Return a column of one number, whose derivatives are zero."""
    return Dual(np.full(n, float(value)))


def evaluate(expr: ex.Expr, lookup: Lookup, time: FloatArray) -> Dual:
    """Return the value of a formula and its derivatives.

    Parameters
    ----------
    expr : over ids that ``lookup`` knows
    lookup : id → Dual of shape (n,)
    time : float array, shape (n,), the simulation time

    Raises
    ------
    UnsupportedFeatureError
        For an operator that has no derivative here.
    """
    if isinstance(expr, ex.Number):
        return constant(expr.value, len(time))
    if isinstance(expr, ex.Symbol):
        return lookup(expr.name)
    if expr.op == ex.TIME:
        return Dual(np.asarray(time, float))
    arguments = [evaluate(arg, lookup, time) for arg in expr.args]
    if expr.op in _CONSTANTS:
        return constant(_CONSTANTS[expr.op], len(time))
    if expr.op in _UNARY and len(arguments) == 1:
        return _unary(expr.op, arguments[0])
    if expr.op in _FOLDED:
        return _folded(expr.op, arguments)
    if expr.op in _MANY:
        return _MANY[expr.op](arguments)
    raise UnsupportedFeatureError(
        f"`{ex.text(expr)}`: the operator `{expr.op}` is not supported in formulas of "
        "a fit."
    )


def _scaled(slope: FloatArray | None, factor: FloatArray) -> FloatArray | None:
    return None if slope is None else scaled_slopes(slope, factor)


def scaled_slopes(slope: FloatArray, factor: FloatArray) -> FloatArray:
    """Return the derivatives times one factor per row; 0 times infinity is 0."""
    if np.isfinite(factor).all():
        return slope * factor[:, np.newaxis]
    with np.errstate(invalid="ignore"):
        return np.where(slope == 0.0, 0.0, slope * factor[:, np.newaxis])


def _added(a: FloatArray | None, b: FloatArray | None) -> FloatArray | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def _unary(op: str, x: Dual) -> Dual:
    function, derivative = _UNARY[op]
    with np.errstate(all="ignore"):
        value = function(x.value)
        slope = None if x.slope is None else _scaled(x.slope, derivative(x.value))
    return Dual(np.asarray(value, float), slope)


def _folded(op: str, arguments: Sequence[Dual]) -> Dual:
    combine = _FOLDED[op]
    total = arguments[0]
    for other in arguments[1:]:
        total = combine(total, other)
    return total


def _plus(a: Dual, b: Dual) -> Dual:
    return Dual(a.value + b.value, _added(a.slope, b.slope))


def _times(a: Dual, b: Dual) -> Dual:
    slope = _added(_scaled(a.slope, b.value), _scaled(b.slope, a.value))
    return Dual(a.value * b.value, slope)


def _minus(arguments: Sequence[Dual]) -> Dual:
    first = arguments[0]
    ones = np.ones(len(first.value))
    if len(arguments) == 1:
        return Dual(-first.value, _scaled(first.slope, -ones))
    second = arguments[1]
    slope = _added(first.slope, _scaled(second.slope, -ones))
    return Dual(first.value - second.value, slope)


def _divide(arguments: Sequence[Dual]) -> Dual:
    a, b = arguments
    with np.errstate(all="ignore"):
        value = a.value / b.value
        if a.slope is None and b.slope is None:
            return Dual(value)
        slope = _added(
            _scaled(a.slope, 1.0 / b.value), _scaled(b.slope, -value / b.value)
        )
    return Dual(value, slope)


def _power(arguments: Sequence[Dual]) -> Dual:
    a, b = arguments
    with np.errstate(all="ignore"):
        value = a.value**b.value
        by_base = by_exponent = None
        if a.slope is not None:
            by_base = scaled_slopes(a.slope, b.value * a.value ** (b.value - 1.0))
        if b.slope is not None:
            log = np.where(a.value > 0.0, np.log(np.maximum(a.value, 1e-300)), np.nan)
            log = np.where((a.value == 0.0) & (b.value > 0.0), 0.0, log)
            by_exponent = scaled_slopes(b.slope, value * log)
    return Dual(value, _added(by_base, by_exponent))


def _log(arguments: Sequence[Dual]) -> Dual:
    """Return the logarithm of the second argument to the base of the first."""
    base, x = (_unary("ln", argument) for argument in arguments)
    return _divide([x, base])


def _root(arguments: Sequence[Dual]) -> Dual:
    """Return the root of the second argument of the degree of the first."""
    degree, x = arguments
    return _power([x, _divide([constant(1.0, len(x.value)), degree])])


def _choose(test: BoolArray, a: Dual, b: Dual) -> Dual:
    value = np.where(test, a.value, b.value)
    if a.slope is None and b.slope is None:
        return Dual(value)
    some = a.slope if a.slope is not None else b.slope
    assert some is not None
    m = some.shape[1]
    slope = np.where(test[:, np.newaxis], a.dense(m), b.dense(m))
    return Dual(value, slope)


def _piecewise(arguments: Sequence[Dual]) -> Dual:
    """Return the value behind the first true condition; NaN without one."""
    n = len(arguments[0].value)
    pairs = list(zip(arguments[0::2], arguments[1::2], strict=False))
    chosen = arguments[-1] if len(arguments) % 2 else constant(math.nan, n)
    for value, test in reversed(pairs):
        chosen = _choose(test.value != 0.0, value, chosen)
    return chosen


def _compared(
    compare: Callable[[FloatArray, FloatArray], BoolArray],
) -> Callable[[Sequence[Dual]], Dual]:
    def relation(arguments: Sequence[Dual]) -> Dual:
        held = np.ones(len(arguments[0].value), bool)
        for a, b in itertools.pairwise(arguments):
            held &= compare(a.value, b.value)
        return Dual(held.astype(float))

    return relation


def _logical(
    combine: Callable[[BoolArray, BoolArray], BoolArray],
) -> Callable[[Dual, Dual], Dual]:
    def joined(a: Dual, b: Dual) -> Dual:
        return Dual(combine(a.value != 0.0, b.value != 0.0).astype(float))

    return joined


def _of_cosh(x: FloatArray) -> FloatArray:
    return np.cosh(x) ** -2.0


_CONSTANTS = {"true": 1.0, "false": 0.0}

_Pair: TypeAlias = tuple[
    Callable[[FloatArray], FloatArray], Callable[[FloatArray], FloatArray]
]

_UNARY: dict[str, _Pair] = {
    "exp": (np.exp, np.exp),
    "ln": (np.log, lambda x: 1.0 / x),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "abs": (np.abs, np.sign),
    "sign": (np.sign, np.zeros_like),
    "floor": (np.floor, np.zeros_like),
    "ceiling": (np.ceil, np.zeros_like),
    "sin": (np.sin, np.cos),
    "cos": (np.cos, lambda x: -np.sin(x)),
    "tan": (np.tan, lambda x: np.cos(x) ** -2.0),
    "sec": (lambda x: 1.0 / np.cos(x), lambda x: np.tan(x) / np.cos(x)),
    "csc": (lambda x: 1.0 / np.sin(x), lambda x: -np.cos(x) / np.sin(x) ** 2),
    "cot": (lambda x: 1.0 / np.tan(x), lambda x: -(np.sin(x) ** -2.0)),
    "sinh": (np.sinh, np.cosh),
    "cosh": (np.cosh, np.sinh),
    "tanh": (np.tanh, _of_cosh),
    "sech": (lambda x: 1.0 / np.cosh(x), lambda x: -np.tanh(x) / np.cosh(x)),
    "csch": (lambda x: 1.0 / np.sinh(x), lambda x: -np.cosh(x) / np.sinh(x) ** 2),
    "coth": (lambda x: 1.0 / np.tanh(x), lambda x: -(np.sinh(x) ** -2.0)),
    "arcsin": (np.arcsin, lambda x: 1.0 / np.sqrt(1.0 - x * x)),
    "arccos": (np.arccos, lambda x: -1.0 / np.sqrt(1.0 - x * x)),
    "arctan": (np.arctan, lambda x: 1.0 / (1.0 + x * x)),
    "arcsinh": (np.arcsinh, lambda x: 1.0 / np.sqrt(x * x + 1.0)),
    "arccosh": (np.arccosh, lambda x: 1.0 / np.sqrt(x * x - 1.0)),
    "arctanh": (np.arctanh, lambda x: 1.0 / (1.0 - x * x)),
    "arcsec": (
        lambda x: np.arccos(1.0 / x),
        lambda x: 1.0 / (np.abs(x) * np.sqrt(x * x - 1.0)),
    ),
    "arccsc": (
        lambda x: np.arcsin(1.0 / x),
        lambda x: -1.0 / (np.abs(x) * np.sqrt(x * x - 1.0)),
    ),
    "arccot": (lambda x: np.arctan(1.0 / x), lambda x: -1.0 / (1.0 + x * x)),
    "arcsech": (
        lambda x: np.arccosh(1.0 / x),
        lambda x: -1.0 / (x * np.sqrt(1.0 - x * x)),
    ),
    "arccsch": (
        lambda x: np.arcsinh(1.0 / x),
        lambda x: -1.0 / (np.abs(x) * np.sqrt(1.0 + x * x)),
    ),
    "arccoth": (lambda x: np.arctanh(1.0 / x), lambda x: 1.0 / (1.0 - x * x)),
    "not": (lambda x: (x == 0.0).astype(float), np.zeros_like),
}

_FOLDED: dict[str, Callable[[Dual, Dual], Dual]] = {
    "plus": _plus,
    "times": _times,
    "max": lambda a, b: _choose(a.value >= b.value, a, b),
    "min": lambda a, b: _choose(a.value <= b.value, a, b),
    "and": _logical(np.logical_and),
    "or": _logical(np.logical_or),
    "xor": _logical(np.logical_xor),
}

_MANY: dict[str, Callable[[Sequence[Dual]], Dual]] = {
    "minus": _minus,
    "divide": _divide,
    "power": _power,
    "log": _log,
    "root": _root,
    "piecewise": _piecewise,
    "eq": _compared(np.equal),
    "neq": _compared(np.not_equal),
    "lt": _compared(np.less),
    "leq": _compared(np.less_equal),
    "gt": _compared(np.greater),
    "geq": _compared(np.greater_equal),
}
