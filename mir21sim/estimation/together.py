"""Many starts of a fit at once: their runs are integrated in one call of the solver.

Each start is an optimiser in a thread of its own, which stops where it needs runs. When
all have stopped, the runs of equal times are put into one batch, so that the lanes of
the solver are full; then all go on. Runs in the lanes do not depend on the runs beside
them, so each start takes the path that it takes alone, to the last bit.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.estimation.batches import Batch, Seeds, States
from mir21sim.estimation.engine import Engine
from mir21sim.solvers.methods import is_batch

MOST = 16
"""Starts at once: two full sets of lanes for a single condition."""


@dataclass(slots=True, eq=False)
class _Request:
    """Runs that a start waits for, and their results."""

    engine: Engine
    batch: Batch
    times: FloatArray
    keep: IntArray
    states: States | None = None
    error: BaseException | None = None

    def key(self) -> tuple[object, ...]:
        """Return a key that is equal for runs which one call can integrate."""
        batch, settings = self.batch, self.engine.settings
        seeds = None if batch.seeds is None else batch.seeds.p.shape[1]
        truths = None if batch.truths is None else batch.truths.tobytes()
        held = None if batch.held is None else batch.held.tobytes()
        rated = None if batch.rates is None else batch.rates.any(axis=0).tobytes()
        # Differences have steps of their own for every start.
        alone = id(self) if seeds is not None and not self.engine.exact else 0
        return (
            id(self.engine.model), settings.rtol, self.times.tobytes(),
            self.keep.tobytes(), seeds, truths, held, rated, alone,
        )  # fmt: skip


@dataclass(slots=True, eq=False)
class Meeting:
    """Where the threads of a fit wait for runs; used by one fit at a time.

    Attributes
    ----------
    members : identifiers of the threads that are starts
    waiting : requests of the starts that have stopped
    closed : whether the fit was interrupted
    """

    lock: threading.Condition = field(default_factory=threading.Condition)
    members: set[int] = field(default_factory=set)
    waiting: list[_Request] = field(default_factory=list)
    closed: bool = False

    def has(self, thread: int) -> bool:
        """Return whether a thread is a start."""
        return thread in self.members

    def ask(self, request: _Request) -> States:
        """Wait for the runs of a start.

        Raises
        ------
        KeyboardInterrupt
            When the fit was interrupted.
        """
        with self.lock:
            self.waiting.append(request)
            self.lock.notify_all()
            while request.states is None and request.error is None and not self.closed:
                self.lock.wait()
        if request.error is not None:
            raise request.error
        if request.states is None:
            raise KeyboardInterrupt
        return request.states

    def round(self) -> list[_Request]:
        """Wait until all starts have stopped or one has ended; return the requests."""
        with self.lock:
            n = len(self.members)
            while len(self.waiting) < len(self.members) == n:
                self.lock.wait()
            if len(self.waiting) < len(self.members):
                return []
            found, self.waiting = self.waiting, []
            return found

    def leave(self, thread: int) -> None:
        """Take a start out that has ended."""
        with self.lock:
            self.members.discard(thread)
            self.lock.notify_all()

    def close(self) -> None:
        """Let every start that waits, or will, stop by KeyboardInterrupt."""
        with self.lock:
            self.closed = True
            self.lock.notify_all()

    def serve(self, requests: Sequence[_Request]) -> None:
        """Integrate the runs of some requests, those that fit together in one call."""
        groups: dict[tuple[object, ...], list[_Request]] = {}
        for request in requests:
            groups.setdefault(request.key(), []).append(request)
        for group in groups.values():
            _integrate(group)
        with self.lock:
            self.lock.notify_all()


@dataclass(frozen=True, slots=True, eq=False)
class SharedEngine(Engine):
    """An engine that hands the runs of a start to the meeting of its fit."""

    meeting: Meeting = field(default_factory=Meeting)

    @classmethod
    def sharing(cls, engine: Engine) -> "SharedEngine":
        """Return an engine that integrates as another one does."""
        return cls(
            engine.model, engine.settings, engine.exact, engine.n_jobs, engine.plain
        )

    @property
    def shares(self) -> bool:
        """Whether the runs of several starts are integrated faster together."""
        return is_batch(self.settings.method)

    def run(self, batch: Batch, times: FloatArray, keep: IntArray) -> States:
        """Integrate runs; those of a start together with those of others."""
        if not self.meeting.has(threading.get_ident()):
            return Engine.run(self, batch, times, keep)
        return self.meeting.ask(_Request(self, batch, times, keep))


def _integrate(group: list[_Request]) -> None:
    """Integrate the runs of some starts, and give each its own."""
    first = group[0]
    try:
        found = Engine.run(
            first.engine, _joined([r.batch for r in group]), first.times, first.keep
        )
    except Exception as error:  # noqa: BLE001 - raised again in the threads of the starts
        for request in group:
            request.error = error
        return
    begin, total = 0, sum(len(request.batch) for request in group)
    for request in group:
        rows = slice(begin, begin + len(request.batch))
        begin = rows.stop
        slopes = None if found.slopes is None else found.slopes[rows]
        # The steps of all runs are counted together: a share for each run.
        steps = found.n_steps * len(request.batch) // total
        request.states = States(found.values[rows], slopes, found.status[rows], steps)


def _joined(batches: list[Batch]) -> Batch:
    """Return the runs of several batches as one."""
    first = batches[0]
    if len(batches) == 1:
        return first
    seeds = None
    if first.seeds is not None:
        parts = [batch.seeds for batch in batches if batch.seeds is not None]
        seeds = Seeds(
            np.concatenate([part.y for part in parts]),
            np.concatenate([part.p for part in parts]),
            first.seeds.size,
        )
    rates = [batch.rates for batch in batches if batch.rates is not None]
    return replace(
        first,
        y0=np.concatenate([batch.y0 for batch in batches]),
        p=np.concatenate([batch.p for batch in batches]),
        seeds=seeds,
        rates=None if first.rates is None else np.concatenate(rates),
    )


@dataclass(slots=True, eq=False)
class _Running:
    """A start in its thread."""

    number: int
    thread: threading.Thread
    error: BaseException | None = None


def run_together(
    meeting: Meeting, jobs: Sequence[Callable[[], None]], ended: Callable[[int], None]
) -> None:
    """Run some jobs in threads whose runs meet, at most ``MOST`` at a time.

    Parameters
    ----------
    ended : called in this thread with the number of each job that has ended

    Raises
    ------
    KeyboardInterrupt
        When it is interrupted; jobs stop where they need runs.
    """
    left, running = list(range(len(jobs)))[::-1], list[_Running]()
    meeting.closed = False
    try:
        while left or running:
            while left and len(running) < MOST:
                running.append(_begun(meeting, jobs, left.pop()))
            meeting.serve(meeting.round())
            done = [r for r in running if r.thread.ident not in meeting.members]
            for one in done:
                one.thread.join()
                running.remove(one)
                if one.error is not None:
                    raise one.error
                ended(one.number)
    finally:
        meeting.close()
        for one in running:
            one.thread.join()


def _begun(
    meeting: Meeting, jobs: Sequence[Callable[[], None]], number: int
) -> _Running:
    """Begin a job in a thread that is a member of the meeting before it asks."""

    def work() -> None:
        try:
            ready.wait()
            jobs[number]()
        except BaseException as error:  # noqa: BLE001 - raised again by `run_together`
            one.error = error
        finally:
            meeting.leave(threading.get_ident())

    ready = threading.Event()
    one = _Running(number, threading.Thread(target=work, daemon=True))
    one.thread.start()
    assert one.thread.ident is not None
    with meeting.lock:
        meeting.members.add(one.thread.ident)
    ready.set()
    return one
