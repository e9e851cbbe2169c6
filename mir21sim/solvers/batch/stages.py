"""Loops over rows of eight lanes: stage sums, error norm, dense output.

Generic in the model: one compiled driver serves all. Each loop reads a row of every
stage once; coefficients are read before the loop.
"""

from collections.abc import Callable
from typing import Any

import llvmlite.ir as ll
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from mir21sim.compiler.llvm_lanes import LANES, data_pointers

_F8 = ll.DoubleType()
_I64 = ll.IntType(64)
_VEC = ll.VectorType(_F8, LANES)
# A product and a sum may be one rounding, the same way in all lanes.
_FUSE = ("contract",)


class _Rows:
    """Loads, stores and arithmetic on rows for one intrinsic."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def place(self, pointer: Any, row: Any) -> Any:
        # Row r begins at the number 8·r of a C-ordered (rows, 8) array.
        index = self.builder.mul(row, ll.Constant(_I64, LANES))
        element = self.builder.gep(pointer, [index], inbounds=True)
        return self.builder.bitcast(element, _VEC.as_pointer())

    def load(self, pointer: Any, row: Any) -> Any:
        # NumPy promises 8 bytes of alignment, not the 64 of a vector.
        return self.builder.load(self.place(pointer, row), align=8)

    def store(self, value: Any, pointer: Any, row: Any) -> None:
        self.builder.store(value, self.place(pointer, row), align=8)

    def splat(self, pointer: Any, index: Any) -> Any:
        """Return one number of a plain array in all lanes."""
        element = self.builder.gep(pointer, [index], inbounds=True)
        return self.broadcast(self.builder.load(element))

    def broadcast(self, scalar: Any) -> Any:
        empty = ll.Constant(_VEC, ll.Undefined)
        zero = ll.Constant(ll.IntType(32), 0)
        first = self.builder.insert_element(empty, scalar, zero)
        mask = ll.Constant(ll.VectorType(ll.IntType(32), LANES), [0] * LANES)
        return self.builder.shuffle_vector(first, empty, mask)

    def constant(self, value: float) -> Any:
        return ll.Constant(_VEC, [value] * LANES)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        product = self.builder.fmul(a, b, flags=_FUSE)
        return self.builder.fadd(product, c, flags=_FUSE)

    def call(self, name: str, *arguments: Any) -> Any:
        kind = ll.FunctionType(_VEC, [_VEC] * len(arguments))
        function = cgutils.get_or_insert_function(
            self.builder.module, kind, f"llvm.{name}.v{LANES}f64"
        )
        return self.builder.call(function, arguments)


def _index(value: int) -> Any:
    return ll.Constant(_I64, value)


def _stage_row(rows: _Rows, stages: Any, j: int, n: Any, row: Any) -> Any:
    """Return row `row` of stage j in the array (s, n, 8)."""
    offset = rows.builder.add(rows.builder.mul(_index(j), n), row)
    return rows.load(stages, offset)


def combine(m: int, *, chained: bool) -> Any:
    """Return an intrinsic that prepares stage m: its argument and its linear term.

    ``(y, stages, a, c, per_h, ys, g, n)``: ys = y + Σ a_j U_j (or, chained, the last
    argument plus the last stage), g = (Σ c_j U_j) · per_h, over j < m.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        y, stages, a, c, per_h, ys, g = data_pointers(
            context, builder, signature.args[:-1], args[:-1]
        )
        n, rows = args[-1], _Rows(builder)
        # a = A[i] and c = C[i], the coefficients of stage m, each in all lanes.
        weights = [rows.splat(a, _index(j)) for j in range(m)]
        factors = [rows.splat(c, _index(j)) for j in range(m)]
        over_h = rows.load(per_h, _index(0))
        with cgutils.for_range(builder, n) as loop:
            r = loop.index
            found = [_stage_row(rows, stages, j, n, r) for j in range(m)]
            if chained:
                # Y_m = Y_{m−1} + U_{m−1}; ys still holds Y_{m−1}.
                argument = builder.fadd(rows.load(ys, r), found[-1], flags=_FUSE)
            else:
                # Y_m = y + Σ_j a_j U_j.
                argument = rows.load(y, r)
                for weight, value in zip(weights, found, strict=True):
                    argument = rows.multiply_add(weight, value, argument)
            # g = (1/h) Σ_j c_j U_j.
            linear = builder.fmul(factors[0], found[0], flags=_FUSE)
            for factor, value in zip(factors[1:], found[1:], strict=True):
                linear = rows.multiply_add(factor, value, linear)
            rows.store(argument, ys, r)
            rows.store(builder.fmul(linear, over_h), g, r)
        return context.get_dummy_value()

    def typer(
        _ctx: Any, y: Any, u: Any, a: Any, c: Any, h: Any, s: Any, g: Any, n: Any
    ) -> Any:
        return types.void(y, u, a, c, h, s, g, n), codegen

    return intrinsic(typer)


def spread(m: int) -> Any:
    """Return an intrinsic that gives the adjoint of stage m to the stages before it.

    ``(stages, a, c, per_h, z, argument, n)``: U_j += c_j · per_h · z + a_j · argument
    over j < m, the transpose of ``combine``.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        stages, a, c, per_h, z, argument = data_pointers(
            context, builder, signature.args[:-1], args[:-1]
        )
        n, rows = args[-1], _Rows(builder)
        over_h = rows.load(per_h, _index(0))
        weights = [rows.splat(a, _index(j)) for j in range(m)]
        factors = [
            builder.fmul(rows.splat(c, _index(j)), over_h, flags=_FUSE)
            for j in range(m)
        ]
        with cgutils.for_range(builder, n) as loop:
            r = loop.index
            own, other = rows.load(z, r), rows.load(argument, r)
            for j in range(m):
                offset = builder.add(builder.mul(_index(j), n), r)
                found = rows.multiply_add(factors[j], own, rows.load(stages, offset))
                found = rows.multiply_add(weights[j], other, found)
                rows.store(found, stages, offset)
        return context.get_dummy_value()

    def typer(
        _ctx: Any, u: Any, a: Any, c: Any, h: Any, z: Any, ob: Any, n: Any
    ) -> Any:
        return types.void(u, a, c, h, z, ob, n), codegen

    return intrinsic(typer)


def _finish_code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    pointers = data_pointers(context, builder, signature.args[:-1], args[:-1])
    y, last, ys, peak, atol, floor, rel, error, low = pointers
    n, rows = args[-1], _Rows(builder)
    # rel = (rtol, share of the peak); y, last, ys, peak (n, 8), atol, floor (n,).
    relative, share = rows.splat(rel, _index(0)), rows.splat(rel, _index(1))
    total = cgutils.alloca_once_value(builder, rows.constant(0.0))
    least = cgutils.alloca_once_value(builder, rows.constant(float("inf")))
    with cgutils.for_range(builder, n) as loop:
        r = loop.index
        # y1 = Y_s + U_s.
        change = rows.load(last, r)
        new = builder.fadd(rows.load(ys, r), change)
        rows.store(new, ys, r)
        old_size = rows.call("fabs", rows.load(y, r))
        new_size = rows.call("fabs", new)
        # A comparison with NaN is false: a NaN in `new` is kept, the error is NaN.
        bigger = builder.select(
            builder.fcmp_ordered(">", old_size, new_size), old_size, new_size
        )
        # error += (U_s/(atol + rtol·max(|y0|, |y1|)))².
        scale = rows.multiply_add(relative, bigger, rows.splat(atol, r))
        ratio = builder.fdiv(change, scale)
        builder.store(rows.multiply_add(ratio, ratio, builder.load(total)), total)
        # low = min(low, y1 + share·peak + floor).
        slack = rows.multiply_add(share, rows.load(peak, r), rows.splat(floor, r))
        margin = builder.fadd(new, slack)
        before = builder.load(least)
        smaller = builder.select(
            builder.fcmp_ordered("<", margin, before), margin, before
        )
        builder.store(smaller, least)
    rows.store(builder.load(total), error, _index(0))
    rows.store(builder.load(least), low, _index(0))
    return context.get_dummy_value()


@intrinsic
def finish(_ctx, y, last, ys, peak, atol, floor, rel, error, low, n):
    """Add the last stage; sum the squares of the scaled error; find the least margin.

    ys += last; error = Σ (last/(atol + rel₀·max(abs(y), abs(ys))))²; low = min(ys +
    rel₁·peak + floor), each per lane.
    """
    return types.void(y, last, ys, peak, atol, floor, rel, error, low, n), _finish_code


def _accept_code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    y, ys, peak, mask = data_pointers(context, builder, signature.args[:-1], args[:-1])
    rows = _Rows(builder)
    # A choice and no branch: each lane is accepted or not by its own mask.
    taken = builder.fcmp_ordered(">", rows.load(mask, _index(0)), rows.constant(0.0))
    with cgutils.for_range(builder, args[-1]) as loop:
        r = loop.index
        new = builder.select(taken, rows.load(ys, r), rows.load(y, r))
        rows.store(new, y, r)
        size, before = rows.call("fabs", new), rows.load(peak, r)
        larger = builder.select(builder.fcmp_ordered(">", size, before), size, before)
        rows.store(larger, peak, r)
    return context.get_dummy_value()


@intrinsic
def accept(_ctx, y, ys, peak, mask, n):
    """Take over ys into y in the lanes whose mask is above 0; raise their peaks."""
    return types.void(y, ys, peak, mask, n), _accept_code


def dense(s: int) -> Any:
    """Return an intrinsic for the interpolant of some states.

    ``(stages, h_rows, need, k, n, n_need)``: k (3, n_need, 8) = Σ_j H_mj U_j at the
    rows `need`.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        arrays = data_pointers(context, builder, signature.args[:4], args[:4])
        stages, table, need, k = arrays
        n, n_need, rows = args[4], args[5], _Rows(builder)
        weights = [
            [rows.splat(table, _index(m * s + j)) for j in range(s)] for m in range(3)
        ]
        with cgutils.for_range(builder, n_need) as loop:
            # k_m[row] = Σ_j H_mj U_j[state], m = 1, 2, 3; H is flat, (3·s,).
            state = builder.load(builder.gep(need, [loop.index], inbounds=True))
            found = [_stage_row(rows, stages, j, n, state) for j in range(s)]
            for m in range(3):
                total = builder.fmul(weights[m][0], found[0], flags=_FUSE)
                for weight, value in zip(weights[m][1:], found[1:], strict=True):
                    total = rows.multiply_add(weight, value, total)
                place = builder.add(builder.mul(_index(m), n_need), loop.index)
                rows.store(total, k, place)
        return context.get_dummy_value()

    def typer(_ctx: Any, u: Any, h: Any, need: Any, k: Any, n: Any, m: Any) -> Any:
        return types.void(u, h, need, k, n, m), codegen

    return intrinsic(typer)


COMBINE: dict[tuple[int, bool], Callable[..., Any]] = {
    # Stage m has m terms; eight stages at most.
    (m, chained): combine(m, chained=chained)
    for m in range(1, 8)
    for chained in (False, True)
}

SPREAD: dict[int, Callable[..., Any]] = {m: spread(m) for m in range(1, 8)}
