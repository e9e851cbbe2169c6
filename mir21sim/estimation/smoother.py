"""Draws from a posterior by an ensemble smoother, for predictions without derivatives.

Ensemble smoother with multiple data assimilation (Emerick and Reynolds 2013, Computers
& Geosciences 55:3–15, doi:10.1016/j.cageo.2012.03.011). N draws of the prior are moved
in steps i = 1 … K; in each the data count with their error variances multiplied by
α = K, so that all steps together count them once:

    z_j ← z_j + C_zy (C_yy + α I)⁻¹ (√α ε_j − r_j),  ε_j ~ N(0, I),

with z the logarithms of factors over their prior, r_j the residuals (prediction −
observation over error) of draw j, C_zy and C_yy their covariances over the draws. It is
exact, for many draws, where predictions are linear in z; else it is an approximation.
Tests hold it against integration on a grid and, on two problems of three numbers (a
chain of reactions; shares of dead cells), against ``emcee``: with K = 4 means are off
by up to 0.16 and 0.30 posterior standard deviations, widths are 1 to 15 % too large.
With N draws and m independent data chance alone narrows every number by some m/N of its
variance, also one that no datum depends on. What is lost so in a step is read from
numbers that nothing depends on (``IDLE``) and are moved along, and all deviations from
the mean are widened by that factor (Evensen 2009, IEEE Control Systems Magazine
29:83–104, doi:10.1109/MCS.2009.932223).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.errors import InputError

STEPS = 4
"""Assimilations of the data."""

IDLE = 64
"""Numbers that no prediction depends on, drawn anew in each step: their narrowing is
chance."""

FARTHEST = 8.0
"""Residual, in errors, that stands for all that are larger or not a number: one run far
off must not decide a covariance."""


@dataclass(frozen=True, slots=True, eq=False)
class Smoothed:
    """Draws of a posterior.

    Attributes
    ----------
    z : float array, shape (n_draw, n_free), over the prior's standard deviation
    misfit : float array, shape (n_step + 1,): mean sum of squared residuals of the
        draws before each step and after the last
    residuals : float array, shape (n_draw, n_row), of the draws returned
    """

    z: FloatArray
    misfit: FloatArray
    residuals: FloatArray


def smoothed(
    residuals: Callable[[FloatArray], FloatArray],
    n_free: int,
    n: int,
    *,
    steps: int = STEPS,
    seed: int = 0,
    progress: Callable[[int, int, float], None] | None = None,
) -> Smoothed:
    """Return draws of the posterior of z, whose prior is standard normal.

    Parameters
    ----------
    residuals : of draws z, shape (n_draw, n_free), to float array (n_draw, n_row)
    n_free : number of free numbers
    n : number of draws
    steps : assimilations
    progress : called with (steps done, steps, mean sum of squares)

    Raises
    ------
    InputError
        For fewer than ten draws, or residuals of another shape.

    Examples
    --------
    One number with prior N(0, 1), seen once as 1 with error 1: N(0.5, 0.5).

    >>> found = smoothed(lambda z: z - 1.0, 1, 20_000)
    >>> round(float(found.z.mean()), 1), round(float(found.z.var()), 1)
    (0.5, 0.5)
    """
    if n < 10 or steps < 1:
        raise InputError(
            f"A smoother needs 10 draws and one step or more, got {n} and {steps}."
        )
    random = np.random.default_rng(seed)
    z = random.standard_normal((n, n_free))
    misfit = []
    for step in range(steps + 1):
        r = residuals(z)
        if r.ndim != 2 or len(r) != n:
            raise InputError(f"Residuals of {n} draws have the shape {r.shape}.")
        r = np.clip(np.nan_to_num(r, nan=FARTHEST), -FARTHEST, FARTHEST)
        misfit.append(float((r**2).sum(axis=1).mean()))
        if progress:
            progress(step, steps, misfit[-1])
        if step < steps:
            z = _step(z, r, float(steps), random)
    return Smoothed(z, np.array(misfit), r)


def _step(
    z: FloatArray, r: FloatArray, alpha: float, random: np.random.Generator
) -> FloatArray:
    """Return the draws after one assimilation, shape (n_draw, n_free)."""
    n = len(z)
    idle = random.standard_normal((n, IDLE))
    apart = r - r.mean(axis=0)
    c_yy = apart.T @ apart / (n - 1)
    target = np.sqrt(alpha) * random.standard_normal(r.shape) - r
    weights = target @ np.linalg.inv(c_yy + alpha * np.eye(r.shape[1]))

    def moved(numbers: FloatArray) -> FloatArray:
        away = numbers - numbers.mean(axis=0)
        return np.asarray(numbers + weights @ (apart.T @ away) / (n - 1))

    after = moved(z)
    kept = moved(idle).var(axis=0).mean() / idle.var(axis=0).mean()
    middle = after.mean(axis=0)
    return np.asarray(middle + (after - middle) / np.sqrt(kept))
