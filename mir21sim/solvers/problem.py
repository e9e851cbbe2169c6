"""Initial value problems and their solutions: arrays only.

Every method takes a ``Problem`` and returns a ``Solution``; names, units and labels
stay outside.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np

from mir21sim._typing import BoolArray, FloatArray, IntArray
from mir21sim.errors import SolverStatus

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (runs finished, runs in all), in the main thread."""


class Action(IntEnum):
    """The action of a dose on its state at its time."""

    ADD = 0  # y += value
    SET = 1  # y = value
    RATE = 2  # dy/dt += value from now on


class Source(IntEnum):
    """Where a selected output comes from."""

    STATE = 0
    ASSIGNED = 1
    RATE = 2
    PARAM = 3


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Breakpoints of all runs: equal times, values of each run's own.

    Attributes
    ----------
    time : float array, shape (n_action,), ascending; model time
    state : int array, shape (n_action,)
    kind : int array, shape (n_action,), of ``Action``
    value : float array, shape (n_run, n_action)
    """

    time: FloatArray
    state: IntArray
    kind: IntArray
    value: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Which quantities to keep, and the factor that gives them their unit.

    Attributes
    ----------
    source, index : int arrays, shape (n_select,)
    divisor_source, divisor : int arrays, shape (n_select,): the quantity that divides;
        index -1 for none
    scale : float array, shape (n_select,)
    """

    source: IntArray
    index: IntArray
    divisor_source: IntArray
    divisor: IntArray
    scale: FloatArray

    def uses(self, kind: Source) -> bool:
        """Return whether any selected quantity or its divisor is of a kind."""
        divides = (self.divisor_source == kind) & (self.divisor >= 0)
        return bool((self.source == kind).any() or divides.any())


FEATURES = (
    "baseline", "peak", "peak_time", "lag", "t_half", "switch_time", "max_rate",
    "area", "final_fraction", "half_level",
)  # fmt: skip
"""Features of a curve since a reference time, in the order of ``Solution.features``.

Times are from the reference time on: of the peak; to a tenth and to half of the rise;
from a tenth to nine tenths of it; until one half is first reached, infinite for never.
A curve without a rise has no times; only a share has a time of one half.
"""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureRequest:
    """Which features of the selected quantities to find.

    Attributes
    ----------
    since : float array, shape (n_since,), model times from which on features count
    shares : bool array, shape (n_select,), the quantities without a unit
    """

    since: FloatArray
    shares: BoolArray

    @property
    def n_row(self) -> int:
        """Number of features of a quantity: all of them for each reference time."""
        return len(FEATURES) * len(self.since)


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A set of initial value problems of one model.

    Attributes
    ----------
    y0 : float array, shape (n_run, n_state)
    p : float array, shape (n_run, n_param)
    times : float array, shape (n_time,), ascending, first is the start; model time
    schedule : the doses
    selection : the quantities to keep at each of ``times``
    amounts : bool array, shape (n_state,): states that must not become negative
    frozen : bool array, shape (n_state,): states that reactions do not change; or None
    features : features to find of the selected quantities, from the steps of each run
        and not from the output times; None for none
    """

    y0: FloatArray
    p: FloatArray
    times: FloatArray
    schedule: Schedule
    selection: Selection
    amounts: BoolArray
    frozen: BoolArray | None = None
    features: FeatureRequest | None = None

    def __len__(self) -> int:
        return len(self.y0)


def negative_slack(rtol: float, atol: FloatArray) -> tuple[float, FloatArray]:
    """Return how far below zero an amount may be by numerical error alone.

    Returns
    -------
    share : of the largest value that the amount had in its run
    floor : float array, shape (n_state,), on top of it
    """
    return max(10.0 * rtol, 1e-4), 1e3 * atol


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """The results of each run; NaN after the moment at which a run stopped.

    Attributes
    ----------
    values : float array, shape (n_run, n_time, n_select)
    status : int array, shape (n_run,), of ``SolverStatus``
    t_end, y_end : how far each run came and its state there
    n_steps, n_rejected, n_rhs, n_jac : work of each run
    n_events : events executed
    culprit : int array, shape (n_run,), the event at which a run failed, -1 for none
    method : int array, shape (n_run,), index into ``methods.METHODS``, −1 for none
    signed : int array, shape (n_run,), an amount that was let below zero as it starts
        there (``Settings.signed_from_zero``), −1 for none
    features : float array, shape (n_run, n_row, n_select), of ``FEATURES`` in model
        time, for one reference time after the other; NaN for a run that did not end
        well; n_row is 0 where none are wanted
    """

    values: FloatArray
    status: IntArray
    t_end: FloatArray
    y_end: FloatArray
    n_steps: IntArray
    n_rejected: IntArray
    n_rhs: IntArray
    n_jac: IntArray
    n_events: IntArray
    culprit: IntArray
    method: IntArray
    signed: IntArray
    features: FloatArray

    @classmethod
    def empty(cls, problem: Problem, *, selected: bool = True) -> "Solution":
        """Return results in memory in which no run has run: NaN and NOT_RUN.

        Parameters
        ----------
        selected : False where the caller has an array of its own for ``values``; they
            are then one NaN, broadcast, and read-only
        """
        counts = np.empty((len(_COUNTS), len(problem)), np.int64)
        counts[:] = _FILLS
        arrays: dict[str, Any] = dict(zip(_COUNTS, counts, strict=True))
        for name, shape in _shapes(problem).items():
            if name == "values" and not selected:
                arrays[name] = np.broadcast_to(np.nan, shape)
            else:
                arrays[name] = np.empty(shape)
                arrays[name].fill(np.nan)
        return cls._of(arrays)

    @classmethod
    def allocated(
        cls,
        problem: Problem,
        make: Callable[[str, tuple[int, ...], type[np.generic], float], Any],
    ) -> "Solution":
        """Return results in which no run has run, in arrays that the caller makes.

        Parameters
        ----------
        make : ``(name, shape, kind, fill)`` → array; each quantity is contiguous in
            the one for ``values``, so that labelling it copies nothing
        """
        arrays = {
            name: make(name, (len(problem),), np.int64, fill)
            for name, fill in _COUNTS.items()
        }
        for name, shape in _shapes(problem).items():
            arrays[name] = make(name, shape, np.float64, np.nan)
        return cls._of(arrays)

    @classmethod
    def _of(cls, arrays: dict[str, Any]) -> "Solution":
        """Return results in arrays of ``_shapes`` and ``_COUNTS``."""
        return cls(**arrays | {"values": arrays["values"].transpose(1, 2, 0)})


def _shapes(problem: Problem) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays of numbers in memory."""
    n_run, n_state = problem.y0.shape
    n_select = len(problem.selection.source)
    n_row = 0 if problem.features is None else problem.features.n_row
    return {
        "values": (n_select, n_run, len(problem.times)),
        "t_end": (n_run,),
        "y_end": (n_run, n_state),
        "features": (n_run, n_row, n_select),
    }


_COUNTS = {
    "status": SolverStatus.NOT_RUN,
    "n_steps": 0,
    "n_rejected": 0,
    "n_rhs": 0,
    "n_jac": 0,
    "n_events": 0,
    "culprit": -1,
    "method": -1,
    "signed": -1,
}
_FILLS = np.array([[fill] for fill in _COUNTS.values()], dtype=np.int64)
PER_RUN = tuple(field.name for field in fields(Solution))
"""Names of the arrays of a Solution, all with the runs along their first axis."""


def subset(problem: Problem, which: IntArray) -> Problem:
    """Return some of the runs, in the order given."""
    schedule = problem.schedule
    return replace(
        problem,
        y0=problem.y0[which],
        p=problem.p[which],
        schedule=Schedule(
            schedule.time, schedule.state, schedule.kind, schedule.value[which]
        ),
    )
