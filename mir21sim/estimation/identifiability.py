"""Combinations of parameters that the data determine, from Fisher information.

The information is taken by the natural logarithm of each parameter (by its width for
one that may be zero). Its eigenvectors are combinations of parameters, such as products
and ratios; 1/√eigenvalue is the standard deviation of each.
"""

import math
from dataclasses import dataclass

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.estimation.fit import FitResult
from mir21sim.estimation.problem import FitProblem
from mir21sim.units import rounded

HELD, FREE = math.log(2.0), math.log(30.0)
"""Standard deviation of a logarithm below which a combination is held by the data, and
above which it is free."""

MOST_SAID = 20.0
"""Standard deviation of a logarithm above which there is no information."""

MOST_NAMED = 4
"""Parameters that a sentence about a combination names."""

PART = 0.3
"""Least weight with which a parameter is named in a combination."""


@dataclass(frozen=True, slots=True, eq=False)
class Combination:
    """One eigenvector of the Fisher information.

    Attributes
    ----------
    weights : parameter → exponent, those of PART and more, largest first
    sd : standard deviation of the logarithm of the combination; infinity for none
    """

    weights: dict[str, float]
    sd: float

    @property
    def verdict(self) -> str:
        """``held``, ``loose`` or ``free``."""
        if self.sd < HELD:
            return "held"
        return "loose" if self.sd < FREE else "free"

    def __str__(self) -> str:
        parts = [
            name if abs(w - 1) < 0.05 else f"{name}^{rounded(w, 2)}"
            for name, w in self.weights.items()
        ]
        more = len(parts) - MOST_NAMED
        text = "·".join(parts[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        if self.verdict == "free" and self.sd <= MOST_SAID:
            return f"{text}: free, the data leave {_width(self.sd)}"
        return f"{text}: {self.verdict}, {_width(self.sd)}"


@dataclass(frozen=True, slots=True, eq=False)
class Width:
    """Prior against posterior of one parameter.

    Attributes
    ----------
    name : of the parameter
    prior_sd, posterior_sd : standard deviations on its scale, by Laplace
    at_bound : ``lower``, ``upper`` or ""
    """

    name: str
    prior_sd: float
    posterior_sd: float
    at_bound: str = ""

    @property
    def learned(self) -> float:
        """Share of the prior width that the data took away."""
        return 1.0 - self.posterior_sd / self.prior_sd


def spectrum(result: FitResult) -> tuple[Combination, ...]:
    """Return the combinations of parameters, the best held first; data alone."""
    problem = result.problem
    _, _, bend = result.objective.prior_terms(result.x)
    per = _by_logarithm(problem, result.x)
    information = (result.hessian - np.diag(bend)) * np.outer(per, per)
    values, vectors = np.linalg.eigh(information)
    least = max(float(values[-1]), 0.0) * 1e-14
    found = []
    for value, vector in zip(values[::-1], vectors.T[::-1], strict=True):
        sd = 1.0 / math.sqrt(value) if value > least else math.inf
        found.append(Combination(_weights(problem, vector), sd))
    return tuple(found)


def _by_logarithm(problem: FitProblem, x: FloatArray) -> FloatArray:
    """Return dx/d ln θ, or dx per width for a parameter whose value may be zero."""
    lower, upper = problem.bounds
    factors = np.empty(len(x))
    for k, parameter in enumerate(problem.free):
        if parameter.scale == "log":
            factors[k] = 1.0
        elif parameter.scale == "log10":
            factors[k] = 1.0 / math.log(10.0)
        else:
            width = float(upper[k] - lower[k])
            own = abs(float(x[k])) or (width if math.isfinite(width) else 1.0)
            factors[k] = own
    return factors


def _weights(problem: FitProblem, vector: FloatArray) -> dict[str, float]:
    order = np.argsort(-np.abs(vector))
    largest = float(vector[order[0]])
    return {
        problem.names[k]: float(vector[k] / largest)
        for k in order
        if abs(vector[k] / largest) >= PART
    }


def widths(result: FitResult) -> tuple[Width, ...]:
    """Return prior and posterior width of every estimated parameter."""
    problem = result.problem
    lower, upper = problem.bounds
    sd = np.sqrt(np.clip(np.diag(result.covariance()), 0.0, None))
    made = []
    for k, parameter in enumerate(problem.free):
        span = float(upper[k] - lower[k])
        prior = span / math.sqrt(12.0)
        if parameter.prior is not None and parameter.prior.on_scale:
            prior = parameter.prior.width()
        edge = 1e-4 * span
        at = ""
        if result.x[k] - lower[k] < edge:
            at = "lower"
        elif upper[k] - result.x[k] < edge:
            at = "upper"
        made.append(Width(parameter.id, prior, min(float(sd[k]), prior), at))
    return tuple(made)


def words(result: FitResult) -> list[str]:
    """Return sentences: how many combinations are held, which are free."""
    found = spectrum(result)
    held = [c for c in found if c.verdict == "held"]
    loose = [c for c in found if c.verdict == "loose"]
    free = [c for c in found if c.verdict == "free"]
    counts = [
        f"{len(held)} within a factor of 2",
        f"{len(loose)} within a factor of 30" * bool(loose),
        f"and leave {len(free)} free" * bool(free),
    ]
    first = f"Of {len(found)} combinations of parameters, the data alone hold "
    lines = [f"{first}{', '.join(filter(None, counts))}:"]
    lines += [f"  {c}" for c in held[:5]]
    lines += ["  …"] * (len(held) > 5 or len(loose) + len(free) > 5)
    lines += [f"  {c}" for c in [*loose, *free][-5:]]
    stuck = [w for w in widths(result) if w.at_bound]
    lines += [f"`{w.name}` is at its {w.at_bound} bound." for w in stuck]
    return lines


def _width(sd: float) -> str:
    """Return a standard deviation of a logarithm in words."""
    if not math.isfinite(sd) or sd > MOST_SAID:
        return "no information"
    if sd < 0.3:
        return f"±{rounded(100 * sd, 2)} %"
    return f"a factor of {rounded(math.exp(sd))} either way"
