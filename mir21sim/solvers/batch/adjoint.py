"""Discrete adjoint of batch runs: the gradient of one number of the outputs.

The recorded steps are repeated from the last to the first. Each step takes the adjoint
of the state at its end to that at its start, with transposed solves by the factors of
the step; the change of the Jacobian within a step enters once a step. The gradient is
that of the tangents to rounding, for the cost of a few runs, whatever the number of
parameters.
"""

from typing import NamedTuple

import numba
import numpy as np
from numba import types

from mir21sim._typing import BoolArray, FloatArray, IntArray, Kernel
from mir21sim.compiler import machine_code
from mir21sim.compiler.build_lane_kernels import MATRIX, RATES, SOLVE, TIME
from mir21sim.compiler.build_sensitivity_kernels import KERNEL_TYPES
from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.solvers.batch.lane_arrays import (
    HELPER,
    UNCOUNTED,
    copy_rows,
    zeros_of,
)
from mir21sim.solvers.batch.replay import (
    _ADD,
    _SET,
    F2,
    F3,
    I1,
    METHOD,
    PLACES,
    REPEATED,
    SIZES,
    STEPS,
    Method,
    Places,
    RepeatedStep,
    Sizes,
    StepKernels,
    Steps,
    end_of_step,
    find_partials,
    new_places,
    new_repeated_step,
    repeat_step,
    slopes,
)
from mir21sim.solvers.batch.step import spread_stage

_K = KERNEL_TYPES


class Functionals(NamedTuple):
    """Weights of the outputs, one set a job.

    Attributes
    ----------
    run : int array, shape (n_job,)
    need : int array, shape (n_need,), the states that the weights are of
    weight : float array, shape (n_job, n_time, n_need): the gradient of each number by
        the states at the output times
    shifts : whether the gradient by the times of breakpoints is wanted
    """

    run: IntArray
    need: IntArray
    weight: FloatArray
    shifts: bool


class Gradients(NamedTuple):
    """Gradients to fill, one row a job; shapes (n_job, …) as the arrays of a run."""

    p: FloatArray
    y0: FloatArray
    dose: FloatArray
    dose_time: FloatArray


_FUNCTIONALS = types.NamedTuple([I1, I1, F3, types.boolean], Functionals)
_GRADIENTS = types.NamedUniTuple(F2, 4, Gradients)


class TransposedKernels(NamedTuple):
    """Kernels that take adjoints back through a stage (``sensitivity_programs``)."""

    gather: Kernel
    linear_t: Kernel
    bend_t: Kernel
    second_t: Kernel
    solve_t: Kernel


class Adjoints(NamedTuple):
    """Adjoints of all lanes; letters as in ``tangents``.

    lam, yb, ob : of the state at the end of the step, at its start and at a stage,
        (n, 8)
    ub : of the stages and then of their right-hand sides, (s, n, 8)
    pb, d_inflow : of the parameters (n_param, 8) and of the infusions (n_act, 8)
    q, g, b : of the changes of d[0], of rules and rates, and of the rules in dJ·U_i
    y_end, y_act, before, after : the state at a breakpoint and beside it, and dy/dt on
        both sides, (n, 8)
    t_end : time of the breakpoint (1, 8); where : lanes that are at one (8,)
    """

    lam: FloatArray
    yb: FloatArray
    ob: FloatArray
    ub: FloatArray
    pb: FloatArray
    d_inflow: FloatArray
    q: FloatArray
    g: FloatArray
    b: FloatArray
    y_end: FloatArray
    y_act: FloatArray
    before: FloatArray
    after: FloatArray
    t_end: FloatArray
    where: BoolArray


def new_arrays(
    size: Sizes, m: Method, steps: Steps
) -> tuple[RepeatedStep, Places, Adjoints]:
    """Return the arrays that ``replay_adjoint`` works on."""
    adjoints = _new_adjoints(size, m, steps)
    return new_repeated_step(m, size, steps), new_places(), adjoints


def _new_adjoints(size: Sizes, m: Method, steps: Steps) -> Adjoints:
    """Return the arrays of the adjoints."""
    n, n_param, n_act = steps.y0.shape[1], steps.p.shape[1], steps.act_time.size
    rows = (n_param, n_act, size.n_second, size.n_quantity, size.n_rule, n, n, n, n, 1)
    floats = zeros_of(
        (n, LANES),
        (n, LANES),
        (n, LANES),
        (m.alpha.size, n, LANES),
        *((count, LANES) for count in rows),
    )
    return Adjoints._make([*floats, np.zeros(LANES, np.bool_)])


_ADJOINTS = types.NamedTuple(
    [*[F2] * 3, F3, *[F2] * 10, types.Array(types.boolean, 1, "C")], Adjoints
)


@numba.njit(**HELPER)
def _load(steps, run, lane, r, b):
    """Start the way back of a run in a lane: all infusions are on, all adjoints 0."""
    p, inflow = r.p, r.inflow
    for m in range(p.shape[0]):
        p[m, lane] = steps.p[run, m]
        b.pb[m, lane] = 0.0
    for i in range(b.lam.shape[0]):
        b.lam[i, lane] = 0.0
    for j in range(inflow.shape[0]):
        b.d_inflow[j, lane] = 0.0
        on = steps.act_kind[j] != _ADD and steps.act_kind[j] != _SET
        # Neither ADD nor SET: an infusion; it is on at the end if it began by then.
        on = on and steps.act_time[j] <= steps.times[-1]
        inflow[j, lane] = steps.act_value[run, j] if on else 0.0


@numba.njit(**HELPER)
def _apply(steps, run, first, last, lane, y, inflow):
    """Carry out the breakpoints `first` to `last` on a state."""
    for j in range(first, last):
        i, kind = steps.act_state[j], steps.act_kind[j]
        if kind == _ADD:
            y[i, lane] += steps.act_value[run, j]
        elif kind == _SET:
            y[i, lane] = steps.act_value[run, j]
        else:
            inflow[j, lane] = steps.act_value[run, j]


@numba.njit(**HELPER)
def _first_at(steps, j, moment):
    """Return the first breakpoint at or after a moment, at most j."""
    while j > 0 and steps.act_time[j - 1] >= moment:
        j -= 1
    return j


@numba.njit(**HELPER)
def _undo(steps, run, j, lane, lam, inflow, d_inflow, grad, job):
    """Take the adjoint through breakpoint j, backwards."""
    i, kind = steps.act_state[j], steps.act_kind[j]
    if kind == _ADD:
        # y⁺ = y⁻ + v: ∂/∂v = λ_i, and λ goes on unchanged.
        grad.dose[job, j] = lam[i, lane]
    elif kind == _SET:
        # y⁺ = v: ∂/∂v = λ_i, and y⁻ has no effect.
        grad.dose[job, j] = lam[i, lane]
        lam[i, lane] = 0.0
    else:
        # dy_i/dt has v in all later steps, whose shares were summed; before, it is off.
        grad.dose[job, j] = d_inflow[j, lane]
        d_inflow[j, lane] = 0.0
        inflow[j, lane] = 0.0


@numba.njit(**HELPER)
def _is_left(steps, o, b, lane, moment):
    """Return whether a lane at a breakpoint has one left at or after its moment."""
    j = o.act[lane]
    return b.where[lane] and j >= 0 and steps.act_time[j] >= moment[lane]


@numba.njit(**HELPER)
def _state_before(steps, run, j, lane, moment, r, b):
    """Set the state and the infusions of a lane to those just before breakpoint j."""
    # From y_end, with all earlier breakpoints of the same moment, whose infusions begin
    # off.
    start = _first_at(steps, j, moment)
    for i in range(b.y_act.shape[0]):
        b.y_act[i, lane] = b.y_end[i, lane]
    for z in range(start, j + 1):
        kind = steps.act_kind[z]
        if kind != _ADD and kind != _SET:
            r.inflow[z, lane] = 0.0
    _apply(steps, run, start, j, lane, b.y_act, r.inflow)


@numba.njit(**HELPER)
def _by_time(steps, job, j, lane, b, grad):
    """Set the gradient by the time of breakpoint j."""
    # ∂/∂τ_j = λᵀ (f⁻ − f⁺), where SET has no f⁻ in its state.
    total = 0.0
    for i in range(b.y_act.shape[0]):
        slope = b.before[i, lane]
        if steps.act_kind[j] == _SET and i == steps.act_state[j]:
            slope = 0.0
        total += b.lam[i, lane] * (slope - b.after[i, lane])
    grad.dose_time[job, j] = total


@numba.njit(**HELPER)
def _undo_breakpoints(k, steps, f, grad, moment, r, o, b):
    """Undo the breakpoints at `moment` of the lanes marked in ``where``, last first.

    ``y_end`` has the states before the first of them, ``t_end`` their times.
    """
    # act[lane] the last breakpoint not undone; before and after: f⁻ and f⁺.
    while True:
        acting = False
        for lane in range(LANES):
            if _is_left(steps, o, b, lane, moment):
                acting = True
                if f.shifts:
                    run = f.run[o.job[lane]]
                    _state_before(steps, run, o.act[lane], lane, moment[lane], r, b)
        if not acting:
            return
        if f.shifts:
            # f⁻ before breakpoint j, f⁺ after it.
            slopes(k, r, steps, b.t_end, b.y_act, b.before)
            for lane in range(LANES):
                if _is_left(steps, o, b, lane, moment):
                    j, run = o.act[lane], f.run[o.job[lane]]
                    _apply(steps, run, j, j + 1, lane, b.y_act, r.inflow)
            slopes(k, r, steps, b.t_end, b.y_act, b.after)
        for lane in range(LANES):
            if not _is_left(steps, o, b, lane, moment):
                continue
            j, job = o.act[lane], o.job[lane]
            o.act[lane] -= 1
            # Never carried out: its gradient stays 0.
            if steps.act_time[j] > steps.times[-1]:
                continue
            if f.shifts:
                _by_time(steps, job, j, lane, b, grad)
            _undo(steps, f.run[job], j, lane, b.lam, r.inflow, b.d_inflow, grad, job)


@numba.njit(**HELPER)
def _inside(steps, f, job, lane, due, t, h, H, lam, yb, ub):
    """Add the weights of the outputs within a step to the adjoints of its parts."""
    s = ub.shape[0]
    z = due
    while z >= 0 and steps.times[z] > t:
        # Transpose of the interpolant (1−θ) y0 + θ (y1 + (1−θ)(k1 + θ (k2 + θ k3))):
        # weights of y1 go to lam, of y0 to yb, of U_j to ub[j].
        theta = (steps.times[z] - t) / h
        rest = 1.0 - theta
        for q in range(f.need.size):
            weight, i = f.weight[job, z, q], f.need[q]
            if weight != 0.0:
                lam[i, lane] += theta * weight
                yb[i, lane] += rest * weight
                for j in range(s):
                    inner = H[0, j] + theta * (H[1, j] + theta * H[2, j])
                    ub[j, i, lane] += theta * rest * inner * weight
        z -= 1
    return z


@numba.njit(**HELPER)
def _take_outputs(steps, f, job, lane, due, moment, lam):
    """Add the weights of the outputs at or after a moment; return the next one."""
    z = due
    while z >= 0 and steps.times[z] >= moment:
        for q in range(f.need.size):
            lam[f.need[q], lane] += f.weight[job, z, q]
        z -= 1
    return z


@numba.njit(**HELPER)
def _take_jobs(next_job, steps, f, r, o, b):
    """Let free lanes take the next jobs; mark lanes that are back at their start.

    Returns
    -------
    int, bool : the next job that no lane has taken, and whether any lane is at a start
    """
    ending = False
    for lane in range(LANES):
        if o.job[lane] < 0 and next_job < f.run.size:
            o.job[lane] = next_job
            run = f.run[next_job]
            next_job += 1
            _load(steps, run, lane, r, b)
            # From the last step, output and breakpoint to the first.
            o.step[lane] = steps.n[run] - 1
            o.due[lane], o.act[lane] = steps.times.size - 1, steps.act_time.size - 1
        b.where[lane] = o.job[lane] >= 0 and o.step[lane] < 0
        ending |= b.where[lane]
    return next_job, ending


@numba.njit(**HELPER)
def _end_jobs(k, steps, f, grad, r, o, b):
    """Take lanes that are back at their start through its breakpoints; free them."""
    moment = r.end
    for lane in range(LANES):
        moment[lane] = steps.times[0]
        if b.where[lane]:
            # Outputs and breakpoints left are at the start: −∞ takes them all.
            b.t_end[0, lane] = steps.times[0]
            _take_outputs(steps, f, o.job[lane], lane, o.due[lane], -np.inf, b.lam)
            for i in range(b.y_end.shape[0]):
                b.y_end[i, lane] = steps.y0[f.run[o.job[lane]], i]
            moment[lane] = -np.inf
    _undo_breakpoints(k, steps, f, grad, moment, r, o, b)
    for lane in range(LANES):
        job = o.job[lane]
        if b.where[lane]:
            for i in range(b.lam.shape[0]):
                grad.y0[job, i] = b.lam[i, lane]
            for z in range(b.pb.shape[0]):
                # Added: the direct part of outputs that depend on p is there.
                grad.p[job, z] += b.pb[z, lane]
            o.job[lane] = -1


@numba.njit(**HELPER)
def _begin_steps(steps, trail_y, f, r, o, b):
    """Set state, time and length of the step of each lane; return how many have one."""
    busy = 0
    for lane in range(LANES):
        r.h[lane] = 1.0
        b.where[lane] = o.job[lane] >= 0
        if o.job[lane] >= 0:
            busy += 1
            run, step = f.run[o.job[lane]], o.step[lane]
            r.h[lane], r.t[0, lane] = steps.h[run, step], steps.t[run, step]
            r.end[lane] = b.t_end[0, lane] = end_of_step(steps, run, step)
            for i in range(r.y.shape[0]):
                # y_n was kept, as the steps cannot be made backwards.
                r.y[i, lane] = trail_y[run, step, i]
    return busy


@numba.njit(**HELPER)
def _undo_ends(k, m, steps, f, grad, r, o, b):
    """Take outputs and breakpoints at the end of the step of each lane back."""
    # Breakpoints at the end of the step see the infusions after it.
    any_act = False
    for lane in range(LANES):
        if b.where[lane]:
            o.due[lane] = _take_outputs(
                steps, f, o.job[lane], lane, o.due[lane], r.end[lane], b.lam
            )
            any_act |= _is_left(steps, o, b, lane, r.end)
    if not any_act:
        return
    if f.shifts:
        # Infusions that begin at the end of the step are not on within it.
        for lane in range(LANES):
            j = o.act[lane]
            while b.where[lane] and j >= 0 and steps.act_time[j] >= r.end[lane]:
                if steps.act_kind[j] != _ADD and steps.act_kind[j] != _SET:
                    r.inflow[j, lane] = 0.0
                j -= 1
        repeat_step(k, m, r, steps)
        # y1 = Y_s + U_s, the state before the breakpoints.
        last = r.u[m.alpha.size - 1]
        for i in range(last.shape[0]):
            for lane in range(LANES):
                b.y_end[i, lane] = r.ys[i, lane] + last[i, lane]
    _undo_breakpoints(k, steps, f, grad, r.end, r, o, b)


@numba.njit(**HELPER)
def _take_back(k, kt, m, steps, f, r, o, b):
    """Take the adjoints from the end of the step just repeated to its start."""
    s, n, n_act = m.alpha.size, r.y.shape[0], steps.act_time.size
    lam, yb, ob, ub, g = b.lam, b.yb, b.ob, b.ub, b.g
    # y1 = Y_s + U_s with Y_s = y + Σ_j A_sj U_j, transposed.
    yb[:, :] = 0.0
    ub[:, :, :] = 0.0
    b.q[:, :] = 0.0
    for lane in range(LANES):
        if o.job[lane] >= 0:
            o.due[lane] = _inside(
                steps, f, o.job[lane], lane, o.due[lane], r.t[0, lane], r.h[lane], m.H,
                lam, yb, ub,
            )  # fmt: skip
    for row in range(n):
        for lane in range(LANES):
            yb[row, lane] += lam[row, lane]
            ub[s - 1, row, lane] += lam[row, lane]
    for j in range(s - 1):
        weight = m.A[s - 1, j]
        if weight != 0.0:
            for row in range(n):
                for lane in range(LANES):
                    ub[j, row, lane] += weight * lam[row, lane]
    for i in range(s - 1, -1, -1):
        target = ub[i]
        # U_i = W⁻¹ r_i: the adjoint of r_i is W⁻ᵀ ub_i.
        kt.solve_t(r.w, target)
        for row in steps.held:
            target[row, :] = 0.0
        for j in range(n_act):
            for lane in range(LANES):
                # r_i has the inflow as a term.
                b.d_inflow[j, lane] += target[steps.act_state[j], lane]
        g[:, :] = 0.0
        b.b[:, :] = 0.0
        ob[:, :] = 0.0
        # g = Nᵀ ub_i; through the rules ob = J(Y_i)ᵀ ub_i and pb += f_p(Y_i)ᵀ ub_i.
        kt.gather(target, g)
        kt.linear_t(r.d[i], g, ob, b.pb)
        # q += adjoint of the changes of d[0] in dJ·U_i: summed over the stages.
        kt.bend_t(r.d[0], g, r.u[i], r.ut[i], r.au[i], b.b, b.q)
        # Y_i has y_n as a term; the stages j < i get their shares next.
        for row in range(n):
            for lane in range(LANES):
                yb[row, lane] += ob[row, lane]
        spread_stage(i, ub, m.A[i], m.C[i], r.per_h, target, ob, n)
    # yb and pb += (f_yy, f_yp)ᵀ q: the change of J(y_n), once a step.
    kt.second_t(r.t, r.y, r.p, r.a0, r.d[0], b.q, g, yb, b.pb)
    # The adjoint at the start of the step is that at the end of the one before.
    copy_rows(yb, lam)


@machine_code.solver(
    types.void(
        RATES, MATRIX, SOLVE, TIME, _K["partials"], _K["inner"], _K["gather"],
        _K["linear_t"], _K["bend_t"], _K["second_t"], _K["solve_t"],
        SIZES, METHOD, STEPS, F3, _FUNCTIONALS, _GRADIENTS, REPEATED, PLACES, _ADJOINTS,
    ),
    **UNCOUNTED,
)  # fmt: skip
def replay_adjoint(
    rates, matrix, solve, time, partials, inner, gather, linear_t, bend_t, second_t,
    solve_t, size, m, steps, trail_y, f, grad, r, o, b,
):  # fmt: skip
    """Take the weights of all jobs back to parameters, start values and doses.

    The last three are those of ``new_arrays``; the caller holds them.
    """
    k = StepKernels(rates, matrix, solve, time, partials, inner, size.has_time)
    kt = TransposedKernels(gather, linear_t, bend_t, second_t, solve_t)
    next_job = 0
    while True:
        # Runs that are back at their start are done; free lanes take the next.
        next_job, ending = _take_jobs(next_job, steps, f, r, o, b)
        while ending:
            _end_jobs(k, steps, f, grad, r, o, b)
            next_job, ending = _take_jobs(next_job, steps, f, r, o, b)
        if _begin_steps(steps, trail_y, f, r, o, b) == 0:
            return
        _undo_ends(k, m, steps, f, grad, r, o, b)
        repeat_step(k, m, r, steps)
        find_partials(k, m, r)
        _take_back(k, kt, m, steps, f, r, o, b)
        for lane in range(LANES):
            o.step[lane] -= 1
