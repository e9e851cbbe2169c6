"""The memory that the compiled driver of one run works on, and calls by address.

All numbers of a run over states are in one array, all its whole numbers in another, so
that a call of the driver takes a microsecond. In the driver they are records of arrays
without an owner, for which Numba counts no references.

Arrays over states have a multiple of eight numbers, so that the stage sums of the eight
lanes serve for one run as well; the numbers behind the last state stay 0.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler import machine_code
from mir21sim.compiler.llvm_lanes import LANES

SAMPLES = 8
"""Intervals of the longest step between the places at which roots are looked at; a
step of an eighth of it has half of them, a shorter one a quarter."""

STAGES = 8

KEPT = 512
"""Accepted steps of a run that are kept; of longer runs every second, fourth, …"""

FUNCTIONS = ("kernel", "roots")
"""Functions of a model in the order of their addresses."""


class Sizes(NamedTuple):
    """Numbers of things of a model, in the order of the first whole numbers."""

    n: int  # states
    padded: int  # numbers of an array over states
    n_rate: int
    n_a: int
    n_w: int
    n_relation: int
    n_held: int
    has_time: int
    watches: int


class Where(NamedTuple):
    """Where a run is, changed in place.

    y, lanes : states, and the same memory in rows of eight
    p : parameters
    inflow : into each state from outside, per time
    peak, atol : largest absolute value so far, and absolute tolerance, of each state
    """

    y: FloatArray
    lanes: FloatArray
    p: FloatArray
    inflow: FloatArray
    peak: FloatArray
    atol: FloatArray


class Bounds(NamedTuple):
    """Limits of a step.

    relative : rtol, share of its peak that an amount may be negative by, share of its
        largest value that the absolute tolerance of a state grows to
    floor : allowed below zero on top; infinite where any value is
    amount : whether a state is an amount
    held : states that do not change
    diagonal : state whose diagonal element of W is at a place of w, -1 for none
    """

    relative: FloatArray
    floor: FloatArray
    amount: IntArray
    held: IntArray
    diagonal: IntArray


class Work(NamedTuple):
    """Arrays of one step; ``flat``, ``end`` and ``inner`` are u, ys and dense by state.

    u : stages (s, rows, 8)
    ys : argument of a stage, the end of the step after it, (rows, 8)
    ft : ∂f/∂t
    v, a, w : rates, rule variables and pivot shares, factors of W
    hg, per_h, ts : 1/(hγ), 1/h and the time of a stage
    dense : coefficients of the interpolant (3, rows, 8) of the states in ``rows``
    """

    u: FloatArray
    flat: FloatArray
    ys: FloatArray
    end: FloatArray
    ft: FloatArray
    v: FloatArray
    a: FloatArray
    w: FloatArray
    hg: FloatArray
    per_h: FloatArray
    ts: FloatArray
    dense: FloatArray
    inner: FloatArray
    rows: IntArray


class Watch(NamedTuple):
    """Relations that are looked at within steps, and work arrays for it.

    watched, either, holds, user : as in ``EventQueue``; user is an event or -1
    g : root functions at the start of the step, and at up to nine places in it
    y : a state within the step
    turn_time, turn_value : where relations ``==`` turned, NaN for none
    """

    watched: IntArray
    either: IntArray
    holds: IntArray
    user: IntArray
    g: FloatArray
    y: FloatArray
    turn_time: FloatArray
    turn_value: FloatArray


CURSOR = np.dtype(
    [
        ("t", np.float64),
        ("h", np.float64),  # length of this step
        ("h_next", np.float64),  # length of the next step
        ("h_old", np.float64),  # length of the last accepted step, where `began`
        ("e_old", np.float64),  # error of the last accepted step, where `began`
        ("stop", np.float64),  # where to stop
        ("before", np.float64),  # outputs before it are written within the last step
        ("latest", np.float64),  # latest time at which rates are looked at
        ("longest", np.float64),  # longest step
        ("span", np.float64),  # length of the run
        ("same", np.float64),  # relative difference of times that are the same
        ("near_zero", np.float64),  # least size of a time for it
        ("due", np.int64),  # next output
        ("left", np.int64),  # steps until a look at the clock
        ("n_steps", np.int64),
        ("n_rejected", np.int64),
        ("n_seen", np.int64),  # accepted steps that are kept
        ("every", np.int64),  # one of how many is kept
        ("skipped", np.int64),  # steps since the last one that is kept
        ("fresh", np.bool_),  # without step size
        ("after_reject", np.bool_),  # the last step was rejected
        ("began", np.bool_),  # a step was accepted since the breakpoint
        ("hits", np.bool_),  # the step ends at `stop`
        ("edge", np.bool_),  # the stop comes right after a time
        ("grows", np.bool_),  # absolute tolerances grow with the states
        ("keeps", np.bool_),  # accepted steps are kept
        ("known", np.bool_),  # root functions at the start of the step are known
    ],
    align=True,
)
"""How far a run has come."""

STOP, CROSSED, PAUSE, LOW, UNDEFINED, TOO_SMALL, NOT_FINITE = range(7)
"""Why the driver returns: at the stop, at an event, to look at the clock, an amount is
negative, a trigger is not a number, no step is short enough, a rate is not finite."""


def places_of_numbers(sizes: Sizes) -> dict[str, slice]:
    """Return where each array of a run is in its numbers."""
    over_states = sizes.padded
    lengths = {
        **dict.fromkeys(("y", "inflow", "peak", "atol", "floor"), over_states),
        "u": STAGES * over_states,
        **dict.fromkeys(("ys", "ft", "hg", "state"), over_states),
        "dense": 3 * over_states,
        "v": sizes.n_rate,
        "a": sizes.n_a,
        "w": sizes.n_w,
        "g": (SAMPLES + 1) * sizes.n_relation,
        "turn_time": sizes.n_relation,
        "turn_value": sizes.n_relation,
        "per_h": LANES,
        "ts": 1,
        "relative": 3,
    }
    return _one_after_another(lengths, 0)


def places_of_whole(sizes: Sizes) -> dict[str, slice]:
    """Return where each array of a model is in its whole numbers."""
    lengths = {
        "address": len(FUNCTIONS),
        "amount": sizes.n,
        "held": sizes.n_held,
        "diagonal": sizes.n_w,
        **dict.fromkeys(("watched", "either", "holds", "user"), sizes.n_relation),
        "rows": sizes.padded // LANES,
    }
    return _one_after_another(lengths, len(Sizes._fields))


def _one_after_another(lengths: Mapping[str, int], start: int) -> dict[str, slice]:
    found = {}
    for name, length in lengths.items():
        found[name] = slice(start, start + length)
        start += length
    return found


def padded(n: int) -> int:
    """Return the length of an array over `n` states."""
    return LANES * max(1, -(-n // LANES))


_FIELDS = tuple(CURSOR.names or ())


def new_cursor(**given: float) -> Any:
    """Return the cursor of a run that has not begun, an array of one record.

    Parameters
    ----------
    given : fields that are not 0
    """
    # A whole record at once takes as long as two fields one by one.
    return np.array([tuple(given.get(name, 0) for name in _FIELDS)], CURSOR)


# ------------------------------------------------------------------ in compiled code
@intrinsic
def _after(_ctx, array, start):
    """Return the address of an element of an array."""
    kind = types.CPointer(array.dtype)

    def codegen(context, builder, signature, args):
        data = cgutils.create_struct_proxy(signature.args[0])(
            context, builder, args[0]
        ).data
        return builder.gep(data, [args[1]])

    return kind(array, types.intp), codegen


def _call(context, builder, signature, args):
    """Call a program by address and number, its last array from an element on."""
    word = ir.IntType(64)
    kinds, arrays = signature.args[2:-1], args[2:-1]
    pointers = [
        cgutils.create_struct_proxy(kind)(context, builder, value).data
        for kind, value in zip(kinds, arrays, strict=True)
    ]
    pointers[-1] = builder.gep(pointers[-1], [args[-1]])
    numbers = [builder.ptrtoint(pointer, word) for pointer in pointers]
    none = [ir.Constant(word, 0)] * (6 - len(numbers))
    kind = ir.FunctionType(ir.VoidType(), [word] * 7).as_pointer()
    builder.call(builder.inttoptr(args[0], kind), [args[1], *numbers, *none])
    return context.get_dummy_value()


@intrinsic
def call2(_ctx, address, which, a, b, start):
    """Call a program of two arrays, the last one from an element on."""
    return types.void(address, types.int64, a, b, start), _call


@intrinsic
def call4(_ctx, address, which, a, b, c, d, start):
    """Call a program of four arrays, the last one from an element on."""
    return types.void(address, types.int64, a, b, c, d, start), _call


@intrinsic
def call5(_ctx, address, which, a, b, c, d, e, start):
    """Call a program of five arrays, the last one from an element on."""
    return types.void(address, types.int64, a, b, c, d, e, start), _call


@intrinsic
def call6(_ctx, address, which, a, b, c, d, e, f, start):
    """Call a program of six arrays, the last one from an element on."""
    return types.void(address, types.int64, a, b, c, d, e, f, start), _call


@intrinsic
def call_roots(_ctx, address, t, y, p, out):
    """Call root functions ``(t, y, p, out)``."""

    def codegen(context, builder, signature, args):
        word = ir.IntType(64)
        numbers = [
            builder.ptrtoint(
                cgutils.create_struct_proxy(kind)(context, builder, value).data, word
            )
            for kind, value in zip(signature.args[2:], args[2:], strict=True)
        ]
        kind = ir.FunctionType(ir.VoidType(), [args[1].type, *[word] * 3])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), [args[1], *numbers])
        return context.get_dummy_value()

    return types.void(address, t, y, p, out), codegen


@numba.njit(inline="always")
def _part(numbers, start, length):
    return carray(_after(numbers, start), (length,))


@numba.njit(**machine_code.INNER)
def unpacked(numbers, whole, p):
    """Return the records of a run, in the order of the functions ``places_of_…``."""
    n, size, n_rate, n_a, n_w = whole[0], whole[1], whole[2], whole[3], whole[4]
    n_relation, n_held = whole[5], whole[6]
    m, at = size // LANES, 0
    y = _part(numbers, at, size)
    lanes = carray(_after(numbers, at), (m, LANES))
    at += size
    inflow = _part(numbers, at, size)
    at += size
    peak = _part(numbers, at, size)
    at += size
    atol = _part(numbers, at, size)
    at += size
    floor = _part(numbers, at, n)
    at += size
    u = carray(_after(numbers, at), (STAGES, m, LANES))
    flat = carray(_after(numbers, at), (STAGES, size))
    at += STAGES * size
    ys = carray(_after(numbers, at), (m, LANES))
    end = _part(numbers, at, size)
    at += size
    ft = _part(numbers, at, size)
    at += size
    hg = _part(numbers, at, size)
    at += size
    state = _part(numbers, at, size)
    at += size
    dense = carray(_after(numbers, at), (3, m, LANES))
    inner = carray(_after(numbers, at), (3, size))
    at += 3 * size
    v = _part(numbers, at, n_rate)
    at += n_rate
    a = _part(numbers, at, n_a)
    at += n_a
    w = _part(numbers, at, n_w)
    at += n_w
    g = carray(_after(numbers, at), (SAMPLES + 1, n_relation))
    at += (SAMPLES + 1) * n_relation
    turn_time = _part(numbers, at, n_relation)
    at += n_relation
    turn_value = _part(numbers, at, n_relation)
    at += n_relation
    per_h = carray(_after(numbers, at), (1, LANES))
    at += LANES
    ts = _part(numbers, at, 1)
    relative = _part(numbers, at + 1, 3)
    k = len(FUNCTIONS) + N_SIZES
    amount = _part(whole, k, n)
    k += n
    held = _part(whole, k, n_held)
    k += n_held
    diagonal = _part(whole, k, n_w)
    k += n_w
    watched = _part(whole, k, n_relation)
    k += n_relation
    either = _part(whole, k, n_relation)
    k += n_relation
    holds = _part(whole, k, n_relation)
    k += n_relation
    user = _part(whole, k, n_relation)
    k += n_relation
    rows = _part(whole, k, m)
    values = _part(p, 0, p.shape[0])
    return (
        Where(y, lanes, values, inflow, peak, atol),
        Bounds(relative, floor, amount, held, diagonal),
        Work(u, flat, ys, end, ft, v, a, w, hg, per_h, ts, dense, inner, rows),
        Watch(watched, either, holds, user, g, state, turn_time, turn_value),
    )


N_SIZES = len(Sizes._fields)
