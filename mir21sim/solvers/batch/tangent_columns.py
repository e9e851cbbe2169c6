"""Columns of tangents: their seeds, and how they are shared out among the lanes."""

from typing import NamedTuple

import numpy as np
from numba import types

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.kernels import Kernels
from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.solvers.batch.replay import F1, F3, I1, I2

MOST_COLUMNS = 24
"""Columns that a lane carries at a time; more would not stay in the cache."""


class Directions(NamedTuple):
    """Seeds of the columns of some runs; shapes (n_run, n_column, …).

    Attributes
    ----------
    p, y0 : change of parameters and start values
    dose, dose_time : change of the values and of the times of the breakpoints
    """

    p: FloatArray
    y0: FloatArray
    dose: FloatArray
    dose_time: FloatArray


class Jobs(NamedTuple):
    """Columns of runs, in the groups that a lane takes at once.

    Attributes
    ----------
    run : int array, shape (n_job,)
    column : int array, shape (n_job, n_slot); −1 for none
    need : int array, shape (n_need,), the states to keep
    rule_terms : int array, shape (n_term, 3): row of d, parameter, row of g
    rate_terms : int array, shape (n_term, 3): row of d, parameter, state
    rate_factor : float array, shape (n_term,): stoichiometry of the state
    shifts : whether any time of a breakpoint changes
    """

    run: IntArray
    column: IntArray
    need: IntArray
    rule_terms: IntArray
    rate_terms: IntArray
    rate_factor: FloatArray
    shifts: bool


DIRECTIONS = types.NamedUniTuple(F3, 4, Directions)
JOBS = types.NamedTuple([I1, I2, I1, I2, I2, F1, types.boolean], Jobs)


class Terms(NamedTuple):
    """Partials by parameters: of rules, and of rates with the states that they change.

    As the last fields of ``Jobs``.
    """

    rule_terms: IntArray
    rate_terms: IntArray
    rate_factor: FloatArray


def parameter_terms(by_param: IntArray, n_rule: int, kernels: Kernels) -> Terms:
    """Return the terms by which parameters enter a stage.

    Parameters
    ----------
    by_param : of ``SensitivityKernels``; its rates become the states that they change
    n_rule : rows of g before those of the rates
    """
    # Rows of g: rules first, then rates. Rate r changes state i by its stoichiometry.
    of_rule = by_param[:, 2] < n_rule
    rows, factors = [], []
    by_rate: dict[int, list[tuple[int, float]]] = {}
    for i, r, v in zip(kernels.n_row, kernels.n_col, kernels.n_value, strict=True):
        by_rate.setdefault(int(r), []).append((int(i), float(v)))
    for d, m, g in by_param[~of_rule].tolist():
        for i, factor in by_rate.get(g - n_rule, ()):
            rows.append((d, m, i))
            factors.append(factor)
    return Terms(
        np.array(by_param[of_rule]),
        np.array(rows, np.int64).reshape(-1, 3),
        np.array(factors, np.float64),
    )


def jobs(
    n_steps: IntArray, n_column: int, need: IntArray, terms: Terms, *, shifts: bool
) -> Jobs:
    """Group the columns of all good runs, so that no lane idles for long.

    Lanes that work beside each other have the same columns of different runs, with few
    terms of parameters between them, and the longest runs begin first.

    Parameters
    ----------
    n_steps : int array, shape (n_run,), steps of each run; −1 for one without tangents
    """
    runs = np.argsort(-n_steps, kind="stable")
    runs = runs[n_steps[runs] >= 0]
    # −(−a // b) rounds up. Few runs are cut further, for a job in each lane.
    groups = -(-n_column // MOST_COLUMNS)
    if runs.size:
        groups = max(groups, min(n_column, -(-LANES // runs.size)))
    slots = -(-n_column // max(groups, 1))
    column = np.full((max(groups, 1), max(slots, 1)), -1, np.int64)
    column.ravel()[:n_column] = np.arange(n_column)
    return Jobs(
        np.tile(runs, len(column)),
        np.repeat(column, runs.size, axis=0),
        need,
        *terms,
        shifts,
    )
