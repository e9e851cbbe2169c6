"""Rosenbrock steps of many runs, eight at a time, compiled.

Each lane is a run of its own: own time, step size, acceptance, parameters and dose
times. A lane whose run is finished takes the next one at once. Lanes never mix, so a
run's numbers do not depend on its company, on the chunk or on the thread it is in.

Method: ``rosenbrock``; step size control as in RODAS (Hairer and Wanner 1996, section
IV.8): a predictive controller after Gustafsson, no growth after a rejection.

The factorisation has a fixed order and no pivots. Where a small pivot makes elements
grow, the digits of others drown, and the estimate of the error sees it only in part: so
each pivot is compared with the element of W that it was, a measure that no choice of
units changes, and past ``GROWN`` the step is refused. Shorter steps make the diagonal
larger; a run that stays stuck fails, and Radau, which pivots, has the second try.
"""

import numba
import numpy as np
from numba import types

from mir21sim.compiler import machine_code
from mir21sim.compiler.build_lane_kernels import MATRIX, RATES, ROWS, SOLVE, TIME
from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.errors import SolverStatus
from mir21sim.solvers.batch import stages as rows
from mir21sim.solvers.problem import Action

GROWN = 1e-12
"""Share of a pivot that its element of W must be, or the digits left of it are too few:
the factorisation is refused, and the step tried again at a shorter length."""

_HELD = 1e30
"""Diagonal of W for a held state: its change is nothing then, as if J had none."""

SAFETY, SHRINK, GROW = 0.9, 0.2, 6.0  # RODAS: SAFE, 1/FAC1, 1/FAC2
_REFUSED = 1e9
"""Error of a step with a factorisation that is refused."""

_OK = int(SolverStatus.OK)
_MAX_STEPS = int(SolverStatus.MAX_STEPS)
_TOO_SMALL = int(SolverStatus.STEP_TOO_SMALL)
_NON_FINITE = int(SolverStatus.NON_FINITE)
_NEGATIVE = int(SolverStatus.NEGATIVE)
_TIMEOUT = int(SolverStatus.TIMEOUT)
_ADD, _SET = int(Action.ADD), int(Action.SET)

_C1, _C2, _C3, _C4, _C5 = (rows.COMBINE[m, False] for m in range(1, 6))
_D5, _D6, _D7 = (rows.COMBINE[m, True] for m in (5, 6, 7))
_dense8, _dense6 = rows.dense(8), rows.dense(6)
_finish, _accept = rows.finish, rows.accept
_F1 = types.Array(types.float64, 1, "C")
_I1 = types.Array(types.int64, 1, "C")
_B1 = types.Array(types.boolean, 1, "C")
_F2, _F3 = ROWS, types.Array(types.float64, 3, "C")


@numba.njit(nogil=True, error_model="numpy", inline="never")
def _prepare(i, chained, y, u, A, C, per_h, ys, n):
    """Prepare stage i: argument into ys, linear term into its own row block."""
    a, c, g = A[i], C[i], u[i]
    if chained:
        if i == 5:
            _D5(y, u, a, c, per_h, ys, g, n)
        elif i == 6:
            _D6(y, u, a, c, per_h, ys, g, n)
        else:
            _D7(y, u, a, c, per_h, ys, g, n)
    elif i == 1:
        _C1(y, u, a, c, per_h, ys, g, n)
    elif i == 2:
        _C2(y, u, a, c, per_h, ys, g, n)
    elif i == 3:
        _C3(y, u, a, c, per_h, ys, g, n)
    elif i == 4:
        _C4(y, u, a, c, per_h, ys, g, n)
    else:
        _C5(y, u, a, c, per_h, ys, g, n)


@numba.njit(nogil=True, error_model="numpy")
def _first_step(y, f, lane, atol, rtol, span):
    """Return a first step size: a hundredth of what the slope allows (H&W II.4)."""
    d0 = d1 = 0.0
    for i in range(y.shape[0]):
        scale = atol[i] + rtol * abs(y[i, lane])
        d0 += (y[i, lane] / scale) ** 2
        d1 += (f[i, lane] / scale) ** 2
    if not (d0 > 1e-10 and d1 > 1e-10):
        return 1e-6 * span
    return min(0.01 * np.sqrt(d0 / d1), span)


@numba.njit(nogil=True, error_model="numpy")
def _take(y0, p0, run, y, p, peak, inflow, lane):
    """Put a run's start values and parameters into a lane."""
    for i in range(y.shape[0]):
        y[i, lane] = y0[run, i]
        peak[i, lane] = abs(y0[run, i])
    for i in range(p.shape[0]):
        p[i, lane] = p0[run, i]
    for k in range(inflow.shape[0]):
        inflow[k, lane] = 0.0


@numba.njit(nogil=True, error_model="numpy")
def _leave(y_end, run, y, lane):
    """Keep a run's last state and leave a quiet lane behind."""
    for i in range(y.shape[0]):
        y_end[run, i] = y[i, lane]
        y[i, lane] = 0.0


@numba.njit(nogil=True, error_model="numpy")
def _write(out, run, k, y, lane, need):
    """Write the needed states of a lane as they are now."""
    for m in range(need.size):
        out[run, k, m] = y[need[m], lane]


@numba.njit(nogil=True, error_model="numpy")
def _interpolate(out, run, k, theta, y, ys, dense, lane, need):
    """Write the needed states of a lane within the step just made."""
    rest = 1.0 - theta
    for m in range(need.size):
        i = need[m]
        inner = dense[0, m, lane] + theta * (
            dense[1, m, lane] + theta * dense[2, m, lane]
        )
        out[run, k, m] = rest * y[i, lane] + theta * (ys[i, lane] + rest * inner)


@numba.njit(nogil=True, error_model="numpy")
def _record(trail_t, trail_h, trail_y, trail_n, run, t, h, y, lane):
    """Keep start, length and state of an accepted step; count it where none fits."""
    k = trail_n[run]
    trail_n[run] = k + 1
    if k < trail_t.shape[1]:
        trail_t[run, k] = t
        trail_h[run, k] = h
    if k < trail_y.shape[1]:
        for i in range(y.shape[0]):
            trail_y[run, k, i] = y[i, lane]


@machine_code.solver(
    types.void(
        RATES, MATRIX, SOLVE, TIME, types.boolean,
        _F2, _F2, _F1, _F1, _F1, types.float64, types.int64, _I1,
        _F2, _F2, _F1, _I1, _F1, _I1, _I1, _F2,
        _F1, _F1, _F1, types.int64, types.int64, types.int64, _I1, _I1,
        _F3, _I1, _F1, _F2, _I1, _I1, _B1, _B1,
        _F2, _F2, _F3, _I1,
    ),
    nogil=True,
    error_model="numpy",
)  # fmt: skip
def drive(
    rates, matrix, solve, time, has_time,
    A, C, alpha, D, H, gamma, order, chained,
    y0, p0, times, need, act_time, act_state, act_kind, act_value,
    rel, atol, floor, max_steps, first, last, sizes, held,
    out, status, t_end, y_end, n_steps, n_rejected, begun, halt,
    trail_t, trail_h, trail_y, trail_n,
):  # fmt: skip
    """Integrate the runs `first` to `last`, writing the needed states at all times.

    A run is marked in `begun` when it starts and stops when it is marked in `halt`.
    Accepted steps are kept in the trail as far as its arrays reach.
    """
    s, n, n_param = alpha.size, y0.shape[1], p0.shape[1]
    y = np.zeros((n, LANES))
    ys = np.zeros((n, LANES))
    u = np.zeros((s, n, LANES))
    ft = np.zeros((n, LANES))
    p = np.zeros((n_param, LANES))
    v = np.zeros((sizes[0], LANES))
    a = np.zeros((sizes[1], LANES))
    w = np.zeros((sizes[2], LANES))
    dense = np.zeros((3, need.size, LANES))
    t = np.zeros((1, LANES))
    ts = np.zeros((1, LANES))
    per_h = np.ones((1, LANES))
    hg = np.ones((n, LANES))
    error = np.zeros((1, LANES))
    low = np.zeros((1, LANES))
    rtol = rel[0]
    mask = np.zeros((1, LANES))
    peak = np.zeros((n, LANES))
    inflow = np.zeros((act_state.size, LANES))
    h = np.ones(LANES)
    h_next = np.ones(LANES)
    h_old = np.ones(LANES)
    e_old = np.ones(LANES)
    stop = np.zeros(LANES)
    run = np.full(LANES, -1)
    due = np.zeros(LANES, np.int64)
    act = np.zeros(LANES, np.int64)
    steps = np.zeros(LANES, np.int64)
    refused = np.zeros(LANES, np.int64)
    fresh = np.zeros(LANES, np.bool_)
    after_reject = np.zeros(LANES, np.bool_)
    began = np.zeros(LANES, np.bool_)
    hits = np.zeros(LANES, np.bool_)
    ending = np.zeros(LANES, np.int64)
    final, span = times[-1], times[-1] - times[0]
    has_inflow = False
    for k in range(act_kind.size):
        if act_kind[k] != _ADD and act_kind[k] != _SET:
            has_inflow = True
    next_run, busy = first, 0
    order_root = 1.0 / order

    while True:
        # ---- finished lanes take the next run; breakpoints act
        for lane in range(LANES):
            while True:
                if run[lane] < 0:
                    if next_run >= last:
                        break
                    run[lane] = next_run
                    begun[next_run] = True
                    _take(y0, p0, next_run, y, p, peak, inflow, lane)
                    next_run += 1
                    busy += 1
                    t[0, lane] = stop[lane] = times[0]
                    due[lane] = act[lane] = steps[lane] = refused[lane] = 0
                if t[0, lane] != stop[lane]:
                    break
                r = run[lane]
                while act[lane] < act_time.size and act_time[act[lane]] <= t[0, lane]:
                    k = act[lane]
                    act[lane] += 1
                    if act_kind[k] == _ADD:
                        y[act_state[k], lane] += act_value[r, k]
                    elif act_kind[k] == _SET:
                        y[act_state[k], lane] = act_value[r, k]
                    else:
                        inflow[k, lane] = act_value[r, k]
                    i = act_state[k]
                    peak[i, lane] = max(peak[i, lane], abs(y[i, lane]))
                while due[lane] < times.size and times[due[lane]] <= t[0, lane]:
                    _write(out, r, due[lane], y, lane, need)
                    due[lane] += 1
                if t[0, lane] >= final:
                    status[r] = _OK
                    t_end[r] = t[0, lane]
                    n_steps[r] = steps[lane]
                    n_rejected[r] = refused[lane]
                    _leave(y_end, r, y, lane)
                    run[lane] = -1
                    busy -= 1
                    continue
                stop[lane] = final
                if act[lane] < act_time.size and act_time[act[lane]] < final:
                    stop[lane] = act_time[act[lane]]
                fresh[lane] = True
        if busy == 0:
            break

        # ---- step sizes: a fresh stretch starts small, a stretch ends exactly
        any_fresh = False
        for lane in range(LANES):
            any_fresh |= fresh[lane]
        if any_fresh:
            u[0, :, :] = 0.0
            rates(t, y, p, v, a, u[0])
            if has_inflow:
                for k in range(act_state.size):
                    for lane in range(LANES):
                        u[0, act_state[k], lane] += inflow[k, lane]
            for r in held:
                u[0, r, :] = 0.0
            for lane in range(LANES):
                if fresh[lane]:
                    room = stop[lane] - t[0, lane]
                    h_next[lane] = _first_step(y, u[0], lane, atol, rtol, room)
                    fresh[lane] = False
                    after_reject[lane] = False
                    began[lane] = False
        for lane in range(LANES):
            if run[lane] < 0:
                h[lane] = 1.0
                hits[lane] = False
            else:
                h[lane] = h_next[lane]
                room = stop[lane] - t[0, lane]
                hits[lane] = 1.01 * h[lane] >= room
                if hits[lane]:
                    h[lane] = room
            per_h[0, lane] = 1.0 / h[lane]
            for i in range(n):
                hg[i, lane] = per_h[0, lane] / gamma
        for i in held:
            hg[i, :] = _HELD

        # ---- one step of all lanes
        matrix(t, y, p, a, w, hg)
        if has_time:
            time(t, y, p, a, ft)
        for i in range(s):
            if i == 0:
                u[0, :, :] = 0.0
                rates(t, y, p, v, a, u[0])
            else:
                _prepare(i, chained[i] != 0, y, u, A, C, per_h, ys, n)
                for lane in range(LANES):
                    ts[0, lane] = t[0, lane] + alpha[i] * h[lane]
                rates(ts, ys, p, v, a, u[i])
            if has_time and D[i] != 0.0:
                for r in range(n):
                    for lane in range(LANES):
                        u[i, r, lane] += D[i] * h[lane] * ft[r, lane]
            if has_inflow:
                for k in range(act_state.size):
                    for lane in range(LANES):
                        u[i, act_state[k], lane] += inflow[k, lane]
            for r in held:
                u[i, r, :] = 0.0
            solve(w, u[i])
        _finish(y, u[s - 1], ys, peak, atol, floor, rel, error, low, n)

        # ---- which lanes accept, and whether any has an output in this step
        any_output = False
        for lane in range(LANES):
            if run[lane] < 0:
                error[0, lane] = np.inf
                continue
            e = np.sqrt(error[0, lane] / n)
            if a[a.shape[0] - 1, lane] < GROWN:
                e = max(e, _REFUSED)
            error[0, lane] = e
            if e <= 1.0 and due[lane] < times.size:
                reach = stop[lane] if hits[lane] else t[0, lane] + h[lane]
                any_output |= times[due[lane]] < reach
        if any_output:
            if s == 8:
                _dense8(u, H, need, dense, n, need.size)
            else:
                _dense6(u, H, need, dense, n, need.size)

        for lane in range(LANES):
            mask[0, lane] = 0.0
            if run[lane] < 0:
                continue
            r = run[lane]
            e = error[0, lane]
            steps[lane] += 1
            ended = -1
            if e <= 1.0:
                mask[0, lane] = 1.0
                new_t = stop[lane] if hits[lane] else t[0, lane] + h[lane]
                while due[lane] < times.size and times[due[lane]] < new_t:
                    theta = (times[due[lane]] - t[0, lane]) / h[lane]
                    _interpolate(out, r, due[lane], theta, y, ys, dense, lane, need)
                    due[lane] += 1
                e = max(e, 1e-10)
                factor = e**order_root / SAFETY
                if began[lane]:
                    predicted = (
                        h_old[lane] / h[lane] * (e * e / e_old[lane]) ** order_root
                    ) / SAFETY
                    factor = max(factor, predicted)
                factor = max(1.0 / GROW, min(1.0 / SHRINK, factor))
                grown = h[lane] / factor
                if after_reject[lane]:
                    grown = min(grown, h[lane])
                if not hits[lane] or grown < h_next[lane]:
                    h_next[lane] = grown
                began[lane] = True
                after_reject[lane] = False
                h_old[lane] = h[lane]
                e_old[lane] = max(1e-2, e)
                _record(
                    trail_t, trail_h, trail_y, trail_n, r, t[0, lane], h[lane], y, lane
                )
                t[0, lane] = new_t
                if low[0, lane] < 0.0:
                    ended = _NEGATIVE
            else:
                refused[lane] += 1
                after_reject[lane] = True
                if e > 1.0 and e < 1e300:
                    factor = max(SHRINK, SAFETY / e**order_root)
                else:
                    factor = 0.1  # not finite: the model or the factorisation broke
                h_next[lane] = h[lane] * factor
                if h_next[lane] <= 1e-15 * max(abs(t[0, lane]), 1e-3 * span):
                    ended = _TOO_SMALL if e < 1e300 else _NON_FINITE
            if ended < 0 and steps[lane] >= max_steps and t[0, lane] < final:
                ended = _MAX_STEPS
            if ended < 0 and halt[r] and t[0, lane] < final:
                ended = _TIMEOUT
            ending[lane] = ended
        _accept(y, ys, peak, mask, n)
        for lane in range(LANES):
            if run[lane] >= 0 and ending[lane] >= 0:
                r = run[lane]
                status[r] = ending[lane]
                t_end[r] = t[0, lane]
                n_steps[r] = steps[lane]
                n_rejected[r] = refused[lane]
                _leave(y_end, r, y, lane)
                run[lane] = -1
                busy -= 1
