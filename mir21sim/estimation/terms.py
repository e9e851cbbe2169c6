"""Likelihood terms that PEtab cannot express; smooth, with derivatives.

A term looks at *traces*: one quantity g(t) on a grid of times under one or many
conditions. A crossing time is the root of the cubic through the four grid points around
it, so that its derivative is exact: dT/dθ = −(Σ w_k ∂g_k/∂θ)/(Σ w_k' g_k), with the
weights w of the cubic at T. The formulas of the terms are in their docstrings.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.special

from mir21sim._typing import FloatArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.estimation.traces import Traces, at_times, crossing, crossing_or_none
from mir21sim.simulation.population import Population, resting_amounts
from mir21sim.simulation.varied import varied

SETTLED = 4.0
"""Widths after a time from which on a death no longer tells of it: Φ(4) = 0.99997."""


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """The part of the objective that a term adds.

    Attributes
    ----------
    nll : minus the log-likelihood
    gradient : float array, shape (n_free,), by linear parameters
    fim : float array, shape (n_free, n_free)
    """

    nll: float
    gradient: FloatArray
    fim: FloatArray


@dataclass(frozen=True, slots=True)
class Condition:
    """Treatment and levels of the cells of a trace.

    Attributes
    ----------
    treatment : doses and perturbations, as text of options
    factors : parameter or start amount → factor on its value
    """

    treatment: str = ""
    factors: tuple[tuple[str, float], ...] = ()


class Term(Protocol):
    """A likelihood term."""

    @property
    def quantity(self) -> str:
        """Name or formula of the quantity."""

    @property
    def end(self) -> float:
        """Last time of the traces, in the unit of the data."""

    def conditions(self, model: CompiledModel) -> Sequence[Condition]:
        """Return the condition of every trace."""

    def contribution(self, traces: Traces) -> Contribution:
        """Return the part of the objective that the term adds."""


# ---------------------------------------------------------------------------- terms
@dataclass(frozen=True, slots=True)
class DeathTime:
    """Time of death of the mean cell: −ln L = ½((T − t)/s)² + ½ ln(2π s²).

    T is the first time at which ``quantity`` rises to ``threshold``. A cell that does
    not reach it has no likelihood.

    Examples
    --------
    >>> import mir21sim as ms
    >>> term = ms.DeathTime("PS_exposed", 0.5, 3.5, 0.4, "TRAIL=50 ng/ml@0h")
    >>> term.time
    3.5
    """

    quantity: str
    threshold: float
    time: float
    sd: float
    treatment: str = ""
    end: float = 48.0

    def __post_init__(self) -> None:
        _positive(self.sd, "sd")

    def conditions(self, model: CompiledModel) -> Sequence[Condition]:
        """Return the one condition."""
        return (Condition(self.treatment),)

    def contribution(self, traces: Traces) -> Contribution:
        """Return the normal term of the crossing time."""
        time, slope = crossing(traces, 0, self.threshold)
        return _normal(np.array([time]), slope[np.newaxis], self.time, self.sd)


@dataclass(frozen=True, slots=True)
class NormalisedCurve:
    """A curve over its own value at one time: residuals (g(t)/g(t₀) − m)/s.

    ``times`` and ``values`` are the data, ``reference`` is t₀.

    Examples
    --------
    >>> import mir21sim as ms
    >>> term = ms.NormalisedCurve(
    ...     "pAKT", times=(0.0, 6.0), values=(1.0, 0.6), sd=0.1, reference=0.0
    ... )
    >>> len(term.times)
    2
    """

    quantity: str
    times: tuple[float, ...]
    values: tuple[float, ...]
    sd: float
    reference: float
    treatment: str = ""

    def __post_init__(self) -> None:
        _positive(self.sd, "sd")
        if len(self.times) != len(self.values) or not self.times:
            raise InputError(
                f"A normalised curve needs as many values as times, got "
                f"{len(self.values)} and {len(self.times)}."
            )

    @property
    def end(self) -> float:
        """Last time of the trace."""
        return max(*self.times, self.reference)

    def conditions(self, model: CompiledModel) -> Sequence[Condition]:
        """Return the one condition."""
        return (Condition(self.treatment),)

    def contribution(self, traces: Traces) -> Contribution:
        """Return the normal term of the ratios."""
        g, dg = at_times(traces, 0, np.array(self.times))
        (below,), (d_below,) = at_times(traces, 0, np.array([self.reference]))
        ratio = g / below
        slope = dg / below - ratio[:, np.newaxis] * d_below / below
        return _normal(ratio, slope, np.array(self.values), self.sd)


@dataclass(frozen=True, slots=True)
class ShareDead:
    """Share of dead cells among unlike ones: −ln L = −k ln p − (n − k) ln(1 − p).

    p(t) is the mean over the cells of Φ((g(t) − c)/h): a cell is dead where its
    ``quantity`` is above ``threshold`` c, made smooth over ``width`` h. ``dead`` k of
    ``counted`` n cells were dead at ``time``. The cells have common random numbers: the
    same seed gives the same cells at every evaluation.

    Examples
    --------
    >>> import mir21sim as ms
    >>> term = ms.ShareDead("PS_exposed", 0.5, 0.1, time=24.0, dead=57, counted=100)
    >>> term.dead / term.counted
    0.57
    """

    quantity: str
    threshold: float
    width: float
    time: float
    dead: int
    counted: int
    treatment: str = ""
    cells: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        _positive(self.width, "width")
        if not 0 <= self.dead <= self.counted or self.counted < 1:
            raise InputError(
                f"`dead` must be 0 to `counted`, got {self.dead} of {self.counted}."
            )

    @property
    def end(self) -> float:
        """Last time of the traces."""
        return self.time

    def conditions(self, model: CompiledModel) -> Sequence[Condition]:
        """Return one condition per cell."""
        return [
            Condition(self.treatment, tuple(cell.items()))
            for cell in cell_factors(model, self.cells, self.seed)
        ]

    def contribution(self, traces: Traces) -> Contribution:
        """Return the binomial term."""
        u = (traces.value[:, -1] - self.threshold) / self.width
        density = np.exp(-0.5 * u**2) / math.sqrt(2 * math.pi) / self.width
        slope = (density[:, np.newaxis] * traces.slope[:, -1]).mean(axis=0)
        share = float(np.clip(scipy.special.ndtr(u).mean(), 1e-12, 1 - 1e-12))
        k, n = self.dead, self.counted
        nll = -k * math.log(share) - (n - k) * math.log1p(-share)
        by_share = -k / share + (n - k) / (1.0 - share)
        information = n / (share * (1.0 - share))
        return Contribution(nll, by_share * slope, information * np.outer(slope, slope))


@dataclass(frozen=True, slots=True)
class CellDeathTimes:
    """Times of death of single cells whose own level of one protein was measured.

    With T_m(z) the time of death of a cell with z times the mean level of ``protein``
    and the other levels of draw m,

    * seen to die at t: L = ε/E + (1 − ε) (1/M) Σ_m φ((t − T_m(z))/h)/h,
    * alive when it was last seen at t (censored):
      L = ε + (1 − ε) (1/M) Σ_m Φ((T_m(z) − t)/h),

    where a draw that does not die by the end E has T = ∞. The M draws are the same at
    every evaluation (common random numbers). ``width`` h is the resolution of the
    times. A share ε of cells, ``strays``, may die at any time: without it one cell that
    no draw explains would make the likelihood 0 and a fit could not begin.

    Attributes
    ----------
    times, levels, censored : one entry per cell; times before E by 4 h or more

    Examples
    --------
    >>> import mir21sim as ms
    >>> cells = ms.CellDeathTimes(
    ...     "PS_exposed", 0.5, "BCL2", times=(2.5, 8.0), levels=(1.0, 12.0),
    ...     censored=(False, True), width=0.1,
    ... )
    >>> cells.censored
    (False, True)
    """

    quantity: str
    threshold: float
    protein: str
    times: tuple[float, ...]
    levels: tuple[float, ...]
    censored: tuple[bool, ...]
    width: float
    treatment: str = ""
    draws: int = 16
    seed: int = 0
    end: float = 48.0
    strays: float = 0.01

    def __post_init__(self) -> None:
        _positive(self.width, "width")
        if not 0.0 <= self.strays < 1.0:
            raise InputError(
                f"`strays` is a share from 0 to below 1, got {self.strays:g}."
            )
        sizes = {len(self.times), len(self.levels), len(self.censored)}
        if len(sizes) != 1 or not self.times:
            raise InputError(
                "Times, levels and censored must have one entry per cell, got "
                f"{len(self.times)}, {len(self.levels)} and {len(self.censored)}."
            )
        if not all(map(math.isfinite, (*self.times, *self.levels))):
            raise InputError("Times and levels must be numbers, got NaN or infinity.")
        last = max(self.times)
        if not last + SETTLED * self.width <= self.end:
            raise InputError(
                f"`end` must be {SETTLED:g} widths after the last time or later "
                f"({last + SETTLED * self.width:g}), got {self.end:g}: a death just "
                "after the last look says something too."
            )

    def conditions(self, model: CompiledModel) -> Sequence[Condition]:
        """Return one condition per cell and draw."""
        groups = varied(model)
        if self.protein not in groups:
            raise UnknownNameError("protein that differs", self.protein, tuple(groups))
        own = groups[self.protein]
        draws = cell_factors(model, self.draws, self.seed)
        return [
            Condition(
                self.treatment, tuple({**draw, **dict.fromkeys(own, level)}.items())
            )
            for level in self.levels
            for draw in draws
        ]

    def contribution(self, traces: Traces) -> Contribution:
        """Return the mixture terms of all cells."""
        n_free = traces.slope.shape[2]
        total, gradient, fim = 0.0, np.zeros(n_free), np.zeros((n_free, n_free))
        for cell, time in enumerate(self.times):
            rows = range(cell * self.draws, (cell + 1) * self.draws)
            pairs = [crossing_or_none(traces, row, self.threshold) for row in rows]
            nll, slope = self._cell(pairs, time, cell, n_free)
            total += nll
            gradient += slope
            fim += np.outer(slope, slope)  # of the score: its expectation
        return Contribution(total, gradient, fim)

    def _cell(
        self,
        pairs: Sequence[tuple[float, FloatArray] | None],
        time: float,
        cell: int,
        n_free: int,
    ) -> tuple[float, FloatArray]:
        """Return minus the log-likelihood of one cell and its derivatives."""
        total, slope = 0.0, np.zeros(n_free)
        for pair in pairs:
            if pair is None:
                total += float(self.censored[cell])
                continue
            u = (pair[0] - time) / self.width
            density = math.exp(-0.5 * u * u) / math.sqrt(2 * math.pi) / self.width
            if self.censored[cell]:
                total += float(scipy.special.ndtr(u))
                slope += density * pair[1]
            else:
                total += density
                slope += -u / self.width * density * pair[1]
        stray = self.strays if self.censored[cell] else self.strays / self.end
        share = stray + (1.0 - self.strays) * total / len(pairs)
        if share <= 0.0:
            return math.inf, np.full(n_free, np.nan)
        slope *= (1.0 - self.strays) / len(pairs)
        return -math.log(share), -slope / share


@dataclass(frozen=True, slots=True)
class ThresholdDose:
    """The dose at which an effect reaches a level: residual (ln d* − ln d)/s.

    The effect is ``quantity`` at ``end``; ln d* is the root of the cubic through the
    effects at the four ``doses`` around it, as for crossing times.

    Attributes
    ----------
    dose : text of a dose with ``{}`` in place of the amount: ``TRAIL={} ng/ml@0h``
    doses : amounts to try, ascending, six or more around the measured one
    measured, sd : the measured dose, and the standard deviation of its logarithm

    Examples
    --------
    >>> import mir21sim as ms
    >>> term = ms.ThresholdDose(
    ...     "PS_exposed", 0.5, "TRAIL", (1.0, 3.0, 10.0, 100.0), measured=20.0, sd=0.3
    ... )
    >>> term.measured
    20.0
    """

    quantity: str
    level: float
    dose: str
    doses: tuple[float, ...]
    measured: float
    sd: float
    treatment: str = ""
    end: float = 24.0

    def __post_init__(self) -> None:
        _positive(self.sd, "sd")
        _positive(self.measured, "measured dose")
        ascending = all(a < b for a, b in zip(self.doses, self.doses[1:], strict=False))
        if len(self.doses) < 4 or not ascending or not self.doses[0] > 0:
            raise InputError(
                "`doses` must be four positive amounts or more, ascending, got "
                f"{list(self.doses)}."
            )

    def conditions(self, model: CompiledModel) -> Sequence[Condition]:
        """Return one condition per dose."""
        return [
            Condition(f'{self.treatment} --dose "{self.dose.format(amount)}"'.strip())
            for amount in self.doses
        ]

    def contribution(self, traces: Traces) -> Contribution:
        """Return the normal term of the logarithm of the dose."""
        across = Traces(
            np.log(np.array(self.doses)),
            traces.value[:, -1][np.newaxis],
            traces.slope[:, -1][np.newaxis],
        )
        place, slope = crossing(across, 0, self.level)
        measured = math.log(self.measured)
        return _normal(np.array([place]), slope[np.newaxis], measured, self.sd)


def _positive(value: float, label: str) -> None:
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"The {label} of a term must be positive, got {value:g}.")


def _normal(
    value: FloatArray, slope: FloatArray, measured: float | FloatArray, sd: float
) -> Contribution:
    residual = (value - measured) / sd
    star = slope / sd
    nll = 0.5 * np.sum(residual**2) + len(value) * math.log(sd * math.sqrt(2 * math.pi))
    return Contribution(float(nll), residual @ star, star.T @ star)


# ----------------------------------------------------------------------- numerics


def cell_factors(model: CompiledModel, n: int, seed: int) -> list[dict[str, float]]:
    """Return the factor on each number that differs, for every cell of a population."""
    columns = Population(n, seed=seed).cells(model)
    own = average_cell(model)
    return [
        {
            name: float(values[cell] / own[name])
            for name, values in columns.items()
            if own.get(name)
        }
        for cell in range(n)
    ]


def average_cell(model: CompiledModel) -> dict[str, float]:
    """Return the start of the average cell (at rest, where it rests) and parameters."""
    own = dict(zip(model.state_names, map(float, resting_amounts(model)), strict=True))
    return own | dict(zip(model.param_names, map(float, model.p0), strict=True))


# -------------------------------------------------------------------- in a problem
