"""A run that notes how changes pass through each of its breakpoints.

At a breakpoint whose time τ moves, the state goes on from y⁻ with the slope f⁻ up to
it and with f⁺ behind it, so that with the change g that the breakpoint makes
(doi:10.1016/S0168-9274(98)00125-1)

    S⁺ = g_y (S⁻ + f⁻ dτ) + g_p ṗ + g_t dτ − f⁺ dτ.
"""

import math
import threading
from collections.abc import Sequence

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.event_gradients import EventGradients, Formula, Slopes
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import SolverStatus
from mir21sim.solvers.batch.moment_map import Apart, Rows, Step, forward, same
from mir21sim.solvers.batch.recorded_queue import Act, Fired, Performed, RecordedQueue
from mir21sim.solvers.batch.timed_events import BEFORE, TimedRun
from mir21sim.solvers.problem import Action, Problem
from mir21sim.solvers.settings import Settings
from mir21sim.solvers.single.event_jumps import ROUGHLY
from mir21sim.solvers.single.events import Pending


class RecordedRun(TimedRun):
    """A run that stops wherever something happens and notes what it does to changes.

    Attributes
    ----------
    steps : what the moments since the last stretch do, in their order
    places : where each change has its row
    n_row : number of rows so far, with those that events keep
    now : numbers of the outputs that the moments since the last stretch wrote
    acted : whether anything happened at this moment
    moments : time and row of each moment that may move, since the last stretch
    """

    def __init__(
        self,
        model: CompiledModel,
        gradients: EventGradients,
        problem: Problem,
        run: int,
        settings: Settings,
        stop: threading.Event,
        *,
        shifts: bool,
    ) -> None:
        kernels = model.kernels
        super().__init__(kernels, problem, run, settings, "", stop)
        assert kernels.events is not None
        self.queue = RecordedQueue.of(kernels.events, self.y, self.p, self._clipped)
        self.events = self.queue
        self.gradients, self.shifts = gradients, shifts
        self.places = Rows(len(self.y), len(self.p), len(self.schedule.time))
        self.n_row = self.places.count
        self.steps: list[Step | Apart] = []
        self.before = math.nan
        self.now: list[int] = []
        self.acted = False
        self.moments: list[tuple[float, int]] = []
        self.due_of: dict[Pending, int] = {}
        self.values_of: dict[Pending, list[int]] = {}
        # A change of everything, by which it is seen whether two times move together.
        self.probe = np.random.default_rng(0).uniform(1.0, 2.0, (self.n_row, 1))
        self.probe[self.places.inflow : self.places.dose] = 0.0
        self.probe[self.places.fixed] = 0.0

    def taken(self) -> tuple[list[Step | Apart], list[int]]:
        """Return ``steps`` and ``now``, each once."""
        steps, self.steps = self.steps, []
        now, self.now = self.now, []
        return steps, now

    def fed(self) -> IntArray:
        """Return the states whose infusions may change along any direction."""
        return np.flatnonzero(self.probe[self.places.inflow : self.places.dose, 0])

    def new_row(self) -> int:
        """Return a row for a number that an event keeps."""
        self.n_row += 1
        return self.n_row - 1

    def add(self, step: Step | Apart) -> None:
        """Note a step."""
        self.steps.append(step)
        self.probe = forward([step], self.probe, self.n_row)

    # ---- what a run without a record does, noted

    def _nothing_moves(self) -> bool:
        return False  # changes move where states do not

    def _record_now(self) -> None:
        first = self.next_output
        super()._record_now()
        self.now += range(first, self.next_output)

    def take(self, states: FloatArray, y: FloatArray) -> SolverStatus:
        """Take over a stretch; see ``TimedRun``."""
        status = super().take(states, y)
        self.before = before_of(self.t)
        return status

    def _advance_without_solver(self, end: float) -> SolverStatus:
        start = self.t
        status = super()._advance_without_solver(end)
        self.before = max(start, before_of(end))
        return status

    def _act(self) -> SolverStatus:
        y, p, feeding = self.y.copy(), self.p.copy(), self.input.copy()
        first = self.next_dose
        self.queue.acts.clear()
        status = super()._act()
        if status == SolverStatus.OK:
            jump = _Jump(self, y, p, feeding)
            jump.doses(range(first, self.next_dose))
            jump.events(self.queue.acts)
            self.acted = bool(jump.causes or self.queue.acts)
            self.acted |= self.next_dose > first
        return status


def before_of(t: float) -> float:
    """Return the time at which a stretch ends before a moment."""
    return t - BEFORE * math.ulp(t)


class _Jump:
    """What one moment of a run does to changes.

    Attributes
    ----------
    y, p, feeding : state, parameters and infusions at the place that is reached in the
        order in which things happen
    before : time before the moment
    causes : rows of the changes of the moment's time, one for each reason to stop
    """

    def __init__(
        self, run: RecordedRun, y: FloatArray, p: FloatArray, feeding: FloatArray
    ) -> None:
        self.run, self.places, self.gradients = run, run.places, run.gradients
        self.y, self.p, self.feeding = y, p, feeding
        self.at_start = math.isnan(run.before)
        self.before = before_of(run.t) if self.at_start else run.before
        self.causes: list[int] = []
        self.dosed = False

    def slope(self, t: float, y: FloatArray) -> FloatArray:
        """Return dy/dt at a time near the moment."""
        out = np.zeros(len(y))
        self.run.kernels.rhs(t, y, self.p, out)
        out += self.feeding
        if self.run.frozen is not None:
            out[self.run.frozen] = 0.0
        return out

    # ---- doses

    def doses(self, due: range) -> None:
        """Note the doses of the moment, each at a time of its own."""
        schedule, rows, run = self.run.schedule, self.places, self.run
        self.undosed = self.y.copy()
        for j in due:
            state, kind = int(schedule.state[j]), schedule.kind[j]
            time, value = rows.dose_time + j, rows.dose + j
            now = run.t if self.at_start else self.before
            if run.shifts:
                run.add(Step.moved(self.slope(now, self.y), time, 1.0))
            if kind == Action.ADD:
                self.y[state] += run.dose_values[j]
                run.add(Step.of({state: {state: 1.0, value: 1.0}}))
            elif kind == Action.SET:
                self.y[state] = run.dose_values[j]
                run.add(Step.of({state: {value: 1.0}}))
            else:
                self.feeding[state] += run.dose_values[j]
                fed = rows.inflow + state
                run.add(Step.of({fed: {fed: 1.0, value: 1.0}}))
            if run.shifts:
                run.add(Step.moved(self.slope(now, self.y), time, -1.0))
        self.due = due

    # ---- relations and events

    def events(self, acts: Sequence[Act]) -> None:
        """Note what turns and acts at the moment."""
        run = self.run
        turned = self._turned()
        waited = [
            run.due_of[act.pending]
            for act in acts
            if isinstance(act, Performed) and act.pending in run.due_of
        ]
        self.causes = [*dict.fromkeys([*turned, *waited])]
        if not self.causes and not acts:
            return
        time = next((row for row in self.causes if run.probe[row]), self.places.fixed)
        old = self.slope(self.before, self.y)
        start = self.y.copy()
        if time != self.places.fixed:
            run.moments.append((run.t, time))
            run.add(Step.moved(old, time, 1.0))
        for act in acts:
            if isinstance(act, Fired):
                self._fired(act, time)
            else:
                self._performed(act, time)
        self.y, self.p = run.y, run.p
        after = run.t + BEFORE * math.ulp(run.t)
        new = self.slope(after, self.y)
        if time != self.places.fixed:
            run.add(Step.moved(new, time, -1.0))
        if acts or not np.array_equal(old, new):
            self._check(time, start, after, plain=not acts)

    def _check(
        self, time: int, start: FloatArray, after: float, *, plain: bool
    ) -> None:
        """Note other breakpoints of the moment that do not move with this one.

        Parameters
        ----------
        plain : whether no event acts: only dy/dt jumps
        """
        run, rows = self.run, self.places
        others = list(self.causes)
        if self.at_start:
            others.append(rows.fixed)  # the run begins, wherever the moment goes
        if plain:
            jump = self.slope(after, start) - self.slope(self.before, start)
            first = self.undosed
            same_jump = self.slope(after, first) - self.slope(self.before, first)
            scale = np.abs(jump).max(initial=0.0)
            if np.abs(jump - same_jump).max(initial=0.0) > _SAME_JUMP * scale:
                others += [rows.dose_time + j for j in self.due]
        else:
            others += [rows.dose_time + j for j in self.due]
        for other in others:
            if not same(run.probe[other], run.probe[time]).all():
                run.add(Apart(time, other, rows.n_state))

    def _turned(self) -> list[int]:
        """Return a row with the change of the time for each relation that turned."""
        run, queue = self.run, self.run.queue
        moving = queue.kernels.moving & queue.kernels.timed
        if self.at_start:
            which = np.flatnonzero(moving)
        else:
            now = queue.codes_at(run.t, self.y, self.p)
            then = queue.codes_at(self.before, self.y, self.p)
            which = np.flatnonzero(moving & (now != then))
        found = []
        for k in which.tolist():
            slopes = self._moment(self.gradients.moments[k])
            if slopes is None:
                continue
            row = run.new_row()
            # The time stands in steps alone, ``floor(time/12)``, without a slope.
            run.add(Step.of({row: self._terms(slopes, self.places.fixed)}))
            found.append(row)
        return found

    def _moment(self, formulas: Sequence[Formula]) -> Slopes | None:
        """Return the derivatives of this moment; None where it is none of these."""
        t = self.run.t
        near = ROUGHLY * max(abs(t), self.run.near_zero)
        for formula in formulas:
            value, slopes = self.gradients.evaluated(
                formula, self.before, self.y, self.p
            )
            if abs(value - t) <= near:
                return slopes
        return None

    def _source(self, leaf: tuple[str, int]) -> int:
        kind, index = leaf
        return self.places.p + index if kind == "p" else index

    def _terms(
        self, slopes: Slopes, time: int, *, factor: float = 1.0
    ) -> dict[int, float]:
        """Return a change as a weighted sum of rows, with the time at its own row."""
        terms: dict[int, float] = {}
        for leaf, slope in slopes.items():
            row = time if leaf[0] == "t" else self._source(leaf)
            if slope:
                terms[row] = terms.get(row, 0.0) + factor * slope
        return terms

    def _fired(self, act: Fired, time: int) -> None:
        """Note when an event that fired is due, and the values that it keeps."""
        run, t, event = self.run, self.run.t, act.pending.event
        made: dict[int, dict[int, float]] = {}
        if act.pending.time > t:
            _, slopes = self.gradients.evaluated(
                self.gradients.delays[event], t, act.y, act.p
            )
            terms = self._terms(slopes, time)
            terms[time] = terms.get(time, 0.0) + 1.0
            run.due_of[act.pending] = run.new_row()
            made[run.due_of[act.pending]] = terms
        if act.pending.values is not None:
            kept = run.values_of[act.pending] = []
            for formula in self.gradients.values[event]:
                _, slopes = self.gradients.evaluated(formula, t, act.y, act.p)
                kept.append(run.new_row())
                made[kept[-1]] = self._terms(slopes, time)
        if made:
            run.add(Step.of(made))

    def _performed(self, act: Performed, time: int) -> None:
        """Note the assignments of an event, all at once."""
        run, t, event = self.run, self.run.t, act.pending.event
        kernels, gradients = run.queue.kernels, self.gradients
        kept = run.values_of.pop(act.pending, None)
        run.due_of.pop(act.pending, None)
        first = int(kernels.first[event])
        sums: dict[int, dict[int, float]] = {}
        for i, formula in enumerate(gradients.values[event]):
            value, slopes = gradients.evaluated(formula, t, act.y, act.p)
            terms = self._terms(slopes, time)
            if kept is not None and act.pending.values is not None:
                value, terms = float(act.pending.values[i]), {kept[i]: 1.0}
            index = int(kernels.index[first + i])
            if not kernels.is_state[first + i]:
                sums[self.places.p + index] = terms
                continue
            size, changes = gradients.evaluated(
                gradients.sizes[event][i], t, act.y, act.p
            )
            total = {row: size * x for row, x in terms.items()}
            for row, x in self._terms(changes, time, factor=value).items():
                total[row] = total.get(row, 0.0) + x
            sums[index] = total
        run.add(Step.of(sums))


_SAME_JUMP = 1e-9
"""Relative difference up to which two jumps of dy/dt count as the same."""
