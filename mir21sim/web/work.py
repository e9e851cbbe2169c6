"""Work in the background: results kept by their settings, jobs that can be stopped.

The page asks, waits a moment, and asks again; the work itself goes on in a thread. A
result is kept by the settings that decide it, so that two tabs, and an earlier setting
that comes back, cost nothing. Nothing here knows about models; the flag of a job ends
the runs of its thread, also one long run, and no others.
"""

import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mir21sim.errors import InputError, Mir21simError
from mir21sim.solvers.interrupt import stopped_by

Kept = TypeVar("Kept")

MOST_ENTRIES = 96
MOST_BYTES = 400_000_000
"""Results that are kept; the ones asked for least recently go first."""

MOST_AGE = 24 * 3600.0
"""Age in s after which a result is dropped: a page may stay open for days."""

MOST_JOBS = 16
"""Tabs and views that may have work in hand; older ones are stopped."""


class Cache:
    """Results by their settings, bounded in number, size and age."""

    def __init__(self, entries: int = MOST_ENTRIES, size: int = MOST_BYTES) -> None:
        self._entries, self._size = entries, size
        self._kept: OrderedDict[str, tuple[float, int, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Any | None:
        """Return the value kept under a key, None for nothing."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            if time.monotonic() - found[0] > MOST_AGE:
                del self._kept[key]
                return None
            self._kept.move_to_end(key)
            return found[2]

    def put(self, key: str, value: Any) -> None:
        """Keep a value, and drop the oldest where there are too many."""
        size = int(getattr(value, "nbytes", 0))
        with self._lock:
            self._kept[key] = (time.monotonic(), size, value)
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and (
                len(self._kept) > self._entries
                or sum(entry[1] for entry in self._kept.values()) > self._size
            ):
                self._kept.popitem(last=False)

    def of(self, key: str, make: Callable[[], Kept]) -> Kept:
        """Return the value kept under a key, or make and keep it."""
        found: Kept | None = self.get(key)
        if found is None:
            found = make()
            self.put(key, found)
        return found

    def __len__(self) -> int:
        return len(self._kept)


@dataclass(eq=False, slots=True)
class Job:
    """One piece of work in a thread.

    Attributes
    ----------
    key : settings that it answers
    stop : set by the one who does not want it any more
    done : set when `answer` or `error` is there
    progress : runs finished, and runs in all; 0 in all where that is not known
    said : warnings that the work gave
    """

    key: str
    stop: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    progress: tuple[int, int] = (0, 0)
    answer: Any = None
    error: str = ""
    said: tuple[str, ...] = ()
    started: float = field(default_factory=time.monotonic)

    def tell(self, done: int, total: int) -> None:
        """Take note of the progress; end the work where nobody waits for it."""
        if self.stop.is_set():
            raise KeyboardInterrupt
        self.progress = (done, total)

    def run(self, work: Callable[["Job"], Any], keep: Callable[[Any], None]) -> None:
        """Do the work, and say in one sentence where it failed."""
        with listening() as heard, stopped_by(self.stop):
            try:
                answer = work(self)
            except KeyboardInterrupt:
                self.error = STOPPED
            except Exception as error:  # noqa: BLE001 - the page shows it as a sentence
                self.error = STOPPED if self.stop.is_set() else sentence(error)
            else:
                self._take(answer, keep)
            finally:
                self.said = tuple(dict.fromkeys(heard))
                self.done.set()

    def _take(self, answer: Any, keep: Callable[[Any], None]) -> None:
        """Keep an answer, unless it is not whole since the work was stopped."""
        if self.stop.is_set():
            self.error = STOPPED
            return
        self.answer = answer
        keep(answer)


STOPPED = "Stopped."


def sentence(error: Exception) -> str:
    """Return the page's message for an error."""
    text = " ".join(str(error).split())
    if isinstance(error, Mir21simError):
        return text
    return f"Internal error ({type(error).__name__}: {text[:300]}); please report it."


class Jobs:
    """The work in hand: one job for each tab and view; a newer one stops it."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self._jobs: OrderedDict[tuple[str, str], Job] = OrderedDict()
        self._stopped: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._lock = threading.Lock()

    def ask(
        self,
        tab: str,
        view: str,
        key: str,
        work: Callable[[Job], Any],
        wait: float,
        *,
        again: bool = False,
    ) -> Job:
        """Return the job that answers a key, finished if that takes only a moment.

        A page that asks again, for what was stopped since it last asked, gets a
        stopped job: only a new question begins that work anew.
        """
        known = self.cache.get(key)
        if known is not None:
            job = Job(key, answer=known)
            job.done.set()
            self._replace(tab, view, None)
            return job
        with self._lock:
            job = self._jobs.get((tab, view), Job(""))
            if again and self._stopped.get((tab, view)) == key:
                return _stopped_job(key)
            self._stopped.pop((tab, view), None)
        if job.key != key or job.stop.is_set():
            job = Job(key)
            self._replace(tab, view, job)
            thread = threading.Thread(
                target=job.run,
                args=(work, lambda answer: self.cache.put(key, answer)),
                daemon=True,
                name=f"explorer {view}",
            )
            thread.start()
        job.done.wait(wait)
        if job.done.is_set():
            self._forget(tab, view, job)
        return job

    def stop(self, tab: str, view: str) -> None:
        """Stop the work of one view of one tab."""
        with self._lock:
            job = self._jobs.get((tab, view))
            if job is not None:
                self._stopped[tab, view] = job.key
            while len(self._stopped) > MOST_JOBS:
                self._stopped.popitem(last=False)
        self._replace(tab, view, None)

    def _replace(self, tab: str, view: str, job: Job | None) -> None:
        with self._lock:
            before = self._jobs.pop((tab, view), None)
            if before is not None:
                before.stop.set()
            if job is not None:
                self._jobs[tab, view] = job
            while len(self._jobs) > MOST_JOBS:
                self._jobs.popitem(last=False)[1].stop.set()

    def _forget(self, tab: str, view: str, job: Job) -> None:
        with self._lock:
            if self._jobs.get((tab, view)) is job:
                del self._jobs[tab, view]


def _stopped_job(key: str) -> Job:
    job = Job(key, error=STOPPED)
    job.done.set()
    return job


# ------------------------------------------------------------------------- warnings
_HEARD = threading.local()


class listening:
    """Collect the warnings of this thread while the context lasts."""

    def __enter__(self) -> list[str]:
        _HEARD.said = []
        said: list[str] = _HEARD.said
        return said

    def __exit__(self, *_: object) -> None:
        _HEARD.said = None


def hear_warnings() -> None:
    """Let warnings go to the page whose work gives them, from now on.

    ``warnings.catch_warnings`` works for one thread alone, so the function that shows
    them is replaced once, when the server starts.
    """
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any) -> None:
        said = getattr(_HEARD, "said", None)
        if said is None:
            before(message, category, *rest)
        elif issubclass(category, Mir21simError | UserWarning):
            said.append(" ".join(str(message).split()))

    warnings.showwarning = show  # type: ignore[assignment]
    warnings.simplefilter("always", UserWarning)


class Shelf:
    """Uploaded files, a few of them, in a folder that goes when the server ends."""

    def __init__(self, most: int = 12) -> None:
        self._most = most
        self._names: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, key: str, path: str) -> list[str]:
        """Keep a path under a key; return the paths that have to go."""
        with self._lock:
            self._names[key] = path
            self._names.move_to_end(key)
            gone = []
            while len(self._names) > self._most:
                gone.append(self._names.popitem(last=False)[1])
            return gone

    def get(self, key: str) -> str:
        """Return the path under a key.

        Raises
        ------
        InputError
            Where the file is not held any more.
        """
        with self._lock:
            if key not in self._names:
                raise InputError(
                    "The file is not held any more; drop it on the page again."
                )
            self._names.move_to_end(key)
            return self._names[key]
