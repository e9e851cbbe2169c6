"""Tangents of the states → tangents of the selected quantities, and the transpose."""

from typing import NamedTuple

import numba
import numpy as np
from numba import types

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler import machine_code
from mir21sim.compiler.build_lane_kernels import RATES, LaneKernels
from mir21sim.compiler.build_sensitivity_kernels import KERNEL_TYPES, SensitivityKernels
from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.solvers.batch.lane_arrays import HELPER
from mir21sim.solvers.batch.replay import F1, F2, F3, I1, I2, SIZES, STRICT, sizes
from mir21sim.solvers.problem import Problem, Source

_STATE, _ASSIGNED = int(Source.STATE), int(Source.ASSIGNED)
_RATE, _PARAM = int(Source.RATE), int(Source.PARAM)
_F4 = types.Array(types.float64, 4, "C")
_K = KERNEL_TYPES


class Chosen(NamedTuple):
    """A ``Selection`` as arrays, and whether it needs rules or rates."""

    source: IntArray
    row: IntArray
    divisor_source: IntArray
    divisor: IntArray
    scale: FloatArray
    derived: bool


_CHOSEN = types.NamedTuple([I1, I1, I1, I1, F1, types.boolean], Chosen)


def chosen(problem: Problem) -> Chosen:
    """Return the selection of a problem as arrays."""
    selection = problem.selection
    derived = selection.uses(Source.ASSIGNED) or selection.uses(Source.RATE)
    return Chosen(
        np.array(selection.source),
        np.array(selection.index),
        np.array(selection.divisor_source),
        np.array(selection.divisor),
        np.array(selection.scale),
        derived,
    )


@numba.njit(**HELPER)
def _value(source, index, lane, y, a, v, p):
    """Return one quantity of one lane."""
    if source == _STATE:
        return y[index, lane]
    if source == _ASSIGNED:
        return a[index, lane]
    if source == _RATE:
        return v[index, lane]
    return p[index, lane]


@numba.njit(**HELPER)
def _change(source, index, lane, sd, g, pd, n_rule):
    """Return the tangent of one quantity of one lane."""
    if source == _STATE:
        return sd[index, lane]
    if source == _ASSIGNED:
        return g[index, lane]
    if source == _RATE:
        return g[n_rule + index, lane]
    return pd[index]


@numba.njit(**HELPER)
def _load_times(times, states, need, run, start, count, t, y):
    """Put the states of one run at some output times into the lanes."""
    for lane in range(LANES):
        # Lanes behind the last time repeat it.
        z = start + min(lane, count - 1)
        t[0, lane] = times[z]
        for q in range(need.size):
            y[need[q], lane] = states[run, z, q]


@machine_code.solver(
    types.void(
        RATES, _K["partials"], _K["extra"], _K["linear"], _K["extra_linear"], SIZES,
        _CHOSEN, F1, F3, I1, F2, _F4, F3, I2, _F4, types.int64,
    ),
    **STRICT,
)  # fmt: skip
def _observe_tangents(
    rates, partials, extra, linear, extra_linear, size,
    chosen, times, states, need, p0, tangents, seeds, terms, out, n_state,
):  # fmt: skip
    """Fill out (run, time, select, column); the lanes are times of one run."""
    # states (run, time, need), tangents (run, column, time, need), seeds (run, column,
    # p); a rules, v rates, d their direct partials, g and sd tangents of quantities and
    # states.
    n_run, n_time, _ = states.shape
    n_column = tangents.shape[1]
    y, sd = np.zeros((n_state, LANES)), np.zeros((n_state, LANES))
    scratch = np.zeros((n_state, LANES))
    p = np.zeros((p0.shape[1], LANES))
    v, a = np.zeros((size.n_rate, LANES)), np.zeros((size.n_a, LANES))
    d, g = np.zeros((size.n_partial, LANES)), np.zeros((size.n_quantity, LANES))
    t = np.zeros((1, LANES))
    for run in range(n_run):
        for m in range(p.shape[0]):
            # All lanes have the parameters of the run.
            p[m, :] = p0[run, m]
        for start in range(0, n_time, LANES):
            count = min(LANES, n_time - start)
            _load_times(times, states, need, run, start, count, t, y)
            if chosen.derived:
                rates(t, y, p, v, a, scratch)
                partials(t, y, p, a, d)
                extra(t, y, p, a, d)
            for column in range(n_column):
                pd = seeds[run, column]
                for lane in range(count):
                    for q in range(need.size):
                        sd[need[q], lane] = tangents[run, column, start + lane, q]
                if chosen.derived:
                    g[:, :] = 0.0
                    # g_q = Σ_m ∂q/∂p_m · ṗ_m; `linear` adds the terms of y.
                    for z in range(terms.shape[0]):
                        change = pd[terms[z, 1]]
                        if change != 0.0:
                            for lane in range(LANES):
                                g[terms[z, 2], lane] += d[terms[z, 0], lane] * change
                    linear(d, sd, g)
                    extra_linear(d, sd, g)
                for j in range(chosen.source.size):
                    kind, i = chosen.source[j], chosen.row[j]
                    other_kind, o = chosen.divisor_source[j], chosen.divisor[j]
                    for lane in range(count):
                        value = _change(kind, i, lane, sd, g, pd, size.n_rule)
                        if o >= 0:
                            # x/c: d(x/c) = (dx − (x/c) dc)/c.
                            below = _value(other_kind, o, lane, y, a, v, p)
                            slope = _change(other_kind, o, lane, sd, g, pd, size.n_rule)
                            share = _value(kind, i, lane, y, a, v, p) / below
                            value = (value - share * slope) / below
                        value *= chosen.scale[j]
                        # A run without tangents has NaN for every quantity, parameters
                        # too.
                        if np.isnan(tangents[run, column, start + lane, 0]):
                            value = np.nan
                        out[run, start + lane, j, column] = value


def observe_tangents(
    lanes: LaneKernels,
    made: SensitivityKernels,
    problem: Problem,
    block: slice,
    need: IntArray,
    *,
    states: FloatArray,
    tangents: FloatArray,
    seeds: FloatArray,
    terms: IntArray,
    out: FloatArray,
) -> None:
    """Fill the tangents of the selected quantities of some runs.

    Parameters
    ----------
    states : float array, shape (n_run, n_time, n_need)
    tangents : float array, shape (n_run, n_column, n_time, n_need)
    seeds : float array, shape (n_run, n_column, n_param)
    terms : int array, shape (n_term, 3), all partials by parameters
    out : float array, shape (n_run, n_time, n_select, n_column), filled
    """
    _observe_tangents(
        lanes.rates,
        made["partials"],
        made["extra"],
        made["linear"],
        made["extra_linear"],
        sizes(lanes, made),
        chosen(problem),
        problem.times,
        states,
        need,
        np.array(problem.p[block], order="C"),
        tangents,
        seeds,
        terms,
        out,
        lanes.n_state,
    )


@numba.njit(**HELPER)
def _weigh(source, index, lane, weight, out, g, pb, n_rule):
    """Add a weight of one quantity to the adjoint of its state, rule or rate."""
    if source == _STATE:
        out[index, lane] += weight
    elif source == _ASSIGNED:
        g[index, lane] += weight
    elif source == _RATE:
        g[n_rule + index, lane] += weight
    else:
        pb[index, lane] += weight


@machine_code.solver(
    types.void(
        RATES, _K["partials"], _K["extra"], _K["linear_t"], _K["extra_t"], SIZES,
        _CHOSEN, F1, F3, I1, F2, I1, _F4, F3, F2, types.int64,
    ),
    **STRICT,
)  # fmt: skip
def _observe_adjoint(
    rates, partials, extra, linear_t, extra_t, size,
    chosen, times, states, need, p0, job_run, weights, on_states, on_p, n_state,
):  # fmt: skip
    """Fill on_states (job, time, need) and add to on_p; lanes are times of one run."""
    # Transpose of `_observe_tangents`: out, g and pb are the adjoints of states, of
    # rules and rates, and of parameters; each (rows, 8).
    n_time, n_functional = times.size, weights.shape[1]
    y, out = np.zeros((n_state, LANES)), np.zeros((n_state, LANES))
    scratch = np.zeros((n_state, LANES))
    p, pb = np.zeros((p0.shape[1], LANES)), np.zeros((p0.shape[1], LANES))
    v, a = np.zeros((size.n_rate, LANES)), np.zeros((size.n_a, LANES))
    d, g = np.zeros((size.n_partial, LANES)), np.zeros((size.n_quantity, LANES))
    t = np.zeros((1, LANES))
    for number in range(job_run.size):
        # All functionals of a run follow one another (``job_run``).
        run, which = job_run[number], number % n_functional
        for m in range(p.shape[0]):
            p[m, :] = p0[run, m]
        for start in range(0, n_time, LANES):
            count = min(LANES, n_time - start)
            _load_times(times, states, need, run, start, count, t, y)
            if chosen.derived:
                rates(t, y, p, v, a, scratch)
                partials(t, y, p, a, d)
                extra(t, y, p, a, d)
            out[:, :] = 0.0
            pb[:, :] = 0.0
            g[:, :] = 0.0
            for j in range(chosen.source.size):
                kind, i = chosen.source[j], chosen.row[j]
                other, o = chosen.divisor_source[j], chosen.divisor[j]
                for lane in range(count):
                    weight = weights[run, which, start + lane, j] * chosen.scale[j]
                    if weight == 0.0:
                        continue
                    if o >= 0:
                        # x/c: weight/c goes to x, −weight·(x/c)/c to c.
                        below = _value(other, o, lane, y, a, v, p)
                        weight /= below
                        share = _value(kind, i, lane, y, a, v, p) / below
                        change = -weight * share
                        _weigh(other, o, lane, change, out, g, pb, size.n_rule)
                    _weigh(kind, i, lane, weight, out, g, pb, size.n_rule)
            if chosen.derived:
                # The order of the forward programs reversed.
                extra_t(d, g, out, pb)
                linear_t(d, g, out, pb)
            for lane in range(count):
                for q in range(need.size):
                    on_states[number, start + lane, q] = out[need[q], lane]
                for m in range(pb.shape[0]):
                    on_p[number, m] += pb[m, lane]


def observe_adjoint(
    lanes: LaneKernels,
    made: SensitivityKernels,
    problem: Problem,
    block: slice,
    need: IntArray,
    *,
    states: FloatArray,
    job_run: IntArray,
    weights: FloatArray,
    on_states: FloatArray,
    on_p: FloatArray,
) -> None:
    """Take weights of the selected quantities to the states and parameters.

    Parameters
    ----------
    states : float array, shape (n_run, n_time, n_need)
    job_run : int array, shape (n_job,): the run of each job, with all functionals of a
        run one after the other
    weights : float array, shape (n_run, n_functional, n_time, n_select)
    on_states : float array, shape (n_job, n_time, n_need), filled
    on_p : float array, shape (n_job, n_param), added to
    """
    _observe_adjoint(
        lanes.rates,
        made["partials"],
        made["extra"],
        made["linear_t"],
        made["extra_t"],
        sizes(lanes, made),
        chosen(problem),
        problem.times,
        states,
        need,
        np.array(problem.p[block], order="C"),
        job_run,
        weights,
        on_states,
        on_p,
        lanes.n_state,
    )
