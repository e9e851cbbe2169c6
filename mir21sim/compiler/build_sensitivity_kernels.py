"""Vector kernels for exact derivatives of one network, compiled."""

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import types

from mir21sim._typing import IntArray, Kernel
from mir21sim.compiler.sensitivity_programs import ARRAYS

_ROWS = types.Array(types.float64, 2, "C")
KERNEL_TYPES = {
    name: types.FunctionType(types.void(*[_ROWS] * len(arguments)))
    for name, arguments in ARRAYS.items()
}
"""The Numba type of each kernel, as an argument of a compiled driver."""


@dataclass(frozen=True, slots=True, eq=False)
class SensitivityKernels:
    """Vector kernels of one network (``sensitivity_programs`` gives their meaning).

    Attributes
    ----------
    kernels : {name: kernel}, each compiled when it is first asked for
    by_param, by_param_extra : int arrays, shape (n_term, 3): row of d, parameter, row
        of g of each partial derivative by a parameter
    n_rule, n_quantity, n_partial, n_second : rows of a, g, d and e
    """

    kernels: "_Kernels"
    by_param: IntArray
    by_param_extra: IntArray
    n_rule: int
    n_quantity: int
    n_partial: int
    n_second: int

    def __getitem__(self, name: str) -> Kernel:
        return self.kernels[name]


class _Kernels(dict[str, Kernel]):
    """Kernels of a generated module by name, compiled on their first use.

    Tangents need half of them, the adjoint the other half.
    """

    def __init__(self, module: Any, text: str) -> None:
        super().__init__()
        self._module, self._text = module, text
        self._lock = threading.Lock()

    def __missing__(self, name: str) -> Kernel:
        from mir21sim.compiler import llvm_lanes, machine_code

        module = self._module
        with self._lock:
            if name not in self:
                emit = llvm_lanes.emitter(
                    module.ARRAYS[name], module.PROGRAMS[name], module.PIECE
                )
                setattr(module, f"emit_{name}", emit)
                self[name] = machine_code.kernel(
                    KERNEL_TYPES[name].signature,
                    getattr(module, name),
                    self._text,
                    nogil=True,
                    error_model="numpy",
                )
        return self[name]


def compiled(module: Any, text: str) -> SensitivityKernels:
    """Return the kernels of a generated module; the cache keeps the machine code."""
    return SensitivityKernels(
        kernels=_Kernels(module, text),
        by_param=_table(module.BY_PARAM),
        by_param_extra=_table(module.BY_PARAM_EXTRA),
        n_rule=module.N_RULE,
        n_quantity=module.N_QUANTITY,
        n_partial=module.N_PARTIAL,
        n_second=module.N_SECOND,
    )


def _table(rows: tuple[tuple[int, int, int], ...]) -> IntArray:
    table: IntArray = np.array(rows, dtype=np.int64).reshape(-1, 3)
    table.setflags(write=False)
    return table
