"""Amounts below zero: which are refused, which are taken for other quantities."""

import numpy as np
import pytest
import support
from support import reaction

import mir21sim as ms
from mir21sim.errors import ModelWarning, SolverError, SolverStatus

METHODS = ["Rodas5P-one", "LSODA", "Radau"]


def falling():
    """S = -2 t from the start: a species that cannot be an amount."""
    return support.network({"S": 0.0}, {"k": 2.0}, [reaction("out", "S ->", "k")])


def run(network, method, end=3.0, **options):
    """Return the result of a file of others, in its own time."""
    return ms.simulate(
        support.compiled(network), end, points=4, doses=[],
        options=ms.Options(method=method, **options),
    )  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_a_species_that_falls_from_zero_at_once_is_run_with_a_warning(method):
    """BioModels 45, 47, 224 and 10 more begin so; libRoadRunner and COPASI run them."""
    with pytest.warns(ModelWarning, match=r"`S` starts at 0 and the reactions take it"):
        result = run(falling(), method)
    np.testing.assert_allclose(result["S"], [0.0, -2.0, -4.0, -6.0], rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_species_that_is_filled_before_it_is_emptied_is_an_amount(method):
    """S = t - t²: above zero until 1, so that its fall is that of a wrong rate."""
    network = support.network(
        {"S": 0.0, "T": 0.0},
        {"k": 1.0, "h": 2.0},
        [reaction("in", "-> S", "k"), reaction("clock", "-> T", "k"),
         reaction("out", "S ->", "h*T")],
    )  # fmt: skip
    with pytest.raises(SolverError, match="--allow-negative") as caught:
        run(network, method)
    assert caught.value.status == SolverStatus.NEGATIVE
    assert 1.0 <= caught.value.t < 3.0  # within a step of the zero


@pytest.mark.parametrize("method", METHODS)
def test_a_rate_that_overflows_below_zero_is_not_read_at_zero(method):
    """A = 1 - t, and exp(-800 A) is infinite from A = -0.9 on."""
    network = support.network(
        {"A": 1.0, "B": 0.0},
        {"k": 1.0, "q": 800.0},
        [reaction("out", "A ->", "k"), reaction("in", "-> B", "k*exp(-q*A)")],
    )
    failures = "infinite or not a number|step size became too small"
    with pytest.raises(SolverError, match=failures) as caught:
        run(network, method, allow_negative=True)
    assert caught.value.t < 1.9
