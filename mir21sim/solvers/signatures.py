"""The few kernel shapes, and how generated functions become kernels. Layer 3.

Every kernel fills its last array, allocates little and returns nothing; arrays are
C-contiguous float64.
"""

from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import scipy.sparse
import scipy.special

from mir21sim._typing import FloatArray, Kernel
from mir21sim.compiled import EventKernels, Kernels

FILL = "void(f8, f8[::1], f8[::1], f8[::1])"
"""Signature of rhs, jac, dfdt, rates, rates_dy, rates_dt and assigned."""


def numba_kernels(module: ModuleType) -> Kernels:
    """Compile a generated module by Numba, or load it from Numba's cache beside it.

    The pieces are bound in the module before the functions that call them compile.
    """
    import numba  # 0.5 s, and the NumPy backend needs none of it

    def jit(name: str) -> Any:
        # Not nogil: SciPy calls these from Python for half a microsecond each, and
        # giving the lock away every time makes two threads slower than one.
        options = {"cache": True, "error_model": "numpy"}
        compiled = numba.njit(FILL, **options)(getattr(module, name))
        setattr(module, name, compiled)
        return compiled

    for name in ("rates", "rates_dy", "rates_dt"):
        jit(name)
    return _kernels(
        module,
        rhs=jit("rhs"),
        jac=jit("jac"),
        dfdt=jit("dfdt"),
        rates=module.rates,
        assigned=jit("assigned"),
        roots=jit("roots") if len(module.ROOT_KIND) else module.roots,
        backend="numba",
    )


def numpy_kernels(module: ModuleType) -> Kernels:
    """Run a generated module as plain Python: slow, but everywhere and at once."""
    n_state, n_rate = len(module.STATE_NAMES), len(module.RATE_NAMES)
    stoichiometry = np.zeros((n_state, n_rate))
    np.add.at(stoichiometry, (module.N_ROW, module.N_COL), module.N_VALUE)
    to_jac = np.zeros((len(module.J_ROW), len(module.DV_ROW)))
    np.add.at(to_jac, (module.J_TO, module.J_FROM), module.J_FACTOR)
    to_dfdt = np.zeros((n_state, len(module.DT_ROW)))
    np.add.at(to_dfdt, (module.DFT_TO, module.DFT_FROM), module.DFT_FACTOR)
    return _kernels(
        module,
        rhs=_by_matrix(_guarded(module.rates), stoichiometry),
        jac=_by_matrix(_guarded(module.rates_dy), to_jac),
        dfdt=_by_matrix(_guarded(module.rates_dt), to_dfdt),
        rates=_guarded(module.rates),
        assigned=_guarded(module.assigned),
        roots=_guarded(module.roots),
        backend="numpy",
    )


_DENSE_UP_TO = 20_000

_IEEE = {
    "acos": np.arccos, "acosh": np.arccosh, "asin": np.arcsin, "asinh": np.arcsinh,
    "atan": np.arctan, "atanh": np.arctanh, "cos": np.cos, "cosh": np.cosh,
    "exp": np.exp, "gamma": scipy.special.gamma, "log": np.log, "log10": np.log10,
    "sin": np.sin, "sinh": np.sinh, "sqrt": np.sqrt, "tan": np.tan, "tanh": np.tanh,
}  # fmt: skip
"""The functions of `math` as they are in compiled code: NaN or infinity, no raise."""


def ieee(function: Kernel) -> Kernel:
    """Return a generated function with the arithmetic of compiled code.

    To be called with arrays, whose elements divide by zero without raising.
    """
    assert isinstance(function, FunctionType)
    relinked = FunctionType(function.__code__, function.__globals__ | _IEEE)

    def kernel(*arguments: object) -> None:
        with np.errstate(all="ignore"):
            relinked(*arguments)

    return kernel


def _guarded(function: Kernel) -> Kernel:
    """Run a plain Python function on floats, on array elements where that raises."""
    slow = ieee(function)

    def kernel(t: float, y: FloatArray, p: FloatArray, out: FloatArray) -> None:
        values = [0.0] * len(out)
        try:
            function(t, y.tolist(), p.tolist(), values)
            out[:] = values
        except (ArithmeticError, ValueError, TypeError):
            # Division by zero, a logarithm of a negative number, a complex power.
            slow(np.float64(t), y, p, out)

    return kernel


def _by_matrix(pieces: Kernel, matrix: FloatArray) -> Kernel:
    """Return the kernel ``out = matrix @ pieces``."""
    # Up to some ten thousand entries a dense product takes less time to call.
    sparse = scipy.sparse.csr_array(matrix) if matrix.size > _DENSE_UP_TO else None

    def kernel(t: float, y: FloatArray, p: FloatArray, out: FloatArray) -> None:
        values = np.empty(matrix.shape[1])
        pieces(t, y, p, values)
        with np.errstate(all="ignore"):
            if sparse is not None:
                out[:] = sparse @ values
            else:
                np.matmul(matrix, values, out=out)

    return kernel


def _kernels(module: ModuleType, *, backend: str, **functions: Kernel) -> Kernels:
    return Kernels(
        rhs=functions["rhs"],
        jac=functions["jac"],
        dfdt=functions["dfdt"],
        rates=functions["rates"],
        assigned=functions["assigned"],
        initial=ieee(module.initial),
        j_row=module.J_ROW,
        j_col=module.J_COL,
        n_row=module.N_ROW,
        n_col=module.N_COL,
        n_value=module.N_VALUE,
        n_state=len(module.STATE_NAMES),
        n_rate=len(module.RATE_NAMES),
        n_assigned=len(module.ASSIGNED_NAMES),
        events=_events(module, functions["roots"]),
        backend=backend,
    )


def _events(module: ModuleType, roots: Kernel) -> EventKernels | None:
    """Return events and relations; all but the roots run once an event, as Python."""
    if not len(module.ROOT_KIND) and not module.EVENT_NAMES:
        return None
    return EventKernels(
        names=module.EVENT_NAMES,
        initial=module.EVENT_INITIAL,
        persistent=module.EVENT_PERSISTENT,
        early=module.EVENT_EARLY,
        ranked=module.EVENT_RANKED,
        first=module.EVENT_FIRST,
        is_state=module.TARGET_IS_STATE,
        index=module.TARGET_INDEX,
        kind=module.ROOT_KIND,
        user=module.ROOT_USER,
        moving=module.ROOT_MOVING,
        timed=module.ROOT_TIMED,
        roots=roots,
        moments=_guarded(module.moments),
        triggers=_guarded(module.triggers),
        delays=_guarded(module.delays),
        priorities=_guarded(module.priorities),
        values=tuple(map(_guarded, module.VALUES)),
        sizes=tuple(map(_guarded, module.SIZES)),
    )
