"""Derivatives of SymPy expressions, without looking for their symbols at each level."""

from typing import Any

import sympy


class Slopes:
    """Derivatives of expressions, with their symbols looked up once.

    SymPy asks for all symbols of all parts again at every level, which takes most of
    its time. Sums and products are taken apart here, by its own rules, so that the
    expressions are those that it makes.
    """

    def __init__(self) -> None:
        self._free: dict[Any, set[Any]] = {}

    def free(self, expr: Any) -> set[Any]:
        """Return the symbols of an expression."""
        if expr not in self._free:
            found = {expr} if expr.is_Symbol else set()
            self._free[expr] = found.union(*map(self.free, expr.args))
        return self._free[expr]

    def of(self, expr: Any, symbol: Any) -> Any:
        """Return the derivative of an expression by a symbol."""
        if symbol not in self.free(expr):
            return sympy.Integer(0)
        if not (expr.is_Add or expr.is_Mul):
            return sympy.diff(expr, symbol)
        args, terms = expr.args, []
        for k, part in enumerate(args):
            if symbol in self.free(part):
                slope = self.of(part, symbol)
                if expr.is_Mul:
                    slope = sympy.Mul(*args[:k], slope, *args[k + 1 :])
                terms.append(slope)
        return sympy.Add(*terms)
