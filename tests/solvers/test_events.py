"""Events of SBML: what fires, when, in which order, and what it does."""

import math
from dataclasses import replace

import numpy as np
import pytest
import support
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support import event, expr, reaction

import mir21sim as ms
from mir21sim.analysis import model_report as report
from mir21sim.errors import (
    FailedRunsWarning,
    InputError,
    ModelError,
    SolverError,
    SolverStatus,
)
from mir21sim.model import files as model_files
from mir21sim.model import lint, unit_check
from mir21sim.model import network as ir
from mir21sim.simulation.dataset import status_attributes
from mir21sim.solvers.single.events import MAX_AT_ONCE

TIGHT = ms.Options(rtol=1e-10, atol=1e-12, allow_negative=True)
DECAY = [reaction("decay", "A ->", "k*A")]


def compiled(net, **more):
    """Return a network whose numbers have no units."""
    return support.compiled(net, unit_policy="ignore", **more)


def run(net, end=10.0, *, points=11, times=None, doses=(), options=TIGHT, **more):
    """Simulate a network, by default to 10 h with an output each hour."""
    model = compiled(net)
    observe = [*model.state_names, *model.assigned_names, *model.param_names]
    return ms.simulate(
        model,
        end,
        points=points,
        times=times,
        doses=list(doses),
        observe=observe,
        options=options,
        **more,
    )


def clock(*events, parameters=None, **more):
    """Return a network in which nothing happens but events on parameters."""
    return support.network({}, parameters or {"x": 0.0}, [], events=events, **more)


def lottery():
    """Return a network in which each hour one of two equal events has its way."""
    events = [
        event(
            f"win_{name}",
            "time - last >= 1",
            f"last = time; {name} = {name} + 1",
            priority=1,
            persistent=False,
        )
        for name in ("a", "b")
    ]
    return clock(*events, parameters={"a": 0.0, "b": 0.0, "last": 0.0})


# ------------------------------------------------------------------------ closed forms
def test_a_bouncing_ball_bounces_where_the_parabola_ends():
    """Height h(t) = g t (T - t)/2 between bounces; each one takes a share c of v."""
    g, v0, share = 10.0, 5.0, 0.8
    net = support.network(
        {}, {"h": 0.0, "v": v0, "g": g, "c": share}, [],
        rate_rules={"h": "v", "v": "0 - g"},
        events=[event("bounce", "h < 0", "h = 0; v = 0 - c*v", persistent=False)],
    )  # fmt: skip
    times = np.linspace(0, 4.0, 201)
    ball = run(net, times=times)
    expected, start, speed, bounces = [], 0.0, v0, 0
    for t in times:
        while t - start > 2 * speed / g:
            start += 2 * speed / g
            speed *= share
            bounces += 1
        expected.append((t - start) * (speed - g * (t - start) / 2))
    assert np.abs(ball["h"].values - expected).max() < 1e-9
    assert ball["n_events"] == bounces


def test_a_ball_that_comes_to_rest_ends_by_the_step_limit():
    """Infinitely many bounces before 5 h: no curve goes beyond that."""
    net = support.network(
        {}, {"h": 0.0, "v": 5.0}, [],
        rate_rules={"h": "v", "v": "0 - 10"},
        events=[event("bounce", "h < 0", "h = 0; v = 0 - 0.5*v", persistent=False)],
    )  # fmt: skip
    limited = ms.Options(rtol=1e-8, max_steps=3000, allow_negative=True)
    with pytest.raises(SolverError, match="maximum number of steps") as caught:
        run(net, 5.0, options=limited)
    assert caught.value.status == SolverStatus.MAX_STEPS
    assert caught.value.t == pytest.approx(2.0, abs=1e-3)


def test_a_threshold_is_found_to_the_last_digits():
    """A = 8 exp(-k t) passes 1 at ln(8)/k; the time is written down by the event."""
    net = support.network(
        {"A": 8.0}, {"k": 0.3, "when": 0.0}, DECAY,
        events=[event("low", "A < 1", "when = time")],
    )  # fmt: skip
    model = compiled(net)
    for method in ("LSODA", "BDF", "Radau"):
        options = ms.Options(method=method, rtol=1e-12, atol=1e-14)
        low = ms.simulate(model, 10.0, observe=["when", "A"], doses=[], options=options)
        assert float(low["when"][-1]) == pytest.approx(math.log(8) / 0.3, rel=3e-10)


@pytest.mark.parametrize(("method", "error"), [("LSODA", 1e-6), ("Radau", 5e-8)])
def test_a_thermostat_switches_between_its_two_temperatures(method, error):
    """Heating to 20 and cooling from 22 by exponentials gives a known period.

    A multi-step method starts anew after each of 32 switches, which costs it digits.
    """
    net = support.network(
        {}, {"T": 21.0, "on": 1.0}, [],
        rate_rules={"T": "30*on - T"},
        events=[
            event("heat", "T < 20", "on = 1"),
            event("cool", "T > 22", "on = 0"),
        ],
    )  # fmt: skip
    first = math.log((30 - 21) / (30 - 22))
    heating, cooling = math.log((30 - 20) / (30 - 22)), math.log(22 / 20)
    times = np.linspace(0, 5, 101)
    options = ms.Options(method=method, rtol=1e-10, atol=1e-12)
    got = run(net, times=times, options=options)["T"].values
    phase = (times - first) % (heating + cooling)
    expected = np.where(
        phase < cooling, 22 * np.exp(-phase), 30 - 10 * np.exp(-(phase - cooling))
    )
    start = times < first
    expected[start] = 30 - 9 * np.exp(-times[start])
    assert np.abs(got - expected).max() < error


@pytest.mark.parametrize(
    "pulse", ["piecewise(1, time > 10 and time < 10.001, 0)", "gate"]
)
def test_a_short_pulse_in_a_rate_is_not_stepped_over(pulse):
    """A pulse of 1 for 0.001 h leaves 0.001; a step of the solver is far longer."""
    rules = {"gate": "piecewise(1, time >= 10 and time < 10.001, 0)"}
    net = support.network({"A": 0.0}, {}, [reaction("in_", "-> A", pulse)], rules=rules)
    for method in ("LSODA", "BDF", "Radau"):
        options = ms.Options(method=method)
        got = run(net, 100.0, options=options)
        assert float(got["A"][-1]) == pytest.approx(1e-3, rel=1e-12)
        assert float(got["A"][0]) == 0.0


def test_pulses_at_times_that_are_not_linear_are_not_stepped_over():
    """sin is above 0.999 for 2 arccos(0.999) around each of its 16 crests."""
    net = support.network(
        {"A": 0.0}, {}, [reaction("in_", "-> A", "piecewise(1, sin(time) > 0.999, 0)")]
    )
    for method in ("LSODA", "BDF", "Radau"):
        got = run(net, 100.0, options=ms.Options(method=method))
        expected = 16 * 2 * math.acos(0.999)
        assert float(got["A"][-1]) == pytest.approx(expected, rel=2e-5)


def test_two_crossings_within_one_step_are_two():
    """1 - (t - 5)²/4 is above 1 - 1e-6 for 0.004 h around its top."""
    net = support.network(
        {}, {"x": -5.25, "n": 0.0}, [],
        rate_rules={"x": "(5 - time)/2"},
        events=[event("top", "x > 1 - 1e-6", "n = n + 1")],
    )  # fmt: skip
    assert float(run(net, 10.0)["n"][-1]) == 1.0


def test_a_curve_that_stays_below_its_threshold_fires_nothing():
    net = support.network(
        {}, {"x": -5.25, "n": 0.0}, [],
        rate_rules={"x": "(5 - time)/2"},
        events=[event("top", "x > 1.000001", "n = n + 1")],
    )  # fmt: skip
    assert float(run(net, 10.0)["n"][-1]) == 0.0


def test_a_wave_is_counted_however_short_its_crests_are():
    net = support.network(
        {}, {"n": 0.0}, [], events=[event("crest", "sin(time) > 0.999", "n = n + 1")]
    )
    assert float(run(net, 100.0)["n"][-1]) == 16.0


# ------------------------------------------------------------------------ when it fires
def test_outputs_at_the_time_of_an_event_show_the_state_that_its_trigger_sees():
    """`time > 5` is false at 5, so 5 shows the value before it, as SBML says."""
    net = clock(event("e", "time >= 3", "x = 1"), event("f", "time > 5", "y = 1"),
                parameters={"x": 0.0, "y": 0.0})  # fmt: skip
    got = run(net)
    assert got["x"].values.tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]
    assert got["y"].values.tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]


def test_an_output_at_a_strict_relation_agrees_with_the_value_of_the_relation():
    net = clock(
        event("e", "time > 5", "x = 1"), event("f", "3 < time", "y = 1"),
        parameters={"x": 0.0, "y": 0.0},
        rules={"late": "piecewise(1, time > 5, 0)"},
    )  # fmt: skip
    got = run(net)
    assert got["late"].values.tolist() == got["x"].values.tolist()
    assert got["y"].values.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("delay", ["2", "20"])
def test_the_delay_of_a_strict_event_ends_right_after_its_time(delay):
    net = clock(event("e", "time > 10", "x = 1", delay=delay))
    got = run(net, 40.0, points=41)
    assert got["x"].values.tolist() == [0] * (11 + int(delay)) + [1] * (30 - int(delay))


@pytest.mark.parametrize("method", ["LSODA", "BDF", "Radau", "Rodas5P"])
@pytest.mark.parametrize(
    ("trigger", "rate", "expected"),
    [
        ("time > 0", "k*S", 10 * math.exp(-0.5)),
        ("time > on", "k*S", 10 * math.exp(-0.5)),
        ("time > 99", "piecewise(S/10, time > 0, 0)", 10 * math.exp(-0.5)),
        ("time > 99", "piecewise(0, time == 0, S/10)", 10 * math.exp(-0.5)),
        ("time > 99", "max(0, time)*S/10", 10 * math.exp(-1.25)),
    ],
)
def test_a_condition_that_turns_right_after_the_start(method, trigger, rate, expected):
    net = support.network(
        {"S": 10.0}, {"k": 0.0, "on": 0.0}, [reaction("r", "S ->", rate)],
        events=[event("wake", trigger, "k = 0.1")],
    )  # fmt: skip
    got = run(net, 5.0, options=ms.Options(method=method))
    assert float(got["S"][-1]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("initial_value", "expected"), [(True, 0.0), (False, 1.0)])
def test_a_trigger_true_at_the_start_fires_only_if_it_counts_as_false_before(
    initial_value, expected
):
    net = clock(event("e", "time >= 0", "x = 1", initial_value=initial_value))
    assert run(net)["x"].values.tolist() == [expected] * 11


def test_only_a_change_from_false_to_true_fires():
    """True at 0, false from 2, true from 4, false from 6, true from 8: two firings."""
    wave = "time < 2 or time >= 4 and time < 6 or time >= 8"
    got = run(clock(event("e", wave, "x = x + 1")))
    assert got["x"].values.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(
    ("trigger", "fires_at"),
    [
        ("time == 4", [4]),
        ("time != 4", [4]),
        ("xor(time > 2, time > 6)", [2]),
        ("not (time < 7)", [7]),
        ("implies(time > 1, time > 3)", [3]),
        ("piecewise(time > 2, time < 5, time > 8)", [2, 8]),
        ("eq(time > 2, time > 5)", [5]),
        ("time - 3", [3.0]),
        ("A == 4", [4]),
        ("A <= 4", [4]),
        ("abs(A - 4) > 1", [5]),
        ("abs(A - 4) < 1", [3]),
        ("double > 18", []),
        ("double == 8", [4]),
        ("piecewise(1, A > 6.5, 0) > 0.5", []),
        ("floor(time) >= 3", [3]),
    ],
)
def test_every_kind_of_condition_fires_where_it_becomes_true(trigger, fires_at):
    """A falls as 8 - t (2 t for `double`); firing times are written into a sum."""
    net = support.network(
        {"A": 8.0}, {"n": 0.0, "total": 0.0}, [reaction("fall", "A ->", "1")],
        rules={"double": "2*A"},
        events=[event("e", trigger, "n = n + 1; total = total + time")],
    )  # fmt: skip
    got = run(net, 10.0)
    assert float(got["n"][-1]) == len(fires_at)
    assert float(got["total"][-1]) == pytest.approx(sum(fires_at), abs=1e-9)


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
    species = ir.Species("A", "cell", 8.0, only_amount=only_amount, unit=support.ITEM)
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
    """The event doubles what the dose has put there, and one at a start counts too."""
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


# --------------------------------------------------------------------- whole pipeline
def test_numba_and_plain_python_execute_the_same_events():
    net = support.network(
        {"A": 8.0}, {"k": 0.3, "n": 0.0}, DECAY,
        rules={"half": "A/2"},
        events=[event("refill", "half < 1 and k > 0", "A = 8; n = n + 1", delay=0.5)],
    )  # fmt: skip
    curves = [
        ms.simulate(compiled(net, backend=backend), 30.0, doses=[], observe=["A", "n"])
        for backend in ("numpy", "numba")
    ]
    assert float(curves[0]["n"][-1]) > 2
    for name in ("A", "n"):
        np.testing.assert_allclose(curves[0][name], curves[1][name], rtol=1e-9)


def test_a_sweep_with_events_runs_by_lsoda_and_says_so():
    net = support.network(
        {"A": 8.0}, {"k": 0.3, "when": 0.0}, DECAY,
        events=[event("low", "A < 1", "when = time")],
    )  # fmt: skip
    model = compiled(net, backend="numba")
    got = ms.sweep(
        model, over={"k": [0.25, 0.5, 1.0, 0.1]}, end=10.0, observe=["when"], doses=[]
    )
    assert got.attrs["method"] == "LSODA"
    assert set(got["method"].values) == {"LSODA"}
    assert got["n_events"].values.tolist() == [1, 1, 1, 0]
    expected = np.log(8) / np.array([0.25, 0.5, 1.0])
    assert np.allclose(got["when"].values[:3, -1], expected, rtol=1e-5)


def test_the_order_of_runs_and_threads_does_not_matter():
    model = compiled(lottery())

    def counts(values, n_jobs):
        options = ms.Options(n_jobs=n_jobs)
        got = ms.sweep(model, over={"last": values}, end=30.0, observe=["a"],
                       doses=[], options=options)  # fmt: skip
        return got["a"].values[:, -1]

    forth = counts([0.0, 0.25, 0.5, 0.75], 1)
    back = counts([0.75, 0.5, 0.25, 0.0], 2)
    assert forth.tolist() == back.tolist()[::-1]


def test_events_of_antimony_are_read():
    pytest.importorskip("antimony")
    from mir21sim.model.formats.antimony import antimony_to_sbml
    from mir21sim.model.formats.sbml_reader import read_sbml

    text = """
    model tiny
      x = 0; p = 1;
      x' = 1;
      wait: at 2 after x > 3, FLAGS: p = x, x = 0;
    end
    """
    flags = "priority = p, t0 = false, persistent = false, fromTrigger = false"
    text = text.replace("FLAGS", flags)
    (item,) = read_sbml(antimony_to_sbml(text, "tiny.ant"), "tiny.ant").events
    assert item == ir.Event(
        "wait", expr("x > 3"), expr("2"), expr("p"),
        (ir.Assignment("p", expr("x")), ir.Assignment("x", expr("0"))),
        initial_value=False, persistent=False, values_from_trigger_time=False,
    )  # fmt: skip


def test_info_lists_events():
    net = clock(event("kick", "x > 3", "x = 0", delay=2))
    files = model_files.ModelFiles("tiny", {"sbml": support.to_sbml(net)})
    shown = report.model_text(files)
    assert "1 event" in shown
    assert "at x>3, 2 later: x = 0" in shown


# ----------------------------------------------------------------------------- failure
@pytest.mark.parametrize(
    ("events", "status", "name"),
    [
        (
            [
                event("up", "time >= 4 and x < 1", "x = 1"),
                event("down", "x > 0.5", "x = 0"),
            ],
            "EVENT_LOOP",
            "",
        ),
        ([event("e", "time > 4", "x = 1", delay="0 - 2")], "EVENT_UNDEFINED", "`e`"),
        ([event("e", "time > 4", "x = 1", delay="ln(0 - time)")], "EVENT_UNDEFINED",
         "`e`"),
        (
            [event("e", "ln(4 - time) < 0 - 100 or x > 1", "x = 1", persistent=False)],
            "EVENT_UNDEFINED",
            "`e`",
        ),
        (
            [
                event("a", "time > 4", "x = 1", priority="ln(0 - 1 - x)"),
                event("b", "time > 4", "x = 2", priority="x"),
            ],
            "EVENT_UNDEFINED",
            "`a`",
        ),
    ],
    ids=["loop", "negative delay", "undefined delay", "undefined trigger",
         "undefined priority"],
)  # fmt: skip
def test_an_event_that_cannot_go_on_fails_with_its_name_and_time(events, status, name):
    with pytest.raises(SolverError, match=rf"At 4(\.0+\d*)? h, event .*{name}") as e:
        run(clock(*events))
    assert e.value.status == SolverStatus[status]


def test_a_loop_of_events_stops_soon():
    assert MAX_AT_ONCE <= 100_000


def test_a_run_that_fails_in_an_event_harms_no_other():
    """The delay is negative where d is; the other runs are those of a sweep without."""
    net = support.network(
        {"A": 8.0}, {"k": 0.3, "d": 0.0}, DECAY,
        events=[event("e", "A < 4", "A = 8", delay="d")],
    )  # fmt: skip
    model = compiled(net)
    plan = {"end": 10.0, "observe": ["A"], "doses": []}
    with pytest.warns(FailedRunsWarning, match="event `e`"):
        some = ms.sweep(model, over={"d": [1.0, -1.0, 2.0]}, **plan)
    good = ms.sweep(model, over={"d": [1.0, 2.0]}, **plan)
    assert some["status"].values.tolist() == [0, int(SolverStatus.EVENT_UNDEFINED), 0]
    xr.testing.assert_equal(some["A"][[0, 2]], good["A"])
    before = np.isfinite(some["A"].values[1])
    assert before.any()
    assert not before[some["time"] > 2.32].any()


def test_a_resting_state_of_a_model_with_events_is_refused():
    net = support.network(
        {"A": 1.0}, {"k": 1.0}, DECAY, events=[event("e", "A < 0.5", "A = 1")]
    )
    with pytest.raises(InputError, match=r"has events \(`e`\).*--no-equilibrate"):
        run(net, options=ms.Options(equilibrate=True))


@pytest.mark.parametrize(
    ("trigger", "sets", "words"),
    [
        ("time > 1", "total = 1", "sets `total`, which an assignment rule defines"),
        ("time > 1", "A = 1; A = 2", "sets `A`, and does so twice"),
        ("time > 1", "B = 1", "sets `B`, which does not exist"),
        ("tme > 1", "A = 1", "trigger of event `e` uses `tme`, which is not declared"),
        ("time > 1", "A = kk", "event `e` for `A` uses `kk`, which is not declared"),
    ],
)
def test_lint_names_what_is_wrong_with_an_event(trigger, sets, words):
    net = support.network(
        {"A": 1.0}, {"k": 1.0}, DECAY, rules={"total": "A"},
        events=[event("e", trigger, sets)],
    )  # fmt: skip
    messages = [issue.message for issue in lint.structure_issues(net)]
    assert any(words in message for message in messages), messages


def test_a_constant_is_not_set_by_an_event():
    net = clock(event("e", "time > 1", "x = 1"))
    fixed = replace(net, parameters=(ir.Parameter("x", 0.0, constant=True),))
    (issue,) = lint.structure_issues(fixed)
    assert issue.message == "Event `e` sets `x`, which is declared constant."


@pytest.mark.parametrize(
    ("delay", "value", "wrong"),
    [("d", "x", 0), ("x", "x", 1), ("d", "d", 1), ("d + x", "x", 1)],
)
def test_units_of_events_are_checked(delay, value, wrong):
    litre = (("litre", 1.0, 0, 1.0),)
    net = clock(event("e", "time > d", f"x = {value}", delay=delay))
    parameters = (
        ir.Parameter("x", 0.0, litre, constant=False),
        ir.Parameter("d", 1.0, support.HOUR),
    )
    issues = unit_check.unit_issues(replace(net, parameters=parameters))
    assert [i.check for i in issues] == ["units"] * wrong


def test_an_event_that_sets_nothing_known_is_no_valid_sbml():
    net = clock(event("e", "time > 1", "y = 1"))
    with pytest.raises(ModelError, match="eventAssignment"):
        compiled(net)


def test_statuses_of_events_have_names_in_a_file():
    assert "EVENT_LOOP EVENT_UNDEFINED" in status_attributes()["flag_meanings"]


# ---------------------------------------------------------- windows and singular rates
@pytest.mark.parametrize("width", [0.5, 20.0, 400.0])
@pytest.mark.parametrize("method", ["LSODA", "BDF", "Radau", "Rodas5P"])
def test_a_window_of_a_state_is_not_stepped_over(method, width):
    """S' = 100 from clock = 500 to 500 + width, and S decays by 0.001."""
    end = 500 + width
    net = support.network(
        {"S": 0.0}, {"clock": 0.0},
        [reaction("pulse", "-> S",
                  f"piecewise(piecewise(100, {end} > clock, 0), clock > 500, 0)"),
         reaction("lose", "S ->", "0.001*S")],
        rate_rules={"clock": "1"},
    )  # fmt: skip
    got = run(net, 1000.0, points=2, options=ms.Options(method=method))
    right = 1e5 * (math.exp(0.001 * width) - 1) * math.exp(-0.5)
    assert float(got["S"][-1]) == pytest.approx(right, rel=1e-4)


@pytest.mark.parametrize(
    ("rate", "right"),
    [
        ("1/(1 + (3/X)**2)", 4 - 3 * math.atan(4 / 3)),
        ("1/(1 + 3/X)", 4 - 3 * math.log(7 / 3)),
        ("X**0.5", 4**1.5 / 1.5),
        ("1/(1 + (X/4)**0.5)", 8 * (1 - math.log(2))),
    ],
)
@pytest.mark.parametrize("method", ["LSODA", "Radau", "Rodas5P"])
def test_a_rate_that_is_finite_at_zero_runs_whatever_its_derivative(
    method, rate, right
):
    net = support.network(
        {"X": 0.0, "Y": 0.0}, {},
        [reaction("make", "-> X", "1"), reaction("act", "-> Y", rate)],
    )  # fmt: skip
    got = run(net, 4.0, points=2, options=ms.Options(method=method))
    assert float(got["Y"][-1]) == pytest.approx(right, rel=1e-4)
