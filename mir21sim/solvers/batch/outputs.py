"""States at output times → the selected quantities, eight times at once."""

import numba
import numpy as np
from numba import types

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.build_lane_kernels import RATES, ROWS, LaneKernels
from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.solvers.problem import Selection, Source

ASSIGNED = types.FunctionType(types.void(ROWS, ROWS, ROWS, ROWS))

_STATE, _ASSIGNED = int(Source.STATE), int(Source.ASSIGNED)
_RATE, _PARAM = int(Source.RATE), int(Source.PARAM)
_F1, _I1 = types.Array(types.float64, 1, "C"), types.Array(types.int64, 1, "C")
_F3 = types.Array(types.float64, 3, "C")


@numba.njit(cache=True, error_model="numpy", inline="always")
def _take(source, index, lane, y, a, v, p):
    """Return one quantity of one lane."""
    if source == _STATE:
        return y[index, lane]
    if source == _ASSIGNED:
        return a[index, lane]
    if source == _RATE:
        return v[index, lane]
    return p[index, lane]


@numba.njit(
    types.void(
        ASSIGNED, RATES, types.boolean, types.boolean, _I1, _F1, _F3, _I1, ROWS,
        _I1, _I1, _I1, _I1, _F1, _F3,
    ),
    cache=True,
    nogil=True,
    error_model="numpy",
)  # fmt: skip
def _observe(
    assigned, rates, use_assigned, use_rates, sizes, times, states, need, p0,
    source, index, divisor_source, divisor, scale, out,
):  # fmt: skip
    """Fill out (run, time, select); the lanes are times of one run."""
    n_run, n_time, n_need = states.shape
    n_state, n_param = sizes[0], p0.shape[1]
    y = np.zeros((n_state, LANES))
    scratch = np.zeros((n_state, LANES))
    p = np.zeros((n_param, LANES))
    v = np.zeros((sizes[1], LANES))
    a = np.zeros((sizes[2], LANES))
    t = np.zeros((1, LANES))
    for run in range(n_run):
        for i in range(n_param):
            p[i, :] = p0[run, i]
        for start in range(0, n_time, LANES):
            count = min(LANES, n_time - start)
            for lane in range(count):
                t[0, lane] = times[start + lane]
                for m in range(n_need):
                    y[need[m], lane] = states[run, start + lane, m]
            if use_assigned:
                assigned(t, y, p, a)
            if use_rates:
                rates(t, y, p, v, a, scratch)
            for k in range(source.size):
                for lane in range(count):
                    value = _take(source[k], index[k], lane, y, a, v, p) * scale[k]
                    if divisor[k] >= 0:
                        value /= _take(divisor_source[k], divisor[k], lane, y, a, v, p)
                    if np.isnan(states[run, start + lane, 0]):
                        value = np.nan
                    out[run, start + lane, k] = value


def observe(
    kernels: LaneKernels,
    selection: Selection,
    need: IntArray,
    *,
    times: FloatArray,
    states: FloatArray,
    p: FloatArray,
    out: FloatArray,
) -> None:
    """Fill the selected quantities of a chunk from its needed states.

    Parameters
    ----------
    need : int array, shape (n_need,): which states `states` holds, 1 or more
    states : float array, shape (n_run, n_time, n_need); NaN where a run had stopped
    p : float array, shape (n_run, n_param)
    out : float array, shape (n_run, n_time, n_select), filled
    """
    _observe(
        kernels.assigned,
        kernels.rates,
        selection.uses(Source.ASSIGNED),
        selection.uses(Source.RATE),
        np.array([kernels.n_state, kernels.n_rate, kernels.n_a]),
        times,
        states,
        need,
        np.array(p, order="C"),
        selection.source,
        selection.index,
        selection.divisor_source,
        selection.divisor,
        selection.scale,
        out,
    )
