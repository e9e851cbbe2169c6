"""Vector kernels of one network, compiled: ``driver`` calls them."""

from dataclasses import dataclass
from typing import Any

from numba import types

from mir21sim._typing import Kernel

ROWS = types.Array(types.float64, 2, "C")
RATES = types.FunctionType(types.void(ROWS, ROWS, ROWS, ROWS, ROWS, ROWS))
MATRIX = types.FunctionType(types.void(ROWS, ROWS, ROWS, ROWS, ROWS, ROWS))
SOLVE = types.FunctionType(types.void(ROWS, ROWS))
TIME = types.FunctionType(types.void(ROWS, ROWS, ROWS, ROWS, ROWS))


@dataclass(frozen=True, slots=True, eq=False)
class LaneKernels:
    """Vector kernels of one network (``lane_programs`` describes the arrays they fill).

    ``time`` fills nothing where ``has_time`` is False: df/dt is zero.
    """

    rates: Kernel
    matrix: Kernel
    solve: Kernel
    time: Kernel
    assigned: Kernel
    has_time: bool
    n_state: int
    n_param: int
    n_rate: int
    n_w: int
    n_a: int


def compile_lanes(module: Any, text: str) -> LaneKernels:
    """Compile the lane kernels of a generated module, or load them from the cache."""
    from mir21sim.compiler import llvm_lanes as vector
    from mir21sim.compiler import machine_code

    signatures = {
        "rates": RATES.signature,
        "matrix": MATRIX.signature,
        "solve": SOLVE.signature,
        "time": TIME.signature,
        "assigned": types.void(ROWS, ROWS, ROWS, ROWS),
    }
    made = {}
    for name, signature in signatures.items():
        emit = vector.emitter(module.ARRAYS[name], module.PROGRAMS[name], module.PIECE)
        setattr(module, f"emit_{name}", emit)
        made[name] = machine_code.kernel(
            signature, getattr(module, name), text, nogil=True, error_model="numpy"
        )
    return LaneKernels(
        **made,
        has_time=module.HAS_TIME,
        n_state=module.N_STATE,
        n_param=module.N_PARAM,
        n_rate=module.N_RATE,
        n_w=module.N_W,
        n_a=module.N_A,
    )
