"""Features of curves of known polynomials, against the same by many points."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mir21sim.solvers.batch.feature_kernel import curve_features
from mir21sim.solvers.problem import FEATURES
from mir21sim.solvers.step_curve import NODES

DENSE = 2001


def features(start, length, nodes, since=0.0, share=False):
    """Features of one curve by name."""
    out = np.empty((len(FEATURES), 1))
    nodes = np.array(nodes, float)[np.newaxis]
    since, shares = np.array([float(since)]), np.array([share])
    curve_features(np.array(start, float), np.array(length, float), nodes, since,
                   shares, out)  # fmt: skip
    return dict(zip(FEATURES, out[:, 0], strict=True))


def line(high=1.0, low=0.0):
    """A straight line over two steps from 0 to 10."""
    start, length = np.array([0.0, 5.0]), np.array([5.0, 5.0])
    share = (start[:, np.newaxis] + length[:, np.newaxis] * NODES) / 10.0
    return start, length, low + (high - low) * share


def test_a_share_has_the_time_at_which_it_reaches_one_half():
    assert features(*line(), share=True)["half_level"] == pytest.approx(5.0)
    assert features(*line(0.4), share=True)["half_level"] == np.inf
    assert features(*line(0.0, 1.0), share=True)["half_level"] == 0.0
    assert np.isnan(features(*line())["half_level"])


def test_a_step_that_contains_the_reference_time_counts_from_there():
    found = features(*line(), since=2.5)
    assert found["baseline"] == pytest.approx(0.25)
    assert found["area"] == pytest.approx((0.25 + 1.0) / 2 * 7.5)
    assert found["t_half"] == pytest.approx(3.75)
    assert found["peak_time"] == pytest.approx(7.5)
    assert found["max_rate"] == pytest.approx(0.1)
    assert found["switch_time"] == pytest.approx(0.8 * 7.5)


@pytest.mark.parametrize("value", [0.0, 3.0, -2.0])
def test_a_constant_has_its_value_as_peak_and_no_rise(value):
    found = features([0.0, 1.0], [1.0, 1.0], np.full((2, 5), value))
    assert found["peak"] == value
    assert found["area"] == pytest.approx(2.0 * value)
    assert found["max_rate"] == 0.0
    assert np.isnan([found[n] for n in ("peak_time", "lag", "t_half")]).all()


def test_a_spike_between_two_nodes_is_found():
    # (x − 1/8)² · (x − 5/8)² is 0 at 1/8; minus it the curve has its maximum there.
    spike = -((NODES - 0.125) ** 2) * (NODES - 0.625) ** 2
    found = features([0.0], [1.0], [spike])
    assert found["peak"] == pytest.approx(0.0, abs=1e-15)
    assert found["peak_time"] == pytest.approx(0.125, abs=1e-6)


def test_a_curve_with_a_number_that_is_not_finite_has_no_features():
    nodes = np.ones((2, 5))
    nodes[1, 3] = np.nan
    assert np.isnan(list(features([0.0, 1.0], [1.0, 1.0], nodes).values())).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.floats(-1.0, 1.0), min_size=4, max_size=4), min_size=1, max_size=6
    ),
    st.floats(0.0, 0.9),
)
def test_features_equal_those_of_many_points(rows, part):
    first, nodes = 0.25, []
    for row in rows:  # continuous: a step begins where the one before ended
        nodes.append([first, *row])
        first = row[-1]
    start, length = np.arange(len(rows), dtype=float), np.ones(len(rows))
    since = part * len(rows)
    found = features(start, length, nodes, since)
    theta = np.linspace(0.0, 1.0, DENSE)
    powers = np.vander(theta, 5) @ np.linalg.inv(np.vander(NODES, 5))
    t = (start[:, np.newaxis] + theta).ravel()
    v = (np.array(nodes) @ powers.T).ravel()
    assert found["baseline"] == pytest.approx(np.interp(since, t, v), abs=1e-4)
    v = np.concatenate([[found["baseline"]], v[t >= since]])
    t = np.concatenate([[since], t[t >= since]])
    assert found["peak"] == pytest.approx(v.max(), abs=2e-5)
    assert found["peak"] >= v.max() - 1e-12
    assert found["area"] == pytest.approx(np.trapezoid(v, t), abs=1e-4)
    rise = found["peak"] - found["baseline"]
    if rise < 1e-3:
        return
    late = found["lag"] + found["switch_time"]
    for name, share, at in (
        ("lag", 0.1, found["lag"]), ("half", 0.5, found["t_half"]), ("late", 0.9, late),
    ):  # fmt: skip
        level = found["baseline"] + share * rise
        near = np.interp(since + at, t, v)
        assert near == pytest.approx(level, abs=0.02), name
        before = t < since + at - 2e-3
        assert (v[before] <= level + 1e-9).all(), name
