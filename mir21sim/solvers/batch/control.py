"""Step sizes of eight lanes: the first, the next, and whether a step is accepted.

As in RODAS (Hairer and Wanner 1996, section IV.8): with e the scaled error of a step of
order q, the next step is h·0.9·e^(−1/q), between a fifth of h and six times h. After
two accepted steps in a row the predictive controller of Gustafsson (1994) takes part:

    h_next = 0.9 · h · (h/h_old) · (e_old/e²)^(1/q)

and the smaller of the two counts. There is no growth after a rejection.
"""

import numba
import numpy as np

from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.errors import SolverStatus
from mir21sim.solvers.batch.lane_arrays import HELPER
from mir21sim.solvers.batch.records import INLINED
from mir21sim.solvers.batch.step import HELD, add_inflow

GROWN = 1e-12
"""Share of a pivot that its element of W must be, or the digits left of it are too few:
the factorisation is refused, and the step tried again at a shorter length."""

SAFETY, SHRINK, GROW = 0.9, 0.2, 6.0
"""SAFE, 1/FAC1 and 1/FAC2 of the code RODAS."""

_REFUSED = 1e9
"""Error of a step whose factorisation is refused."""

_BROKEN = 1e300
"""Error above which a step counts as not finite."""

MAX_STEPS = int(SolverStatus.MAX_STEPS)
_TOO_SMALL = int(SolverStatus.STEP_TOO_SMALL)
_NON_FINITE = int(SolverStatus.NON_FINITE)
TIMEOUT = int(SolverStatus.TIMEOUT)


@numba.njit(**HELPER)
def _first_step(y, f, lane, atol, rtol, span):
    """Return a first step size: a hundredth of the time that the slope allows.

    d0 and d1 are the squared norms of y and f in the weights of the error test (Hairer,
    Nørsett and Wanner 1993, section II.4, steps a and b).
    """
    # scale_i = atol_i + rtol·|y_i|; d0 = Σ (y_i/scale_i)², d1 = Σ (f_i/scale_i)².
    d0 = d1 = 0.0
    for i in range(y.shape[0]):
        scale = atol[i] + rtol * abs(y[i, lane])
        d0 += (y[i, lane] / scale) ** 2
        d1 += (f[i, lane] / scale) ** 2
    # (1e-5)² of the book, as d0 and d1 are squares; true for NaN as well. The book
    # takes h = 1e-6; here it is a share of the span, as a time has a unit.
    if not (d0 > 1e-10 and d1 > 1e-10):
        return 1e-6 * span
    # h0 = 0.01·|y|/|f|, at most up to the next breakpoint.
    return min(0.01 * np.sqrt(d0 / d1), span)


@numba.njit(**HELPER)
def start_fresh_lanes(rates, state, step, lanes, fed, held, limits):
    """Give a first step size to lanes at the start or behind a breakpoint."""
    t, y, slope = state.t, state.y, step.u[0]
    atol, rtol = limits.atol, limits.relative[0]
    # The kernel adds to its result. slope is u[0] (n, 8), free between two steps.
    slope[:, :] = 0.0
    rates(t, y, state.p, step.v, step.a, slope)
    add_inflow(slope, state.inflow, fed, held)
    for k in range(LANES):
        lane = lanes[k]
        if lane.fresh:
            lane.h_next = _first_step(y, slope, k, atol, rtol, lane.stop - t[0, k])
            lane.fresh = lane.after_reject = lane.began = False


@numba.njit(**INLINED)
def choose_steps(lanes, t, per_h, hg, gamma, held):
    """Set the length of the next step of each lane, so that breakpoints are hit.

    A step that would end within a hundredth of a breakpoint is stretched to it. Empty
    lanes take steps of 1 in a state of zeros, whose results are ignored. Fills 1/h and
    1/(hγ).
    """
    for k in range(LANES):
        lane = lanes[k]
        if lane.run < 0:
            lane.h = 1.0
            lane.hits = False
        else:
            lane.h = lane.h_next
            room = lane.stop - t[0, k]
            lane.hits = 1.01 * lane.h >= room
            if lane.hits:
                lane.h = room
        over_h = 1.0 / lane.h
        per_h[0, k] = over_h
        over_hg = over_h / gamma  # once: arrays may overlap for all that LLVM knows
        for i in range(hg.shape[0]):
            hg[i, k] = over_hg
    for i in held:
        hg[i, :] = HELD


@numba.njit(**INLINED)
def end_of(lane, t):
    """Return the time at which the step of a lane from `t` ends; at a stop exactly."""
    return lane.stop if lane.hits else t + lane.h


@numba.njit(**INLINED)
def measure_errors(lanes, t, error, a, n, times):
    """Turn sums of squares over n states into errors, 1 being the tolerance.

    Returns
    -------
    bool : whether an accepted step has an output time within it
    """
    any_output = False
    for k in range(LANES):
        lane = lanes[k]
        if lane.run < 0:
            error[0, k] = np.inf
            continue
        # e = √(1/n · Σ (U_s,i/scale_i)²), the norm of RODAS.
        e = np.sqrt(error[0, k] / n)
        # The last row of a is the least share that a pivot has of its element of W.
        if a[a.shape[0] - 1, k] < GROWN:
            e = max(e, _REFUSED)
        error[0, k] = e
        if e <= 1.0 and lane.due < times.size:
            any_output |= times[lane.due] < end_of(lane, t[0, k])
    return any_output


@numba.njit(**INLINED)
def accept_step(lane, e, order_root):
    """Choose the step size after an accepted step with error `e`."""
    h = lane.h
    # Keeps the powers above 0; growth is limited by GROW in any case.
    e = max(e, 1e-10)
    # factor = h/h_next = e^(1/q)/0.9, as FAC in RODAS.
    factor = e**order_root / SAFETY
    if lane.began:
        # Gustafsson: h_old/h · (e²/e_old)^(1/q)/0.9. The smaller step counts.
        predicted = (lane.h_old / h * (e * e / lane.e_old) ** order_root) / SAFETY
        factor = max(factor, predicted)
    factor = max(1.0 / GROW, min(1.0 / SHRINK, factor))
    grown = h / factor
    if lane.after_reject:
        grown = min(grown, h)
    # A step cut short by a breakpoint says little about how long one may be.
    if not lane.hits or grown < lane.h_next:
        lane.h_next = grown
    lane.began = True
    lane.after_reject = False
    lane.h_old = h
    # ERRACC of RODAS: one very small error must not dominate the prediction.
    lane.e_old = max(1e-2, e)


@numba.njit(**INLINED)
def reject_step(lane, t, e, order_root, span):
    """Choose a shorter step after a rejection; return the status of a stuck run or -1.

    A run is stuck when its step is lost in the rounding of its time.
    """
    lane.n_rejected += 1
    lane.after_reject = True
    # Both comparisons are false for NaN.
    if e > 1.0 and e < _BROKEN:
        factor = max(SHRINK, SAFETY / e**order_root)
    else:
        factor = 0.1  # not finite: the model or the factorisation broke
    lane.h_next = lane.h * factor
    # 1e-15·t is a few units in the last place of t; near t = 0 the span counts.
    if lane.h_next <= 1e-15 * max(abs(t), 1e-3 * span):
        return _TOO_SMALL if e < _BROKEN else _NON_FINITE
    return -1


@numba.njit(**INLINED)
def limit_reached(lane, t, max_steps, halted, final):
    """Return the status of a run that may not go on, -1 where it may."""
    if t >= final:
        return -1
    if lane.n_steps >= max_steps:
        return MAX_STEPS
    return TIMEOUT if halted else -1
