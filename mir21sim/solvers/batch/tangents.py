"""Tangents of batch runs: the exact derivative of the steps that were taken.

A Rosenbrock stage solves W U_i = f(Y_i) + Σ C_ij/h U_j with W = I/(hγ) − J(y_n). At a
fixed step size its derivative along a direction (ẏ, ṗ) is

    W dU_i = J(Y_i) dY_i + f_p(Y_i) ṗ + Σ C_ij/h dU_j + dJ·U_i (+ h D_i d(f_t)),

with the same W and the same factors. Nothing is approximated: a tangent is the
derivative of the number that the run returned. A run is integrated once; then its
accepted steps are repeated in the lanes, each lane with some columns of one run.
"""

from typing import NamedTuple

import numba
import numpy as np
from numba import types

from mir21sim._typing import BoolArray, FloatArray, IntArray
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
    I2,
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
from mir21sim.solvers.batch.step import add_inflow, prepare_stage
from mir21sim.solvers.batch.tangent_columns import DIRECTIONS, JOBS, Jobs

_K = KERNEL_TYPES
_F4 = types.Array(types.float64, 4, "C")


class Columns(NamedTuple):
    """Tangents of all lanes, of each slot; S = ∂y/∂direction, P = ṗ.

    S, P : (n_slot, n, 8) and (n_slot, n_param, 8)
    d_inflow : changes of the infusions that are on, (n_slot, n_act, 8)
    V, sa : tangents of the stages (s, n, 8) and of a stage's argument (n, 8)
    e, g, b : changes of d[0], of rules and rates, and the part of the rules in dJ·U
    before, after : dy/dt on both sides of a breakpoint, (n, 8)
    of_rule, of_rate : terms that move in a slot, (n_slot, n_term)
    n_of_rule, n_of_rate : how many of them, (n_slot,)
    used : whether a slot has a column in any lane, (n_slot,)
    """

    S: FloatArray
    P: FloatArray
    d_inflow: FloatArray
    V: FloatArray
    sa: FloatArray
    e: FloatArray
    g: FloatArray
    b: FloatArray
    before: FloatArray
    after: FloatArray
    of_rule: IntArray
    of_rate: IntArray
    n_of_rule: IntArray
    n_of_rate: IntArray
    used: BoolArray


def new_arrays(
    size: Sizes, m: Method, steps: Steps, jobs: Jobs
) -> tuple[RepeatedStep, Places, Columns]:
    """Return the arrays that ``replay_tangents`` works on."""
    columns = _new_columns(size, m, steps, jobs)
    return new_repeated_step(m, size, steps), new_places(), columns


def _new_columns(size: Sizes, m: Method, steps: Steps, jobs: Jobs) -> Columns:
    """Return the arrays of the tangents."""
    n_slot, n = jobs.column.shape[1], steps.y0.shape[1]
    floats = zeros_of(
        (n_slot, n, LANES),
        (n_slot, steps.p.shape[1], LANES),
        (n_slot, steps.act_time.size, LANES),
        (m.alpha.size, n, LANES),
        (n, LANES),
        (size.n_second, LANES),
        (size.n_quantity, LANES),
        (size.n_rule, LANES),
        (n, LANES),
        (n, LANES),
    )
    terms = [
        np.zeros((n_slot, jobs.rule_terms.shape[0]), np.int64),
        np.zeros((n_slot, jobs.rate_terms.shape[0]), np.int64),
    ]
    counts = np.zeros((2, n_slot), np.int64)
    return Columns._make([*floats, *terms, *counts, np.zeros(n_slot, np.bool_)])


_COLUMNS = types.NamedTuple(
    [*[F3] * 4, *[F2] * 6, I2, I2, I1, I1, types.Array(types.boolean, 1, "C")], Columns
)


@numba.njit(**HELPER)
def _load(steps, seeds, jobs, number, lane, y, p, S, P, inflow, d_inflow):
    """Put start values, parameters and seeds of a job into a lane."""
    # S (slot, n, 8) = ∂y/∂direction begins at ẏ0; P (slot, n_param, 8) = ṗ is constant.
    run = jobs.run[number]
    for i in range(y.shape[0]):
        y[i, lane] = steps.y0[run, i]
    for m in range(p.shape[0]):
        p[m, lane] = steps.p[run, m]
    for k in range(inflow.shape[0]):
        inflow[k, lane] = 0.0
    for c in range(S.shape[0]):
        column = jobs.column[number, c]
        for i in range(y.shape[0]):
            S[c, i, lane] = 0.0 if column < 0 else seeds.y0[run, column, i]
        for m in range(p.shape[0]):
            P[c, m, lane] = 0.0 if column < 0 else seeds.p[run, column, m]
        for k in range(inflow.shape[0]):
            d_inflow[c, k, lane] = 0.0


@numba.njit(**HELPER)
def _active_terms(of, P, terms, n_terms):
    """List, for each slot, the partials by parameters that change in any lane."""
    for c in range(P.shape[0]):
        count = 0
        for z in range(of.shape[0]):
            # One list for all lanes: a term is left out where ṗ is 0 in each of them.
            moves = False
            for lane in range(LANES):
                moves |= P[c, of[z, 1], lane] != 0.0
            if moves:
                terms[c, count] = z
                count += 1
        n_terms[c] = count


@numba.njit(**HELPER)
def _act(steps, seeds, jobs, number, j, lane, y, S, inflow, d_inflow):
    """Carry out breakpoint j in a lane, on the state and on its tangents."""
    run, i, kind = jobs.run[number], steps.act_state[j], steps.act_kind[j]
    value = steps.act_value[run, j]
    if kind == _ADD:
        y[i, lane] += value
    elif kind == _SET:
        y[i, lane] = value
    else:
        inflow[j, lane] = value
    for c in range(S.shape[0]):
        column = jobs.column[number, c]
        # ADD: y⁺ = y⁻ + v, S⁺ = S⁻ + dv. SET: y⁺ = v, S⁺ = dv. RATE: dv joins d(dy/dt).
        change = 0.0 if column < 0 else seeds.dose[run, column, j]
        if kind == _ADD:
            S[c, i, lane] += change
        elif kind == _SET:
            S[c, i, lane] = change
        else:
            d_inflow[c, j, lane] = change


@numba.njit(**HELPER)
def _shift(steps, seeds, jobs, number, j, lane, before, after, S):
    """Add the change that a later breakpoint makes: (f⁻ − f⁺) dτ, SET without f⁻."""
    run = jobs.run[number]
    for c in range(S.shape[0]):
        column = jobs.column[number, c]
        # S⁺ = S⁻ + (f⁻ − f⁺) dτ: f⁻ for dτ longer and f⁺ for dτ shorter. A state
        # that is SET does not depend on f⁻.
        later = 0.0 if column < 0 else seeds.dose_time[run, column, j]
        if later != 0.0:
            for i in range(S.shape[1]):
                slope = before[i, lane]
                if steps.act_kind[j] == _SET and i == steps.act_state[j]:
                    slope = 0.0
                S[c, i, lane] += (slope - after[i, lane]) * later


@numba.njit(**HELPER)
def _interpolate(jobs, number, c, lane, theta, S, V, new, H, out, run, k):
    """Write the needed rows of a tangent within a step."""
    rest = 1.0 - theta
    column = jobs.column[number, c]
    for q in range(jobs.need.size):
        i = jobs.need[q]
        # The derivative of the interpolant, which is linear in y0, y1 and the stages:
        # (1−θ) S0 + θ (S1 + (1−θ)(k1 + θ (k2 + θ k3))), k_m = Σ_j H_mj V_j.
        k1 = k2 = k3 = 0.0
        for j in range(V.shape[0]):
            k1 += H[0, j] * V[j, i, lane]
            k2 += H[1, j] * V[j, i, lane]
            k3 += H[2, j] * V[j, i, lane]
        inner = k1 + theta * (k2 + theta * k3)
        value = rest * S[c, i, lane] + theta * (new[i, lane] + rest * inner)
        out[run, column, k, q] = value


@numba.njit(**HELPER)
def _rule_terms(of, terms, count, d, P, g, n_rule):
    """Set the rules' rows of g to the terms of the parameters that a column changes."""
    for r in range(n_rule):
        g[r, :] = 0.0
    for z in range(count):
        row, m, q = of[terms[z], 0], of[terms[z], 1], of[terms[z], 2]
        for lane in range(LANES):
            # g_q += ∂(rule q)/∂p_m · ṗ_m.
            g[q, lane] += d[row, lane] * P[m, lane]


@numba.njit(**HELPER)
def _rate_terms(of, factor, terms, count, d, P, out):
    """Add the terms of the parameters that a column changes in rates to dy/dt."""
    for z in range(count):
        row, m, i = of[terms[z], 0], of[terms[z], 1], of[terms[z], 2]
        # (f_p ṗ)_i += N_ir · ∂v_r/∂p_m · ṗ_m.
        weight = factor[terms[z]]
        for lane in range(LANES):
            out[i, lane] += weight * (d[row, lane] * P[m, lane])


@numba.njit(**HELPER)
def _take_jobs(next_job, steps, seeds, jobs, r, o, c):
    """Let free lanes take the next jobs; return the next one that no lane has taken."""
    # A job is up to n_slot columns of one run; a run may be in several lanes.
    loaded = False
    for lane in range(LANES):
        if o.job[lane] < 0 and next_job < jobs.run.size:
            o.job[lane] = next_job
            _load(
                steps, seeds, jobs, next_job, lane, r.y, r.p, c.S, c.P, r.inflow,
                c.d_inflow,
            )  # fmt: skip
            next_job += 1
            r.t[0, lane] = steps.times[0]
            o.step[lane] = o.due[lane] = o.act[lane] = 0
            loaded = True
    if loaded:
        _active_terms(jobs.rule_terms, c.P, c.of_rule, c.n_of_rule)
        _active_terms(jobs.rate_terms, c.P, c.of_rate, c.n_of_rate)
        for slot in range(c.used.size):
            c.used[slot] = False
            for lane in range(LANES):
                if o.job[lane] >= 0 and jobs.column[o.job[lane], slot] >= 0:
                    c.used[slot] = True
    return next_job


@numba.njit(**HELPER)
def _is_due(steps, r, o, lane):
    """Return whether the next breakpoint of a lane is at its time."""
    j = o.act[lane]
    if o.job[lane] < 0 or j >= steps.act_time.size:
        return False
    return steps.act_time[j] <= r.t[0, lane]


@numba.njit(**HELPER)
def _carry_out_breakpoints(k, steps, seeds, jobs, r, o, c):
    """Carry out the breakpoints at the time of each lane, one at a time in each."""
    while True:
        acting = False
        for lane in range(LANES):
            acting |= _is_due(steps, r, o, lane)
        if not acting:
            return
        # f⁻, with the infusions before the action; f⁺ below, with those after it.
        if jobs.shifts:
            slopes(k, r, steps, r.t, r.y, c.before)
        for lane in range(LANES):
            # The order of the schedule matters: a SET after an ADD cancels it.
            if _is_due(steps, r, o, lane):
                _act(
                    steps, seeds, jobs, o.job[lane], o.act[lane], lane, r.y, c.S,
                    r.inflow, c.d_inflow,
                )  # fmt: skip
        if jobs.shifts:
            slopes(k, r, steps, r.t, r.y, c.after)
        for lane in range(LANES):
            if _is_due(steps, r, o, lane):
                j = o.act[lane]
                o.act[lane] += 1
                if jobs.shifts:
                    _shift(
                        steps, seeds, jobs, o.job[lane], j, lane, c.before, c.after, c.S
                    )


@numba.njit(**HELPER)
def _begin_steps(steps, jobs, r, o, c, out):
    """Write the outputs at this moment and take the next step of each lane.

    Returns
    -------
    int, bool : lanes that take a step, and whether any lane became free
    """
    busy, freed = 0, False
    for lane in range(LANES):
        job = o.job[lane]
        if job < 0:
            continue
        run = jobs.run[job]
        while o.due[lane] < steps.times.size:
            z = o.due[lane]
            if steps.times[z] > r.t[0, lane]:
                break
            for slot in range(c.used.size):
                column = jobs.column[job, slot]
                if column >= 0:
                    for q in range(jobs.need.size):
                        out[run, column, z, q] = c.S[slot, jobs.need[q], lane]
            o.due[lane] += 1
        if o.step[lane] < steps.n[run]:
            busy += 1
            r.h[lane] = steps.h[run, o.step[lane]]
            r.end[lane] = end_of_step(steps, run, o.step[lane])
        else:
            o.job[lane] = -1
            freed = True
            # An empty lane repeats steps of 1 from zeros; its results are ignored.
            r.h[lane] = 1.0
            for i in range(r.y.shape[0]):
                r.y[i, lane] = 0.0
    return busy, freed


@numba.njit(**HELPER)
def _take_step(k, second, stage, size, m, steps, jobs, r, c, slot):
    """Take the step of one slot; its tangent at the end is left in ``sa``."""
    # U_i = u[i], dU_i = V[i], dY_i = sa.
    s, n, n_act = m.alpha.size, r.y.shape[0], steps.act_time.size
    S, P, V, sa, g, d = c.S[slot], c.P[slot], c.V, c.sa, c.g, r.d
    of_rule, n_of_rule = c.of_rule[slot], c.n_of_rule[slot]
    of_rate, n_of_rate = c.of_rate[slot], c.n_of_rate[slot]
    n_rule = size.n_rule
    _rule_terms(jobs.rule_terms, of_rule, n_of_rule, d[0], P, g, n_rule)
    # e = changes of the partials d[0]: dJ = f_yy S + f_yp ṗ, once a step.
    second(r.t, r.y, r.p, r.a0, d[0], S, P, g, c.e)
    for i in range(s):
        target = V[i]
        if i == 0:
            # dY_1 = S, and no sum over earlier stages.
            target[:, :] = 0.0
            copy_rows(S, sa)
        else:
            # dY_i = S + Σ_j A_ij dU_j, V[i] = Σ_j (C_ij/h) dU_j.
            prepare_stage(i, m.chained[i] != 0, S, V, m.A, m.C, r.per_h, sa, n)
        _rule_terms(jobs.rule_terms, of_rule, n_of_rule, d[i], P, g, n_rule)
        # V[i] += f_p(Y_i) ṗ, the direct terms.
        _rate_terms(
            jobs.rate_terms, jobs.rate_factor, of_rate, n_of_rate, d[i], P, target
        )
        # V[i] += J(Y_i) dY_i + dJ·U_i + h D_i d(f_t).
        stage(d[i], d[0], sa, c.e, r.u[i], r.ut[i], r.au[i], c.b, g, target)
        if n_act:
            add_inflow(target, c.d_inflow[slot], steps.act_state, steps.held[:0])
        for row in steps.held:
            target[row, :] = 0.0
        # dU_i = W⁻¹ · right-hand side, with the factors of the run.
        k.solve(r.w, target)
    # S1 = dY_s + dU_s, as y1 = Y_s + U_s.
    last = V[s - 1]
    for row in range(n):
        for lane in range(LANES):
            sa[row, lane] += last[row, lane]


@numba.njit(**HELPER)
def _write_within(m, steps, jobs, r, o, c, slot, out):
    """Write the tangents of one slot at the outputs within the step."""
    for lane in range(LANES):
        job = o.job[lane]
        if job < 0 or jobs.column[job, slot] < 0:
            continue
        z = o.due[lane]
        while z < steps.times.size and steps.times[z] < r.end[lane]:
            theta = (steps.times[z] - r.t[0, lane]) / r.h[lane]
            _interpolate(
                jobs, job, slot, lane, theta, c.S, c.V, c.sa, m.H, out, jobs.run[job], z
            )
            z += 1


@numba.njit(**HELPER)
def _end_steps(steps, m, r, o):
    """Take the run of every lane to the end of the step."""
    for lane in range(LANES):
        if o.job[lane] >= 0:
            while o.due[lane] < steps.times.size:
                if steps.times[o.due[lane]] >= r.end[lane]:
                    break
                o.due[lane] += 1
            r.t[0, lane] = r.end[lane]
            o.step[lane] += 1
    # y1 = Y_s + U_s.
    last = r.u[m.alpha.size - 1]
    for i in range(r.y.shape[0]):
        for lane in range(LANES):
            r.y[i, lane] = r.ys[i, lane] + last[i, lane]


@numba.njit(**HELPER)
def _any_output_within(steps, r, o):
    """Return whether an output of any lane is within its step."""
    for lane in range(LANES):
        left = o.job[lane] >= 0 and o.due[lane] < steps.times.size
        if left and steps.times[o.due[lane]] < r.end[lane]:
            return True
    return False


@machine_code.solver(
    types.void(
        RATES, MATRIX, SOLVE, TIME, _K["partials"], _K["second"], _K["inner"],
        _K["stage"], SIZES, METHOD, STEPS, DIRECTIONS, JOBS, _F4, REPEATED, PLACES,
        _COLUMNS,
    ),
    **UNCOUNTED,
)  # fmt: skip
def replay_tangents(
    rates, matrix, solve, time, partials, second, inner, stage,
    size, m, steps, seeds, jobs, out, r, o, c,
):  # fmt: skip
    """Repeat the recorded steps of all jobs with their tangents.

    Fills out (n_run, n_column, n_time, n_need) with the tangents of the needed states.
    The last three are those of ``new_arrays``; the caller holds them.
    """
    k = StepKernels(rates, matrix, solve, time, partials, inner, size.has_time)
    next_job = 0
    while True:
        next_job = _take_jobs(next_job, steps, seeds, jobs, r, o, c)
        _carry_out_breakpoints(k, steps, seeds, jobs, r, o, c)
        busy, freed = _begin_steps(steps, jobs, r, o, c, out)
        if freed and next_job < jobs.run.size:
            continue
        if busy == 0:
            return
        repeat_step(k, m, r, steps)
        find_partials(k, m, r)
        any_output = _any_output_within(steps, r, o)
        for slot in range(c.used.size):
            if not c.used[slot]:
                continue
            _take_step(k, second, stage, size, m, steps, jobs, r, c, slot)
            if any_output:
                _write_within(m, steps, jobs, r, o, c, slot, out)
            copy_rows(c.sa, c.S[slot])
        # Last, as the tangents above need y_n.
        _end_steps(steps, m, r, o)
