"""Derivatives of expressions against SymPy's own."""

import pytest
import sympy

from mir21sim.compiler.slopes import Slopes
from mir21sim.compiler.symbolic import Power

X, Y, K, N = sympy.symbols("x y k n")
FORMULAS = {
    "number": sympy.Integer(3),
    "other": K * Y,
    "product": K * X * Y * (X - 2) / (K + X + X * Y),
    "sum": 2 * (X + Y) + X**2 * Y - 7,
    "hill": Power(X, N) / (Power(K, N) + Power(X, N)),
    "pieces": X * sympy.Piecewise((X * Y, X > 1), (K, True)) + sympy.exp(-X / K),
    "nested": (X + K * (X + Y * (X + 1))) * (1 + X / K + Y / N) ** -3,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_derivatives_are_those_of_sympy_in_the_same_form(name):
    slopes, formula = Slopes(), FORMULAS[name]
    for symbol in (X, Y, K, N):
        assert slopes.of(formula, symbol) == sympy.diff(formula, symbol)
    assert slopes.free(formula) == formula.free_symbols
