"""Lane programs, interpreted and compiled, against the scalar kernels."""

import numpy as np
import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st
from lane_cases import (
    HG,
    SHIPPED,
    TINY,
    cell_of,
    lane_programs,
    point_of,
    rates,
    run,
    solved,
)
from support import reaction

from mir21sim.compiler import cache
from mir21sim.compiler import lane_programs as lanes
from mir21sim.compiler.build_one_kernels import FACTOR, FILL, SOLVE
from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.solvers.single.one_driver import call_six


# ---------------------------------------------------------- programs, interpreted
@st.composite
def networks(draw):
    """Draw a network of mass action, Hill functions, a rule and a rate rule."""
    names = [f"S{i}" for i in range(draw(st.integers(1, 6)))]
    some = st.lists(st.sampled_from(names), max_size=2)
    species = {s: draw(st.floats(0.1, 10.0)) for s in names}
    parameters = {"K": draw(st.floats(0.5, 5.0)), "h": draw(st.floats(1.0, 4.0))}
    forms = ["", "/(K + S0)", "*S0**h/(K**h + S0**h)", "*load", "*exp(-K*time/S0)"]
    reactions = []
    for i in range(draw(st.integers(1, 8))):
        parameters[f"k{i}"] = draw(st.floats(0.01, 3.0))
        inputs, outputs = draw(some), draw(some)
        rate = "*".join([f"k{i}", *inputs]) + draw(st.sampled_from(forms))
        arrow = f"{' + '.join(inputs)} -> {' + '.join(outputs)}"
        reactions.append(reaction(f"r{i}", arrow, rate))
    return support.network(
        species,
        parameters | {"X": 2.0},
        reactions,
        rules={"load": f"S0/K + {names[-1]}"},
        rate_rules={"X": "h*S0 - X*load"},
    )


@settings(max_examples=60)
@given(networks())
def test_the_rates_of_any_network_are_those_of_its_formulas(net):
    made, arrays, names = cell_of(net)
    out, v = np.zeros(len(names)), np.zeros(len(net.reactions) + 1)
    run(made.rates, **arrays, v=v, out=out)
    want = support.slopes(net, names, arrays["y"], 0.7).real
    np.testing.assert_allclose(out, want, rtol=1e-11, atol=1e-11 * np.abs(v).max())


@settings(max_examples=60)
@given(networks())
def test_the_factors_of_any_network_solve_its_system(net):
    """J comes from complex steps; a large 1/(hγ) keeps the random system regular."""
    made, arrays, names = cell_of(net)
    jacobian = support.complex_step(net, names, arrays["y"], 0.7)
    hg = 10.0 * (1.0 + np.abs(jacobian).sum(axis=1).max())
    right = np.cos(np.arange(len(names)))
    out, w = right.copy(), np.zeros(made.n_w)
    run(made.matrix, **arrays, w=w, hg=[hg] * len(names))
    run(made.solve, w=w, out=out)
    want = np.linalg.solve(hg * np.eye(len(names)) - jacobian, right)
    np.testing.assert_allclose(out, want, rtol=1e-10, atol=1e-10 * np.abs(want).max())


@settings(max_examples=30)
@given(networks())
def test_the_slope_in_time_of_any_network_is_that_of_its_formulas(net):
    made, arrays, names = cell_of(net)
    step = 1e-5
    later, before = (
        support.slopes(net, names, arrays["y"], 0.7 + s).real for s in (step, -step)
    )
    out = np.zeros(len(names))
    run(made.time, **arrays, out=out)
    want = (later - before) / (2 * step)
    size = np.abs(later).max() + np.abs(want).max()
    np.testing.assert_allclose(out, want, rtol=1e-6, atol=1e-6 * size)


def test_what_does_not_know_the_time_has_no_slope_in_it():
    assert lane_programs(support.BINDING).time == ()
    assert lane_programs(support.DRIVEN).time


def test_the_same_network_gives_the_same_text():
    texts = {cache._generate_lanes(support.CHAIN, "name") for _ in range(3)}
    assert len(texts) == 1


# ------------------------------------------------------------ compiled, eight cells
def scalar(kernel, n, t, y, p):
    """Return the output of a scalar kernel for each of eight cells, shape (n, 8)."""
    out = np.full((LANES, n), np.nan)
    for lane in range(LANES):
        kernel(t[0, lane], y[:, lane].copy(), p[:, lane].copy(), out[lane])
    return out.T


each_model = pytest.mark.parametrize("name", [*TINY, *SHIPPED])


@each_model
def test_vector_rates_are_scalar_rates(name):
    """To 1e-14 in the tiny ones; a small net flow between large ones, or a high power,
    magnifies that a product and a sum may be one rounding here and are two there.
    """
    model, kernels, t, y, p = point_of(name)
    v, _ = rates(kernels, t, y, p)
    want = scalar(model.kernels.rates, kernels.n_rate, t, y, p)
    np.testing.assert_allclose(v, want, rtol=1e-14 if name in TINY else 1e-12)


@each_model
def test_vector_slopes_are_stoichiometry_times_rates(name):
    model, kernels, t, y, p = point_of(name)
    v, out = rates(kernels, t, y, p)
    k = model.kernels
    flux = np.zeros((kernels.n_state, kernels.n_rate))
    flux[k.n_row, k.n_col] = k.n_value
    size = np.abs(flux) @ np.abs(v)
    assert (np.abs(out - flux @ v) <= 1e-14 * size).all()


@each_model
def test_slopes_are_added_to_what_is_there(name):
    """The stages of a method put their linear terms there first."""
    _, kernels, t, y, p = point_of(name)
    _, fresh = rates(kernels, t, y, p)
    out = np.full((kernels.n_state, LANES), 1e9)
    v, a = np.zeros((kernels.n_rate, LANES)), np.zeros((kernels.n_a, LANES))
    kernels.rates(t, y, p, v, a, out)
    np.testing.assert_allclose(out, fresh + 1e9, rtol=1e-12)


@pytest.mark.parametrize("hg", [1e-4, 3.7, 1e5], ids=["long", "middle", "short"])
@each_model
def test_vector_factors_solve_the_system_without_pivots(name, hg):
    """For steps of any length, at states far from any that a run would reach."""
    model, kernels, t, y, p = point_of(name)
    n, k = kernels.n_state, model.kernels
    data = scalar(k.jac, len(k.j_row), t, y, p)
    right = np.random.default_rng(5).normal(size=(n, LANES))
    w = np.tile(hg * np.eye(n)[:, :, np.newaxis], LANES)
    np.subtract.at(w, (k.j_row, k.j_col), data)
    want = np.linalg.solve(w.transpose(2, 0, 1), right.T[:, :, np.newaxis])[:, :, 0].T
    error = np.abs(solved(kernels, t, y, p, right, hg=hg) - want).max(axis=0)
    assert (error <= 1e-9 * np.abs(want).max(axis=0)).all()


@pytest.mark.parametrize("name", ["chain"])
def test_the_vector_slope_in_time_is_the_scalar_one(name):
    model, kernels, t, y, p = point_of(name)
    out = np.full((kernels.n_state, LANES), np.nan)
    kernels.time(t, y, p, np.zeros((kernels.n_a, LANES)), out)
    want = scalar(model.kernels.dfdt, kernels.n_state, t, y, p)
    assert kernels.has_time
    np.testing.assert_allclose(out, want, rtol=1e-13)


@pytest.mark.parametrize("name", ["chain", "mir21_apoptosis", "earm2_m1a"])
def test_vector_rule_variables_are_the_scalar_ones(name):
    model, kernels, t, y, p = point_of(name)
    n = len(model.assigned_names)
    a = np.zeros((kernels.n_a, LANES))
    kernels.assigned(t, y, p, a)
    want = scalar(model.kernels.assigned, n, t, y, p)
    np.testing.assert_allclose(a[:n], want, rtol=1e-14)


def test_loops_over_tables_give_the_numbers_of_statements(monkeypatch, tmp_path):
    """By the code of eight runs and by that of one; up to where roundings join."""
    parts = [f"S{i}" for i in range(9)]
    net = support.network(
        {name: 1.0 + k for k, name in enumerate(parts)},
        {"k": 0.2, "K": 3.0},
        [
            reaction("all", f"{' + '.join(parts[:6])} -> {' + '.join(parts[6:])}",
                     f"k*{'*'.join(parts[:6])}/(K + S7*S8)"),
            reaction("back", "S6 -> S0", "k*S6"),
            reaction("on", "S8 -> S1 + S2", "k*S8*S7"),
        ],
    )  # fmt: skip
    found = []
    for most in (10**9, 0):
        monkeypatch.setattr(lanes, "MOST_PRODUCTS", most)
        monkeypatch.setenv("MIR21SIM_CACHE", str(tmp_path / str(most)))
        made = lane_programs(net)
        assert (made.solve[0][2] == "substitute") is (most == 0)
        kernels = cache.lane_kernels(net)
        assert kernels.n_w > 2 * 9
        at = np.random.default_rng(1).uniform(0.5, 2.0, (4, 9, LANES))
        p8 = at[2, : kernels.n_param]
        eight = solved(kernels, at[0, :1], at[1], p8, at[3])
        one = cache.one_kernels(net)
        w, out = np.zeros(len(one.w_row)), at[3, :, 0].copy()
        a = np.zeros(one.n_a)
        t, y, p = (np.ascontiguousarray(x[:, 0]) for x in (at[0, :1], at[1], p8))
        call_six(one.address, FILL, t, y, p, a, w, np.full(9, HG))
        spare = np.zeros(9)
        call_six(one.address, FACTOR, a, w, spare, spare, spare, spare)
        call_six(one.address, SOLVE, w, out, spare, spare, spare, spare)
        found.append((eight, w, out, a))
    for straight, looped in zip(*found, strict=True):
        np.testing.assert_allclose(looped, straight, rtol=1e-13, atol=1e-14)
    assert np.isfinite(found[0][0]).all()
    np.testing.assert_allclose(found[0][2], found[0][0][:, 0], rtol=1e-12)


def test_derivatives_that_stand_in_many_rows_are_computed_once(monkeypatch):
    """Where they would make the text long; the matrix is the same."""
    parts = [f"S{i}" for i in range(8)]
    rate = "k*S0*S1/(K + S0 + S1)"
    arrow = f"S0 + S1 -> {' + '.join(parts[2:])}"
    net = support.network(
        dict.fromkeys(parts, 1.0),
        {"k": 0.2, "K": 3.0},
        [reaction("r", arrow, rate)],
    )
    made, arrays, names = cell_of(net)
    monkeypatch.setattr(lanes, "MOST_REPEATED", 0)
    shorter, _, _ = cell_of(net)
    assert len(str(shorter.matrix)) < len(str(made.matrix)) / 2
    found = []
    for programs in (made, shorter):
        w, a = np.zeros(programs.n_w), np.zeros(programs.n_a)
        here = arrays | {"a": a, "w": w, "hg": np.full(len(names), HG)}
        run(programs.matrix, **here)
        found.append((w, a[-1]))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-14)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-14)


KERNELS = {
    "rates": lambda kernels, *at: rates(kernels, *at)[1],
    "solve": lambda kernels, *at: solved(kernels, *at, np.ones_like(at[1])),
}


@pytest.mark.parametrize("which", KERNELS)
@each_model
def test_no_lane_knows_of_another(name, which):
    """Not even of a NaN, and wherever the lane is."""
    _, kernels, t, y, p = point_of(name)
    order = np.array([3, 0, 7, 5, 1, 2, 6, 4])
    mixed = [np.ascontiguousarray(part[:, order]) for part in (t, y, p)]
    mixed[1][:, 2] = np.nan
    others = np.arange(LANES) != 2
    got = KERNELS[which](kernels, *mixed)
    want = KERNELS[which](kernels, t, y, p)[:, order]
    np.testing.assert_array_equal(got[:, others], want[:, others])
    assert np.isnan(got[:, 2]).any()
