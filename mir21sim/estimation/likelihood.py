"""Log-likelihood of measured values, with derivatives and Fisher information.

With y the simulated value, m the measured one, σ the noise and h the scale of the
observable (h = identity, ln or log10), the residual is r = (h(y) − h(m))/σ and

* normal:  −ln L = ½ ln(2π σ²) + ½ r² + ln(1/h'(m)),
* Laplace: −ln L = ln(2σ) + |r| + ln(1/h'(m)),

where 1/h'(m) is 1, m or m·ln 10. The Fisher information of one row is
(∇y* ∇y*ᵀ + c ∇σ ∇σᵀ)/σ² with y* = h(y) and c = 2 (normal) or 1 (Laplace).
"""

from dataclasses import dataclass, replace

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.errors import InputError
from mir21sim.estimation.at_data import AtData
from mir21sim.estimation.problem import FitProblem, Observable
from mir21sim.estimation.row_formulas import Observed, RowFormulas, Weights
from mir21sim.estimation.runs import Runs
from mir21sim.model import expressions as ex
from mir21sim.solvers.blas_threads import one_blas_thread

LN10 = float(np.log(10.0))


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """How well one set of parameters describes the data.

    Attributes
    ----------
    simulated, noise : float arrays, shape (n_row,)
    residual : float array, shape (n_row,), on the scale of the observable over noise
    nll : float array, shape (n_row,), minus the log-likelihood of each row
    simulated_slope, noise_slope : float arrays, shape (n_row, n_free), or None
    gradient : float array, shape (n_free,), of the sum of ``nll``, by linear values
    fim : float array, shape (n_free, n_free), Fisher information, by linear values
    """

    simulated: FloatArray
    noise: FloatArray
    residual: FloatArray
    nll: FloatArray
    simulated_slope: FloatArray | None = None
    noise_slope: FloatArray | None = None
    gradient: FloatArray | None = None
    fim: FloatArray | None = None

    @property
    def chi2(self) -> float:
        """Sum of the squared residuals."""
        return float(np.sum(self.residual**2))

    @property
    def llh(self) -> float:
        """Log-likelihood of all rows."""
        return -float(np.sum(self.nll))


class Likelihood:
    """The noise model of a problem: prepared once, evaluated at many values."""

    def __init__(self, problem: FitProblem, runs: Runs) -> None:
        self.problem = problem
        for o, observable in enumerate(problem.observables):
            rows = np.flatnonzero(problem.data.observable == o)
            _check_measured(observable, problem, rows)
        data = problem.data
        self._check_placed()
        self.formulas = RowFormulas(problem, runs.model, runs.columns)
        of_row = data.observable
        self.scale_of_row = np.array([o.scale for o in problem.observables])[of_row]
        laplace = np.array([o.family == "laplace" for o in problem.observables])
        self.laplace_row = laplace[of_row]
        self.h_prime = _log_inverse_slope(problem)

    def _check_placed(self) -> None:
        """Raise for a data row with too many or too few values for placeholders."""
        data = self.problem.data
        for row, o in enumerate(data.observable):
            observable = self.problem.observables[o]
            for names, given in (
                (observable.placeholders, data.overrides[row]),
                (observable.noise_placeholders, data.noise_overrides[row]),
            ):
                if len(given) != len(names):
                    raise InputError(
                        f"Data row {row + 1} gives {len(given)} values for the "
                        f"{len(names)} placeholders of `{observable.id}`."
                    )

    @one_blas_thread()
    def evaluate(self, at: AtData, theta: FloatArray, *, slopes: bool) -> Fit:
        """Return the likelihood of the data at linear values of the parameters."""
        seen = self.formulas.evaluate(at.stored, theta, slopes=slopes)
        return self._fit(seen.value, seen.noise, seen.value_slope, seen.noise_slope)

    @one_blas_thread()
    def pull(self, at: AtData, theta: FloatArray) -> tuple[Fit, FloatArray]:
        """Return the likelihood of the data with the weights of an adjoint.

        Returns
        -------
        fit : its ``gradient`` has the derivatives by parameters in the formulas of
            observables and noise alone
        stored : float array, shape (n_row, n_column), derivatives of Σ ``nll`` by the
            quantities of the model at each row
        """
        seen, direct, stored = self.formulas.pull(at.stored, theta, self._weights)
        fit = self._fit(seen.value, seen.noise, None, None)
        return replace(fit, gradient=direct), stored

    def _weights(self, seen: Observed) -> Weights:
        """Return the derivatives of minus the log-likelihood by value and noise."""
        fit = self._fit(seen.value, seen.noise, None, None)
        with np.errstate(all="ignore"):
            push, by_sigma = self._pushes(fit.residual)
            return push * self._on_scale_slope(fit) / fit.noise, by_sigma / fit.noise

    def _pushes(self, residual: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return d nll by the scaled value and by ln σ, each times σ and 1."""
        laplace = self.laplace_row
        push = np.where(laplace, np.sign(residual), residual)
        return push, np.where(laplace, 1.0 - np.abs(residual), 1.0 - residual**2)

    def _on_scale_slope(self, fit: Fit) -> FloatArray:
        """Return the derivative of the scale of each row at its simulated value."""
        scale, y = self.scale_of_row, fit.simulated
        factor = np.where(scale == "lin", 1.0, 1.0 / y)
        return np.where(scale == "log10", factor / LN10, factor)

    def _fit(
        self,
        y: FloatArray,
        sigma: FloatArray,
        y_slope: FloatArray | None,
        sigma_slope: FloatArray | None,
    ) -> Fit:
        problem = self.problem
        scale, laplace = self.scale_of_row, self.laplace_row
        with np.errstate(all="ignore"):
            moved = _on_scale(y, scale) - _on_scale(problem.data.value, scale)
            residual = moved / sigma
            normal = 0.5 * np.log(2 * np.pi * sigma**2) + 0.5 * residual**2
            double = np.log(2 * sigma) + np.abs(residual)
            nll = np.where(laplace, double, normal) + self.h_prime
            nll = np.where(sigma > 0.0, nll, np.nan)
        if y_slope is None or sigma_slope is None:
            return Fit(y, sigma, residual, nll)
        with np.errstate(all="ignore"):
            return self._with_slopes(Fit(y, sigma, residual, nll), y_slope, sigma_slope)

    def _with_slopes(
        self, fit: Fit, y_slope: FloatArray, sigma_slope: FloatArray
    ) -> Fit:
        """Return a fit with its gradient and Fisher information."""
        sigma, laplace = fit.noise, self.laplace_row
        star = y_slope * (self._on_scale_slope(fit) / sigma)[:, np.newaxis]
        spread = sigma_slope * (1.0 / sigma)[:, np.newaxis]
        push, by_sigma = self._pushes(fit.residual)
        gradient = push @ star + by_sigma @ spread
        spread *= np.sqrt(np.where(laplace, 1.0, 2.0))[:, np.newaxis]
        fim = star.T @ star + spread.T @ spread
        return replace(
            fit,
            simulated_slope=y_slope,
            noise_slope=sigma_slope,
            gradient=gradient,
            fim=fim,
        )


def _on_scale(values: FloatArray, scale: np.ndarray) -> FloatArray:
    made = np.where(scale == "lin", values, np.log(values))
    return np.where(scale == "log10", made / LN10, made)


def _log_inverse_slope(problem: FitProblem) -> FloatArray:
    """Return ln(1/h'(m)) of every row."""
    scale = np.array([o.scale for o in problem.observables])[problem.data.observable]
    with np.errstate(all="ignore"):
        made = np.where(scale == "lin", 0.0, np.log(problem.data.value))
    return np.where(scale == "log10", made + np.log(LN10), made)


def _check_measured(
    observable: Observable, problem: FitProblem, rows: IntArray
) -> None:
    """Raise for measured values that the noise model cannot have."""
    values = problem.data.value[rows]
    if len(rows) and not np.isfinite(values).any():
        raise InputError(
            f"All measured values of `{observable.id}` are NaN: leave it out."
        )
    if not np.isfinite(values).all():
        row = int(rows[~np.isfinite(values)][0])
        raise InputError(
            f"Data row {row + 1} of `{observable.id}` is not a number: leave the row "
            "out."
        )
    if observable.scale != "lin" and (values <= 0).any():
        row = int(rows[values <= 0][0])
        raise InputError(
            f"Data row {row + 1} of `{observable.id}` is "
            f"{problem.data.value[row]:g}, but its noise is {observable.scale}-scaled, "
            "which needs positive values."
        )
    if isinstance(observable.noise, ex.Number) and not observable.noise.value > 0:
        raise InputError(
            f"The noise of `{observable.id}` is {observable.noise.value:g}; it must be "
            "positive."
        )
