"""Runs of others' models in which an amount became negative, judged.

Either the tolerances were too loose, or the mathematics of the file takes the amount
below zero. Two runs with smaller tolerances tell: where both give the same curves, the
tighter one is the result, and how far below zero it goes is kept with it. Where they
differ, or where they fail, the run remains failed.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.kernels import Kernels
from mir21sim.errors import SolverStatus
from mir21sim.solvers.problem import (
    PER_RUN,
    Problem,
    Selection,
    Solution,
    Source,
    negative_slack,
    partner_reach,
    subset,
)
from mir21sim.solvers.settings import Settings

Ask: TypeAlias = Callable[[Problem, Settings], tuple[Solution, bool]]
"""Problem and settings → Solution, and whether it was interrupted."""

TIGHTER = (0.1, 0.01)
"""Factors on both tolerances of the two runs that are compared."""

LEAST_RTOL = 1e-12
"""Relative tolerance below which rounding counts for more."""

AGREED = 1e-3
"""Difference of a curve between the two runs, over its largest value, at most."""

ERRORS = 10.0
"""Tolerances that the error of a state by its partners in reactions may be."""

ROUNDING = float(np.finfo(float).eps) ** 2
"""Share of the largest value of any state below which an amount is nothing."""

RUNAWAY = 1e15
"""Size below zero, over the largest start or value above zero, of a run without limit:
a rate that overflows there is read at zero, and the run seems to go on."""

GRID = 201
"""Equal times over a run that are compared beside its output times."""


def judge(
    kernels: Kernels,
    problem: Problem,
    settings: Settings,
    solution: Solution,
    ask: Ask,
) -> bool:
    """Make runs that became negative again, and keep those that two runs agree on.

    Parameters
    ----------
    solution : changed in place where a run is kept: OK instead of NEGATIVE
    ask : runs a problem; no run of it is judged

    Returns
    -------
    interrupted : bool
    """
    for run in np.flatnonzero(solution.status == SolverStatus.NEGATIVE):
        alone = subset(problem, np.array([run]))
        stopped = float(solution.t_end[run])
        closer, wanted = _with_all_states(alone, stopped)
        made = []
        for factor in TIGHTER:
            found, interrupted = ask(closer, _tighter(settings, factor))
            if interrupted:
                return True
            if found.status[0] != SolverStatus.OK:
                break
            made.append(found)
        if len(made) == len(TIGHTER):
            _keep(kernels, problem, settings, solution, int(run), made, wanted)
    return False


def _tighter(settings: Settings, factor: float) -> Settings:
    """Return settings with smaller tolerances that accept amounts below zero."""
    rtol = max(settings.rtol * factor, min(LEAST_RTOL, settings.rtol))
    return replace(
        settings,
        rtol=rtol,
        atol=settings.atol * (rtol / settings.rtol),
        allow_negative=True,
        judges_negative=False,
        retried=frozenset(),  # what only a third method could do is no agreement
    )


def _with_all_states(problem: Problem, stopped: float) -> tuple[Problem, IntArray]:
    """Return a problem with more times and with every state, and where its times are.

    Output times do not touch the steps, so more of them change no number.
    """
    times, n_state = problem.times, problem.y0.shape[1]
    grid = np.linspace(times[0], times[-1], GRID)[1:-1]
    more = grid if not np.isfinite(stopped) else np.append(grid, stopped)
    every = np.union1d(times, more)
    old, states = problem.selection, np.arange(n_state)
    none = np.full(n_state, -1)
    selection = Selection(
        source=np.append(old.source, np.full(n_state, int(Source.STATE))),
        index=np.append(old.index, states),
        divisor_source=np.append(old.divisor_source, none),
        divisor=np.append(old.divisor, none),
        scale=np.append(old.scale, np.ones(n_state)),
    )
    closer = replace(problem, times=every, selection=selection, features=None)
    return closer, np.searchsorted(every, times)


def _keep(
    kernels: Kernels,
    problem: Problem,
    settings: Settings,
    solution: Solution,
    run: int,
    made: list[Solution],
    wanted: IntArray,
) -> None:
    """Put the tighter of two runs in its place, if both give the same curves."""
    n_select = len(problem.selection.source)
    looser, tight = (found.values[0][:, n_select:] for found in made)
    peak = np.abs(tight).max(axis=0, initial=0.0)
    if not np.isfinite(looser).all() or not np.isfinite(peak).all():
        return
    usual = max(float(np.abs(problem.y0).max()), float(tight.max())) or 1.0
    if tight.min() < -RUNAWAY * usual:
        return
    # The error that the tolerance asked for allows, and what rounding makes of nothing.
    error = ERRORS * settings.rtol * partner_reach(kernels, peak)
    error += ROUNDING * peak.max(initial=0.0)
    apart = np.abs(looser - tight).max(axis=0, initial=0.0)
    if (apart > AGREED * peak + error).any():
        return
    for name in PER_RUN:
        if name not in ("values", "features"):
            getattr(solution, name)[run] = getattr(made[-1], name)[0]
    solution.values[run] = made[-1].values[0][wanted, :n_select]
    share, _ = negative_slack(settings.rtol, settings.atol)
    _mark(problem, solution, run, tight.min(axis=0), share * peak + error)


def _mark(
    problem: Problem,
    solution: Solution,
    run: int,
    lowest: FloatArray,
    slack: FloatArray,
) -> None:
    """Write down the amount that is below zero by the most tolerances, if one is."""
    below = np.flatnonzero(problem.amounts & (lowest < -slack))
    if below.size:
        state = below[np.argmin(lowest[below] / slack[below])]
        solution.below[run], solution.lowest[run] = state, lowest[state]
