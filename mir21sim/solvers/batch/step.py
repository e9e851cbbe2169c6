"""One Rosenbrock step of eight lanes.

Stage i solves, with W = I/(hγ) − J(t, y) factorised once a step (``tableau``),

    W U_i = f(t + α_i h, y + Σ_j A_ij U_j) + Σ_j (C_ij/h) U_j + h D_i ∂f/∂t

W holds the factors and u the stages when a step is done, so that derivatives of the
step can be carried along with the same factors.
"""

import numba

from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.solvers.batch import stages as rows
from mir21sim.solvers.batch.lane_arrays import HELPER
from mir21sim.solvers.batch.records import INLINED

HELD = 1e30
"""Diagonal of W for a held state: its change is zero then, as if J had no such row."""

_C1, _C2, _C3, _C4, _C5 = (rows.COMBINE[m, False] for m in range(1, 6))
_D5, _D6, _D7 = (rows.COMBINE[m, True] for m in (5, 6, 7))
_S1, _S2, _S3, _S4, _S5, _S6, _S7 = (rows.SPREAD[m] for m in range(1, 8))
_finish = rows.finish


@numba.njit(**HELPER, inline="never")
def prepare_stage(i, chained, y, u, A, C, per_h, ys, n):
    """Prepare stage i: argument y + Σ A_ij U_j into ys, Σ (C_ij/h) U_j into u[i].

    A chained stage has the argument of the one before plus that stage itself.
    """
    a, c, g = A[i], C[i], u[i]
    # ``COMBINE[m, …]`` is unrolled for its m = i terms. Chained, counted from 0, are
    # stage 5 of Rodas4 and stages 6 and 7 of Rodas5P (``tableau.chained_stages``).
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


@numba.njit(**HELPER, inline="never")
def spread_stage(i, u, a, c, per_h, z, ob, n):
    """Give the adjoint of stage i to the stages before it."""
    # Transposes of Y_i = y + Σ A_ij U_j (ob) and of Σ (C_ij/h) U_j (z).
    if i == 1:
        _S1(u, a, c, per_h, z, ob, n)
    elif i == 2:
        _S2(u, a, c, per_h, z, ob, n)
    elif i == 3:
        _S3(u, a, c, per_h, z, ob, n)
    elif i == 4:
        _S4(u, a, c, per_h, z, ob, n)
    elif i == 5:
        _S5(u, a, c, per_h, z, ob, n)
    elif i == 6:
        _S6(u, a, c, per_h, z, ob, n)
    elif i == 7:
        _S7(u, a, c, per_h, z, ob, n)


@numba.njit(**INLINED)
def add_inflow(u, inflow, state, held):
    """Add infusions into some states to a right-hand side (n, 8); zero held states."""
    for k in range(state.size):
        for lane in range(LANES):
            u[state[k], lane] += inflow[k, lane]
    # Right-hand side 0 with the diagonal HELD: U is 0 for this state.
    for r in held:
        u[r, :] = 0.0


@numba.njit(**INLINED)
def take_step(rates, matrix, solve, time, scheme, sizes, state, step, lanes, fed, held):
    """Compute all stages of one step; ys is left at the argument of the last stage.

    Fills w with the factors of W and u with the stages. The length of the step is ``h``
    of each lane, with 1/h and 1/(hγ) in the arrays of the step.

    Parameters
    ----------
    fed : states that ``state.inflow`` flows into; empty where there is no infusion
    """
    # U_i = u[i], Y_i = ys, v rates, a rule variables, w factors of W; A, C (s, s).
    t, y, p, inflow = state.t, state.y, state.p, state.inflow
    u, ys, ts, ft, per_h = step.u, step.ys, step.ts, step.ft, step.per_h
    v, a, w = step.v, step.a, step.w
    A, C, alpha, D, chained = scheme.A, scheme.C, scheme.alpha, scheme.D, scheme.chained
    s, n = u.shape[0], u.shape[1]
    # W = I/(hγ) − J(t_n, y_n) and its LU factors, once for all stages; ft = ∂f/∂t.
    matrix(t, y, p, a, w, step.hg)
    if sizes.has_time:
        time(t, y, p, a, ft)
    for i in range(s):
        if i == 0:
            # The first stage is at y itself and has no sums over others.
            u[0, :, :] = 0.0
            rates(t, y, p, v, a, u[0])
        else:
            # ys = Y_i, u[i] = Σ_j (C_ij/h) U_j.
            prepare_stage(i, chained[i] != 0, y, u, A, C, per_h, ys, n)
            for lane in range(LANES):
                ts[0, lane] = t[0, lane] + alpha[i] * lanes[lane].h
            # The kernel adds: u[i] += f(t_n + α_i h, Y_i).
            rates(ts, ys, p, v, a, u[i])
        if sizes.has_time and D[i] != 0.0:
            # u[i] += h D_i ∂f/∂t; D_i is 0 for the last stages.
            for r in range(n):
                for lane in range(LANES):
                    u[i, r, lane] += D[i] * lanes[lane].h * ft[r, lane]
        add_inflow(u[i], inflow, fed, held)
        # U_i = W⁻¹ · right-hand side, in place.
        solve(w, u[i])


@numba.njit(**INLINED)
def finish_step(state, step, limits):
    """Complete the step in ys by the last stage, which is its error estimate too.

    Leaves Σ (U_s/(atol + rtol·max(abs(y), abs(ys))))² in ``error`` and the least margin
    of an amount above its negative slack in ``low``.
    """
    # y1 = Y_s + U_s; the embedded solution is Y_s, so that the estimate is U_s.
    n = state.y.shape[0]
    _finish(
        state.y, step.u[step.u.shape[0] - 1], step.ys, state.peak, limits.atol,
        limits.floor, limits.relative, step.error, step.low, n,
    )  # fmt: skip
