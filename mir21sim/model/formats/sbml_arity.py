"""How many operands a formula has in all, and each MathML operator.

Looked at before libSBML checks a model: its own checks take the operands for granted,
end the process where, for instance, `rateOf` has none, and need minutes for very many.
"""

from collections.abc import Iterator
from typing import Any

import libsbml

from mir21sim.errors import ModelError

MAX_SIZE = 20_000
"""Operations in one formula, also after function definitions are expanded."""

_MANY = MAX_SIZE
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
    """Raise for a formula with too many operands, or an operator with a wrong number.

    Raises
    ------
    ModelError
        With the element in whose formula it stands, and the numbers.
    """
    elements = model.getListOfAllElements()
    for i in range(elements.getSize()):
        element = elements.get(i)
        # Every element that may have a formula has this method.
        if hasattr(element, "isSetMath") and element.isSetMath():
            where = (
                f"{name}, line {element.getLine()}: {element.getElementName()} "
                f"`{element.getId()}`"
            )
            count = 1
            # A node's operands are fetched, which takes long, after it is looked at.
            for node in nodes(element.getMath()):
                count += node.getNumChildren()
                if count > MAX_SIZE:
                    raise ModelError(too_long(where))
                _check(node, where)


def too_long(where: str) -> str:
    """Return the sentence that refuses a formula longer than ``MAX_SIZE``."""
    return (
        f"{where}: the formula has more than {MAX_SIZE} operations, with functions "
        "expanded; split it by assignment rules."
    )


def _check(node: Any, where: str) -> None:
    """Raise where an operator does not have the operands that it needs."""
    low, high = _ARITY.get(node.getType(), (0, _MANY))
    if low <= node.getNumChildren() <= high:
        return
    wanted = f"{low}" if low == high else f"{low} or more"
    wanted = f"{low} or {high}" if high == low + 1 else wanted
    raise ModelError(
        f"{where}: `{node.getName() or node.getCharacter()}` must have {wanted} "
        f"operand{'' if wanted == '1' else 's'}, got {node.getNumChildren()}."
    )
