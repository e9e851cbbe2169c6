"""Absolute tolerances from the size that each state has in its run.

A first estimate comes from starts, doses, inflows and turnover. After the run the sizes
that were seen are compared with it; where the tolerance was too large for a state, the
run is made again with a smaller one. Nothing of it depends on other runs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from mir21sim._typing import BoolArray, FloatArray
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
    """A run that has ended, the tolerances it began with, and their growth."""

    one: SingleRun
    status: SolverStatus
    atol: FloatArray
    growth: float


Make: TypeAlias = Callable[[Settings, float], SingleRun]
"""Returns a new run, at its start, of given settings, and of the share of its largest
value to which the absolute tolerance of a state may grow; 0 where it may not."""


def integrate(make: Make, problem: Problem, run: int, settings: Settings) -> Ended:
    """Integrate a run, again with smaller tolerances while they do not fit its sizes.

    A repeated run that fails is dropped and the last good one counts, unless that one
    is wrong for errors that grew.
    """
    if not settings.adapts:
        return attempt(make, settings, settings.atol, 0.0)
    growth = SHARE * settings.rtol
    with np.errstate(all="ignore"):
        start = _first(make(settings, 0.0), problem, run, settings.rtol)
    first = attempt(make, settings, start, growth)
    last, limit = first, settings.max_steps
    for _ in range(ROUNDS):
        if last.status == SolverStatus.INTERRUPTED:
            break
        atol, needed = _smaller(last, settings.rtol)
        if not (atol < last.atol).any():
            break
        if first.status == SolverStatus.OK and not needed:
            limit = min(limit, PATIENCE * (first.one.n_steps + 100))
        # Tolerances that a trough asks for must not grow.
        growth = 0.0 if needed else growth
        again = attempt(make, replace(settings, max_steps=limit), atol, growth)
        failed = again.status != SolverStatus.OK and last.status == SolverStatus.OK
        if failed and not needed:
            break
        if last.status == again.status == SolverStatus.NEGATIVE:
            # Runs that end early have smaller sizes each time: the first counts.
            break
        last = again
    return last


def attempt(make: Make, settings: Settings, atol: FloatArray, growth: float) -> Ended:
    """Integrate a run once, with tolerances that are given."""
    one = make(replace(settings, atol=atol), growth)
    with np.errstate(all="ignore"):  # non-finite numbers are checked explicitly
        return Ended(one, one.integrate(), atol, growth)


def _first(one: SingleRun, problem: Problem, run: int, rtol: float) -> FloatArray:
    """Return tolerances from the sizes that starts, doses and inflows let expect."""
    size = np.abs(problem.y0[run])
    schedule, span = problem.schedule, float(problem.times[-1] - problem.times[0])
    for state, kind, value in zip(
        schedule.state, schedule.kind, schedule.value[run], strict=True
    ):
        # RATE: at most rate · span flows in.
        dosed = abs(value) * (span if kind == Action.RATE else 1.0)
        size[state] = max(size[state], dosed)
    slope = one.slope()
    row, column, data = one.jacobian(float(problem.times[0]), problem.y0[run])
    # Turnover of a state = 1/span + |J_ii|, the rate at which it is lost (1/time).
    turnover = np.full(len(size), 1.0 / span)
    own = row == column
    lost = np.nan_to_num(np.abs(data[own]), nan=0.0, posinf=0.0)
    np.add.at(turnover, row[own], lost)
    # Size of a state that begins at 0: |dy/dt|/turnover, where both balance.
    fed = np.nan_to_num(np.abs(slope), nan=0.0, posinf=0.0) / turnover
    size = np.where(size > 0, size, fed)
    known = np.isfinite(size) & (size > 0)
    # A state of unknown size gets the smallest known one, the careful choice.
    least = float(size[known].min()) if known.any() else 1.0
    return _of_sizes(np.where(known, size, least), rtol)


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
    if not len(times):  # not one step could be made
        return ended.atol, False
    sizes = np.abs(states)
    peak = sizes.max(axis=0)
    # SHARE·rtol·peak; inf leaves the tolerance of a state that is always 0.
    fitting = np.where(np.isfinite(peak) & (peak > 0), _of_sizes(peak, rtol), np.inf)
    atol = np.where(ended.atol > LOOSE * fitting, fitting, ended.atol)
    used = ended.one.tolerances(states)
    amplified = _amplified(ended.one, times, states, LOOSE * used / rtol)
    if amplified:
        atol = np.where(ended.atol > LOOSE * fitting, fitting, used[-1])
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

    Parameters
    ----------
    states, low : float arrays, shape (n_time, n_state)
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
        least = float(positive.min(initial=low[:, state].max()))
        if (states[below[:, state], state] < 0).any():
            least *= NOISE  # how small it was is not known
        found.append((state, least))
    return found


def _fastest_growth(one: SingleRun, t: float, y: FloatArray, which: BoolArray) -> float:
    """Return the largest real part of the Jacobian's eigenvalues among some states."""
    with np.errstate(all="ignore"):
        row, column, data = one.jacobian(float(t), y)
    # J restricted to the chosen states, from its sparse entries (row, column, value).
    inside = which[row] & which[column]
    place = np.cumsum(which) - 1
    n = int(which.sum())
    matrix = np.zeros((n, n))
    np.add.at(matrix, (place[row[inside]], place[column[inside]]), data[inside])
    if not np.isfinite(matrix).all():
        return 0.0
    # No eigenvalue is above the largest row sum of J_ii and the sizes beside it.
    beside = np.abs(matrix).sum(axis=1) - np.abs(matrix.diagonal())
    if (matrix.diagonal() + beside).max(initial=0.0) <= 0.0:
        return 0.0
    return float(np.linalg.eigvals(matrix).real.max(initial=0.0))
