"""The function that a fit minimises: minus log-likelihood and log-prior.

One call gives the value, its gradient and the Fisher information, all at one tolerance.
The argument ``x`` holds the estimated parameters on their scales.
"""

from dataclasses import dataclass, replace

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.errors import SolverStatus
from mir21sim.estimation.at_data import AtData
from mir21sim.estimation.bound_terms import BoundTerm
from mir21sim.estimation.engine import Engine
from mir21sim.estimation.likelihood import Fit, Likelihood
from mir21sim.estimation.problem import FitProblem
from mir21sim.estimation.runs import Runs


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The objective at one point.

    Attributes
    ----------
    value : minus the log-posterior, or infinity where a run failed
    gradient : float array, shape (n_free,), NaN where there is none
    hessian : float array, shape (n_free, n_free), Fisher information and curvature of
        the prior; None where it was not asked for
    reason : why there is no value; "" where there is one
    """

    value: float
    gradient: FloatArray | None
    hessian: FloatArray | None
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether there is a value."""
        return not self.reason


class Objective:
    """Minus log-likelihood and log-prior of a problem.

    Parameters
    ----------
    problem : FitProblem
    engine : how runs are integrated
    priors : with the priors of the parameters
    """

    def __init__(
        self, problem: FitProblem, engine: Engine, *, priors: bool = True
    ) -> None:
        self.problem, self.engine, self.priors = problem, engine, priors
        self.runs = Runs(problem, engine)
        self.likelihood = Likelihood(problem, self.runs)
        self.terms = [BoundTerm(term, problem, engine) for term in problem.terms]
        self.reverse = self.runs.reverse_is_cheaper
        self.n_calls = 0

    @property
    def n_free(self) -> int:
        """Number of estimated parameters."""
        return len(self.problem.free)

    def fit(self, x: FloatArray, *, slopes: bool = False) -> tuple[Fit, str]:
        """Return the likelihood of every row and why a run failed, "" for none."""
        theta = self.problem.natural(np.asarray(x, float))
        at = self.runs.at_data(theta, slopes=slopes)
        fit = self.likelihood.evaluate(at, theta, slopes=slopes)
        return fit, self.failure(at)

    def _fit_by_adjoint(self, theta: FloatArray) -> tuple[Fit, str]:
        """Return the likelihood with its gradient, and why a run failed."""
        at = self.runs.at_data(theta, slopes=True, reverse=True)
        fit, stored = self.likelihood.pull(at, theta)
        reason = self.failure(at)
        if reason or not np.isfinite(fit.nll).all():
            return fit, reason
        assert at.stored.slopes is not None
        assert fit.gradient is not None
        inner = np.einsum("rc,rcd->d", stored, at.stored.slopes)
        for kept in at.kept:
            inner = inner + kept.pulled(stored)
        gradient = fit.gradient.copy()
        gradient[self.runs.dynamic] += inner
        return replace(fit, gradient=gradient), reason

    def failure(self, at: AtData) -> str:
        """Return why a run failed, "" where none did."""
        failed = at.status != SolverStatus.OK
        if not failed.any():
            return ""
        row = int(np.flatnonzero(failed)[0])
        name = self.problem.experiments[self.problem.data.experiment[row]].id
        message = SolverStatus(int(at.status[row])).message
        return f"experiment `{name}`: {message}"

    def __call__(
        self, x: FloatArray, *, slopes: bool = True, hessian: bool = True
    ) -> Evaluation:
        """Return the objective at values on the scales of the parameters.

        Parameters
        ----------
        slopes : with the gradient
        hessian : with the Fisher information; without it the gradient may come from
            the adjoint, whichever is cheaper
        """
        self.n_calls += 1
        x = np.asarray(x, float)
        theta = self.problem.natural(x)
        if not np.isfinite(theta).all():
            name = self.problem.names[int(np.flatnonzero(~np.isfinite(theta))[0])]
            return self._failed(f"`{name}` is not a finite number", slopes=slopes)
        if slopes and not hessian and self.reverse:
            fit, reason = self._fit_by_adjoint(theta)
        else:
            fit, reason = self.fit(x, slopes=slopes)
        value = float(np.sum(fit.nll))
        if not reason and not np.isfinite(value):
            reason = self.no_likelihood(fit)
        if reason:
            return self._failed(reason, slopes=slopes)
        return self.with_priors(x, fit, value, slopes=slopes)

    def with_priors(
        self, x: FloatArray, fit: Fit, value: float, *, slopes: bool, terms: bool = True
    ) -> Evaluation:
        """Return the likelihood of the data with the other terms and the priors.

        Parameters
        ----------
        terms : False leaves the other terms out
        """
        prior, slope, bend = self.prior_terms(x)
        theta = self.problem.natural(x)
        used = self.terms if terms else []
        more = [term.contribution(theta) for term in used]
        value += sum(part.nll for part in more) - prior
        if not np.isfinite(value):
            return self._failed("a likelihood term has no value", slopes=slopes)
        if not slopes:
            return Evaluation(value, None, None)
        assert fit.gradient is not None
        per = self.problem.natural_slopes(x)
        linear = sum((part.gradient for part in more), fit.gradient)
        gradient = linear * per - slope
        if fit.fim is None:
            if not np.isfinite(gradient).all():
                return self._failed("the gradient is not a number", slopes=True)
            return Evaluation(value, gradient, None)
        information = sum((part.fim for part in more), fit.fim)
        hessian = information * np.outer(per, per) + np.diag(bend)
        if not (np.isfinite(gradient).all() and np.isfinite(hessian).all()):
            return self._failed("the gradient is not a number", slopes=True)
        return Evaluation(value, gradient, hessian)

    def no_likelihood(self, fit: Fit) -> str:
        """Return which row has no likelihood, and why."""
        row = int(np.flatnonzero(~np.isfinite(fit.nll))[0])
        observable = self.problem.observables[self.problem.data.observable[row]]
        text = (
            f"`{observable.id}` has no likelihood at data row {row + 1}: simulated "
            f"{fit.simulated[row]:g}, noise {fit.noise[row]:g}"
        )
        if observable.scale != "lin" and not fit.simulated[row] > 0:
            text += "; log-normal noise needs positive values (an offset, or additive)"
        return text

    def _failed(self, reason: str, *, slopes: bool) -> Evaluation:
        n = self.n_free
        if not slopes:
            return Evaluation(np.inf, None, None, reason)
        return Evaluation(np.inf, np.full(n, np.nan), np.full((n, n), np.nan), reason)

    def prior_terms(self, x: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return the log-prior, its derivatives by x, and their curvatures ≥ 0."""
        theta, per = self.problem.natural(x), self.problem.natural_slopes(x)
        total, slope, bend = 0.0, np.zeros(len(x)), np.zeros(len(x))
        if not self.priors:
            return total, slope, bend
        for k, parameter in enumerate(self.problem.free):
            if parameter.prior is None:
                continue
            value, first, second = parameter.prior.terms(float(theta[k]))
            total += value
            slope[k] = first * per[k]
            # d²θ/dx² of the logarithmic scales is θ' times ln of the base.
            base = {"lin": 0.0, "log": 1.0, "log10": np.log(10.0)}[parameter.scale]
            bend[k] = max(second * per[k] ** 2 - first * per[k] * base, 0.0)
        return total, slope, bend

    def log_jacobian(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Return ln |dθ/dx| and its derivatives, for densities over x."""
        per = self.problem.natural_slopes(x)
        base = {"lin": 0.0, "log": 1.0, "log10": float(np.log(10.0))}
        slope = np.array(
            [
                0.0 if p.prior is None or p.prior.on_scale else base[p.scale]
                for p in self.problem.free
            ]
        )
        return float(np.sum(np.log(np.abs(per))[slope != 0.0])), slope
