"""Formulas of libSBML → expressions, function definitions expanded."""

import math
from typing import Any

import libsbml

from mir21sim.errors import ModelError, UnsupportedFeatureError, hint
from mir21sim.model import expressions as ex
from mir21sim.model.formats import sbml_arity as arity
from mir21sim.units import UnitParts

MAX_DEPTH = 60
"""Formulas nested deeper are refused: no published model comes near, and every later
stage walks them recursively. Sums and products count once, however long."""

AVOGADRO = 6.02214179e23  # value that SBML L3V2 section 3.4.6 fixes for the csymbol

_OPS = {
    libsbml.AST_PLUS: "plus",
    libsbml.AST_MINUS: "minus",
    libsbml.AST_TIMES: "times",
    libsbml.AST_DIVIDE: "divide",
    libsbml.AST_POWER: "power",
    libsbml.AST_FUNCTION_POWER: "power",
    libsbml.AST_FUNCTION_ABS: "abs",
    libsbml.AST_FUNCTION_ARCCOS: "arccos",
    libsbml.AST_FUNCTION_ARCCOSH: "arccosh",
    libsbml.AST_FUNCTION_ARCCOT: "arccot",
    libsbml.AST_FUNCTION_ARCCOTH: "arccoth",
    libsbml.AST_FUNCTION_ARCCSC: "arccsc",
    libsbml.AST_FUNCTION_ARCCSCH: "arccsch",
    libsbml.AST_FUNCTION_ARCSEC: "arcsec",
    libsbml.AST_FUNCTION_ARCSECH: "arcsech",
    libsbml.AST_FUNCTION_ARCSIN: "arcsin",
    libsbml.AST_FUNCTION_ARCSINH: "arcsinh",
    libsbml.AST_FUNCTION_ARCTAN: "arctan",
    libsbml.AST_FUNCTION_ARCTANH: "arctanh",
    libsbml.AST_FUNCTION_CEILING: "ceiling",
    libsbml.AST_FUNCTION_COS: "cos",
    libsbml.AST_FUNCTION_COSH: "cosh",
    libsbml.AST_FUNCTION_COT: "cot",
    libsbml.AST_FUNCTION_COTH: "coth",
    libsbml.AST_FUNCTION_CSC: "csc",
    libsbml.AST_FUNCTION_CSCH: "csch",
    libsbml.AST_FUNCTION_EXP: "exp",
    libsbml.AST_FUNCTION_FACTORIAL: "factorial",
    libsbml.AST_FUNCTION_FLOOR: "floor",
    libsbml.AST_FUNCTION_LN: "ln",
    libsbml.AST_FUNCTION_LOG: "log",
    libsbml.AST_FUNCTION_MAX: "max",
    libsbml.AST_FUNCTION_MIN: "min",
    libsbml.AST_FUNCTION_PIECEWISE: "piecewise",
    libsbml.AST_FUNCTION_QUOTIENT: "quotient",
    libsbml.AST_FUNCTION_REM: "rem",
    libsbml.AST_FUNCTION_ROOT: "root",
    libsbml.AST_FUNCTION_SEC: "sec",
    libsbml.AST_FUNCTION_SECH: "sech",
    libsbml.AST_FUNCTION_SIN: "sin",
    libsbml.AST_FUNCTION_SINH: "sinh",
    libsbml.AST_FUNCTION_TAN: "tan",
    libsbml.AST_FUNCTION_TANH: "tanh",
    libsbml.AST_LOGICAL_AND: "and",
    libsbml.AST_LOGICAL_IMPLIES: "implies",
    libsbml.AST_LOGICAL_NOT: "not",
    libsbml.AST_LOGICAL_OR: "or",
    libsbml.AST_LOGICAL_XOR: "xor",
    libsbml.AST_RELATIONAL_EQ: "eq",
    libsbml.AST_RELATIONAL_GEQ: "geq",
    libsbml.AST_RELATIONAL_GT: "gt",
    libsbml.AST_RELATIONAL_LEQ: "leq",
    libsbml.AST_RELATIONAL_LT: "lt",
    libsbml.AST_RELATIONAL_NEQ: "neq",
    libsbml.AST_CONSTANT_TRUE: "true",
    libsbml.AST_CONSTANT_FALSE: "false",
    libsbml.AST_NAME_TIME: ex.TIME,
    libsbml.AST_FUNCTION_RATE_OF: ex.RATE_OF,
    libsbml.AST_FUNCTION_DELAY: ex.DELAY,
}

_CONSTANTS = {
    libsbml.AST_CONSTANT_E: 2.718281828459045,
    libsbml.AST_CONSTANT_PI: 3.141592653589793,
    libsbml.AST_NAME_AVOGADRO: AVOGADRO,
}

_NUMBERS = {
    libsbml.AST_INTEGER,
    libsbml.AST_REAL,
    libsbml.AST_REAL_E,
    libsbml.AST_RATIONAL,
}


def unit_of(model: Any, name: str) -> UnitParts | None:
    """Return a unit by the id of its definition or its SBML kind."""
    if not name:
        return None
    definition = model.getUnitDefinition(name)
    if definition is None:
        known = libsbml.UnitKind_forName(name) != libsbml.UNIT_KIND_INVALID
        return ((name, 1.0, 0, 1.0),) if known else None
    return tuple(
        (
            libsbml.UnitKind_toString(unit.getKind()),
            float(unit.getExponentAsDouble()),
            int(unit.getScale()),
            float(unit.getMultiplier()),
        )
        for unit in definition.getListOfUnits()
    )


class Formulas:
    """Reads the formulas of one model; holds its function definitions."""

    def __init__(self, model: Any, name: str) -> None:
        self.model, self.name = model, name
        self.functions = {f.getId(): f for f in model.getListOfFunctionDefinitions()}
        ex.order(
            {key: _called(f.getMath()) for key, f in self.functions.items()},
            lambda path: f"{name}: a function is defined through itself: {path}.",
        )

    def read(self, node: Any, where: str) -> ex.Expr:
        """Return one formula; a missing one, or one too long, is an error."""
        if node is None:
            raise ModelError(f"{self.name}: {where} has no formula.")
        return self._bounded(self._expr(node, where, {}), where)

    def _bounded(self, made: ex.Expr, where: str) -> ex.Expr:
        """Return a formula that is not too long to be differentiated."""
        if ex.size(made, arity.MAX_SIZE) >= arity.MAX_SIZE:
            raise ModelError(arity.too_long(f"{self.name}: {where}"))
        return made

    def _expr(
        self,
        root: Any,
        where: str,
        arguments: dict[str, ex.Expr],
    ) -> ex.Expr:
        """Return one libSBML formula as ours, function definitions expanded.

        Walks with a stack of its own: how deep a file nests is not ours to choose.
        """
        waiting = [(root, False)]
        done: list[ex.Expr] = []  # finished operands
        while waiting:
            node, ready = waiting.pop()
            count = node.getNumChildren()
            if not ready and count:
                waiting.append((node, True))
                waiting += [(node.getChild(i), False) for i in reversed(range(count))]
                continue
            operands = done[len(done) - count :]
            del done[len(done) - count :]
            made = self._node(node, operands, where, arguments)
            if ex.depth(made) > MAX_DEPTH:
                raise ModelError(
                    f"{self.name}: the formula of {where} is nested deeper than "
                    f"{MAX_DEPTH} levels; split it by assignment rules."
                )
            done.append(made)
        return done[0]

    def _node(
        self,
        node: Any,
        children: list[ex.Expr],
        where: str,
        arguments: dict[str, ex.Expr],
    ) -> ex.Expr:
        """Return one node whose operands are finished."""
        kind = node.getType()
        if kind in _NUMBERS:
            return ex.Number(node.getValue(), unit_of(self.model, node.getUnits()))
        if kind in _CONSTANTS:
            return ex.Number(_CONSTANTS[kind])
        if kind == libsbml.AST_NAME:
            return self._name(node.getName(), arguments)
        if kind == libsbml.AST_FUNCTION:
            return self._call(node.getName(), children, where)
        if kind not in _OPS:
            raise UnsupportedFeatureError(
                f"{self.name}: {where} uses `{node.getName() or kind}`, which is not "
                "supported."
            )
        return _operation(_OPS[kind], children)

    def _name(self, name: str, arguments: dict[str, ex.Expr]) -> ex.Expr:
        if name in arguments:
            return arguments[name]
        return ex.Symbol(name)

    def _call(
        self,
        name: str,
        arguments: list[ex.Expr],
        where: str,
    ) -> ex.Expr:
        """Expand a call of a function definition."""
        definition = self.functions.get(name)
        if definition is None:
            known = (*self.functions, *sorted(ex.FUNCTIONS))
            raise ModelError(
                f"{self.name}: {where} calls `{name}`, which is not a function. "
                f"{hint(name, known)}"
            )
        formal = [
            definition.getArgument(i).getName()
            for i in range(definition.getNumArguments())
        ]
        if len(formal) != len(arguments):
            raise ModelError(
                f"{self.name}: {where} calls `{name}` with {len(arguments)} arguments; "
                f"it takes {len(formal)}."
            )
        bound = dict(zip(formal, arguments, strict=True))
        body = definition.getBody()
        if body is None:
            raise ModelError(f"{self.name}: the function `{name}` has no body.")
        if len(arguments) == 1 and _stands_for_rate_of(definition, body):
            return ex.Call(ex.RATE_OF, tuple(arguments))
        return self._bounded(self._expr(body, where, bound), where)


_RATE_OF = "http://en.wikipedia.org/wiki/Derivative"


def _stands_for_rate_of(definition: Any, body: Any) -> bool:
    """Say whether a function stands for ``rateOf``, which Level 3 Version 1 lacks.

    COPASI writes it as a function that is not a number, and its meaning as annotation.
    """
    empty = body.getType() == libsbml.AST_REAL and math.isnan(body.getReal())
    return bool(empty and _RATE_OF in (definition.getAnnotationString() or ""))


def _called(root: Any) -> list[str]:
    """Return the names of the functions that a formula calls, with repetitions."""
    return [
        n.getName() for n in arity.nodes(root) if n.getType() == libsbml.AST_FUNCTION
    ]


_ASSOCIATIVE = {"plus", "times"}


def _operation(op: str, children: list[ex.Expr]) -> ex.Expr:
    """Return an operation; empty sums and products as MathML defines them."""
    if op in {"plus", "times"} and len(children) < 2:
        return children[0] if children else ex.Number(float(op == "times"))
    if op == "root" and len(children) == 1:
        children = [ex.Number(2.0), *children]
    if op == "log" and len(children) == 1:
        children = [ex.Number(10.0), *children]
    if op in _ASSOCIATIVE:
        # (a + b) + c is a + b + c: however long a sum is, it is one level deep.
        parts: list[ex.Expr] = []
        for child in children:
            same = isinstance(child, ex.Call) and child.op == op
            parts += child.args if same else (child,)  # type: ignore[union-attr]
        children = parts
    return ex.Call(op, tuple(children))
