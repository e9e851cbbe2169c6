"""Ctrl-C that compiled code cannot swallow.

Python raises KeyboardInterrupt wherever it happens to be, and inside a callback of
compiled code it can vanish there. So the press itself sets a flag, which the one who
integrates looks at after every step; the exception still comes, to end any waiting.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


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
