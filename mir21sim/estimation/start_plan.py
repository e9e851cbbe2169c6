"""Start values of many runs as arrays; what no parameter moves is computed once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mir21sim._typing import BoolArray, FloatArray, IntArray
from mir21sim.estimation.duals import Dual
from mir21sim.estimation.starts import (
    Cells,
    Column,
    Formulas,
    ModelValues,
    Start,
    Values,
)
from mir21sim.model import expressions as ex


@dataclass(frozen=True, slots=True, eq=False)
class StartValues:
    """States and parameters of some runs at one moment.

    Attributes
    ----------
    y, p : float arrays, shapes (n_run, n_state) and (n_run, n_param)
    y_slope, p_slope : float arrays, shape (n_run, n_direction, …), or None
    """

    y: FloatArray
    p: FloatArray
    y_slope: FloatArray | None
    p_slope: FloatArray | None

    @classmethod
    def of(cls, cells: Cells, n: int, dynamic: IntArray | None) -> "StartValues":
        """Return cells as arrays.

        Parameters
        ----------
        dynamic : int array, estimated parameters of the directions; None without
            derivatives
        """
        if dynamic is None:
            return cls(_matrix(cells.y, n), _matrix(cells.p, n), None, None)
        return cls(
            _matrix(cells.y, n),
            _matrix(cells.p, n),
            _tensor(cells.y, n, dynamic),
            _tensor(cells.p, n, dynamic),
        )

    def with_states(self, kept: BoolArray, other: "StartValues") -> "StartValues":
        """Return these values, with some states of other ones.

        Parameters
        ----------
        kept : bool array, shape (n_run, n_state): the states of `other`
        """
        y = np.where(kept, other.y, self.y)
        slope = self.y_slope
        if slope is not None and other.y_slope is not None:
            slope = np.where(kept[:, np.newaxis, :], other.y_slope, slope)
        return StartValues(y, self.p, slope, self.p_slope)


class StartPlan:
    """Start values of the runs of one depth.

    Stored quantities that no estimated parameter moves are computed once. Parameters of
    the model that a condition sets to a parameter of the problem, most of them, are
    copied; the others are evaluated.

    Parameters
    ----------
    targets : id → formulas of its value in each run
    theta : the parameters of the problem, at any values
    dynamic : int array, estimated parameters of the directions
    """

    def __init__(
        self,
        model: ModelValues,
        targets: Mapping[str, Formulas],
        theta: Values,
        n: int,
        dynamic: IntArray,
    ) -> None:
        self.model, self.targets, self.n, self.dynamic = model, targets, n, dynamic
        compiled = model.model
        moves = _Moves(model, targets, theta)
        plain = Start(model, targets, theta.at(theta.free, slopes=False), n)
        self.fixed: dict[str, Dual] = {}
        names = (*compiled.state_names, *compiled.param_names)
        for name in names:
            if not moves.moves(name):
                self.fixed[name] = plain.stored(name)
        self.n_state = len(compiled.state_names)
        self.copied = [
            (k, formulas)
            for k, name in enumerate(compiled.param_names)
            if name not in self.fixed
            and isinstance(formulas := targets.get(name), Column)
            and not model.is_density(name)
        ]
        taken = {compiled.param_names[k] for k, _ in self.copied}
        self.evaluated = [
            (k, name)
            for k, name in enumerate(names)
            if name not in self.fixed and name not in taken
        ]
        self.values = self._template(names)
        self.columns = np.array([k for k, _ in self.copied], np.int64)
        shape = (len(self.copied), n)
        index = [formulas.index for _, formulas in self.copied]
        numbers = [formulas.numbers for _, formulas in self.copied]
        self.index = np.array(index, np.int64).reshape(shape).T
        self.numbers = np.array(numbers, float).reshape(shape).T
        self.p_slope = self._copied_slopes()

    def _template(self, names: Sequence[str]) -> FloatArray:
        """Return the fixed values; float array, shape (n, n_state + n_param)."""
        made = np.full((self.n, len(names)), np.nan)
        for k, name in enumerate(names):
            if name in self.fixed:
                made[:, k] = self.fixed[name].value
        return made

    def _copied_slopes(self) -> FloatArray:
        """Return the derivatives of the copied parameters, which are 0 and 1."""
        n_param = len(self.model.model.param_names)
        place = np.full(int(self.index.max(initial=-1)) + 2, -1)
        inside = self.dynamic[self.dynamic < len(place) - 1]
        place[inside] = np.arange(len(inside))
        slope = np.zeros((self.n, len(self.dynamic), n_param))
        runs, which = np.nonzero(self.index >= 0)
        direction = place[self.index[runs, which]]
        # A parameter without a direction moves no run of this depth or any other.
        known = direction >= 0
        slope[runs[known], direction[known], self.columns[which[known]]] = 1.0
        return slope

    def at(self, theta: Values) -> StartValues:
        """Return the start values at values of the parameters."""
        whole = self.values.copy()
        y, p = whole[:, : self.n_state], whole[:, self.n_state :]
        if len(self.columns):
            free = theta.free[self.index] if theta.n_free else self.numbers
            p[:, self.columns] = np.where(self.index >= 0, free, self.numbers)
        y_slope = p_slope = None
        if theta.slopes:
            y_slope = np.zeros((self.n, len(self.dynamic), self.n_state))
            p_slope = self.p_slope.copy()
        if self.evaluated:
            start = Start(self.model, self.targets, theta, self.n, self.fixed)
            for k, name in self.evaluated:
                dual = start.stored(name)
                whole[:, k] = dual.value
                if dual.slope is None or y_slope is None or p_slope is None:
                    continue
                part = dual.slope[:, self.dynamic]
                if k < self.n_state:
                    y_slope[:, :, k] = part
                else:
                    p_slope[:, :, k - self.n_state] = part
        return StartValues(y, p, y_slope, p_slope)


class _Moves:
    """Which stored quantities may move with an estimated parameter, by their ids."""

    def __init__(
        self, model: ModelValues, targets: Mapping[str, Formulas], theta: Values
    ) -> None:
        self.model, self.targets, self.theta = model, targets, theta
        self.known: dict[str, bool] = {}

    def moves(self, name: str) -> bool:
        """Return whether a stored quantity may move."""
        if name not in self.known:
            self.known[name] = False  # a circle is an error elsewhere
            self.known[name] = any(map(self._used, self._symbols(name)))
        return self.known[name]

    def _used(self, name: str) -> bool:
        if name in self.theta.place:
            return True
        return self.model.has(name) and self.moves(name)

    def _symbols(self, name: str) -> set[str]:
        """Return the ids that a start value depends on, with those of volumes."""
        formulas = self.targets.get(name)
        found: set[str] = set()
        if isinstance(formulas, Column):
            found |= {k for k, i in self.theta.place.items() if i in formulas.index}
        elif formulas is not None:
            for formula in formulas:
                if formula is not None:
                    found |= set(ex.symbols(formula))
        if not isinstance(formulas, Column):
            own = self.model.start_formula(name)
            found |= set() if own is None else set(ex.symbols(own))
        homes = self.model.equations.homes
        found |= {homes[k] for k in (*found, name) if k in homes}
        return found - {name} if name not in self.theta.place else found


def _matrix(columns: Mapping[str, Dual], n: int) -> FloatArray:
    if not columns:
        return np.empty((n, 0))
    return np.stack([dual.value for dual in columns.values()], axis=1).astype(float)


def _tensor(columns: Mapping[str, Dual], n: int, which: IntArray) -> FloatArray:
    """Return derivatives, shape (n, n_direction, n_column)."""
    made = np.zeros((n, len(which), len(columns)))
    for i, dual in enumerate(columns.values()):
        if dual.slope is not None:
            made[:, :, i] = dual.slope[:, which]
    return made
