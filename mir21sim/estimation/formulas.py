"""Formulas of PEtab → expression trees.

The library ``petab`` parses the text and returns SymPy objects; they are walked here by
the names of their classes, so that no text reaches an evaluator.
"""

from typing import Any

from mir21sim.errors import InputError, UnsupportedFeatureError
from mir21sim.model import expressions as ex

TIME_NAME = "time"
"""The id that stands for the simulation time in formulas of PEtab."""


def parsed(text: str | float, where: str) -> ex.Expr:
    """Return the expression tree of a formula in the syntax of PEtab.

    Parameters
    ----------
    text : the formula, or a number
    where : the place it comes from, for the message

    Raises
    ------
    InputError
        For text that is no formula.
    """
    from petab.v1.math import sympify_petab

    try:
        return tree(sympify_petab(text))
    except UnsupportedFeatureError:
        raise
    except Exception as error:
        raise InputError(f"{where}: `{text}` is not a formula ({error}).") from error


def tree(node: Any) -> ex.Expr:
    """Return the expression tree of a SymPy object that ``petab`` made."""
    if node.is_Symbol:
        return ex.Call(ex.TIME, ()) if node.name == TIME_NAME else ex.Symbol(node.name)
    if getattr(node, "is_number", False) and not node.args:
        return ex.Number(float(node))
    name = type(node).__name__
    if name == "Piecewise":
        return _piecewise(node)
    if name in _TRUTHS:
        return ex.Call(_TRUTHS[name], ())
    op = _OPERATORS.get(name)
    if op is None:
        raise UnsupportedFeatureError(
            f"`{node}`: the function `{name}` is not supported in formulas of a fit."
        )
    arguments = tuple(map(tree, node.args))
    return ex.Call(op, arguments)


def _piecewise(node: Any) -> ex.Expr:
    parts: list[ex.Expr] = []
    for pair in node.args:
        value, test = pair.args
        parts.append(tree(value))
        if type(test).__name__ != "BooleanTrue":
            parts.append(tree(test))
    return ex.Call("piecewise", tuple(parts))


_TRUTHS = {"BooleanTrue": "true", "BooleanFalse": "false"}

_OPERATORS = {
    "Add": "plus",
    "Mul": "times",
    "Pow": "power",
    "exp": "exp",
    "log": "ln",
    "Abs": "abs",
    "sign": "sign",
    "Min": "min",
    "Max": "max",
    "And": "and",
    "Or": "or",
    "Not": "not",
    "Xor": "xor",
    "Equality": "eq",
    "Unequality": "neq",
    "StrictLessThan": "lt",
    "LessThan": "leq",
    "StrictGreaterThan": "gt",
    "GreaterThan": "geq",
    **{
        name: name
        for name in ("sin", "cos", "tan", "sec", "csc", "cot", "sinh", "cosh", "tanh")
    },
    "sech": "sech",
    "csch": "csch",
    "coth": "coth",
    **{
        f"a{name}": f"arc{name}"
        for name in (
            *("sin", "cos", "tan", "sec", "csc", "cot"),
            *("sinh", "cosh", "tanh", "sech", "csch", "coth"),
        )
    },
}
