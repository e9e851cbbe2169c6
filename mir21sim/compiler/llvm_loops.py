"""LU factors and triangular solves of many statements, as loops over tables.

Straight-line code takes about 20 µs to compile for each statement, and an elimination
of a network of 300 species whose reactions have 40 reactants has 200,000. These loops
do the same operations in the same order on the same rows; the tables say which rows.
Numbers may differ in the last bit: the compiler joins a product and a sum in one
rounding where it sees both, and in a loop it sees one statement.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import llvmlite.ir as ll
import numpy as np
from numba.core import cgutils

Tables: TypeAlias = tuple[tuple[int, ...], ...]
"""Rows of each step of an elimination, in its order; (below, right) begin at the steps.

``pivot`` (n), ``kept`` (n, row of the element of W before the elimination, −1 for
none), ``state`` (n), ``below_start`` (n + 1), ``multiplier`` and ``below_state`` (all
below), ``right_start`` (n + 1), ``upper`` and ``right_state`` (all right), ``target``
(of each step: below × right), ``growth`` (1).
"""

NAMES = (
    "pivot", "kept", "state", "below_start", "multiplier", "below_state",
    "right_start", "upper", "right_state", "target", "growth",
)  # fmt: skip
ELIMINATE, SUBSTITUTE = "eliminate", "substitute"
HOW = frozenset({ELIMINATE, SUBSTITUTE})
"""What a statement of a program says in place of "=", with tables as its expression."""

_I32, _I64 = ll.IntType(32), ll.IntType(64)


class Loops:
    """Writes the loops of one statement into an LLVM function.

    Parameters
    ----------
    emitter : of the function; it knows the kind of a number, of one run or of eight
    tables : what the statement works on
    """

    def __init__(self, emitter: Any, tables: Tables) -> None:
        self.emitter, self.builder = emitter, emitter.builder
        self.made = {
            name: self._constant(rows) for name, rows in zip(NAMES, tables, strict=True)
        }
        self.n = ll.Constant(_I64, len(tables[0]))

    def write(self, how: str) -> None:
        """Write the loops of a statement."""
        if how == ELIMINATE:
            self._eliminate()
        else:
            self._forward()
            self._backward()

    def _constant(self, rows: Sequence[int]) -> Any:
        """Return a pointer to whole numbers that lie beside the code."""
        body = bytearray(np.asarray(rows, dtype="<i4").tobytes())
        kind = ll.ArrayType(ll.IntType(8), max(1, len(body)))
        module = self.builder.module
        made = ll.GlobalVariable(module, kind, module.get_unique_name("rows"))
        made.linkage, made.global_constant, made.align = "internal", True, 4
        made.initializer = ll.Constant(kind, body or bytearray(1))
        return self.builder.bitcast(made, _I32.as_pointer())

    def _entry(self, name: str, place: Any) -> Any:
        """Return a number of a table."""
        pointer = self.builder.gep(self.made[name], [place])
        return self.builder.sext(self.builder.load(pointer, align=4), _I64)

    def _at(self, array: str, row: Any) -> Any:
        """Return the pointer of a row that is known at run time."""
        emitter, builder = self.emitter, self.builder
        place = builder.mul(row, ll.Constant(_I64, emitter.lanes))
        pointer = builder.gep(emitter.pointers[array], [place])
        return builder.bitcast(pointer, emitter.kind.as_pointer())

    def _load(self, pointer: Any) -> Any:
        return self.builder.load(pointer, align=8)

    @contextmanager
    def _over(self, name: str, step: Any) -> Iterator[Any]:
        """Loop over the places of a table that belong to a step."""
        start = self._entry(f"{name}_start", step)
        following = self.builder.add(step, ll.Constant(_I64, 1))
        stop = self._entry(f"{name}_start", following)
        one = ll.Constant(_I64, 1)
        with cgutils.for_range_slice(self.builder, start, stop, one) as (place, _):
            yield place

    def _less(self, before: Any, pointer: Any, factor: Any) -> Any:
        """Return ``before − row·factor``, rounded as a statement is."""
        emitter = self.emitter
        return emitter.less(before, emitter.times(self._load(pointer), factor))

    def _eliminate(self) -> None:
        emitter, builder = self.emitter, self.builder
        count = cgutils.alloca_once_value(builder, ll.Constant(_I64, 0))
        with cgutils.for_range(builder, self.n) as loop:
            step = loop.index
            place = self._at("w", self._entry("pivot", step))
            pivot = builder.fdiv(emitter.constant(1.0), self._load(place))
            builder.store(pivot, place, align=8)
            kept = self._entry("kept", step)
            with builder.if_then(builder.icmp_signed(">=", kept, ll.Constant(_I64, 0))):
                self._watch(kept, pivot)
            with self._over("below", step) as below:
                where = self._at("w", self._entry("multiplier", below))
                multiplier = emitter.times(self._load(where), pivot)
                builder.store(multiplier, where, align=8)
                with self._over("right", step) as right:
                    done = builder.load(count)
                    target = self._at("w", self._entry("target", done))
                    upper = self._at("w", self._entry("upper", right))
                    value = self._less(self._load(target), upper, multiplier)
                    builder.store(value, target, align=8)
                    builder.store(builder.add(done, ll.Constant(_I64, 1)), count)

    def _watch(self, kept: Any, pivot: Any) -> None:
        """Keep the least share of its element of W that a pivot is."""
        emitter = self.emitter
        growth = self._at("a", self._entry("growth", ll.Constant(_I64, 0)))
        product = emitter.times(self._load(self._at("a", kept)), pivot)
        share = emitter.call("fabs", [product])
        self.builder.store(emitter.least(self._load(growth), share), growth, align=8)

    def _forward(self) -> None:
        with cgutils.for_range(self.builder, self.n) as loop:
            own = self._at("out", self._entry("state", loop.index))
            with self._over("below", loop.index) as below:
                where = self._at("out", self._entry("below_state", below))
                multiplier = self._load(self._at("w", self._entry("multiplier", below)))
                value = self._less(self._load(where), own, multiplier)
                self.builder.store(value, where, align=8)

    def _backward(self) -> None:
        emitter, builder = self.emitter, self.builder
        last = builder.sub(self.n, ll.Constant(_I64, 1))
        with cgutils.for_range(builder, self.n) as loop:
            step = builder.sub(last, loop.index)
            own = self._at("out", self._entry("state", step))
            with self._over("right", step) as right:
                upper = self._load(self._at("w", self._entry("upper", right)))
                known = self._at("out", self._entry("right_state", right))
                value = self._less(self._load(own), known, upper)
                builder.store(value, own, align=8)
            pivot = self._load(self._at("w", self._entry("pivot", step)))
            builder.store(emitter.times(self._load(own), pivot), own, align=8)
