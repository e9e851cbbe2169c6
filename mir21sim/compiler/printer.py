"""SymPy expression → Python text that Numba and plain Python both run."""

from typing import Any

from sympy.printing.codeprinter import CodePrinter
from sympy.printing.precedence import PRECEDENCE, precedence

from mir21sim.errors import CodegenError

HEADER_IMPORT = (
    "from math import (acos, acosh, asin, asinh, atan, atanh, cos, cosh, exp, gamma, "
    "inf, log, log10, nan, sin, sinh, sqrt, tan, tanh)\n"
    # The ones of `math` give whole numbers of 64 bits; these stay floating.
    "from numpy import ceil, floor, trunc"
)
FUNCTIONS = {
    "exp": "exp",
    "log": "log",
    "Log10": "log10",
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "asin": "asin",
    "acos": "acos",
    "atan": "atan",
    "sinh": "sinh",
    "cosh": "cosh",
    "tanh": "tanh",
    "asinh": "asinh",
    "acosh": "acosh",
    "atanh": "atanh",
    "Floor": "floor",
    "Ceiling": "ceil",
}
"""SymPy function name → function of the standard library's `math`."""


class KernelPrinter(CodePrinter):  # type: ignore[misc]
    """Prints exactly: floats round-trip, and unknown functions are refused."""

    printmethod = "_kernelcode"
    language = "Python"
    _default_settings = CodePrinter._default_settings

    def _print_Float(self, expr: Any) -> str:
        # SymPy prints 15 digits; repr round-trips.
        return repr(float(expr))

    def _print_Integer(self, expr: Any) -> str:
        return repr(float(expr))

    def _print_Rational(self, expr: Any) -> str:
        return repr(float(expr))

    def _print_NumberSymbol(self, expr: Any) -> str:
        return repr(float(expr))

    _print_Exp1 = _print_Pi = _print_NumberSymbol

    def _print_NaN(self, _expr: Any) -> str:
        return "nan"

    def _print_Infinity(self, _expr: Any) -> str:
        return "inf"

    def _print_NegativeInfinity(self, _expr: Any) -> str:
        return "(-inf)"

    def _print_ComplexInfinity(self, _expr: Any) -> str:
        return "nan"

    def _print_Pow(self, expr: Any) -> str:
        base, exponent = expr.as_base_exp()
        shown = self.parenthesize(base, PRECEDENCE["Pow"])
        if exponent.is_Integer and 1 <= abs(exponent) <= 4:
            product = "*".join([shown] * abs(int(exponent)))
            return product if exponent > 0 else f"1.0/({product})"
        if exponent.is_Rational and exponent.q == 2 and abs(exponent.p) == 1:
            root = f"sqrt({self._print(base)})"
            return root if exponent.p > 0 else f"1.0/{root}"
        if exponent.is_Integer:
            return f"{shown}**({int(exponent)})"
        return f"{shown}**{self.parenthesize(exponent, PRECEDENCE['Pow'])}"

    def _print_Mul(self, expr: Any) -> str:
        above, below, sign = [], [], ""
        for factor in expr.as_ordered_factors():
            if factor.is_Pow and factor.exp.is_Rational and factor.exp < 0:
                below.append(1 / factor)
            elif factor.is_Number and factor < 0 and not sign:
                sign = "-"
                if factor != -1:
                    above.append(-factor)
            else:
                above.append(factor)
        top = "*".join(self._factor(f) for f in above) or "1.0"
        bottom = "*".join(self._factor(f) for f in below)
        return f"{sign}{top}/({bottom})" if bottom else f"{sign}{top}"

    def _factor(self, expr: Any) -> str:
        """Return a factor, bracketed unless it binds at least like a product."""
        text = self._print(expr)
        bare = expr.is_Symbol or expr.is_Function or expr.is_Number
        if expr.is_Pow and precedence(expr) > PRECEDENCE["Mul"] and "/" not in text:
            bare = True
        return str(text) if bare and not text.startswith("-") else f"({text})"

    def _print_Function(self, expr: Any) -> str:
        name = type(expr).__name__
        arguments = [self._print(arg) for arg in expr.args]
        if name == "Quotient":
            return f"trunc(({arguments[0]})/({arguments[1]}))"
        if name == "Power":
            base, exponent = expr.args
            return f"({self._print(base)})**({self._print(exponent)})"
        if name == "Factorial":
            return f"gamma({arguments[0]} + 1.0)"
        if name not in FUNCTIONS:
            raise CodegenError(f"No kernel code for the function `{name}` in `{expr}`.")
        return f"{FUNCTIONS[name]}({', '.join(arguments)})"

    _print_exp = _print_log = _print_Function

    def _print_Piecewise(self, expr: Any) -> str:
        text = "nan"
        for value, test in reversed(expr.args):
            if test == True:  # noqa: E712 - SymPy's true is not Python's
                text = f"({self._print(value)})"
            else:
                text = f"(({self._print(value)}) if {self._print(test)} else {text})"
        return text

    def _print_Relational(self, expr: Any) -> str:
        left, right = self._print(expr.lhs), self._print(expr.rhs)
        return f"(({left}) {expr.rel_op} ({right}))"

    def _print_Equality(self, expr: Any) -> str:
        return f"(({self._print(expr.lhs)}) == ({self._print(expr.rhs)}))"

    def _print_And(self, expr: Any) -> str:
        return "(" + " and ".join(self._print(arg) for arg in self._sorted(expr)) + ")"

    def _print_Or(self, expr: Any) -> str:
        return "(" + " or ".join(self._print(arg) for arg in self._sorted(expr)) + ")"

    def _print_Not(self, expr: Any) -> str:
        return f"(not {self._print(expr.args[0])})"

    def _print_Xor(self, expr: Any) -> str:
        odd = " != ".join(f"bool({self._print(arg)})" for arg in self._sorted(expr)[:2])
        for arg in self._sorted(expr)[2:]:
            odd = f"({odd}) != bool({self._print(arg)})"
        return f"({odd})"

    def _sorted(self, expr: Any) -> list[Any]:
        """Return the arguments in a fixed order: same network, same bytes."""
        return sorted(expr.args, key=lambda arg: arg.sort_key())

    def _print_BooleanTrue(self, _expr: Any) -> str:
        return "True"

    def _print_BooleanFalse(self, _expr: Any) -> str:
        return "False"


def kernel_text(expr: Any) -> str:
    """Return an expression as Python text.

    Raises
    ------
    CodegenError
        For a function or node without kernel code.

    Examples
    --------
    >>> import sympy
    >>> kernel_text(sympy.Symbol("k") * sympy.Float(0.1, 17) / sympy.Symbol("K"))
    '0.1*k/(K)'
    """
    printer = KernelPrinter({"strict": False})
    printer._not_supported = set()
    text = str(printer._print(expr))
    if printer._not_supported:
        node = next(iter(printer._not_supported))
        raise CodegenError(f"No kernel code for `{node}` ({type(node).__name__}).")
    return text
