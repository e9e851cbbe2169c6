"""Collect garbage rarely while a model is read and compiled.

SymPy and LLVM make hundreds of thousands of objects that live to the end; to look at
them again and again takes a third of the time.
"""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG = 200_000
"""New objects between two collections."""

_LOCK = threading.Lock()
_INSIDE: list[tuple[int, int, int]] = []


@contextmanager
def rare_collections() -> Iterator[None]:
    """Raise the threshold of the collector until this ends, in any thread."""
    with _LOCK:
        before = gc.get_threshold()
        _INSIDE.append(before)
        if before[0]:  # 0: the caller has turned the collector off
            gc.set_threshold(max(before[0], _YOUNG), *before[1:])
    try:
        yield
    finally:
        with _LOCK:
            first = _INSIDE[0]
            _INSIDE.pop()
            if not _INSIDE:
                gc.set_threshold(*first)
