"""The best measurement against linear models in closed form, and against weights."""

import numpy as np
import pytest

from mir21sim.analysis.design import (
    Candidate,
    best_set,
    posterior,
    removed_by_weighting,
    variance_removed,
)
from mir21sim.errors import InputError

RNG = np.random.default_rng(5)


def linear_model(n=4, n_candidate=6):
    root = RNG.normal(size=(n, n))
    candidates = [
        Candidate(f"z{k}", RNG.normal(size=n), float(RNG.uniform(0.1, 2.0)))
        for k in range(n_candidate)
    ]
    return RNG.normal(size=n), candidates, root @ root.T + 0.1 * np.eye(n)


def test_the_variance_that_is_left_is_that_of_the_posterior_precision():
    slopes, candidates, covariance = linear_model()
    removed = variance_removed(slopes, candidates, covariance)
    before = slopes @ covariance @ slopes
    for share, done in zip(removed, candidates, strict=True):
        precision = np.linalg.inv(covariance) + np.outer(done.slopes, done.slopes) / (
            done.noise**2
        )
        left = slopes @ np.linalg.inv(precision) @ slopes
        assert 1.0 - left / before == pytest.approx(share, rel=1e-9)


def test_measuring_the_prediction_itself_leaves_the_noise():
    slopes = np.array([1.0, 2.0])
    itself = Candidate("y", slopes, noise=np.sqrt(5.0))
    assert variance_removed(slopes, [itself], np.eye(2)) == pytest.approx([0.5])


def test_what_shares_no_number_removes_nothing():
    apart = Candidate("z", np.array([0.0, 1.0]), 0.1)
    assert variance_removed(np.array([1.0, 0.0]), [apart], np.eye(2)) == [0.0]


def test_the_second_measurement_is_the_best_beside_the_first():
    first = Candidate("a", np.array([1.0, 0.0, 0.0]), 1e-6)
    again = Candidate("a again", np.array([1.01, 0.0, 0.0]), 1e-6)
    other = Candidate("b", np.array([0.0, 1.0, 0.0]), 1e-6)
    slopes = np.array([2.0, 1.0, 0.0])
    found = best_set(slopes, [first, again, other], np.eye(3))
    assert [place for place, _ in found[:2]] in ([0, 2], [1, 2])
    assert found[1][1] == pytest.approx(1.0, abs=1e-6)


def test_the_posterior_does_not_depend_on_the_order_of_measurements():
    _, candidates, covariance = linear_model()
    a, b = candidates[:2]
    one = posterior(posterior(covariance, a), b)
    np.testing.assert_allclose(one, posterior(posterior(covariance, b), a), atol=1e-12)


def test_weights_of_draws_agree_with_the_closed_form():
    slopes, candidates, covariance = linear_model()
    draws = RNG.multivariate_normal(np.zeros(4), covariance, size=3000)
    removed = variance_removed(slopes, candidates, covariance)
    for share, done in zip(removed, candidates, strict=True):
        found = removed_by_weighting(draws @ slopes, draws @ done.slopes, done.noise)
        assert found == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize(
    ("slopes", "noise", "said"),
    [
        (np.zeros(2), 1.0, "no width"),
        (np.ones(2), 0.0, "noise of `z` must be above 0"),
        (np.ones(3), 1.0, r"shape \(3,\)"),
    ],
)
def test_what_cannot_be_ranked_is_refused(slopes, noise, said):
    candidate = Candidate("z", np.ones(2), noise)
    with pytest.raises(InputError, match=said):
        variance_removed(slopes, [candidate], np.eye(2))


def test_too_few_draws_are_refused():
    with pytest.raises(InputError, match="10 draws or more"):
        removed_by_weighting(np.arange(5.0), np.arange(5.0), 1.0)
