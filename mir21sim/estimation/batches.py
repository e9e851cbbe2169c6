"""Runs that are integrated together, their tangents, and their results."""

from dataclasses import dataclass, replace

import numpy as np

from mir21sim._typing import BoolArray, FloatArray, IntArray

DIFFERENCE_STEP = 3e-4
"""Relative step of the central differences: with runs to 1e-9 the error is 1e-6."""


@dataclass(frozen=True, slots=True, eq=False)
class Seeds:
    """Derivatives of start values and parameters by some directions.

    Attributes
    ----------
    y : float array, shape (n_run, n_direction, n_state)
    p : float array, shape (n_run, n_direction, n_param)
    size : float array, shape (n_direction,), natural size of a step along each
    """

    y: FloatArray
    p: FloatArray
    size: FloatArray

    def __getitem__(self, rows: IntArray) -> "Seeds":
        return Seeds(self.y[rows], self.p[rows], self.size)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Runs that are integrated together.

    Attributes
    ----------
    y0, p : float arrays, shapes (n_run, n_state) and (n_run, n_param)
    seeds : directions of the tangents; None for values alone
    truths : bool array, shape (n_event,), the triggers just before the start; None: as
        the model says
    rates : float array, shape (n_run, n_state), infusions, amount per model time; None
        for none
    held : bool array, shape (n_state,), states that reactions do not change; None for
        none
    """

    y0: FloatArray
    p: FloatArray
    seeds: Seeds | None = None
    truths: BoolArray | None = None
    rates: FloatArray | None = None
    held: BoolArray | None = None

    def __len__(self) -> int:
        return len(self.y0)

    def sides(self) -> tuple["Batch", "Batch"]:
        """Return the runs moved back and forth along every direction."""
        assert self.seeds is not None
        step = DIFFERENCE_STEP * self.seeds.size[np.newaxis, :, np.newaxis]
        made = []
        for sign in (-1.0, 1.0):
            y = self.y0[:, np.newaxis, :] + sign * step * self.seeds.y
            p = self.p[:, np.newaxis, :] + sign * step * self.seeds.p
            made.append(
                Batch(
                    y.reshape(y.shape[0] * y.shape[1], y.shape[2]),
                    p.reshape(p.shape[0] * p.shape[1], p.shape[2]),
                    truths=self.truths,
                    rates=None if self.rates is None else self._repeated(self.rates),
                    held=self.held,
                )
            )
        return made[0], made[1]

    def _repeated(self, rows: FloatArray) -> FloatArray:
        """Return one row for every direction of each run."""
        assert self.seeds is not None
        return np.repeat(rows, self.seeds.p.shape[1], axis=0)

    def some(self, rows: IntArray) -> "Batch":
        """Return some of the runs."""
        return replace(
            self,
            y0=self.y0[rows],
            p=self.p[rows],
            seeds=None if self.seeds is None else self.seeds[rows],
            rates=None if self.rates is None else self.rates[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """States of some runs at common times.

    Attributes
    ----------
    values : float array, shape (n_run, n_time, n_kept + n_moved): the states kept,
        then the parameters that events change
    slopes : float array, shape (n_run, n_time, n_kept + n_moved, n_direction), or None
    status : int array, shape (n_run,), of ``SolverStatus``
    n_steps : int, steps of all runs
    """

    values: FloatArray
    slopes: FloatArray | None
    status: IntArray
    n_steps: int
