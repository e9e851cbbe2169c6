"""Draws from the posterior: Laplace from the Fisher information, or MCMC by emcee.

Densities are over the parameters on their scales; a prior that is a density of the
linear value is turned by its factor dθ/dx.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special

from mir21sim._typing import FloatArray
from mir21sim.errors import InputError
from mir21sim.estimation.evaluations import EvaluationLog, LoggedObjective, run_digest
from mir21sim.estimation.fit import FitResult, Told
from mir21sim.estimation.objective import Objective
from mir21sim.simulation.ensemble import Ensemble

TRIES = 20
"""Draws tried for each draw within the bounds."""

SWEEPS = 5
"""Sweeps over all axes between two draws that are kept."""


def laplace(result: FitResult, n: int = 200, *, seed: int = 0) -> Ensemble:
    """Return draws from the normal approximation of the posterior at the optimum.

    The normal density is cut off at the bounds. Draws outside are drawn again; where
    nearly all are, the density is sampled along its own axes instead.

    Parameters
    ----------
    n : number of draws
    seed : of the draws

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
    >>> draws = ms.laplace(result, 50)
    >>> len(draws)
    50
    """
    _check_number(n)
    lower, upper = result.problem.bounds
    values, vectors = np.linalg.eigh(result.covariance())
    sd = np.sqrt(np.clip(values, 1e-30, None))
    random = np.random.default_rng(seed)
    x = result.x + (random.standard_normal((TRIES * n, len(sd))) * sd) @ vectors.T
    kept = x[((x >= lower) & (x <= upper)).all(axis=1)][:n]
    if len(kept) < n:
        kept = _cut_off(result, sd, vectors, n, random)
    return _ensemble(result, kept, "Laplace, cut off at the bounds", seed=seed)


def _cut_off(
    result: FitResult,
    sd: FloatArray,
    vectors: FloatArray,
    n: int,
    random: np.random.Generator,
) -> FloatArray:
    """Return draws of a normal density within a box, by Gibbs steps along its axes.

    Along an axis the others do not matter, so that each step is an exact draw from a
    normal density between the two bounds that the line meets.
    """
    lower, upper = result.problem.bounds
    x = np.clip(result.x, lower, upper)
    place = np.zeros(len(sd))  # on the axes
    kept = np.empty((n, len(x)))
    for draw in range(n):
        for _ in range(SWEEPS):
            for k, (width, axis) in enumerate(zip(sd, vectors.T, strict=True)):
                with np.errstate(divide="ignore", invalid="ignore"):
                    ends = np.sort([(lower - x) / axis, (upper - x) / axis], axis=0)
                low = place[k] + min(np.nanmax(ends[0]), 0.0)
                high = place[k] + max(np.nanmin(ends[1]), 0.0)
                a, b = scipy.special.ndtr(np.array([low, high]) / width)
                new = width * scipy.special.ndtri(a + random.random() * (b - a))
                new = float(np.clip(new, low, high)) if math.isfinite(new) else place[k]
                x = np.clip(x + (new - place[k]) * axis, lower, upper)
                place[k] = new
        kept[draw] = x
    return kept


def mcmc(
    result: FitResult,
    steps: int = 1000,
    *,
    walkers: int | None = None,
    burn: int | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    progress: Told | None = None,
) -> "Chains":
    """Return draws by the affine-invariant sampler of emcee.

    Parameters
    ----------
    steps : of every walker
    walkers : number of chains; by default twice the parameters and two
    burn : first steps to leave out; by default a third
    seed : of the walk
    folder : with the log of the fit: evaluations are kept there, and a run with the
        same arguments goes on where it was stopped

    Raises
    ------
    InputError
        Without the extra ``bayes``.

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
    >>> chains = ms.mcmc(result, 20, walkers=4)
    >>> len(chains.ensemble(10))
    10
    """
    try:
        import emcee
    except ImportError as error:
        raise InputError(
            'MCMC needs the extra `bayes` (pip install "mir21sim[bayes]").'
        ) from error
    _check_number(steps)
    n = len(result.x)
    count = walkers or 2 * n + 2
    log = None
    if folder is not None:
        log = EvaluationLog(
            Path(folder) / "evaluations.log", run_digest(result.objective), n
        )
    logged = LoggedObjective(result.objective, log)
    density = _Density(logged, result.objective)
    starts = _walkers(result, count, seed)
    sampler = emcee.EnsembleSampler(count, n, density)
    state = emcee.State(starts, random_state=np.random.RandomState(seed).get_state())
    try:
        for done, _ in enumerate(sampler.sample(state, iterations=steps), start=1):
            if progress:
                progress(done, steps, result.best.value)
    finally:
        if log is not None:
            log.close()
    first = steps // 3 if burn is None else burn
    return Chains(result, sampler.get_chain()[first:], seed)


class _Density:
    """Logarithm of the posterior density over the scaled parameters."""

    def __init__(self, logged: LoggedObjective, objective: Objective) -> None:
        self.logged, self.objective = logged, objective

    def __call__(self, x: FloatArray) -> float:
        lower, upper = self.logged.bounds
        if (x < lower).any() or (x > upper).any():
            return -math.inf
        found = self.logged(x, slopes=False)
        if not found.ok:
            return -math.inf
        return -found.value + self.objective.log_jacobian(x)[0]


def _walkers(result: FitResult, count: int, seed: int) -> FloatArray:
    """Return starts of the walkers around the optimum, within the bounds."""
    lower, upper = result.problem.bounds
    random = np.random.default_rng(seed)
    sd = np.sqrt(np.clip(np.diag(result.covariance()), 1e-12, None))
    width = np.minimum(sd, 0.1 * (upper - lower))
    x = result.x + width * random.standard_normal((count, len(result.x)))
    slack = 1e-6 * (upper - lower)
    return np.clip(x, lower + slack, upper - slack)


class Chains:
    """Walks of a sampler.

    Attributes
    ----------
    result : the fit that they started from
    x : float array, shape (n_step, n_walker, n_free), on the scales
    seed : of the walk
    """

    def __init__(self, result: FitResult, x: FloatArray, seed: int) -> None:
        self.result, self.x, self.seed = result, x, seed

    def ensemble(self, n: int = 200) -> Ensemble:
        """Return draws spread evenly over the walks."""
        _check_number(n)
        flat = self.x.reshape(-1, self.x.shape[2])
        chosen = np.linspace(0, len(flat) - 1, min(n, len(flat))).astype(int)
        return _ensemble(self.result, flat[chosen], "MCMC (emcee)", seed=self.seed)

    def inference_data(self) -> Any:
        """Return the walks as ArviZ InferenceData, on the linear scale."""
        import arviz

        problem = self.result.problem
        flat = self.x.reshape(-1, self.x.shape[2])
        linear = np.array([problem.natural(x) for x in flat]).reshape(self.x.shape)
        return arviz.from_dict(
            posterior={name: linear[:, :, k].T for k, name in enumerate(problem.names)}
        )


def _ensemble(result: FitResult, x: FloatArray, how: str, *, seed: int) -> Ensemble:
    problem = result.problem
    return Ensemble(
        problem.names,
        np.array([problem.natural(row) for row in x]),
        {
            "how": how,
            "seed": seed,
            "problem": problem.id,
            "problem_sha256": problem.digest(),
            "model": problem.model.id,
            "context": problem.model.context,
            "model_sha256": problem.model.digest,
            "objective": result.best.value,
            "gradient": result.gradient_way,
        },
    )


def _check_number(n: int) -> None:
    if n < 1:
        raise InputError(f"The number of draws must be 1 or more, got {n}.")
