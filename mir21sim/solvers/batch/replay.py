"""Repeat the recorded steps of a run in a lane: parts that tangents and adjoint share.

A step is repeated with the same kernels, in the same order, from the same state, so its
numbers are those of the run, bit for bit.
"""

from typing import NamedTuple

import numba
import numpy as np
from numba import types

from mir21sim._typing import FloatArray, IntArray, Kernel
from mir21sim.compiler.build_lane_kernels import LaneKernels
from mir21sim.compiler.build_sensitivity_kernels import SensitivityKernels
from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.solvers.batch.step import HELD, prepare_stage
from mir21sim.solvers.batch.tableau import Tableau, chained_stages
from mir21sim.solvers.problem import Action, Problem

_ADD, _SET = int(Action.ADD), int(Action.SET)

F1, F2, F3 = (types.Array(types.float64, n, "C") for n in (1, 2, 3))
I1, I2 = (types.Array(types.int64, n, "C") for n in (1, 2))
STRICT = {"nogil": True, "error_model": "numpy"}


class Sizes(NamedTuple):
    """Numbers of rows of the arrays that kernels fill, and whether time appears."""

    has_time: bool
    n_rate: int
    n_a: int
    n_w: int
    n_quantity: int
    n_partial: int
    n_second: int
    n_rule: int


class StepKernels(NamedTuple):
    """Kernels that repeat a step; Numba takes no tuple of them as an argument."""

    rates: Kernel
    matrix: Kernel
    solve: Kernel
    time: Kernel
    has_time: bool


class Method(NamedTuple):
    """A tableau as arrays."""

    A: FloatArray
    C: FloatArray
    alpha: FloatArray
    D: FloatArray
    H: FloatArray
    gamma: float
    chained: IntArray


class Steps(NamedTuple):
    """Start values, parameters, breakpoints and accepted steps of some runs."""

    y0: FloatArray
    p: FloatArray
    times: FloatArray
    act_time: FloatArray
    act_state: IntArray
    act_kind: IntArray
    act_value: FloatArray
    held: IntArray
    t: FloatArray
    h: FloatArray
    n: IntArray


SIZES = types.NamedTuple([types.boolean, *[types.int64] * 7], Sizes)
METHOD = types.NamedTuple([F2, F2, F1, F1, F2, types.float64, I1], Method)
STEPS = types.NamedTuple([F2, F2, F1, F1, I1, I1, F2, I1, F2, F2, I1], Steps)


def sizes(lanes: LaneKernels, made: SensitivityKernels) -> Sizes:
    """Return the numbers of rows of one network's kernels."""
    return Sizes(
        lanes.has_time,
        lanes.n_rate,
        max(lanes.n_a, made.n_rule, 1),
        lanes.n_w,
        made.n_quantity,
        made.n_partial,
        made.n_second,
        max(1, made.n_rule),
    )


def method(tableau: Tableau) -> Method:
    """Return a tableau as arrays that a kernel takes."""
    return Method(
        np.array(tableau.A),
        np.array(tableau.C),
        np.array(tableau.alpha),
        np.array(tableau.D),
        np.array(tableau.H),
        tableau.gamma,
        chained_stages(tableau),
    )


def steps(
    problem: Problem, first: int, last: int, t: FloatArray, h: FloatArray, n: IntArray
) -> Steps:
    """Return the recorded steps of the runs `first` to `last`."""
    schedule, frozen = problem.schedule, problem.frozen
    return Steps(
        np.array(problem.y0[first:last], order="C"),
        np.array(problem.p[first:last], order="C"),
        np.ascontiguousarray(problem.times),
        schedule.time,
        schedule.state,
        schedule.kind,
        np.ascontiguousarray(schedule.value[first:last]),
        np.zeros(0, np.int64) if frozen is None else np.flatnonzero(frozen),
        t,
        h,
        n,
    )


@numba.njit(**STRICT)
def stages(
    k, m, t, ts, h, per_h, hg, y, ys, p, inflow, act_state, held, v, a, w, ft, u, at
):
    """Repeat the stages of one step of all lanes.

    Fills u (s, n, 8) with the stages, at (s, n, 8) with the states at which they were
    evaluated, w with the factors of W; ys is y plus all increments but the last stage.
    """
    # Letters as in ``step.take_step``: k kernels, m method, Y_i in at[i], U_i in u[i].
    s, n = m.alpha.size, y.shape[0]
    for lane in range(LANES):
        per_h[0, lane] = 1.0 / h[lane]
        for i in range(n):
            hg[i, lane] = per_h[0, lane] / m.gamma
    for i in held:
        hg[i, :] = HELD
    # W = I/(hγ) − J(t_n, y_n) and its LU factors.
    k.matrix(t, y, p, a, w, hg)
    if k.has_time:
        k.time(t, y, p, a, ft)
    for i in range(s):
        if i == 0:
            u[0, :, :] = 0.0
            at[0, :, :] = y
            k.rates(t, y, p, v, a, u[0])
        else:
            # ys = Y_i = y + Σ_j A_ij U_j, u[i] = Σ_j (C_ij/h) U_j.
            prepare_stage(i, m.chained[i] != 0, y, u, m.A, m.C, per_h, ys, n)
            for lane in range(LANES):
                ts[0, lane] = t[0, lane] + m.alpha[i] * h[lane]
            at[i, :, :] = ys
            # u[i] += f(t_n + α_i h, Y_i).
            k.rates(ts, ys, p, v, a, u[i])
        if k.has_time and m.D[i] != 0.0:
            # u[i] += h D_i ∂f/∂t.
            for r in range(n):
                for lane in range(LANES):
                    u[i, r, lane] += m.D[i] * h[lane] * ft[r, lane]
        for j in range(act_state.size):
            for lane in range(LANES):
                u[i, act_state[j], lane] += inflow[j, lane]
        for r in held:
            u[i, r, :] = 0.0
        # U_i = W⁻¹ · right-hand side, in place.
        k.solve(w, u[i])


@numba.njit(**STRICT)
def slopes(k, t, y, p, v, a, inflow, act_state, held, out):
    """Fill out with dy/dt of all lanes."""
    # The kernel adds to its result.
    out[:, :] = 0.0
    k.rates(t, y, p, v, a, out)
    for j in range(act_state.size):
        for lane in range(LANES):
            out[act_state[j], lane] += inflow[j, lane]
    for r in held:
        out[r, :] = 0.0


@numba.njit(**STRICT)
def end_of_step(steps, run, k):
    """Return the time at which step k of a run ended: the start of the next."""
    # The recorded time and not t + h: a step that hit a stop ends there exactly.
    if k + 1 < steps.n[run]:
        return steps.t[run, k + 1]
    return steps.times[-1]
