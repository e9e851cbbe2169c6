"""Absolute tolerances from the size that each state has in its run.

A first estimate comes from starts, doses, inflows and turnover. After the run the sizes
that were seen are compared with it; where the tolerance was too large for a state, the
run is made again with a smaller one. Nothing of it depends on other runs.
"""

import math
import threading
from dataclasses import dataclass, replace

import numpy as np

from mir21sim._typing import BoolArray, FloatArray
from mir21sim.compiler.kernels import Kernels
from mir21sim.errors import SolverStatus
from mir21sim.solvers.problem import Action, Problem
from mir21sim.solvers.settings import Settings
from mir21sim.solvers.single.run import SingleRun

SHARE = 1e-5
"""Absolute tolerance over ``rtol`` times the largest value of a state: cascades amplify
small values before a switch, so it is small (benchmarks/README.md)."""

LOOSE = 10.0
"""Factor by which a tolerance may be above that share before the run is made again."""

ROUNDS = 5
"""Runs at most until the tolerances fit the sizes."""

PATIENCE = 50
"""Steps of a repeated run over those of the first, before it is given up."""

AMPLIFIED = 10.0
"""Growth of an error in small states from which on they need relative accuracy."""

LOOKS = 24
"""Times at which the growth of small states is looked at."""

NOISE = 1e-6
"""Share of its least size that a state may have been where noise hides its size."""


@dataclass(frozen=True, slots=True, eq=False)
class Ended:
    """A run that has ended, and the tolerances with which it was made."""

    one: SingleRun
    status: SolverStatus
    atol: FloatArray


def integrate(
    kernels: Kernels,
    problem: Problem,
    run: int,
    settings: Settings,
    solver: str,
    stop: threading.Event,
) -> Ended:
    """Integrate a run, again with smaller tolerances while they do not fit its sizes.

    A repeated run that fails is dropped and the last good one counts, unless that one
    is wrong for errors that grew.
    """

    def attempt(atol: FloatArray, max_steps: int) -> Ended:
        chosen = replace(settings, atol=atol, max_steps=max_steps)
        one = SingleRun(kernels, problem, run, chosen, solver, stop)
        with np.errstate(all="ignore"):  # non-finite numbers are checked explicitly
            return Ended(one, one.integrate(), atol)

    if not settings.adapts:
        return attempt(settings.atol, settings.max_steps)
    first = attempt(_first(kernels, problem, run, settings), settings.max_steps)
    last, limit = first, settings.max_steps
    for _ in range(ROUNDS):
        if last.status == SolverStatus.INTERRUPTED:
            break
        atol, needed = _smaller(last, settings.rtol)
        if not (atol < last.atol).any():
            break
        if first.status == SolverStatus.OK and not needed:
            limit = min(limit, PATIENCE * (first.one.n_steps + 100))
        again = attempt(atol, limit)
        failed = again.status != SolverStatus.OK and last.status == SolverStatus.OK
        if failed and not needed:
            break
        last = again
    return last


def _first(
    kernels: Kernels, problem: Problem, run: int, settings: Settings
) -> FloatArray:
    """Return tolerances from the sizes that starts, doses and inflows let expect."""
    y, p = problem.y0[run], problem.p[run]
    size = np.abs(y)
    schedule, span = problem.schedule, float(problem.times[-1] - problem.times[0])
    for state, kind, value in zip(
        schedule.state, schedule.kind, schedule.value[run], strict=True
    ):
        # RATE: at most rate · span flows in.
        dosed = abs(value) * (span if kind == Action.RATE else 1.0)
        size[state] = max(size[state], dosed)
    slope, data = np.zeros(len(y)), np.zeros(len(kernels.j_row))
    with np.errstate(all="ignore"):
        kernels.rhs(float(problem.times[0]), np.array(y), np.array(p), slope)
        kernels.jac(float(problem.times[0]), np.array(y), np.array(p), data)
    # Turnover of a state = 1/span + |J_ii|, the rate at which it is lost (1/time).
    turnover = np.full(len(y), 1.0 / span)
    own = kernels.j_row == kernels.j_col
    lost = np.nan_to_num(np.abs(data[own]), nan=0.0, posinf=0.0)
    np.add.at(turnover, kernels.j_row[own], lost)
    # Size of a state that begins at 0: |dy/dt|/turnover, where both balance.
    fed = np.nan_to_num(np.abs(slope), nan=0.0, posinf=0.0) / turnover
    size = np.where(size > 0, size, fed)
    known = np.isfinite(size) & (size > 0)
    # A state of unknown size gets the smallest known one, the careful choice.
    least = float(size[known].min()) if known.any() else 1.0
    return _of_sizes(np.where(known, size, least), settings.rtol)


def _of_sizes(size: FloatArray, rtol: float) -> FloatArray:
    """Return the tolerances of states of a size; above 0 whatever it is."""
    return np.maximum(SHARE * rtol * size, 1e-300)


def _smaller(ended: Ended, rtol: float) -> tuple[FloatArray, bool]:
    """Return smaller tolerances where those of a run were too large.

    Returns
    -------
    atol : float array, shape (n_state,)
    needed : whether errors of small states were amplified, so that the run is wrong
    """
    times, states = ended.one.seen()
    sizes = np.abs(states)
    peak = sizes.max(axis=0)
    # SHARE·rtol·peak; inf leaves the tolerance of a state that is always 0.
    fitting = np.where(np.isfinite(peak) & (peak > 0), _of_sizes(peak, rtol), np.inf)
    atol = np.where(ended.atol > LOOSE * fitting, fitting, ended.atol)
    amplified = _amplified(ended.one, times, states, LOOSE * ended.atol / rtol)
    for state, trough in amplified:
        # A tenth of rtol·trough: the small values are accurate too.
        atol[state] = min(atol[state], max(0.1 * rtol * trough, 1e-300))
    return atol, bool(amplified)


def _amplified(
    one: SingleRun, times: FloatArray, states: FloatArray, low: FloatArray
) -> list[tuple[int, float]]:
    """Return the states, with their least size, whose errors grow while they are small.

    Below `low` a state has no relative accuracy. That matters where the small states
    grow by themselves, as after a trough: then the Jacobian among them has eigenvalues
    above 0, and their integral is the logarithm by which errors grow.
    """
    sizes = np.abs(states)
    below = (sizes < low) & (sizes.max(axis=0) > 0)
    if not below.any():
        return []
    # growth ≈ ∫ max(0, largest real eigenvalue) dt: an error grows by exp(growth).
    grid, step = np.linspace(times[0], times[-1], LOOKS, retstep=True)
    growth, which = 0.0, np.zeros(states.shape[1], dtype=bool)
    for t in grid:
        # The last state seen at or before t.
        k = int(np.searchsorted(times, t, side="right")) - 1
        fastest = _fastest_growth(one, t, states[k], below[k]) if below[k].any() else 0
        if fastest > 0:
            growth += fastest * step
            which |= below[k]
    if growth < math.log(AMPLIFIED):
        return []
    found = []
    for state in map(int, np.flatnonzero(which)):
        small = sizes[below[:, state], state]
        positive = small[small > 0]
        least = float(positive.min(initial=low[state]))
        if (states[below[:, state], state] < 0).any():
            least *= NOISE  # how small it was is not known
        found.append((state, least))
    return found


def _fastest_growth(one: SingleRun, t: float, y: FloatArray, which: BoolArray) -> float:
    """Return the largest real part of the Jacobian's eigenvalues among some states."""
    kernels, place = one.kernels, np.flatnonzero(which)
    data = np.zeros(len(kernels.j_row))
    with np.errstate(all="ignore"):
        kernels.jac(float(t), np.array(y), one.p, data)
    # J restricted to the chosen states, from its sparse entries (row, column, value).
    inside = which[kernels.j_row] & which[kernels.j_col]
    rank = np.cumsum(which) - 1
    matrix = np.zeros((len(place), len(place)))
    rows, columns = rank[kernels.j_row[inside]], rank[kernels.j_col[inside]]
    np.add.at(matrix, (rows, columns), data[inside])
    if not np.isfinite(matrix).all():
        return 0.0
    return float(np.linalg.eigvals(matrix).real.max(initial=0.0))
