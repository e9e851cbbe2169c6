"""EC50 and its kin against closed forms: within 1 %, or a bound that holds."""

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import brentq

from mir21sim.analysis.dose_response import dose_response, growth_rate_inhibition
from mir21sim.errors import InputError

RANGES = ((-1, 1), (-3, 1), (-2, 3), (-4, 4))
GRIDS = [
    np.concatenate([[0.0] * zero, 10.0 ** np.linspace(a, b, round((b - a) * per) + 1)])
    for per, (a, b), zero in itertools.product((1, 3, 6), RANGES, (True, False))
]


def holds(found, truth):
    """Whether an estimate is within 1 %, or a bound on the true dose."""
    if found.relation == "equal":
        return abs(found.value / truth - 1) < 0.01
    low = found.low if found.relation in ("above", "between") else 0.0
    high = found.high if found.relation in ("below", "between") else math.inf
    return low * (1 - 1e-9) <= truth <= high * (1 + 1e-9)


def hill(k, h, e0=3.0, span=50.0):
    return lambda d: e0 + span * d**h / (d**h + k**h), k


def two_sites(share, k1, k2):
    def curve(d):
        return share * d / (d + k1) + (1 - share) * d / (d + k2)

    return curve, math.exp(brentq(lambda x: curve(math.exp(x)) - 0.5, -20, 20))


CURVES = [
    *(hill(k, h) for k, h in itertools.product((0.4, 1.0, 2.7), (0.5, 1, 2, 4, 8))),
    *(hill(1.3, h, 100.0, -70.0) for h in (0.7, 1.5)),
    *(two_sites(f, k, m * k) for f, k, m in itertools.product(
        (0.2, 0.5, 0.7), (0.1, 0.3), (10, 30, 100))),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(CURVES)))
def test_ec50_is_within_one_percent_or_a_bound(case):
    curve, truth = CURVES[case]
    grids = [g for g in GRIDS if g[g > 0].min() < truth < g.max()]
    found = [dose_response(g, curve(g)) for g in grids]
    assert all(holds(f.ec50, truth) for f in found)
    assert all(f.notes for f in found if f.ec50.relation != "equal")
    wide = [
        f.ec50.relation == "equal"
        for g, f in zip(grids, found, strict=True)
        if g.max() > 500 * truth and g[0] == 0 and len(g) > 24
    ]
    steep = case % 5 == 4 and case < 15  # h of 8: no grid here is fine enough
    assert steep or all(wide)  # a fine grid with both plateaus determines it


@pytest.mark.parametrize(("k1", "k2"), [(0.1, 10.0), (0.3, 30.0), (0.1, 100.0)])
def test_a_bell_gets_its_top_and_both_flanks(k1, k2):
    def curve(d):
        return d / (d + k1) * k2 / (d + k2)

    top = math.sqrt(k1 * k2)
    half = curve(top) / 2
    rising = brentq(lambda d: curve(d) - half, 1e-9, top)
    falling = brentq(lambda d: curve(d) - half, top, 1e9)
    grids = [g for g in GRIDS if g[g > 0].min() < rising and g.max() > falling]
    for grid in grids:
        found = dose_response(grid, curve(grid))
        assert found.shape == "bell"
        assert holds(found.top, top)
        assert holds(found.ec50, rising)
        assert holds(found.falling_ec50, falling)
    fine = dose_response(GRIDS[-2], curve(GRIDS[-2]))
    assert fine.ec50.relation == fine.falling_ec50.relation == "equal"
    assert fine.emax == pytest.approx(curve(top), rel=1e-3)


@pytest.mark.parametrize("grid", GRIDS, ids=len)
def test_without_a_plateau_there_is_a_bound_and_a_flat_one_says_so(grid):
    linear = dose_response(grid, 3.0 + 5.0 * grid)
    assert linear.ec50.relation in ("above", "none")
    assert "no plateau" in linear.notes[0]
    flat = dose_response(grid, np.full(len(grid), 7.0))
    assert flat.shape == "flat"
    assert "does not depend on the dose" in flat.notes[0]


def test_a_change_below_the_floor_is_none():
    grid = GRIDS[-2]
    response = 1e-5 + 1e-5 * grid / (grid + 1)  # molecules
    assert dose_response(grid, response, floor=1.0).shape == "flat"
    assert dose_response(grid, response).ec50.value == pytest.approx(1.0, rel=1e-2)


def test_slope_plateaus_area_and_absolute_ec50_of_a_hill_curve():
    grid = np.concatenate([[0.0], np.logspace(-3, 3, 37)])
    found = dose_response(grid, 20 + 60 * grid**2 / (grid**2 + 4.0), level=50.0)
    assert found.e0 == 20.0
    assert found.emax == pytest.approx(80.0, rel=1e-3)
    assert found.slope == pytest.approx(2.0, rel=1e-2)
    assert found.absolute.value == pytest.approx(2.0, rel=1e-2)
    area = 20 + 60 * 0.25 * np.log((1e6 + 4) / (1e-6 + 4)) / np.log(1e6) * 2
    assert found.mean_response == pytest.approx(area, rel=1e-3)


def test_intervals_come_from_members():
    grid = np.concatenate([[0.0], np.logspace(-2, 3, 16)])
    k = np.exp(np.linspace(-0.5, 0.5, 41))[:, np.newaxis]
    found = dose_response(grid, grid / (grid + 1), members=grid / (grid + k))
    assert found.ec50.low == pytest.approx(math.exp(-0.5), rel=0.06)
    assert found.ec50.high == pytest.approx(math.exp(0.5), rel=0.06)
    assert found.ec50.text("nM").startswith("1 nM (0.6")


def test_unsorted_doubled_and_equal_doses():
    grid = np.concatenate([[0.0], np.logspace(-2, 3, 16)])
    plain = dose_response(grid, grid / (grid + 1))
    mixed = np.concatenate([grid[::-1], grid[3:5]])
    assert dose_response(mixed, mixed / (mixed + 1)) == plain
    for doses in (np.zeros(4), np.full(4, 5.0)):
        found = dose_response(doses, doses)
        assert found.shape == "too few doses"
        assert "two different doses" in found.notes[0]
    with pytest.raises(InputError, match="must be 0 or more, got -1"):
        dose_response(np.array([-1.0, 1.0]), np.array([0.0, 1.0]))


def test_gr_values_have_their_closed_forms():
    rate, hours = math.log(2) / 24, 48.0  # two divisions
    gr = growth_rate_inhibition(np.array([1.0, 0.25, 0.0]), 1.0, rate, hours)
    assert gr == pytest.approx([1.0, 0.0, -1.0])
    with pytest.raises(InputError, match="untreated cells that grow"):
        growth_rate_inhibition(np.array([1.0]), 0.1, rate, hours)
