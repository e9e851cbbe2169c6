"""How to integrate: method, tolerances, limits, workers."""

from concurrent.futures import Executor
from dataclasses import dataclass

import numpy.typing as npt

from mir21sim.compiler.model import CompiledModel
from mir21sim.solvers.methods import MANY, ONE, method_of, usable
from mir21sim.solvers.problem import Progress

RTOL = 1e-6
"""Relative tolerance of runs where none is asked for; ``population`` has its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """How to integrate; all of it is written into the result.

    Attributes
    ----------
    method : "Rodas5P" or "Rodas4" (the batch solver: eight runs at once), or SciPy's
        "LSODA", "BDF" or "Radau"; None: LSODA for one run, Rodas5P for many. A model
        with events, or with conditions on time in its rates, takes LSODA for a batch
        method; a seed for the order of equal events is made of the start values
    rtol : relative tolerance of the local error; None: 1e-6, for the cells of a
        population 1e-3
    atol : absolute tolerance, one number or shape (n_state,); None: from the scale of
        each state, ``model.atol`` at rtol 1e-6 and in proportion to rtol
    max_steps : steps that one run may take
    timeout : s of wall time that one run may take; in the batch solver seven others run
        beside it
    equilibrate : start from the resting state; None: as the model says
    allow_negative : accept amounts below zero
    n_jobs : threads over runs; None: one per core for the batch solver, else 1, as
        SciPy's solvers hold Python's lock and gain nothing from more
    executor : any ``concurrent.futures`` executor, instead of own threads: a process
        pool, or ``client.get_executor()`` of dask.distributed
    progress : called with (runs finished, runs in all)
    """

    method: str | None = None
    rtol: float | None = None
    atol: npt.ArrayLike | None = None
    max_steps: int = 100_000
    timeout: float = 600.0
    equilibrate: bool | None = None
    allow_negative: bool = False
    n_jobs: int | None = None
    executor: Executor | None = None
    progress: Progress | None = None

    @property
    def relative_tolerance(self) -> float:
        """What ``rtol`` is, where it is left open too."""
        return RTOL if self.rtol is None else self.rtol


def choose_method(model: CompiledModel, method: str | None, kind: str) -> str:
    """Return the method's exact name, or the default for one run or many.

    Upper and lower case do not matter. Where the batch solver cannot run the model,
    LSODA takes its place; the result says which method ran.
    """
    default = ONE if kind == "simulate" else MANY
    return usable(model, method_of(method) if method else default).name
