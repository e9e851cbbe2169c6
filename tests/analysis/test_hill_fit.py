"""Hill fits of measured dose–responses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mir21sim.analysis.hill_fit import fit_hill, hill_curve

DOSES = np.concatenate([[0.0], np.logspace(-1, 3, 9)])


@given(
    ec50=st.floats(0.5, 200),
    hill=st.floats(0.6, 4),
    e0=st.floats(-5, 5),
    span=st.floats(1, 1000),
    sign=st.sampled_from([-1.0, 1.0]),
)
def test_fit_recovers_an_exact_hill_curve(ec50, hill, e0, span, sign):
    response = hill_curve(DOSES, e0, e0 + sign * span, np.log(ec50), hill)
    fit = fit_hill(DOSES, response)
    assert not fit.reason
    assert fit.ec50 == pytest.approx(ec50, rel=1e-3)
    assert fit.hill == pytest.approx(hill, rel=1e-3)
    assert fit.emax - fit.e0 == pytest.approx(sign * span, rel=1e-2)


def test_interval_covers_the_true_value_under_noise():
    rng = np.random.default_rng(7)
    clean = hill_curve(DOSES, 0.0, 100.0, np.log(20.0), 1.5)
    covered = 0
    for _ in range(200):
        fit = fit_hill(DOSES, clean + rng.normal(0, 2.0, DOSES.size))
        covered += fit.ec50_low <= 20.0 <= fit.ec50_high
    assert covered >= 180  # 95 % of 200 is 190; 180 is 3 binomial SD below


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (np.full(10, 5.0), "less than 1 %"),
        (np.sin(np.arange(10) * 2.0), "does not describe"),
        (hill_curve(DOSES, 0, 10, np.log(3e4), 1.0), "outside the doses tested"),
        (np.where(DOSES > 2, np.nan, DOSES), "5 doses or more"),
    ],
    ids=["flat", "wavy", "beyond", "failed runs"],
)
def test_missing_fit_has_a_reason(response, reason):
    fit = fit_hill(DOSES, response)
    assert reason in fit.reason
    assert np.isnan(fit.ec50)


def test_an_open_interval_is_given_as_a_bound():
    rng = np.random.default_rng(3)
    clean = hill_curve(DOSES, 0.0, 100.0, np.log(300.0), 1.0)
    fits = [fit_hill(DOSES, clean + rng.normal(0, 8.0, DOSES.size)) for _ in range(60)]
    bounds = [f for f in fits if not f.reason and np.isinf(f.ec50_high)]
    assert bounds
    assert all(f.interval_text().startswith("95 % CI: above ") for f in bounds)
    assert not any("inf" in f.interval_text() for f in fits)


def test_points_without_scatter_have_no_interval():
    fit = fit_hill(DOSES, DOSES / (DOSES + 10.0), scatter=False)
    assert fit.ec50 == pytest.approx(10.0, rel=1e-3)
    assert not fit.has_interval
