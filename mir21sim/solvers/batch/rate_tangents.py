"""Tangents of dy/dt at one state: eight directions at a time, a lane each."""

import numpy as np
from numba import types

from mir21sim._typing import FloatArray
from mir21sim.compiler import machine_code
from mir21sim.compiler.build_sensitivity_kernels import (
    KERNEL_TYPES,
    SensitivityKernels,
)
from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.solvers.batch.replay import F1, F2, I2, STRICT

_K = KERNEL_TYPES


@machine_code.solver(
    types.void(
        _K["partials"], _K["linear"], _K["bend"], F1, F1, F2, F2, I2, types.int64,
        types.int64, types.int64, types.int64, F2,
    ),
    **STRICT,
)  # fmt: skip
def _slope_tangents(
    partials, linear, bend, y0, p0, dy, dp, terms, n_rule, n_quantity, n_partial,
    n_second, out,
):  # fmt: skip
    """Fill out (column, state); the lanes are columns of one state."""
    # d direct partials at (y0, p0), the same in all lanes; sd = dy, g changes of rules
    # and rates, f = d(dy/dt); one column of (dy, dp) in each lane.
    n, n_p, n_column = y0.size, p0.size, dp.shape[0]
    t = np.zeros((1, LANES))
    y, p, sd = np.zeros((n, LANES)), np.zeros((n_p, LANES)), np.zeros((n, LANES))
    a, au = np.zeros((n_rule, LANES)), np.zeros((n_rule, LANES))
    b, d = np.zeros((n_rule, LANES)), np.zeros((n_partial, LANES))
    g, e = np.zeros((n_quantity, LANES)), np.zeros((n_second, LANES))
    f = np.zeros((n, LANES))
    for i in range(n):
        y[i, :] = y0[i]
    for m in range(n_p):
        p[m, :] = p0[m]
    partials(t, y, p, a, d)
    for start in range(0, n_column, LANES):
        count = min(LANES, n_column - start)
        g[:, :] = 0.0
        f[:, :] = 0.0
        for lane in range(count):
            for i in range(n):
                sd[i, lane] = dy[start + lane, i]
            for z in range(terms.shape[0]):
                change = dp[start + lane, terms[z, 1]]
                if change != 0.0:
                    # g_q += ∂q/∂p_m · dp_m.
                    g[terms[z, 2], lane] += d[terms[z, 0], lane] * change
        # g += partials by the states · dy, through the rules.
        linear(d, sd, g)
        # f += N·g; the second-order arguments e and au are 0 here.
        bend(d, e, sd, t, au, b, g, f)
        for lane in range(count):
            for i in range(n):
                out[start + lane, i] = f[i, lane]


def slope_tangents(
    made: SensitivityKernels,
    y: FloatArray,
    p: FloatArray,
    dy: FloatArray,
    dp: FloatArray,
) -> FloatArray:
    """Return the derivative of dy/dt at time 0 along directions.

    Parameters
    ----------
    y, p : float arrays, shapes (n_state,) and (n_param,)
    dy, dp : float arrays, shapes (n_column, n_state) and (n_column, n_param)

    Returns
    -------
    float array, shape (n_column, n_state)
    """
    out = np.zeros((len(dp), len(y)))
    _slope_tangents(
        made["partials"],
        made["linear"],
        made["bend"],
        np.array(y),
        np.array(p),
        np.array(dy, order="C"),
        np.array(dp, order="C"),
        np.array(made.by_param),
        made.n_rule or 1,
        made.n_quantity,
        made.n_partial,
        made.n_second,
        out,
    )
    return out
