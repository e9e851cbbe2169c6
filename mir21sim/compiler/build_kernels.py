"""The few kernel shapes, and how generated functions become kernels.

Every kernel fills its last array, allocates little and returns nothing; arrays are
C-contiguous float64.
"""

import threading
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import scipy.sparse
import scipy.special

from mir21sim._typing import FloatArray, IntArray, Kernel
from mir21sim.compiler.kernels import EventKernels, Kernels

FILL = "void(f8, f8[::1], f8[::1], f8[::1])"
"""Signature of rhs, jac, dfdt, rates, assigned and roots."""

BY_ADDRESS = "_by_address"

SUMMED = {"rhs": "rates", "jac": "rates_dy", "dfdt": "rates_dt"}
"""Kernels that are sparse sums over the array that a generated function fills."""


def compile_kernel(module: ModuleType, text: str, name: str) -> Kernel:
    """Compile one kernel by Numba, or load it from the cache.

    Parameters
    ----------
    module, text : the generated module and its text
    name : "rhs", "jac", "dfdt", "rates", "assigned" or "roots"; with ``BY_ADDRESS``
        behind it, of addresses of arrays
    """
    from mir21sim.compiler import llvm_scalar as scalar
    from mir21sim.compiler import machine_code  # Numba takes 0.5 s, NumPy needs none

    name, by_address = name.removesuffix(BY_ADDRESS), name.endswith(BY_ADDRESS)
    sums = None
    if name in SUMMED:
        n_out, n_value, *terms = _terms(module, name)
        rows = zip(*(part.tolist() for part in terms), strict=True)
        sums = scalar.Sums(n_out, n_value, tuple(rows))
    emit = scalar.emitter(text, SUMMED.get(name, name), sums)
    setattr(module, f"emit_{name}", emit)
    # Not nogil: SciPy calls these from Python for half a microsecond each, and
    # giving the lock away every time makes two threads slower than one.
    function = getattr(module, f"compiled_{name}")
    signature = "void(f8, i8, i8, i8)" if by_address else FILL
    return machine_code.kernel(signature, function, text, error_model="numpy")


def _terms(
    module: ModuleType, name: str
) -> tuple[int, int, IntArray, FloatArray, IntArray]:
    """Return (n_out, n_value, row, factor, which value) of a kernel that sums."""
    n_state = len(module.STATE_NAMES)
    if name == "rhs":
        n_rate = len(module.RATE_NAMES)
        return n_state, n_rate, module.N_ROW, module.N_VALUE, module.N_COL
    if name == "jac":
        sizes = len(module.J_ROW), len(module.DV_ROW)
        return *sizes, module.J_TO, module.J_FACTOR, module.J_FROM
    n_value = len(module.DT_ROW)
    return n_state, n_value, module.DFT_TO, module.DFT_FACTOR, module.DFT_FROM


class Once:
    """Makes each kernel when it is first asked for; other threads wait for it."""

    def __init__(self, make: Callable[[str], Kernel]) -> None:
        self._make, self._lock = make, threading.Lock()
        self._made: dict[str, Kernel] = {}

    def __call__(self, name: str) -> Kernel:
        """Return the kernel of a name, always the same one."""
        with self._lock:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]


def numba_kernels(module: ModuleType, make: Callable[[str], Kernel]) -> Kernels:
    """Return the kernels of a module, each compiled by `make` on its first use."""
    return _kernels(module, Once(make), "numba")


def numpy_kernels(module: ModuleType) -> Kernels:
    """Run a generated module as plain Python: slow, but everywhere and at once."""

    def make(name: str) -> Kernel:
        function = _guarded(getattr(module, SUMMED.get(name, name)))
        if name not in SUMMED:
            return function
        n_out, n_value, row, factor, which = _terms(module, name)
        # Up to some ten thousand entries a dense product takes less time to call.
        sums = scipy.sparse.coo_array((factor, (row, which)), shape=(n_out, n_value))
        dense = n_out * n_value <= _DENSE_UP_TO
        return _by_matrix(function, sums.toarray() if dense else sums.tocsr())

    return _kernels(module, Once(make), "numpy")


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


def _by_matrix(pieces: Kernel, matrix: Any) -> Kernel:
    """Return the kernel ``out = matrix @ pieces``; dense, or sparse by rows."""

    def kernel(t: float, y: FloatArray, p: FloatArray, out: FloatArray) -> None:
        values = np.empty(matrix.shape[1])
        pieces(t, y, p, values)
        with np.errstate(all="ignore"):
            if isinstance(matrix, np.ndarray):
                np.matmul(matrix, values, out=out)
            else:
                out[:] = matrix @ values

    return kernel


def _kernels(
    module: ModuleType, make: Callable[[str], Kernel], backend: str
) -> Kernels:
    return Kernels(
        make=make,
        initial=ieee(module.initial),
        j_row=module.J_ROW,
        j_col=module.J_COL,
        n_row=module.N_ROW,
        n_col=module.N_COL,
        n_value=module.N_VALUE,
        term_rate=module.TERM_RATE,
        factor_term=module.FACTOR_TERM,
        factor_state=module.FACTOR_STATE,
        total_row=module.TOTAL_ROW,
        total_state=module.TOTAL_STATE,
        total_value=module.TOTAL_VALUE,
        n_state=len(module.STATE_NAMES),
        n_rate=len(module.RATE_NAMES),
        n_assigned=len(module.ASSIGNED_NAMES),
        events=_events(module, make),
        backend=backend,
    )


def _events(module: ModuleType, make: Callable[[str], Kernel]) -> EventKernels | None:
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
        pieced=module.ROOT_PIECED,
        from_left=module.ROOT_FROM_LEFT,
        piece_of=module.PIECE_OF,
        n_jump=module.N_JUMP,
        make=make,
        moments=_guarded(module.moments),
        pieces=_guarded(module.pieces),
        jumps=_guarded(module.jumps),
        triggers=_guarded(module.triggers),
        delays=_guarded(module.delays),
        priorities=_guarded(module.priorities),
        values=tuple(map(_guarded, module.VALUES)),
        sizes=tuple(map(_guarded, module.SIZES)),
    )
