"""Ctrl-C that compiled code cannot swallow, and flags that end the runs of a thread.

Python raises KeyboardInterrupt wherever it happens to be, and inside a callback of
compiled code it can vanish there. So the press itself sets a flag, which the one who
integrates looks at after every step; the exception still comes, to end any waiting.

Signals reach the main thread alone. Work in another thread is ended by a flag that the
thread names itself (``stopped_by``); runs of other threads do not see it.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_NAMED: ContextVar[threading.Event | None] = ContextVar("named", default=None)


class Stop(threading.Event):
    """A flag that ends runs: set by itself, or with the one that its thread has named.

    It is made in the thread that starts the runs; other threads may look at it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._named = _NAMED.get()

    def is_set(self) -> bool:
        """Say whether the runs are to end."""
        return super().is_set() or (self._named is not None and self._named.is_set())


@contextmanager
def stopped_by(flag: threading.Event) -> Iterator[None]:
    """Let a flag end the runs that this thread starts, as Ctrl-C would.

    A run ends within its next steps, and the function that was called raises
    KeyboardInterrupt or returns what it has, as it does at Ctrl-C.

    Examples
    --------
    >>> import threading
    >>> flag = threading.Event()
    >>> with stopped_by(flag):
    ...     stop = Stop()
    >>> flag.set()
    >>> stop.is_set(), Stop().is_set()
    (True, False)
    """
    before = _NAMED.set(flag)
    try:
        yield
    finally:
        _NAMED.reset(before)


@contextmanager
def ctrl_c_sets(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl-C set `stop` before its former handler runs, until this ends.

    Nested ones set all their flags. Outside the main thread, where no signal arrives,
    and where Ctrl-C is ignored or left to the system, nothing changes.
    """
    here = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if here else None
    if not callable(before):
        yield
        return

    def pressed(number: int, frame: Any) -> None:
        stop.set()
        before(number, frame)

    signal.signal(signal.SIGINT, pressed)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
