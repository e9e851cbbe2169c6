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
from mir21sim.compiler.kernels import Kernels
from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.solvers.batch.replay import (
    _ADD,
    _SET,
    F1,
    F3,
    I1,
    I2,
    METHOD,
    SIZES,
    STEPS,
    STRICT,
    StepKernels,
    end_of_step,
    slopes,
    stages,
)
from mir21sim.solvers.batch.step import prepare_stage

MOST_COLUMNS = 24
"""Columns that a lane carries at a time; more would not stay in the cache."""

_K = KERNEL_TYPES
_F4 = types.Array(types.float64, 4, "C")


class Directions(NamedTuple):
    """Seeds of the columns of some runs; shapes (n_run, n_column, …).

    Attributes
    ----------
    p, y0 : change of parameters and start values
    dose, dose_time : change of the values and of the times of the breakpoints
    """

    p: FloatArray
    y0: FloatArray
    dose: FloatArray
    dose_time: FloatArray


class Jobs(NamedTuple):
    """Columns of runs, in the groups that a lane takes at once.

    Attributes
    ----------
    run : int array, shape (n_job,)
    column : int array, shape (n_job, n_slot); −1 for none
    need : int array, shape (n_need,), the states to keep
    rule_terms : int array, shape (n_term, 3): row of d, parameter, row of g
    rate_terms : int array, shape (n_term, 3): row of d, parameter, state
    rate_factor : float array, shape (n_term,): stoichiometry of the state
    shifts : whether any time of a breakpoint changes
    """

    run: IntArray
    column: IntArray
    need: IntArray
    rule_terms: IntArray
    rate_terms: IntArray
    rate_factor: FloatArray
    shifts: bool


_DIRECTIONS = types.NamedUniTuple(F3, 4, Directions)
_JOBS = types.NamedTuple([I1, I2, I1, I2, I2, F1, types.boolean], Jobs)


class Terms(NamedTuple):
    """Partials by parameters: of rules, and of rates with the states that they change.

    As the last fields of ``Jobs``.
    """

    rule_terms: IntArray
    rate_terms: IntArray
    rate_factor: FloatArray


def parameter_terms(by_param: IntArray, n_rule: int, kernels: Kernels) -> Terms:
    """Return the terms by which parameters enter a stage.

    Parameters
    ----------
    by_param : of ``SensitivityKernels``; its rates become the states that they change
    n_rule : rows of g before those of the rates
    """
    # Rows of g: rules first, then rates. Rate r changes state i by its stoichiometry.
    of_rule = by_param[:, 2] < n_rule
    rows, factors = [], []
    by_rate: dict[int, list[tuple[int, float]]] = {}
    for i, r, v in zip(kernels.n_row, kernels.n_col, kernels.n_value, strict=True):
        by_rate.setdefault(int(r), []).append((int(i), float(v)))
    for d, m, g in by_param[~of_rule].tolist():
        for i, factor in by_rate.get(g - n_rule, ()):
            rows.append((d, m, i))
            factors.append(factor)
    return Terms(
        np.array(by_param[of_rule]),
        np.array(rows, np.int64).reshape(-1, 3),
        np.array(factors, np.float64),
    )


def jobs(
    ok: BoolArray, n_column: int, need: IntArray, terms: Terms, *, shifts: bool
) -> Jobs:
    """Group the columns of all good runs, so that no lane idles for long."""
    runs = np.flatnonzero(ok)
    # −(−a // b) rounds up. Few runs are cut further, for a job in each lane.
    groups = -(-n_column // MOST_COLUMNS)
    if runs.size:
        groups = max(groups, min(n_column, -(-LANES // runs.size)))
    slots = -(-n_column // max(groups, 1))
    column = np.full((max(groups, 1), max(slots, 1)), -1, np.int64)
    column.ravel()[:n_column] = np.arange(n_column)
    return Jobs(
        np.repeat(runs, len(column)),
        np.ascontiguousarray(np.tile(column, (runs.size, 1))),
        need,
        *terms,
        shifts,
    )


@numba.njit(**STRICT)
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


@numba.njit(**STRICT)
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


@numba.njit(**STRICT)
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


@numba.njit(**STRICT)
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


@numba.njit(**STRICT)
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


@numba.njit(**STRICT)
def _rule_terms(of, terms, count, d, P, g, n_rule):
    """Set the rules' rows of g to the terms of the parameters that a column changes."""
    for r in range(n_rule):
        g[r, :] = 0.0
    for z in range(count):
        row, m, q = of[terms[z], 0], of[terms[z], 1], of[terms[z], 2]
        for lane in range(LANES):
            # g_q += ∂(rule q)/∂p_m · ṗ_m.
            g[q, lane] += d[row, lane] * P[m, lane]


@numba.njit(**STRICT)
def _rate_terms(of, factor, terms, count, d, P, out):
    """Add the terms of the parameters that a column changes in rates to dy/dt."""
    for z in range(count):
        row, m, i = of[terms[z], 0], of[terms[z], 1], of[terms[z], 2]
        # (f_p ṗ)_i += N_ir · ∂v_r/∂p_m · ṗ_m.
        weight = factor[terms[z]]
        for lane in range(LANES):
            out[i, lane] += weight * (d[row, lane] * P[m, lane])


@machine_code.solver(
    types.void(
        RATES, MATRIX, SOLVE, TIME, _K["partials"], _K["second"], _K["inner"],
        _K["stage"], SIZES, METHOD, STEPS, _DIRECTIONS, _JOBS, _F4,
    ),
    **STRICT,
)  # fmt: skip
def replay_tangents(
    rates, matrix, solve, time, partials, second, inner, stage,
    size, m, steps, seeds, jobs, out,
):  # fmt: skip
    """Repeat the recorded steps of all jobs with their tangents.

    Fills out (n_run, n_column, n_time, n_need) with the tangents of the needed states.
    """
    # Letters: s stages, n states; c slot, i stage or state, q needed state, z output;
    # U_i = u[i], Y_i = at[i], dU_i = V[i], dY_i = sa, S = dy, P = ṗ.
    k = StepKernels(rates, matrix, solve, time, size.has_time)
    s, n, n_p = m.alpha.size, steps.y0.shape[1], steps.p.shape[1]
    n_slot, n_act = jobs.column.shape[1], steps.act_time.size
    # ---- the run: as in ``driver``
    y, ys = np.zeros((n, LANES)), np.zeros((n, LANES))
    u, at = np.zeros((s, n, LANES)), np.zeros((s, n, LANES))
    p, v = np.zeros((n_p, LANES)), np.zeros((size.n_rate, LANES))
    a, w = np.zeros((size.n_a, LANES)), np.zeros((size.n_w, LANES))
    ft, hg = np.zeros((n, LANES)), np.ones((n, LANES))
    t, ts, per_h = np.zeros((1, LANES)), np.zeros((1, LANES)), np.ones((1, LANES))
    inflow = np.zeros((n_act, LANES))
    # ---- its derivatives: partials and rules per stage, tangents per slot
    d = np.zeros((s, size.n_partial, LANES))
    # a0 rules at y_n, which `second` reads; a1 those at the later stages.
    a0, a1 = np.zeros((size.n_rule, LANES)), np.zeros((size.n_rule, LANES))
    au, b = np.zeros((s, size.n_rule, LANES)), np.zeros((size.n_rule, LANES))
    ut = np.zeros((s, 1, LANES))
    # d direct partials at each Y_i; g changes of rules and rates; e changes of d[0];
    # au changes of the rules along (U_i, ut), ut = D_i h; b part of the rules in dJ·U.
    e, g = np.zeros((size.n_second, LANES)), np.zeros((size.n_quantity, LANES))
    S, P = np.zeros((n_slot, n, LANES)), np.zeros((n_slot, n_p, LANES))
    V, sa = np.zeros((s, n, LANES)), np.zeros((n, LANES))
    d_inflow = np.zeros((n_slot, n_act, LANES))
    before, after = np.zeros((n, LANES)), np.zeros((n, LANES))
    of_rule = np.zeros((n_slot, jobs.rule_terms.shape[0]), np.int64)
    of_rate = np.zeros((n_slot, jobs.rate_terms.shape[0]), np.int64)
    n_of_rule = np.zeros(n_slot, np.int64)
    n_of_rate = np.zeros(n_slot, np.int64)
    # ---- the run and step of each lane
    h = np.ones(LANES)
    end = np.zeros(LANES)
    job = np.full(LANES, -1)
    step, due, act = (
        np.zeros(LANES, np.int64),
        np.zeros(LANES, np.int64),
        np.zeros(LANES, np.int64),
    )
    used = np.zeros(n_slot, np.bool_)
    next_job, n_time = 0, steps.times.size

    while True:
        # ---- free lanes take the next job
        # A job is up to n_slot columns of one run; a run may be in several lanes.
        loaded = False
        for lane in range(LANES):
            if job[lane] < 0 and next_job < jobs.run.size:
                job[lane] = next_job
                next_job += 1
                _load(steps, seeds, jobs, job[lane], lane, y, p, S, P, inflow, d_inflow)
                t[0, lane] = steps.times[0]
                step[lane] = due[lane] = act[lane] = 0
                loaded = True
        if loaded:
            _active_terms(jobs.rule_terms, P, of_rule, n_of_rule)
            _active_terms(jobs.rate_terms, P, of_rate, n_of_rate)
            for c in range(n_slot):
                used[c] = False
                for lane in range(LANES):
                    if job[lane] >= 0 and jobs.column[job[lane], c] >= 0:
                        used[c] = True

        # ---- breakpoints, one at a time in every lane
        while True:
            acting = False
            for lane in range(LANES):
                if job[lane] >= 0 and act[lane] < n_act:
                    acting |= steps.act_time[act[lane]] <= t[0, lane]
            if not acting:
                break
            # f⁻, with the infusions before the action; f⁺ below, with those after it.
            if jobs.shifts:
                slopes(k, t, y, p, v, a, inflow, steps.act_state, steps.held, before)
            for lane in range(LANES):
                j = act[lane]
                # The order of the schedule matters: a SET after an ADD cancels it.
                if job[lane] >= 0 and j < n_act and steps.act_time[j] <= t[0, lane]:
                    _act(steps, seeds, jobs, job[lane], j, lane, y, S, inflow, d_inflow)
            if jobs.shifts:
                slopes(k, t, y, p, v, a, inflow, steps.act_state, steps.held, after)
            for lane in range(LANES):
                j = act[lane]
                if job[lane] >= 0 and j < n_act and steps.act_time[j] <= t[0, lane]:
                    act[lane] += 1
                    if jobs.shifts:
                        _shift(steps, seeds, jobs, job[lane], j, lane, before, after, S)

        # ---- outputs at this moment; lanes at their end become free
        busy, freed = 0, False
        for lane in range(LANES):
            if job[lane] < 0:
                continue
            run = jobs.run[job[lane]]
            while due[lane] < n_time and steps.times[due[lane]] <= t[0, lane]:
                for c in range(n_slot):
                    column = jobs.column[job[lane], c]
                    if column >= 0:
                        for q in range(jobs.need.size):
                            value = S[c, jobs.need[q], lane]
                            out[run, column, due[lane], q] = value
                due[lane] += 1
            if step[lane] < steps.n[run]:
                busy += 1
                h[lane] = steps.h[run, step[lane]]
                end[lane] = end_of_step(steps, run, step[lane])
            else:
                job[lane] = -1
                freed = True
                # An empty lane repeats steps of 1 from zeros; its results are ignored.
                h[lane] = 1.0
                for i in range(n):
                    y[i, lane] = 0.0
        if freed and next_job < jobs.run.size:
            continue
        if busy == 0:
            break

        # ---- the step again, and the partials at its stages
        stages(
            k, m, t, ts, h, per_h, hg, y, ys, p, inflow, steps.act_state, steps.held,
            v, a, w, ft, u, at,
        )  # fmt: skip
        any_output = False
        for lane in range(LANES):
            if job[lane] >= 0 and due[lane] < n_time:
                any_output |= steps.times[due[lane]] < end[lane]
        for i in range(s):
            for lane in range(LANES):
                ts[0, lane] = t[0, lane] + m.alpha[i] * h[lane]
                ut[i, 0, lane] = m.D[i] * h[lane]
            # d[i] = partials at Y_i; au[i] = change of the rules along (U_i, D_i h), by
            # d[0], since J in W is that of y_n.
            partials(ts if i else t, at[i], p, a1 if i else a0, d[i])
            inner(d[0], u[i], ut[i], au[i])

        # ---- every tangent takes the step
        for c in range(n_slot):
            if not used[c]:
                continue
            _rule_terms(
                jobs.rule_terms, of_rule[c], n_of_rule[c], d[0], P[c], g, size.n_rule
            )
            # e = changes of the partials d[0]: dJ = f_yy S + f_yp ṗ, once a step.
            second(t, y, p, a0, d[0], S[c], P[c], g, e)
            for i in range(s):
                if i == 0:
                    # dY_1 = S, and no sum over earlier stages.
                    V[0, :, :] = 0.0
                    sa[:, :] = S[c]
                else:
                    # dY_i = S + Σ_j A_ij dU_j, V[i] = Σ_j (C_ij/h) dU_j.
                    prepare_stage(i, m.chained[i] != 0, S[c], V, m.A, m.C, per_h, sa, n)
                _rule_terms(
                    jobs.rule_terms, of_rule[c], n_of_rule[c], d[i], P[c], g,
                    size.n_rule,
                )  # fmt: skip
                # V[i] += f_p(Y_i) ṗ, the direct terms.
                _rate_terms(
                    jobs.rate_terms, jobs.rate_factor, of_rate[c], n_of_rate[c], d[i],
                    P[c], V[i],
                )  # fmt: skip
                # V[i] += J(Y_i) dY_i + dJ·U_i + h D_i d(f_t).
                stage(d[i], d[0], sa, e, u[i], ut[i], au[i], b, g, V[i])
                for j in range(n_act):
                    for lane in range(LANES):
                        V[i, steps.act_state[j], lane] += d_inflow[c, j, lane]
                for r in steps.held:
                    V[i, r, :] = 0.0
                # dU_i = W⁻¹ · right-hand side, with the factors of the run.
                k.solve(w, V[i])
            # S1 = dY_s + dU_s, as y1 = Y_s + U_s.
            sa += V[s - 1]
            if any_output:
                for lane in range(LANES):
                    if job[lane] < 0 or jobs.column[job[lane], c] < 0:
                        continue
                    z = due[lane]
                    while z < n_time and steps.times[z] < end[lane]:
                        theta = (steps.times[z] - t[0, lane]) / h[lane]
                        _interpolate(
                            jobs, job[lane], c, lane, theta, S, V, sa, m.H, out,
                            jobs.run[job[lane]], z,
                        )  # fmt: skip
                        z += 1
            S[c, :, :] = sa

        # ---- the run itself
        for lane in range(LANES):
            if job[lane] >= 0:
                while due[lane] < n_time and steps.times[due[lane]] < end[lane]:
                    due[lane] += 1
                t[0, lane] = end[lane]
                step[lane] += 1
        # y1 = Y_s + U_s; last, as the tangents above need y_n.
        y[:, :] = ys + u[s - 1]
