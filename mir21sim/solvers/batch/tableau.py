"""The table of a Rosenbrock method, with the letters of the papers.

In the form of Hairer and Wanner (Solving ODEs II, 1996, section IV.7): stage i solves

    (I/(hγ) − J) U_i = f(t + α_i h, y + Σ_j A_ij U_j) + Σ_j (C_ij/h) U_j + h D_i ∂f/∂t

All methods are stiffly accurate: the step is the argument of the last stage plus U_s,
the error estimate is U_s itself. The dense output is
(1−θ) y0 + θ (y1 + (1−θ)(k1 + θ (k2 + θ k3))) with k_m = Σ_j H_mj U_j.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from mir21sim._typing import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Tableau:
    """Coefficients of one method; shapes (s, s), (s,), (3, s).

    ``order`` is that of the step, ``order - 1`` that of the embedded one.
    """

    # U_i = Σ_j Γ_ij k_j with the k_i of the untransformed method, so that
    # A = (α_ij)·Γ⁻¹ and C = I/γ − Γ⁻¹; alpha and D are the row sums of (α_ij) and Γ.
    name: str
    order: int
    gamma: float
    A: FloatArray
    C: FloatArray
    alpha: FloatArray
    D: FloatArray
    H: FloatArray


def lower(*rows: tuple[float, ...]) -> FloatArray:
    """Return a strictly lower triangular matrix from its rows below the first."""
    # The first stage has no sum over others: row 0 is zero.
    size = len(rows) + 1
    matrix = np.zeros((size, size))
    for i, row in enumerate(rows, start=1):
        matrix[i, : len(row)] = row
    matrix.setflags(write=False)
    return matrix


def vector(*values: float) -> FloatArray:
    """Return a read-only vector."""
    array = np.array(values)
    array.setflags(write=False)
    return array


def table(*rows: tuple[float, ...]) -> FloatArray:
    """Return a read-only matrix from its rows."""
    array = np.array(rows)
    array.setflags(write=False)
    return array


@cache
def chained_stages(tableau: Tableau) -> IntArray:
    """Flag stages whose argument is the previous argument plus the previous stage."""
    flags = np.zeros(len(tableau.alpha), np.int64)
    # Y_i = y + Σ_{j<i−1} A_{i−1,j} U_j + 1·U_{i−1} = Y_{i−1} + U_{i−1}.
    for i in range(2, len(flags)):
        same = np.array_equal(tableau.A[i, : i - 1], tableau.A[i - 1, : i - 1])
        flags[i] = int(same and tableau.A[i, i - 1] == 1.0)
    return flags
