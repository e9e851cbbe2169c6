"""GR metrics of dishes against closed forms, and dishes that have none."""

import numpy as np
import pytest

from mir21sim.analysis.growth_inhibition import growth_inhibition
from mir21sim.errors import InputError

DOSES = np.array([0.0, *np.geomspace(0.01, 100.0, 17)])
DAY = {"doubling_h": 24.0, "hours": 48.0}


def killed(share):
    """Return dead cells, %, of which `share` of the growth rate is lost by dose."""
    return 100.0 * (1.0 - 2.0 ** (-2.0 * share))


def test_gr50_and_grmax_of_a_hill_curve_of_killing():
    share = 1.5 * DOSES / (2.0 + DOSES)  # of the growth rate: net rate is 1 − share
    found = growth_inhibition(DOSES, killed(share), killed(share)[None], **DAY)
    assert found.values == pytest.approx(2.0 ** (1.0 - share) - 1.0)
    half = 1.0 - np.log2(1.5)  # GR = 0.5 where the rate is log2(1.5) of the untreated
    assert found.gr50.dose == pytest.approx(2.0 * half / (1.5 - half), rel=0.02)
    assert found.gr_max[0] == pytest.approx(2.0 ** (1.0 - share[-1]) - 1.0)


def test_the_values_do_not_depend_on_the_duration_where_killing_goes_on():
    share = DOSES / (1.0 + DOSES)
    long = 100.0 * (1.0 - 2.0 ** (-4.0 * share))
    short = growth_inhibition(DOSES, killed(share), killed(share)[None], **DAY)
    twice = growth_inhibition(DOSES, long, long[None], doubling_h=24.0, hours=96.0)
    assert twice.values == pytest.approx(short.values)


def test_the_area_is_the_mean_loss_over_the_logarithm_of_dose():
    half = np.where(DOSES > 0, 50.0, 0.0)  # x = 2·0.5·x0·2: one doubling of two
    found = growth_inhibition(DOSES, half, half[None], **DAY)
    assert found.gr_aoc[0] == pytest.approx(1.0 - (2.0**0.5 - 1.0))


def test_intervals_are_those_of_the_members():
    middles = np.linspace(1.0, 3.0, 201)[:, np.newaxis]
    members = killed(1.5 * DOSES / (middles + DOSES))
    found = growth_inhibition(DOSES, members[100], members, **DAY)
    half = 1.0 - np.log2(1.5)
    ends = np.array([1.05, 2.95]) * half / (1.5 - half)
    assert (found.gr50.low, found.gr50.high) == pytest.approx(tuple(ends), rel=0.03)
    assert "GR50 0.7" in found.text("nM")


def test_a_level_that_no_dose_reaches_is_a_bound():
    share = 0.2 * DOSES / (2.0 + DOSES)
    found = growth_inhibition(DOSES, killed(share), killed(share)[None], **DAY)
    assert found.gr50.text("nM") == "above 100 nM"


@pytest.mark.parametrize(
    ("doses", "dead", "options", "said"),
    [
        ([0, 1], [80, 90], DAY, "untreated cells that grow"),
        ([1, 2], [10, 20], DAY, "sweep dose 0"),
        ([0, 0], [10, 20], DAY, "sweep dose 0"),
        ([0, 1], [10, 20], DAY | {"doubling_h": 0.0}, "above 0 h, got 0 h"),
    ],
)
def test_a_dish_without_gr_says_why(doses, dead, options, said):
    dead = np.array(dead, float)
    with pytest.raises(InputError, match=said):
        growth_inhibition(np.array(doses, float), dead, dead[None], **options)
