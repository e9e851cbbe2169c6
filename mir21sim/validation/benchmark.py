"""Speed of this machine: compile times, runs per second, error reached.

A population of unlike cells is integrated by the batch solver and by SciPy's LSODA at a
ladder of tolerances. Methods are compared at the error that they reach, never at equal
tolerances: equal tolerances give unequal errors.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.analysis.text_tables import TextTable, lines_of
from mir21sim.compiler.load import load
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, SolverError, SolverStatus
from mir21sim.model import files as model_files
from mir21sim.simulation.plan import Plan, doses_or_default, output_times
from mir21sim.simulation.randomness import lognormal_factors
from mir21sim.simulation.steady_state import resting_states
from mir21sim.simulation.translate import translate
from mir21sim.simulation.treatment import Treatment
from mir21sim.solvers.problem import Problem, Schedule, subset
from mir21sim.solvers.settings import Settings, Workers
from mir21sim.solvers.solve import solve

Say: TypeAlias = Callable[[str], None]

POINTS = 101
CV = 0.25
"""Spread of the amounts of the cells, as a share of the mean."""

TARGET = 2e-3
"""The error, abs(y − ref)/(1 + abs(ref)), at which methods are compared."""

LADDER = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
_FEW = 16
"""Cells for the slow methods, the first ones of all."""

TIGHT = 1e-11
"""Tolerances of the reference."""

_RADAU_CELLS = 3
_REPEATS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Timing:
    """One set of runs at one tolerance; times in s for all runs together."""

    method: str
    rtol: float
    wall_s: float
    cpu_s: float
    n_run: int
    failed: int
    values: FloatArray
    n_steps: int

    @property
    def ms_per_run(self) -> float:
        """Wall time of one run, ms."""
        return 1e3 * self.wall_s / self.n_run


def cells(model: CompiledModel, n_cell: int, seed: int = 0) -> Problem:
    """Return unlike cells of one model under its own protocol, all species observed.

    Every amount that a cell starts with, or has at rest where the model starts from
    rest, is multiplied by a lognormal number of mean 1.

    Parameters
    ----------
    n_cell : 1 or more
    seed : equal seeds give equal cells, and the first cells do not depend on `n_cell`
    """
    if n_cell < 1:
        raise InputError(f"The number of cells must be 1 or more, got {n_cell}.")
    treatment = Treatment.of(doses_or_default(model, None))
    times = output_times(model, 0.0, None, POINTS)
    plan = Plan.of(model, treatment, times, observe=model.state_names)
    one = translate(model, plan).problem
    y = one.y0
    if model.info.equilibrate:
        y, status = resting_states(model, one.y0, one.p)
        if status[0] != SolverStatus.OK:
            raise SolverError(
                f"{model.id}: the cell does not come to rest.",
                SolverStatus(status[0]),
            )
    noise = np.random.default_rng(seed).normal(size=(n_cell, y.shape[1]))
    schedule = one.schedule
    return replace(
        one,
        y0=y * lognormal_factors(CV, noise),
        p=np.tile(one.p, (n_cell, 1)),
        schedule=Schedule(
            schedule.time,
            schedule.state,
            schedule.kind,
            np.tile(schedule.value, (n_cell, 1)),
        ),
    )


def timed(
    model: CompiledModel,
    problem: Problem,
    method: str,
    rtol: float,
    *,
    atol: float | None = None,
    n_jobs: int = 1,
) -> Timing:
    """Integrate a set of runs at ``atol = rtol``, or another `atol`, by the clock."""
    settings = Settings(
        method,
        rtol,
        np.full(len(model.state_names), rtol if atol is None else atol),
        max_steps=1_000_000,
        timeout=600.0,
    )
    wall, cpu = time.perf_counter(), time.process_time()
    found, interrupted = solve(model, problem, settings, Workers(n_jobs))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if interrupted:
        raise KeyboardInterrupt
    return Timing(
        method=method,
        rtol=rtol,
        wall_s=wall,
        cpu_s=cpu,
        n_run=len(problem),
        failed=int((found.status != SolverStatus.OK).sum()),
        values=found.values,
        n_steps=int(found.n_steps.sum()),
    )


def max_error(values: FloatArray, reference: FloatArray) -> float:
    """Return the largest abs(y − ref)/(1 + abs(ref)); NaN where no run came through.

    The reference may have fewer runs: the first ones count. A value that is missing,
    because its run failed, does not count here: failures are reported on their own.
    """
    shared = min(len(values), len(reference))
    truth = reference[:shared]
    error = np.abs(values[:shared] - truth) / (1.0 + np.abs(truth))
    finite = error[np.isfinite(error)]
    return float(finite.max()) if finite.size else float("nan")


def reference(
    model: CompiledModel, problem: Problem, n_radau: int
) -> tuple[FloatArray, float]:
    """Return the states that others are measured against, and how sure they are.

    SciPy's Radau takes seconds a run at such tolerances, so it does the first runs and
    the batch solver the others; where both did a run, they must agree.

    Returns
    -------
    values : float array, shape (n_run, n_time, n_state)
    gap : error of the batch solver where Radau is the reference
    """
    radau = timed(model, subset(problem, np.arange(n_radau)), "Radau", TIGHT).values
    values = timed(model, problem, "Rodas5P", TIGHT).values.copy()
    gap = max_error(values, radau)
    values[:n_radau] = radau
    return values, gap


def best(timings: Sequence[Timing], errors: Sequence[float]) -> int | None:
    """Return which is the cheapest that reaches the target without a failed run."""
    good = [
        k
        for k, (timing, error) in enumerate(zip(timings, errors, strict=True))
        if timing.failed == 0 and error <= TARGET
    ]
    return min(good, key=lambda k: timings[k].ms_per_run) if good else None


_CHILD = """
import json, sys, time
start = time.perf_counter()
from mir21sim.compiler import cache, load
imported = time.perf_counter()
from mir21sim.solvers.batch import integrate
driver = time.perf_counter()
model = load.load(sys.argv[1], sys.argv[2])
model.lane_kernels
kernels = time.perf_counter()
from mir21sim.validation import benchmark
benchmark.timed(model, benchmark.cells(model, 8), "Rodas5P", 1e-5)
print(json.dumps({"driver_s": driver - imported, "kernels_s": kernels - driver}))
"""


def start_up(model: str, context: str) -> dict[str, float]:
    """Time the compiling in fresh processes: with empty caches, then with full ones.

    Returns
    -------
    driver_s : the batch solver itself, once per installation
    kernels_s : the kernels of one model, SciPy's and the batch solver's
    cached_kernels_s : the same from the cache
    cached_start_s : from the start of a process to its first results, all cached
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "MIR21SIM_CACHE": str(Path(folder, "models")),
            "NUMBA_CACHE_DIR": str(Path(folder, "numba")),
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path]),
        }

        def child() -> tuple[dict[str, float], float]:
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", _CHILD, model, context],
                env=environment,
                check=True,
                capture_output=True,
                text=True,
            )
            taken = time.perf_counter() - start
            return json.loads(done.stdout.splitlines()[-1]), taken

        cold, _ = child()
        cached, cached_start = min((child() for _ in range(2)), key=lambda c: c[1])
    return {
        "driver_s": cold["driver_s"],
        "kernels_s": cold["kernels_s"],
        "cached_kernels_s": cached["kernels_s"],
        "cached_start_s": cached_start,
    }


def measure(
    model: str, n_cell: int = 256, context: str | None = None, say: Say | None = None
) -> dict[str, Any]:
    """Return this machine's numbers for one model.

    Parameters
    ----------
    say : called with a description of each step; it takes about half a minute in all
    """
    say = say or (lambda _: None)
    compiled = load(model, context)
    problem = cells(compiled, n_cell)
    say("compile times, in processes with empty caches")
    begin = start_up(model, compiled.context or model_files.BASE)
    n_radau = min(n_cell, _RADAU_CELLS)
    say(f"reference, {n_radau} cells of it by Radau")
    truth, gap = reference(compiled, problem, n_radau)
    timings: list[Timing] = []
    some = subset(problem, np.arange(min(n_cell, _FEW)))
    for method, these, ladder in (
        ("Rodas5P", problem, LADDER[:4]),
        ("Rodas4", problem, LADDER[:4]),
        ("LSODA", some, LADDER[1:4]),
    ):
        say(f"{len(these)} cells by {method}")
        timings += [_best_of(compiled, these, method, rtol) for rtol in ladder]
    errors = [max_error(timing.values, truth) for timing in timings]
    say("two threads against one")
    return {
        "machine": machine(),
        "model": compiled.id,
        "context": compiled.context,
        "n_state": len(compiled.state_names),
        "n_cell": n_cell,
        "n_few": len(some),
        "n_radau": n_radau,
        "gap": gap,
        "end": float(problem.times[-1]) * compiled.seconds_per_time,
        **begin,
        "timings": timings,
        "errors": errors,
        "threads": threads(compiled, problem),
    }


def _best_of(
    model: CompiledModel, problem: Problem, method: str, rtol: float
) -> Timing:
    found = [timed(model, problem, method, rtol) for _ in range(_REPEATS)]
    return min(found, key=lambda timing: timing.wall_s)


def threads(
    model: CompiledModel, problem: Problem, rtol: float = 1e-5
) -> dict[str, float]:
    """Return wall seconds of one thread and of two, over the runs several times."""
    many = subset(problem, np.arange(max(2048, len(problem))) % len(problem))
    one, two = [], []
    for _ in range(_REPEATS):
        one.append(timed(model, many, "Rodas5P", rtol, n_jobs=1).wall_s)
        two.append(timed(model, many, "Rodas5P", rtol, n_jobs=2).wall_s)
    return {"n_run": len(many), "one_s": min(one), "two_s": min(two)}


def machine() -> str:
    """Return the processor's name and the number of its cores that we may use."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8").splitlines()
        named = [x.partition(":")[2].strip() for x in lines if x.startswith("model na")]
        name = named[0] if named else name
    return f"{name}, {os.cpu_count()} cores"


def text(found: dict[str, Any]) -> str:
    """Return the numbers of ``measure`` as a page to read."""
    timings, errors = found["timings"], found["errors"]
    context = f" ({found['context']})" if found["context"] else ""
    hours = found["end"] / 3600
    lines = [
        f"{found['machine']}, Python {platform.python_version()}",
        f"{found['model']}{context}, {found['n_state']} species, to {hours:.3g} h",
        f"{found['n_cell']} unlike cells (CV {CV:g}), {POINTS} output times",
        "",
        f"driver compile, once per installation  {found['driver_s']:8.2f} s",
        f"kernels of this model, cold            {found['kernels_s']:8.2f} s",
        f"kernels of this model, cached          {found['cached_kernels_s']:8.2f} s",
        f"cached start to first results          {found['cached_start_s']:8.2f} s",
        "",
    ]
    titles = ("method", "rtol = atol", "ms/run", "runs/s/core", "max error", "failed")
    rows = tuple(
        (
            *(timing.method, f"{timing.rtol:.0e}", f"{timing.ms_per_run:.3f}"),
            *(f"{1e3 / timing.ms_per_run:.0f}", f"{error:.1e}", str(timing.failed)),
        )
        for timing, error in zip(timings, errors, strict=True)
    )
    lines += lines_of(TextTable(titles, rows, frozenset(range(1, 6))))
    lines += [
        "(max error: abs(y - ref)/(1 + abs(ref)) over all species, times and cells, of",
        f"which LSODA has {found['n_few']}; reference: Rodas5P at {TIGHT:g}, which is",
        f"within {found['gap']:.1e} of Radau at {TIGHT:g} on {found['n_radau']} cells)",
        "",
        _verdict(timings, errors),
        _threads_text(found["threads"]),
    ]
    return "\n".join(lines)


def _verdict(timings: Sequence[Timing], errors: Sequence[float]) -> str:
    """Return the comparison of the batch solver with LSODA at the target error."""
    groups = [
        [k for k, t in enumerate(timings) if (t.method == "LSODA") == slow]
        for slow in (False, True)
    ]
    chosen = []
    for group in groups:
        place = best([timings[k] for k in group], [errors[k] for k in group])
        if place is None:
            return f"No comparison: a method never reached an error of {TARGET:g}."
        chosen.append(timings[group[place]])
    ours, theirs = chosen
    ratio = theirs.ms_per_run / ours.ms_per_run
    return (
        f"at an error of {TARGET:g} or less: {ours.method} at {ours.rtol:.0e} "
        f"{ours.ms_per_run:.3f} ms, LSODA at {theirs.rtol:.0e} "
        f"{theirs.ms_per_run:.1f} ms: {ratio:.0f} times as fast"
    )


def _threads_text(found: dict[str, float]) -> str:
    if (os.cpu_count() or 1) < 2:
        return "two threads against one: not measured, there is one core"
    ratio = found["one_s"] / found["two_s"]
    return (
        f"two threads against one, {found['n_run']:.0f} runs: {found['two_s']:.2f} s "
        f"against {found['one_s']:.2f} s, {ratio:.2f} times as fast"
    )
