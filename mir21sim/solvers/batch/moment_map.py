"""The linear map by which changes of a run pass through its breakpoints.

A change of a run along some direction is one column of numbers: the changes of its
states, parameters and infusions, of the values and times of its doses, and of numbers
that events keep from one moment to a later one. What happens at a moment replaces some
of these rows by weighted sums of others, one step after the other. Tangents take the
steps in their order; the adjoint takes their transposes backwards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mir21sim._typing import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Rows:
    """Where each kind of change has its rows, one kind behind the other.

    Rows behind these are numbers that events keep.
    """

    n_state: int
    n_param: int
    n_action: int

    @property
    def p(self) -> int:
        """First parameter; the states come before."""
        return self.n_state

    @property
    def inflow(self) -> int:
        """First infusion, one row for each state."""
        return self.p + self.n_param

    @property
    def dose(self) -> int:
        """First value of a dose."""
        return self.inflow + self.n_state

    @property
    def dose_time(self) -> int:
        """First time of a dose."""
        return self.dose + self.n_action

    @property
    def fixed(self) -> int:
        """A row that is always zero."""
        return self.dose_time + self.n_action

    @property
    def count(self) -> int:
        """Number of all these rows."""
        return self.fixed + 1


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """Some rows replaced at once: x[target[row]] = Σ factor · x[source].

    Attributes
    ----------
    target : int array, shape (n_target,), each row once
    row, source, factor : arrays, shape (n_term,); ``row`` counts the targets
    """

    target: IntArray
    row: IntArray
    source: IntArray
    factor: FloatArray

    @classmethod
    def of(cls, sums: Mapping[int, Mapping[int, float]]) -> "Step":
        """Return a step from {target: {source: factor}}."""
        terms = [
            (row, source, factor)
            for row, sources in enumerate(sums.values())
            for source, factor in sources.items()
        ]
        row, source, factor = zip(*terms, strict=True) if terms else ((), (), ())
        return cls(
            np.array(list(sums), np.int64),
            np.array(row, np.int64),
            np.array(source, np.int64),
            np.array(factor, float),
        )

    @classmethod
    def moved(cls, slope: FloatArray, time: int, sign: float) -> "Step":
        """Return the step that adds sign · dy/dt · (change of a time) to the states.

        Parameters
        ----------
        slope : float array, shape (n_state,)
        time : row of the change of the time
        """
        target = np.flatnonzero(slope)
        n = len(target)
        return cls(
            target,
            np.tile(np.arange(n), 2),
            np.concatenate([target, np.full(n, time)]),
            np.concatenate([np.ones(n), sign * slope[target]]),
        )

    def forward(self, x: FloatArray) -> None:
        """Replace rows of changes, shape (n_row, n_column), in place."""
        made = np.zeros((len(self.target), x.shape[1]))
        np.add.at(made, self.row, self.factor[:, np.newaxis] * x[self.source])
        x[self.target] = made

    def backward(self, x: FloatArray) -> None:
        """Take adjoints of the rows, shape (n_row, n_functional), back in place."""
        weight = x[self.target]
        x[self.target] = 0.0
        np.add.at(x, self.source, self.factor[:, np.newaxis] * weight[self.row])


@dataclass(frozen=True, slots=True)
class Apart:
    """Two breakpoints at one moment that do not move together.

    The run differs on the two sides: what follows has no derivative along a column in
    which the times of the two change differently.

    Attributes
    ----------
    one, other : rows of the changes of the two times
    n_state : rows that have no derivative behind it
    """

    one: int
    other: int
    n_state: int

    def forward(self, x: FloatArray) -> None:
        """Make the states of such columns NaN."""
        x[: self.n_state, ~same(x[self.one], x[self.other])] = np.nan

    def backward(self, x: FloatArray) -> None:
        """Make the two times NaN where anything after them counts."""
        counts = (x[: self.n_state] != 0.0).any(axis=0)
        x[np.ix_([self.one, self.other], counts)] = np.nan


TOGETHER = 1e-9
"""Relative difference up to which two changes of a time count as the same."""


def same(one: FloatArray, other: FloatArray) -> np.ndarray:
    """Return where two changes of a time are the same, up to rounding."""
    found: np.ndarray = np.abs(one - other) <= TOGETHER * np.maximum(
        np.abs(one), np.abs(other)
    )
    return found


def forward(steps: Sequence[Step | Apart], x: FloatArray, n_row: int) -> FloatArray:
    """Return changes behind some steps, with at least `n_row` rows."""
    x = np.concatenate([x, np.zeros((max(n_row - len(x), 0), x.shape[1]))])
    for step in steps:
        step.forward(x)
    return x


def backward(steps: Sequence[Step | Apart], x: FloatArray) -> None:
    """Take adjoints from behind some steps to before them, in place."""
    for step in reversed(steps):
        step.backward(x)
