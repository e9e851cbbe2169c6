"""Bands by parameter sets: the spread of the numbers and the error of the mean."""

import numpy as np
import pytest

from mir21sim.analysis.dish_response import half_effect
from mir21sim.analysis.set_bands import of_halves, percentiles, set_means


def drawn_dish(tau, *, sets, cells, seed=3):
    """Values of cells N(θ, 1) about the mean θ of their set, N(10, τ²); their sets."""
    random = np.random.default_rng(seed)
    means = 10.0 + tau * random.standard_normal(sets)
    values = means[:, np.newaxis] + random.standard_normal((sets, cells))
    return values.reshape(1, -1, 1), np.repeat(np.arange(sets), cells)


@pytest.mark.parametrize("tau", [0.0, 0.3, 2.0])
def test_a_band_is_that_of_the_numbers_and_of_the_error_of_the_mean(tau):
    """Half width 1.96 √(τ² + w/S), with w = 1/n."""
    sets, cells = 4000, 5
    values, of_cell = drawn_dish(tau, sets=sets, cells=cells)
    keep = np.full(values.shape[:2], True)
    middle, drawn = set_means(values, keep, of_cell, ())
    low, high = percentiles(drawn[:, 0], (2.5, 97.5))
    variance = tau**2 + 1.0 / cells / sets
    assert middle[0] == pytest.approx(10.0, abs=0.1)
    # The estimate of τ² itself has the error √(2/S)·v.
    slack = 4.0 * np.sqrt(2.0 / sets) * (tau**2 + 1.0 / cells)
    assert ((high - low) / 2 / 1.96) ** 2 == pytest.approx(variance, abs=slack)


def test_a_mean_of_like_sets_keeps_its_error():
    """Sets alike in mean, unlike in cells: the band is that of the mean, √(w/S)."""
    cells = np.array([9.0, 10.0, 11.0])
    values = np.tile(cells, 50).reshape(1, -1, 1)
    keep = np.full((1, 150), True)
    _, drawn = set_means(values, keep, np.repeat(np.arange(50), 3), ())
    error = cells.var(ddof=1) / 3
    assert drawn.std() == pytest.approx(np.sqrt(error / 50))
    low, high = percentiles(drawn[:, 0], (2.5, 97.5))
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(error / 50), rel=0.1)


def test_cells_that_are_alike_in_a_set_add_nothing():
    values = np.repeat([1.0, 2.0, 4.0], 2).reshape(1, 6, 1)
    keep = np.full((1, 6), True)
    _, drawn = set_means(values, keep, np.repeat(np.arange(3), 2), ())
    assert drawn.ravel().tolist() == [1.0, 2.0, 4.0]


def test_halves_of_sets_keep_the_error_of_their_mean():
    """Halves that differ by chance alone: √(w/S) with w = ⟨((a − b)/2)²⟩."""
    first = np.where(np.arange(400) % 2, 1.0, -1.0)[:, np.newaxis]
    middle, drawn = of_halves(first, -first)
    assert middle[0] == 0.0
    assert drawn.std() == pytest.approx(1.0 / 20.0)


def test_an_effect_on_the_same_cells_is_told_by_its_own_band():
    """One cell in six of a third of the sets dies more, by chance or by the numbers."""
    doses = np.array([0.0, 1.0, 10.0, 100.0])
    random = np.random.default_rng(2)
    start = 50.0 + 20.0 * random.standard_normal(60)
    more = np.where(np.arange(60) % 3 == 0, 100.0 / 6, 0.0)
    rise = np.array([0.0, 0.5, 1.0, 1.0])
    members = start[:, np.newaxis] + more[:, np.newaxis] * rise
    response = members.mean(axis=0)
    own = half_effect(doses, response, members)
    assert own.note == "no effect that its 95 % band tells from none"
    mean = more.mean() + random.standard_normal(60) * more.std() / np.sqrt(60)
    told = half_effect(doses, response, members, change=mean)
    assert "band tells from none" not in told.note


def test_a_share_stays_between_its_cells():
    """One survivor in 300 cells: no band goes above 100 %."""
    values = np.full((1, 300, 1), 100.0)
    values[0, 7] = 0.0
    keep = np.full((1, 300), True)
    _, drawn = set_means(values, keep, np.repeat(np.arange(50), 6), ())
    assert drawn.max() <= 100.0
    assert drawn.min() < 100.0 - 1.0 / 3


def test_a_set_errs_alike_at_all_doses_also_where_another_set_is_missing():
    """Like sets: what is left of each is its share of the error of the mean."""
    values = np.tile([9.0, 10.0, 11.0], 50).reshape(1, -1, 1).repeat(2, axis=0)
    keep = np.full((2, 150), True)
    keep[1, 30:33] = False  # the eleventh set at the second dose
    _, drawn = set_means(values, keep, np.repeat(np.arange(50), 3), (2,))
    first, second = drawn[..., 0].T - 10.0
    assert np.isnan(second[10])
    kept = ~np.isnan(second)
    assert second[kept] == pytest.approx(first[kept] * np.sqrt(50 / 49))
