"""Half effects of dishes against closed forms, and responses that have none."""

import numpy as np
import pytest

from mir21sim.analysis.dish import Resampled
from mir21sim.analysis.dish_response import half_effect, half_effect_lines

DOSES = np.array([0.0, *np.geomspace(0.01, 1000.0, 16)])


def alone(values):
    return half_effect(DOSES, values, values[np.newaxis])


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(("middle", "slope"), [(3.0, 1.0), (0.7, 2.0), (8.0, 1.0)])
def test_half_of_a_hill_curve(middle, slope, sign):
    values = 40 + sign * 35 * DOSES**slope / (middle**slope + DOSES**slope)
    found = alone(values)
    assert found.dose == pytest.approx(middle, rel=0.03)
    assert "half of the change at" in found.text("nM")


def test_the_interval_is_that_of_the_members():
    middles = np.linspace(2.0, 4.0, 101)
    members = 80 * DOSES / (middles[:, np.newaxis] + DOSES)
    found = half_effect(DOSES, 80 * DOSES / (3.0 + DOSES), members, level=50.0)
    assert found.low == pytest.approx(2.05, rel=0.03)
    assert found.high == pytest.approx(3.95, rel=0.03)
    assert found.level.dose == pytest.approx(5.0, rel=0.03)
    assert (found.level.low, found.level.high) == pytest.approx((3.4, 6.6), rel=0.05)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.full(17, 63.0), "no effect"),
        (np.linspace(0, 0.5, 17), "no effect"),
        (20 * np.log10(1 + DOSES), "still changing at 1000 nM"),
        (50 * np.exp(-((np.arange(17) - 8.0) ** 2) / 8), "rises and falls"),
    ],
)
def test_a_response_without_a_half_effect_says_why(values, said):
    found = alone(values)
    assert np.isnan(found.dose)
    assert said in found.text("nM")


def test_two_doses_have_no_half_effect():
    values = np.array([0.0, 50.0])
    found = half_effect(values, values, values[np.newaxis])
    assert "fewer than three doses" in found.text("")


def test_doses_in_any_order_and_without_zero():
    values = 80 * DOSES / (3.0 + DOSES)
    shuffled = np.random.default_rng(0).permutation(len(DOSES))
    found = half_effect(DOSES[shuffled], values[shuffled], values[shuffled][np.newaxis])
    assert found.dose == pytest.approx(3.0, rel=0.03)
    positive = half_effect(DOSES[1:], values[1:], values[np.newaxis, 1:])
    assert positive.dose == pytest.approx(3.0, rel=0.03)


def test_a_change_within_the_scatter_of_drawing_cells_is_no_effect():
    values = 60 + 3 * DOSES / (3.0 + DOSES)
    scatter = np.random.default_rng(1).normal(0.0, 4.0, (200, len(DOSES)))
    found = half_effect(DOSES, values, values + scatter)
    assert np.isnan(found.dose)
    assert "no effect that its 95 % band tells from none" in found.text("nM")


def test_members_without_a_half_effect_are_not_dropped_unseen():
    values = 80 * DOSES / (3.0 + DOSES)
    members = np.tile(values, (20, 1))
    members[:4] = np.nan
    found = half_effect(DOSES, values, members)
    assert np.isnan(found.dose)
    assert "4 of 20 dishes of its band have none" in found.text("nM")


def test_a_band_without_width_is_no_certainty():
    """Sets that differ by no more than their cells do: 2 % dead in each."""
    dishes = np.full((5, 2), 2.0)
    point = np.array([0.0, 2.0])
    change = point, dishes - [2.0, 0.0]
    curves = point[:, np.newaxis], dishes[..., np.newaxis]
    drawn = Resampled(
        ("TRAIL",), np.zeros(1), curves, curves, np.zeros(2, int), change, "a band"
    )
    (line, *_) = half_effect_lines(drawn, np.array([0.0, 10.0]), "ng/ml")
    assert "+2 percentage points (its spread is not told from the drawing of" in line
