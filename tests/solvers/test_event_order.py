"""Events: delays, order at one time, assignments, doses."""

import math
from dataclasses import replace

import numpy as np
import pytest
import support
from event_runs import DECAY, clock, compiled, lottery, run
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support import event, reaction

from mir21sim.model.network import Species


# ------------------------------------------------------------------ delay, persistence
@pytest.mark.parametrize(
    ("early", "expected"), [(True, 4.0), (False, 7.0)], ids=["trigger", "execution"]
)
def test_a_delayed_event_assigns_values_of_the_moment_it_is_told_to(early, expected):
    net = clock(
        event("e", "time >= 4", "x = time", delay="d", values_from_trigger_time=early),
        event("other", "time >= 5", "d = 100"),
        parameters={"x": 0.0, "d": 3.0},
    )
    got = run(net)["x"].values
    assert got.tolist() == [0] * 7 + [expected] * 4


@pytest.mark.parametrize(("persistent", "expected"), [(True, 1.0), (False, 0.0)])
@pytest.mark.parametrize("delay", [3, None])
def test_an_event_that_does_not_persist_is_dropped_when_its_trigger_is_false_again(
    persistent, expected, delay
):
    """With a delay time makes the trigger false, without one another event does."""
    net = clock(
        event("e", "gate > 0", "x = 1", delay=delay, priority=1, persistent=persistent),
        event("open", "time >= 2", "gate = 1"),
        event("shut", "gate > 0", "gate = 0", priority=2,
              delay=None if delay is None else 1),
        parameters={"x": 0.0, "gate": 0.0},
    )  # fmt: skip
    assert float(run(net)["x"][-1]) == expected


def test_one_event_can_wait_several_times():
    """It fires at 1, 3 and 5 and is executed four hours later each time."""
    trigger = "time >= 1 and time < 2 or time >= 3 and time < 4 or time >= 5"
    got = run(clock(event("e", trigger, "x = x + 1", delay=4,
                          values_from_trigger_time=False)))  # fmt: skip
    assert got["x"].values.tolist() == [0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3]


def test_an_infinite_delay_never_ends():
    assert float(run(clock(event("e", "time > 1", "x = 1", delay="1/x")))["x"][-1]) == 0


# --------------------------------------------------------------------- simultaneous
def test_simultaneous_events_act_by_priority_and_see_each_other():
    """x = ((0 + 1)*3)² by falling priority; the values are those of the execution."""
    net = clock(
        event("square", "time >= 1", "x = x*x", priority=1,
              values_from_trigger_time=False),
        event("add", "time >= 1", "x = x + 1", priority=3,
              values_from_trigger_time=False),
        event("triple", "time >= 1", "x = 3*x", priority=2,
              values_from_trigger_time=False),
    )  # fmt: skip
    assert float(run(net)["x"][-1]) == 9.0


def test_priorities_are_taken_when_the_next_event_is_chosen():
    """`first` turns the order of the other two round."""
    net = clock(
        event("first", "time >= 1", "p = 5", priority=10),
        event("a", "time >= 1", "x = 2*x + 1", priority="p",
              values_from_trigger_time=False),
        event("b", "time >= 1", "x = 2*x", priority=2,
              values_from_trigger_time=False),
        parameters={"x": 1.0, "p": 1.0},
    )  # fmt: skip
    assert float(run(net)["x"][-1]) == 6.0


def test_assignments_of_one_event_do_not_see_each_other():
    net = clock(event("swap", "time >= 2", "x = y; y = x"),
                parameters={"x": 1.0, "y": 2.0})  # fmt: skip
    got = run(net)
    assert (float(got["x"][-1]), float(got["y"][-1])) == (2.0, 1.0)


def test_events_trigger_each_other_within_one_moment():
    net = clock(
        *(event(f"e{i}", f"x{i} > 0", f"x{i + 1} = x{i} + 1") for i in range(20)),
        event("start", "time >= 3", "x0 = 1"),
        parameters={f"x{i}": 0.0 for i in range(21)},
    )
    got = run(net)
    assert got["x20"].values.tolist() == [0, 0, 0, *[21] * 8]
    assert got["n_events"] == 21


def test_equal_priorities_are_drawn_by_lot_and_the_same_run_draws_the_same():
    """Each hour two events compete for one chance: about half of 400 each."""
    net = lottery()
    one, two = run(net, 400.0), run(net, 400.0)
    assert one.drop_vars("status").equals(two.drop_vars("status"))
    a, b = float(one["a"][-1]), float(one["b"][-1])
    assert a + b == 400
    assert 140 < a < 260  # six standard deviations
    other = run(net, 400.0, parameters={"a": 1.0})
    assert (other["b"].values != one["b"].values).any()


# ------------------------------------------------------------------------ what it sets
def test_amounts_stay_when_an_event_changes_the_volume():
    """Concentrations c = A/V fall to half; the rate k c V does not change."""
    net = support.network(
        {"A": 8.0}, {"k": 0.1}, [reaction("decay", "A ->", "k*A")],
        rules={"c": "A/cell"}, events=[event("swell", "time >= 5", "cell = 2*cell")],
    )  # fmt: skip
    got = run(net)
    factor = np.where(got["time"] < 5, 1.0, 0.5)
    assert np.allclose(got["A"], 8 * np.exp(-0.1 * got["time"]), rtol=1e-9)
    assert np.allclose(got["c"], got["A"].values * factor, rtol=1e-12)


@pytest.mark.parametrize("only_amount", [True, False])
def test_a_species_is_set_to_an_amount_or_a_concentration_as_it_is_declared(
    only_amount,
):
    net = support.network(
        {}, {}, [], size=4.0, events=[event("e", "time >= 5", "A = 3")]
    )
    species = Species("A", "cell", 8.0, only_amount=only_amount, unit=support.ITEM)
    got = run(replace(net, species=(species,)))
    assert float(got["A"][-1]) == (3.0 if only_amount else 12.0)


def test_a_parameter_set_by_an_event_is_still_a_parameter():
    """It is set by name, observed at all times, and starts by its own formula."""
    net = support.network(
        {"A": 1.0}, {"k": 0.0, "k0": 0.25, "x": 0.0}, DECAY,
        starts={"k": "2*k0"}, events=[event("halt", "time >= 4", "k = 0; x = 1")],
    )  # fmt: skip
    model = compiled(net)
    assert {"k", "x"} <= {*model.param_names}
    assert model.state_names == ("A",)
    plain, fast = run(net), run(net, parameters={"k": 1.0})
    assert plain["k"].values.tolist() == [0.5] * 4 + [0.0] * 7
    assert fast["k"].values.tolist() == [1.0] * 4 + [0.0] * 7
    assert float(fast["A"][-1]) == pytest.approx(math.exp(-4), rel=1e-8)


# -------------------------------------------------------------------- doses and events
def test_periodic_events_are_periodic_doses():
    """Both to 1e-8 of each other, over twenty doses with decay in between."""
    decay = support.network({"A": 0.0}, {"k": 0.7, "next": 1.0}, DECAY)
    pulses = support.network(
        {"A": 0.0}, {"k": 0.7, "next": 1.0}, DECAY,
        events=[event("dose", "time >= next", "A = A + 5; next = next + 1",
                      values_from_trigger_time=False)],
    )  # fmt: skip
    dosed = run(decay, 21.0, points=211, doses=["A=5 molecule@1h/1hx21"])
    fired = run(pulses, 21.0, points=211)
    assert fired["n_events"] == 21
    assert np.allclose(fired["A"], dosed["A"], rtol=1e-8, atol=1e-9)


def test_doses_come_before_events_at_the_same_time():
    """An event doubles the amount dosed before it; a dose at the start counts too."""
    net = support.network(
        {"A": 0.0}, {"n": 0.0}, [],
        events=[
            event("double", "time >= 2", "A = 2*A"),
            event("seen", "A > 2.5", "n = n + 1"),
        ],
    )  # fmt: skip
    got = run(net, doses=["A=3 molecule@2h"])
    assert got["A"].values.tolist() == [0, 0, *[6.0] * 9]
    assert float(got["n"][-1]) == 1.0
    at_start = run(net, doses=["A=3 molecule@0h"])
    assert at_start["n"].values.tolist() == [1.0] * 11


@settings(max_examples=25, deadline=None)
@given(
    at=st.floats(0.05, 9.95),
    rate=st.floats(0.01, 3.0),
    added=st.floats(0.1, 100.0),
)
def test_an_event_in_time_is_the_same_as_a_run_split_by_hand(at, rate, added):
    assume(abs(at - round(at)) > 1e-6)
    net = support.network(
        {"A": 10.0}, {"k": rate}, DECAY,
        events=[event("e", f"time >= {at!r}", "A = A + " + repr(added))],
    )  # fmt: skip
    t = np.linspace(0, 10, 11)
    before = 10 * np.exp(-rate * t)
    late = np.clip(t - at, 0, None)
    after = (10 * math.exp(-rate * at) + added) * np.exp(-rate * late)
    expected = np.where(t < at, before, after)
    got = run(net)
    assert np.allclose(got["A"], expected, rtol=1e-7, atol=1e-9)
