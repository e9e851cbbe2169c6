"""Multistart fits: pyPESTO and fides with exact gradients, or SciPy without them.

All starts are drawn from one seed. With a log on disk the fit can be stopped at any
moment and resumed: the same evaluations give the same path.
"""

import html
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import scipy.optimize
import scipy.stats.qmc

from mir21sim._typing import FloatArray
from mir21sim.errors import InputError
from mir21sim.estimation.engine import DEFAULT_RTOL, Engine
from mir21sim.estimation.evaluations import (
    EvaluationLog,
    LoggedObjective,
    Searched,
    run_digest,
)
from mir21sim.estimation.objective import Objective
from mir21sim.estimation.optimizers import chosen_optimizer, minimize
from mir21sim.estimation.problem import FitProblem
from mir21sim.estimation.projection import ProjectedObjective, projected
from mir21sim.estimation.together import SharedEngine, run_together

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


MOST_ITERATIONS = 300

NEAR = 1e-3
"""Starts whose objective is within this of the best have found the same optimum."""

Told: TypeAlias = Callable[[int, int, float], None]
"""Called with (starts finished, starts in all, best objective so far)."""


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """One start of a fit.

    Attributes
    ----------
    first, x : float arrays, shape (n_free,), where it began and ended, scaled
    value : minus the log-posterior at the end; infinity for a start that failed
    n_evaluations, n_failed : evaluations in all, and those without a value
    message : why it ended
    """

    first: FloatArray
    x: FloatArray
    value: float
    n_evaluations: int
    n_failed: int
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class FitResult:
    """The outcome of a fit.

    Attributes
    ----------
    problem : FitProblem
    objective : the objective that was minimised
    starts : in ascending order of the objective
    gradient : float array, shape (n_free,), at the best point
    hessian : float array, shape (n_free, n_free), Fisher information and priors there
    failures : reason → number of evaluations that failed for it
    optimizer, gradient_way : how it was done
    n_new, n_replayed : evaluations computed, and read from the log
    interrupted : whether it was stopped before all starts had ended
    seconds : wall time
    """

    problem: FitProblem
    objective: Objective
    starts: tuple[Start, ...]
    gradient: FloatArray
    hessian: FloatArray
    failures: dict[str, int] = field(default_factory=dict)
    optimizer: str = "fides"
    gradient_way: str = ""
    n_new: int = 0
    n_replayed: int = 0
    interrupted: bool = False
    seconds: float = 0.0

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        """Return the outcome and the table of parameters that notebooks show."""
        return f"<pre>{html.escape(self.summary())}</pre>{self.table().to_html()}"

    @property
    def best(self) -> Start:
        """The start with the least objective."""
        return self.starts[0]

    @property
    def x(self) -> FloatArray:
        """The best point, on the scales of the parameters."""
        return self.best.x

    @property
    def values(self) -> dict[str, float]:
        """The best values, on the linear scale, by id."""
        linear = self.problem.natural(self.x)
        return dict(zip(self.problem.names, map(float, linear), strict=True))

    @property
    def n_same(self) -> int:
        """Number of starts that found the best optimum."""
        return sum(s.value - self.best.value < NEAR for s in self.starts)

    def summary(self) -> str:
        """Return the outcome in lines of text."""
        from mir21sim.estimation import fit_report

        return fit_report.summary(self)

    def table(self) -> "pd.DataFrame":
        """Return one row for each estimated parameter: value, width, bounds."""
        from mir21sim.estimation import fit_report

        return fit_report.parameter_table(self)

    def plot_waterfall(self) -> "Figure":
        """Draw the objective of every start, in ascending order."""
        from mir21sim.estimation import fit_plots

        return fit_plots.plot_waterfall(self)

    def plot_parameters(self) -> "Figure":
        """Draw the values of all starts within their bounds."""
        from mir21sim.estimation import fit_plots

        return fit_plots.plot_parameters(self)

    def plot_fit(self) -> "Figure":
        """Draw the fitted curves over the data."""
        from mir21sim.estimation import fit_plots

        return fit_plots.plot_fit(self)

    def covariance(self) -> FloatArray:
        """Return the covariance of the parameters on their scales, by Laplace.

        Directions that neither data nor priors hold have an infinite variance; here
        they have one far wider than the bounds.
        """
        lower, upper = self.problem.bounds
        width = np.where(np.isfinite(upper - lower), upper - lower, 1e3)
        least = np.diag(12.0 / width**2)
        return np.asarray(np.linalg.inv(self.hessian + least * 1e-3), float)


def fit(
    problem: FitProblem,
    starts: int = 20,
    *,
    seed: int = 0,
    folder: str | Path | None = None,
    optimizer: str | None = None,
    rtol: float = DEFAULT_RTOL,
    iterations: int = MOST_ITERATIONS,
    n_jobs: int = 1,
    analytic: bool = False,
    progress: Told | None = None,
) -> FitResult:
    """Find the parameters under which the data are most likely.

    The first start is at the nominal values, the others are drawn from the priors, or
    from the whole range of each parameter on its scale.

    Parameters
    ----------
    starts : number of starts
    seed : of the draws
    folder : where the evaluations are kept; a fit with the same arguments goes on there
    optimizer : ``fides`` (with the extra ``fit``) or ``scipy``; None: the first of them
        that is installed
    rtol : relative tolerance of runs and tangents
    iterations : steps that one start may take
    n_jobs : threads over runs
    analytic : find the best scales, offsets and noise (every parameter that no run
        depends on) anew at each evaluation, so that the optimiser sees the others
        only; the optimum is the same
    progress : called after every start

    Raises
    ------
    InputError
        For a start outside the bounds, a parameter without influence, no start with a
        value, or a folder that belongs to another problem.

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
    >>> ratio = result.values["k_DISC"] / model.parameters.loc["k_DISC", "value"]
    >>> bool(0.9 < ratio < 1.1)
    True
    """
    if starts < 1:
        raise InputError(f"`starts` must be 1 or more, got {starts}.")
    chosen = chosen_optimizer(optimizer)
    engine = SharedEngine.sharing(Engine.of(problem.model, rtol=rtol, n_jobs=n_jobs))
    objective = Objective(problem, engine)
    check_start(problem)
    searched: Searched = objective
    if analytic:
        searched = projected(objective) or objective
    log = None
    if folder is not None:
        # Profiles and samplers of the same folder need the objective of everything.
        name = "evaluations" if searched is objective else "evaluations-analytic"
        path = Path(folder) / f"{name}.log"
        log = EvaluationLog(path, run_digest(searched), searched.n_free)
    logged = LoggedObjective(searched, log)
    began = time.monotonic()
    try:
        points = start_points(searched.problem, starts, seed)
        way = _Way(chosen, iterations, engine if engine.shares else None)
        done, interrupted = _all_starts(logged, points, way, progress)
        found = _Done(tuple(done), chosen, interrupted, time.monotonic() - began)
        return _result(objective, logged, found)
    finally:
        if log is not None:
            log.close()


def check_start(problem: FitProblem) -> None:
    """Raise where the nominal values cannot be the first start."""
    if not problem.free:
        raise InputError(f"{problem.id}: no parameter is estimated.")
    for parameter in problem.free:
        if not parameter.lower < parameter.upper:
            raise InputError(
                f"The bounds of `{parameter.id}` must ascend, got "
                f"{parameter.lower:g} and {parameter.upper:g}."
            )
        if parameter.scale != "lin" and not parameter.lower > 0:
            raise InputError(
                f"`{parameter.id}` is on a {parameter.scale} scale, so its lower bound "
                f"must be positive, got {parameter.lower:g}."
            )
        slack = 1e-9 * abs(parameter.upper - parameter.lower)
        if not parameter.lower - slack <= parameter.value <= parameter.upper + slack:
            raise InputError(
                f"`{parameter.id}` starts at {parameter.value:g}, outside its bounds "
                f"{parameter.lower:g} to {parameter.upper:g}: widen them or give "
                "another start."
            )


def start_points(problem: FitProblem, starts: int, seed: int) -> FloatArray:
    """Return the starts on the scales of the parameters, shape (starts, n_free)."""
    lower, upper = problem.bounds
    first = np.clip(problem.nominal, lower, upper)
    n = len(first)
    cube = scipy.stats.qmc.LatinHypercube(n, rng=np.random.default_rng(seed))
    draws = cube.random(max(starts - 1, 0))
    points = [first]
    for draw in draws:
        x = np.empty(n)
        for k, parameter in enumerate(problem.free):
            if parameter.prior is not None and parameter.prior.family != "uniform":
                value = parameter.prior.draw(float(draw[k]))
                x[k] = float(_scaled(value, parameter.scale))
            else:
                x[k] = _between(float(draw[k]), lower[k], upper[k], first[k])
        points.append(np.clip(x, lower, upper))
    return np.array(points)


def _scaled(value: float, scale: str) -> float:
    from mir21sim.estimation.problem import scaled

    with np.errstate(divide="ignore"):
        return float(scaled([value], [scale])[0])


def _between(share: float, low: float, high: float, middle: float) -> float:
    """Return a point of a range; one without an end reaches 10 units from the start."""
    low = low if math.isfinite(low) else middle - 10.0
    high = high if math.isfinite(high) else middle + 10.0
    return low + share * (high - low)


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """How starts are minimised: optimiser, steps at most, and where their runs meet."""

    optimizer: str
    iterations: int
    shared: SharedEngine | None


def _all_starts(
    logged: LoggedObjective, points: FloatArray, way: _Way, progress: Told | None
) -> tuple[list[Start], bool]:
    """Run every start; return those that ended and whether the fit was interrupted."""
    try:
        _check_influence(logged, points[:2])
    except KeyboardInterrupt:
        return [], True
    own = [LoggedObjective(logged.objective, logged.log) for _ in points]
    found: dict[int, Start] = {}

    def job(k: int) -> None:
        x, value, message = minimize(
            own[k], points[k], way.iterations, optimizer=way.optimizer
        )
        calls, failed = own[k].n_new + own[k].n_replayed, sum(own[k].failures.values())
        found[k] = Start(points[k], x, value, calls, failed, message)

    def ended(_: int) -> None:
        if progress:
            best = min(start.value for start in found.values())
            progress(len(found), len(points), best)

    interrupted = False
    try:
        jobs = [partial(job, k) for k in range(len(points))]
        if way.shared is None or len(points) == 1:
            for k, work in enumerate(jobs):
                work()
                ended(k)
        else:
            run_together(way.shared.meeting, jobs, ended)
    except KeyboardInterrupt:
        interrupted = True
    for one in own:
        logged.count(one)
    return [found[k] for k in sorted(found)], interrupted


def _check_influence(logged: LoggedObjective, points: FloatArray) -> None:
    """Raise for an estimated parameter that nothing measured depends on.

    Its information is exactly zero at all points that have a value.
    """
    names = logged.objective.problem.names
    information = np.zeros(len(names))
    n_good = 0
    for x in points:
        found = logged(x)
        if found.ok and found.hessian is not None:
            n_good += 1
            information += np.abs(np.diag(found.hessian))
    without = [n for n, h in zip(names, information, strict=True) if h == 0]
    if n_good and without:
        raise InputError(
            f"Nothing that is measured depends on `{without[0]}`"
            + (f" (nor on {len(without) - 1} others)" if len(without) > 1 else "")
            + ": leave it out of the estimated parameters, or give it a prior."
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Done:
    """The starts that ended, and how."""

    starts: tuple[Start, ...]
    optimizer: str
    interrupted: bool
    seconds: float


def _result(objective: Objective, logged: LoggedObjective, done: _Done) -> FitResult:
    """Return the result of the starts that ended, with all estimated parameters."""
    if not done.starts:
        raise KeyboardInterrupt
    ordered = sorted(done.starts, key=lambda start: start.value)
    best = ordered[0]
    if not math.isfinite(best.value):
        reason = max(logged.failures, key=lambda r: logged.failures[r], default="")
        raise InputError(
            f"{objective.problem.id}: none of {len(ordered)} starts has a likelihood"
            + (f" ({reason})." if reason else ".")
        )
    searched = logged.objective
    if isinstance(searched, ProjectedObjective):
        ordered = [_completed(start, searched) for start in ordered]
        found = objective(ordered[0].x)
    else:
        found = logged(best.x)
    assert found.gradient is not None
    assert found.hessian is not None
    return FitResult(
        problem=objective.problem,
        objective=objective,
        starts=tuple(ordered),
        gradient=found.gradient,
        hessian=found.hessian,
        failures=dict(logged.failures),
        optimizer=done.optimizer,
        gradient_way=objective.engine.gradient_way,
        n_new=logged.n_new,
        n_replayed=logged.n_replayed,
        interrupted=done.interrupted,
        seconds=done.seconds,
    )


def _completed(start: Start, searched: ProjectedObjective) -> Start:
    """Return a start with the scales, offsets and noise that were projected out."""
    return replace(
        start, first=searched.completed(start.first), x=searched.completed(start.x)
    )
