"""Prior densities with exact derivatives, truncated to the bounds.

The density is over the parameter itself, or over its logarithm seen as a density of
the parameter, as in PEtab v2: the log-normal density at θ is φ((ln θ − μ)/σ)/(σ θ).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mir21sim.errors import InputError, UnknownNameError

_Terms: TypeAlias = tuple[float, float, float]
"""Logarithm of a density, its derivative, and minus its second derivative."""


@dataclass(frozen=True, slots=True)
class Prior:
    """A density of one parameter.

    Attributes
    ----------
    family : ``uniform``, ``normal``, ``laplace``, ``cauchy``, ``chisquare``,
        ``exponential``, ``gamma`` or ``rayleigh``
    numbers : its parameters, in the order of PEtab
    base : 0 for the parameter itself, e or 10 for a density of its logarithm
    lower, upper : bounds of the parameter; the density is zero outside
    on_scale : the density is one of the transformed parameter; no factor dz/dθ
    """

    family: str
    numbers: tuple[float, ...]
    base: float = 0.0
    lower: float = -math.inf
    upper: float = math.inf
    on_scale: bool = False

    def __post_init__(self) -> None:
        if self.family not in _FAMILIES:
            raise UnknownNameError("prior", self.family, tuple(_FAMILIES))
        count = _COUNT[self.family]
        if len(self.numbers) != count or not all(map(math.isfinite, self.numbers)):
            raise InputError(
                f"A prior `{self.family}` needs {count} finite numbers, got "
                f"{list(self.numbers)}."
            )
        if self.family != "uniform" and not self.numbers[-1] > 0:
            raise InputError(
                f"The last number of a prior `{self.family}` must be positive, got "
                f"{self.numbers[-1]:g}."
            )

    def terms(self, value: float) -> _Terms:
        """Return ln p, d ln p/dθ and −d² ln p/dθ² at a value on the linear scale."""
        if not self.lower <= value <= self.upper:
            return -math.inf, 0.0, 0.0
        if not self.base:
            f, slope, bend = _FAMILIES[self.family](value, *self.numbers)
            return f - self._log_mass(), slope, bend
        if value <= 0.0:
            return -math.inf, 0.0, 0.0
        per = 1.0 / (value * math.log(self.base))  # dz/dθ
        z = math.log(value) / math.log(self.base)
        f, slope, bend = _FAMILIES[self.family](z, *self.numbers)
        whole, first = f - self._log_mass(), slope * per
        second = bend * per * per + slope * per / value
        if not self.on_scale:
            whole += math.log(per)
            first -= 1.0 / value
            second -= 1.0 / value**2
        return whole, first, second

    def draw(self, uniform: float) -> float:
        """Return the quantile of a number between 0 and 1, within the bounds."""
        distribution = _frozen(self.family, self.numbers)
        low, high = (float(distribution.cdf(z)) for z in self._limits())
        z = float(distribution.ppf(low + uniform * (high - low)))
        value = self.base**z if self.base else z
        return float(np.clip(value, self.lower, self.upper))

    def width(self) -> float:
        """Return the standard deviation on the scale of the density; NaN for none."""
        return float(_frozen(self.family, self.numbers).std())

    def _limits(self) -> tuple[float, float]:
        if not self.base:
            return self.lower, self.upper
        base = math.log(self.base)
        low = math.log(self.lower) / base if self.lower > 0 else -math.inf
        return low, math.log(self.upper) / base if self.upper > 0 else math.inf

    def _log_mass(self) -> float:
        """Return ln of the mass within the bounds."""
        low, high = self._limits()
        if math.isinf(low) and math.isinf(high):
            return 0.0
        distribution = _frozen(self.family, self.numbers)
        return math.log(float(distribution.cdf(high) - distribution.cdf(low)))


def _frozen(family: str, numbers: tuple[float, ...]):  # type: ignore[no-untyped-def]
    import scipy.stats as stats

    a, b = numbers[0], numbers[-1]
    made: dict[str, Callable[[], object]] = {
        "uniform": lambda: stats.uniform(a, b - a),
        "normal": lambda: stats.norm(a, b),
        "laplace": lambda: stats.laplace(a, b),
        "cauchy": lambda: stats.cauchy(a, b),
        "chisquare": lambda: stats.chi2(a),
        "exponential": lambda: stats.expon(scale=a),
        "gamma": lambda: stats.gamma(a, scale=b),
        "rayleigh": lambda: stats.rayleigh(scale=a),
    }
    return made[family]()


def _uniform(z: float, low: float, high: float) -> _Terms:
    inside = low <= z <= high
    return (-math.log(high - low) if inside else -math.inf), 0.0, 0.0


def _normal(z: float, mean: float, sd: float) -> _Terms:
    u = (z - mean) / sd
    return -0.5 * u * u - math.log(sd * math.sqrt(2 * math.pi)), -u / sd, sd**-2


def _laplace(z: float, mean: float, scale: float) -> _Terms:
    u = (z - mean) / scale
    # The Fisher information of the location stands for the curvature, which is 0.
    return -abs(u) - math.log(2 * scale), -math.copysign(1.0, u) / scale, scale**-2


def _cauchy(z: float, mean: float, scale: float) -> _Terms:
    u = (z - mean) / scale
    bend = 2.0 * (1.0 - u * u) / (scale * (1.0 + u * u)) ** 2
    return (
        -math.log(math.pi * scale * (1.0 + u * u)),
        -2.0 * u / (scale * (1.0 + u * u)),
        bend,
    )


def _chisquare(z: float, freedom: float) -> _Terms:
    return _gamma(z, freedom / 2.0, 2.0)


def _exponential(z: float, scale: float) -> _Terms:
    if z < 0.0:
        return -math.inf, 0.0, 0.0
    return -z / scale - math.log(scale), -1.0 / scale, 0.0


def _gamma(z: float, shape: float, scale: float) -> _Terms:
    if z <= 0.0:
        return -math.inf, 0.0, 0.0
    norm = shape * math.log(scale) + math.lgamma(shape)
    return (
        (shape - 1.0) * math.log(z) - z / scale - norm,
        (shape - 1.0) / z - 1.0 / scale,
        (shape - 1.0) / z**2,
    )


def _rayleigh(z: float, scale: float) -> _Terms:
    if z <= 0.0:
        return -math.inf, 0.0, 0.0
    return (
        math.log(z) - 0.5 * (z / scale) ** 2 - 2.0 * math.log(scale),
        1.0 / z - z / scale**2,
        z**-2 + scale**-2,
    )


_FAMILIES: dict[str, Callable[..., _Terms]] = {
    "uniform": _uniform,
    "normal": _normal,
    "laplace": _laplace,
    "cauchy": _cauchy,
    "chisquare": _chisquare,
    "exponential": _exponential,
    "gamma": _gamma,
    "rayleigh": _rayleigh,
}

_COUNT = dict.fromkeys(_FAMILIES, 2) | {
    "chisquare": 1,
    "exponential": 1,
    "rayleigh": 1,
}
