"""Many runs by a Rosenbrock method, eight at a time, compiled.

Each lane is a run of its own: own time, step size, acceptance, parameters and dose
times. A lane whose run is finished takes the next one at once. Lanes never mix, so a
run's numbers do not depend on the runs beside it, the chunk or the thread.

The factorisation has a fixed order and no pivots. Where a small pivot makes elements
grow, digits of the others are lost, and the error estimate sees it only in part. So
each pivot is compared with the element of W that it was, a measure that no choice of
units changes, and below ``control.GROWN`` the step is refused. Shorter steps make the
diagonal larger; a run that stays stuck fails, and Radau, which pivots, has the second
try.
"""

import numba
from numba import types

from mir21sim.compiler import machine_code
from mir21sim.compiler.build_lane_kernels import MATRIX, RATES, SOLVE, TIME
from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.errors import SolverStatus
from mir21sim.solvers.batch import records
from mir21sim.solvers.batch import stages as rows
from mir21sim.solvers.batch.control import (
    accept_step,
    choose_steps,
    end_of,
    limit_reached,
    measure_errors,
    reject_step,
    start_fresh_lanes,
)
from mir21sim.solvers.batch.lane_arrays import HELPER, UNCOUNTED
from mir21sim.solvers.batch.records import INLINED
from mir21sim.solvers.batch.step import finish_step, take_step
from mir21sim.solvers.problem import Action

_OK, _NEGATIVE = int(SolverStatus.OK), int(SolverStatus.NEGATIVE)
_ADD, _SET = int(Action.ADD), int(Action.SET)
_dense8, _dense6 = rows.dense(8), rows.dense(6)
_accept = rows.accept


@numba.njit(**HELPER)
def _load_run(starts, run, state, lane):
    """Put the start values and parameters of a run into a lane."""
    # y (n, 8), p (n_param, 8), inflow (n_dose, 8): column `lane` belongs to the run.
    for i in range(state.y.shape[0]):
        state.y[i, lane] = starts.y[run, i]
        state.peak[i, lane] = abs(starts.y[run, i])
    for i in range(state.p.shape[0]):
        state.p[i, lane] = starts.p[run, i]
    # An infusion of the run before must not flow into this one.
    for k in range(state.inflow.shape[0]):
        state.inflow[k, lane] = 0.0


@numba.njit(**HELPER)
def _end_run(status, state, lane, k, ends):
    """Note how the run of a lane ended, and leave the lane empty with zero states."""
    run = lane.run
    ends.status[run] = status
    ends.t[run] = state.t[0, k]
    ends.n_steps[run] = lane.n_steps
    ends.n_rejected[run] = lane.n_rejected
    for i in range(state.y.shape[0]):
        ends.y[run, i] = state.y[i, k]
        # An empty lane computes on, from zeros; its results are ignored.
        state.y[i, k] = 0.0
    lane.run = -1


@numba.njit(**HELPER)
def _apply_doses(state, lane, k, doses):
    """Apply the doses of this moment, in the order of the schedule."""
    run, j = lane.run, lane.dose
    while j < doses.time.size and doses.time[j] <= state.t[0, k]:
        i = doses.state[j]
        if doses.kind[j] == _ADD:
            state.y[i, k] += doses.value[run, j]
        elif doses.kind[j] == _SET:
            state.y[i, k] = doses.value[run, j]
        else:
            # RATE: amount per time, added to dy/dt from now on (``step.add_inflow``).
            state.inflow[j, k] = doses.value[run, j]
        state.peak[i, k] = max(state.peak[i, k], abs(state.y[i, k]))
        j += 1
    lane.dose = j


@numba.njit(**HELPER)
def _write_now(state, lane, k, outputs):
    """Write the outputs that are due at the time of the lane."""
    run, j = lane.run, lane.due
    while j < outputs.times.size and outputs.times[j] <= state.t[0, k]:
        for m in range(outputs.need.size):
            outputs.states[run, j, m] = state.y[outputs.need[m], k]
        j += 1
    lane.due = j


@numba.njit(**INLINED)
def _write_within(t, y, ys, dense, lane, k, outputs, end):
    """Write the outputs within the step just accepted, from its interpolant.

    y(t + θh) = (1−θ) y0 + θ (y1 + (1−θ)(k1 + θ (k2 + θ k3)))
    """
    run, j, need = lane.run, lane.due, outputs.need
    times, states = outputs.times, outputs.states
    while j < times.size and times[j] < end:
        # θ is the share of the step at the output time: 0 at y0 = y, 1 at y1 = ys.
        theta = (times[j] - t) / lane.h
        rest = 1.0 - theta
        for m in range(need.size):
            i = need[m]
            # dense[0..2] are k1, k2, k3 (3, n_need, 8): `m` counts needed states only.
            inner = dense[0, m, k] + theta * (dense[1, m, k] + theta * dense[2, m, k])
            states[run, j, m] = rest * y[i, k] + theta * (ys[i, k] + rest * inner)
        j += 1
    lane.due = j


@numba.njit(**INLINED)
def _record(trail, run, t, h, y, k):
    """Keep start, length and state of an accepted step, where there is room for it."""
    # `judge_steps` has counted this step in n already.
    j = trail.n[run] - 1
    if j < trail.t.shape[1]:
        trail.t[run, j] = t
        trail.h[run, j] = h
    if j < trail.y.shape[1]:
        for i in range(y.shape[0]):
            trail.y[run, j, i] = y[i, k]


@numba.njit(**INLINED)
def _record_nodes(nodes, y, ys, dense, need, k, run, j):
    """Keep the needed states at the nodes of step j of a run, for its features."""
    for q in range(4):
        # As in ``_write_within``; the last node is the end of the step itself.
        theta = 0.25 * q
        rest = 1.0 - theta
        for m in range(need.size):
            i = need[m]
            inner = dense[0, m, k] + theta * (dense[1, m, k] + theta * dense[2, m, k])
            nodes[run, j, q, m] = rest * y[i, k] + theta * (ys[i, k] + rest * inner)
    for m in range(need.size):
        nodes[run, j, 4, m] = ys[need[m], k]


@numba.njit(**HELPER)
def _none_left(lanes):
    """Return whether no lane has a run."""
    count = 0
    for k in range(LANES):
        count += int(lanes[k].run >= 0)
    return count == 0


@numba.njit(**INLINED)
def _wanted(lanes, t, runs_left):
    """Return whether a lane could take a run or is at a stop, or no lane has a run."""
    any_run = False
    for k in range(LANES):
        if lanes[k].run < 0:
            if runs_left:
                return True
        elif t[0, k] == lanes[k].stop:
            # Equal to the last bit: a step that hits it ends at `stop` (``end_of``).
            return True
        else:
            any_run = True
    return not any_run


@numba.njit(**HELPER)
def refill_lanes(next_run, state, lanes, starts, doses, outputs, ends):
    """Let empty lanes take the next runs, and lanes at a breakpoint act on it.

    A run that has reached the last output time ends here.

    Returns
    -------
    int : the next run that no lane has taken
    """
    times, final = outputs.times, outputs.times[-1]
    for k in range(LANES):
        lane = lanes[k]
        # RepeatedStep for a run that ends at once: its lane takes the next run.
        while True:
            if lane.run < 0:
                if next_run >= starts.y.shape[0]:
                    break
                lane.run = next_run
                ends.begun[next_run] = True
                _load_run(starts, next_run, state, k)
                next_run += 1
                state.t[0, k] = lane.stop = times[0]
                lane.due = lane.dose = lane.n_steps = lane.n_rejected = 0
            if state.t[0, k] != lane.stop:
                break
            # Doses first: an output at the time of a dose has the state after it.
            _apply_doses(state, lane, k, doses)
            _write_now(state, lane, k, outputs)
            if state.t[0, k] >= final:
                _end_run(_OK, state, lane, k, ends)
                continue
            lane.stop = final
            # Doses after the last output are not made; one at its time is made there.
            if lane.dose < doses.time.size and doses.time[lane.dose] < final:
                lane.stop = doses.time[lane.dose]
            # f may jump at a breakpoint, so the old step size is not used.
            lane.fresh = True
    return next_run


@numba.njit(**INLINED)
def judge_steps(state, step, lanes, max_steps, outputs, halt, trail, order_root):
    """Accept or reject the step of each lane, and choose the length of the next.

    Outputs within an accepted step are written. ``step.taken`` marks accepted lanes,
    and ``ending`` of a lane the status with which its run ends here.

    Returns
    -------
    bool : whether any run ends here
    """
    # k lane, e scaled error, t start and `end` end of the step, y state at t, ys at
    # `end`, n (n_run,) accepted steps.
    t, y, ys, dense = state.t, state.y, step.ys, step.dense
    error, low, taken, times, n = (
        step.error,
        step.low,
        step.taken,
        outputs.times,
        trail.n,
    )
    final, span, any_end = times[-1], times[-1] - times[0], False
    keeps_steps = trail.t.shape[1] > 0
    for k in range(LANES):
        lane = lanes[k]
        # ``stages.accept`` sets y to ys where taken is 1.
        taken[0, k] = 0.0
        if lane.run < 0:
            continue
        e, ending = error[0, k], -1
        lane.n_steps += 1
        # False for NaN too, so that a step with a NaN in it is rejected.
        if e <= 1.0:
            taken[0, k] = 1.0
            end = end_of(lane, t[0, k])
            if lane.due < times.size and times[lane.due] < end:
                _write_within(t[0, k], y, ys, dense, lane, k, outputs, end)
            accept_step(lane, e, order_root)
            n[lane.run] += 1
            if keeps_steps:
                _record(trail, lane.run, t[0, k], lane.h, y, k)
                j = n[lane.run] - 1
                if j < trail.nodes.shape[1]:
                    need, nodes = outputs.need, trail.nodes
                    _record_nodes(nodes, y, ys, dense, need, k, lane.run, j)
            t[0, k] = end
            # low = min_i (y_i + share·peak_i + floor_i): an amount is too negative.
            if low[0, k] < 0.0:
                ending = _NEGATIVE
        else:
            # t and y stay; the next step from here is shorter.
            ending = reject_step(lane, t[0, k], e, order_root, span)
        if ending < 0:
            ending = limit_reached(lane, t[0, k], max_steps, halt[lane.run], final)
        lane.ending = ending
        any_end |= ending >= 0
    return any_end


@machine_code.solver(
    types.void(
        RATES, MATRIX, SOLVE, TIME, records.SCHEME, records.SIZES, records.STARTS,
        records.DOSES, records.OUTPUTS, records.LIMITS, records.ENDS, records.TRAIL,
        records.STATE, records.STEP, records.LANE_RECORDS,
    ),
    **UNCOUNTED,
)  # fmt: skip
def drive(
    rates, matrix, solve, time, scheme, sizes, starts, doses, outputs, limits, ends,
    trail, state, step, lanes,
):  # fmt: skip
    """Integrate all runs of `starts`, writing the needed states at all output times.

    Accepted steps are kept in the trail as far as its arrays reach. State, step and
    lanes are new (``records.new_state`` and so on); the caller makes and holds them.
    """
    # s stages, n states; u (s, n, 8), y and ys (n, 8), t, error and taken (1, 8),
    # a (n_a, 8), H (3·s,); k counts lanes.
    s, n, held, need = scheme.alpha.size, starts.y.shape[1], starts.held, outputs.need
    t, y, ys, times, taken = state.t, state.y, step.ys, outputs.times, step.taken
    peak, per_h, hg, error, a, u = (
        state.peak,
        step.per_h,
        step.hg,
        step.error,
        step.a,
        step.u,
    )
    dense, H, halt, max_steps = step.dense, scheme.H, ends.halt, limits.max_steps
    # Without any infusion no loop over doses is needed in the stages.
    fed = doses.state if doses.any_rate else doses.state[:0]
    keeps_nodes = trail.nodes.size > 0
    order_root, n_run, next_run = 1.0 / scheme.order, starts.y.shape[0], 0
    while True:
        if _wanted(lanes, t, next_run < n_run):
            next_run = refill_lanes(
                next_run, state, lanes, starts, doses, outputs, ends
            )
            if _none_left(lanes):
                break
            start_fresh_lanes(rates, state, step, lanes, fed, held, limits)
        # One step of all lanes: h, stages U_1 … U_s, y1 = ys, error estimate U_s.
        choose_steps(lanes, t, per_h, hg, scheme.gamma, held)
        take_step(
            rates, matrix, solve, time, scheme, sizes, state, step, lanes, fed, held
        )
        finish_step(state, step, limits)
        # Σ_j H_mj U_j of the needed states, where an output is within the step or the
        # dense output itself is kept.
        if measure_errors(lanes, t, error, a, n, times) or keeps_nodes:
            if s == 8:
                _dense8(u, H, need, dense, n, need.size)
            else:
                _dense6(u, H, need, dense, n, need.size)
        any_end = judge_steps(
            state, step, lanes, max_steps, outputs, halt, trail, order_root
        )
        # After `judge_steps`, which reads the old y for outputs within the step.
        _accept(y, ys, peak, taken, n)
        if any_end:
            for k in range(LANES):
                if lanes[k].run >= 0 and lanes[k].ending >= 0:
                    _end_run(lanes[k].ending, state, lanes[k], k, ends)
