"""Events against closed forms: when they execute."""

import math

import numpy as np
import pytest
import support
from event_runs import DECAY, clock, compiled, run
from support import event, reaction

import mir21sim as ms
from mir21sim.errors import (
    SolverError,
    SolverStatus,
)


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
