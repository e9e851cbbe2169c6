"""Events that fire and act at one moment, in their order, with what they read."""

from dataclasses import dataclass, field
from typing import TypeAlias

from mir21sim._typing import FloatArray
from mir21sim.solvers.single.events import EventQueue, Pending


@dataclass(frozen=True, slots=True, eq=False)
class Fired:
    """An event that fired; y and p as its delay and its early values read them."""

    pending: Pending
    y: FloatArray
    p: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Performed:
    """An event that acted; y and p as they were before it."""

    pending: Pending
    y: FloatArray
    p: FloatArray


Act: TypeAlias = Fired | Performed


@dataclass(slots=True, eq=False)
class RecordedQueue(EventQueue):
    """The events of a run, which notes what they do.

    Attributes
    ----------
    acts : what happened since it was last emptied
    """

    acts: list[Act] = field(default_factory=list)
    _read: tuple[FloatArray, FloatArray] | None = None

    def _look(self, t: float, y: FloatArray, p: FloatArray) -> None:
        self._read = y, p
        EventQueue._look(self, t, y, p)

    def _waiting(
        self, event: int, t: float, delay: float, values: FloatArray | None
    ) -> Pending:
        made = EventQueue._waiting(self, event, t, delay, values)
        assert self._read is not None
        y, p = self._read
        self.acts.append(Fired(made, y.copy(), p.copy()))
        return made

    def _perform(self, due: Pending, t: float, y: FloatArray, p: FloatArray) -> None:
        self.acts.append(Performed(due, y.copy(), p.copy()))
        EventQueue._perform(self, due, t, y, p)
