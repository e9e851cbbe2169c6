"""Coefficients of the Rosenbrock tableaus: order, consistency, stability."""

import math

import numpy as np
import pytest
from tableau_runs import METHODS, TABLEAUX, each_method


# ----------------------------------------------------------------- order conditions
def trees(order):
    """Return the rooted trees of an order; a tree is the sorted tuple of its children.

    There are 1, 1, 2, 4, 9 of them for the orders 1 to 5.
    """
    return [] if order < 1 else sorted(set(_forests(order - 1)))


def _forests(size):
    if size == 0:
        return [()]
    return [
        tuple(sorted((first, *rest)))
        for part in range(1, size + 1)
        for first in trees(part)
        for rest in _forests(size - part)
    ]


def size(tree):
    return 1 + sum(map(size, tree))


def density(tree):
    """Return γ(t), the product of the sizes of all subtrees."""
    return size(tree) * math.prod(map(density, tree))


def gammas(tableau):
    """Return Γ = (γ_ij), from C = I/γ − Γ⁻¹."""
    return np.linalg.inv(np.eye(len(tableau.alpha)) / tableau.gamma - tableau.C)


def alphas(tableau):
    """Return (α_ij), from A = α·Γ⁻¹."""
    return tableau.A @ gammas(tableau)


def weights(tableau, *, embedded=False):
    """Return b: the last argument plus U_s, or without it the embedded method."""
    m = tableau.A[-1].copy()
    m[-1] += 0.0 if embedded else 1.0
    return m @ gammas(tableau)


def dense_weights(tableau, theta):
    """Return b(θ) of the interpolant."""
    k1, k2, k3 = tableau.H @ gammas(tableau)
    inner = k1 + theta * (k2 + theta * k3)
    return theta * (weights(tableau) + (1 - theta) * inner)


def elementary(tableau, tree):
    """Return Φ_i(t) of the stages (Hairer and Wanner 1996, theorem IV.7.4).

    An only child hangs on β = α + γ, for the J of its parent; siblings hang on α.
    """
    alpha = alphas(tableau)
    if not tree:
        return np.ones(len(alpha))
    matrix = alpha + gammas(tableau) if len(tree) == 1 else alpha
    return math.prod(matrix @ elementary(tableau, child) for child in tree)


def conditions(up_to):
    return [t for order in range(1, up_to + 1) for t in trees(order)]


def cases(order_of):
    """Return every (method, tree) that must fulfil its condition, with ids."""
    return [
        pytest.param(name, tree, id=f"{name}-{size(tree)}-{k}")
        for name in METHODS
        for k, tree in enumerate(conditions(order_of(TABLEAUX[name])))
    ]


def test_there_are_as_many_trees_as_there_should_be():
    assert [len(trees(order)) for order in range(1, 6)] == [1, 1, 2, 4, 9]


@pytest.mark.parametrize(("name", "tree"), cases(lambda tableau: tableau.order))
def test_the_step_fulfils_the_order_conditions(name, tree):
    got = weights(TABLEAUX[name]) @ elementary(TABLEAUX[name], tree)
    assert got == pytest.approx(1 / density(tree), abs=1e-12)


@pytest.mark.parametrize(("name", "tree"), cases(lambda tableau: tableau.order - 1))
def test_the_embedded_step_is_one_order_lower(name, tree):
    b = weights(TABLEAUX[name], embedded=True)
    got = b @ elementary(TABLEAUX[name], tree)
    assert got == pytest.approx(1 / density(tree), abs=1e-12)


@each_method
def test_the_embedded_step_is_no_better_than_that(name):
    """Else its difference to the step would be no estimate of the error."""
    tableau = TABLEAUX[name]
    b = weights(tableau, embedded=True)
    defects = [
        abs(b @ elementary(tableau, tree) - 1 / density(tree))
        for tree in trees(tableau.order)
    ]
    assert max(defects) > 1e-4


@pytest.mark.parametrize("theta", [0.1, 0.37, 0.5, 0.93])
@pytest.mark.parametrize(("name", "tree"), cases(lambda tableau: tableau.order - 1))
def test_the_interpolant_is_at_most_one_order_lower(name, tree, theta):
    b = dense_weights(TABLEAUX[name], theta)
    got = b @ elementary(TABLEAUX[name], tree)
    assert got == pytest.approx(theta ** size(tree) / density(tree), abs=1e-12)


# ------------------------------------------------------- consistency and stability
@each_method
def test_alpha_is_the_row_sum_of_the_arguments(name):
    tableau = TABLEAUX[name]
    np.testing.assert_allclose(alphas(tableau).sum(axis=1), tableau.alpha, atol=1e-13)


@each_method
def test_D_is_the_row_sum_of_gamma(name):
    tableau = TABLEAUX[name]
    np.testing.assert_allclose(gammas(tableau).sum(axis=1), tableau.D, atol=1e-13)


@each_method
def test_the_last_stages_are_at_the_end_of_the_step(name):
    """Stiffly accurate: both steps are arguments of a stage plus that stage."""
    tableau = TABLEAUX[name]
    beta = alphas(tableau) + gammas(tableau)
    np.testing.assert_allclose(weights(tableau), beta[-1], atol=1e-13)
    np.testing.assert_allclose(weights(tableau, embedded=True), beta[-2], atol=1e-13)
    assert tableau.alpha[-1] == tableau.alpha[-2] == 1.0


def amplification(tableau, z):
    """Return R(z), the result of one step of y' = λ·y, y = 1, for z = h·λ."""
    beta = alphas(tableau) + gammas(tableau)
    one = np.ones(len(beta))
    return 1 + z * weights(tableau) @ np.linalg.solve(np.eye(len(beta)) - z * beta, one)


@each_method
def test_no_oscillation_is_amplified(name):
    """A-stable: no pole in the left half plane and |R| ≤ 1 on its border."""
    sizes = [
        abs(amplification(TABLEAUX[name], 1j * z)) for z in np.geomspace(1e-2, 1e4)
    ]
    assert max(sizes) <= 1 + 1e-12


@each_method
def test_what_is_infinitely_fast_is_gone_after_one_step(name):
    assert abs(amplification(TABLEAUX[name], -1e8)) < 1e-6


@each_method
def test_coefficients_cannot_be_written_over(name):
    for field in ("A", "C", "alpha", "D", "H"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(TABLEAUX[name], field)[...] = 0.0
