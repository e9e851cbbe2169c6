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
from mir21sim.solvers.batch.lane_arrays import (
    HELPER,
    copy_rows,
    zeros_of,
)
from mir21sim.solvers.batch.records import Trail
from mir21sim.solvers.batch.step import HELD, add_inflow, prepare_stage
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
    """Kernels that repeat a step and find its partials.

    Compiled functions pass it on; Numba takes no tuple of kernels from Python.
    """

    rates: Kernel
    matrix: Kernel
    solve: Kernel
    time: Kernel
    partials: Kernel
    inner: Kernel
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


def steps(problem: Problem, block: slice, trail: Trail) -> Steps:
    """Return the recorded steps of some runs."""
    schedule, frozen = problem.schedule, problem.frozen
    return Steps(
        np.array(problem.y0[block], order="C"),
        np.array(problem.p[block], order="C"),
        np.ascontiguousarray(problem.times),
        schedule.time,
        schedule.state,
        schedule.kind,
        np.ascontiguousarray(schedule.value[block]),
        np.zeros(0, np.int64) if frozen is None else np.flatnonzero(frozen),
        trail.t,
        trail.h,
        trail.n,
    )


def recorded(
    lanes: LaneKernels,
    made: SensitivityKernels,
    tableau: Tableau,
    problem: Problem,
    block: slice,
    trail: Trail,
) -> tuple[Sizes, Method, Steps]:
    """Return what a kernel needs to repeat the recorded steps of some runs."""
    return sizes(lanes, made), method(tableau), steps(problem, block, trail)


class RepeatedStep(NamedTuple):
    """Arrays of a step of all lanes that is repeated; letters as in ``driver``.

    h, end : lengths and ends of the steps, (8,)
    t, ts, per_h : times of the step and of a stage, and 1/h; (1, 8)
    y, ys : states at the start and at a stage, after the step its end without the last
        stage; (n, 8)
    u, at : stages and the states at which they were evaluated; (s, n, 8)
    p, inflow : parameters (n_param, 8), rates of the infusions that are on (n_act, 8)
    v, a, w, ft, hg : rates, rule variables, factors of W, ∂f/∂t and 1/(hγ); (rows, 8)
    d : direct partials at the stages; (s, n_partial, 8)
    a0, a1 : rule variables at the first stage and at the others; (n_rule, 8)
    au, ut : changes of the rules along a stage, and of the time; (s, n_rule or 1, 8)
    """

    h: FloatArray
    end: FloatArray
    t: FloatArray
    ts: FloatArray
    per_h: FloatArray
    y: FloatArray
    ys: FloatArray
    u: FloatArray
    at: FloatArray
    p: FloatArray
    inflow: FloatArray
    v: FloatArray
    a: FloatArray
    w: FloatArray
    ft: FloatArray
    hg: FloatArray
    d: FloatArray
    a0: FloatArray
    a1: FloatArray
    au: FloatArray
    ut: FloatArray


class Places(NamedTuple):
    """Where each lane is: its job or −1, its step, next output and next breakpoint.

    On the way back the last output and breakpoint that are left.
    """

    job: IntArray
    step: IntArray
    due: IntArray
    act: IntArray


def new_repeated_step(m: Method, size: Sizes, steps: Steps) -> RepeatedStep:
    """Return the arrays of a repeated step."""
    s, n = m.alpha.size, steps.y0.shape[1]
    n_param, n_act = steps.p.shape[1], steps.act_time.size
    rows = (n_param, n_act, size.n_rate, size.n_a, size.n_w, n, n)
    h, end = zeros_of((LANES,), (LANES,))
    made = RepeatedStep(
        h,
        end,
        *zeros_of(
            *((count, LANES) for count in (1, 1, 1, n, n)),
            (s, n, LANES),
            (s, n, LANES),
            *((count, LANES) for count in rows),
            (s, size.n_partial, LANES),
            (size.n_rule, LANES),
            (size.n_rule, LANES),
            (s, size.n_rule, LANES),
            (s, 1, LANES),
        ),
    )
    for of_one in (made.h, made.per_h, made.hg):
        of_one.fill(1.0)
    return made


def new_places() -> Places:
    """Return eight lanes without a job."""
    return Places(np.full(LANES, -1), *np.zeros((3, LANES), np.int64))


REPEATED = types.NamedTuple(
    [F1, F1, *[F2] * 5, F3, F3, *[F2] * 7, F3, F2, F2, F3, F3], RepeatedStep
)
PLACES = types.NamedUniTuple(I1, 4, Places)


@numba.njit(**HELPER)
def repeat_step(k: StepKernels, m: Method, r: RepeatedStep, steps: Steps) -> None:
    """Repeat the stages of one step of all lanes.

    Fills u with the stages, at with the states at which they were evaluated, w with the
    factors of W; ys is y plus all increments but the last stage.
    """
    # Letters as in ``step.take_step``: Y_i in at[i], U_i in u[i].
    s, n = m.alpha.size, r.y.shape[0]
    t, ts, h, y, ys, u, D = r.t, r.ts, r.h, r.y, r.ys, r.u, m.D
    for lane in range(LANES):
        r.per_h[0, lane] = 1.0 / h[lane]
        over_hg = r.per_h[0, lane] / m.gamma
        for i in range(n):
            r.hg[i, lane] = over_hg
    for i in steps.held:
        r.hg[i, :] = HELD
    # W = I/(hγ) − J(t_n, y_n) and its LU factors.
    k.matrix(t, y, r.p, r.a, r.w, r.hg)
    if k.has_time:
        k.time(t, y, r.p, r.a, r.ft)
    for i in range(s):
        if i == 0:
            u[0, :, :] = 0.0
            copy_rows(y, r.at[0])
            k.rates(t, y, r.p, r.v, r.a, u[0])
        else:
            # ys = Y_i = y + Σ_j A_ij U_j, u[i] = Σ_j (C_ij/h) U_j.
            prepare_stage(i, m.chained[i] != 0, y, u, m.A, m.C, r.per_h, ys, n)
            for lane in range(LANES):
                ts[0, lane] = t[0, lane] + m.alpha[i] * h[lane]
            copy_rows(ys, r.at[i])
            # u[i] += f(t_n + α_i h, Y_i).
            k.rates(ts, ys, r.p, r.v, r.a, u[i])
        if k.has_time and D[i] != 0.0:
            # u[i] += h D_i ∂f/∂t.
            for row in range(n):
                for lane in range(LANES):
                    u[i, row, lane] += D[i] * h[lane] * r.ft[row, lane]
        add_inflow(u[i], r.inflow, steps.act_state, steps.held)
        # U_i = W⁻¹ · right-hand side, in place.
        k.solve(r.w, u[i])


@numba.njit(**HELPER)
def find_partials(k: StepKernels, m: Method, r: RepeatedStep) -> None:
    """Find the partials at the stages of the step just repeated."""
    for i in range(m.alpha.size):
        for lane in range(LANES):
            r.ts[0, lane] = r.t[0, lane] + m.alpha[i] * r.h[lane]
            r.ut[i, 0, lane] = m.D[i] * r.h[lane]
        # d[i] = partials at Y_i; au[i] = change of the rules along (U_i, D_i h), by
        # d[0], since J in W is that of y_n.
        k.partials(r.ts if i else r.t, r.at[i], r.p, r.a1 if i else r.a0, r.d[i])
        k.inner(r.d[0], r.u[i], r.ut[i], r.au[i])


@numba.njit(**HELPER)
def slopes(
    k: StepKernels,
    r: RepeatedStep,
    steps: Steps,
    t: FloatArray,
    y: FloatArray,
    out: FloatArray,
) -> None:
    """Fill out with dy/dt of all lanes at some times and states."""
    # The kernel adds to its result.
    out[:, :] = 0.0
    k.rates(t, y, r.p, r.v, r.a, out)
    add_inflow(out, r.inflow, steps.act_state, steps.held)


@numba.njit(**HELPER)
def end_of_step(steps, run, k):
    """Return the time at which step k of a run ended: the start of the next."""
    # The recorded time and not t + h: a step that hit a stop ends there exactly.
    if k + 1 < steps.n[run]:
        return steps.t[run, k + 1]
    return steps.times[-1]
