"""How to integrate: method, tolerances, limits, workers."""

import math
import os
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from mir21sim._typing import FloatArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError
from mir21sim.model.files import shipped
from mir21sim.solvers.method import Method
from mir21sim.solvers.methods import MANY, ONE, is_batch, method_of, usable
from mir21sim.solvers.problem import Progress
from mir21sim.solvers.settings import Settings, Workers

BATCH_RTOL = 1e-4
"""Default relative tolerance of the batch solver, for models of this package's units.

It holds the local error to a twentieth of the tolerance. Largest error of an observable
over its range, at the default treatment: 2e-7 for `earm_1_3`, 6e-8 for `earm2_m1a`,
1e-5 for `mir21_core`, 6e-6 for `mir21_apoptosis`, in 261, 226, 76 and 307 steps. At
1e-6 they are 8e-10, 2e-10, 5e-8 and 3e-8, in four times the steps. LSODA at 1e-6 gives
3e-7, 3e-7, 4e-6 and 4e-5, in 1263, 978, 276 and 1245 steps."""

RTOL = 1e-6
"""Default relative tolerance of a run; ``population`` has another default."""

GUEST_RTOL = 1e-7
"""Default relative tolerance of SciPy's methods for files of others, which may
oscillate for long: at 1e-6 the phase of LSODA was 6e-4 off after 20 periods (BioModels
157). The batch solver has ``RTOL``."""

ONE_RTOL = 1e-6
"""Default relative tolerance of our own method for one run, which holds the local error
to a twentieth of it. Of 12 oscillating BioModels whose curves were more than 1e-4 off
at 3e-6, 8 are within 1e-4 at 1e-6, for 1.3 times the steps (45, 98 and 113 are not, as
errors of the phase grow; nor 718, where libRoadRunner misses an event)."""

ATOL_AT_RTOL = 1e-6
"""Relative tolerance at which a model's ``atol`` applies unchanged."""


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """How to integrate; all of it is written into the result.

    Attributes
    ----------
    method : name of one of ``solvers.methods.METHODS``; None: ``MANY`` there, for one
        run of a file that is not shipped ``ONE``. The first of ``FALLBACKS`` that can
        runs a model that the method does not support: for a batch method (eight runs
        at once) one with events or conditions that depend on its state. A seed for the
        order of equal events is made of the start values
    rtol : relative tolerance of the local error; None: 1e-4 for the batch solver, 1e-6
        for ``ONE`` and the others (see ``BATCH_RTOL`` and ``ONE_RTOL`` for the
        errors), for a guest's file 1e-6 in the batch solver and 1e-7 by SciPy, for the
        cells of a population 1e-3
    atol : absolute tolerance, one number or shape (n_state,); None: from the scale of
        each state, ``model.atol`` at rtol 1e-6 and in proportion to rtol
    max_steps : steps that one run may take
    max_step : longest step, h (a guest's own unit) or text such as ``"1 min"``, for
        short pulses; a batch method gives way to ``ONE``
    timeout : s of wall time that one run may take; in the batch solver seven others run
        beside it
    equilibrate : start from the resting state; None: as the model says
    allow_negative : accept amounts below zero. In a file of others one that starts at
        zero and falls at once is accepted without, with a warning
    n_jobs : threads over runs; None: one per core for the batch solver, else 1, as
        SciPy's solvers hold Python's lock and gain nothing from more
    executor : any ``concurrent.futures`` executor, instead of own threads: a process
        pool, or a client of dask.distributed
    progress : called with (runs finished, runs in all)
    features : find peak, times and area of every quantity by the dense output of the
        solver, so that they do not depend on the output times. None: of few quantities
        where it costs little (``stored_features.wanted``)

    Examples
    --------
    >>> import mir21sim as ms
    >>> options = ms.Options(method="LSODA", rtol=1e-8)
    >>> options.method
    'LSODA'
    """

    method: str | None = None
    rtol: float | None = None
    atol: npt.ArrayLike | None = None
    max_steps: int = 100_000
    max_step: float | str | None = None
    timeout: float = 600.0
    equilibrate: bool | None = None
    allow_negative: bool = False
    n_jobs: int | None = None
    executor: Executor | None = None
    progress: Progress | None = None
    features: bool | None = None

    def resolved(self, model: CompiledModel, *, many: bool) -> Settings:
        """Return the settings for one model, with every default filled in.

        Where the method does not support the model, LSODA takes its place; the result
        names the method that ran.

        Parameters
        ----------
        many : whether the default method is that of many runs or of one

        Raises
        ------
        InputError
            For an unknown method, or a tolerance or limit out of its range.
        """
        guest = model.border.is_guest
        strange = guest or model.id not in shipped()
        default = ONE if strange and not many else MANY
        method = method_of(self.method) if self.method else default
        if self.max_step is not None and is_batch(method.name):
            method = ONE  # the steps of eight runs are bounded by none of them
        if self.max_steps < 1 or not self.timeout > 0:
            raise InputError(
                "`max_steps` must be 1 or more and `timeout` above 0 s, got "
                f"{self.max_steps} and {self.timeout}."
            )
        chosen, rtol = usable(model, method), self.rtol
        single = strange and chosen is ONE
        if rtol is None:
            rtol = _default_rtol(chosen, is_guest=guest)
        rests = self.equilibrate
        return Settings(
            method=chosen.name,
            rtol=rtol,
            atol=absolute_tolerances(model, rtol, self.atol),
            max_steps=self.max_steps,
            timeout=self.timeout,
            equilibrate=model.info.equilibrate if rests is None else rests,
            allow_negative=self.allow_negative,
            signed_from_zero=strange,
            adapts=self.atol is None and (guest or single),
            max_step=self._longest_step(model),
        )

    def _longest_step(self, model: CompiledModel) -> float:
        """Return the longest step in model time; infinity where none is asked for."""
        if self.max_step is None:
            return math.inf
        longest = model.border.time(self.max_step, "max_step") * model.border.per_time
        if not longest > 0:
            raise InputError(f"`max_step` must be above 0, got {self.max_step}.")
        return longest

    def workers(self, settings: Settings, n_run: int) -> Workers:
        """Return the threads, executor and progress callback of some runs."""
        n_jobs = self.n_jobs
        if n_jobs is None:
            n_jobs = os.cpu_count() or 1 if is_batch(settings.method) else 1
        if n_jobs < 1:
            raise InputError(f"`n_jobs` must be 1 or more, got {n_jobs}.")
        return Workers(min(n_jobs, max(1, n_run)), self._executor(), self.progress)

    def _executor(self) -> Executor | None:
        """Return the executor, of a client of dask.distributed its own.

        Raises
        ------
        InputError
            For an object that runs nothing.
        """
        given: Any = self.executor
        if hasattr(given, "get_executor"):
            return cast("Executor", given.get_executor())
        if given is not None and not hasattr(given, "submit"):
            raise InputError(
                "`executor` must be a concurrent.futures executor or a client of "
                f"dask.distributed, got {given!r:.80}."
            )
        return self.executor


def _default_rtol(method: Method, *, is_guest: bool) -> float:
    """Return the relative tolerance of a method where none is asked for."""
    if is_batch(method.name):
        return RTOL if is_guest else BATCH_RTOL
    if method is ONE:
        return ONE_RTOL
    return GUEST_RTOL if is_guest else RTOL


def absolute_tolerances(
    model: CompiledModel, rtol: float, atol: float | npt.ArrayLike | None = None
) -> FloatArray:
    """Return the absolute tolerance of each state; both tolerances must be above 0.

    By default it is in proportion to `rtol`, so that a tighter run is tighter for small
    amounts too.
    """
    if not (math.isfinite(rtol) and 1e-14 <= rtol < 1):
        raise InputError(f"`rtol` must be from 1e-14 to below 1, got {rtol}.")
    if atol is None:
        return model.atol * (rtol / ATOL_AT_RTOL)
    given = np.asarray(atol, dtype=float)
    if given.ndim > 1 or given.shape not in ((), model.atol.shape):
        raise InputError(
            f"`atol` must be a number or have shape {model.atol.shape}, "
            f"got shape {given.shape}."
        )
    if not (np.isfinite(given) & (given > 0)).all():
        raise InputError(f"`atol` must be finite and above 0, got {given.min()}.")
    return np.broadcast_to(given, model.atol.shape).copy()
