"""Draws of an ensemble smoother against posteriors that are known."""

import numpy as np
import pytest
from scipy.special import ndtr

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


def test_numbers_that_no_datum_depends_on_keep_their_width():
    """Of 100 numbers 50 are seen; 200 draws would narrow the others by chance."""
    found = smoothed(lambda z: z[:, :50] - 1.0, 100, 200, seed=5).z
    widths = found.std(axis=0)
    assert widths[50:].mean() == pytest.approx(1.0, abs=0.03)
    assert widths[:50].mean() == pytest.approx(np.sqrt(0.5), rel=0.1)


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


# ------------------------------------------------------------- against a sampler
HOURS = np.array([0.5, 1.0, 2.0, 4.0, 8.0])
"""Times at which the middle of a chain A → B → is seen, h."""


def chain(z):
    """Return residuals of B of A → B →, both rates and the scale being unknown."""
    k1, k2, scale = (np.exp(0.7 * z) * (0.8, 0.25, 1.0)).T[:, :, np.newaxis]
    level = scale * k1 / (k2 - k1) * (np.exp(-k1 * HOURS) - np.exp(-k2 * HOURS))
    return (level - np.array([0.30, 0.52, 0.55, 0.60, 0.28])) / 0.08


def shares(z):
    """Return residuals of two shares of dead cells and a time of death.

    A cell dies where the dose is above its own limit; limit, spread of the limits and
    rate are unknown. 48 cells: steps, as in the rows of a population.
    """
    cells = np.random.default_rng(3).standard_normal(48)
    limit = 0.7 * z[:, :1] + 0.4 * np.exp(0.5 * z[:, 1:2]) * cells
    seen = [
        (ndtr((np.log(dose) - limit) / 0.1).mean(axis=1) - share) / 0.1
        for dose, share in ((0.7, 0.25), (1.5, 0.8))
    ]
    time = 2.0 * np.exp(0.35 * z[:, 0] + 0.7 * z[:, 2])
    return np.stack([*seen, (time - 2.7) / 0.3], axis=1)


@pytest.mark.parametrize(("residuals", "off"), [(chain, 0.2), (shares, 0.4)])
def test_draws_are_near_those_of_a_sampler(residuals, off):
    """Means within `off` posterior standard deviations, widths from 0.95 to 1.2.

    Measured with 4,000 draws in 4 steps: 0.16 and 0.30; widths 1.01 to 1.15.
    """
    emcee = pytest.importorskip("emcee")

    def log_posterior(z):
        return -0.5 * (z**2).sum(axis=1) - 0.5 * (residuals(z) ** 2).sum(axis=1)

    walkers = emcee.EnsembleSampler(40, 3, log_posterior, vectorize=True)
    walkers.random_state = np.random.RandomState(1).get_state()
    start = 0.3 * np.random.default_rng(0).standard_normal((40, 3))
    walkers.run_mcmc(start, 2500)
    chains = walkers.get_chain(discard=500, flat=True)
    assert walkers.get_autocorr_time(quiet=True).max() < 60  # 1,300 draws that count
    mean, sd = chains.mean(axis=0), chains.std(axis=0)
    assert sd.min() < 0.5  # the data say something: the prior's is 1

    z = smoothed(residuals, 3, 4_000, seed=2).z
    assert np.abs((z.mean(axis=0) - mean) / sd).max() < off
    width = z.std(axis=0) / sd
    assert width.min() > 0.95
    assert width.max() < 1.2
