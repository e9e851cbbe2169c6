"""Eight runs side by side, or one: straight-line programs → machine instructions.

Rows are (row, lane) with eight lanes, contiguous in the lane, so that one operation on
eight runs is one instruction. A program is a list of statements over rows, written by
``codegen.lanes``; here it becomes LLVM code inside a Numba function, which compiles,
links and caches it. Lanes never mix: each run gets the same arithmetic in any company.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import llvmlite.ir as ll
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from mir21sim.compiler import llvm_loops

LANES = 8

Statement: TypeAlias = tuple[str, int, str, Any]
"""(target array, row, "=" or "+=", expression); expressions are nested tuples.

Loops over tables (``llvm_loops``) have their name in place of "=", the tables after it.
"""

_F8 = ll.DoubleType()
_I64 = ll.IntType(64)
_FUSE = ("contract",)  # a product and a sum may be one rounding, as on every lane

INTRINSICS = {
    "exp": "llvm.exp", "log": "llvm.log", "log10": "llvm.log10", "sqrt": "llvm.sqrt",
    "sin": "llvm.sin", "cos": "llvm.cos", "floor": "llvm.floor", "ceil": "llvm.ceil",
    "trunc": "llvm.trunc", "pow": "llvm.pow", "fabs": "llvm.fabs",
}  # fmt: skip
LIBRARY = {
    "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh",
}  # fmt: skip
CALLS = frozenset(INTRINSICS) | LIBRARY
"""Functions that a program may call."""


def text(program: Sequence[Statement]) -> str:
    """Return a program as text, one statement as a JSON array on each line."""
    return "\n".join(map(json.dumps, program))


def statements(text: str) -> list[Statement]:
    """Return a program from its ``text``."""
    lines = text.strip().splitlines()
    found: list[Statement] = _as_tuples(json.loads(f"[{','.join(lines)}]"))
    return list(found)


def _as_tuples(node: Any) -> Any:
    return tuple(map(_as_tuples, node)) if isinstance(node, list) else node


def emitter(arrays: Sequence[str], text: str, piece: int, lanes: int = LANES) -> Any:
    """Return a Numba intrinsic that runs a program on the arrays it is called with.

    Parameters
    ----------
    arrays : names of the intrinsic's arguments, all float arrays, shape (n_row, lanes)
    text : the program, read when it is compiled (``statements``)
    piece : statements per LLVM function; long straight-line code compiles in more than
        linear time, so it is cut
    lanes : runs side by side; one of them is plain scalar code
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointers = data_pointers(context, builder, signature.args, args)
        program = statements(text)
        for start in range(0, len(program), piece):
            part = program[start : start + piece]
            called = _function(builder.module, arrays, part, lanes)
            builder.call(called, pointers)
        return context.get_dummy_value()

    return intrinsic(_TYPERS[len(arrays)](codegen))


Program: TypeAlias = tuple[Sequence[str], str]
"""Names of the arrays of a program, and its text."""


def chooser(programs: Sequence[Program], piece: int) -> Any:
    """Return a Numba intrinsic that runs one of some programs on one run.

    It takes the number of the program and six addresses of arrays, of which the program
    uses the first ones. To compile one function of all programs takes a third of the
    time that as many functions take.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointers = data_pointers(context, builder, signature.args[1:], args[1:])
        end = builder.append_basic_block()
        switch = builder.switch(args[0], end)
        for number, (arrays, text) in enumerate(programs):
            block, program = builder.append_basic_block(), statements(text)
            switch.add_case(ll.Constant(_I64, number), block)
            builder.position_at_end(block)
            for start in range(0, len(program), piece):
                part = program[start : start + piece]
                called = _function(builder.module, arrays, part, 1)
                builder.call(called, pointers[: len(arrays)])
            builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    def typer(
        _ctx: Any, which: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any
    ) -> Any:
        return types.void(which, a, b, c, d, e, f), codegen

    return intrinsic(typer)


def data_pointers(context: Any, builder: Any, kinds: Any, args: Any) -> list[Any]:
    """Return the data pointer of each argument, an array or the address of numbers."""
    return [
        builder.inttoptr(value, _F8.as_pointer())
        if kind == types.intp
        else cgutils.create_struct_proxy(kind)(context, builder, value).data
        for kind, value in zip(kinds, args, strict=True)
    ]


# Numba reads an intrinsic's arity off its typing function, so each arity has its own.
_TYPERS: dict[int, Callable[..., Any]] = {
    2: lambda gen: lambda _ctx, a, b: (types.void(a, b), gen),
    3: lambda gen: lambda _ctx, a, b, c: (types.void(a, b, c), gen),
    4: lambda gen: lambda _ctx, a, b, c, d: (types.void(a, b, c, d), gen),
    5: lambda gen: lambda _ctx, a, b, c, d, e: (types.void(a, b, c, d, e), gen),
    6: lambda gen: lambda _ctx, a, b, c, d, e, f: (types.void(a, b, c, d, e, f), gen),
    7: lambda gen: lambda _ctx, a, b, c, d, e, f, g: (
        types.void(a, b, c, d, e, f, g), gen
    ),
    8: lambda gen: lambda _ctx, a, b, c, d, e, f, g, h: (
        types.void(a, b, c, d, e, f, g, h), gen
    ),
    9: lambda gen: lambda _ctx, a, b, c, d, e, f, g, h, i: (
        types.void(a, b, c, d, e, f, g, h, i), gen
    ),
    10: lambda gen: lambda _ctx, a, b, c, d, e, f, g, h, i, j: (
        types.void(a, b, c, d, e, f, g, h, i, j), gen
    ),
}  # fmt: skip


def _function(
    module: Any, arrays: Sequence[str], part: Sequence[Statement], lanes: int
) -> Any:
    """Return an LLVM function of its own for a part of a program."""
    kind = ll.FunctionType(ll.VoidType(), [_F8.as_pointer()] * len(arrays))
    function = ll.Function(module, kind, module.get_unique_name("lanes"))
    # noinline: pieces joined again would take more than linear time to compile.
    function.linkage = "internal"
    function.attributes.add("noinline")
    builder = ll.IRBuilder(function.append_basic_block())
    pointers = dict(zip(arrays, function.args, strict=True))
    _Emitter(builder, pointers, lanes).run(part)
    builder.ret_void()
    return function


class _Emitter:
    """Writes statements; a row is loaded once and an expression computed once."""

    def __init__(self, builder: Any, pointers: dict[str, Any], lanes: int) -> None:
        self.builder, self.pointers, self.lanes = builder, pointers, lanes
        self.kind = _F8 if lanes == 1 else ll.VectorType(_F8, lanes)
        self.volatile = frozenset({"w", "out"})  # written more than once
        self.rows: dict[tuple[str, int], Any] = {}
        self.known: dict[Any, Any] = {}

    def run(self, part: Sequence[Statement]) -> None:
        for array, row, how, expression in part:
            if how in llvm_loops.HOW:
                llvm_loops.Loops(self, expression).write(how)
                self.rows.clear()  # the loops wrote to rows that no name tells
                continue
            value = self.value(expression)
            # The old row is loaded, or known from an earlier statement.
            if how == "+=":
                value = self.add(self.row(array, row), value)
            self.builder.store(value, self.place(array, row), align=8)
            self.rows[array, row] = value

    def place(self, array: str, row: int) -> Any:
        # Row r begins at the number lanes·r of a C-ordered (rows, lanes) array.
        pointer = self.builder.gep(
            self.pointers[array], [ll.Constant(_I64, row * self.lanes)], inbounds=True
        )
        return self.builder.bitcast(pointer, self.kind.as_pointer())

    def row(self, array: str, row: int) -> Any:
        if (array, row) not in self.rows:
            loaded = self.builder.load(self.place(array, row), align=8)
            self.rows[array, row] = loaded
        return self.rows[array, row]

    def add(self, a: Any, b: Any) -> Any:
        return self.builder.fadd(a, b, flags=_FUSE)

    def less(self, a: Any, b: Any) -> Any:
        return self.builder.fsub(a, b, flags=_FUSE)

    def times(self, a: Any, b: Any) -> Any:
        return self.builder.fmul(a, b, flags=_FUSE)

    def least(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.builder.fcmp_ordered("<", b, a), b, a)

    def constant(self, value: float) -> Any:
        return self.repeated(_F8, value)

    def repeated(self, number: Any, value: Any) -> Any:
        """Return a constant that is the same in every lane."""
        if self.lanes == 1:
            return ll.Constant(number, value)
        return ll.Constant(ll.VectorType(number, self.lanes), [value] * self.lanes)

    def value(self, node: Any) -> Any:
        """Return the vector of an expression."""
        op = node[0]
        if op == "c":
            return self.constant(node[1])
        if op in self.pointers:
            return self.row(op, node[1])
        # Computed again: its value changes when `w` or `out` is written.
        if _mentions(node, self.volatile):
            return self.operation(op, node)
        if node not in self.known:
            self.known[node] = self.operation(op, node)
        return self.known[node]

    def operation(self, op: str, node: Any) -> Any:
        # From left to right, so that the order of rounding is fixed.
        if op in {"+", "*"}:
            combine = self.builder.fadd if op == "+" else self.builder.fmul
            result = self.value(node[1])
            for other in node[2:]:
                result = combine(result, self.value(other), flags=_FUSE)
            return result
        if op == "-":
            return self.less(self.value(node[1]), self.value(node[2]))
        if op == "/":
            # No contraction: a quotient is rounded by itself.
            return self.builder.fdiv(self.value(node[1]), self.value(node[2]))
        if op == "neg":
            return self.builder.fneg(self.value(node[1]))
        if op == "select":
            # Both branches are computed; each lane takes one of the results.
            test = self.truth(node[1])
            return self.builder.select(test, self.value(node[2]), self.value(node[3]))
        if op == "max0":
            value, zero = self.value(node[1]), self.constant(0.0)
            # max(0, x); NaN stays NaN, as the comparison is false.
            below = self.builder.fcmp_ordered("<", value, zero)
            return self.builder.select(below, zero, value)
        if op == "least":  # a number before NaN
            return self.least(self.value(node[1]), self.value(node[2]))
        return self.call(op, [self.value(argument) for argument in node[1:]])

    def truth(self, node: Any) -> Any:
        """Return the truth value of a condition in each lane."""
        op = node[0]
        if op in {"<", "<=", ">", ">=", "==", "!="}:
            a, b = self.value(node[1]), self.value(node[2])
            # IEEE 754: NaN != x is true, other comparisons with NaN are false.
            compare = (
                self.builder.fcmp_unordered if op == "!=" else self.builder.fcmp_ordered
            )
            return compare(op, a, b)
        if op == "not":
            return self.builder.not_(self.truth(node[1]))
        if op == "true" or op == "false":
            return self.repeated(ll.IntType(1), int(op == "true"))
        combine: Callable[..., Any] = {
            "and": self.builder.and_,
            "or": self.builder.or_,
            "xor": self.builder.xor,
        }[op]
        result = self.truth(node[1])
        for other in node[2:]:
            result = combine(result, self.truth(other))
        return result

    def call(self, name: str, arguments: list[Any]) -> Any:
        module = self.builder.module
        if name in INTRINSICS:
            kind = ll.FunctionType(self.kind, [self.kind] * len(arguments))
            size = "f64" if self.lanes == 1 else f"v{self.lanes}f64"
            full = f"{INTRINSICS[name]}.{size}"
            function = cgutils.get_or_insert_function(module, kind, full)
            return self.builder.call(function, arguments)
        # A library function has no vector form here: one call a lane.
        kind = ll.FunctionType(_F8, [_F8])
        function = cgutils.get_or_insert_function(module, kind, name)
        if self.lanes == 1:
            return self.builder.call(function, arguments)
        result = ll.Constant(self.kind, ll.Undefined)
        for lane in range(self.lanes):
            index = ll.Constant(ll.IntType(32), lane)
            scalar = self.builder.extract_element(arguments[0], index)
            value = self.builder.call(function, [scalar])
            result = self.builder.insert_element(result, value, index)
        return result


def _mentions(node: Any, arrays: frozenset[str]) -> bool:
    """Say whether an expression reads one of some arrays."""
    if not isinstance(node, tuple):
        return False
    if len(node) == 2 and isinstance(node[1], int):
        return node[0] in arrays
    return any(_mentions(part, arrays) for part in node[1:])
