"""How to integrate: method, accuracy and limits, with nothing left open."""

import math
from concurrent.futures import Executor
from dataclasses import dataclass

from mir21sim._typing import FloatArray
from mir21sim.errors import SolverStatus
from mir21sim.solvers.problem import Progress

RETRIED = frozenset(
    {SolverStatus.MAX_STEPS, SolverStatus.STEP_TOO_SMALL, SolverStatus.NON_FINITE}
)
"""Statuses after which a failed run is tried once more by Radau."""


@dataclass(frozen=True, slots=True, eq=False)
class Settings:
    """How to integrate the runs of one model, fully resolved.

    The local error of an accepted step is below ``atol + rtol*abs(y)``, in the norm of
    the method.

    Attributes
    ----------
    method : exact name of a method that supports the model
    rtol : relative tolerance
    atol : float array, shape (n_state,), absolute tolerance in model units
    max_steps : steps that one run may take
    timeout : s of wall time that one run may take
    equilibrate : start from the resting state; read by ``simulation``, not by solvers
    allow_negative : accept amounts below zero
    signed_from_zero : an amount that starts at zero and falls below it at once is taken
        for a variable that may be negative (single runs)
    adapts : ``atol`` is open: each single run finds it from the sizes of its states
    max_step : longest step of a single run, model time
    retried : statuses after which a failed run is tried once more by Radau
    """

    method: str
    rtol: float
    atol: FloatArray
    max_steps: int = 100_000
    timeout: float = 600.0
    equilibrate: bool = False
    allow_negative: bool = False
    signed_from_zero: bool = False
    adapts: bool = False
    max_step: float = math.inf
    retried: frozenset[SolverStatus] = RETRIED


@dataclass(frozen=True, slots=True, eq=False)
class Workers:
    """Number of threads, optional executor (for ``chunks``) and progress callback."""

    n_jobs: int = 1
    executor: Executor | None = None
    progress: Progress | None = None
