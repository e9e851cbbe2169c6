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

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler import machine_code
from mir21sim.compiler.build_lane_kernels import MATRIX, RATES, SOLVE, TIME
from mir21sim.compiler.build_sensitivity_kernels import KERNEL_TYPES
from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.solvers.batch.replay import (
    _ADD,
    _SET,
    F2,
    F3,
    I1,
    METHOD,
    SIZES,
    STEPS,
    STRICT,
    StepKernels,
    end_of_step,
    slopes,
    stages,
)

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


@numba.njit(**STRICT)
def _load(steps, run, lane, p, inflow, pb, lam, d_inflow):
    """Start the way back of a run in a lane: all infusions are on, all adjoints 0."""
    for m in range(p.shape[0]):
        p[m, lane] = steps.p[run, m]
        pb[m, lane] = 0.0
    for i in range(lam.shape[0]):
        lam[i, lane] = 0.0
    for j in range(inflow.shape[0]):
        d_inflow[j, lane] = 0.0
        on = steps.act_kind[j] != _ADD and steps.act_kind[j] != _SET
        # Neither ADD nor SET: an infusion; it is on at the end if it began by then.
        on = on and steps.act_time[j] <= steps.times[-1]
        inflow[j, lane] = steps.act_value[run, j] if on else 0.0


@numba.njit(**STRICT)
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


@numba.njit(**STRICT)
def _first_at(steps, j, moment):
    """Return the first breakpoint at or after a moment, at most j."""
    while j > 0 and steps.act_time[j - 1] >= moment:
        j -= 1
    return j


@numba.njit(**STRICT)
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


@numba.njit(**STRICT)
def _boundary(k, steps, f, grad, at, moment, job, act, t, y0, p, v, a, inflow, lam,
              d_inflow, y, before, after):  # fmt: skip
    """Undo the breakpoints at `moment` of the lanes marked in `at`, last one first.

    y0 has the states before the first of them.
    """
    # f functionals, act[lane] the last breakpoint not undone, y state just before it,
    # before and after: f⁻ and f⁺ (n, 8).
    while True:
        acting = False
        for lane in range(LANES):
            j = act[lane]
            if at[lane] and j >= 0 and steps.act_time[j] >= moment[lane]:
                acting = True
                if f.shifts:
                    run = f.run[job[lane]]
                    # State and infusions just before breakpoint j: from y0, with all
                    # earlier breakpoints of the same moment; its infusions begin off.
                    start = _first_at(steps, j, moment[lane])
                    for i in range(y.shape[0]):
                        y[i, lane] = y0[i, lane]
                    for z in range(start, j + 1):
                        kind = steps.act_kind[z]
                        if kind != _ADD and kind != _SET:
                            inflow[z, lane] = 0.0
                    _apply(steps, run, start, j, lane, y, inflow)
        if not acting:
            return
        if f.shifts:
            # f⁻ before breakpoint j, f⁺ after it.
            slopes(k, t, y, p, v, a, inflow, steps.act_state, steps.held, before)
            for lane in range(LANES):
                j = act[lane]
                if at[lane] and j >= 0 and steps.act_time[j] >= moment[lane]:
                    _apply(steps, f.run[job[lane]], j, j + 1, lane, y, inflow)
            slopes(k, t, y, p, v, a, inflow, steps.act_state, steps.held, after)
        for lane in range(LANES):
            j = act[lane]
            if not (at[lane] and j >= 0 and steps.act_time[j] >= moment[lane]):
                continue
            act[lane] -= 1
            # Never carried out: its gradient stays 0.
            if steps.act_time[j] > steps.times[-1]:
                continue
            if f.shifts:
                # ∂/∂τ_j = λᵀ (f⁻ − f⁺), where SET has no f⁻ in its state.
                total = 0.0
                for i in range(y.shape[0]):
                    slope = before[i, lane]
                    if steps.act_kind[j] == _SET and i == steps.act_state[j]:
                        slope = 0.0
                    total += lam[i, lane] * (slope - after[i, lane])
                grad.dose_time[job[lane], j] = total
            run = f.run[job[lane]]
            _undo(steps, run, j, lane, lam, inflow, d_inflow, grad, job[lane])


@numba.njit(**STRICT)
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


@numba.njit(**STRICT)
def _take_outputs(steps, f, job, lane, due, moment, lam):
    """Add the weights of the outputs at or after a moment; return the next one."""
    z = due
    while z >= 0 and steps.times[z] >= moment:
        for q in range(f.need.size):
            lam[f.need[q], lane] += f.weight[job, z, q]
        z -= 1
    return z


@numba.njit(**STRICT)
def _spread(i, z, ob, A, C, per_h, ub):
    """Give the adjoint of stage i to the stages before it."""
    for j in range(i):
        a, c = A[i, j], C[i, j]
        for r in range(z.shape[0]):
            for lane in range(LANES):
                # Transposes of Y_i = y + Σ A_ij U_j (ob) and of Σ (C_ij/h) U_j (z).
                ub[j, r, lane] += c * per_h[0, lane] * z[r, lane] + a * ob[r, lane]


@machine_code.solver(
    types.void(
        RATES, MATRIX, SOLVE, TIME, _K["partials"], _K["inner"], _K["gather"],
        _K["linear_t"], _K["bend_t"], _K["second_t"], _K["solve_t"],
        SIZES, METHOD, STEPS, F3, _FUNCTIONALS, _GRADIENTS,
    ),
    **STRICT,
)  # fmt: skip
def replay_adjoint(
    rates, matrix, solve, time, partials, inner, gather, linear_t, bend_t, second_t,
    solve_t, size, m, steps, trail_y, f, grad,
):  # fmt: skip
    """Take the weights of all jobs back to parameters, start values and doses."""
    # Letters: U_i = u[i], Y_i = at[i]; adjoints: lam of y1, yb of y_n, ub[i] of U_i and
    # then of its right-hand side, ob of Y_i, pb of p, d_inflow of the infusion rates,
    # g of rules and rates, b of the rules in dJ·U_i, q of the changes of d[0].
    k = StepKernels(rates, matrix, solve, time, size.has_time)
    s, n, n_p = m.alpha.size, steps.y0.shape[1], steps.p.shape[1]
    n_act, n_job = steps.act_time.size, f.run.size
    # ---- the run: as in ``driver``
    y, ys, y_end = np.zeros((n, LANES)), np.zeros((n, LANES)), np.zeros((n, LANES))
    u, at = np.zeros((s, n, LANES)), np.zeros((s, n, LANES))
    p, v = np.zeros((n_p, LANES)), np.zeros((size.n_rate, LANES))
    a, w = np.zeros((size.n_a, LANES)), np.zeros((size.n_w, LANES))
    ft, hg = np.zeros((n, LANES)), np.ones((n, LANES))
    t, ts, per_h = np.zeros((1, LANES)), np.zeros((1, LANES)), np.ones((1, LANES))
    t_end = np.zeros((1, LANES))
    inflow = np.zeros((n_act, LANES))
    # ---- partials and rules per stage; adjoints
    # d direct partials at each Y_i; au changes of the rules along U_i; ut = D_i h.
    d = np.zeros((s, size.n_partial, LANES))
    a0, a1 = np.zeros((size.n_rule, LANES)), np.zeros((size.n_rule, LANES))
    au, b = np.zeros((s, size.n_rule, LANES)), np.zeros((size.n_rule, LANES))
    ut = np.zeros((s, 1, LANES))
    q, g = np.zeros((size.n_second, LANES)), np.zeros((size.n_quantity, LANES))
    lam, yb, ob = np.zeros((n, LANES)), np.zeros((n, LANES)), np.zeros((n, LANES))
    ub, pb = np.zeros((s, n, LANES)), np.zeros((n_p, LANES))
    d_inflow = np.zeros((n_act, LANES))
    scratch, before = np.zeros((n, LANES)), np.zeros((n, LANES))
    after = np.zeros((n, LANES))
    # ---- the run and step of each lane
    h, end = np.ones(LANES), np.zeros(LANES)
    job, step = np.full(LANES, -1), np.zeros(LANES, np.int64)
    due, act = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    here = np.zeros(LANES, np.bool_)
    start = np.full(LANES, steps.times[0])
    next_job = 0

    while True:
        # ---- runs that are back at their start are done; free lanes take the next
        while True:
            ending = False
            for lane in range(LANES):
                if job[lane] < 0 and next_job < n_job:
                    job[lane] = next_job
                    next_job += 1
                    run = f.run[job[lane]]
                    _load(steps, run, lane, p, inflow, pb, lam, d_inflow)
                    # From the last step, output and breakpoint to the first.
                    step[lane] = steps.n[run] - 1
                    due[lane], act[lane] = steps.times.size - 1, n_act - 1
                here[lane] = job[lane] >= 0 and step[lane] < 0
                ending |= here[lane]
            if not ending:
                break
            for lane in range(LANES):
                if here[lane]:
                    # Outputs and breakpoints left are at the start: −∞ takes them all.
                    t_end[0, lane] = start[lane]
                    _take_outputs(steps, f, job[lane], lane, due[lane], -np.inf, lam)
                    for i in range(n):
                        y_end[i, lane] = steps.y0[f.run[job[lane]], i]
                    start[lane] = -np.inf
            _boundary(
                k, steps, f, grad, here, start, job, act, t_end, y_end, p, v, a, inflow,
                lam, d_inflow, scratch, before, after,
            )  # fmt: skip
            for lane in range(LANES):
                if here[lane]:
                    start[lane] = steps.times[0]
                    for i in range(n):
                        grad.y0[job[lane], i] = lam[i, lane]
                    for z in range(n_p):
                        # Added: the direct part of outputs that depend on p is there.
                        grad.p[job[lane], z] += pb[z, lane]
                    job[lane] = -1
        busy = 0
        for lane in range(LANES):
            h[lane] = 1.0
            if job[lane] >= 0:
                busy += 1
                run = f.run[job[lane]]
                h[lane] = steps.h[run, step[lane]]
                t[0, lane] = steps.t[run, step[lane]]
                end[lane] = t_end[0, lane] = end_of_step(steps, run, step[lane])
                for i in range(n):
                    # y_n was kept, as the steps cannot be made backwards.
                    y[i, lane] = trail_y[run, step[lane], i]
        if busy == 0:
            return

        # ---- breakpoints at the end of the step, which see the infusions after it
        any_act = False
        for lane in range(LANES):
            here[lane] = job[lane] >= 0
            if here[lane]:
                due[lane] = _take_outputs(
                    steps, f, job[lane], lane, due[lane], end[lane], lam
                )
                j = act[lane]
                any_act |= j >= 0 and steps.act_time[j] >= end[lane]
        if any_act and f.shifts:
            # Infusions that begin at the end of the step are not on within it.
            for lane in range(LANES):
                j = act[lane]
                while here[lane] and j >= 0 and steps.act_time[j] >= end[lane]:
                    scratch_on = steps.act_kind[j] != _ADD and steps.act_kind[j] != _SET
                    if scratch_on:
                        inflow[j, lane] = 0.0
                    j -= 1
            stages(
                k, m, t, ts, h, per_h, hg, y, ys, p, inflow, steps.act_state,
                steps.held, v, a, w, ft, u, at,
            )  # fmt: skip
            # y1 = Y_s + U_s, the state before the breakpoints.
            y_end[:, :] = ys + u[s - 1]
        if any_act:
            _boundary(
                k, steps, f, grad, here, end, job, act, t_end, y_end, p, v, a, inflow,
                lam, d_inflow, scratch, before, after,
            )  # fmt: skip

        # ---- the step again, and the partials at its stages
        stages(
            k, m, t, ts, h, per_h, hg, y, ys, p, inflow, steps.act_state, steps.held,
            v, a, w, ft, u, at,
        )  # fmt: skip
        for i in range(s):
            for lane in range(LANES):
                ts[0, lane] = t[0, lane] + m.alpha[i] * h[lane]
                ut[i, 0, lane] = m.D[i] * h[lane]
            # As in ``tangents``: d[i] at Y_i, au[i] along (U_i, D_i h) by d[0].
            partials(ts if i else t, at[i], p, a1 if i else a0, d[i])
            inner(d[0], u[i], ut[i], au[i])

        # ---- its adjoint
        yb[:, :] = 0.0
        ub[:, :, :] = 0.0
        q[:, :] = 0.0
        for lane in range(LANES):
            if job[lane] >= 0:
                due[lane] = _inside(
                    steps, f, job[lane], lane, due[lane], t[0, lane], h[lane], m.H,
                    lam, yb, ub,
                )  # fmt: skip
        # y1 = Y_s + U_s with Y_s = y + Σ_j A_sj U_j, transposed.
        yb += lam
        ub[s - 1] += lam
        for j in range(s - 1):
            if m.A[s - 1, j] != 0.0:
                ub[j] += m.A[s - 1, j] * lam
        for i in range(s - 1, -1, -1):
            # U_i = W⁻¹ r_i: the adjoint of r_i is W⁻ᵀ ub_i.
            solve_t(w, ub[i])
            for r in steps.held:
                ub[i, r, :] = 0.0
            for j in range(n_act):
                for lane in range(LANES):
                    # r_i has the inflow as a term.
                    d_inflow[j, lane] += ub[i, steps.act_state[j], lane]
            g[:, :] = 0.0
            b[:, :] = 0.0
            ob[:, :] = 0.0
            # g = Nᵀ ub_i; through the rules ob = J(Y_i)ᵀ ub_i and pb += f_p(Y_i)ᵀ ub_i.
            gather(ub[i], g)
            linear_t(d[i], g, ob, pb)
            # q += adjoint of the changes of d[0] in dJ·U_i: summed over the stages.
            bend_t(d[0], g, u[i], ut[i], au[i], b, q)
            # Y_i has y_n as a term; the stages j < i get their shares next.
            yb += ob
            _spread(i, ub[i], ob, m.A, m.C, per_h, ub)
        # yb and pb += (f_yy, f_yp)ᵀ q: the change of J(y_n), once a step.
        second_t(t, y, p, a0, d[0], q, g, yb, pb)
        # The adjoint at the start of the step is that at the end of the one before.
        lam[:, :] = yb
        for lane in range(LANES):
            step[lane] -= 1
