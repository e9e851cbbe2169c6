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
    line_time, line, line_noise : float arrays, shape (n_point,), simulated
    """

    observable: str
    label: str
    time: FloatArray
    value: FloatArray
    line_time: FloatArray
    line: FloatArray
    line_noise: FloatArray


def curves_of(objective: Objective, x: FloatArray) -> list[Curve]:
    """Return the curves of every group of data rows at some parameter values."""
    problem = objective.problem
    groups = _groups(problem)
    dense, places = _dense(problem, groups)
    model = Objective(dense, objective.engine, priors=False)
    fit, _ = model.fit(x)
    unit = problem.time_scale
    made = []
    for key, rows in groups.items():
        o, e, _ = key
        observable, label = problem.observables[o].id, problem.experiments[e].id
        shared = {n for f in problem.data.overrides[rows[0]] for n in ex.symbols(f)}
        label = ", ".join([label, *sorted(shared)]) if len(groups) > 1 else label
        finite = rows[np.isfinite(problem.data.time[rows])]
        here = places[key]
        made.append(
            Curve(
                observable,
                label,
                problem.data.time[finite] / unit,
                problem.data.value[finite],
                dense.data.time[here] / unit,
                fit.simulated[here],
                fit.noise[here],
            )
        )
    return made


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
        first, last = float(data.time[rows].min()), float(data.time[rows].max())
        grid = np.linspace(min(first, 0.0) if first >= 0 else first, last, POINTS)
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
