"""Arrays of rows of eight lanes: aligned in memory, and passed without being counted.

A row of eight numbers is one vector of the processor and one line of its cache, if it
begins at a multiple of 64 bytes; NumPy promises less. Numba also counts the references
of every array that it passes or takes a view of, with instructions that other
processors must see: a quarter of the time of a step of a small model. So Python makes
the arrays and holds them, and compiled functions count none (``UNCOUNTED``).
"""

import math
from typing import Any

import numba
import numpy as np

from mir21sim.compiler import machine_code
from mir21sim.compiler.llvm_lanes import LANES

UNCOUNTED = {"nogil": True, "error_model": "numpy", "_nrt": False}
"""How functions are compiled that make no array: references are not counted. IEEE
arithmetic, no fast math."""

HELPER = UNCOUNTED | machine_code.INNER
"""How functions are compiled that compiled code alone calls."""

_LINE, _SIZE = 64, 8


def zeros_of(*shapes: tuple[int, ...]) -> list[Any]:
    """Return arrays of zeros, one behind the other, each at a multiple of 64 bytes.

    Parameters
    ----------
    shapes : of the arrays; each is (…, 8), so that every array fills whole lines

    Returns
    -------
    list of float arrays, the first fields of a NamedTuple
    """
    counts = [math.prod(shape) for shape in shapes]
    whole = np.zeros(sum(counts) + _LINE // _SIZE)
    start = -whole.__array_interface__["data"][0] % _LINE // _SIZE
    made: list[Any] = []
    for shape, count in zip(shapes, counts, strict=True):
        made.append(whole[start : start + count].reshape(shape))
        start += count
    return made


@numba.njit(**HELPER)
def copy_rows(source, target):
    """Copy rows of eight lanes; an assignment of slices would allocate."""
    for i in range(source.shape[0]):
        for lane in range(LANES):
            target[i, lane] = source[i, lane]
