"""Tangents and adjoint of batch runs: closed forms, central differences, each other."""

from dataclasses import replace

import numpy as np
import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st

from mir21sim.compiler.load import load
from mir21sim.errors import InputError
from mir21sim.solvers.problem import Problem, Schedule, Selection
from mir21sim.solvers.sensitivities import Seeds, record, solve_tangents
from mir21sim.solvers.settings import Settings
from mir21sim.solvers.solve import solve

RICH = support.network(
    {"A": 100.0, "B": 0.0, "C": 20.0, "D": 1.0},
    {"k": 0.5, "h": 1.7, "K": 30.0, "w": 0.8, "s": 4.0, "m": 0.3, "i": 2.0, "T": 0.0},
    [
        support.reaction("make", "-> A", "s*(1 + sin(w*time))"),
        support.reaction("turn", "A -> B", "k*A**h/(K**h + A**h)*(1 + drive)"),
        support.reaction("back", "B -> A", "m*B/(1 + i*C/K)"),
        support.reaction("bind", "B + C -> D", "0.01*both*C"),
        support.reaction("fall", "D ->", "m*exp(-w)*D"),
    ],
    rules={"both": "B + 0.1*D", "drive": "i*both/(K + both)", "T": "both + drive*A"},
)
"""Rules that use rules, time in a rate, a Hill coefficient, a rule for outputs only."""


@pytest.fixture(scope="module")
def rich():
    return support.compiled(RICH, "numba")


def selected(model):
    """Select every state and rule, one rate, and a quotient."""
    n, n_rule = len(model.state_names), len(model.assigned_names)
    source = [0] * n + [1] * n_rule + [2, 0]
    index = [*range(n), *range(n_rule), 0, 0]
    divisor = [-1] * (n + n_rule + 1) + [model.param_names.index("K")]
    kinds = [0] * (n + n_rule + 1) + [3]
    arrays = map(np.array, (source, index, kinds, divisor))
    return Selection(*arrays, np.full(n + n_rule + 2, 2.0))


def schedule_of(model, n_run=1, **changes):
    """Return an added, an infused and a set dose, two of them at one time."""
    state = model.state_names.index
    values = np.array([[30.0, 5.0, 7.0, -5.0, 0.0]])
    schedule = Schedule(
        np.array([0.0, 1.0, 2.0, 2.0, 3.0]),
        np.array([state(x) for x in "ABCBD"]),
        np.array([0, 2, 1, 0, 2]),
        np.repeat(values, n_run, axis=0),
    )
    return replace(schedule, **changes)


def problem_of(model, times=(0.0, 0.4, 1.0, 1.7, 2.0, 3.5, 5.0), **changes):
    problem = Problem(
        y0=np.array(model.y0)[np.newaxis],
        p=np.array(model.p0)[np.newaxis],
        times=np.array(times),
        schedule=schedule_of(model),
        selection=selected(model),
        amounts=np.zeros(len(model.y0), bool),
    )
    return replace(problem, **changes)


def settings_for(model, rtol=1e-6, method="Rodas5P"):
    return Settings(method, rtol, np.array(model.atol) * rtol / 1e-6)


def all_columns(problem):
    """Return a column for every parameter, start value, dose and time of a dose."""
    sizes = [problem.p.shape[1], problem.y0.shape[1], *[len(problem.schedule.time)] * 2]
    whole = np.eye(sum(sizes))
    return Seeds.of(problem, *np.split(whole, np.cumsum(sizes)[:-1], axis=1))


def both_ways(model, problem, options, rng):
    """Return the gradient of random functionals by tangents, by adjoint, its size."""
    seeds = all_columns(problem)
    found = solve_tangents(model, problem, options, seeds)
    kept = record(model, problem, options)
    assert np.array_equal(kept.solution.values, found.solution.values)
    weights = rng.standard_normal((len(problem), 3, *found.tangents.shape[1:3]))
    gradient = kept.adjoint(weights)
    parts = (gradient.p, gradient.y0, gradient.dose, gradient.dose_time)
    forward = np.einsum("rfts,rtsc->rfc", weights, found.tangents)
    size = np.einsum("rfts,rtsc->rfc", abs(weights), abs(found.tangents))
    return forward, np.concatenate(parts, axis=-1), size


@pytest.mark.parametrize("method", ["Rodas5P", "Rodas4"])
def test_tangents_of_decay_are_those_of_the_exponential(method):
    decay = support.compiled(support.DECAY, "numba")
    times = np.linspace(0.0, 3.0, 7)
    none = np.zeros(0, np.int64)
    k = decay.param_names.index("k")
    problem = Problem(
        y0=np.array(decay.y0)[np.newaxis],
        p=np.array(decay.p0)[np.newaxis],
        times=times,
        schedule=Schedule(np.zeros(0), none, none, np.zeros((1, 0))),
        selection=Selection(*np.array([[0], [0], [0], [-1]]), np.ones(1)),
        amounts=np.zeros(1, bool),
    )
    p = np.zeros((2, len(decay.p0)))
    p[0, k] = 1.0
    seeds = Seeds.of(problem, p=p, y0=np.array([[0.0], [1.0]]))
    found = solve_tangents(decay, problem, settings_for(decay, 1e-9, method), seeds)
    left = np.exp(-decay.p0[k] * times)
    np.testing.assert_allclose(
        found.tangents[0, :, 0, 0], -times * decay.y0[0] * left, rtol=1e-8
    )
    np.testing.assert_allclose(found.tangents[0, :, 0, 1], left, rtol=1e-8)
    assert found.reasons == ("",)


@pytest.mark.parametrize("method", ["Rodas5P", "Rodas4"])
def test_the_adjoint_is_the_transpose_of_the_tangents(rich, method):
    problem = problem_of(rich)
    options = settings_for(rich, method=method)
    forward, backward, size = both_ways(
        rich, problem, options, np.random.default_rng(0)
    )
    assert (size > 0).mean() > 0.9
    assert np.all(np.abs(forward - backward) <= 1e-12 * size)


def test_held_states_have_no_derivative_but_their_own(rich):
    held = np.array([name == "B" for name in rich.state_names])
    problem = problem_of(rich, frozen=held)
    forward, backward, size = both_ways(
        rich, problem, settings_for(rich), np.random.default_rng(1)
    )
    assert np.all(np.abs(forward - backward) <= 1e-12 * size)
    found = solve_tangents(rich, problem, settings_for(rich), all_columns(problem))
    b = rich.state_names.index("B")
    start = problem.p.shape[1] + b
    np.testing.assert_array_equal(found.tangents[0, :-3, b, start], 2.0)


def test_tangents_equal_central_differences(rich):
    problem = problem_of(rich)
    seeds = all_columns(problem)
    found = solve_tangents(rich, problem, settings_for(rich, 1e-9), seeds).tangents[0]
    tight = settings_for(rich, 1e-12)
    for column in range(seeds.n_column):
        sizes = (seeds.p, seeds.y0, seeds.dose, seeds.dose_time)
        p, y0, dose, dose_time = (part[0, column] for part in sizes)
        if dose_time[[0, 2, 3]].any():
            continue  # at the start, or at one time with another dose: one-sided
        both = []
        for step in (2e-4, -2e-4):
            times = problem.schedule.time + step * dose_time
            order = np.argsort(times, kind="stable")
            moved = Schedule(
                times[order],
                problem.schedule.state[order],
                problem.schedule.kind[order],
                (problem.schedule.value + step * dose)[:, order],
            )
            shifted = replace(
                problem,
                p=problem.p + step * p,
                y0=problem.y0 + step * y0,
                schedule=moved,
            )
            both.append(solve(rich, shifted, tight)[0].values[0])
        differences = (both[0] - both[1]) / 4e-4
        # An output at the very time of a moved dose is on both sides of a jump.
        fair = slice(None)
        if dose_time.any():
            fair = ~np.isin(problem.times, problem.schedule.time[dose_time != 0])
        scale = np.abs(differences).max(axis=0) + 1e-2
        error = np.abs(found[..., column] - differences)[fair] / scale
        assert error.max() < 2e-6, (column, error.max())


def test_columns_do_not_depend_on_their_company_or_on_threads(rich):
    problem = problem_of(rich)
    many = replace(
        problem,
        y0=np.repeat(problem.y0, 11, axis=0),
        p=problem.p * np.linspace(0.8, 1.2, 11)[:, np.newaxis],
        schedule=schedule_of(rich, 11),
    )
    options = settings_for(rich)
    together = solve_tangents(rich, many, options, all_columns(many)).tangents
    third = replace(many, y0=many.y0[3:4], p=many.p[3:4], schedule=schedule_of(rich))
    alone = solve_tangents(rich, third, options, all_columns(third)).tangents
    np.testing.assert_array_equal(together[3:4], alone)


def test_a_failed_run_has_nan_tangents_and_says_why(rich):
    problem = problem_of(rich)
    options = replace(settings_for(rich), max_steps=5, retried=frozenset())
    found = solve_tangents(rich, problem, options, all_columns(problem))
    assert np.isnan(found.tangents).all()
    assert "maximum number of steps" in found.reasons[0]
    gradient = record(rich, problem, options).adjoint(
        np.ones_like(found.tangents[..., 0])
    )
    assert np.isnan(gradient.p).all()


def test_a_run_that_radau_rescued_has_nan_tangents_and_says_so(rich):
    problem = problem_of(rich)
    options = replace(settings_for(rich), max_steps=5)
    found = solve_tangents(rich, problem, options, all_columns(problem))
    assert np.isnan(found.tangents).all()
    assert found.reasons[0]


def test_methods_without_tangents_are_refused(rich):
    problem = problem_of(rich)
    options = replace(settings_for(rich), method="LSODA")
    with pytest.raises(InputError, match="method of the batch solver"):
        solve_tangents(rich, problem, options, all_columns(problem))


def test_seeds_need_a_direction(rich):
    with pytest.raises(InputError, match="need a direction"):
        Seeds.of(problem_of(rich))


@pytest.mark.parametrize("name", ["earm2_m1a", "mir21_core"])
def test_shipped_models_agree_both_ways(name):
    model = load(name)
    n = len(model.y0)
    none = np.zeros(0, np.int64)
    index = np.arange(n)
    problem = Problem(
        y0=np.array(model.y0)[np.newaxis],
        p=np.array(model.p0)[np.newaxis],
        times=np.linspace(0.0, 20_000.0 / model.seconds_per_time, 5),
        schedule=Schedule(np.zeros(0), none, none, np.zeros((1, 0))),
        selection=Selection(0 * index, index, 0 * index, index * 0 - 1, np.ones(n)),
        amounts=np.zeros(n, bool),
    )
    forward, backward, size = both_ways(
        model, problem, settings_for(model), np.random.default_rng(2)
    )
    assert np.all(np.abs(forward - backward) <= 1e-12 * size + 1e-290)


NUMBERS = st.lists(st.floats(-1.0, 1.0), min_size=8, max_size=8)


@settings(max_examples=8)
@given(NUMBERS)
def test_the_two_ways_agree_wherever_the_parameters_are(rich, logs):
    problem = problem_of(rich)
    factors = np.ones_like(problem.p)
    factors[0, : len(logs)] = 10.0 ** np.array(logs)[: factors.shape[1]]
    moved = replace(problem, p=problem.p * factors)
    forward, backward, size = both_ways(
        rich, moved, settings_for(rich), np.random.default_rng(3)
    )
    good = np.isfinite(forward)
    assert np.all(np.abs(forward - backward)[good] <= 1e-12 * size[good])
