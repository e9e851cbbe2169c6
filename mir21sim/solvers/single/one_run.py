"""One run through its breakpoints by our own Rosenbrock method, in compiled code.

Doses and events act here as in every single run; between them ``one_driver`` makes all
steps, watches relations and writes the outputs.
"""

import threading
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.build_one_kernels import FILL, RATES, OneKernels
from mir21sim.compiler.kernels import Kernels
from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.compiler.machine_code import address
from mir21sim.errors import SolverStatus
from mir21sim.solvers.batch.integrate import TOLERANCE_SHARE
from mir21sim.solvers.problem import Problem, Selection, Source
from mir21sim.solvers.settings import Settings
from mir21sim.solvers.single import one_memory as memory
from mir21sim.solvers.single.event_jumps import SAME_TIME
from mir21sim.solvers.single.one_driver import advance, along, call_six, roots_at
from mir21sim.solvers.single.outputs import Outputs
from mir21sim.solvers.single.run import SingleRun

_LOOK_EVERY = 1000
"""Steps between looks at the clock and for Ctrl-C, at most."""

_LOOK_EVERY_SQUARED = 10_000_000
"""The same times the square of the states: a step of a large model takes that long."""


@dataclass(frozen=True, slots=True, eq=False)
class Functions:
    """Everything of a model that the driver needs, made once.

    Attributes
    ----------
    one : the programs of the model
    roots : root functions that are watched, as compiled and as Python calls them
    numbers, whole : where each array is in the memory of a run
    filled : int array, the whole numbers of a run in which no state is held
    amounts : where the marks of amounts are in them
    """

    one: OneKernels
    roots: tuple[Any, Any]
    sizes: memory.Sizes
    numbers: dict[str, slice]
    filled: IntArray
    amounts: slice

    @classmethod
    def of(cls, kernels: Kernels, one: OneKernels) -> "Functions":
        """Return the functions of a model."""
        events = kernels.events
        watched = events is not None and bool(events.watched.any())
        n_relation = len(events.kind) if events is not None and watched else 0
        sizes = memory.Sizes(
            n=one.n_state,
            padded=memory.padded(one.n_state),
            n_rate=one.n_rate,
            n_a=one.n_a,
            n_w=len(one.w_row),
            n_relation=n_relation,
            n_held=0,
            has_time=int(one.has_time),
            watches=int(watched),
        )
        roots = events.roots_by_address if events is not None and watched else None
        places = memory.places_of_whole(sizes)
        filled = np.zeros(places["rows"].stop, dtype=np.int64)
        filled[: len(sizes)] = sizes
        at = 0 if roots is None else address(roots)
        filled[places["address"]] = one.address, at
        filled[places["diagonal"]] = np.where(one.w_row == one.w_column, one.w_row, -1)
        filled[places["rows"]] = np.arange(sizes.padded // LANES)
        numbers = memory.places_of_numbers(sizes)
        called = partial(roots_at, at) if at else None
        return cls(one, (roots, called), sizes, numbers, filled, places["amount"])

    def whole(self, run: SingleRun) -> IntArray:
        """Return the whole numbers of a run."""
        if run.frozen is None and not self.sizes.watches:
            made = self.filled.copy()
            made[self.amounts] = run.never_negative
            return made
        held = np.flatnonzero(run.frozen) if run.frozen is not None else ()
        sizes = self.sizes._replace(n_held=len(held))
        places = memory.places_of_whole(sizes)
        # States that are held have a place of their own before `diagonal`.
        made = np.insert(self.filled, [places["held"].start] * len(held), held)
        made[: len(sizes)] = sizes
        made[places["amount"]] = run.never_negative
        if run.events is not None and sizes.watches:
            made[places["watched"]] = run.events.is_watched
            made[places["either"]] = run.events.is_either
            made[places["holds"]] = run.events.holds_at_zero
            made[places["user"]] = run.events.kernels.user
        return made


class OneOutputs(Outputs):
    """The quantities kept of a run, by the scalar kernels."""

    def __init__(self, kernels: Kernels, selection: Selection, one: OneKernels) -> None:
        super().__init__(kernels, selection)
        self.one = one

    def _pool(
        self, kind: Source, times: FloatArray, states: FloatArray, p: FloatArray
    ) -> FloatArray:
        """Return all rule variables or rates, shape (n_time, n_quantity)."""
        rates, one = kind == Source.RATE, self.one
        n = self.kernels.n_rate if rates else self.kernels.n_assigned
        pool = np.empty((len(times), n))
        work = np.zeros(one.n_rate), np.zeros(one.n_a)
        rows = np.ascontiguousarray(states)
        along(one.address, rates, times, rows, p, pool, *work)
        return pool


class OneRun(SingleRun):
    """One initial value problem on its way, by compiled steps."""

    def __init__(
        self,
        functions: Functions,
        kernels: Kernels,
        problem: Problem,
        run: int,
        settings: Settings,
        stop: threading.Event,
        *,
        growth: float = 0.0,
        keeps: bool = False,
    ) -> None:
        """Begin a run.

        Parameters
        ----------
        growth : share of its largest value that the absolute tolerance of a state is,
            where ``settings.atol`` is smaller; 0 for none
        keeps : keep accepted steps for ``seen``
        """
        self.functions, self.growth = functions, growth
        super().__init__(kernels, problem, run, settings, "Rodas5P", stop)
        n, places = len(self.y), functions.numbers
        self.look_every = max(10, min(_LOOK_EVERY, _LOOK_EVERY_SQUARED // n**2))
        if self.events is not None:
            self.events.roots = functions.roots[1]
        self.numbers = np.zeros(places["relative"].stop)
        self.cursor = memory.new_cursor(
            t=self.t,
            span=float(self.times[-1] - self.times[0]),
            longest=self._longest_step(),
            same=SAME_TIME,
            near_zero=self.near_zero,
            every=1,
            fresh=True,
            grows=growth > 0.0,
            keeps=keeps,
        )
        self.whole_numbers = functions.whole(self)
        # Changes of doses and events act on the memory that the driver works on.
        self.y = self._part("y", n, self.y)
        self.peak = self._part("peak", n, self.peak)
        self.input = self._part("inflow", n)
        self._part("atol", functions.sizes.padded)[:] = 1.0
        self._part("atol", n, settings.atol * TOLERANCE_SHARE)
        self.limit = self._part("floor", n, self.floor)
        rtol = max(TOLERANCE_SHARE * settings.rtol, min(settings.rtol, 2e-13))
        self._part("relative", 3)[:] = rtol, self.share, TOLERANCE_SHARE * growth
        self.turns = self._part("turn_time"), self._part("turn_value")
        for turn in self.turns:
            turn[:] = np.nan
        room = memory.KEPT if keeps else 0
        self.states = np.empty((len(self.times), n))
        self.states.fill(np.nan)
        self.kept = np.zeros(room), np.zeros((room, n))
        # Outputs can be computed at the end where no event sets a parameter.
        self.writes_last = self.events is None or bool(
            self.events.kernels.is_state.all()
        )

    def _outputs(self, problem: Problem) -> OneOutputs:
        """Return the quantities that are kept."""
        return OneOutputs(self.kernels, problem.selection, self.functions.one)

    def _part(
        self, name: str, length: int | None = None, values: FloatArray | None = None
    ) -> FloatArray:
        """Return an array in the memory of the run, with values if any are given."""
        part: FloatArray = self.numbers[self.functions.numbers[name]][:length]
        if values is not None:
            part[:] = values
        return part

    def slope(self) -> FloatArray:
        """Return dy/dt of all states where the run is."""
        # Work arrays of the driver, in which it keeps nothing from call to call.
        time, v, a = self._part("ts"), self._part("v"), self._part("a")
        out = self._part("ft", len(self.y))
        time[0], out[:] = min(self.t, self.latest), 0.0
        kernel = self.functions.one.address
        call_six(kernel, RATES, time, self.y, self.p, v, a, out)
        slope: FloatArray = out + self.input
        if self.frozen is not None:
            slope[self.frozen] = 0.0
        return slope

    def jacobian(
        self, t: float, y: FloatArray
    ) -> tuple[IntArray, IntArray, FloatArray]:
        """Return rows, columns and values of d(dy/dt)/dy, shape (n_w,) each."""
        one, time, a = self.functions.one, self._part("ts"), self._part("a")
        w = np.zeros(len(one.w_row))
        time[0] = t
        # W = diag(hg) − J with hg = 0.
        rows = np.zeros(one.n_state)
        call_six(one.address, FILL, time, np.array(y), self.p, a, w, rows)
        return one.w_row, one.w_column, -w

    def _note_now(self) -> None:
        """Do nothing: the driver keeps the states seen."""

    def _act(self) -> SolverStatus:
        """Act on this moment; a dose begins with a first step anew."""
        before = self.next_dose
        status = super()._act()
        np.maximum(self.peak, np.abs(self.y), out=self.peak)
        c = self.cursor[0]
        c["fresh"] |= self.next_dose != before
        c["began"] = c["known"] = False
        return status

    def _integrate_to(self, end: float) -> SolverStatus:
        """Integrate up to a stop, or to an event before it, and write outputs."""
        if end - self.t <= self._same(end):
            y = self.y
            status = self._advance_without_solver(end)
            y[:], self.y = self.y, y
            return status
        c = self.cursor[0]
        c["t"], c["stop"], c["latest"] = self.t, end, self.latest
        c["before"], c["edge"] = self._before(end), self.edge
        c["left"] = min(self.look_every, self.settings.max_steps - self.n_steps)
        while True:
            why = self._advance()
            status = self._after(why)
            if why in (memory.STOP, memory.CROSSED) or status != SolverStatus.OK:
                return status

    def _advance(self) -> int:
        """Make steps until the driver returns; take over how far it came."""
        c = self.cursor[0]
        why: int = advance(
            self.cursor,
            self.numbers,
            self.whole_numbers,
            self.p,
            self.times,
            self.states,
            *self.kept,
        )
        self.t, self.n_steps = float(c["t"]), int(c["n_steps"])
        due = int(c["due"])
        if due > self.next_output:
            rows = slice(self.next_output, due)
            self._write(rows, self.states[rows])
            self.next_output = due
        return why

    def integrate(self) -> SolverStatus:
        """Go from the first to the last output time; return how it ended."""
        status = super().integrate()
        if self.writes_last:
            super()._write(slice(0, self.next_output), self.states[: self.next_output])
        return status

    def _write(self, rows: slice, states: FloatArray) -> None:
        """Write the outputs of some times, or note the states until the end.

        Parameters
        ----------
        states : float array, shape (n_time, n_state)
        """
        if self.writes_last:
            self.states[rows] = states
        else:
            super()._write(rows, states)

    def _record_now(self) -> None:
        """Write the output at the current time, where one is wanted."""
        super()._record_now()
        self.cursor[0]["due"] = self.next_output

    def _after(self, why: int) -> SolverStatus:
        """Return whether a run may go on after the driver has returned."""
        c = self.cursor[0]
        if why == memory.TOO_SMALL:
            return SolverStatus.STEP_TOO_SMALL
        if why == memory.NOT_FINITE:
            return SolverStatus.NON_FINITE
        if why == memory.UNDEFINED and self.events is not None:
            self.events.note_undefined(self._part("g", len(self.turns[0])))
        if why == memory.CROSSED and self.events is not None:
            self._note_turns()
        if why == memory.LOW:
            # Partners explain it, or the verdict ends the run: look no more until it
            # is lower still.
            lower = -2.0 * self.y - self.share * self.peak
            np.maximum(self.limit, lower, out=self.limit)
        c["left"] = min(self.look_every, self.settings.max_steps - self.n_steps)
        return self._looked(why)

    def _release(self, states: IntArray) -> None:
        """Let some states be negative from here on, in the compiled driver too."""
        super()._release(states)
        self.limit[states] = np.inf
        self.whole_numbers[:] = self.functions.whole(self)

    def _finite_start(self) -> bool:
        """Say whether a run can go on from here; at its end no slope is needed."""
        if self.t >= self.times[-1]:
            return bool(np.isfinite(self.y).all())
        return super()._finite_start()

    def _looked(self, why: int) -> SolverStatus:
        """Return the verdict on where the run is, with a look at the clock."""
        if why == memory.STOP and not self.stop.is_set():
            return SolverStatus.OK  # the driver has looked at all else
        verdict = self._verdict()
        if verdict == SolverStatus.OK and self._late():
            return SolverStatus.TIMEOUT
        return verdict

    def _note_turns(self) -> None:
        """Tell the events which relations ``==`` turn just now."""
        assert self.events is not None
        times, values = self.turns
        for k in np.flatnonzero(~np.isnan(times)).tolist():
            self.events.turns[k] = float(times[k]), float(values[k])
        times[:] = np.nan

    def tolerances(self, states: FloatArray) -> FloatArray:
        """Return the tolerances at the states seen, shape (n_time, n_state)."""
        # Those that growth has reached with the largest value up to each time.
        grown: FloatArray = self.growth * np.maximum.accumulate(np.abs(states), axis=0)
        return np.maximum(grown, self.settings.atol)

    def seen(self) -> tuple[FloatArray, FloatArray]:
        """Return times and states that the run went through, (n,) and (n, n_state)."""
        count = int(self.cursor[0]["n_seen"])
        return self.kept[0][:count], self.kept[1][:count]
