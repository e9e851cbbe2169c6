"""Tangents, adjoint and central differences of one problem beside each other."""

from dataclasses import replace

import numpy as np

from mir21sim.simulation.plan import Plan, doses_or_default
from mir21sim.simulation.translate import translate
from mir21sim.simulation.treatment import Treatment
from mir21sim.solvers.problem import Problem, Selection
from mir21sim.solvers.sensitivities import Seeds, record, solve_tangents
from mir21sim.solvers.solve import solve

STENCIL = {1: 0.75, 2: -0.15, 3: 1.0 / 60.0}
"""Weights of central differences of sixth order, by the number of steps to one side."""

SMALLEST = 1e-3
"""Share of a quantity below which a tangent by a relative change is compared with that
share: differences of runs lose what is far below the quantity."""

ROUNDING = 1e-6
"""The same for tangents against the adjoint, which lose rounding only."""


ABSENT = 1e-6
"""Size below which a quantity counts as absent, in its unit: no run resolves it."""


def all_states(n):
    """Select all states as they are."""
    index = np.arange(n)
    return Selection(0 * index, index, 0 * index, 0 * index - 1, np.ones(n))


def default_problem(model, end, points):
    """Return the default treatment of a model, all states observed, without rest."""
    per_time = model.border.per_time
    times = np.linspace(0.0, end, points)
    plan = Plan.of(
        model,
        Treatment.of(doses_or_default(model, None)),
        times / per_time,
        observe=model.state_names,
    )
    made = translate(model, plan).problem
    n = len(model.y0)
    return replace(made, selection=all_states(n), amounts=np.zeros(n, bool))


def moved(problem: Problem, seeds: Seeds, step: float) -> Problem:
    """Return a run for each run and column, moved a step along the column."""
    n = seeds.n_column

    def each(values, changes):
        whole = np.asarray(values)[:, np.newaxis] + step * changes
        rows = len(problem) * n
        return np.ascontiguousarray(whole.reshape(rows, whole.shape[-1]))

    schedule = problem.schedule
    assert not seeds.dose_time.any(), "a schedule has the same times for all runs"
    return replace(
        problem,
        y0=each(problem.y0, seeds.y0),
        p=each(problem.p, seeds.p),
        schedule=replace(schedule, value=each(schedule.value, seeds.dose)),
    )


def differences(model, problem, settings, seeds, step):
    """Return central differences, shape (n_run, n_time, n_select, n_column)."""
    total = 0.0
    for k, weight in STENCIL.items():
        for sign in (1.0, -1.0):
            whole = moved(problem, seeds, sign * k * step)
            found = solve(model, whole, settings)[0]
            assert (found.status == 0).all()
            total = total + sign * weight / step * found.values
    shape = (len(problem), seeds.n_column, *total.shape[1:])
    return np.moveaxis(total.reshape(shape), 1, -1)


def exact(model, problem, settings, seeds):
    """Return values and tangents of runs that all end well, and the size of each.

    The size has the shape (n_run, 1, n_select, 1).
    """
    found = solve_tangents(model, problem, settings, seeds)
    assert set(found.reasons) == {""}
    values = found.solution.values
    size = np.abs(values).max(axis=1, keepdims=True)[..., np.newaxis] + ABSENT
    return values, found.tangents, size


def errors_of_ways(model, problem, settings, seeds, seed=0):
    """Return the largest error of tangents against the adjoint of each column.

    Of a random functional in which every quantity counts alike, whatever its unit, in
    shares of the sum of its absolute terms.

    Returns
    -------
    errors, rounding : float arrays, shape (n_column,); the second is what rounding
        alone does to the tangents: they are linear in the seeds, so that seeds 1.1
        times as large give 1.1 times the tangents in exact arithmetic
    """
    values, tangents, size = exact(model, problem, settings, seeds)
    kept = record(model, problem, settings)
    assert np.array_equal(kept.solution.values, values)
    weights = np.random.default_rng(seed).standard_normal(values.shape) / size[..., 0]
    gradient = kept.adjoint(weights)
    names = ("p", "y0", "dose", "dose_time")
    backward = sum(
        np.einsum("rfm,rcm->rc", getattr(gradient, name), getattr(seeds, name))
        for name in names
    )
    forward = np.einsum("rts,rtsc->rc", weights, tangents)
    grown = Seeds(*(1.1 * getattr(seeds, name) for name in names))
    again = exact(model, problem, settings, grown)[1] / 1.1
    noise = np.einsum("rts,rtsc->rc", abs(weights), abs(again - tangents))
    terms = np.einsum("rts,rtsc->rc", abs(weights), abs(tangents))
    floor = ROUNDING * np.einsum("rts,rts->r", abs(weights), size[..., 0] + 0 * values)
    terms = terms + floor[:, np.newaxis]
    errors = np.abs(forward - backward) / terms
    return errors.max(axis=0), (noise / terms).max(axis=0)


def errors_of_differences(model, problem, settings, seeds, step=2e-3):
    """Return the largest error of tangents against differences of each column.

    In shares of the largest tangent of each quantity over time; float array, shape
    (n_column,).
    """
    _, tangents, size = exact(model, problem, settings, seeds)
    change = differences(model, problem, settings, seeds, step)
    scale = np.abs(change).max(axis=1, keepdims=True) + SMALLEST * size
    return (np.abs(tangents - change) / scale).max(axis=(0, 1, 2))
