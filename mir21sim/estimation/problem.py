"""The one description of a fit, in the shape of PEtab v2: frozen records.

Every source (PEtab v1, PEtab v2, a table of measured curves) becomes a ``FitProblem``,
and only that is evaluated.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.card import html_rows, text_rows
from mir21sim.compiler.model import CompiledModel
from mir21sim.estimation.priors import Prior
from mir21sim.model import expressions as ex

SCALES = ("lin", "log", "log10")
"""Scales on which an optimiser sees a parameter."""

REST = float("-inf")
"""Start time of a period that ends at the steady state."""


class Carry(IntEnum):
    """Values that a period takes over from the one before it.

    Attributes
    ----------
    NOTHING : the period starts from the model's initial values
    STATES : states continue; parameters start again from the model's values (PEtab v1)
    ALL : states and parameters continue; only the changes apply (PEtab v2)
    """

    NOTHING = 0
    STATES = 1
    ALL = 2


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the problem.

    Attributes
    ----------
    id : its name in formulas
    value : the nominal value, on the linear scale
    lower, upper : bounds on the linear scale
    scale : ``lin``, ``log`` or ``log10``
    estimated : False for a fixed number
    prior : density, None for none
    unit : text for tables
    """

    id: str
    value: float
    lower: float
    upper: float
    scale: str = "lin"
    estimated: bool = True
    prior: Prior | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Observable:
    """A measured quantity and its noise.

    Attributes
    ----------
    id : its name
    formula : over ids of the model and parameters; the id of a species means its
        concentration, or its amount where the model has ``hasOnlySubstanceUnits``
    noise : formula of the standard deviation (normal) or scale (Laplace)
    family : ``normal`` or ``laplace``
    scale : ``lin``, ``log`` or ``log10``: where residuals are formed
    placeholders : names in ``formula`` that every row replaces
    noise_placeholders : the same for ``noise``
    """

    id: str
    formula: ex.Expr
    noise: ex.Expr
    family: str = "normal"
    scale: str = "lin"
    placeholders: tuple[str, ...] = ()
    noise_placeholders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time that starts with changes of values.

    Attributes
    ----------
    start : model time; ``REST`` for a period that ends at the steady state
    changes : (id in the model, formula of its new value); all use the old values
    carry : values that are taken over from the period before
    rates : (state, amount per model time): infusions during the period
    held : states that reactions do not change during the period
    """

    start: float
    changes: tuple[tuple[str, ex.Expr], ...] = ()
    carry: Carry = Carry.ALL
    rates: tuple[tuple[str, float], ...] = field(default=(), repr=False)
    held: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Experiment:
    """One sequence of periods."""

    id: str
    periods: tuple[Period, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Measurements:
    """Rows of data.

    Attributes
    ----------
    observable, experiment : int arrays, shape (n_row,), indices into the problem
    time : float array, shape (n_row,), model time; infinity for the steady state
    value : float array, shape (n_row,)
    overrides : per row the formulas that replace the placeholders of the observable
    noise_overrides : the same for the noise
    """

    observable: IntArray
    experiment: IntArray
    time: FloatArray
    value: FloatArray
    overrides: tuple[tuple[ex.Expr, ...], ...]
    noise_overrides: tuple[tuple[ex.Expr, ...], ...]

    def __len__(self) -> int:
        return len(self.value)


@dataclass(frozen=True, eq=False)
class FitProblem:
    """Model, data and parameters of a fit.

    Attributes
    ----------
    id : name for reports
    model : the compiled model
    parameters : estimated and fixed ones, in the order of their table
    observables, experiments, data : see the records
    notes : remarks of the reader that a user must see
    time_unit, time_scale : unit of times in pictures, and model time units in one
    labels : observable → text for pictures
    terms : likelihood terms beside the data rows, see ``terms``
    """

    id: str
    model: CompiledModel
    parameters: tuple[Parameter, ...]
    observables: tuple[Observable, ...]
    experiments: tuple[Experiment, ...]
    data: Measurements
    notes: tuple[str, ...] = ()
    time_unit: str = ""
    time_scale: float = 1.0
    labels: dict[str, str] = field(default_factory=dict)
    terms: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        return text_rows(f"FitProblem {self.id}", self._card())

    def _repr_html_(self) -> str:
        """Return the card that notebooks show."""
        return html_rows(self.id, "problem of a fit", self._card())

    def _card(self) -> dict[str, str]:
        """Return the size of the problem, by title."""
        free, fixed = len(self.free), len(self.parameters) - len(self.free)
        names = ", ".join(self.names[:6]) + ", …" * (free > 6)
        rows = {
            "model": f"{self.model.id}, {self.model.context or 'base'}",
            "estimated": f"{free} ({names}), {fixed} fixed",
            "observables": ", ".join(o.id for o in self.observables[:8])
            + (f" and {len(self.observables) - 8} more" * (len(self.observables) > 8)),
            "data": f"{len(self.data)} rows in {len(self.experiments)} experiments",
        }
        if self.terms:
            rows["terms"] = ", ".join(type(term).__name__ for term in self.terms)
        return rows | {f"note {k + 1}": note for k, note in enumerate(self.notes)}

    @cached_property
    def free(self) -> tuple[Parameter, ...]:
        """The estimated parameters, in order."""
        return tuple(p for p in self.parameters if p.estimated)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Ids of the estimated parameters."""
        return tuple(p.id for p in self.free)

    @property
    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Bounds of the estimated parameters on their scales, shape (n_free,) each."""
        scales = [p.scale for p in self.free]
        return (
            scaled([p.lower for p in self.free], scales),
            scaled([p.upper for p in self.free], scales),
        )

    @property
    def nominal(self) -> FloatArray:
        """Nominal values on their scales; float array, shape (n_free,)."""
        return scaled([p.value for p in self.free], [p.scale for p in self.free])

    @cached_property
    def _bases(self) -> FloatArray:
        """Logarithm of the base of each scale, 0 for ``lin``; shape (n_free,)."""
        logs = {"lin": 0.0, "log": 1.0, "log10": float(np.log(10.0))}
        return np.array([logs[p.scale] for p in self.free])

    def natural(self, x: FloatArray) -> FloatArray:
        """Return values on the linear scale."""
        x, logs = np.asarray(x, float), self._bases
        with np.errstate(over="ignore"):
            powers = np.where(logs == 1.0, np.exp(x), 10.0**x)
        return np.where(logs == 0.0, x, powers)

    def natural_slopes(self, x: FloatArray) -> FloatArray:
        """Return d(linear value)/dx of each estimated parameter."""
        logs = self._bases
        return np.where(logs == 0.0, 1.0, logs * self.natural(x))

    def step_sizes(self, theta: FloatArray) -> FloatArray:
        """Return the natural size of a step in each parameter, for differences.

        It is the size of the parameter. One on a linear scale may be next to 0 by
        chance, far below the width of its bounds, and then the width counts.

        Parameters
        ----------
        theta : float array, shape (n_free,), on the linear scale
        """
        lower, upper = self.bounds
        linear = np.array([p.scale == "lin" for p in self.free], bool)
        width = np.where(linear, np.minimum(upper - lower, 1.0), 0.0)
        sizes = np.abs(theta)
        sizes = np.where(sizes > 1e-3 * width, sizes, 0.1 * width)
        found: FloatArray = np.where(sizes > 0.0, sizes, 1e-3)
        return found

    def digest(self) -> str:
        """Return the SHA-256 of all that decides the objective."""
        data = self.data
        parts: tuple[object, ...] = (
            self.model.digest,
            self.parameters,
            self.observables,
            self.experiments,
            [a.tobytes() for a in (data.observable, data.experiment)],
            [a.tobytes() for a in (data.time, data.value)],
            data.overrides,
            data.noise_overrides,
            self.terms,
        )
        # Problems without these keep the hash that they had before these were known.
        periods = [p for e in self.experiments for p in e.periods]
        if any(p.rates or p.held for p in periods):
            parts = (*parts, [(p.rates, p.held) for p in periods])
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def scaled(values: Sequence[float], scales: Sequence[str]) -> FloatArray:
    """Return linear values on the scales of their parameters."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.array(
            [_TO[scale](value) for value, scale in zip(values, scales, strict=True)],
            dtype=np.float64,
        )


def natural(x: FloatArray, scales: Sequence[str]) -> FloatArray:
    """Return values on the linear scale."""
    with np.errstate(over="ignore"):
        return np.array(
            [_FROM[scale](value) for value, scale in zip(x, scales, strict=True)],
            dtype=np.float64,
        )


_Change: TypeAlias = Callable[[float], float]

_TO: dict[str, _Change] = {"lin": float, "log": np.log, "log10": np.log10}
_FROM: dict[str, _Change] = {"lin": float, "log": np.exp, "log10": lambda v: 10.0**v}
