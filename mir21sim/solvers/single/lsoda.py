"""Fast path: one `odeint` call per segment; the caller steps where anything is unusual.

A step of LSODA for a model of a hundred species takes less time than Python needs to
ask for it. ``odeint`` makes all steps in compiled code and interpolates the outputs as
it goes, but it says little where something goes wrong. So whatever looks odd ends the
call, and the segment is done again step by step, which finds the reason and keeps the
results up to there.
"""

import math
import time
from dataclasses import dataclass

import numpy as np
import scipy.integrate

from mir21sim._typing import FloatArray
from mir21sim.solvers.single.reduced_problem import ReducedProblem, mend
from mir21sim.solvers.single.reduction import DRAINED

#: Calls of the right-hand side after which a segment is integrated step by step, as
#: steps can be stopped without a loss.
MOST_CALLS = 50_000

#: The same for each step that the run has left.
_CALLS_PER_STEP = 4

_LOOK_EVERY = 256
"""Calls between looks at the clock."""

MOST_NUMBERS = 10_000_000
"""Numbers that the states at the output times may be."""

_DONE = "Integration successful."


class _FastPathFailed(Exception):
    """Something unusual: the segment must be integrated step by step."""


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """An integrated segment: states at the output times, and the work."""

    z: FloatArray
    n_steps: int
    n_rhs: int
    n_jac: int


def integrate_segment(
    reduced: ReducedProblem,
    times: FloatArray,
    *,
    peak: FloatArray,
    share: float,
    floor: FloatArray,
    rtol: float,
    atol: FloatArray,
    max_step: float,
    max_steps: int,
    until: float,
) -> Segment | None:
    """Integrate over the times, the first to the last; None where it is not plain.

    Parameters
    ----------
    times : float array, shape (n_time,), ascending; the start, outputs, the end
    peak : float array, shape (n_moving,): the largest absolute values so far; raised
    share, floor : a state below ``-(share*peak + floor)`` is odd
    rtol, atol : tolerances, atol of shape (n_moving,)
    max_step : longest step, infinity for any
    max_steps : steps that the run has left
    until : when to give up, by ``time.monotonic``
    """
    n = len(reduced)
    if n * len(times) > MOST_NUMBERS:
        return None
    reduction, y, p, stop = reduced.reduction, reduced.y, reduced.p, reduced.stop
    spread, gather, rhs = reduced.helpers.spread, reduced.helpers.gather, reduced.rhs
    index, inflow = reduction.index, reduced.inflow
    all_slopes, data = reduced.all_slopes, reduced.data
    source, factor = reduction.source, reduction.factor
    least = DRAINED * y[reduction.tied]
    ties = reduction.tied, reduction.first, reduction.partner, reduction.weight
    places = index, *ties, reduced.constant, least
    out, dense = np.empty(n), np.empty(n * n)
    at = (
        reduction.col * n + reduction.row
    )  # columns one after another, as LAPACK has them
    calls, most = 0, min(MOST_CALLS, _CALLS_PER_STEP * max_steps)

    def slope(t: float, z: FloatArray) -> FloatArray:
        nonlocal calls
        calls += 1
        odd = spread(z, *places, floor, share, peak, y)
        if odd or calls > most or stop.is_set():
            raise _FastPathFailed
        if calls % _LOOK_EVERY == 0 and time.monotonic() > until:
            raise _FastPathFailed
        rhs(t, y, p, all_slopes)
        if not math.isfinite(gather(all_slopes, index, inflow, out)):
            raise _FastPathFailed
        return out

    def columns(t: float, z: FloatArray) -> FloatArray:
        spread(z, *places, floor, share, peak, y)
        reduced.jac(t, y, p, data)
        scatter = reduced.helpers.scatter
        if not math.isfinite(scatter(data, source, factor, at, dense)):
            mend(data)
            scatter(data, source, factor, at, dense)
        return dense.reshape(n, n)

    start = y[index]
    try:
        first = _first_step(slope(times[0], start), start, times, rtol, atol)
        z, info = scipy.integrate.odeint(
            slope,
            start,
            times,
            Dfun=columns,
            col_deriv=True,
            full_output=True,
            rtol=rtol,
            atol=atol,
            tcrit=times[-1:],
            h0=min(first, max_step),
            hmax=max_step if math.isfinite(max_step) else 0.0,
            mxstep=MOST_CALLS,
            tfirst=True,
        )
    except _FastPathFailed:
        return None
    lowest = -(share * peak + floor)
    if info["message"] != _DONE or not (z >= lowest).all() or not np.isfinite(z).all():
        return None
    n_steps, n_rhs, n_jac = (int(info[name][-1]) for name in ("nst", "nfe", "nje"))
    return Segment(z, n_steps, n_rhs, n_jac) if n_steps < max_steps else None


def _first_step(
    slope: FloatArray, z: FloatArray, times: FloatArray, rtol: float, atol: FloatArray
) -> float:
    """Return LSODA's own choice of its first step; it would look at the first output.

    References
    ----------
    Hindmarsh AC 1983, ODEPACK (the comment "the computed value h0" in LSODA)
    """
    root = math.sqrt(min(max(rtol, 100.0 * np.finfo(float).eps), 1e-3))
    far = float(np.abs(times[[0, -1]]).max())
    fast = float(np.max(np.abs(slope) / (rtol * np.abs(z) + atol)))
    step = 1.0 / math.hypot(1.0 / (root * far), root * fast)
    return min(step, float(times[-1] - times[0]))
