"""Features of the runs of a chunk, from the dense output of their accepted steps.

A state is a polynomial of degree four within a step, and so is a quantity in proportion
to it. A rule, a rate or a ratio is none: a step is halved until the polynomial through
five points of a part gives three points between them.
"""

from typing import NamedTuple

import numba
import numpy as np
from numba import types

from mir21sim._typing import BoolArray, FloatArray, IntArray
from mir21sim.compiler import machine_code
from mir21sim.compiler.build_lane_kernels import RATES, LaneKernels
from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.solvers.batch.feature_kernel import (
    coefficients,
    features_of_curves,
    polynomial,
)
from mir21sim.solvers.batch.outputs import ASSIGNED, Observer
from mir21sim.solvers.batch.records import TRAIL, Trail
from mir21sim.solvers.problem import Problem, Source
from mir21sim.solvers.step_curve import BEFORE_END

RUNS = 128
"""Runs in a chunk whose steps are kept."""

MEMORY = 1.5e8
"""Bytes that the nodes of a chunk may take, in each thread. Of a run with more steps,
the features are found from the outside (``solvers.panels``)."""

SHARE_OF_RTOL = 1e-2
"""Error of the polynomial of a part of a step, over the largest value of the curve and
over the relative tolerance of the run."""

HALVINGS = 10
"""How often a step is halved at most."""

PARTS_PER_STEP = 8
"""Parts of a step for which there is room, on the average of a run."""

_OPTIONS = {"nogil": True, "error_model": "numpy"}
_HELPER = _OPTIONS | machine_code.INNER
_F1, _F2, _F3 = (types.Array(types.float64, n, "C") for n in (1, 2, 3))
_I1, _B1 = (types.Array(kind, 1, "C") for kind in (types.int64, types.boolean))

# A lane for each: the five nodes, then three points between them.
_THETA = np.array([0.0, 0.25, 0.5, 0.75, 1.0, 0.125, 0.375, 0.875])


class Observed(NamedTuple):
    """Quantities to observe, as ``outputs.Observer``, and which kernels it needs."""

    use_assigned: bool
    use_rates: bool
    first_row: IntArray
    row: IntArray
    divisor_row: IntArray
    scale: FloatArray
    need: IntArray


class Parts(NamedTuple):
    """The curves of one run: starts and lengths (n_part,), nodes (n_select, n_part, 5).

    ``size`` holds the largest absolute value of each curve so far.
    """

    start: FloatArray
    length: FloatArray
    nodes: FloatArray
    size: FloatArray


class Wanted(NamedTuple):
    """The runs of a chunk, and the features to find.

    Attributes
    ----------
    p : float array, shape (n_run, n_param)
    ok : bool array, shape (n_run,), the runs that ended well
    final : end of all runs
    accuracy : of the polynomials, over the size of a curve
    since : float array, shape (n_since,)
    shares : bool array, shape (n_select,)
    """

    p: FloatArray
    ok: BoolArray
    final: float
    accuracy: float
    since: FloatArray
    shares: BoolArray


_OBSERVED = types.NamedTuple(
    [types.boolean, types.boolean, _I1, _I1, _I1, _F1, _I1], Observed
)
_WANTED = types.NamedTuple([_F2, _B1, types.float64, types.float64, _F1, _B1], Wanted)


@numba.njit(**_HELPER)
def _observe_part(assigned, rates, o, rows, t, slopes, inside, low, width, start, h):
    """Fill `rows` with all quantities at the eight points of a part of a step.

    Parameters
    ----------
    inside : float array, shape (n_need, 5), the polynomials of the needed states
    low, width : where the part begins and how long it is, in shares of the step
    """
    for lane in range(LANES):
        theta = low + width * _THETA[lane]
        t[0, lane] = start + h * min(theta, 1.0 - BEFORE_END)
        for m in range(o.need.size):
            rows[o.need[m], lane] = polynomial(inside[m], 4, theta)
    y = rows[o.first_row[0] : o.first_row[1]]
    a = rows[o.first_row[1] : o.first_row[2]]
    v = rows[o.first_row[2] : o.first_row[3]]
    p = rows[o.first_row[3] : o.first_row[4]]
    if o.use_assigned:
        assigned(t, y, p, a)
    if o.use_rates:
        rates(t, y, p, v, a, slopes)


@numba.njit(**_HELPER)
def _take_part(o, rows, nodes, size, values, n, accuracy):
    """Write the nodes of part n; return whether its polynomials are close enough."""
    c = np.empty(5)
    close = True
    for k in range(o.row.size):
        for lane in range(LANES):
            value = rows[o.row[k], lane] * o.scale[k]
            if o.divisor_row[k] >= 0:
                value /= rows[o.divisor_row[k], lane]
            values[lane] = value
        for q in range(5):
            nodes[k, n, q] = values[q]
            size[k] = max(size[k], abs(values[q]))
        coefficients(nodes[k, n], c)
        for lane in range(5, LANES):
            apart = abs(polynomial(c, 4, _THETA[lane]) - values[lane])
            # False for NaN too: halving would not help.
            close &= not apart > accuracy * size[k]
    return close


@numba.njit(**_HELPER)
def _divide_steps(assigned, rates, o, trail, run, w, rows, parts):
    """Fill `parts` with the curves of a run; return how many there are."""
    t, slopes = np.zeros((1, LANES)), np.zeros((o.first_row[1], LANES))
    inside, values = np.empty((o.need.size, 5)), np.empty(LANES)
    # A stack of parts that are to be looked at, the earliest on top.
    lows, depths = np.empty(HALVINGS + 2), np.empty(HALVINGS + 2, np.int64)
    n, n_step, room = 0, trail.n[run], parts.start.size
    for step in range(n_step):
        start = trail.t[run, step]
        end = trail.t[run, step + 1] if step + 1 < n_step else w.final
        for m in range(o.need.size):
            coefficients(trail.nodes[run, step, :, m], inside[m])
        lows[0], depths[0], top = 0.0, 0, 1
        while top > 0:
            top -= 1
            low, depth = lows[top], depths[top]
            width = 0.5**depth
            _observe_part(
                assigned, rates, o, rows, t, slopes, inside, low, width, start,
                end - start,
            )  # fmt: skip
            close = _take_part(o, rows, parts.nodes, parts.size, values, n, w.accuracy)
            # Every step left has room for a part of its own.
            if close or depth == HALVINGS or room - n <= n_step - step + top + 1:
                parts.start[n] = start + low * (end - start)
                parts.length[n] = width * (end - start)
                n += 1
            else:
                lows[top], depths[top] = low + 0.5 * width, depth + 1
                lows[top + 1], depths[top + 1] = low, depth + 1
                top += 2
    return n


@machine_code.solver(
    types.void(ASSIGNED, RATES, _OBSERVED, TRAIL, _WANTED, _F3), **_OPTIONS
)
def _chunk_features(assigned, rates, o, trail, w, out):
    """Fill out (n_run, n_row, n_select) with the features of the good runs."""
    n_select, most = o.row.size, trail.nodes.shape[1]
    rows = np.zeros((o.first_row[4], LANES))
    for run in range(w.ok.size):
        n_step = trail.n[run]
        if not w.ok[run] or n_step > most:
            continue
        for m in range(w.p.shape[1]):
            rows[o.first_row[3] + m, :] = w.p[run, m]
        room = PARTS_PER_STEP * n_step + 64
        parts = Parts(
            np.empty(room), np.empty(room), np.empty((n_select, room, 5)),
            np.zeros(n_select),
        )  # fmt: skip
        n = _divide_steps(assigned, rates, o, trail, run, w, rows, parts)
        features_of_curves(
            parts.start[:n], parts.length[:n], parts.nodes, w.since, w.shares, out[run]
        )


class StepFeatures:
    """Finds features of runs; called in the thread that integrated them.

    Attributes
    ----------
    found : float array, shape (n_run, n_row, n_select); NaN where a run has none
    ok : bool array, shape (n_run,), the runs that ended well; filled by the caller
    most : steps of a run that are kept
    """

    def __init__(self, observer: Observer, problem: Problem, rtol: float) -> None:
        assert problem.features is not None
        self.problem, self.request = problem, problem.features
        self.accuracy = SHARE_OF_RTOL * rtol
        self.kernels: LaneKernels = observer.kernels
        selection = observer.selection
        self.observed = Observed(
            selection.uses(Source.ASSIGNED),
            selection.uses(Source.RATE),
            observer.first_row,
            observer.row,
            observer.divisor_row,
            np.array(selection.scale),
            observer.need,
        )
        self.most = int(MEMORY / (RUNS * 5 * 8 * len(observer.need)))
        n_select = len(selection.source)
        self.found = np.full((len(problem), self.request.n_row, n_select), np.nan)
        self.ok: BoolArray = np.zeros(len(problem), np.bool_)

    def use(self, first: int, last: int, trail: Trail) -> None:
        """Find the features of the runs `first` to `last`."""
        _chunk_features(
            self.kernels.assigned,
            self.kernels.rates,
            self.observed,
            trail,
            Wanted(
                np.array(self.problem.p[first:last], order="C"),
                self.ok[first:last],
                float(self.problem.times[-1]),
                self.accuracy,
                self.request.since,
                self.request.shares,
            ),
            self.found[first:last],
        )
