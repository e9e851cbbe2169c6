"""An objective from which scales, offsets and noise are projected out.

The runs do not depend on some estimated parameters c: factors and offsets of data
sets, standard deviations. For every value of the others θ the best c is found anew,

    F(θ) = min_c f(θ, c),

which costs no run. At the minimum ∂f/∂c = 0, so ∇F = ∂f/∂θ (the envelope theorem), and
the Fisher information is the Schur complement H_θθ − H_θc H_cc⁻¹ H_cθ. With normal
noise c has a closed form; here Fisher scoring finds it for every noise model.

References
----------
Golub GH, Pereyra V 1973, SIAM J Numer Anal 10:413 (variable projection); Schmiester L
et al. 2020, Bioinformatics 36:594 (scales, offsets and noise of relative data)
"""

from dataclasses import dataclass, replace

import numpy as np

from mir21sim._typing import BoolArray, FloatArray, IntArray
from mir21sim.estimation.at_data import AtData
from mir21sim.estimation.engine import Engine
from mir21sim.estimation.likelihood import Fit
from mir21sim.estimation.objective import Evaluation, Objective
from mir21sim.estimation.problem import FitProblem

ROUNDS = 200
"""Steps of Fisher scoring at most."""

LONGEST, SHORTEST = 2.0, 1e-12
"""Longest and shortest step, in units of the scales (decades, on ``log10``)."""

LEAST = 1e-14
"""Least eigenvalue of the information over the largest."""

DAMPINGS = 40
"""Halvings of the damping that keeps a step within its radius."""

CLOSE = 1e-13
"""Decrease that a step promises, over the size of the objective, at which c is found:
the gradient by θ is then wrong by its square root at most."""


class ProjectedObjective:
    """Minus the log-posterior, minimised over all parameters that no run depends on.

    Parameters
    ----------
    whole : the objective of all estimated parameters

    Attributes
    ----------
    problem : the problem with the parameters left; the others count as fixed
    outer, inner : int arrays, places of the parameters among those of `whole`
    """

    def __init__(self, whole: Objective) -> None:
        self.whole = whole
        self.outer, self.inner = _parts(whole)
        names = {whole.problem.names[k] for k in self.inner}
        self.problem: FitProblem = replace(
            whole.problem,
            parameters=tuple(
                replace(p, estimated=False) if p.id in names else p
                for p in whole.problem.parameters
            ),
        )
        lower, upper = whole.problem.bounds
        self.lower, self.upper = lower[self.inner], upper[self.inner]
        self.start = np.clip(whole.problem.nominal[self.inner], self.lower, self.upper)
        self.n_calls = 0

    @property
    def engine(self) -> Engine:
        """How runs are integrated."""
        return self.whole.engine

    @property
    def priors(self) -> bool:
        """Whether the priors of the parameters count."""
        return self.whole.priors

    @property
    def n_free(self) -> int:
        """Number of parameters that are left."""
        return len(self.outer)

    def __call__(
        self, x: FloatArray, *, slopes: bool = True, hessian: bool = True
    ) -> Evaluation:
        """Return the least objective at values of the outer parameters."""
        self.n_calls += 1
        found = self._found(np.asarray(x, float), slopes=slopes)
        if isinstance(found, str):
            return self._failed(found, slopes=slopes)
        inner, at, whole = found.x, found.at, self.full(x, found.x)
        theta = self.whole.problem.natural(whole)
        fit = self.whole.likelihood.evaluate(at, theta, slopes=slopes)
        made = self.whole.with_priors(whole, fit, float(np.sum(fit.nll)), slopes=slopes)
        if made.gradient is None or made.hessian is None or not made.ok:
            return made if not slopes else self._failed(made.reason, slopes=True)
        if not hessian:
            return Evaluation(made.value, made.gradient[self.outer], None)
        free = self._free(inner, made.gradient[self.inner])
        moved = self.inner[free]
        outer, both = self.outer, np.ix_(self.outer, moved)
        information = made.hessian[np.ix_(outer, outer)].copy()
        if len(moved):
            block = made.hessian[np.ix_(moved, moved)]
            across = made.hessian[both]
            information -= across @ np.linalg.pinv(block) @ across.T
        return Evaluation(made.value, made.gradient[outer], information)

    def full(self, x: FloatArray, inner: FloatArray) -> FloatArray:
        """Return all estimated parameters of the whole problem on their scales."""
        whole = np.empty(len(self.outer) + len(self.inner))
        whole[self.outer], whole[self.inner] = x, inner
        return whole

    def completed(self, x: FloatArray) -> FloatArray:
        """Return all parameters at the best values of those projected out."""
        found = self._found(np.asarray(x, float), slopes=False)
        return self.full(x, self.start if isinstance(found, str) else found.x)

    def _found(self, x: FloatArray, *, slopes: bool) -> "_Found | str":
        """Return the best inner parameters and the runs; why there are none."""
        whole = self.full(x, self.start)
        theta = self.whole.problem.natural(whole)
        if not np.isfinite(theta).all():
            name = self.whole.problem.names[int(np.flatnonzero(~np.isfinite(theta))[0])]
            return f"`{name}` is not a finite number"
        at = self.whole.runs.at_data(theta, slopes=slopes)
        reason = self.whole.failure(at)
        if reason:
            return reason
        inner = self._best(x, replace(at, stored=at.stored.plain()))
        return inner if isinstance(inner, str) else _Found(inner, at)

    def _best(self, x: FloatArray, at: AtData) -> FloatArray | str:
        """Return the best inner parameters for some runs, by Fisher scoring."""
        inner = self.start.copy()
        here = self._at(x, inner, at)
        if not here.ok:
            return here.reason
        radius = LONGEST
        for _ in range(ROUNDS):
            assert here.gradient is not None
            assert here.hessian is not None
            model = _Quadratic.of(
                here.gradient, here.hessian, self._free(inner, here.gradient)
            )
            if model.promised <= CLOSE * max(1.0, abs(here.value)):
                return inner
            better = None
            while radius > SHORTEST:
                trial = np.clip(inner + model.step(radius), self.lower, self.upper)
                there = self._at(x, trial, at)
                if there.ok and there.value < here.value:
                    better = there
                    break
                radius /= 4.0
            if better is None:  # rounding: nothing nearby is better
                return inner
            inner, here, radius = trial, better, min(2.0 * radius, LONGEST)
        return "no best scales, offsets and noise were found in 200 steps"

    def _at(self, x: FloatArray, inner: FloatArray, at: AtData) -> Evaluation:
        """Return the objective of given runs, with derivatives by inner parameters."""
        whole = self.full(x, inner)
        theta = self.whole.problem.natural(whole)
        fit: Fit = self.whole.likelihood.evaluate(at, theta, slopes=True)
        value = float(np.sum(fit.nll))
        if not np.isfinite(value):
            return Evaluation(np.inf, None, None, self.whole.no_likelihood(fit))
        made = self.whole.with_priors(whole, fit, value, slopes=True, terms=False)
        if made.gradient is None or made.hessian is None or not made.ok:
            return made
        kept = np.ix_(self.inner, self.inner)
        return Evaluation(made.value, made.gradient[self.inner], made.hessian[kept])

    def _free(self, inner: FloatArray, gradient: FloatArray) -> BoolArray:
        """Return the parameters that no bound holds."""
        down = (inner <= self.lower) & (gradient >= 0.0)
        up = (inner >= self.upper) & (gradient <= 0.0)
        return ~(down | up)

    def _failed(self, reason: str, *, slopes: bool) -> Evaluation:
        if not slopes:
            return Evaluation(np.inf, None, None, reason)
        n = self.n_free
        return Evaluation(np.inf, np.full(n, np.nan), np.full((n, n), np.nan), reason)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """The best inner parameters, and the quantities of the runs."""

    x: FloatArray
    at: AtData


@dataclass(frozen=True, slots=True, eq=False)
class _Quadratic:
    """The objective near a point, by its gradient and its Fisher information.

    Attributes
    ----------
    free : bool array, shape (n_inner,), the parameters that no bound holds
    values, vectors : eigenvalues ≥ 0 of the information of these, and eigenvectors
    slope : gradient along the eigenvectors
    promised : decrease of the full step
    """

    free: BoolArray
    values: FloatArray
    vectors: FloatArray
    slope: FloatArray
    promised: float

    @classmethod
    def of(
        cls, gradient: FloatArray, hessian: FloatArray, free: BoolArray
    ) -> "_Quadratic":
        """Return the quadratic in the free parameters."""
        values, vectors = np.linalg.eigh(hessian[np.ix_(free, free)])
        least = LEAST * values.max(initial=1e-300)
        values = np.maximum(values, least)
        slope = vectors.T @ gradient[free]
        return cls(free, values, vectors, slope, float(np.sum(slope**2 / values)))

    def step(self, radius: float) -> FloatArray:
        """Return the best step whose largest change is no longer than a radius.

        Of (H + λ) s = −g with the least λ ≥ 0 that is enough: directions without
        information are cut, the others are not.
        """
        whole = np.zeros(len(self.free))
        low, high = 0.0, 0.0
        made = self._damped(0.0)
        if np.abs(made).max(initial=0.0) > radius:
            high = float(np.linalg.norm(self.slope)) / radius
            for _ in range(DAMPINGS):
                middle = 0.5 * (low + high)
                if np.abs(self._damped(middle)).max() > radius:
                    low = middle
                else:
                    high = middle
            made = self._damped(high)
        whole[self.free] = made
        return whole

    def _damped(self, damping: float) -> FloatArray:
        found: FloatArray = -self.vectors @ (self.slope / (self.values + damping))
        return found


def _parts(whole: Objective) -> tuple[IntArray, IntArray]:
    """Return the parameters that runs depend on, and the others."""
    outer = set(whole.runs.dynamic.tolist())
    for term in whole.terms:
        outer |= set(term.runs.dynamic.tolist())
    n = len(whole.problem.free)
    chosen = np.array(sorted(outer), np.int64)
    return chosen, np.setdiff1d(np.arange(n), chosen)


def projected(objective: Objective) -> ProjectedObjective | None:
    """Return the projected objective; None where no parameter can be projected out."""
    made = ProjectedObjective(objective)
    return made if len(made.inner) and len(made.outer) else None
