"""The events of one run: which fire, which wait, in which order they act.

The meaning is that of SBML L3V2 core, section 4.11.6: a trigger that goes from false to
true fires its event; at one moment the events that are due are executed one by one, the
highest priority first, and after each execution all triggers are looked at again.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from mir21sim._typing import BoolArray, FloatArray, Kernel
from mir21sim.compiler.kernels import EventKernels
from mir21sim.errors import SolverStatus
from mir21sim.solvers.single.event_jumps import (
    NEIGHBOURS,
    ROUGHLY,
    SAME_TIME,
    JumpSearch,
)

MAX_AT_ONCE = 10_000
"""Events executed at one moment; more are a loop without end."""


class _UndefinedError(Exception):
    """A trigger, delay or priority that has no value; carries the event's number."""

    def __init__(self, event: int) -> None:
        super().__init__(event)
        self.event = event


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """An event that has fired and waits.

    Attributes
    ----------
    event : its number
    time : when it is due
    values : the values to assign where they are fixed as it fires, else None
    after : whether it is due right after a time, as a trigger like ``time > 5`` is true
    """

    event: int
    time: float
    values: FloatArray | None
    after: bool


@dataclass(slots=True, eq=False)
class EventQueue(JumpSearch):
    """Triggers, waiting events and chance of one run.

    Attributes
    ----------
    kernels : events and relations of the network
    clipped : returns a state without amounts that rounding took below zero
    start : the run's start values, the seed by which equal priorities are decided, so
        that a run is the same wherever and however often it is made
    state : bool array, shape (n_event,), the triggers as last seen
    is_watched : bool array, shape (n_relation,), may turn at a time not known before
    is_either : bool array, shape (n_relation,), is ``==`` or ``!=``, turns at zero only
    holds_at_zero : bool array, shape (n_relation,), at zero the same as above zero
    pending : fired and not yet executed, in the order of firing
    turns : (time, root function value) at which relations ``==`` are about to turn
    touched : root function values of the relations ``==`` that turn just now
    after : whether the moment last returned comes right after the zero of its relation
    moment : that moment
    n_executed : events executed so far
    culprit : the event at which the run failed, -1 for none
    random : made when a lot is first drawn
    roots : the root functions where they are not those of ``kernels``
    """

    kernels: EventKernels
    clipped: Callable[[FloatArray], FloatArray]
    start: bytes
    state: BoolArray
    is_watched: BoolArray
    is_either: BoolArray
    holds_at_zero: BoolArray
    pending: list[Pending] = field(default_factory=list)
    turns: dict[int, tuple[float, float]] = field(default_factory=dict)
    touched: dict[int, float] = field(default_factory=dict)
    after: bool = False
    moment: float = math.inf
    n_executed: int = 0
    culprit: int = -1
    random: np.random.Generator | None = None
    roots: Kernel | None = None

    @classmethod
    def of(
        cls,
        kernels: EventKernels,
        y: FloatArray,
        p: FloatArray,
        clipped: Callable[[FloatArray], FloatArray],
    ) -> Self:
        """Return the queue of a run that starts from `y` with parameters `p`."""
        return cls(
            kernels,
            clipped,
            y.tobytes() + p.tobytes(),
            kernels.initial.copy(),
            kernels.watched,
            kernels.either,
            kernels.holds_at_zero,
        )

    def _by_lot(self, count: int) -> int:
        """Return one of `count` numbers by lot."""
        if self.random is None:
            seed = hashlib.sha256(self.start).digest()
            self.random = np.random.default_rng(list(seed))
        return int(self.random.integers(count))

    # ------------------------------------------------------------ events at one moment
    def begin(self, t: float, y: FloatArray, p: FloatArray) -> SolverStatus:
        """Take note of the triggers before the first dose.

        One that is false fires when a dose at the start makes it true, whatever it
        counts as before the start.
        """
        try:
            self.state &= self._triggers(t, y, p)
        except _UndefinedError as undefined:
            self.culprit = undefined.event
            return SolverStatus.EVENT_UNDEFINED
        return SolverStatus.OK

    def settle(self, t: float, y: FloatArray, p: FloatArray) -> SolverStatus:
        """Execute all that is due at a moment, changing `y` and `p` in place."""
        try:
            return self._settle(t, y, p)
        except _UndefinedError as undefined:
            self.culprit = undefined.event
            return SolverStatus.EVENT_UNDEFINED

    def _settle(self, t: float, y: FloatArray, p: FloatArray) -> SolverStatus:
        if not self.kernels.names:
            self.turns.clear()  # relations of rates alone
            return SolverStatus.OK
        last = self.n_executed + MAX_AT_ONCE
        self.touched = self._touched(t, y, p)
        self.turns.clear()
        while True:
            self._look(t, y, p)
            due = self._next_due(t, y, p)
            if due is not None:
                if self.n_executed == last:
                    self.culprit = due.event
                    return SolverStatus.EVENT_LOOP
                self._perform(due, t, y, p)
            elif self.touched:
                self.touched.clear()  # time goes on, `==` is over
            else:
                return SolverStatus.OK

    def _touched(self, t: float, y: FloatArray, p: FloatArray) -> dict[int, float]:
        """Return the relations ``==`` that turn now, with their root functions."""
        if not self.turns:
            return {}
        g, timed = self._roots(t, y, p), self.kernels.timed
        return {
            k: float(g[k]) if timed[k] else value
            for k, (time, value) in self.turns.items()
            if abs(time - t) <= (SAME_TIME * abs(t) if timed[k] else 0.0)
        }

    def _look(self, t: float, y: FloatArray, p: FloatArray) -> None:
        """Fire triggers that became true, drop executions that wait in vain."""
        kernels = self.kernels
        now = self._triggers(t, y, p)
        fired, self.state = now & ~self.state, now
        if self.pending:
            self.pending = [
                q for q in self.pending if kernels.persistent[q.event] or now[q.event]
            ]
        if not fired.any():
            return
        delays = self._filled(kernels.delays, t, y, p, len(now))
        for event in np.flatnonzero(fired).tolist():
            if not delays[event] >= 0:
                raise _UndefinedError(event)
            values = self._values(event, t, y, p) if kernels.early[event] else None
            self.pending.append(self._waiting(event, t, float(delays[event]), values))

    def _waiting(
        self, event: int, t: float, delay: float, values: FloatArray | None
    ) -> Pending:
        """Return an event that fires at `t` and is due after a delay."""
        if not (self.after and t == self.moment and delay > 0):
            return Pending(event, t + delay, values, after=False)
        # Its trigger is true right after the last number before `t`, so it is late too.
        due = math.nextafter(t, -math.inf) + delay
        return Pending(event, math.nextafter(due, math.inf), values, after=True)

    def _next_due(self, t: float, y: FloatArray, p: FloatArray) -> Pending | None:
        """Return the event to execute now, None where nothing is due.

        Priorities are those of this moment. Equal ones are drawn by lot, as SBML asks;
        events without any come last, in the order in which they fired.
        """
        if not self.pending:
            return None
        due = [q for q in self.pending if q.time <= t]
        ranked = [q for q in due if self.kernels.ranked[q.event]]
        if len(ranked) > 1:
            ranks = self._filled(
                self.kernels.priorities, t, y, p, len(self.kernels.names)
            )
            for q in ranked:
                if math.isnan(ranks[q.event]):
                    raise _UndefinedError(q.event)
            highest = max(ranks[q.event] for q in ranked)
            best = [q for q in ranked if ranks[q.event] == highest]
            return best[self._by_lot(len(best)) if len(best) > 1 else 0]
        return next(iter(ranked or due), None)

    def _perform(self, due: Pending, t: float, y: FloatArray, p: FloatArray) -> None:
        """Make the assignments of one event, all of them at once.

        A concentration becomes an amount by the size that its compartment has before
        the assignments, as the test suite of SBML wants it (case 01779).
        """
        kernels, event = self.kernels, due.event
        values = due.values
        if values is None:
            values = self._values(event, t, y, p)
        mine = slice(kernels.first[event], kernels.first[event + 1])
        is_state, index = kernels.is_state[mine], kernels.index[mine]
        if is_state.any():
            sizes = self._filled(kernels.sizes[event], t, y, p, len(index))
            y[index[is_state]] = (values * sizes)[is_state]
        p[index[~is_state]] = values[~is_state]
        self.pending = [q for q in self.pending if q is not due]
        self.n_executed += 1

    def _values(self, event: int, t: float, y: FloatArray, p: FloatArray) -> FloatArray:
        """Return the values that an event assigns."""
        count = self.kernels.first[event + 1] - self.kernels.first[event]
        return self._filled(self.kernels.values[event], t, y, p, count)

    def _triggers(self, t: float, y: FloatArray, p: FloatArray) -> BoolArray:
        """Return the triggers, shape (n_event,)."""
        kernels = self.kernels
        g = self._roots(t, y, p)
        if math.isnan(g.sum()):
            undefined = np.flatnonzero(np.isnan(g) & (kernels.user >= 0))
            if undefined.size:
                raise _UndefinedError(int(kernels.user[undefined[0]]))
        for k, value in self.touched.items():
            if g[k] == value:  # no assignment has moved it since
                g[k] = 0.0
        # In the order of RELATIONS.
        truths = np.choose(kernels.kind, [g == 0, g != 0, g < 0, g <= 0, g > 0, g >= 0])
        out = np.empty(len(kernels.names))
        kernels.triggers(t, truths.astype(float), p, out)
        return np.not_equal(out, 0.0)

    # ------------------------------------------------------------------ the next moment
    def next_moment(self, t: float, y: FloatArray, p: FloatArray) -> float:
        """Return, and keep as ``moment``, the next time that is known to matter."""
        self.moment = self._next_moment(t, y, p)
        return self.moment

    def _next_moment(self, t: float, y: FloatArray, p: FloatArray) -> float:
        """Return the next time at which it is known that something may happen.

        A waiting event is due, or a relation linear in time turns; infinity for none.
        ``after`` is set where it turns only after a time at which it is zero (``>``).
        """
        first = min(self.pending, key=lambda q: q.time, default=None)
        soonest = math.inf if first is None else first.time
        self.after = first is not None and first.after
        timed = np.flatnonzero(self.kernels.timed)
        if not timed.size:
            return soonest
        pieces = self._at_pieces(t, y, p) if self.kernels.pieced.any() else None
        moments = self._filled(self.kernels.moments, t, y, p, len(self.kernels.kind))
        moments = moments[timed]
        if pieces is not None:
            timed = np.concatenate([timed, self.kernels.piece_of])
            moments = np.concatenate([moments, pieces.zeros])
        near = np.isfinite(moments) & (moments >= t - ROUGHLY * abs(t))
        if not near.any() and pieces is None:
            return soonest
        now = self._codes(self._roots(t, y, p))
        for i in map(int, np.argsort(moments)):
            k, about = int(timed[i]), float(moments[i])
            if not math.isfinite(about) or about + ROUGHLY * abs(about) < t:
                continue
            if about - ROUGHLY * abs(about) > soonest:
                break
            turn = self._near(k, about, t, now, y, p)
            if turn is None:
                turn = self._around(k, about, t, now, y, p)
            if turn < soonest:
                soonest, self.after = turn, not now[k] and not self.holds_at_zero[k]
                self.after |= bool(now[k]) and self.holds_at_zero[k]
        return soonest if pieces is None else self._jump(pieces, soonest, t, y, p)

    def _near(
        self,
        k: int,
        about: float,
        t: float,
        now: FloatArray,
        y: FloatArray,
        p: FloatArray,
    ) -> float | None:
        """Return the time at which a relation turns if it is near enough to step to.

        Backwards from `about` while the relation has turned there, else forwards.
        """
        first = math.nextafter(t, math.inf)
        time, found = max(about, first), None
        for _ in range(NEIGHBOURS):
            g = self._roots(time, y, p)
            if self._code(g, k) != now[k]:
                found, g_found = time, g
                time = math.nextafter(time, -math.inf)
                if time < first:
                    break
            elif found is not None:
                break
            else:
                time = math.nextafter(time, math.inf)
        else:
            return None
        if self.is_either[k]:
            self.turns[k] = found, float(g_found[k])
        return found

    def _around(
        self,
        k: int,
        about: float,
        t: float,
        now: FloatArray,
        y: FloatArray,
        p: FloatArray,
    ) -> float:
        """Return the time at which a relation turns near `about`, infinity for none."""

        def states(times: FloatArray) -> FloatArray:
            return np.broadcast_to(y, (len(times), len(y)))

        high = about + ROUGHLY * abs(about)
        if high <= t or self._code(self._roots(high, y, p), k) == now[k]:
            return math.inf
        return self._bisect(t, high, np.array([k]), now, states, p)
