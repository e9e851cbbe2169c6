"""Shares of the width of a prediction against closed forms and exact derivatives."""

import numpy as np
import pytest

import mir21sim as ms
from mir21sim.analysis.cell_death import DEAD
from mir21sim.analysis.trust import (
    Numbers,
    drawn_numbers,
    shares,
    trust,
    uncertain_numbers,
)
from mir21sim.errors import InputError

TWO = Numbers(("a", "b"), np.ones(2), np.array([1.0, 2.0]), ("assumed", "measured"))


def test_independent_numbers_share_the_variance():
    found = shares(np.array([3.0, 1.0]), TWO, "y")
    assert found.by_status == pytest.approx({"assumed": 9 / 13, "measured": 4 / 13})
    assert list(found.by_number) == ["a", "b"]
    assert "69 % of the width of y comes from assumed numbers" in found.text()


def test_a_correlation_that_cancels_takes_the_width_away():
    covariance = np.array([[1.0, -0.9], [-0.9, 1.0]])
    found = shares(np.array([1.0, 1.0]), TWO, "y", covariance)
    assert sum(found.by_status.values()) == pytest.approx(1.0)
    assert found.assumed == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(20))
def test_shares_are_shares_whatever_goes_together(seed):
    """s_i (C s)_i is negative or above the whole for most of these."""
    rng = np.random.default_rng(seed)
    n = 6
    half = rng.standard_normal((n, 2)) @ rng.standard_normal((2, n))
    covariance = half @ half.T + 0.01 * np.eye(n)
    slopes = rng.standard_normal(n)
    statuses = ("assumed", "measured") * 3
    numbers = Numbers(tuple("abcdef"), np.ones(n), np.ones(n), statuses)
    found = shares(slopes, numbers, "y", covariance)
    parts = np.array(list(found.by_number.values()))
    assert (parts >= 0).all()
    assert parts.sum() == pytest.approx(1.0)
    assert 0 <= found.assumed <= 1
    assert "-" not in found.text()


def test_two_numbers_that_go_together_share_as_in_closed_form():
    """R^½ of a correlation r has cos and sin of one angle: cos² and sin² are shares."""
    r = 0.6
    covariance = np.array([[1.0, r], [r, 1.0]])
    found = shares(np.array([1.0, 0.0]), TWO, "y", covariance)
    angle = np.arcsin(r) / 2
    a = np.cos(angle) ** 4 + np.sin(angle) ** 4
    assert found.by_number == pytest.approx({"a": a, "b": 1 - a})


def test_draws_that_are_independent_share_by_their_own_widths():
    """Chance correlations of few draws do not smear shares over 100 numbers."""
    model = ms.load("mir21_core", backend="numpy")
    table = uncertain_numbers(model)
    rng = np.random.default_rng(3)
    factors = np.exp(0.2 * rng.standard_normal((60, len(table.names))))
    sets = ms.Ensemble(table.names, table.values * factors)
    numbers, covariance = drawn_numbers(model, sets)
    slopes = np.zeros(len(numbers.names))
    slopes[3] = 1.0
    found = shares(slopes, numbers, "y", covariance)
    assert found.by_number[numbers.names[3]] > 0.97


def test_draws_that_go_together_keep_their_correlation():
    model = ms.load("mir21_core", backend="numpy")
    names = uncertain_numbers(model).names[:2]
    x = np.random.default_rng(4).standard_normal(500)
    values = np.exp(np.column_stack([0.3 * x, -0.3 * x]))
    numbers, covariance = drawn_numbers(model, ms.Ensemble(names, values))
    assert numbers.widths == pytest.approx([0.3, 0.3], rel=0.1)
    assert covariance[0, 1] == pytest.approx(-covariance[0, 0], rel=1e-6)


def test_a_prediction_that_nothing_moves_says_so():
    assert "no number of the model moves y" in shares(np.zeros(2), TWO, "y").text()


def test_a_number_without_a_slope_is_left_out_and_named():
    found = shares(np.array([3.0, np.inf]), TWO, "y")
    assert found.by_number == {"a": 1.0}
    assert found.unknown == ("b",)
    assert "Not counted: b; 5 % more of it" in found.text()
    alone = shares(np.array([0.0, np.nan]), TWO, "y")
    assert "no number of the model moves y. Not counted: b;" in alone.text()


def test_a_number_that_keeps_the_cell_alive_is_not_said_to_do_nothing():
    # The run ends just after the death, which 5 % more of some numbers puts off.
    model, dose = ms.load("mir21_core", "HeLa"), ["TRAIL=50 ng/ml@0h"]
    names = "CASP3_active", "PARP_cleaved_fraction"
    run = ms.simulate(model, end="48h", doses=dose, observe=names, points=2001)
    dead = run["PARP_cleaved_fraction"].values >= DEAD
    death = float(run["time"].values[np.argmax(dead)])
    found = trust(model, *names, 1.01 * death, doses=dose)
    assert found.of == "the time of death of the average cell"
    assert found.unknown
    assert not set(found.unknown) & set(found.by_number)
    assert found.unknown[0] in found.text()


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"got \(3,\) and \(2, 2\)"):
        shares(np.zeros(3), TWO, "y")


def test_the_steps_agree_with_exact_derivatives():
    model = ms.load("mir21_core")
    dose = ["TRAIL=50 ng/ml@24h"]
    found = trust(model, "CASP3_active", "PARP_cleaved_fraction", "48h", doses=dose)
    numbers = uncertain_numbers(model)
    exact = ms.sensitivities(
        model,
        "area(CASP3_active)",
        list(numbers.names),
        end="48h",
        doses=dose,
        since="24h",
    )
    expected = shares(exact["log_derivative"].values[0], numbers, "y")
    assert found.assumed == pytest.approx(expected.assumed, abs=0.02)
    assert next(iter(found.by_number)) == next(iter(expected.by_number))
