"""Simulated curves beside the data they were fitted to."""

from dataclasses import dataclass, replace

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.estimation.objective import Objective
from mir21sim.estimation.problem import FitProblem, Measurements
from mir21sim.model import expressions as ex

POINTS = 101
"""Times of a drawn curve."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Data of one observable under one condition and data set, and the model's curve.

    Attributes
    ----------
    observable, label : texts
    time, value : float arrays, shape (n_row,), measured
    line_time, line : float arrays, shape (n_point,), simulated
    low, high : float arrays, shape (n_point,), one noise below and above the line, on
        the scale of the observable
    logarithmic : whether the noise is that of a logarithm
    """

    observable: str
    label: str
    time: FloatArray
    value: FloatArray
    line_time: FloatArray
    line: FloatArray
    low: FloatArray
    high: FloatArray
    logarithmic: bool


def curves_of(objective: Objective, x: FloatArray) -> list[Curve]:
    """Return the curves of every group of data rows at some parameter values.

    Rows at infinite time are on no curve.
    """
    problem = objective.problem
    groups = _groups(problem)
    if not groups:
        return []
    dense, places = _dense(problem, groups)
    model = Objective(dense, objective.engine, priors=False)
    fit, _ = model.fit(x)
    unit = problem.time_scale
    made = []
    for key, rows in groups.items():
        o, e, _ = key
        observable, label = problem.observables[o], problem.experiments[e].id
        shared = {n for f in problem.data.overrides[rows[0]] for n in ex.symbols(f)}
        parts = [label] * (len(problem.experiments) > 1) + sorted(shared)
        label = ", ".join(parts) or label
        finite = rows[np.isfinite(problem.data.time[rows])]
        here = places[key]
        made.append(
            Curve(
                observable.id,
                label,
                problem.data.time[finite] / unit,
                problem.data.value[finite],
                dense.data.time[here] / unit,
                fit.simulated[here],
                *_around(fit.simulated[here], fit.noise[here], observable.scale),
                observable.scale != "lin",
            )
        )
    return made


def _around(
    line: FloatArray, noise: FloatArray, scale: str
) -> tuple[FloatArray, FloatArray]:
    """Return the values one noise below and above a line."""
    if scale == "lin":
        return line - noise, line + noise
    factor = np.exp(noise) if scale == "log" else 10.0**noise
    return line / factor, line * factor


_Key = tuple[int, int, str]


def _groups(problem: FitProblem) -> dict[_Key, np.ndarray]:
    """Return the rows that lie on one curve."""
    data = problem.data
    groups: dict[_Key, list[int]] = {}
    for row in range(len(data)):
        if not np.isfinite(data.time[row]):
            continue
        places = repr((data.overrides[row], data.noise_overrides[row]))
        key = (int(data.observable[row]), int(data.experiment[row]), places)
        groups.setdefault(key, []).append(row)
    return {key: np.array(rows) for key, rows in groups.items()}


def _dense(
    problem: FitProblem, groups: dict[_Key, np.ndarray]
) -> tuple[FitProblem, dict[_Key, np.ndarray]]:
    """Return the problem with many times for every curve, and the rows of each."""
    data = problem.data
    source: list[IntArray] = []
    time: list[FloatArray] = []
    places: dict[_Key, np.ndarray] = {}
    start = 0
    for key, rows in groups.items():
        periods = problem.experiments[key[1]].periods
        first = min(p.start for p in periods if np.isfinite(p.start))
        grid = np.linspace(first, float(data.time[rows].max()), POINTS)
        grid = np.unique(np.concatenate([grid, data.time[rows]]))
        places[key] = np.arange(start, start + len(grid))
        start += len(grid)
        source.append(np.full(len(grid), rows[0]))
        time.append(grid)
    rows = np.concatenate(source)
    dense = Measurements(
        data.observable[rows],
        data.experiment[rows],
        np.concatenate(time),
        data.value[rows],
        tuple(data.overrides[row] for row in rows),
        tuple(data.noise_overrides[row] for row in rows),
    )
    return replace(problem, data=dense), places
