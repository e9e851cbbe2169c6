"""One run at a time: straight-line functions → scalar machine code.

The functions of a generated module are long and simple: every line sets a name or an
element of the result to an expression of numbers. Numba's analysis of such a function
takes more than linear time in its length and minutes for a thousand species. Here the
same text becomes LLVM code inside a Numba function, as in ``vector``, operation for
operation the code that Numba makes: the numbers are the same to the last bit.
"""

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import llvmlite.ir as ll
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from mir21sim.compiler.llvm_lanes import INTRINSICS, LIBRARY, data_pointers
from mir21sim.errors import CodegenError

PIECE = 400
"""Statements or terms of sums per LLVM function: compiling one is not linear either."""

_ON_STACK = 8192
"""Numbers in between that the stack takes; more of them come from the heap."""

_F8, _BIT = ll.DoubleType(), ll.IntType(1)
_I64 = ll.IntType(64)
_POINTER = _F8.as_pointer()
# Names of generated text that are numbers, and a function that Numba brings along.
_CONSTANTS = {"inf": float("inf"), "nan": float("nan")}
_LIBRARY_NAMES = {"gamma": "numba_gamma"}
_COMPARE = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==",
    ast.NotEq: "!=",
}  # fmt: skip
_UNROLLED = 0x10000  # Numba multiplies out whole powers up to this one

Term: TypeAlias = tuple[int, float, int]
"""(row of the sum, factor, which value)."""


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Sparse sums over the values of a function: out[row] = Σ factor·value.

    Attributes
    ----------
    n_out : length of the result; a row without terms is zero
    n_value : length of the array that the function fills
    terms : added up in this order
    """

    n_out: int
    n_value: int
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """A function cut into pieces.

    Attributes
    ----------
    pieces : lists of (target, expression)
    result : name of the array that is filled
    loads : names that stand for an element of an argument
    slots : places in memory of the names that one piece sets and another one reads
    """

    pieces: list[list[tuple[ast.expr, ast.expr]]]
    result: str
    loads: dict[str, tuple[str, int]]
    slots: dict[str, int]


def emitter(text: str, name: str, sums: Sums | None = None) -> Any:
    """Return a Numba intrinsic ``(t, y, p, out)`` that computes the same as a function.

    Parameters
    ----------
    text : text of a generated module
    name : a function in it, of assignments alone, arguments (t, y, p, result)
    sums : the content of `out` instead of the function's own result
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        plan = _plan(_function(text, name))

        arrays = data_pointers(context, builder, signature.args[1:], args[1:])
        t, (y, p, out) = args[0], arrays
        n_value = 0 if sums is None else sums.n_value
        memory = _Memory(builder, len(plan.slots) + n_value)
        # Memory: first the slots of names, then the values that are summed up.
        between = memory.at(len(plan.slots)) if sums is not None else out
        for piece in plan.pieces:
            called = _piece(builder.module, plan, piece)
            builder.call(called, [t, y, p, between, memory.at(0)])
        if sums is not None:
            for rows in _portions(sums):
                builder.call(_sum(builder.module, rows), [between, out])
        memory.release()
        return context.get_dummy_value()

    def typer(_ctx: Any, t: Any, y: Any, p: Any, out: Any) -> Any:
        return types.void(t, y, p, out), codegen

    return intrinsic(typer)


class _Memory:
    """Room for numbers in between, for the time of one call."""

    def __init__(self, builder: Any, count: int) -> None:
        self.builder, self.heap = builder, count > _ON_STACK
        if self.heap:
            bytes_type = ll.IntType(8).as_pointer()
            # 8 bytes a number; freed at the end of the call (`release`).
            make = _external(builder.module, "malloc", bytes_type, [_I64])
            self.raw = builder.call(make, [ll.Constant(_I64, 8 * count)])
            self.start = builder.bitcast(self.raw, _POINTER)
        else:
            size = ll.Constant(_I64, max(1, count))
            self.start = cgutils.alloca_once(builder, _F8, size=size)

    def at(self, place: int) -> Any:
        return self.builder.gep(self.start, [ll.Constant(_I64, place)], inbounds=True)

    def release(self) -> None:
        if self.heap:
            free = _external(
                self.builder.module, "free", ll.VoidType(), [self.raw.type]
            )
            self.builder.call(free, [self.raw])


def _external(module: Any, name: str, result: Any, arguments: Sequence[Any]) -> Any:
    kind = ll.FunctionType(result, list(arguments))
    return cgutils.get_or_insert_function(module, kind, name)


def _function(text: str, name: str) -> ast.FunctionDef:
    """Return a function of a module text; only its lines are parsed."""
    start = text.index(f"\ndef {name}(") + 1
    end = text.find("\n\n\n", start)
    (function,) = ast.parse(text[start:end] if end >= 0 else text[start:]).body
    assert isinstance(function, ast.FunctionDef)
    return function


def _plan(function: ast.FunctionDef) -> _Plan:
    """Return a function cut into pieces, with the values that pass between them."""
    arguments = [argument.arg for argument in function.args.args]
    loads: dict[str, tuple[str, int]] = {}
    lines: list[tuple[ast.expr, ast.expr]] = []
    for node in function.body:
        if isinstance(node, ast.Return):
            continue
        if not isinstance(node, ast.Assign):
            raise CodegenError(f"`{ast.unparse(node)}` is no assignment.")
        target, value = node.targets[0], node.value
        # name = array[index]: loaded where it is used, in each piece again.
        if isinstance(target, ast.Name) and isinstance(value, ast.Subscript):
            loads[target.id] = _element(value)
        else:
            lines.append((target, value))
    pieces = [lines[k : k + PIECE] for k in range(0, len(lines), PIECE)]
    made: dict[str, int] = {}
    slots: dict[str, int] = {}
    for k, piece in enumerate(pieces):
        for target, value in piece:
            # made: the piece that sets a name; slots: its place in memory.
            for name in _names(value):
                # Set in another piece: the name needs a place in memory.
                if made.get(name, k) != k:
                    slots.setdefault(name, len(slots))
            if isinstance(target, ast.Name):
                made[target.id] = k
    return _Plan(pieces, arguments[3], loads, slots)


def _names(expression: ast.expr) -> Iterable[str]:
    return (node.id for node in ast.walk(expression) if isinstance(node, ast.Name))


def _element(node: ast.Subscript) -> tuple[str, int]:
    """Return the array and the index of ``array[index]``."""
    assert isinstance(node.value, ast.Name)
    assert isinstance(node.slice, ast.Constant)
    assert isinstance(node.slice.value, int)
    return node.value.id, node.slice.value


def _new_function(module: Any, arguments: Sequence[Any]) -> tuple[Any, Any]:
    """Return an LLVM function of its own and a builder at its beginning."""
    kind = ll.FunctionType(ll.VoidType(), list(arguments))
    function = ll.Function(module, kind, module.get_unique_name("scalar"))
    function.linkage = "internal"
    function.attributes.add("noinline")
    return function, ll.IRBuilder(function.append_basic_block())


def _piece(module: Any, plan: _Plan, piece: Sequence[tuple[ast.expr, ast.expr]]) -> Any:
    """Return an LLVM function (t, y, p, result, memory) for a piece."""
    function, builder = _new_function(module, [_F8, *[_POINTER] * 4])
    t, y, p, result, memory = function.args
    _Emitter(builder, {"y": y, "p": p, plan.result: result}, t, memory, plan).run(piece)
    builder.ret_void()
    return function


def _portions(sums: Sums) -> list[list[tuple[int, list[tuple[float, int]]]]]:
    """Return (row, its terms) in portions of about a piece each."""
    rows: list[list[tuple[float, int]]] = [[] for _ in range(sums.n_out)]
    for row, factor, value in sums.terms:
        rows[row].append((factor, value))
    portions: list[list[tuple[int, list[tuple[float, int]]]]] = []
    room = 0
    for row, terms in enumerate(rows):
        if room <= 0:
            portions.append([])
            room = PIECE
        # A row is never cut, so that its terms are added in one order.
        portions[-1].append((row, terms))
        room -= 1 + len(terms)
    return portions


def _sum(module: Any, rows: Sequence[tuple[int, list[tuple[float, int]]]]) -> Any:
    """Return an LLVM function (values, out) that sets some rows of `out`."""
    function, builder = _new_function(module, [_POINTER] * 2)
    values, out = function.args
    for row, terms in rows:
        # From 0, in the order of the terms, without contraction, as Numba does it.
        total = ll.Constant(_F8, 0.0)
        for factor, which in terms:
            product = builder.fmul(
                ll.Constant(_F8, factor), builder.load(_at(builder, values, which))
            )
            total = builder.fadd(total, product)
        builder.store(total, _at(builder, out, row))
    builder.ret_void()
    return function


def _at(builder: Any, pointer: Any, index: int) -> Any:
    return builder.gep(pointer, [ll.Constant(_I64, index)], inbounds=True)


class _Emitter:
    """Writes the statements of a piece; every name is loaded or computed once."""

    def __init__(
        self, builder: Any, arrays: dict[str, Any], t: Any, memory: Any, plan: _Plan
    ) -> None:
        self.builder, self.arrays, self.memory = builder, arrays, memory
        self.plan = plan
        # Names that this piece has loaded or computed.
        self.known: dict[str, Any] = {"t": t}

    def run(self, piece: Sequence[tuple[ast.expr, ast.expr]]) -> None:
        for target, expression in piece:
            value = self.value(expression)
            if isinstance(target, ast.Subscript):
                array, index = _element(target)
                self.store(value, self.arrays[array], index)
                continue
            assert isinstance(target, ast.Name)
            self.known[target.id] = value
            if target.id in self.plan.slots:
                self.store(value, self.memory, self.plan.slots[target.id])

    def store(self, value: Any, pointer: Any, index: int) -> None:
        self.builder.store(self.as_number(value), _at(self.builder, pointer, index))

    def as_number(self, value: Any) -> Any:
        """Return a number, 1 for true."""
        return value if value.type == _F8 else self.builder.uitofp(value, _F8)

    def number(self, node: ast.expr) -> Any:
        return self.as_number(self.value(node))

    def truth(self, node: ast.expr) -> Any:
        """Return whether an expression is true; a number is where it is not zero."""
        value = self.value(node)
        if value.type == _BIT:
            return value
        # Unordered: NaN is true, as in Python.
        return self.builder.fcmp_unordered("!=", value, ll.Constant(_F8, 0.0))

    def name(self, name: str) -> Any:
        if name in _CONSTANTS:
            return ll.Constant(_F8, _CONSTANTS[name])
        if name not in self.known:
            if name in self.plan.loads:
                array, index = self.plan.loads[name]
                place = _at(self.builder, self.arrays[array], index)
            else:
                place = _at(self.builder, self.memory, self.plan.slots[name])
            self.known[name] = self.builder.load(place)
        return self.known[name]

    def value(self, node: ast.expr) -> Any:
        """Return the kind of an expression, a number or a truth value."""
        if isinstance(node, ast.Constant):
            if isinstance(node.value, bool):
                return ll.Constant(_BIT, int(node.value))
            assert isinstance(node.value, int | float)
            return ll.Constant(_F8, float(node.value))
        if isinstance(node, ast.Name):
            return self.name(node.id)
        if isinstance(node, ast.BinOp):
            return self.arithmetic(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return self.builder.fneg(self.number(node.operand))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self.builder.not_(self.truth(node.operand))
        if isinstance(node, ast.BoolOp):
            return self.logic(node)
        if isinstance(node, ast.Compare):
            return self.compare(node)
        if isinstance(node, ast.IfExp):
            test = self.truth(node.test)
            yes, no = self.number(node.body), self.number(node.orelse)
            return self.builder.select(test, yes, no)
        if isinstance(node, ast.Call):
            return self.call(node)
        raise CodegenError(f"`{ast.unparse(node)}` has no scalar code.")

    def arithmetic(self, node: ast.BinOp) -> Any:
        # A sum of a thousand terms is a thousand deep to the left.
        chain = [node]
        while isinstance(chain[-1].left, ast.BinOp):
            chain.append(chain[-1].left)
        result = self.number(chain[-1].left)
        for step in reversed(chain):
            result = self.combine(step.op, result, step.right)
        return result

    def combine(self, op: ast.operator, left: Any, right: ast.expr) -> Any:
        if isinstance(op, ast.Pow):
            return self.power(left, right)
        operation = {
            ast.Add: self.builder.fadd,
            ast.Sub: self.builder.fsub,
            ast.Mult: self.builder.fmul,
            ast.Div: self.builder.fdiv,
        }[type(op)]
        return operation(left, self.number(right))

    def power(self, base: Any, exponent: ast.expr) -> Any:
        try:
            number = ast.literal_eval(exponent)
        except ValueError:
            number = None
        if not isinstance(number, int) or abs(number) > _UNROLLED:
            return self.intrinsic("llvm.pow", [base, self.number(exponent)])
        # Square and multiply: base^n from the bits of |n|, then 1/base^|n| for n < 0.
        result, square, left = ll.Constant(_F8, 1.0), base, abs(number)
        while left:
            if left & 1:
                result = self.builder.fmul(result, square)
            left >>= 1
            square = self.builder.fmul(square, square)
        if number < 0:
            result = self.builder.fdiv(ll.Constant(_F8, 1.0), result)
        return result

    def call(self, node: ast.Call) -> Any:
        assert isinstance(node.func, ast.Name)
        name = node.func.id
        if name == "bool":
            return self.truth(node.args[0])
        arguments = [self.number(argument) for argument in node.args]
        if name in INTRINSICS:
            return self.intrinsic(INTRINSICS[name], arguments)
        if name not in LIBRARY and name not in _LIBRARY_NAMES:
            raise CodegenError(f"`{ast.unparse(node)}` has no scalar code.")
        full = _LIBRARY_NAMES.get(name, name)
        called = _external(self.builder.module, full, _F8, [_F8] * len(arguments))
        return self.builder.call(called, arguments)

    def intrinsic(self, name: str, arguments: list[Any]) -> Any:
        full = f"{name}.f64"
        called = _external(self.builder.module, full, _F8, [_F8] * len(arguments))
        return self.builder.call(called, arguments)

    def logic(self, node: ast.BoolOp) -> Any:
        # Both sides are computed: the expressions have no side effects.
        join = {ast.And: self.builder.and_, ast.Or: self.builder.or_}[type(node.op)]
        result = self.truth(node.values[0])
        for other in node.values[1:]:
            result = join(result, self.truth(other))
        return result

    def compare(self, node: ast.Compare) -> Any:
        left, right = self.number(node.left), self.number(node.comparators[0])
        sign = _COMPARE[type(node.ops[0])]
        # NaN != x is true, all other comparisons with NaN are false, as in Python.
        ordered = self.builder.fcmp_ordered
        compare = self.builder.fcmp_unordered if sign == "!=" else ordered
        return compare(sign, left, right)
