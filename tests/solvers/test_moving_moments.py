"""Derivatives by the times of events, conditions and doses: the jump rule."""

from dataclasses import replace

import numpy as np
import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st
from support import event, reaction

from mir21sim.analysis.ranking import ranking_text
from mir21sim.simulation.options import Options
from mir21sim.simulation.sensitivity import sensitivities
from mir21sim.solvers.problem import Problem, Schedule, Selection
from mir21sim.solvers.sensitivities import APART, Seeds, record, solve_tangents
from mir21sim.solvers.settings import Settings
from mir21sim.solvers.solve import solve

TIMES = np.array([0.0, 0.4, 1.0, 2.05, 3.1, 5.0])
"""None of them is the time of an event."""

NUMBERS = {
    "k": 0.5, "m": 0.3, "s": 40.0, "t_on": 1.3, "t_off": 2.7, "late": 0.35, "u": 1.0,
}  # fmt: skip


def pulse(height="s"):
    """Return a rate that is on from t_on to t_off."""
    test = support.expr("time >= t_on and time < t_off")
    parts = (support.expr(height), test, support.ex.Number(0.0))
    return support.ex.Call("piecewise", parts)


def compiled(events=(), rate="2.0", **changes):
    """Return A -> B -> nothing with a source of A."""
    net = support.network(
        {"A": 10.0, "B": 3.0},
        NUMBERS | changes,
        [
            reaction("make", "-> A", rate),
            reaction("turn", "A -> B", "k*A*u"),
            reaction("fall", "B ->", "m*B*B/(5 + A)"),
        ],
        rules={"both": "A + k*B"},
        events=events,
    )
    return support.compiled(net, "numba", unit_policy="ignore")


MODELS = {
    "an infusion by a condition": {"rate": pulse()},
    "a condition with a formula": {"rate": pulse("s*k*time")},
    "an added dose": {"events": [event("dose", "time >= t_on", "A = A + s*B + time")]},
    "a dose that is set, strictly after its time": {
        "events": [event("dose", "time > t_on*u", "A = s; B = A/k")]
    },
    "a parameter that changes late, by the values at firing": {
        "events": [
            event("faster", "time >= t_on", "u = u + both/s", delay="late + 0.2*k")
        ]
    },
    "a parameter that changes late, by the values then": {
        "events": [
            event(
                "faster", "time >= t_on", "u = u + both/s; B = 2*B", delay="late/u",
                values_from_trigger_time=False,
            )
        ]
    },
    "a chain of events at one time": {
        "events": [
            event("one", "time >= t_on", "u = u + B/s", priority=2),
            event("two", "u > 1.01", "A = A + s*u", priority=1),
            event("three", "time >= t_on + late*u", "B = B + A"),
        ]
    },
    "a condition that comes again": {
        "rate": support.ex.Call(
            "piecewise",
            (
                support.expr("s"),
                support.expr("time - t_on*floor(time/t_on) < late"),
                support.ex.Number(0.0),
            ),
        )
    },
}  # fmt: skip


def problem_of(model, n_run=1, times=TIMES, schedule=None):
    """Return runs that show both states and a rule."""
    empty = np.zeros(0, np.int64)
    none = Schedule(np.zeros(0), empty, empty, np.zeros((n_run, 0)))
    kinds = np.array([0, 0, 1])
    return Problem(
        y0=np.tile(model.y0, (n_run, 1)),
        p=np.tile(model.p0, (n_run, 1)),
        times=times,
        schedule=schedule or none,
        selection=Selection(
            kinds, np.array([0, 1, 0]), 0 * kinds, 0 * kinds - 1, np.ones(3)
        ),
        amounts=np.zeros(2, bool),
    )


def options(model, rtol=1e-9):
    return Settings("Rodas5P", rtol, np.array(model.atol) * rtol / 1e-6)


def all_columns(problem):
    sizes = [problem.p.shape[1], problem.y0.shape[1], *[len(problem.schedule.time)] * 2]
    whole = np.eye(sum(sizes))
    return Seeds.of(problem, *np.split(whole, np.cumsum(sizes)[:-1], axis=1))


def differences(model, problem, seeds, step=1e-4):
    """Return central differences of fourth order of one run, (n_time, n_select, n)."""
    total = 0.0
    for k, weight in ((1, 2.0 / 3.0), (2, -1.0 / 12.0)):
        for sign in (1.0, -1.0):
            moved = replace(
                problem,
                y0=problem.y0 + sign * k * step * seeds.y0[0],
                p=problem.p + sign * k * step * seeds.p[0],
                schedule=replace(
                    problem.schedule,
                    value=problem.schedule.value + sign * k * step * seeds.dose[0],
                ),
            )
            found = solve(model, moved, options(model, 1e-12))[0]
            assert (found.status == 0).all()
            total = total + sign * weight / step * found.values
    return np.moveaxis(total, 0, -1)


def assert_both_ways(model, problem, seeds, found):
    """Check that the adjoint is the transpose of the tangents."""
    kept = record(model, problem, options(model))
    np.testing.assert_array_equal(kept.solution.values, found.solution.values)
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((len(problem), 2, *found.tangents.shape[1:3]))
    made = kept.adjoint(weights)
    backward = np.concatenate([made.p, made.y0, made.dose, made.dose_time], axis=-1)
    forward = np.einsum("rfts,rtsc->rfc", weights, found.tangents)
    size = np.einsum("rfts,rtsc->rfc", abs(weights), abs(found.tangents))
    assert np.all(np.abs(forward - backward) <= 1e-12 * size)


@pytest.mark.parametrize("name", MODELS)
def test_tangents_equal_differences_and_the_adjoint(name):
    model = compiled(**MODELS[name])
    a = model.state_names.index("A")
    doses = Schedule(
        np.array([0.6, 0.8, 2.2]),
        np.full(3, a),
        np.array([0, 2, 2]),
        np.array([[5.0, 3.0, -3.0]]),
    )
    problem = problem_of(model, schedule=doses)
    seeds = all_columns(problem)
    found = solve_tangents(model, problem, options(model), seeds)
    assert found.reasons == ("",)
    assert_both_ways(model, problem, seeds, found)
    still = ~seeds.dose_time[0].any(axis=1)
    some = Seeds(*(part[:, still] for part in vars_of(seeds)))
    many = replace(
        problem_of(model, some.n_column),
        schedule=replace(doses, value=np.tile(doses.value, (some.n_column, 1))),
    )
    change = differences(model, many, some)
    scale = np.abs(change).max(axis=0) + 1e-2
    error = np.abs(found.tangents[0][..., still] - change) / scale
    assert error.max() < 1e-6, np.unravel_index(error.argmax(), error.shape)
    on = model.param_names.index("t_on")
    assert np.abs(found.tangents[0, -1, 0, on]) > 1e-3


def vars_of(seeds):
    return seeds.p, seeds.y0, seeds.dose, seeds.dose_time


def test_a_pulse_has_its_closed_form():
    net = support.network(
        {"A": 0.0},
        {"k": 0.5, "s": 4.0, "t_on": 1.3, "t_off": 2.7},
        [reaction("make", "-> A", pulse()), reaction("fall", "A ->", "k*A")],
    )
    model = support.compiled(net, "numba", unit_policy="ignore")
    asked = ["peak(A)", "peak_time(A)", "area(A)", "final(A)", "crossing(A, 1)", "A"]
    tight = Options(rtol=1e-10, equilibrate=False)
    found = sensitivities(
        model, asked, ["t_on", "t_off", "k"], end=6.0, points=5, options=tight
    )
    assert found.attrs["derivatives"] == "tangents"
    k, s, on, off = 0.5, 4.0, 1.3, 2.7
    top, gone = np.exp(-k * (off - on)), np.exp(-k * (6.0 - off))
    area = [-s / k, s / k]  # of the whole course; what is left at the end is not in it
    left = np.array([-s * top * gone, s * gone])
    expected = {
        "peak(A)": (-s * top, s * top),
        "peak_time(A)": (0.0, 1.0),
        "area(A)": np.array(area) - left / k,
        "final(A)": left,
        "crossing(A, 1)": (1.0, 0.0),
    }
    for feature, (by_on, by_off) in expected.items():
        made = found["derivative"].sel(feature=feature)
        assert float(made.sel(number="t_on")) == pytest.approx(by_on, 1e-7, 1e-7)
        assert float(made.sel(number="t_off")) == pytest.approx(by_off, 1e-7, 1e-7)
    np.testing.assert_allclose(found["d_A"][:2, -1], left, rtol=1e-7)


def test_an_event_that_adds_moves_features():
    net = support.network(
        {"A": 4.0},
        {"k": 0.5, "t_on": 1.3, "s": 50.0},
        [reaction("fall", "A ->", "k*A")],
        events=[event("dose", "time >= t_on", "A = A + s")],
    )
    model = support.compiled(net, "numba", unit_policy="ignore")
    asked = ["peak(A)", "peak_time(A)", "area(A)", "final(A)", "crossing(A, 20)"]
    tight = Options(rtol=1e-10, equilibrate=False)
    found = sensitivities(model, asked, ["t_on", "s"], end=6.0, options=tight)
    k, on, s = 0.5, 1.3, 50.0
    gone = np.exp(-k * (6.0 - on))
    expected = {
        "peak(A)": (-k * 4.0 * np.exp(-k * on), 1.0),
        "peak_time(A)": (1.0, 0.0),
        "area(A)": (-s * gone, (1.0 - gone) / k),
        "final(A)": (k * s * gone, gone),
        "crossing(A, 20)": (1.0, 0.0),
    }
    for feature, wanted in expected.items():
        made = found["derivative"].sel(feature=feature)
        np.testing.assert_allclose(made, wanted, rtol=1e-6, atol=1e-7)


def test_an_output_at_the_moment_shows_what_follows_it():
    model = compiled([event("dose", "time >= t_on", "A = A + s")])
    at = replace(problem_of(model), times=np.array([0.0, 1.3, 2.0]))
    last = replace(at, times=np.array([0.0, 1.3]))
    seeds = all_columns(at)
    inside = solve_tangents(model, at, options(model), seeds).tangents[0, 1]
    found = solve_tangents(model, last, options(model), seeds)
    np.testing.assert_allclose(found.tangents[0, 1], inside, rtol=1e-12)
    assert_both_ways(model, last, seeds, found)
    a, s = model.state_names.index("A"), model.param_names.index("s")
    assert inside[a, s] == 1.0


def test_runs_with_other_moments_do_not_depend_on_their_company():
    model = compiled(**MODELS["a chain of events at one time"])
    on = model.param_names.index("t_on")
    many = problem_of(model, 11)
    many.p[:, on] = np.linspace(0.2, 3.5, 11)
    seeds = all_columns(many)
    together = solve_tangents(model, many, options(model), seeds)
    assert_both_ways(model, many, seeds, together)
    one = problem_of(model)
    one.p[:, on] = many.p[4, on]
    alone = solve_tangents(model, one, options(model), all_columns(one))
    np.testing.assert_array_equal(together.tangents[4], alone.tangents[0])


def test_breakpoints_that_coincide_and_part_have_no_derivative():
    both = [
        event("one", "time >= t_on", "A = 2*A"),
        event("two", "time >= t_off", "A = A + s"),
    ]
    model = compiled(both, t_off=NUMBERS["t_on"])
    problem = problem_of(model)
    seeds = all_columns(problem)
    found = solve_tangents(model, problem, options(model), seeds)
    assert found.reasons == (APART,)
    names = model.param_names
    moving = [names.index("t_on"), names.index("t_off")]
    assert np.isnan(found.tangents[0, -1, 0, moving]).all()
    rest = np.delete(found.tangents[0], moving, axis=-1)
    assert np.isfinite(rest).all()
    together = np.zeros((1, len(names)))
    together[0, moving] = 1.0
    whole = solve_tangents(
        model, problem, options(model), Seeds.of(problem, p=together)
    )
    assert whole.reasons == ("",)
    assert np.isfinite(whole.tangents).all()
    gradient = record(model, problem, options(model)).adjoint(
        np.ones(found.tangents.shape[:-1])
    )
    assert np.isnan(gradient.p[0, 0, moving]).all()
    assert np.isfinite(np.delete(gradient.p[0, 0], moving)).all()
    said = sensitivities(model, ["final(A)"], ["t_on", "k"], end=5.0)
    assert said["note"].values[0] == APART
    assert np.isnan(said["derivative"].sel(number="t_on")).all()
    curve = sensitivities(model, "A", ["t_on", "k"], end=5.0)
    assert curve["effect"].sel(number="t_on") == "yes"
    text = ranking_text(curve, "A")
    assert f"no derivative by t_on: {APART}" in text
    assert "nan" not in text


def test_a_moment_at_the_start_has_no_derivative_where_it_matters():
    model = compiled(rate=pulse(), t_on=0.0)
    found = sensitivities(model, "final(A)", ["t_on", "t_off"], end=5.0)
    assert np.isnan(found["derivative"].sel(number="t_on")).all()
    assert np.isfinite(found["derivative"].sel(number="t_off")).all()


def test_a_failed_run_has_no_derivatives_and_says_why():
    model = compiled([event("dose", "time >= t_on", "A = A + s")])
    problem = problem_of(model)
    few = replace(options(model), max_steps=5, retried=frozenset())
    found = solve_tangents(model, problem, few, all_columns(problem))
    assert np.isnan(found.tangents).all()
    assert "maximum number of steps" in found.reasons[0]
    gradient = record(model, problem, few).adjoint(np.ones((1, len(TIMES), 3)))
    assert np.isnan(gradient.p).all()


@settings(max_examples=6)
@given(
    st.floats(0.1, 4.5), st.floats(0.05, 2.0), st.floats(-1.0, 1.0), st.floats(0.1, 3.0)
)
def test_random_times_and_rates_agree_every_way(on, late, log_k, u):
    model = compiled(**MODELS["a parameter that changes late, by the values at firing"])
    problem = problem_of(model)
    changes = {"t_on": on, "late": late, "k": 10.0**log_k, "u": u}
    for name, value in changes.items():
        problem.p[0, model.param_names.index(name)] = value
    due = on + late + 0.2 * 10.0**log_k
    if np.abs(np.array([due]) - TIMES[:, np.newaxis]).min() < 1e-2:
        return  # an output at the moment is on both of its sides
    seeds = all_columns(problem)
    found = solve_tangents(model, problem, options(model), seeds)
    assert_both_ways(model, problem, seeds, found)
    copies = replace(
        problem_of(model, seeds.n_column), p=np.tile(problem.p, (seeds.n_column, 1))
    )
    change = differences(model, copies, seeds)
    scale = np.abs(change).max(axis=(0, 2), keepdims=True) + 1.0
    assert (np.abs(found.tangents[0] - change) / scale).max() < 1e-6
