"""Arrays of rows of eight lanes: aligned in memory, and passed without being counted.

A row of eight numbers is one vector of the processor and one line of its cache, if it
begins at a multiple of 64 bytes; Numba promises less. Numba also counts the references
of every array that it passes or takes a view of, with instructions that other
processors must see: a quarter of the time of a step of a small model. So one function
makes the arrays and holds them (``MAKER``), and those that it calls count none
(``HELPER``).
"""

import numba
import numpy as np

from mir21sim.compiler.llvm_lanes import LANES

MAKER = {"nogil": True, "error_model": "numpy"}
"""How functions are compiled that make arrays: IEEE arithmetic, no fast math."""

HELPER = MAKER | {"_nrt": False}
"""How functions are compiled that make no array: references are not counted."""

_LINE, _SIZE = 64, 8


@numba.njit(**MAKER)
def zeros(count):
    """Return zeros that begin at a multiple of 64 bytes."""
    whole = np.zeros(count + _LINE // _SIZE)
    first = ((_LINE - whole.ctypes.data % _LINE) % _LINE) // _SIZE
    return whole[first : first + count]


@numba.njit(**MAKER)
def zero_rows(n):
    """Return rows of eight zeros; float array, shape (n, 8)."""
    return zeros(n * LANES).reshape((n, LANES))


@numba.njit(**MAKER)
def one_rows(n):
    """Return rows of eight ones; float array, shape (n, 8)."""
    made = zero_rows(n)
    made[:, :] = 1.0
    return made


@numba.njit(**MAKER)
def zero_stages(s, n):
    """Return zeros; float array, shape (s, n, 8)."""
    return zeros(s * n * LANES).reshape((s, n, LANES))


@numba.njit(**HELPER)
def copy_rows(source, target):
    """Copy rows of eight lanes; an assignment of slices would allocate."""
    for i in range(source.shape[0]):
        for lane in range(LANES):
            target[i, lane] = source[i, lane]
