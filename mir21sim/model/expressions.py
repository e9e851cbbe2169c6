"""Expression trees of formulas: records, traversal, order and text."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from mir21sim.errors import ModelError
from mir21sim.units import UnitParts


@dataclass(frozen=True, slots=True)
class Number:
    """A literal, with its unit where the file gives one."""

    value: float
    unit: UnitParts | None = None


@dataclass(frozen=True, slots=True)
class Symbol:
    """A reference by id to a species, parameter, compartment or reaction (its rate)."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """An operator or function of the table ``OPERATORS`` applied to its arguments."""

    op: str
    args: tuple["Expr", ...]


Expr: TypeAlias = Number | Symbol | Call


TIME = "time"
"""Operator without arguments that stands for the simulation time."""


RATE_OF = "rateOf"
"""Operator for the rate of change of the id that is its argument."""


DELAY = "delay"
"""Operator for its first argument at an earlier time: by how much is the second."""


INFIX = {"plus": " + ", "minus": " - ", "times": "*", "divide": "/", "power": "^"}


RELATIONS = {"eq": "==", "neq": "!=", "lt": "<", "leq": "<=", "gt": ">", "geq": ">="}


_NAMES = """
abs arccos arccosh arccot arccoth arccsc arccsch arcsec arcsech arcsin arcsinh arctan
arctanh ceiling cos cosh cot coth csc csch exp factorial floor ln log max min piecewise
quotient rem root sec sech sin sinh tan tanh
"""


FUNCTIONS = frozenset(_NAMES.split())


LOGIC = frozenset({"and", "or", "not", "xor", "implies", "true", "false"})


OPERATORS = (
    frozenset(INFIX) | frozenset(RELATIONS) | FUNCTIONS | LOGIC | {TIME, RATE_OF, DELAY}
)


def symbols(expr: Expr) -> Iterator[str]:
    """Yield the ids in an expression, left to right, with repetitions."""
    stack = [expr]
    while stack:
        node = stack.pop()
        if isinstance(node, Symbol):
            yield node.name
        elif isinstance(node, Call):
            stack.extend(reversed(node.args))


def operators(expr: Expr) -> Iterator[str]:
    """Yield the operators and functions in an expression, with repetitions."""
    stack = [expr]
    while stack:
        node = stack.pop()
        if isinstance(node, Call):
            yield node.op
            stack.extend(node.args)


def uses_time(expr: Expr) -> bool:
    """Say whether the simulation time, or a delayed value, stands in an expression."""
    return any(op in (TIME, DELAY) for op in operators(expr))


def depth(expr: Expr) -> int:
    """Return how many operations stand within each other at most, the leaf included."""
    deepest, level = 0, [expr]
    while level:
        deepest += 1
        level = [a for node in level if isinstance(node, Call) for a in node.args]
    return deepest


def size(expr: Expr, limit: int) -> int:
    """Return how many nodes an expression has, counted up to a limit."""
    count, stack = 0, [expr]
    while stack and count < limit:
        node = stack.pop()
        count += 1
        if isinstance(node, Call):
            stack.extend(node.args)
    return count


def substitute(
    expr: Expr, values: Mapping[str, Expr], made: dict[int, Expr] | None = None
) -> Expr:
    """Return the expression with some ids replaced by other expressions.

    Parameters
    ----------
    made : what has been made of operations of the same expression, by ``id``: parts
        that are shared remain so
    """
    if isinstance(expr, Symbol):
        return values.get(expr.name, expr)
    if not isinstance(expr, Call):
        return expr
    made = {} if made is None else made
    if id(expr) not in made:
        args = tuple(substitute(arg, values, made) for arg in expr.args)
        same = all(a is b for a, b in zip(args, expr.args, strict=True))
        made[id(expr)] = expr if same else Call(expr.op, args)
    return made[id(expr)]


def text(expr: Expr) -> str:
    """Return an expression as a person would type it, for messages.

    Examples
    --------
    >>> text(Call("times", (Symbol("k"), Call("plus", (Symbol("A"), Number(1.0))))))
    'k*(A + 1)'
    """
    if isinstance(expr, Number):
        return f"{expr.value:g}"
    if isinstance(expr, Symbol):
        return expr.name
    if expr.op == TIME:
        return "time"
    if expr.op == "minus" and len(expr.args) == 1:
        return "-" + _inner(expr.args[0], "times")
    joiner = INFIX.get(expr.op) or RELATIONS.get(expr.op)
    if joiner is None:
        return f"{expr.op}({', '.join(text(arg) for arg in expr.args)})"
    return joiner.join(
        _inner(arg, expr.op, last=i > 0) for i, arg in enumerate(expr.args)
    )


_BINDS = {"plus": 1, "minus": 1, "times": 2, "divide": 2, "power": 3}


def _inner(arg: Expr, outer: str, last: bool = False) -> str:
    """Return an argument, in brackets where the outer operator binds closer."""
    shown = text(arg)
    if not isinstance(arg, Call) or arg.op not in _BINDS | dict.fromkeys(RELATIONS, 0):
        return shown
    inner, around = _BINDS.get(arg.op, 0), _BINDS.get(outer, 0)
    needs = inner < around or (last and inner == around and outer in _NOT_ASSOCIATIVE)
    return f"({shown})" if needs else shown


_NOT_ASSOCIATIVE = {"minus", "divide", "power"}


def order(
    definitions: Mapping[str, Iterable[str]], describe: Callable[[str], str]
) -> tuple[str, ...]:
    """Sort variables so that each stands after those it needs.

    Parameters
    ----------
    definitions : variable to the ids in its formula (others than keys are ignored)
    describe : the kind of the definitions, used in the message of a cycle

    Raises
    ------
    ModelError
        For a cycle, printed as ``a → b → a``.
    """
    needs = {k: [i for i in ids if i in definitions] for k, ids in definitions.items()}
    done: dict[str, bool] = {}
    result: list[str] = []
    for start in needs:
        stack = [(start, iter(needs[start]))] if start not in done else []
        done.setdefault(start, False)
        while stack:
            name, waiting = stack[-1]
            for other in waiting:
                if other not in done:
                    done[other] = False
                    stack.append((other, iter(needs[other])))
                    break
                if not done[other]:
                    path = [entry for entry, _ in stack]
                    cycle = [*path[path.index(other) :], other]
                    raise ModelError(describe(" → ".join(cycle)))
            else:
                stack.pop()
                done[name] = True
                result.append(name)
    return tuple(result)
