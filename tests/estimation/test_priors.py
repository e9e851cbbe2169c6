"""Prior densities: mass, derivatives, refusals."""

import math

import pytest
import scipy.integrate

from mir21sim.errors import InputError, UnknownNameError
from mir21sim.estimation.priors import Prior

PRIORS = (
    Prior("uniform", (2.0, 8.0), lower=0.0, upper=10.0),
    Prior("normal", (4.0, 2.0), lower=0.0, upper=10.0),
    Prior("normal", (1.0, 0.5), math.e, 0.0, 10.0),
    Prior("normal", (0.3, 0.2), 10.0, 0.1, 20.0),
    Prior("laplace", (3.0, 5.0), lower=0.0, upper=10.0),
    Prior("cauchy", (3.0, 5.0), lower=0.0, upper=10.0),
    Prior("chisquare", (4.0,), lower=0.0, upper=10.0),
    Prior("exponential", (3.0,), lower=0.0, upper=10.0),
    Prior("gamma", (3.0, 5.0), lower=0.0, upper=10.0),
    Prior("rayleigh", (3.0,), lower=0.0, upper=10.0),
)


@pytest.mark.parametrize("prior", PRIORS, ids=lambda p: f"{p.family}{p.base:g}")
def test_the_mass_within_the_bounds_is_one(prior):
    whole, _ = scipy.integrate.quad(
        lambda v: math.exp(prior.terms(v)[0]),
        prior.lower,
        prior.upper,
        limit=200,
        points=[2.0, 8.0] if prior.family == "uniform" else None,
    )
    assert whole == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("prior", PRIORS, ids=lambda p: f"{p.family}{p.base:g}")
def test_the_derivative_equals_differences(prior):
    at, step = 5.0, 1e-5
    ends = [prior.terms(at + s)[0] for s in (-step, step)]
    wanted = (ends[1] - ends[0]) / (2 * step)
    assert prior.terms(at)[1] == pytest.approx(wanted, rel=1e-6, abs=1e-9)


def test_outside_the_bounds_the_density_is_zero():
    assert PRIORS[1].terms(11.0)[0] == -math.inf


def test_quantiles_stay_within_the_bounds():
    assert PRIORS[3].draw(0.0) == pytest.approx(0.1)
    assert PRIORS[3].draw(1.0) == pytest.approx(20.0)
    assert PRIORS[1].draw(0.5) == pytest.approx(4.0536, abs=1e-4)


def test_an_unknown_family_is_refused():
    with pytest.raises(UnknownNameError, match="Did you mean `normal`"):
        Prior("normale", (0.0, 1.0))


def test_a_width_of_zero_is_refused():
    with pytest.raises(InputError, match="last number of a prior `normal` must be"):
        Prior("normal", (0.0, 0.0))
