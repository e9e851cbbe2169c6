"""Records of arrays that the compiled driver takes and works on.

Numba passes a NamedTuple to compiled code, and caches functions that take one, as long
as its class is in an importable module. Letters: n states, s stages, 8 lanes.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import from_dtype, types

from mir21sim._typing import BoolArray, FloatArray, IntArray
from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.solvers.batch.lane_arrays import HELPER, zeros_of

INLINED = HELPER | {"inline": "always"}
"""For functions called at every step. Numba counts references of every array that it
passes: by calls, a step of a model of 30 states took a third longer."""

_F8, _I8, _BIT = types.float64, types.int64, types.boolean
_F1, _F2, _F3, _F4 = (types.Array(_F8, n, "C") for n in (1, 2, 3, 4))
_I1, _B1 = types.Array(_I8, 1, "C"), types.Array(_BIT, 1, "C")


# --------------------------------------------------------------- given by the caller
class Scheme(NamedTuple):
    """A Rosenbrock method (``tableau``): A, C (s, s); alpha, D (s,); H (3·s,)."""

    # H is flat: the driver's kernel reads H_mj at m·s + j.
    A: FloatArray
    C: FloatArray
    alpha: FloatArray
    D: FloatArray
    H: FloatArray
    gamma: float
    order: int
    chained: IntArray


class Sizes(NamedTuple):
    """Rows of the arrays that kernels fill, and whether rates depend on time."""

    # v (n_rate, 8), a (n_a, 8) with the least pivot share in its last row, w (n_w, 8).
    n_rate: int
    n_a: int
    n_w: int
    has_time: bool


class Starts(NamedTuple):
    """Start values (n_run, n), parameters (n_run, n_param), indices of held states."""

    y: FloatArray
    p: FloatArray
    held: IntArray


class Doses(NamedTuple):
    """Breakpoints (n_dose,) and amounts (n_run, n_dose); whether any is an infusion."""

    time: FloatArray
    state: IntArray
    kind: IntArray
    value: FloatArray
    any_rate: bool


class Outputs(NamedTuple):
    """Output times, indices of the states to keep, and (n_run, n_time, n_need)."""

    times: FloatArray
    need: IntArray
    states: FloatArray


class Limits(NamedTuple):
    """Tolerances and limits of a run.

    ``relative`` holds rtol and the share of its peak by which an amount may be
    negative; ``floor`` (n,) is allowed on top, infinite where any value is.
    """

    # Two numbers: (rtol, share of the peak).
    relative: FloatArray
    atol: FloatArray
    floor: FloatArray
    max_steps: int


class Ends(NamedTuple):
    """How each run ended, and marks shared with the thread that watches the clock.

    The driver sets ``begun`` when it takes a run, and ends it where ``halt`` is set.
    """

    # (n_run,) each, and y (n_run, n): the state at which the run ended.
    status: IntArray
    t: FloatArray
    y: FloatArray
    n_steps: IntArray
    n_rejected: IntArray
    begun: BoolArray
    halt: BoolArray


class Trail(NamedTuple):
    """Accepted steps: t, h (n_run, n_kept) at their start, y (n_run, n_kept, n), count.

    ``nodes`` (n_run, n_kept, 5, n_need) holds the needed states at the shares 0, 1/4, …
    1 of each step, which determine the dense output. ``n`` counts all steps, also those
    for which there is no room; states and nodes have room for none where they are not
    wanted.
    """

    t: FloatArray
    h: FloatArray
    y: FloatArray
    nodes: FloatArray
    n: IntArray

    @classmethod
    def empty(
        cls, n_run: int, n_kept: int, n_state: int = 0, n_need: int = 0
    ) -> "Trail":
        """Return a trail without steps that has room for `n_kept` of them.

        Parameters
        ----------
        n_state : states to keep at the start of each step, all of them or 0
        n_need : needed states to keep at the nodes of each step, all of them or 0
        """
        return cls(
            np.zeros((n_run, n_kept)),
            np.zeros((n_run, n_kept)),
            np.zeros((n_run, n_kept if n_state else 0, n_state)),
            np.zeros((n_run, n_kept if n_need else 0, 5, n_need)),
            np.zeros(n_run, np.int64),
        )

    def trimmed(self) -> "Trail":
        """Return a copy without the room that no run needed."""
        # n may be larger than the room; the slice then ends at the room.
        most = int(self.n.max(initial=0))
        t, h, y = (np.array(x[:, :most], order="C") for x in (self.t, self.h, self.y))
        return Trail(t, h, y, self.nodes[:, :most], self.n)


SCHEME = types.NamedTuple([_F2, _F2, _F1, _F1, _F1, _F8, _I8, _I1], Scheme)
SIZES = types.NamedTuple([_I8, _I8, _I8, _BIT], Sizes)
STARTS = types.NamedTuple([_F2, _F2, _I1], Starts)
DOSES = types.NamedTuple([_F1, _I1, _I1, _F2, _BIT], Doses)
OUTPUTS = types.NamedTuple([_F1, _I1, _F3], Outputs)
LIMITS = types.NamedTuple([_F1, _F1, _F1, _I8], Limits)
ENDS = types.NamedTuple([_I1, _F1, _F2, _I1, _I1, _B1, _B1], Ends)
TRAIL = types.NamedTuple([_F2, _F2, _F3, _F4, _I1], Trail)


# ------------------------------------------------------ worked on by the driver alone
class State(NamedTuple):
    """Where each lane is: time (1, 8), states (n, 8), parameters (n_param, 8).

    ``peak`` (n, 8) is the largest absolute value of each state so far, ``inflow``
    (n_dose, 8) the rates of the infusions that have begun.
    """

    t: FloatArray
    y: FloatArray
    p: FloatArray
    peak: FloatArray
    inflow: FloatArray


class Step(NamedTuple):
    """Arrays of one step of all lanes.

    u : stages (s, n, 8)
    ts, ys : time (1, 8) and state (n, 8) of a stage; after the step, its end
    ft : explicit ∂f/∂t (n, 8)
    v, a, w : rates, rule variables and pivot shares, factors of W; (rows, 8)
    dense : coefficients of the interpolant (3, n_need, 8)
    per_h, hg : 1/h (1, 8) and 1/(hγ) (n, 8)
    error, low : scaled error and least margin above zero, (1, 8)
    taken : 1 where the step is accepted, (1, 8)
    """

    u: FloatArray
    ts: FloatArray
    ys: FloatArray
    ft: FloatArray
    v: FloatArray
    a: FloatArray
    w: FloatArray
    dense: FloatArray
    per_h: FloatArray
    hg: FloatArray
    error: FloatArray
    low: FloatArray
    taken: FloatArray


LANE = np.dtype(
    [
        ("h", np.float64),  # length of this step
        ("h_next", np.float64),  # length of the next step
        ("h_old", np.float64),  # length of the last accepted step, where `began`
        ("e_old", np.float64),  # error of the last accepted step, where `began`
        ("stop", np.float64),  # next breakpoint or the end
        ("run", np.int64),  # run in the lane, -1 for none
        ("due", np.int64),  # next output
        ("dose", np.int64),  # next dose
        ("n_steps", np.int64),
        ("n_rejected", np.int64),
        ("ending", np.int64),  # status with which the run ends after this step, or -1
        ("fresh", np.bool_),  # at the start or behind a breakpoint, without step size
        ("after_reject", np.bool_),  # the last step was rejected
        ("began", np.bool_),  # a step was accepted since the breakpoint
        ("hits", np.bool_),  # the step ends at `stop`
    ]
)
"""Step size control and bookkeeping of one lane.

A record, not a tuple of arrays: Numba counts references of every array that it passes,
which took as long as a step of a small model.
"""


def new_state(n: int, n_param: int, n_dose: int) -> State:
    """Return eight empty lanes."""
    rows = (1, n, n_param, n, n_dose)
    return State(*zeros_of(*((count, LANES) for count in rows)))


def new_step(s: int, n: int, n_need: int, sizes: Sizes) -> Step:
    """Return the arrays of a step."""
    rows = (1, n, n, sizes.n_rate, sizes.n_a, sizes.n_w)
    made = Step(
        *zeros_of(
            (s, n, LANES),
            *((count, LANES) for count in rows),
            (3, n_need, LANES),
            *((count, LANES) for count in (1, n, 1, 1, 1)),
        )
    )
    # Of steps of 1, which empty lanes take.
    made.per_h.fill(1.0)
    made.hg.fill(1.0)
    return made


def _empty_lanes() -> Any:
    lanes = np.zeros(LANES, LANE)
    # No run; an empty lane takes steps of 1 (``control.choose_steps``).
    lanes["run"] = -1
    for name in ("h", "h_next", "h_old", "e_old"):
        lanes[name] = 1.0
    return lanes


_EMPTY = _empty_lanes()


def new_lanes() -> Any:
    """Return the records of eight empty lanes; record array ``LANE``, shape (8,)."""
    return _EMPTY.copy()


STATE = types.NamedUniTuple(_F2, 5, State)
STEP = types.NamedTuple([_F3, *[_F2] * 6, _F3, *[_F2] * 5], Step)
LANE_RECORDS = types.Array(from_dtype(LANE), 1, "C")
