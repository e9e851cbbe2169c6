"""Profile likelihoods: one parameter held along a path, all others fitted again.

An interval ends where the profile is 1.92 above the optimum (95 %, one parameter). An
end that the bound cuts off before is open, and is said to be.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.stats

from mir21sim._typing import FloatArray
from mir21sim.errors import UnknownNameError
from mir21sim.estimation.evaluations import EvaluationLog, LoggedObjective, run_digest
from mir21sim.estimation.fit import FitResult, Told
from mir21sim.estimation.optimizers import minimize
from mir21sim.estimation.problem import natural

MOST_POINTS = 30
"""Points to each side of the optimum at most."""

LONGEST, SHORTEST = 1.0, 0.1
"""Rise of a step over the threshold: above the first it is halved, below the second
the next one is twice as long."""


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """The profile likelihood of one parameter.

    Attributes
    ----------
    name : of the parameter
    x : float array, ascending, on the parameter's scale
    rise : float array, shape of ``x``, of the objective above the optimum
    others : float array, shape (n_point, n_free), all parameters at each point
    low, high : ends of the interval on the linear scale; the bound for an open end
    open_low, open_high : the profile does not reach the threshold before the bound
    level : share that the interval covers
    scale : ``lin``, ``log`` or ``log10``
    """

    name: str
    x: FloatArray
    rise: FloatArray
    others: FloatArray
    low: float
    high: float
    open_low: bool
    open_high: bool
    level: float = 0.95
    scale: str = "lin"

    def __str__(self) -> str:
        level = f"({100 * self.level:g} %)"
        if self.open_low and self.open_high:
            ends = f"{self.low:.4g} and {self.high:.4g}"
            return f"{self.name}: open to both sides, any value between {ends} {level}"
        if self.open_low:
            below = f"open below (tried down to {self.low:.4g})"
            return f"{self.name}: up to {self.high:.4g}, {below} {level}"
        if self.open_high:
            above = f"open above (tried up to {self.high:.4g})"
            return f"{self.name}: {self.low:.4g} and more, {above} {level}"
        return f"{self.name}: {self.low:.4g} to {self.high:.4g} {level}"


def profiles(
    result: FitResult,
    names: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    folder: str | Path | None = None,
    iterations: int = 100,
    progress: Told | None = None,
) -> dict[str, Profile]:
    """Return the profile likelihood of some parameters, of all by default.

    Parameters
    ----------
    result : of a fit
    names : estimated parameters
    level : share that the intervals cover
    folder : with the log of the fit: evaluations are kept there, so that profiles go
        on where they were stopped
    iterations : of every fit along the way
    progress : called after every parameter

    Raises
    ------
    UnknownNameError
        For a name that is not estimated.

    Examples
    --------
    >>> import mir21sim as ms
    >>> import numpy as np
    >>> import pandas as pd
    >>> model = ms.load("mir21_core", "HeLa")
    >>> times, doses = np.linspace(0, 4, 7), "TRAIL=50 ng/ml@0h"
    >>> run = ms.simulate(model, times=times, doses=doses, observe="CASP8_active")
    >>> curve = run["CASP8_active"].values * [1, 1.1, 0.9, 1, 1.1, 0.9, 1]
    >>> data = pd.DataFrame({"time": times, "CASP8_active": curve})
    >>> problem = ms.Problem(model, data, ["CASP8_active"], ["k_DISC"], doses=doses)
    >>> result = ms.fit(problem, starts=1, optimizer="scipy")
    >>> profile = ms.profiles(result, ["k_DISC"])["k_DISC"]
    >>> bool(profile.low < result.values["k_DISC"] < profile.high)
    True
    """
    problem = result.problem
    chosen = tuple(names or problem.names)
    for name in chosen:
        if name not in problem.names:
            raise UnknownNameError("estimated parameter", name, problem.names)
    log = None
    if folder is not None:
        log = EvaluationLog(
            Path(folder) / "evaluations.log",
            run_digest(result.objective),
            result.objective.n_free,
        )
    logged = LoggedObjective(result.objective, log)
    try:
        made = {}
        for k, name in enumerate(chosen):
            made[name] = _profile(logged, result, name, level, iterations)
            if progress:
                progress(k + 1, len(chosen), result.best.value)
        return made
    finally:
        if log is not None:
            log.close()


def _profile(
    logged: LoggedObjective, result: FitResult, name: str, level: float, iterations: int
) -> Profile:
    problem = result.problem
    k = problem.names.index(name)
    threshold = 0.5 * float(scipy.stats.chi2.ppf(level, 1))
    sides = [
        _side(logged, result, k, sign=sign, threshold=threshold, iterations=iterations)
        for sign in (-1.0, 1.0)
    ]
    below, above = sides
    points = [*reversed(below), (result.x, 0.0), *above]
    x = np.array([point[k] for point, _ in points])
    rise = np.array([value for _, value in points])
    lower, upper = problem.bounds
    low, open_low = _end(below, result, k, threshold, float(lower[k]))
    high, open_high = _end(above, result, k, threshold, float(upper[k]))
    scale = [problem.free[k].scale]
    return Profile(
        name,
        x,
        rise,
        np.array([point for point, _ in points]),
        float(natural(np.array([low]), scale)[0]),
        float(natural(np.array([high]), scale)[0]),
        open_low,
        open_high,
        level,
        scale[0],
    )


def _side(
    logged: LoggedObjective,
    result: FitResult,
    k: int,
    *,
    sign: float,
    threshold: float,
    iterations: int,
) -> list[tuple[FloatArray, float]]:
    """Return the points of one side, from the optimum outwards."""
    lower, upper = result.problem.bounds
    bound = float(lower[k] if sign < 0 else upper[k])
    sd = math.sqrt(max(float(result.covariance()[k, k]), 1e-16))
    step = min(0.5 * sd, 0.2 * float(upper[k] - lower[k]))
    x, rise = result.x, 0.0
    points: list[tuple[FloatArray, float]] = []
    while len(points) < MOST_POINTS and rise < threshold and x[k] != bound:
        value = x[k] + sign * step
        value = max(value, bound) if sign < 0 else min(value, bound)
        moved = np.array(x)
        moved[k] = value
        found, least, _ = minimize(logged, moved, iterations, fixed=k)
        new = least - result.best.value
        too_far = not math.isfinite(new) or new - rise > LONGEST * threshold
        if too_far and step > 1e-3 * sd:
            step *= 0.5
            continue
        if not math.isfinite(new):
            break
        points.append((found, new))
        if new - rise < SHORTEST * threshold:
            step *= 2.0
        x, rise = found, new
    return points


def _end(
    points: list[tuple[FloatArray, float]],
    result: FitResult,
    k: int,
    threshold: float,
    bound: float,
) -> tuple[float, bool]:
    """Return the end of an interval and whether it is open."""
    before = (float(result.x[k]), 0.0)
    for point, rise in points:
        here = (float(point[k]), rise)
        if rise >= threshold:
            # √rise is nearly a straight line.
            a, b = math.sqrt(max(before[1], 0.0)), math.sqrt(rise)
            share = (math.sqrt(threshold) - a) / (b - a) if b > a else 1.0
            return before[0] + share * (here[0] - before[0]), False
        before = here
    return (before[0] if points and before[0] != bound else bound), True
