"""Single runs in compiled code: right, the same again, in one pass the second time."""

import math
import threading
from dataclasses import replace

import numpy as np
import pytest
import support
from event_runs import DECAY, compiled
from support import event

import mir21sim as ms
from mir21sim.errors import SolverError, SolverStatus
from mir21sim.simulation.options import Options
from mir21sim.simulation.plan import Plan
from mir21sim.simulation.translate import translate
from mir21sim.simulation.treatment import Treatment
from mir21sim.solvers.methods import ONE, second_try
from mir21sim.solvers.single import one_rodas, scale

ONCE = Options(method="Rodas5P-one")


def open_problem(model, times, **options):
    """Return the problem of a run, and settings that find tolerances by themselves."""
    plan = Plan.of(model, Treatment.of([]), times, observe=list(model.state_names))
    chosen = Options(method="Rodas5P-one", **options).resolved(model, many=False)
    return translate(model, plan).problem, replace(chosen, adapts=True)


def decay(**more):
    return compiled(
        support.network({"A": 8.0}, {"k": 0.3, "n": 0.0}, DECAY, **more),
        backend="numba",
    )


def test_a_decay_is_exact_to_the_tolerance():
    result = ms.simulate(decay(), 10.0, points=11, doses=[], observe="A", options=ONCE)
    expected = 8.0 * np.exp(-0.3 * result["time"].values)
    assert result.attrs["method"] == "Rodas5P-one"
    np.testing.assert_allclose(result["A"], expected, rtol=1e-6)


def test_an_event_is_at_the_crossing_and_not_at_a_step():
    model = decay(events=[event("low", "A < 1", "n = time")])
    result = ms.simulate(model, 10.0, doses=[], observe="n", options=ONCE)
    assert int(result["n_events"]) == 1
    found = float(result["n"][-1])
    assert found == pytest.approx(math.log(8) / 0.3, rel=1e-6)


def test_a_dip_below_a_threshold_between_two_steps_is_seen():
    """The trigger is true for 2e-3 of the run only."""
    model = decay(
        rules={"x": "(time - 5)**2"},
        events=[event("dip", "x < 0.0001", "n = n + 1")],
    )
    result = ms.simulate(model, 10.0, doses=[], observe="n", options=ONCE)
    assert float(result["n"][-1]) == 1.0


def test_a_second_run_is_the_same_and_is_made_once(monkeypatch):
    model, calls = decay(), []
    attempt = scale.attempt

    def counted(make, settings, atol, growth):
        calls.append(growth)
        return attempt(make, settings, atol, growth)

    monkeypatch.setattr(scale, "attempt", counted)
    problem, settings = open_problem(model, np.linspace(0.0, 10.0, 11), rtol=1e-8)
    first = one_rodas.one_run(model, problem, 0, settings, threading.Event())
    made = len(calls)
    again = one_rodas.one_run(model, problem, 0, settings, threading.Event())
    assert len(calls) == made + 1
    assert again.one.n_steps == first.one.n_steps
    np.testing.assert_array_equal(again.one.out, first.one.out)


@pytest.mark.parametrize("power", ["0.5", "0.7"])
def test_a_derivative_that_is_infinite_at_zero_stops_no_run(power):
    net = support.network(
        {"A": 0.0, "B": 0.0},
        {"k": 1.0, "q": 0.5},
        [
            support.reaction("make", "-> A", "k"),
            support.reaction("turn", "-> B", f"q*A**{power}"),
        ],
    )
    result = ms.simulate(
        compiled(net, backend="numba"), 4.0, doses=[], observe="B", options=ONCE
    )
    p = float(power)
    expected = 0.5 * 4.0 ** (p + 1) / (p + 1)
    assert result["method"].item() == "Rodas5P-one"
    assert float(result["B"][-1]) == pytest.approx(expected, rel=1e-5)


def test_a_trace_below_all_others_grows_back_right():
    """A predator-prey trough of ten decades: absolute errors there are amplified."""
    net = support.network(
        {"V": 1e-3, "P": 1.0},
        {"a": 2.0, "b": 1.0, "c": 1.0, "d": 1.0},
        [
            support.reaction("grow", "-> V", "a*V"),
            support.reaction("eaten", "V ->", "b*V*P"),
            support.reaction("breed", "-> P", "c*V*P"),
            support.reaction("die", "P ->", "d*P"),
        ],
    )
    model = compiled(net, backend="numba")
    problem, settings = open_problem(model, np.linspace(0.0, 30.0, 301))
    ended = one_rodas.one_run(model, problem, 0, settings, threading.Event())
    # V − d·ln V … is conserved: c·V − d·ln V + b·P − a·ln P.
    V, P = ended.one.states[:, 0], ended.one.states[:, 1]
    kept = V - np.log(V) + P - 2.0 * np.log(P)
    np.testing.assert_allclose(kept, kept[0], atol=1e-4)


def test_a_failed_run_is_tried_by_lsoda_and_then_by_radau():
    assert second_try(ONE).name == "LSODA"
    assert second_try(second_try(ONE)).name == "Radau"


def test_an_amount_below_zero_in_the_last_step_ends_the_run():
    """A loss of order zero: A = 1 - t, and the only step to the end may cross zero."""
    net = support.network(
        {"A": 1.0}, {"k": 1.0}, [support.reaction("lose", "A ->", "k")]
    )
    model = compiled(net, backend="numba")
    with pytest.raises(SolverError, match="became negative") as caught:
        ms.simulate(model, 1.01, points=2, doses=[], observe="A", options=ONCE)
    assert caught.value.t == pytest.approx(1.01, rel=0.05)
    allowed = replace(ONCE, allow_negative=True)
    result = ms.simulate(model, 1.5, points=2, doses=[], observe="A", options=allowed)
    assert float(result["A"][-1]) == pytest.approx(-0.5)


def test_a_run_that_cannot_begin_says_so():
    """No step was made, so there are no sizes to fit tolerances to: it was a
    ValueError on an empty array (BioModels 636, 618, 775)."""
    net = support.network(
        {"A": 8.0}, {"k": 0.3}, [support.reaction("r", "A ->", "k*ln(A - 8)")]
    )
    model = compiled(net, backend="numba")
    problem, settings = open_problem(model, np.linspace(0.0, 1.0, 3))
    ended = one_rodas.one_run(model, problem, 0, settings, threading.Event())
    assert ended.status == SolverStatus.NON_FINITE
