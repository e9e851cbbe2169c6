"""Schedules: their words, the doses they make, and refusals."""

import numpy as np
import pytest

import mir21sim as ms
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.simulation.schedules import parse_schedules, sweep_schedules


def test_a_range_of_numbers_of_doses_is_one_schedule_each():
    name, found = parse_schedules("L = 6h every 30 min x2..4, none, 0h:2h, 0h/12hx3")
    assert name == "L"
    assert [s.count for s in found] == [2, 3, 4, 0, 1, 3]
    assert list(found[1].dose.times()) == [6.0, 6.5, 7.0]
    assert found[4].dose.duration == 2.0
    assert found[5].label == "0 h, 3 doses each 12 h"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("L", "must read NAME=TIME"),
        ("L=", "must read NAME=TIME"),
        ("L=soon", "got `soon`"),
        ("L=every 2h x5..1", "must ascend from 1 to 40"),
        ("L=every 2h x0..1", "must ascend from 1 to 40"),
        ("L=every 2h x1..40, every 3h x1..40", "79 schedules; at most 40"),
    ],
)
def test_a_schedule_that_cannot_be_read_says_why(text, said):
    with pytest.raises(InputError, match=said):
        parse_schedules(text)


@pytest.fixture(scope="module")
def model():
    return ms.load("earm_1_3", backend="numpy")


def test_each_schedule_gives_its_doses_at_its_times(model):
    found = sweep_schedules(
        model,
        {"L": "none,0h,30 min,0h/20 minx3"},
        "1h",
        doses="L=10@0h",
        points=5,
        observe="C8",
    )
    alone = ms.sweep(
        model, {"L": [10]}, "1h", doses="L=10@30 min", points=5, observe="C8"
    )
    runs = list(found.values())
    np.testing.assert_array_equal(runs[2]["C8"].values, alone["C8"].values)
    assert [list(s.dose.times()) if s.dose else [] for s in found] == [
        [],
        [0.0],
        [0.5],
        pytest.approx([0.0, 1 / 3, 2 / 3]),
    ]


def test_a_split_amount_is_that_of_all_doses_together(model):
    given = {"doses": "L=12@0h", "points": 3, "observe": "C8"}
    whole = sweep_schedules(model, "L=0h/20 minx3", "1h", split=True, **given)
    run = next(iter(whole.values()))
    assert run["L"].values.tolist() == [12.0]
    parts = ms.sweep(
        model, {"L": [4]}, "1h", doses="L=1@0h/20 minx3", points=3, observe="C8"
    )
    np.testing.assert_array_equal(run["C8"].values, parts["C8"].values)


@pytest.mark.parametrize(
    ("schedule", "doses", "said"),
    [
        ("L=0h,1h", "C8=5@0h", "needs one dose whose amount"),
        ("L=0h,1h", ["L=1@0h", "L=2@1h"], "got 2"),
        ("M=0h", "L=1@0h", "input"),
    ],
)
def test_a_substance_without_one_amount_is_refused(model, schedule, doses, said):
    with pytest.raises((InputError, UnknownNameError), match=said):
        sweep_schedules(model, schedule, "1h", doses=doses, points=3)
