"""Start values with tangents → states with tangents, by the solvers.

Two ways: exact tangents of the batch solver, and central differences of whole runs for
models that the batch solver cannot integrate, as those with events that depend on a
state. Which one was used is recorded.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mir21sim._typing import BoolArray, FloatArray, IntArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import (
    InputError,
    SolverStatus,
    UnsupportedFeatureError,
)
from mir21sim.estimation.batches import DIFFERENCE_STEP, Batch, Seeds, States
from mir21sim.estimation.stretches import (
    by_stretches,
    turns_move,
    without_conditions,
)
from mir21sim.simulation.options import absolute_tolerances
from mir21sim.simulation.rest_system import rest_tangents
from mir21sim.simulation.steady_state import settle
from mir21sim.solvers import sensitivities
from mir21sim.solvers.methods import MANY, is_batch, method_of, usable
from mir21sim.solvers.problem import Action, Problem, Schedule, Selection, Source
from mir21sim.solvers.settings import Settings, Workers
from mir21sim.solvers.solve import solve

DIFFERENCE_RTOL = 1e-9
"""Relative tolerance of runs whose differences are taken."""

DEFAULT_RTOL = 3e-6
"""Relative tolerance of fits. Of the benchmark problems Raimundez 2020 needs the least:
its gradient is then right to 7e-5 in each parameter (1.7e-4 at 1e-5, 6e-5 at 1e-6, of
gradients at 1e-9; those below a hundredth of the largest count in shares of that). On
Bachmann 2011 the objective is right to 1e-5 and the Fisher information to 1e-6."""

MAX_STEPS = 20_000
"""Steps that one run may take: optimisers visit values at which nothing is smooth."""

TIMEOUT_S = 30.0
"""s that one run may take."""


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """How the runs of one fit are integrated.

    Attributes
    ----------
    model : CompiledModel
    settings : method, tolerances, limits
    exact : tangents come from the solver; False: from differences of runs
    n_jobs : threads
    plain : the model between two moments at which a condition on time turns
    """

    model: CompiledModel
    settings: Settings
    exact: bool
    n_jobs: int = 1
    plain: CompiledModel | None = None

    @classmethod
    def of(
        cls,
        model: CompiledModel,
        *,
        rtol: float = DEFAULT_RTOL,
        method: str | None = None,
        n_jobs: int = 1,
    ) -> "Engine":
        """Return the engine that suits a model."""
        chosen = usable(model, method_of(method) if method else MANY)
        absolute_tolerances(model, rtol)  # checks the relative one
        settings = Settings(
            method=chosen.name,
            rtol=rtol,
            atol=np.array(model.atol) * (rtol / 1e-6),
            max_steps=MAX_STEPS,
            timeout=TIMEOUT_S,
            allow_negative=True,
        )
        plain = without_conditions(model) or model
        exact = sensitivities.refusal(model, chosen.name) is None
        return cls(model, settings, exact=exact, n_jobs=n_jobs, plain=plain)

    def with_rtol(self, rtol: float) -> "Engine":
        """Return the same engine at another relative tolerance."""
        atol = self.settings.atol * (rtol / self.settings.rtol)
        return replace(self, settings=replace(self.settings, rtol=rtol, atol=atol))

    @property
    def moved(self) -> IntArray:
        """Parameters that events change; int array, shape (n_moved,)."""
        return moved_parameters(self.model)

    @property
    def gradient_way(self) -> str:
        """How derivatives are made, for reports."""
        return (
            "exact tangents of the steps taken"
            if self.exact
            else "central differences of runs"
        )

    def run(self, batch: Batch, times: FloatArray, keep: IntArray) -> States:
        """Integrate runs that start at ``times[0]``.

        Parameters
        ----------
        times : float array, shape (n_time,), ascending
        keep : int array, shape (n_kept,), states to return
        """
        if self.exact and batch.seeds is not None:
            return self._exact(batch, times, keep)
        middle = self._values(batch, times, keep, self.settings)
        if batch.seeds is None:
            return middle
        settings = self._fine()
        ends = [self._values(side, times, keep, settings) for side in batch.sides()]
        return _differences(middle, ends, batch.seeds)

    def _exact(self, batch: Batch, times: FloatArray, keep: IntArray) -> States:
        """Return states with the derivatives of the solver."""
        assert batch.seeds is not None
        if self.model.kernels.events is None and len(times) == 1:  # no steps to take
            middle = self._values(batch, times, keep, self.settings)
            at_start = np.moveaxis(batch.seeds.y[:, :, keep], 1, 2)
            return replace(middle, slopes=at_start[:, np.newaxis])
        still = len(times) > 1 and not self._moves(batch, times)
        if self.has_stretches and still:  # no need to follow each run by itself
            assert self.plain is not None
            between = partial(self._tangents, self.plain)
            return by_stretches(self.model, between, batch, times, keep)
        model = self.model
        if batch.truths is not None:
            model = with_truths(model, batch.truths)
        return self._tangents(model, batch, times, keep)

    def _moves(self, batch: Batch, times: FloatArray) -> bool:
        """Return whether a turn of a condition changes along any direction."""
        return self.has_stretches and turns_move(self.model, batch, times)

    @property
    def has_stretches(self) -> bool:
        """Whether the model is one without conditions between its turns (``plain``)."""
        if self.plain is None or not is_batch(self.settings.method):
            return False
        timed, free = self.model.kernels.events, self.plain.kernels.events
        return timed is not None and free is None

    @property
    def reversible(self) -> bool:
        """Whether runs can be differentiated by the adjoint."""
        return self.exact and self.model.kernels.events is None

    def record(
        self, batch: Batch, times: FloatArray, keep: IntArray
    ) -> tuple[States, sensitivities.Recorded]:
        """Integrate runs as ``run`` does, and keep their steps for the adjoint."""
        problem = self._problem(batch, times, keep)
        workers = Workers(self.n_jobs)
        found = sensitivities.record(self.model, problem, self.settings, workers)
        return States(
            found.solution.values,
            None,
            _exact_status(found.solution.status, found.reasons),
            int(found.solution.n_steps.sum()),
        ), found

    def rest(self, batch: Batch, near: FloatArray | None = None) -> States:
        """Return the steady states to which runs settle, as runs of one time.

        Parameters
        ----------
        near : float array, shape (n_run, n_state), steady states of similar runs, NaN
            for none
        """
        middle = self._rest(batch, near)
        if batch.seeds is None:
            return middle
        if not self.exact:
            return self._rest_differences(batch, middle)
        found = self._rest_tangents(batch, middle)
        assert found.slopes is not None
        good = np.isfinite(found.slopes).all(axis=(1, 2, 3))
        left = np.flatnonzero(~good & (middle.status == SolverStatus.OK))
        if len(left):  # a rest that is not isolated, or a start that is absent
            some = Batch(batch.y0[left], batch.p[left], batch.seeds[left])
            again = States(middle.values[left], None, middle.status[left], 0)
            made = self._rest_differences(some, again)
            found.slopes[left] = made.slopes
            found.status[left] = made.status
        return found

    def _rest_differences(self, batch: Batch, middle: States) -> States:
        """Return steady states with tangents by central differences."""
        assert batch.seeds is not None
        beside = np.repeat(middle.values[:, 0], batch.seeds.p.shape[1], axis=0)
        ends = [self._rest(side, beside) for side in batch.sides()]
        return _differences(middle, ends, batch.seeds)

    def _rest_tangents(self, batch: Batch, middle: States) -> States:
        """Return steady states with tangents by the implicit function theorem."""
        assert batch.seeds is not None
        n_direction, n_state = batch.seeds.y.shape[1:]
        slopes = np.full((len(batch), 1, n_state, n_direction), np.nan)
        status = middle.status.copy()
        for run in np.flatnonzero(status == SolverStatus.OK):
            try:
                found = rest_tangents(
                    self.model,
                    middle.values[run, 0],
                    batch.p[run],
                    batch.seeds.p[run],
                    batch.seeds.y[run],
                )
            except InputError:  # not isolated: it has no derivative
                continue
            slopes[run, 0] = found.T
        return States(middle.values, slopes, status, middle.n_steps)

    def _rest(self, batch: Batch, near: FloatArray | None) -> States:
        if len(self.moved):
            name = self.model.param_names[self.moved[0]]
            raise UnsupportedFeatureError(
                f"{self.model.id}: an event changes the parameter `{name}`; a steady "
                "state before the experiment is not supported for such a model."
            )
        way = self.settings.method if is_batch(self.settings.method) else "BDF"
        y, status = settle(
            self.model,
            np.ascontiguousarray(batch.y0),
            np.ascontiguousarray(batch.p),
            way,
            n_jobs=self.n_jobs,
            near=near,
        )
        return States(y[:, np.newaxis, :], None, status, 0)

    def _fine(self) -> Settings:
        return self.with_rtol(DIFFERENCE_RTOL).settings

    def _problem(self, batch: Batch, times: FloatArray, keep: IntArray) -> Problem:
        return Problem(
            y0=np.ascontiguousarray(batch.y0),
            p=np.ascontiguousarray(batch.p),
            times=times,
            schedule=_infusions(batch, float(times[0])),
            selection=states_of(keep, self.moved),
            amounts=np.zeros(len(self.model.state_names), bool),
            frozen=batch.held,
        )

    def _tangents(
        self, model: CompiledModel, batch: Batch, times: FloatArray, keep: IntArray
    ) -> States:
        """Return states with the exact derivatives of the steps that were taken."""
        assert batch.seeds is not None
        problem = self._problem(batch, times, keep)
        seeds = sensitivities.Seeds.of(problem, p=batch.seeds.p, y0=batch.seeds.y)
        found = sensitivities.solve_tangents(
            model,
            problem,
            self.settings,
            seeds,
            Workers(self.n_jobs),
        )
        return States(
            found.solution.values,
            found.tangents,
            _exact_status(found.solution.status, found.reasons),
            int(found.solution.n_steps.sum()),
        )

    def _values(
        self, batch: Batch, times: FloatArray, keep: IntArray, settings: Settings
    ) -> States:
        n_run, truths = len(batch), batch.truths
        if len(times) == 1 and self.model.kernels.events is None:  # no steps to take
            values = batch.y0[:, np.newaxis, keep].copy()
            return States(values, None, np.zeros(n_run, np.int64), 0)
        if self.has_stretches and len(times) > 1:
            assert self.plain is not None
            plain = replace(self, model=self.plain)
            free = replace(batch, seeds=None, truths=None)
            return by_stretches(
                self.model, partial(plain._values, settings=settings), free, times, keep
            )
        problem = self._problem(batch, times, keep)
        model = self.model if truths is None else with_truths(self.model, truths)
        solution, interrupted = solve(model, problem, settings, Workers(self.n_jobs))
        if interrupted:
            raise KeyboardInterrupt
        return States(
            solution.values, None, solution.status, int(solution.n_steps.sum())
        )


def _exact_status(status: IntArray, reasons: tuple[str, ...]) -> IntArray:
    """Return the status of runs; one without derivatives has failed."""
    found = status.copy()
    rescued = [k for k, reason in enumerate(reasons) if reason and not found[k]]
    found[rescued] = SolverStatus.STEP_TOO_SMALL
    return found


def _infusions(batch: Batch, start: float) -> Schedule:
    """Return the schedule of constant rates from the start on."""
    n_run = len(batch)
    if batch.rates is None:
        empty = np.empty(0, dtype=np.int64)
        return Schedule(np.empty(0), empty, empty, np.empty((n_run, 0)))
    states = np.flatnonzero(batch.rates.any(axis=0)).astype(np.int64)
    return Schedule(
        np.full(len(states), start),
        states,
        np.full(len(states), Action.RATE, np.int64),
        np.ascontiguousarray(batch.rates[:, states]),
    )


def moved_parameters(model: CompiledModel) -> IntArray:
    """Return the indices of parameters that events change."""
    events = model.kernels.events
    if events is None or not len(events.names):
        return np.empty(0, np.int64)
    return np.unique(events.index[~events.is_state]).astype(np.int64)


def states_of(keep: IntArray, moved: IntArray) -> Selection:
    """Return the selection of states and parameters as they are stored."""
    n = len(keep) + len(moved)
    return Selection(
        source=np.repeat([Source.STATE, Source.PARAM], [len(keep), len(moved)]).astype(
            np.int64
        ),
        index=np.concatenate([keep, moved]).astype(np.int64),
        divisor_source=np.full(n, Source.PARAM, np.int64),
        divisor=np.full(n, -1, np.int64),
        scale=np.ones(n),
    )


def with_truths(model: CompiledModel, truths: BoolArray) -> CompiledModel:
    """Return the model with triggers that count as these before the start."""
    events = model.kernels.events
    assert events is not None
    kernels = replace(model.kernels, events=replace(events, initial=truths))
    return replace(model, kernels=kernels)


def triggers(
    model: CompiledModel, t: float, y: FloatArray, p: FloatArray
) -> BoolArray | None:
    """Return which triggers of a model are true; None for a model without events."""
    events = model.kernels.events
    if events is None or not len(events.names):
        return None
    from mir21sim.solvers.single.events import EventQueue

    free = replace(events, initial=np.ones(len(events.names), bool))
    state, parameters = np.array(y), np.array(p)
    queue = EventQueue.of(free, state, parameters, lambda amounts: amounts)
    queue.begin(t, state, parameters)
    return queue.state


def _differences(middle: States, ends: list[States], seeds: Seeds) -> States:
    """Return the middle with tangents from the two sides."""
    n_run, n_direction = seeds.p.shape[:2]
    low, high = (
        side.values.reshape(n_run, n_direction, *side.values.shape[1:]) for side in ends
    )
    step = 2.0 * DIFFERENCE_STEP * seeds.size
    slopes = (high - low) / step[np.newaxis, :, np.newaxis, np.newaxis]
    status = middle.status.copy()
    for side in ends:
        worst = side.status.reshape(n_run, n_direction).max(axis=1)
        status = np.where(status == SolverStatus.OK, worst, status)
    steps = middle.n_steps + sum(side.n_steps for side in ends)
    return States(middle.values, np.moveaxis(slopes, 1, 3), status, steps)
