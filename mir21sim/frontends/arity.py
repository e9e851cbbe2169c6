"""How many operands each MathML operator takes. Layer 3.

Looked at before libSBML checks a model: its own checks take the operands for granted
and end the process where, for instance, `rateOf` has none.
"""

from collections.abc import Iterator
from typing import Any

import libsbml

from mir21sim.errors import ModelError

_MANY = 2**31
_UNARY_NAMES = """
ABS ARCCOS ARCCOSH ARCCOT ARCCOTH ARCCSC ARCCSCH ARCSEC ARCSECH ARCSIN ARCSINH ARCTAN
ARCTANH CEILING COS COSH COT COTH CSC CSCH EXP FACTORIAL FLOOR LN RATE_OF SEC SECH SIN
SINH TAN TANH
"""
_UNARY = _UNARY_NAMES.split()
_BINARY = ("DELAY", "POWER", "QUOTIENT", "REM")
_ARITY: dict[int, tuple[int, int]] = {
    **{getattr(libsbml, f"AST_FUNCTION_{op}"): (1, 1) for op in _UNARY},
    **{getattr(libsbml, f"AST_FUNCTION_{op}"): (2, 2) for op in _BINARY},
    libsbml.AST_MINUS: (1, 2),
    libsbml.AST_DIVIDE: (2, 2),
    libsbml.AST_POWER: (2, 2),
    libsbml.AST_FUNCTION_LOG: (1, 2),
    libsbml.AST_FUNCTION_ROOT: (1, 2),
    libsbml.AST_FUNCTION_MAX: (1, _MANY),
    libsbml.AST_FUNCTION_MIN: (1, _MANY),
    libsbml.AST_FUNCTION_PIECEWISE: (1, _MANY),
    libsbml.AST_LOGICAL_NOT: (1, 1),
    libsbml.AST_LOGICAL_IMPLIES: (2, 2),
    libsbml.AST_RELATIONAL_NEQ: (2, 2),
    **{
        getattr(libsbml, f"AST_RELATIONAL_{op}"): (2, _MANY)
        for op in ("EQ", "GEQ", "GT", "LEQ", "LT")
    },
}
"""Operators that are not named take any number."""


def nodes(root: Any) -> Iterator[Any]:
    """Yield every node of a libSBML formula; none where there is no formula."""
    waiting = [root] if root is not None else []
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [node.getChild(i) for i in range(node.getNumChildren())]


def stop_on_wrong_arity(model: Any, name: str) -> None:
    """Raise for an operator with too few or too many operands, anywhere in a model.

    Raises
    ------
    ModelError
        With the operator, the element in whose formula it stands, and the numbers.
    """
    for element in model.getListOfAllElements():
        # Every element that may have a formula has this pair of methods.
        if hasattr(element, "isSetMath") and element.isSetMath():
            for node in nodes(element.getMath()):
                low, high = _ARITY.get(node.getType(), (0, _MANY))
                if not low <= node.getNumChildren() <= high:
                    raise ModelError(_words(element, node, low, high, name))


def _words(element: Any, node: Any, low: int, high: int, name: str) -> str:
    wanted = f"{low}" if low == high else f"{low} or more"
    wanted = f"{low} or {high}" if high == low + 1 else wanted
    return (
        f"{name}, line {element.getLine()}: {element.getElementName()} "
        f"`{element.getId()}`: `{node.getName() or node.getCharacter()}` must have "
        f"{wanted} operands, got {node.getNumChildren()}."
    )
