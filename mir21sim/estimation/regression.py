"""Starts of scales and offsets: linear regression of the data on the first run."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mir21sim.estimation.engine import Engine
from mir21sim.estimation.objective import Objective
from mir21sim.estimation.problem import (
    FitProblem,
    Parameter,
)

if TYPE_CHECKING:
    from mir21sim.estimation.build import Builder


def with_starts(problem: FitProblem, builder: "Builder") -> FitProblem:
    """Return the problem with scales, offsets and noise that fit the first run.

    At the nominal values of the model the best scale and offset follow from linear
    regression; the noise from its residuals.
    """
    if not (builder.scale or builder.offset):
        return problem
    fit, reason = Objective(problem, Engine.of(problem.model)).fit(problem.nominal)
    if reason:
        return problem
    starts: dict[str, float] = {}
    of_row = [builder.factor_names(w, f) for w, f in _factors(builder)]
    data = problem.data
    labels = np.array(["|".join(names) for names in zip(*of_row, strict=True)])
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        slope, constant = _regression(
            fit.simulated[rows], data.value[rows], builder, label=label
        )
        for word, value in (("scale", slope), ("offset", constant)):
            name = next((n for n in label.split("|") if n.startswith(word)), "")
            if name:
                starts.setdefault(name, value)
    made = tuple(_started(p, starts.get(p.id)) for p in problem.parameters)
    return replace(problem, parameters=made)


def _started(parameter: Parameter, value: float | None) -> Parameter:
    """Return a parameter of a scale or an offset with a start near the data."""
    if value is None:
        return parameter
    if parameter.id.startswith("scale"):
        return replace(parameter, value=value, lower=value * 1e-4, upper=value * 1e4)
    value = min(max(value, parameter.lower), parameter.upper)
    return replace(parameter, value=value)


def _factors(builder: "Builder") -> list[tuple[str, bool | str]]:
    pairs: list[tuple[str, bool | str]] = [
        ("scale", builder.scale),
        ("offset", builder.offset),
    ]
    return [pair for pair in pairs if pair[1]]


def _regression(
    simulated: np.ndarray, measured: np.ndarray, builder: "Builder", *, label: str
) -> tuple[float, float]:
    """Return a positive scale and an offset."""
    if builder.scale and builder.offset:
        spread = np.var(simulated)
        covariance = np.mean((simulated - simulated.mean()) * measured)
        slope = float(covariance / spread) if spread > 0 else 1.0
        slope = slope if slope > 0 else 1.0
        return slope, float(np.mean(measured) - slope * simulated.mean())
    if builder.offset:
        return 1.0, float(np.mean(measured - simulated))
    square = float(np.sum(simulated**2))
    slope = float(np.sum(simulated * measured)) / square if square > 0 else 1.0
    return (slope if slope > 0 else 1.0), 0.0
