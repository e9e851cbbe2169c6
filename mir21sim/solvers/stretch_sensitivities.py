"""Exact derivatives of runs whose breakpoints are doses alone.

Two ways to the same derivatives. *Tangents* (``stretch_tangents``) carry directions
forward: a column is a direction in parameters, start values and doses together, so a
scale, a condition or an initial assignment is a seed. *The adjoint*
(``record_stretch``, then ``RecordedRuns.adjoint``) gives the gradient of one number of
the outputs by everything, for the cost of a few runs whatever the number of parameters.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from mir21sim._typing import BoolArray, FloatArray, IntArray
from mir21sim.compiler import cache
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, SolverStatus
from mir21sim.solvers.batch.rodas4 import RODAS4
from mir21sim.solvers.batch.rodas5p import RODAS5P
from mir21sim.solvers.batch.rosenbrock import needed_states
from mir21sim.solvers.methods import NAMES, SECOND_TRY
from mir21sim.solvers.problem import PER_RUN, Problem, Solution, subset
from mir21sim.solvers.settings import Settings, Workers
from mir21sim.solvers.solve import solve

if TYPE_CHECKING:
    from mir21sim.compiler.build_lane_kernels import LaneKernels
    from mir21sim.compiler.build_sensitivity_kernels import SensitivityKernels
    from mir21sim.solvers.batch.records import Trail

Use: TypeAlias = "Callable[[int, int, Trail, FloatArray, BoolArray], None]"
"""Called with (first, last, steps, states at the output times, which runs ended well)
in the working thread."""

TABLEAUX = {tableau.name: tableau for tableau in (RODAS5P, RODAS4)}
"""Methods whose steps have derivatives."""

TRAIL_RUNS = 32
"""Runs in a chunk whose steps are kept: their states are to fit into memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Seeds:
    """Directions in which the numbers of each run change, one a column.

    Any array may be a view that repeats one row (``numpy.broadcast_to``).

    Attributes
    ----------
    p : float array, shape (n_run, n_column, n_param), dp/dθ
    y0 : float array, shape (n_run, n_column, n_state), dy0/dθ; a start value that is a
        formula of parameters has its derivative here (``start_seeds``)
    dose : float array, shape (n_run, n_column, n_action), change of
        ``problem.schedule.value``
    dose_time : float array, shape (n_run, n_column, n_action), change of
        ``problem.schedule.time``
    """

    p: FloatArray
    y0: FloatArray
    dose: FloatArray
    dose_time: FloatArray

    @classmethod
    def of(
        cls,
        problem: Problem,
        p: FloatArray | None = None,
        y0: FloatArray | None = None,
        dose: FloatArray | None = None,
        dose_time: FloatArray | None = None,
    ) -> "Seeds":
        """Return seeds with zeros for the parts that are not given.

        A part of shape (n_column, …) holds for all runs.
        """
        given = [part for part in (p, y0, dose, dose_time) if part is not None]
        if not given:
            raise InputError("Seeds need a direction: p, y0, dose or dose_time.")
        n_column = given[0].shape[-2]
        n_action = len(problem.schedule.time)
        sizes = (problem.p.shape[1], problem.y0.shape[1], n_action, n_action)
        parts = []
        for part, size in zip((p, y0, dose, dose_time), sizes, strict=True):
            whole = np.zeros((1, 1)) if part is None else np.asarray(part, float)
            parts.append(np.broadcast_to(whole, (len(problem), n_column, size)))
        return cls(*parts)

    @property
    def n_column(self) -> int:
        """Number of columns."""
        return int(self.p.shape[1])


class Moment(NamedTuple):
    """A moment of a run that may move.

    Attributes
    ----------
    time : model time
    tangents : float array, shape (n_column,), its change along each column
    """

    time: float
    tangents: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class TangentSolution:
    """Runs with the tangents of their selected quantities.

    Attributes
    ----------
    solution : Solution, as without tangents
    tangents : float array, shape (n_run, n_time, n_select, n_column); NaN for a run
        that did not end well by the batch solver
    reasons : per run "", or the reason why its tangents are NaN
    moments : per run, those of events and conditions on time; empty without any
    """

    solution: Solution
    tangents: FloatArray
    reasons: tuple[str, ...]
    moments: tuple[tuple[Moment, ...], ...] = ()


def stretch_tangents(
    model: CompiledModel,
    problem: Problem,
    settings: Settings,
    seeds: Seeds,
    workers: Workers | None = None,
) -> TangentSolution:
    """Integrate every run and the tangents of its selected quantities."""
    run = _Recording.of(model, problem, settings, states=False)
    made = model_kernels(model)
    found = np.full((*run.shape, seeds.n_column), np.nan)
    worker = _TangentWorker(run, made, seeds, found)
    solution = run.solve(workers or Workers(), worker.use)
    return TangentSolution(solution, found, reasons(solution, settings.method))


def model_kernels(model: CompiledModel) -> "SensitivityKernels":
    """Return the kernels for derivatives of a model."""
    return cache.sensitivity_kernels(model.network, model.kernel_key)


def reasons(solution: Solution, method: str) -> tuple[str, ...]:
    """Return why the derivatives of each run are NaN, "" where they are not."""
    number = NAMES.index(method)
    return tuple(
        _reason(SolverStatus(int(status)), NAMES[int(by)], rescued=by != number)
        for status, by in zip(solution.status, solution.method, strict=True)
    )


def _reason(status: SolverStatus, by: str, *, rescued: bool) -> str:
    if status != SolverStatus.OK:
        return f"The run failed: {status.message}"
    if rescued:
        return (
            f"The run was repeated by {by}, whose steps have no derivatives; loosen "
            "`rtol` or look at its parameters."
        )
    return ""


@dataclass(frozen=True, slots=True, eq=False)
class _Recording:
    """A problem for the batch solver whose accepted steps are kept."""

    model: CompiledModel
    problem: Problem
    settings: Settings
    need: IntArray
    lanes: "LaneKernels"
    states: bool

    @classmethod
    def of(
        cls, model: CompiledModel, problem: Problem, settings: Settings, *, states: bool
    ) -> "_Recording":
        """Note what a problem needs."""
        lanes = model.lane_kernels
        assert lanes is not None
        need = needed_states(model, problem)
        return cls(model, problem, settings, need, lanes, states)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n_run, n_time, n_select)."""
        problem = self.problem
        return len(problem), len(problem.times), len(problem.selection.source)

    def solve(self, workers: Workers, use: "Use") -> Solution:
        """Integrate all runs; `use` gets the steps and states of every chunk."""
        from mir21sim.solvers.batch import integrate as batch
        from mir21sim.solvers.batch.outputs import Observer

        n_run, n_time, n_select = self.shape
        values = np.full((n_select, n_run, n_time), np.nan)
        kept: dict[int, tuple[FloatArray, BoolArray]] = {}
        problem, settings = self.problem, self.settings
        observer = Observer.of(self.lanes, problem.selection, self.need)

        def keep(first: int, last: int, states: FloatArray, found: Solution) -> None:
            kept[first] = states, found.status[first:last] == SolverStatus.OK
            p = problem.p[first:last]
            observer.fill(problem.times, states, p, first, values)

        def after(first: int, last: int, trail: "Trail") -> None:
            use(first, last, trail, *kept.pop(first))

        amounts = np.zeros_like(problem.amounts)
        found, interrupted = batch.integrate_runs(
            self.lanes,
            replace(problem, amounts=amounts) if settings.allow_negative else problem,
            settings,
            tableau=TABLEAUX[settings.method],
            need=self.need,
            keep=keep,
            n_jobs=workers.n_jobs,
            progress=workers.progress,
            recorder=batch.Recorder(after, TRAIL_RUNS, states=self.states),
        )
        if interrupted:
            raise KeyboardInterrupt
        found.method[:] = NAMES.index(settings.method)
        found = replace(found, values=values.transpose(1, 2, 0))
        rescue(self.model, self.problem, self.settings, found)
        return found


def rescue(
    model: CompiledModel, problem: Problem, settings: Settings, found: Solution
) -> None:
    """Give failed runs their second try by Radau; they have no derivatives."""
    again = np.flatnonzero(np.isin(found.status, [int(s) for s in settings.retried]))
    if again.size:
        second, interrupted = solve(
            model, subset(problem, again), replace(settings, method=SECOND_TRY.name)
        )
        if interrupted:
            raise KeyboardInterrupt
        for name in PER_RUN:
            getattr(found, name)[again] = getattr(second, name)


class _TangentWorker:
    """Repeats the steps of a chunk with tangents, in the thread that made them."""

    def __init__(
        self, run: _Recording, made: "SensitivityKernels", seeds: Seeds, out: FloatArray
    ) -> None:
        from mir21sim.solvers.batch.tangent_columns import parameter_terms

        self.run, self.made, self.seeds, self.out = run, made, seeds, out
        self.terms = np.concatenate([made.by_param, made.by_param_extra])
        self.moves = parameter_terms(made.by_param, made.n_rule, run.model.kernels)

    def use(
        self, first: int, last: int, trail: "Trail", states: FloatArray, ok: BoolArray
    ) -> None:
        """Fill the tangents of the runs `first` to `last`."""
        from mir21sim.solvers.batch import (
            output_tangents,
            replay,
            tangent_columns,
            tangents,
        )

        problem, seeds, need = self.run.problem, self.seeds, self.run.need
        block = slice(first, last)
        parts = (seeds.p, seeds.y0, seeds.dose, seeds.dose_time)
        directions = tangent_columns.Directions(
            *(np.array(part[block], order="C") for part in parts)
        )
        jobs = tangent_columns.jobs(
            np.where(ok, trail.n, -1),
            seeds.n_column,
            need,
            self.moves,
            shifts=bool(directions.dose_time.any()),
        )
        inner = np.full(
            (last - first, seeds.n_column, len(problem.times), len(need)), np.nan
        )
        names = ("partials", "second", "inner", "stage")
        lanes = self.run.lanes
        tableau = TABLEAUX[self.run.settings.method]
        again = replay.recorded(lanes, self.made, tableau, problem, block, trail)
        tangents.replay_tangents(
            lanes.rates,
            lanes.matrix,
            lanes.solve,
            lanes.time,
            *(self.made[name] for name in names),
            *again,
            directions,
            jobs,
            inner,
            *tangents.new_arrays(*again, jobs),
        )
        output_tangents.observe_tangents(
            lanes,
            self.made,
            problem,
            block,
            need,
            states=states,
            tangents=inner,
            seeds=directions.p,
            terms=self.terms,
            out=self.out[block],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Gradient:
    """Gradients of scalar functions of the outputs, by everything a run starts from.

    Shapes are (n_run, n_functional, …); NaN for a run that did not end well by the
    batch solver.

    Attributes
    ----------
    p, y0 : by the parameters and by the start values
    dose, dose_time : by ``problem.schedule.value`` and ``problem.schedule.time``
    """

    p: FloatArray
    y0: FloatArray
    dose: FloatArray
    dose_time: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """The steps and output states of some runs."""

    block: slice
    trail: "Trail"
    states: FloatArray
    ok: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class RecordedRuns:
    """Runs whose steps are kept, ready to be differentiated by the adjoint.

    Attributes
    ----------
    solution : Solution, as without derivatives
    reasons : per run "", or the reason why its gradient is NaN
    """

    solution: Solution
    reasons: tuple[str, ...]
    run: _Recording
    kept: tuple[_Kept, ...]

    def steps(self, run: int) -> tuple[FloatArray, FloatArray]:
        """Return start and length of the steps of a run, float arrays, (n_step,)."""
        part = next(x for x in self.kept if x.block.start <= run < x.block.stop)
        row = run - part.block.start
        count = part.trail.n[row]
        return part.trail.t[row, :count], part.trail.h[row, :count]

    def adjoint(self, weights: FloatArray, workers: Workers | None = None) -> Gradient:
        """Return the gradient of Σ weights · values, for each run and functional.

        Parameters
        ----------
        weights : float array, shape (n_run, n_functional, n_time, n_select): the
            derivative of each functional by ``solution.values``; shape (n_run, n_time,
            n_select) for a single one
        """
        problem = self.run.problem
        weights = np.asarray(weights, float)
        if weights.ndim == 3:
            weights = weights[:, np.newaxis]
        shape = (self.run.shape[0], weights.shape[1], *self.run.shape[1:])
        if weights.shape != shape:
            raise InputError(f"`weights` must have shape {shape}, got {weights.shape}.")
        n_action = len(problem.schedule.time)
        sizes = (problem.p.shape[1], problem.y0.shape[1], n_action, n_action)
        found = Gradient(*(np.full((*shape[:2], size), np.nan) for size in sizes))
        worker = _AdjointWorker(self.run, weights, found)
        workers = workers or Workers()
        with ThreadPoolExecutor(workers.n_jobs) as pool:
            for _ in pool.map(worker.use, self.kept):
                pass
        return found


def record_stretch(
    model: CompiledModel,
    problem: Problem,
    settings: Settings,
    workers: Workers | None = None,
) -> RecordedRuns:
    """Integrate every run and keep its steps, for gradients by the adjoint.

    A run takes 8 bytes a state and step: 400 kB for 168 states and 300 steps.
    """
    run = _Recording.of(model, problem, settings, states=True)
    kept: list[_Kept] = []

    def use(
        first: int, last: int, trail: "Trail", states: FloatArray, ok: BoolArray
    ) -> None:
        kept.append(_Kept(slice(first, last), trail.trimmed(), states, ok))

    solution = run.solve(workers or Workers(), use)
    kept.sort(key=lambda part: part.block.start)
    return RecordedRuns(solution, reasons(solution, settings.method), run, tuple(kept))


class _AdjointWorker:
    """Takes the weights of the runs of a chunk back to their start values."""

    def __init__(self, run: _Recording, weights: FloatArray, found: Gradient) -> None:
        self.run, self.weights, self.found = run, weights, found
        self.made = model_kernels(run.model)

    def use(self, part: _Kept) -> None:
        """Fill the gradients of the runs of one chunk."""
        from mir21sim.solvers.batch import adjoint, output_tangents, replay

        run, made, block = self.run, self.made, part.block
        problem, lanes = run.problem, run.lanes
        weights = np.ascontiguousarray(self.weights[block])
        good = np.flatnonzero(part.ok)
        n_functional = weights.shape[1]
        jobs = np.repeat(good, n_functional)
        on_states = np.zeros((len(jobs), len(problem.times), len(run.need)))
        n_action = len(problem.schedule.time)
        sizes = (problem.p.shape[1], problem.y0.shape[1], n_action, n_action)
        grad = adjoint.Gradients(*(np.zeros((len(jobs), size)) for size in sizes))
        output_tangents.observe_adjoint(
            lanes,
            made,
            problem,
            block,
            run.need,
            states=part.states,
            job_run=jobs,
            weights=weights,
            on_states=on_states,
            on_p=grad.p,
        )
        names = (
            "partials", "inner", "gather", "linear_t", "bend_t", "second_t", "solve_t"
        )  # fmt: skip
        tableau = TABLEAUX[run.settings.method]
        again = replay.recorded(lanes, made, tableau, problem, block, part.trail)
        adjoint.replay_adjoint(
            lanes.rates,
            lanes.matrix,
            lanes.solve,
            lanes.time,
            *(made[name] for name in names),
            *again,
            part.trail.y,
            adjoint.Functionals(jobs, run.need, on_states, n_action > 0),
            grad,
            *adjoint.new_arrays(*again),
        )
        for name, filled in zip(grad._fields, grad, strict=True):
            target = getattr(self.found, name)[block]
            target[good] = filled.reshape(len(good), n_functional, filled.shape[1])
