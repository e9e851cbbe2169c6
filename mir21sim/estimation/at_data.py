"""Quantities of the model at the data rows, gathered from the runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.errors import SolverStatus
from mir21sim.estimation.batches import States
from mir21sim.estimation.period_tree import Node
from mir21sim.solvers.sensitivities import Recorded

if TYPE_CHECKING:
    from mir21sim.estimation.runs import Level, Runs


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """Stored quantities of the model at data rows.

    Attributes
    ----------
    place : id → column
    values : float array, shape (n_row, n_column)
    slopes : float array, shape (n_row, n_column, n_direction), or None
    dynamic : int array, shape (n_direction,), the estimated parameter of each direction
    """

    place: Mapping[str, int]
    values: FloatArray
    slopes: FloatArray | None
    dynamic: IntArray

    def plain(self) -> "Stored":
        """Return the same quantities without derivatives."""
        return replace(self, slopes=None)


@dataclass(frozen=True, slots=True, eq=False)
class AtData:
    """Quantities of the model at the data rows.

    Attributes
    ----------
    stored : states, then parameters, that observables depend on
    status : int array, shape (n_row,), of the run that each row is in
    n_steps : steps of all runs
    kept : runs whose derivatives are not in ``stored``, but are left to the adjoint
    """

    stored: Stored
    status: IntArray
    n_steps: int
    kept: tuple["Kept", ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where the rows of some nodes are in the results of one call of the engine.

    Attributes
    ----------
    rows : int array, shape (n,), data rows
    run, time : int arrays, shape (n,), run and output time of each
    columns : int array, place of each needed state among those that were kept
    """

    rows: IntArray
    run: IntArray
    time: IntArray
    columns: IntArray

    @classmethod
    def of(
        cls,
        nodes: Sequence[Node],
        times: FloatArray | None,
        at: FloatArray,
        columns: IntArray,
    ) -> "Places":
        """Return the places of the rows whose times are among those of the runs.

        Parameters
        ----------
        nodes : one per run
        times : output times; None for a steady state, which serves every row
        at : float array, shape (n_row,), times of all data rows
        """
        rows = np.array([row for node in nodes for row in node.rows], np.int64)
        run = np.repeat(np.arange(len(nodes)), [len(node.rows) for node in nodes])
        index = np.zeros(len(rows), np.int64)
        if times is not None:
            inside = np.isin(at[rows], times)
            rows, run = rows[inside], run[inside]
            index = np.searchsorted(times, at[rows])
        return cls(rows, run, index, columns)


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """Runs whose steps were kept, and where their data rows are.

    Attributes
    ----------
    runs : the runs of one call of the engine
    places : of their data rows
    y_slope, p_slope : float arrays, shape (n_run, n_direction, …), derivatives of what
        each run started from
    """

    runs: Recorded
    places: Places
    y_slope: FloatArray
    p_slope: FloatArray

    def pulled(self, stored: FloatArray) -> FloatArray:
        """Return the gradient by all directions of Σ stored · values at the rows.

        Parameters
        ----------
        stored : float array, shape (n_row, n_column), the states first
        """
        places, values = self.places, self.runs.solution.values
        weights = np.zeros(values.shape)
        at = places.run[:, np.newaxis], places.time[:, np.newaxis], places.columns
        np.add.at(weights, at, stored[places.rows, : len(places.columns)])
        found = self.runs.adjoint(weights)
        gradient = np.einsum("rdp,rp->d", self.p_slope, found.p[:, 0])
        gradient += np.einsum("rdy,ry->d", self.y_slope, found.y0[:, 0])
        return np.asarray(gradient, float)


class Rows:
    """Gathers the quantities of the model at the data rows.

    Parameters
    ----------
    slopes : with derivatives
    reverse : those of the last periods by the adjoint, from kept steps
    """

    def __init__(
        self, runs: "Runs", n_row: int, *, slopes: bool, reverse: bool = False
    ) -> None:
        self.runs, self.slopes, self.reverse = runs, slopes, reverse
        self.kept: list[Kept] = []
        self.n_state = len(runs.needed)
        n_column = self.n_state + len(runs.needed_p)
        m = len(runs.dynamic) if slopes else 0
        self.values = np.full((n_row, n_column), np.nan)
        self.slope = np.zeros((n_row, n_column, m)) if slopes else None
        self.status = np.full(n_row, SolverStatus.NOT_RUN, np.int64)
        self.sizes = np.ones(m)

    def fail(self, node: Node, status: int) -> None:
        """Note that the run of a node failed before it."""
        self.status[node.rows] = status

    def take(
        self, places: Places, states: States, level: "Level", members: IntArray
    ) -> None:
        """Take the rows of some nodes from the results of their runs."""
        if not len(places.rows):
            return
        runs, n = self.runs, self.n_state
        rows, run, time = places.rows, places.run, places.time
        at = run[:, np.newaxis], time[:, np.newaxis], places.columns
        found = states.values[at]
        self.values[rows, :n] = found
        node = members[run][:, np.newaxis]
        self.values[rows, n:] = level.end_p[node, runs.needed_p]
        # A run that failed later has good values before.
        whole = states.slopes is not None or self.reverse
        known = np.isfinite(found).all(axis=1) & (not whole)
        self.status[rows] = np.where(known, SolverStatus.OK, states.status[run])
        first_moved = states.values.shape[2] - len(runs.engine.moved)
        for column, j in runs.moved_columns:
            self.values[rows, n + column] = states.values[run, time, first_moved + j]
        if self.slope is None or level.end_p_slope is None:
            return
        slope = level.end_p_slope[:, :, runs.needed_p][members[run]]
        self.slope[rows, n:] = slope.transpose(0, 2, 1)
        if states.slopes is None:
            return
        self.slope[rows, :n] = states.slopes[at]
        for column, j in runs.moved_columns:
            self.slope[rows, n + column] = states.slopes[run, time, first_moved + j]

    def finished(self, steps: int) -> AtData:
        """Return the quantities by id."""
        runs = self.runs
        stored = Stored(runs.columns, self.values, self.slope, runs.dynamic)
        return AtData(stored, self.status, steps, tuple(self.kept))
