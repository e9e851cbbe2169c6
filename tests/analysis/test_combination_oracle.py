"""Measures of two drugs against the package synergy, and drugs that do not kill."""

import warnings

import numpy as np
import pytest

from mir21sim.analysis.combination import _excesses, _remarks

DOSES = np.array([0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0])


def hill(doses, middle, slope, top):
    return top * doses**slope / (middle**slope + doses**slope)


@pytest.fixture(scope="module")
def surface():
    """Killed fractions of two Hill drugs, a little more than independent."""
    one, two = np.meshgrid(DOSES, DOSES, indexing="ij")
    a, b = hill(one, 2.0, 1.3, 0.9), hill(two, 5.0, 0.8, 0.8)
    return a + b - a * b + 0.1 * a * b


def oracle(surface, name, **options):
    """Return the excess by the package, which takes surviving fractions."""
    combination = pytest.importorskip("synergy.combination")
    one, two = np.meshgrid(DOSES, DOSES, indexing="ij")
    made = getattr(combination, name)(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.fit(one.ravel(), two.ravel(), 1.0 - surface.ravel())
    return np.asarray(made.synergy).reshape(surface.shape)


@pytest.mark.parametrize(
    ("name", "options", "within", "inside"),
    [
        ("HSA", {}, 1e-12, 8),
        ("Bliss", {}, 1e-12, 8),
        # Curves through the doses here, fitted Hill curves there; at the edge of the
        # range a dose that would reach the effect lies beyond it.
        ("Loewe", {"mode": "delta_HSA"}, 5e-3, 7),
        # Both fit Hill curves; at high doses their bounds of the plateau differ.
        ("ZIP", {}, 5e-3, 6),
    ],
)
def test_a_measure_agrees_with_the_package(surface, name, options, within, inside):
    own = _excesses(surface, (DOSES, DOSES))[name]
    other = oracle(surface, name, **options)
    difference = np.abs(own - other)[1:inside, 1:inside]
    assert difference.max() < within


def test_a_drug_that_the_cells_do_not_see_is_named():
    dead = np.outer(np.ones(3), [10.0, 40.0, 80.0])
    (said,) = _remarks(dead, ("blind", "seen"))
    assert said.startswith("blind alone changes the dead cells by 0.0 percentage")
    assert said.endswith("the cells do not respond to it.")


def test_a_drug_that_protects_is_named():
    dead = np.array([[50.0, 70.0, 90.0], [40.0, 60.0, 80.0], [20.0, 30.0, 50.0]])
    (said,) = _remarks(dead, ("mimic", "TRAIL"))
    assert said.startswith("mimic alone protects cells (50 to 20 % dead)")
