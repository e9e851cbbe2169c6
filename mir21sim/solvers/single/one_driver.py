"""One run between two breakpoints by a Rosenbrock method, compiled.

The method and its step control are those of the eight lanes (``batch``); here one run
has the processor to itself, relations on its states are watched (``one_crossing``), and
absolute tolerances can follow the states: that of each is a share of the largest value
it has had.
"""

import math

import numba
import numpy as np
from numba import from_dtype, types

from mir21sim.compiler import machine_code
from mir21sim.compiler.build_one_kernels import (
    ASSIGNED,
    FACTOR,
    FILL,
    RATES,
    SOLVE,
    TIME,
)
from mir21sim.errors import SolverStatus
from mir21sim.solvers.batch import stages as rows
from mir21sim.solvers.batch.control import GROWN, accept_step, reject_step
from mir21sim.solvers.batch.records import INLINED
from mir21sim.solvers.batch.rodas5p import RODAS5P
from mir21sim.solvers.batch.step import HELD, prepare_stage
from mir21sim.solvers.batch.tableau import chained_stages
from mir21sim.solvers.single.one_crossing import (
    HELPER,
    OPTIONS,
    between,
    first_crossing,
)
from mir21sim.solvers.single.one_memory import (
    CROSSED,
    CURSOR,
    LOW,
    N_SIZES,
    NOT_FINITE,
    PAUSE,
    STAGES,
    STOP,
    TOO_SMALL,
    UNDEFINED,
    call2,
    call4,
    call5,
    call6,
    call_roots,
    unpacked,
)

_dense = rows.dense(STAGES)
_A, _C = np.array(RODAS5P.A), np.array(RODAS5P.C)
_ALPHA, _D, _H = np.array(RODAS5P.alpha), np.array(RODAS5P.D), RODAS5P.H.ravel()
_CHAINED, _GAMMA = chained_stages(RODAS5P), RODAS5P.gamma
_ROOT = 1.0 / RODAS5P.order
_CURSORS = types.Array(from_dtype(CURSOR), 1, "C")
_F1, _F2 = (types.Array(types.float64, n, "C") for n in (1, 2))
_NON_FINITE = int(SolverStatus.NON_FINITE)
_FIRST = 0.01  # share of the time that the slope allows, for a first step
_REFUSED = 1e9  # error of a step whose factorisation is refused


@numba.njit(**HELPER)
def _first_step(kernel, c, where, bounds, work):
    """Return a first step size: a hundredth of the time that the slope allows.

    d0 and d1 are the squared norms of y and f in the weights of the error test (Hairer,
    Nørsett and Wanner 1993, section II.4, steps a and b).
    """
    f, y, atol, rtol = work.ft, where.y, where.atol, bounds.relative[0]
    f[:] = 0.0
    work.ts[0] = min(c.t, c.latest)
    call6(kernel, RATES, work.ts, y, where.p, work.v, work.a, f, 0)
    for i in range(bounds.floor.shape[0]):
        f[i] += where.inflow[i]
    for k in range(bounds.held.shape[0]):
        f[bounds.held[k]] = 0.0
    d0 = d1 = 0.0
    for i in range(bounds.floor.shape[0]):
        scale = atol[i] + rtol * abs(y[i])
        d0 += (y[i] / scale) ** 2
        d1 += (f[i] / scale) ** 2
    # (1e-5)² of the book, as d0 and d1 are squares; true for NaN as well.
    room = c.stop - c.t
    if not (d0 > 1e-10 and d1 > 1e-10):
        return 1e-6 * room
    return min(_FIRST * np.sqrt(d0 / d1), room)


@numba.njit(**INLINED)
def _factorise(kernel, c, where, bounds, work):
    """Leave the factors of W in w; say whether its pivots are sound.

    Derivatives that are not finite, as those of ``X^0.5`` at zero, count as zero.
    """
    w, hg, over_hg = work.w, work.hg, 1.0 / c.h / _GAMMA
    hg[:] = over_hg
    for k in range(bounds.held.shape[0]):
        hg[bounds.held[k]] = HELD
    work.ts[0] = min(c.t, c.latest)
    call6(kernel, FILL, work.ts, where.y, where.p, work.a, w, hg, 0)
    total = 0.0
    for k in range(w.shape[0]):
        total += w[k]
    if not math.isfinite(total):
        for k in range(w.shape[0]):
            if not math.isfinite(w[k]):
                i = bounds.diagonal[k]
                w[k] = hg[i] if i >= 0 else 0.0
    call2(kernel, FACTOR, work.a, w, 0)
    return work.a[work.a.shape[0] - 1] >= GROWN


@numba.njit(**INLINED)
def _take_step(kernel, has_time, c, where, bounds, work):
    """Compute all stages of a step; ys is left at its end, the last of u the error."""
    u, flat, ys, end, n = work.u, work.flat, work.ys, work.end, bounds.floor.shape[0]
    y, p, inflow, held = where.y, where.p, where.inflow, bounds.held
    v, a, w, ts, ft, per_h = work.v, work.a, work.w, work.ts, work.ft, work.per_h
    m, size, h, t, latest = ys.shape[0], end.shape[0], c.h, c.t, c.latest
    per_h[:] = 1.0 / h
    ts[0] = min(t, latest)
    if has_time:
        call5(kernel, TIME, ts, y, p, a, ft, 0)
    for i in range(STAGES):
        if i == 0:
            flat[0, :] = 0.0
            call6(kernel, RATES, ts, y, p, v, a, flat, 0)
        else:
            prepare_stage(i, _CHAINED[i] != 0, where.lanes, u, _A, _C, per_h, ys, m)
            ts[0] = min(t + _ALPHA[i] * h, latest)
            call6(kernel, RATES, ts, end, p, v, a, flat, i * size)
        if has_time and _D[i] != 0.0:
            for r in range(n):
                flat[i, r] += _D[i] * h * ft[r]
        for r in range(n):
            flat[i, r] += inflow[r]
        for k in range(held.shape[0]):
            flat[i, held[k]] = 0.0
        call2(kernel, SOLVE, w, flat, i * size)
    for r in range(n):
        end[r] += flat[STAGES - 1, r]


@numba.njit(**INLINED)
def _error_of(where, bounds, work):
    """Return the scaled error of a step and the least margin of an amount.

    The error is √(1/n · Σ (U_s/(atol + rtol·max(|y|, |y1|)))²), the norm of RODAS; the
    margin is min(y1 + share·peak + floor).
    """
    y, end = where.y, work.end
    last, atol = work.flat[STAGES - 1], where.atol
    rtol, share, n = bounds.relative[0], bounds.relative[1], bounds.floor.shape[0]
    total, low = 0.0, np.inf
    for i in range(n):
        new = end[i]
        ratio = last[i] / (atol[i] + rtol * max(abs(y[i]), abs(new)))
        total += ratio * ratio
        low = min(low, new + share * where.peak[i] + bounds.floor[i])
    return np.sqrt(total / n), low


@numba.njit(**HELPER)
def _write(c, limit, where, work, times, states):
    """Write the outputs within the step just accepted, before `limit`."""
    while c.due < times.shape[0] and times[c.due] < limit:
        theta = (times[c.due] - c.t) / c.h
        between(where.y, work.end, work.inner, theta, states[c.due])
        c.due += 1


@numba.njit(**HELPER)
def _keep(c, y, seen_t, seen_y):
    """Keep the state of an accepted step; of many only every second or fourth."""
    c.skipped += 1
    if c.skipped < c.every:
        return
    c.skipped = 0
    size = seen_t.shape[0]
    if c.n_seen == size:
        for i in range(size // 2):
            seen_t[i] = seen_t[2 * i + 1]
            seen_y[i, :] = seen_y[2 * i + 1]
        c.n_seen = size // 2
        c.every *= 2
    seen_t[c.n_seen] = c.t
    for i in range(seen_y.shape[1]):
        seen_y[c.n_seen, i] = y[i]
    c.n_seen += 1


@numba.njit(**INLINED)
def _move(c, to, where, bounds, new):
    """Take over a state at a time; raise the largest values and tolerances."""
    share, y, peak, atol = bounds.relative[2], where.y, where.peak, where.atol
    for i in range(bounds.floor.shape[0]):
        y[i] = new[i]
        size = abs(new[i])
        if size > peak[i]:
            peak[i] = size
            if c.grows and share * size > atol[i]:
                atol[i] = share * size
    c.t = to


@numba.njit(**INLINED)
def _choose(c):
    """Set the length of the step, so that the stop is hit."""
    c.h = min(c.h_next, c.longest)
    room = c.stop - c.t
    c.hits = 1.01 * c.h >= room
    if c.hits:
        c.h = room


@numba.njit(**INLINED)
def _turn(roots, watches, end, c, where, work, bounds, watch):
    """Return the first event within a step, NaN for none, and watch the next step."""
    if not watches:
        return np.nan
    found = first_crossing(roots, end, c, where, work, bounds, watch)
    c.known = np.isnan(found)
    return found


@numba.njit(**HELPER)
def _undefined(watch):
    """Say whether a trigger has a root function that is not a number."""
    for k in range(watch.user.shape[0]):
        if watch.user[k] >= 0 and np.isnan(watch.g[0, k]):
            return True
    return False


@machine_code.solver(
    types.int64(
        _CURSORS, _F1, types.Array(types.int64, 1, "C"), _F1, _F1, _F2, _F1, _F2
    ),
    **OPTIONS,
)
def advance(cursor, numbers, whole, p, times, states, seen_t, seen_y):
    """Integrate from where a run is to its stop; return why it ended before or there.

    An accepted step is taken over up to the first event in it. Outputs at a stop wait
    for the doses and events there. After ``left`` steps the clock must be looked at.

    Parameters
    ----------
    cursor : of type ``CURSOR``, shape (1,)
    numbers, whole : memory of the run (``one_memory``)
    p : float array, shape (n_param,)
    times, states : output times, and arrays to fill, shape (n_time, n_state)
    seen_t, seen_y : room for accepted steps, shapes (KEPT,) and (KEPT, n_state)
    """
    c = cursor[0]
    where, bounds, work, watch = unpacked(numbers, whole, p)
    has_time, watches = whole[N_SIZES - 2] != 0, whole[N_SIZES - 1] != 0
    kernel, roots = whole[N_SIZES], whole[N_SIZES + 1]
    m = work.rows.shape[0]
    if c.fresh:
        c.h_next = _first_step(kernel, c, where, bounds, work)
        c.after_reject = c.began = c.fresh = False
    while True:
        if c.t >= c.stop:
            return STOP
        if c.left <= 0:
            return PAUSE
        _choose(c)
        c.left -= 1
        c.n_steps += 1
        sound = _factorise(kernel, c, where, bounds, work)
        _take_step(kernel, has_time, c, where, bounds, work)
        e, low = _error_of(where, bounds, work)
        if not sound:
            e = max(e, _REFUSED)
        # True for NaN too, so that a step with a NaN in it is rejected.
        if not e <= 1.0:
            stuck = reject_step(c, c.t, e, _ROOT, c.span)
            if stuck >= 0:
                return NOT_FINITE if stuck == _NON_FINITE else TOO_SMALL
            continue
        end = c.stop if c.hits else c.t + c.h
        if watches or (c.due < times.shape[0] and times[c.due] < end):
            _dense(work.u, _H, work.rows, work.dense, m, m)
        crossing = _turn(roots, watches, end, c, where, work, bounds, watch)
        if not np.isnan(crossing):
            same = c.same * max(abs(crossing), c.near_zero)
            limit = crossing if c.edge else crossing - same
            _write(c, limit, where, work, times, states)
            share = (crossing - c.t) / c.h
            between(where.y, work.end, work.inner, share, watch.y)
            _move(c, crossing, where, bounds, watch.y)
            return CROSSED
        _write(c, c.before if c.hits else end, where, work, times, states)
        accept_step(c, e, _ROOT)
        _move(c, end, where, bounds, work.end)
        if c.keeps:
            _keep(c, where.y, seen_t, seen_y)
        if watches and _undefined(watch):
            return UNDEFINED
        if low < 0.0:
            return LOW


@machine_code.solver(
    types.void(types.int64, types.boolean, _F1, _F2, _F1, _F2, _F1, _F1), **OPTIONS
)
def along(kernel, of_rates, times, states, p, out, v, a):
    """Fill out (n_time, …) with the reaction rates or rule variables at some times.

    Parameters
    ----------
    kernel : address of the kernel of a network
    v, a : work arrays, shapes (n_rate,) and (n_a,)
    """
    t, slope = np.zeros(1), np.zeros(states.shape[1])
    for i in range(times.shape[0]):
        t[0] = times[i]
        if of_rates:
            call6(kernel, RATES, t, states[i], p, v, a, slope, 0)
            out[i, :] = v[: out.shape[1]]
        else:
            call4(kernel, ASSIGNED, t, states[i], p, a, 0)
            out[i, :] = a[: out.shape[1]]


@machine_code.solver(types.void(*[types.int64] * 2, *[_F1] * 6), **OPTIONS)
def call_six(kernel, which, t, y, p, a, b, out):
    """Call a program of six arrays from Python."""
    call6(kernel, which, t, y, p, a, b, out, 0)


@machine_code.solver(types.void(types.int64, types.float64, *[_F1] * 3), **OPTIONS)
def roots_at(address, t, y, p, g):
    """Call root functions by their address from Python."""
    call_roots(address, t, y, p, g)
