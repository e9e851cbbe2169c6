"""Values of expression trees for plain arrays, without compiled code.

For the few formulas of start values, whose derivatives are needed once a run.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.compiler.lane_derivatives import Tree
from mir21sim.errors import CodegenError

_FOLDS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "*": operator.mul,
    "-": operator.sub,
    "/": np.divide,
    "pow": np.power,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "and": np.logical_and,
    "or": np.logical_or,
    "xor": np.logical_xor,
}
_CALLS: dict[str, Callable[[Any], Any]] = {
    "neg": operator.neg,
    "not": np.logical_not,
    "max0": lambda x: np.where(x < 0.0, 0.0, x),
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    **{
        name: getattr(np, name)
        for name in (
            "exp", "log", "log10", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh",
            "floor", "ceil", "trunc", "fabs",
        )
    },
}  # fmt: skip


def tree_value(tree: Tree, rows: Mapping[str, FloatArray]) -> Any:
    """Return the value of a tree.

    Parameters
    ----------
    rows : array name to values, the row first: shape (n_row, …)

    Raises
    ------
    CodegenError
        For an operation that is not known here.
    """
    op = tree[0]
    if op in rows:
        return rows[op][tree[1]]
    if op == "c":
        return np.float64(tree[1])
    if op in {"true", "false"}:
        return op == "true"
    if op in _CALLS:
        return _CALLS[op](tree_value(tree[1], rows))
    if op == "select":
        test, yes, no = (tree_value(part, rows) for part in tree[1:])
        return np.where(test, yes, no)
    if op not in _FOLDS:
        raise CodegenError(f"The operation `{op}` has no value for plain arrays.")
    first, *rest = (tree_value(part, rows) for part in tree[1:])
    for other in rest:
        first = _FOLDS[op](first, other)
    return first
