"""Linear algebra on one thread while SciPy integrates.

Matrices of a few hundred rows gain nothing from a second thread of OpenBLAS, and on a
busy machine its threads wait for each other, spinning: a run of 0.1 s took 12 s. Their
number belongs to the process, so the first integration takes it and the last one gives
it back, whichever threads those are in. OpenBLAS on OpenMP, whose number belongs to
each thread, and other libraries are left alone.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


class _Held:
    """The number of integrations under way, and the limit that the last one lifts."""

    def __init__(self) -> None:
        self.lock, self.n_inside = threading.Lock(), 0
        self.limit: Any = None

    def enter(self) -> None:
        with self.lock:
            if self.n_inside == 0:
                self.limit = _libraries().limit(limits=1)
            self.n_inside += 1

    def leave(self) -> None:
        from threadpoolctl import OpenBLASController

        with self.lock:
            self.n_inside -= 1
            if self.n_inside == 0:
                self.limit.restore_original_limits()
            # Or the thread that took the limit would be the only one to give it back.
            OpenBLASController.clear_controlling_thread()


_HELD = _Held()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep OpenBLAS to one thread, in the whole process, until the last one leaves."""
    _HELD.enter()
    try:
        yield
    finally:
        _HELD.leave()


@cache
def _libraries() -> Any:
    """Return the OpenBLAS of NumPy and of SciPy; looking for them takes 3 ms, once.

    SciPy's is there by now: whoever integrates has imported its linear algebra.
    """
    from threadpoolctl import ThreadpoolController

    # `select` takes a library that matches any condition, so one after the other.
    openblas = ThreadpoolController().select(internal_api="openblas")
    return openblas.select(threading_layer="pthreads")
