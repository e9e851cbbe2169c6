"""Quantities of the model at the data rows, gathered from the runs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.errors import SolverStatus
from mir21sim.estimation.batches import States
from mir21sim.estimation.duals import Dual
from mir21sim.estimation.period_tree import Node

if TYPE_CHECKING:
    from mir21sim.estimation.runs import Level, Runs


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """Stored quantities of the model at data rows, read by id.

    Attributes
    ----------
    place : id → column
    values : float array, shape (n_row, n_column)
    slopes : float array, shape (n_row, n_column, n_direction), or None
    dynamic : int array, shape (n_direction,), the estimated parameter of each direction
    n_free : number of estimated parameters
    """

    place: Mapping[str, int]
    values: FloatArray
    slopes: FloatArray | None
    dynamic: IntArray
    n_free: int

    def __contains__(self, name: str) -> bool:
        return name in self.place

    def at(self, rows: IntArray, names: set[str]) -> dict[str, Dual]:
        """Return some quantities at some rows."""
        return {
            name: self._column(rows, j)
            for name, j in self.place.items()
            if name in names
        }

    def plain(self) -> "Stored":
        """Return the same quantities without derivatives."""
        return replace(self, slopes=None)

    def _column(self, rows: IntArray, j: int) -> Dual:
        value = self.values[rows, j]
        if self.slopes is None:
            return Dual(value)
        slope = self.slopes[rows, j]
        if not slope.any():
            return Dual(value)
        wide = np.zeros((len(rows), self.n_free))
        wide[:, self.dynamic] = slope
        return Dual(value, wide)


@dataclass(frozen=True, slots=True, eq=False)
class AtData:
    """Quantities of the model at the data rows.

    Attributes
    ----------
    y, p : states and parameters that observables depend on
    status : int array, shape (n_row,), of the run that each row is in
    n_steps : steps of all runs
    """

    y: Stored
    p: Stored
    status: IntArray
    n_steps: int


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """One run among those of a call of the engine.

    Attributes
    ----------
    times : output times; None for a steady state, which serves every row
    states : of all runs of the call
    run : index of the run
    keep : states that were kept
    """

    times: FloatArray | None
    states: States
    run: int
    keep: IntArray


class Rows:
    """Gathers the quantities of the model at the data rows."""

    def __init__(self, runs: "Runs", n_row: int, n_free: int, *, slopes: bool) -> None:
        self.runs, self.n_free, self.slopes = runs, n_free, slopes
        self.moved = [
            (column, j)
            for j, i in enumerate(runs.engine.moved)
            for column in np.flatnonzero(runs.needed_p == i)
        ]
        self.needed = runs.needed
        m = len(runs.dynamic) if slopes else 0
        self.y = np.full((n_row, len(self.needed)), np.nan)
        self.y_slope = np.zeros((n_row, len(self.needed), m))
        self.p = np.full((n_row, len(runs.needed_p)), np.nan)
        self.p_slope = np.zeros((n_row, len(runs.needed_p), m))
        self.status = np.full(n_row, SolverStatus.NOT_RUN, np.int64)
        self.sizes = np.ones(m)

    def fail(self, node: Node, status: int) -> None:
        """Note that the run of a node failed before it."""
        self.status[node.rows] = status

    def take(self, node: Node, taken: Taken, level: "Level", k: int) -> None:
        """Take the rows of a node whose times are among those of a run."""
        if not node.rows:
            return
        rows, states, run = np.array(node.rows), taken.states, taken.run
        index = np.zeros(len(rows), np.int64)
        if taken.times is not None:
            at = self.runs.problem.data.time[rows]
            rows = rows[np.isin(at, taken.times)]
            index = np.searchsorted(taken.times, self.runs.problem.data.time[rows])
        columns = np.searchsorted(taken.keep, self.needed)
        self.y[rows] = states.values[run][np.ix_(index, columns)]
        self.p[rows] = level.end_p[k, self.runs.needed_p]
        # A run that failed later has good values before.
        known = np.isfinite(self.y[rows]).all(axis=1) & (states.slopes is None)
        self.status[rows] = np.where(known, SolverStatus.OK, states.status[run])
        moved = len(taken.keep)
        for column, j in self.moved:
            self.p[rows, column] = states.values[run, index, moved + j]
        if states.slopes is None:
            return
        assert level.end_p_slope is not None
        self.y_slope[rows] = states.slopes[run][np.ix_(index, columns)]
        self.p_slope[rows] = level.end_p_slope[k][:, self.runs.needed_p].T
        for column, j in self.moved:
            self.p_slope[rows, column] = states.slopes[run, index, moved + j]

    def finished(self, steps: int) -> AtData:
        """Return the quantities by id."""
        runs, model = self.runs, self.runs.problem.model
        groups = (
            (model.state_names, runs.needed, self.y, self.y_slope),
            (model.param_names, runs.needed_p, self.p, self.p_slope),
        )
        y, p = (
            Stored(
                {names[i]: j for j, i in enumerate(chosen)},
                values,
                slopes if self.slopes else None,
                runs.dynamic,
                self.n_free,
            )
            for names, chosen, values, slopes in groups
        )
        return AtData(y, p, self.status, steps)
