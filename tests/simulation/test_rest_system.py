"""Tangents of resting states: closed forms and central differences."""

import numpy as np
import pytest
import support
from support import reaction

from mir21sim.compiler.load import load
from mir21sim.errors import InputError, SolverStatus
from mir21sim.simulation import steady_state
from mir21sim.simulation.rest_system import exact_totals, held_states, rest_tangents


def rest_of(model, y0=None, p=None, **options):
    y0 = np.atleast_2d(model.y0 if y0 is None else y0).astype(float)
    p = np.atleast_2d(model.p0 if p is None else p).astype(float)
    y, status = steady_state.settle(model, y0, p, "Rodas5P", **options)
    assert (status == SolverStatus.OK).all()
    return y


def test_birth_and_death_rest_at_a_quotient():
    model = support.compiled(support.BIRTH_DEATH, "numba")
    y = rest_of(model)[0]
    s, d = (model.param_names.index(name) for name in "sd")
    unit = np.eye(len(model.p0))
    found = rest_tangents(model, y, model.p0, unit[[s, d]])
    np.testing.assert_allclose(found[:, 0], [1 / 0.4, -20.0 / 0.4**2], rtol=1e-12)


def test_totals_that_start_values_fix_are_directions_too():
    model = support.compiled(support.BINDING, "numba")
    y = rest_of(model)[0]
    a, b, c = y
    k = [model.param_names.index(name) for name in ("kf", "kr")]
    found = rest_tangents(
        model,
        y,
        model.p0,
        np.vstack([np.eye(len(model.p0))[k], np.zeros((1, len(model.p0)))]),
        np.vstack([np.zeros((2, 3)), [[1.0, 0.0, 0.0]]]),
    )
    kf, kr = model.p0[k]
    slope = kf * (a + b) + kr  # of kf·A·B − kr·C by −C
    np.testing.assert_allclose(
        found[:, 2], [a * b / slope, -c / slope, kf * b / slope], rtol=1e-10
    )
    np.testing.assert_allclose(found[2, 0] + found[2, 2], 1.0, rtol=1e-12)


@pytest.mark.parametrize("name", ["mir21_core", "mir21_apoptosis"])
def test_shipped_models_equal_central_differences(name):
    model = load(name)
    y = rest_of(model)[0]
    moved = [m for m, value in enumerate(model.p0) if value][:: len(model.p0) // 8]
    columns = np.zeros((len(moved), len(model.p0)))
    columns[np.arange(len(moved)), moved] = model.p0[moved]
    found = rest_tangents(model, y, model.p0, columns)
    sides = []
    for step in (2e-4, -2e-4):
        p = model.p0 + step * columns
        sides.append(rest_of(model, np.repeat([model.y0], len(p), axis=0), p))
    differences = (sides[0] - sides[1]) / 4e-4
    scale = np.abs(y) + 1e-3
    assert (np.abs(found - differences) / scale).max() < 1e-6
    assert (np.abs(differences) / scale).max() > 0.1


def test_held_states_are_totals_and_absent_reactions_are_off():
    """A + X -> AX is off without X, so that A + B is a total for itself."""
    net = support.network(
        {"A": 10.0, "B": 0.0, "X": 0.0, "AX": 0.0},
        {"k": 1.0, "r": 2.0},
        [
            reaction("turn", "A -> B", "k*A - r*B"),
            reaction("bind", "A + X -> AX", "k*A*X"),
        ],
    )
    model = support.compiled(net, "numba")
    y = rest_of(model)[0]
    held = held_states(model, y, None)
    assert held.tolist() == [False, False, True, True]
    totals = exact_totals(model, y, held)
    assert any(np.array_equal(row[:2], [1.0, 1.0]) for row in totals)
    columns = np.eye(len(model.p0))[[model.param_names.index("k")]]
    found = rest_tangents(model, y, model.p0, columns)
    np.testing.assert_allclose(found[0, 0], -10.0 * 2.0 / 9.0, rtol=1e-10)
    starts = np.array([[0.0, 0.0, 1.0, 0.0]])
    assert np.isnan(rest_tangents(model, y, model.p0, 0 * columns, starts)).all()


def test_a_rest_that_is_not_isolated_has_no_derivative():
    net = support.network(
        {"A": 10.0, "B": 10.0},
        {"k": 1.0},
        [reaction("none", "A ->", "k*(A - B)**2/B")],
    )
    model = support.compiled(net, "numba")
    with pytest.raises(InputError, match="not isolated"):
        rest_tangents(model, model.y0, model.p0, np.eye(len(model.p0)))


def test_newton_from_a_near_rest_integrates_nothing(monkeypatch):
    model = load("mir21_core")
    y = rest_of(model)
    p = model.p0 * 1.01
    cold = rest_of(model, p=p)

    def integrated(*_, **__):
        raise AssertionError

    monkeypatch.setattr(steady_state, "solve", integrated)
    warm = rest_of(model, p=p, near=y)
    np.testing.assert_allclose(warm, cold, rtol=1e-9, atol=1e-9)


def test_a_rest_that_is_far_is_integrated():
    model = support.compiled(support.BINDING, "numba")
    far = rest_of(model, p=model.p0 * np.where(model.p0 == 0.3, 100.0, 1.0))
    cold = rest_of(model)
    np.testing.assert_allclose(rest_of(model, near=far), cold, rtol=1e-10)
    np.testing.assert_allclose(rest_of(model, near=np.full_like(far, np.nan)), cold)
