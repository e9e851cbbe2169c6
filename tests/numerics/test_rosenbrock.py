"""Rosenbrock methods: order conditions, stability, observed order, achieved error."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import scipy.integrate
import support
from support import reaction

from mir21sim import library
from mir21sim.codegen.cache import lane_kernels
from mir21sim.errors import SolverStatus
from mir21sim.solvers import batch
from mir21sim.solvers.rosenbrock import TABLEAUX
from mir21sim.solvers.runs import Runs, Schedule, Selection, Tolerances

METHODS = tuple(TABLEAUX)
each_method = pytest.mark.parametrize("name", METHODS)


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
def test_D_is_the_row_sum_of_gamma(name):  # noqa: N802 - the papers' letter
    tableau = TABLEAUX[name]
    np.testing.assert_allclose(gammas(tableau).sum(axis=1), tableau.D, atol=1e-13)


@each_method
def test_the_last_stages_are_at_the_end_of_the_step(name):
    """Stiffly accurate: both steps are arguments of a stage plus that stage."""
    tableau = TABLEAUX[name]
    beta = alphas(tableau) + gammas(tableau)
    np.testing.assert_allclose(weights(tableau), beta[-1], atol=1e-13)
    np.testing.assert_allclose(
        weights(tableau, embedded=True), beta[-2], atol=1e-13
    )
    assert tableau.alpha[-1] == tableau.alpha[-2] == 1.0


def amplification(tableau, z):
    """Return R(z), what one step makes of y' = λ·y, y = 1, for z = h·λ."""
    beta = alphas(tableau) + gammas(tableau)
    one = np.ones(len(beta))
    return 1 + z * weights(tableau) @ np.linalg.solve(np.eye(len(beta)) - z * beta, one)


@each_method
def test_no_oscillation_is_amplified(name):
    """A-stable: no pole in the left half plane and |R| ≤ 1 on its border."""
    sizes = [abs(amplification(TABLEAUX[name], 1j * z)) for z in np.geomspace(1e-2, 1e4)]
    assert max(sizes) <= 1 + 1e-12


@each_method
def test_what_is_infinitely_fast_is_gone_after_one_step(name):
    assert abs(amplification(TABLEAUX[name], -1e8)) < 1e-6


@each_method
def test_coefficients_cannot_be_written_over(name):
    for field in ("A", "C", "alpha", "D", "H"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(TABLEAUX[name], field)[...] = 0.0


# ---------------------------------------------------------------- running the driver
def problem(start, slopes):
    """Return a model of y' = f(t, y) whose states are no amounts: rate rules."""
    net = support.network({}, start, [], rate_rules=slopes, name="ode")
    return support.compiled(net)


def runs_of(model, times, *, stops=()):
    """Return one run of a model that keeps nothing; at `stops` a dose adds nothing."""
    none = np.empty(0, np.int64)
    where = np.zeros(len(stops), np.int64)
    doses = Schedule(np.asarray(stops, float), where, where, np.zeros((1, len(stops))))
    return Runs(
        y0=model.y0[np.newaxis].copy(),
        p=model.p0[np.newaxis].copy(),
        times=np.asarray(times, float),
        schedule=doses,
        selection=Selection(none, none, none, np.empty(0)),
        amounts=np.zeros(len(model.y0), bool),
    )


def drive(model, runs, rtol, atol, *, name="Rodas5P"):
    """Return the states of the first run at the output times, and the work."""
    found = []
    limits = Tolerances(rtol, np.broadcast_to(atol, model.y0.shape), 100_000, 600.0)
    results, _ = batch.integrate_runs(
        lane_kernels(model.network),
        runs,
        limits,
        tableau=TABLEAUX[name],
        need=np.arange(len(model.y0)),
        keep=lambda first, last, states, results: found.append(states[0]),
    )
    return found[0], results


# -------------------------------------------------------------------- observed order
@pytest.fixture(scope="module")
def curved():
    """A' = −A²·cos t, B' = B·(A − B)·…: nonlinear, driven, with a closed form.

    A = 1/(1/A0 + sin t); B = exp(sin t)·… is driven by A. `Z` rests, see `errors_at`.
    """
    return problem(
        {"A": 0.8, "B": 1.0, "Z": 1.0},
        {"A": "-A*A*cos(time)", "B": "B*A*cos(time)", "Z": "0*Z"},
    )
