"""Scalar kernels of one network for one run, compiled: ``solvers.single`` calls them.

The programs are those of the eight lanes (``lane_programs``), as code for one run. The
matrix is filled and factorised by two kernels, so that elements that are not finite can
be mended between them, and so that J can be had without its factors.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import types

from mir21sim._typing import IntArray, Kernel

RATES, FILL, FACTOR, SOLVE, TIME, ASSIGNED = range(6)
"""Numbers of the programs in the kernel of a network."""


@dataclass(frozen=True, slots=True, eq=False)
class OneKernels:
    """The scalar programs of one network, in one kernel that is called by its address.

    Numba looks a function up each time it is passed to compiled code, which takes as
    long as a run of a small model; an address is a number. The kernel takes the number
    of a program and the addresses of its arrays. The programs are

    * RATES ``(t, y, p, v, a, out)``: out += dy/dt; rates in v, rule variables in a;
    * FILL ``(t, y, p, a, w, hg)``: W = diag(hg) − J;
    * FACTOR ``(a, w)``: the LU factors of W in place; the last of a is the least share
      of a pivot that its element of W is;
    * SOLVE ``(w, out)``: out = W⁻¹ out;
    * TIME ``(t, y, p, a, out)``: out = ∂f/∂t; nothing where ``has_time`` is False;
    * ASSIGNED ``(t, y, p, a)``: the rule variables.

    Attributes
    ----------
    address : of the kernel
    kernel : the compiled function, which lives as long as its address is used
    w_row, w_column : int arrays, shape (n_w,), the element of W at each place of w
    """

    address: int
    kernel: Kernel
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
    arrays, made = module.ARRAYS, module.PROGRAMS
    programs = (
        (arrays["rates"], made["rates"]),
        (arrays["matrix"], fill),
        (("a", "w"), factor),
        (arrays["solve"], made["solve"]),
        (arrays["time"], made["time"]),
        (arrays["assigned"], made["assigned"]),
    )
    module.emit_one = llvm_lanes.chooser(programs, module.PIECE)
    kernel = machine_code.kernel(
        types.void(*[types.intp] * 7), module.one, text, error_model="numpy"
    )
    return OneKernels(
        address=machine_code.address(kernel),
        kernel=kernel,
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
