"""Runs in parts: on disk while they run, or shared out to other processes."""

import functools
import json
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
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
from mir21sim.solvers.interrupt import ctrl_c_sets
from mir21sim.solvers.methods import is_batch
from mir21sim.solvers.problem import PER_RUN, Problem, Solution
from mir21sim.solvers.settings import Settings, Workers
from mir21sim.solvers.solve import solve, subset

CHUNK = 128
"""Runs that a batch part has for each thread; as many as a thread takes at a time."""

SCIPY_PART = 8
"""Runs of a part by SciPy's methods, which are slower by an order."""


def part_size(method: str, n_jobs: int) -> int:
    """Return the runs per part: what an interruption may cost."""
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
    executor, threads, processes or a cluster. Each part is counted once; what a dead
    worker held is run again. The numbers do not depend on who computes them.

    Returns
    -------
    results : Solution
    interrupted : bool; finished parts are kept
    """
    executor = workers.executor
    if store is None and executor is None:
        return solve(model, problem, settings, workers)
    total = store.results if store is not None else Solution.empty(problem)
    size = store.part_size if store is not None else part_size(settings.method, 1)
    blocks = [
        np.arange(start, min(len(problem), start + size))
        for start in range(0, len(problem), size)
    ]
    todo = [k for k in range(len(blocks)) if store is None or not store.is_done(k)]
    job = _Job(model, problem, settings)
    shared = _Shared(total, store, blocks, todo, workers)
    shared.tell()
    stop = threading.Event()
    try:
        with ctrl_c_sets(stop):
            if executor is not None:
                todo = _send(job, shared, executor)
            for k in todo:
                if stop.is_set():
                    break
                shared.keep(k, *job.here(blocks[k], workers))
    except KeyboardInterrupt:
        return total, True
    return total, stop.is_set()


class _Job:
    """What every part of a sweep has in common."""

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
    """Where parts are put together, and who is told."""

    def __init__(
        self,
        total: Solution,
        store: PartialResults | None,
        blocks: Sequence[IntArray],
        todo: Sequence[int],
        workers: Workers,
    ) -> None:
        self.total, self.store, self.blocks = total, store, blocks
        self.workers, self.todo = workers, todo
        waiting = sum(len(blocks[k]) for k in todo)
        self.n_run = sum(map(len, blocks))
        self.n_done = self.n_run - waiting

    def tell(self) -> None:
        """Report how many runs are done."""
        if self.workers.progress:
            self.workers.progress(self.n_done, self.n_run)

    def keep(self, k: int, made: Solution, interrupted: bool = False) -> None:
        """Put a part in its place; mark it where it is whole."""
        block = slice(int(self.blocks[k][0]), int(self.blocks[k][-1]) + 1)
        for name in PER_RUN:
            getattr(self.total, name)[block] = getattr(made, name)
        if interrupted:
            raise KeyboardInterrupt
        if self.store is not None:
            self.store.mark(k)
        self.n_done += len(self.blocks[k])
        self.tell()


def _send(job: _Job, shared: _Shared, executor: Executor) -> list[int]:
    """Run parts on an executor; return those left when its workers are gone."""
    waiting = {job.sent(executor, shared.blocks[k]): k for k in shared.todo}
    left: list[int] = []
    try:
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                k = waiting.pop(future)
                try:
                    made = future.result()
                except BrokenExecutor:
                    left.append(k)
                else:
                    shared.keep(k, made)
    except KeyboardInterrupt:
        for future in waiting:
            future.cancel()
        raise
    if left:
        warnings.warn(
            f"The workers died; the {len(left)} parts that they held are run here.",
            ModelWarning,
            stacklevel=5,
        )
    return sorted(left)


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
