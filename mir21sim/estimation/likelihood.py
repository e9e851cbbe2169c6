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
from mir21sim.estimation.duals import Dual, evaluate
from mir21sim.estimation.problem import FitProblem, Observable
from mir21sim.estimation.runs import Runs
from mir21sim.estimation.starts import (
    Cells,
    Formulas,
    Values,
    by_row,
    formulas_of,
)
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
        self.problem, self.model, self.names_of = problem, runs.model, runs.names_of
        self.rows = [
            np.flatnonzero(problem.data.observable == o)
            for o in range(len(problem.observables))
        ]
        for observable, rows in zip(problem.observables, self.rows, strict=True):
            _check_measured(observable, problem, rows)
        data = problem.data
        self.overrides = self._placed("placeholders", data.overrides)
        self.noise_overrides = self._placed("noise_placeholders", data.noise_overrides)
        of_row = data.observable
        self.scale_of_row = np.array([o.scale for o in problem.observables])[of_row]
        laplace = np.array([o.family == "laplace" for o in problem.observables])
        self.laplace_row = laplace[of_row]
        self.h_prime = _log_inverse_slope(problem)

    def _placed(
        self, kind: str, given: tuple[tuple[ex.Expr, ...], ...]
    ) -> list[list[Formulas]]:
        """Return the values of all placeholders of every observable in its rows."""
        ids = {p.id for p in self.problem.parameters}
        made = []
        for observable, rows in zip(self.problem.observables, self.rows, strict=True):
            names = getattr(observable, kind)
            for row in rows:
                if len(given[row]) != len(names):
                    raise InputError(
                        f"Data row {int(row) + 1} gives {len(given[row])} values for "
                        f"the {len(names)} placeholders of `{observable.id}`."
                    )
            made.append(
                [
                    formulas_of(
                        [given[row][k] for row in rows],
                        self.problem,
                        lambda name: name in ids and not self.model.has(name),
                    )
                    for k in range(len(names))
                ]
            )
        return made

    @one_blas_thread()
    def evaluate(self, at: AtData, theta: FloatArray, *, slopes: bool) -> Fit:
        """Return the likelihood of the data at linear values of the parameters."""
        values = Values.of(self.problem, theta, slopes=slopes)
        n, m = len(self.problem.data), len(theta)
        y, sigma = np.full(n, np.nan), np.full(n, np.nan)
        y_slope = np.zeros((n, m)) if slopes else None
        sigma_slope = np.zeros((n, m)) if slopes else None
        for o, rows in enumerate(self.rows):
            if not len(rows):
                continue
            simulated, noise = self._observed(o, at, values)
            y[rows], sigma[rows] = simulated.value, noise.value
            if y_slope is not None and sigma_slope is not None:
                y_slope[rows], sigma_slope[rows] = simulated.dense(m), noise.dense(m)
        return self._fit(y, sigma, y_slope, sigma_slope)

    def _observed(self, o: int, at: AtData, values: Values) -> tuple[Dual, Dual]:
        """Return the simulated values and the noise of one observable."""
        observable, rows = self.problem.observables[o], self.rows[o]
        time = self.problem.data.time[rows]
        stored = self.names_of[o]
        cells = Cells(at.y.at(rows, stored), at.p.at(rows, stored))
        extra: dict[str, Dual] = {}
        lookup = self.model.lookup(cells, values, time, extra)
        for names, given in (
            (observable.placeholders, self.overrides[o]),
            (observable.noise_placeholders, self.noise_overrides[o]),
        ):
            for k, name in enumerate(names):
                extra[name] = by_row(given[k], lookup, None, time)
        simulated = evaluate(observable.formula, lookup, time)
        extra[observable.id] = simulated
        noise = evaluate(observable.noise, lookup, time)
        return simulated, noise

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
        y, sigma, residual = fit.simulated, fit.noise, fit.residual
        scale, laplace = self.scale_of_row, self.laplace_row
        factor = np.where(scale == "lin", 1.0, 1.0 / y)
        factor = np.where(scale == "log10", factor / LN10, factor)
        star = y_slope * factor[:, np.newaxis] / sigma[:, np.newaxis]
        spread = sigma_slope / sigma[:, np.newaxis]
        push = np.where(laplace, np.sign(residual), residual)
        by_sigma = np.where(laplace, 1.0 - np.abs(residual), 1.0 - residual**2)
        gradient = push @ star + by_sigma @ spread
        weight = np.where(laplace, 1.0, 2.0)[:, np.newaxis]
        fim = star.T @ star + (weight * spread).T @ spread
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
