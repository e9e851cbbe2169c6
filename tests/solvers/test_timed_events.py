"""Events and conditions on time in the batch solver, against LSODA and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import support
from support import event, reaction

from mir21sim.errors import SolverStatus
from mir21sim.solvers import methods
from mir21sim.solvers.problem import Problem, Schedule, Selection
from mir21sim.solvers.settings import Settings
from mir21sim.solvers.solve import solve

TIMES = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0])


def compiled(reactions, parameters, **parts):
    net = support.network({"A": 100.0, "B": 0.0}, parameters, reactions, **parts)
    return support.compiled(net, "numba", unit_policy="ignore")


def problem_of(model, n_run=1, p=None, schedule=None):
    empty = np.zeros(0, np.int64)
    none = Schedule(np.zeros(0), empty, empty, np.zeros((n_run, 0)))
    n = len(model.state_names)
    index = np.arange(n)
    return Problem(
        y0=np.tile(model.y0, (n_run, 1)),
        p=np.tile(model.p0, (n_run, 1)) if p is None else p,
        times=TIMES,
        schedule=schedule or none,
        selection=Selection(0 * index, index, 0 * index, index * 0 - 1, np.ones(n)),
        amounts=np.ones(n, bool),
    )


def values(model, problem, method):
    settings = Settings(method, 1e-8, np.array(model.atol) * 1e-2)
    found, interrupted = solve(model, problem, settings)
    assert not interrupted
    assert (found.status == SolverStatus.OK).all()
    assert (found.method == methods.NAMES.index(method)).all()
    return found


MODELS = {
    "a dose by an event": lambda: compiled(
        [reaction("turn", "A -> B", "k*A")],
        {"k": 0.5},
        events=[event("dose", "time >= 2", "A = A + 50")],
    ),
    "a strict trigger, after its own output": lambda: compiled(
        [reaction("turn", "A -> B", "k*A")],
        {"k": 0.5},
        events=[event("dose", "time > 2", "A = A + 50")],
    ),
    "a parameter that an event changes, late": lambda: compiled(
        [reaction("turn", "A -> B", "k*A")],
        {"k": 0.5, "when": 1.2},
        events=[event("faster", "time > when", "k = 2*k", delay="0.7")],
    ),
    "a rate with a pulse": lambda: compiled(
        [
            reaction(
                "turn",
                "A -> B",
                support.ex.Call(
                    "piecewise",
                    (
                        support.expr("k*A"),
                        support.expr("(time > 1) * (time < 2.25)"),
                        support.ex.Number(0.0),
                    ),
                ),
            )
        ],
        {"k": 0.5},
    ),
    "a chain of events with priorities": lambda: compiled(
        [reaction("turn", "A -> B", "k*A")],
        {"k": 0.5, "n": 0.0},
        events=[
            event("one", "time >= 1", "k = 0.1; n = n + 1", priority=1),
            event("two", "time >= 1", "k = k + 0.2; n = 2*n", priority=2),
            event("three", "n > 0.5", "A = A + n", delay="1"),
        ],
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_lanes_agree_with_lsoda(name):
    model = MODELS[name]()
    problem = problem_of(model)
    lanes = values(model, problem, "Rodas5P")
    single = values(model, problem, "LSODA")
    np.testing.assert_allclose(lanes.values, single.values, rtol=1e-6, atol=1e-5)
    np.testing.assert_array_equal(lanes.n_events, single.n_events)
    assert np.abs(np.diff(lanes.values[0, :, 0])).max() > 1


def test_an_event_acts_at_its_time_to_the_tolerance():
    model = MODELS["a dose by an event"]()
    found = values(model, problem_of(model), "Rodas5P").values[0, :, 0]
    later = np.where(TIMES >= 2, 50.0 * np.exp(-0.5 * (TIMES - 2.0)), 0.0)
    np.testing.assert_allclose(found, 100.0 * np.exp(-0.5 * TIMES) + later, rtol=1e-8)


def test_moments_may_differ_between_runs_and_doses_go_on():
    model = MODELS["a parameter that an event changes, late"]()
    when = model.param_names.index("when")
    p = np.tile(model.p0, (11, 1))
    p[:, when] = np.linspace(0.2, 3.5, 11)
    a = model.state_names.index("A")
    schedule = Schedule(
        np.array([0.0, 1.0, 2.0]),
        np.array([a, a, a]),
        np.array([2, 0, 2]),
        np.tile([10.0, 30.0, -10.0], (11, 1)),
    )
    problem = problem_of(model, 11, p, schedule)
    lanes = values(model, problem, "Rodas5P").values
    single = values(model, problem, "LSODA").values
    np.testing.assert_allclose(lanes, single, rtol=1e-6, atol=1e-5)
    alone = replace(
        problem,
        y0=problem.y0[4:5],
        p=p[4:5],
        schedule=replace(schedule, value=schedule.value[4:5]),
    )
    np.testing.assert_array_equal(values(model, alone, "Rodas5P").values[0], lanes[4])


def test_an_event_that_watches_the_state_is_run_one_by_one():
    model = compiled(
        [reaction("turn", "A -> B", "k*A")],
        {"k": 0.5},
        events=[event("low", "A < 20", "A = 80")],
    )
    reason = methods.method_of("Rodas5P").supports(model)
    assert reason == "the model has events or conditions that depend on its state"
    assert methods.usable(model, methods.MANY) is methods.ONE


def test_a_failed_stretch_ends_its_run_alone():
    model = compiled(
        [reaction("grow", "-> A", "k*A*A")],
        {"k": 0.0, "when": 1.0},
        events=[event("go", "time > 1", "k = when")],
    )
    when = model.param_names.index("when")
    p = np.tile(model.p0, (2, 1))
    p[:, when] = [1.0, 1e-6]
    settings = Settings(
        "Rodas5P", 1e-6, np.array(model.atol), max_steps=500, retried=frozenset()
    )
    found, _ = solve(model, problem_of(model, 2, p), settings)
    assert found.status[0] != SolverStatus.OK
    assert found.status[1] == SolverStatus.OK
    assert np.isnan(found.values[0, -1]).all()
    assert found.t_end[0] < 1.1
