"""Runs in parts: on disk while they run, or shared out to other processes."""

import functools
import json
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Executor,
    Future,
    wait,
)
from dataclasses import replace

import numpy as np

from mir21sim._typing import IntArray
from mir21sim.compiler import cache
from mir21sim.compiler import load as library
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import ModelWarning
from mir21sim.model import files as model_files
from mir21sim.simulation.checkpoint import PartialResults
from mir21sim.solvers.interrupt import Stop, ctrl_c_sets
from mir21sim.solvers.methods import is_batch
from mir21sim.solvers.problem import PER_RUN, Problem, Solution, subset
from mir21sim.solvers.settings import Settings, Workers
from mir21sim.solvers.solve import solve

CHUNK = 128
"""Runs that a batch part has for each thread; as many as a thread takes at a time."""

SCIPY_PART = 8
"""Runs of a part by SciPy's methods, which are slower by an order."""


def part_size(method: str, n_jobs: int) -> int:
    """Return the runs per part, the most that an interruption may lose."""
    return CHUNK * n_jobs if is_batch(method) else SCIPY_PART


def integrate_in_parts(
    model: CompiledModel,
    problem: Problem,
    settings: Settings,
    *,
    workers: Workers,
    store: PartialResults | None = None,
) -> tuple[Solution, bool]:
    """Integrate every run; with a store, part by part onto disk.

    With ``workers.executor``, parts go to its workers: any ``concurrent.futures``
    executor, threads, processes or a cluster. Each part is counted once; the parts of a
    dead worker are run again. The numbers do not depend on who computes them.

    Returns
    -------
    results : Solution
    interrupted : bool; finished parts are kept
    """
    executor = workers.executor
    if store is None and executor is None:
        return solve(model, problem, settings, workers)
    if store is not None:
        total, blocks = store.results, store.todo()
    else:
        total = Solution.empty(problem)
        size = part_size(settings.method, 1)
        blocks = [
            np.arange(start, min(len(problem), start + size))
            for start in range(0, len(problem), size)
        ]
    job = _Job(model, problem, settings)
    shared = _Shared(total, store, blocks, workers)
    shared.tell()
    stop = Stop()
    try:
        with ctrl_c_sets(stop):
            if executor is not None:
                blocks = _send(job, shared, executor)
            for block in blocks:
                if stop.is_set():
                    break
                shared.keep(block, *job.here(block, workers))
    except KeyboardInterrupt:
        return total, True
    return total, stop.is_set()


class _Job:
    """The model, runs and settings that all parts of a sweep share."""

    def __init__(
        self, model: CompiledModel, problem: Problem, settings: Settings
    ) -> None:
        self.model, self.problem, self.settings = model, problem, settings

    def here(self, block: IntArray, workers: Workers) -> tuple[Solution, bool]:
        """Run a part in this process."""
        return solve(
            self.model,
            subset(self.problem, block),
            self.settings,
            replace(workers, executor=None, progress=None),
        )

    def sent(self, executor: Executor, block: IntArray) -> "Future[Solution]":
        """Hand a part to an executor."""
        source = json.dumps(
            [self.model.id, dict(self.model.source), self.model.context], sort_keys=True
        )
        backend: cache.Backend = (
            "numba" if self.model.kernels.backend == "numba" else "numpy"
        )
        return executor.submit(
            remote_part,
            source,
            backend,
            subset(self.problem, block),
            settings=self.settings,
        )


class _Shared:
    """The results put together from parts, and the progress."""

    def __init__(
        self,
        total: Solution,
        store: PartialResults | None,
        blocks: Sequence[IntArray],
        workers: Workers,
    ) -> None:
        self.total, self.store, self.blocks = total, store, blocks
        self.workers = workers
        self.n_run = len(total.status)
        self.n_done = self.n_run - sum(map(len, blocks))

    def tell(self) -> None:
        """Report how many runs are done."""
        if self.workers.progress:
            self.workers.progress(self.n_done, self.n_run)

    def keep(self, block: IntArray, made: Solution, interrupted: bool = False) -> None:
        """Put a part in its place, and on disk where it is finished."""
        runs = slice(int(block[0]), int(block[-1]) + 1)
        for name in PER_RUN:
            getattr(self.total, name)[runs] = getattr(made, name)
        if interrupted:
            raise KeyboardInterrupt
        if self.store is not None:
            self.store.keep(runs)
        self.n_done += len(block)
        self.tell()


def _send(job: _Job, shared: _Shared, executor: Executor) -> list[IntArray]:
    """Run parts on an executor; return those that it did not finish.

    Any error of a part counts as one of the executor: the part is run again here, where
    an error of its own comes back.
    """
    waiting: dict[Future[Solution], IntArray] = {}
    left: list[IntArray] = []
    try:
        why = _submit(job, shared, executor, waiting)
        left += shared.blocks[len(waiting) :]
        why = _collect(shared, executor, waiting, left) or why
    finally:
        for future in waiting:
            future.cancel()
    if left:
        warnings.warn(
            f"The executor failed ({why}); the {len(left)} parts that it did not "
            "finish are run here.",
            ModelWarning,
            stacklevel=6,
        )
    return sorted(left, key=lambda block: int(block[0]))


def _submit(
    job: _Job,
    shared: _Shared,
    executor: Executor,
    waiting: dict["Future[Solution]", IntArray],
) -> str:
    """Hand out parts in order until all are out or the executor takes no more.

    A process pool can keep its lock for ever when a process dies while parts are
    written to it, so that ``submit`` never returns: parts are handed out in a thread of
    its own, which is left behind then.
    """
    sent: list[Future[Solution]] = []
    errors: list[Exception] = []
    given_up = threading.Event()

    def hand_out() -> None:
        try:
            for block in shared.blocks:
                if given_up.is_set():
                    return
                sent.append(job.sent(executor, block))
        except Exception as error:  # noqa: BLE001 - of any executor, or its pickling
            errors.append(error)

    thread = threading.Thread(target=hand_out, daemon=True)
    thread.start()
    try:
        thread.join(_LOOK_S)
        while thread.is_alive() and not _is_dead(executor):
            thread.join(_LOOK_S)
    finally:  # Ctrl-C too: the caller cancels the parts that are waited for
        given_up.set()
        waiting.update(zip(list(sent), shared.blocks, strict=False))
    if errors:
        return _named(errors[0])
    return "" if len(waiting) == len(shared.blocks) else "a process died"


def _collect(
    shared: _Shared,
    executor: Executor,
    waiting: dict["Future[Solution]", IntArray],
    left: list[IntArray],
) -> str:
    """Keep finished parts; move the others to `left` and return the first reason."""
    why = ""
    while waiting:
        wait(waiting, _LOOK_S, FIRST_COMPLETED)
        # `wait` does not return futures that were cancelled before they ran.
        done = [future for future in waiting if future.done()]
        if not done and _is_dead(executor):
            left += waiting.values()
            return why or "a process died"
        for future in done:
            block = waiting.pop(future)
            error = CancelledError() if future.cancelled() else future.exception()
            if error is None:
                shared.keep(block, future.result())
            elif isinstance(error, Exception):
                left.append(block)
                why = why or _named(error)
            else:  # Ctrl-C in a worker
                raise error
    return why


_LOOK_S = 2.0
"""Time between two looks at the processes of an executor, s."""


def _is_dead(executor: Executor) -> bool:
    """Return whether an executor has processes and one of them has died.

    A process pool whose process is killed at a bad moment never says so.
    """
    processes = getattr(executor, "_processes", None)
    if not isinstance(processes, dict) or not processes:
        return False
    return not all(process.is_alive() for process in list(processes.values()))


def _named(error: BaseException) -> str:
    """Return the kind of an error and the start of its text."""
    text = " ".join(str(error).split())[:120]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def remote_part(
    source: str,
    backend: cache.Backend,
    problem: Problem,
    *,
    settings: Settings,
) -> Solution:
    """Integrate one part in a worker, which finds the model's kernels in its cache."""
    made, interrupted = solve(_model(source, backend), problem, settings)
    if interrupted:
        raise KeyboardInterrupt
    return made


@functools.lru_cache(maxsize=4)
def _model(source: str, backend: cache.Backend) -> CompiledModel:
    name, texts, context = json.loads(source)
    files = model_files.ModelFiles(name, texts, context)
    return library.assemble(files, backend=backend, unit_policy="ignore")
