"""Draws of an ensemble smoother against posteriors that are known."""

import numpy as np
import pytest

from mir21sim.errors import InputError
from mir21sim.estimation.smoother import smoothed


def test_a_linear_posterior_is_exact():
    """Prior N(0, I), data A z = b with errors 1: covariance (I + A'A)⁻¹."""
    a = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, -2.0]])
    b = np.array([1.0, -2.0])
    found = smoothed(lambda z: z @ a.T - b, 3, 20_000, seed=2).z
    covariance = np.linalg.inv(np.eye(3) + a.T @ a)
    assert found.mean(axis=0) == pytest.approx(covariance @ a.T @ b, abs=0.03)
    assert np.cov(found.T) == pytest.approx(covariance, abs=0.03)


def test_a_curved_posterior_is_near_that_on_a_grid():
    """A factor exp(0.3 z) is seen as 1.3 with error 0.1."""

    def residuals(z):
        return (np.exp(0.3 * z) - 1.3) / 0.1

    grid = np.linspace(-6, 6, 20_001)
    density = np.exp(-0.5 * grid**2 - 0.5 * residuals(grid) ** 2)
    density /= density.sum()
    mean = grid @ density
    sd = np.sqrt((grid - mean) ** 2 @ density)
    found = smoothed(residuals, 1, 5_000, seed=3).z[:, 0]
    assert found.mean() == pytest.approx(mean, abs=0.1 * sd)
    assert found.std() == pytest.approx(sd, rel=0.1)


def test_equal_seeds_give_equal_draws():
    made = [smoothed(lambda z: z - 1.0, 2, 50, seed=4).z for _ in range(2)]
    assert np.array_equal(*made)


def test_a_run_without_a_number_does_not_move_the_others():
    def residuals(z):
        found = z - 1.0
        found[0] = np.nan
        return found

    assert np.isfinite(smoothed(residuals, 1, 200).z).all()


@pytest.mark.parametrize(("n", "steps"), [(5, 4), (50, 0)])
def test_too_few_draws_are_refused(n, steps):
    with pytest.raises(InputError, match="10 draws and one step"):
        smoothed(lambda z: z, 1, n, steps=steps)
