"""Scalar kernels of one network for one run, compiled: ``solvers.single`` calls them.

The programs are those of the eight lanes (``lane_programs``), as code for one run. The
matrix is filled and factorised by two kernels, so that elements that are not finite can
be mended between them, and so that J can be had without its factors.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import types

from mir21sim._typing import IntArray

ARITY = {"rates": 6, "fill": 6, "factor": 2, "solve": 2, "time": 5, "assigned": 4}
"""Arrays that each kernel takes."""


@dataclass(frozen=True, slots=True, eq=False)
class OneKernels:
    """Scalar kernels of one network, as addresses of functions of array addresses.

    Numba looks a function up each time it is passed to compiled code, which takes as
    long as a run of a small model; an address is a number. The kernels are

    * rates ``(t, y, p, v, a, out)``: out += dy/dt; rates in v, rule variables in a;
    * fill ``(t, y, p, a, w, hg)``: W = diag(hg) − J;
    * factor ``(a, w)``: the LU factors of W in place; the last of a is the least share
      of a pivot that its element of W is;
    * solve ``(w, out)``: out = W⁻¹ out;
    * time ``(t, y, p, a, out)``: out = ∂f/∂t; nothing where ``has_time`` is False;
    * assigned ``(t, y, p, a)``: the rule variables.

    Attributes
    ----------
    address : of each kernel by its name
    kept : the compiled functions, which live as long as their addresses are used
    w_row, w_column : int arrays, shape (n_w,), the element of W at each place of w
    """

    address: Mapping[str, int]
    kept: tuple[object, ...]
    has_time: bool
    w_row: IntArray
    w_column: IntArray
    n_state: int
    n_rate: int
    n_a: int


def compile_one(module: Any, text: str) -> OneKernels:
    """Compile the scalar kernels of a generated module, or load them from the cache."""
    from mir21sim.compiler import llvm_lanes, machine_code

    fill, factor = _halves(module)
    programs = module.PROGRAMS | {"fill": fill, "factor": factor}
    arrays = module.ARRAYS | module.ONE_ARRAYS
    made = {}
    for name, count in ARITY.items():
        emit = llvm_lanes.emitter(arrays[name], programs[name], module.PIECE, lanes=1)
        setattr(module, f"emit_{name}", emit)
        signature = types.void(*[types.intp] * count)
        made[name] = machine_code.kernel(
            signature, getattr(module, name), text, error_model="numpy"
        )
    return OneKernels(
        address={name: machine_code.address(kernel) for name, kernel in made.items()},
        kept=tuple(made.values()),
        has_time=module.HAS_TIME,
        w_row=np.array(module.W_ROW, dtype=np.int64),
        w_column=np.array(module.W_COLUMN, dtype=np.int64),
        n_state=module.N_STATE,
        n_rate=module.N_RATE,
        n_a=module.N_A,
    )


def _halves(module: Any) -> tuple[str, str]:
    """Return the program that fills W and the one that factorises it."""
    lines = module.PROGRAMS["matrix"].strip().splitlines()
    # The last statement before the factors sets the least pivot share to 1.
    last = f'["a", {module.N_A - 1}, "=", ["c", 1.0]]'
    middle = lines.index(last) + 1
    return "\n".join(lines[:middle]), "\n".join(lines[middle:])
