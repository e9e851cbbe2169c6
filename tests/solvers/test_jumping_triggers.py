"""Triggers on functions of time that jump, such as the hours since the last dose."""

import numpy as np
import pytest
from event_runs import DECAY, TIGHT, clock, compiled, run
from support import event, network

import mir21sim as ms

TIMES = np.arange(0.0, 40.5, 0.5)


def firings(trigger, **parameters):
    """Return the times at which a trigger fires in 40 h, in a model of events alone."""
    net = clock(
        event("e", trigger, "x = x + 1; last = time"),
        parameters={"x": 0.0, "last": -1.0, **parameters},
    )
    found = run(net, times=TIMES)
    last = np.unique(found["last"].values)
    assert found["x"].values[-1] == len(last) - 1
    return last[1:]


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        ("time - 12*floor(time/12) == 0", [12, 24, 36]),
        ("rem(time, 12) == 0", [12, 24, 36]),
        ("rem(time, 12) == 6", [6, 18, 30]),
        ("time - 12*ceiling(time/12) == 0", [12, 24, 36]),
        ("time - 12*ceiling(time/12) + 6 > 0", [6, 18, 30]),
        ("-time - 12*floor(-time/12) == 0", [12, 24, 36]),
        ("rem(time, 12) > 0", [0, 12, 24, 36]),
        ("rem(time, 12) != 0 and time > 1", [1, 12, 24, 36]),
        ("rem(time, 12) < 0.001", [12, 24, 36]),
        ("rem(time, 12) == 12", []),
        ("floor(time/12) >= 2", [24]),
        ("rem(time, 12) == 0 and rem(time, 8) == 0", [24]),
        ("rem(time, 14) == 0 or rem(time, 10) == 0", [10, 14, 20, 28, 30, 40]),
    ],
)
def test_triggers_that_turn_at_jumps_of_time(trigger, expected):
    found = firings(trigger)
    assert len(found) == len(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("period", [0.7, 1.1, 1 / 3 + 1, 2.4])
def test_periods_that_are_no_binary_fractions_fire_once_each(period):
    found = firings("time - period*floor(time/period) == 0", period=period)
    wanted = period * np.arange(1, int(40 / period + 1e-9) + 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_only_the_piece_that_holds_counts():
    saw = "piecewise(rem(time, 12), time > 20, 1) == 0"
    np.testing.assert_allclose(firings(saw), [24, 36], rtol=1e-12)


@pytest.mark.parametrize("method", ["LSODA", "Radau", "Rodas5P"])
def test_doses_every_twelve_hours_against_the_closed_form(method):
    net = network(
        {"A": 1.0},
        {"k": 0.1},
        DECAY,
        events=[event("e", "rem(time, 12) == 0", "A = A + 1")],
    )
    options = ms.Options(rtol=1e-8, atol=1e-10, method=method)
    found = ms.simulate(compiled(net), times=TIMES, options=options)["A"].values
    given = np.array([0.0, 12.0, 24.0, 36.0])
    since = TIMES[:, np.newaxis] - given
    exact = np.where(since >= 0, np.exp(-0.1 * np.maximum(since, 0.0)), 0.0).sum(axis=1)
    np.testing.assert_allclose(found.squeeze(), exact, rtol=1e-6)


def test_doses_every_twelve_hours_in_many_runs_at_once():
    net = network(
        {"A": 1.0},
        {"k": 0.1},
        DECAY,
        events=[event("e", "rem(time, 12) == 0", "A = A + 1")],
    )
    model = compiled(net, backend="numba")
    rates = np.array([0.05, 0.1, 0.2])
    found = ms.sweep(model, {"k": rates}, times=TIMES, options=TIGHT)["A"].values
    since = TIMES[:, np.newaxis] - np.array([0.0, 12.0, 24.0, 36.0])
    for rate, row in zip(rates, found.reshape(len(rates), -1), strict=True):
        exact = np.where(since >= 0, np.exp(-rate * np.maximum(since, 0)), 0).sum(
            axis=1
        )
        np.testing.assert_allclose(row, exact, rtol=1e-6)


def test_an_equality_with_a_counter_that_its_event_raises():
    net = clock(
        event("e", "time == due and due < 9", "x = x + 1; due = due + 1"),
        parameters={"x": 0.0, "due": 0.5},
    )
    found = run(net, times=np.arange(0.0, 12.0))
    np.testing.assert_allclose(found["x"].values, np.minimum(np.arange(12), 9))
