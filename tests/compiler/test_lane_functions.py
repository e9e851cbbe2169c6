"""Lane programs: functions, elimination, cache, refusals."""

import math

import numpy as np
import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st
from lane_cases import (
    HG,
    SHIPPED,
    cell_of,
    lane_programs,
    model_of,
    point_of,
    rates,
    run,
    solved,
)
from support import reaction

from mir21sim.compiler import cache, symbolic
from mir21sim.compiler import lane_programs as lanes
from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.errors import CodegenError
from mir21sim.simulation.options import Options
from mir21sim.simulation.sweep import sweep
from mir21sim.solvers import methods
from mir21sim.solvers.batch import rodas5p
from mir21sim.solvers.single import scipy_methods


# ------------------------------------------------------------------------ functions
@pytest.fixture(scope="module")
def functions():
    """One model with a rate for every function of a parameter-like state x."""
    net = support.functions()
    return symbolic.build(net), cache.lane_kernels(net)


def rate_of(functions, name, x):
    """Return one function at eight values of x, q = 2.5."""
    system, kernels = functions
    y, p = np.zeros((kernels.n_state, LANES)), np.ones((kernels.n_param, LANES))
    y[system.state_names.index("x")] = x
    p[system.param_names.index("q")] = 2.5
    v, _ = rates(kernels, np.zeros((1, LANES)), y, p)
    return v[1 + list(support.FUNCTIONS).index(name)]


@pytest.mark.parametrize("name", support.FUNCTIONS)
def test_every_function_has_its_value_in_every_lane(functions, name):
    x = np.array([0.3, 0.9, 1.0, 1.7, 2.5, 3.0, 4.2, 9.0])
    want = support.FUNCTIONS[name][1](x, 2.5)
    np.testing.assert_allclose(rate_of(functions, name, x), want, rtol=1e-14)


@pytest.mark.parametrize(
    ("name", "x", "want"),
    [
        ("ln", 0.0, -math.inf),
        ("ln", -1.0, math.nan),
        ("sqrt", -1.0, math.nan),
        ("inverse", 0.0, math.inf),
        ("exp", -1000.0, math.inf),
        ("hill", 0.0, 0.0),
        ("arcsin", 21.0, math.nan),
        ("branches", math.nan, math.nan),
    ],
)
def test_a_function_outside_its_range_is_ieee_in_its_lane_only(
    functions, name, x, want
):
    values = np.array([1.5, 1.5, x, 1.5, 1.5, 1.5, 1.5, 1.5])
    got = rate_of(functions, name, values)
    np.testing.assert_array_equal(got[2], want)
    np.testing.assert_array_equal(np.delete(got, 2), got[0])
    assert np.isfinite(got[0])


def test_a_condition_that_is_a_choice_itself_has_vector_code():
    """SymPy folds min of three into ITE(…): a choice between two conditions."""
    net = support.network(
        {"A": 10.0},
        {"k": 1.0, "q": 2.5},
        [reaction("r", "A ->", "k*min(A, q, 3)")],
    )
    made, arrays, _ = cell_of(net)
    v = np.zeros(1)
    run(made.rates, **arrays, v=v, out=np.zeros(1))
    assert v[0] == 2.5


def test_a_trace_below_zero_of_an_amount_has_a_power():
    """Rounding takes an amount that fades a little below zero; S^2.5 is 0 then."""
    _, kernels, t, y, p = point_of("hill")
    y = y.copy()
    y[0, 3] = -1e-18
    v, _ = rates(kernels, t, y, p)
    assert v[0, 3] == 0.0
    assert (np.delete(v[0], 3) > 0).all()


def test_nothing_left_of_an_amount_has_a_slope():
    """d S^n/dS = n·S^(n−1) is 0 at S = 0; n·S^n/S would be 0/0."""
    _, kernels, t, y, p = point_of("hill")
    y = y.copy()
    y[0, 3] = 0.0
    got = solved(kernels, t, y, p, np.ones((2, LANES)))
    np.testing.assert_allclose(got[:, 3], 1.0 / HG, rtol=1e-15)


# ------------------------------------------------------------- elimination, pieces
def filled(n, places):
    """Return how many entries an elimination in natural order fills."""
    pattern = np.eye(n, dtype=bool)
    pattern[places] = True
    for k in range(n):
        below, right = pattern[k + 1 :, k], pattern[k, k + 1 :]
        pattern[k + 1 :, k + 1 :] |= np.outer(below, right)
    return int(pattern.sum())


@pytest.mark.parametrize("name", SHIPPED)
def test_the_order_of_elimination_fills_no_more_than_the_natural_one(name):
    model, kernels, *_ = point_of(name)
    k = model.kernels
    natural = filled(kernels.n_state, (k.j_row, k.j_col))
    needed = len({*zip(k.j_row, k.j_col, strict=True)})
    assert needed <= kernels.n_w <= natural


def test_earm2_fills_no_more_than_it_did():
    """300 entries of J and its diagonal; 374 fill in natural order or more."""
    assert point_of("earm2_m1a")[1].n_w <= 342


def plainly_ordered(n, places):
    """Return the order of least Markowitz cost, by a dense pattern."""
    pattern = np.eye(n, dtype=bool)
    pattern[places] = True
    order, left = [], list(range(n))
    while left:
        inner = pattern[np.ix_(left, left)]
        cost = (inner.sum(axis=1) - 1) * (inner.sum(axis=0) - 1)
        k = left.pop(int(np.argmin(cost)))  # the first one of equal costs
        pattern |= np.outer(pattern[:, k], pattern[k])
        order.append(k)
    return order


@settings(max_examples=80)
@given(
    n=st.integers(1, 12),
    places=st.sets(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=50),
)
def test_the_order_of_elimination_is_markowitz_s(n, places):
    places = sorted((i, j) for i, j in places if i < n and j < n)
    found = lanes._Elimination(dict.fromkeys(places, ("c", 1.0)), n)
    dense = tuple(np.array(places, dtype=int).reshape(-1, 2).T)
    assert found.order == plainly_ordered(n, dense)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_order_of_elimination_of_shipped_models_is_markowitz_s(name):
    k, n = model_of(name).kernels, len(model_of(name).y0)
    places = zip(k.j_row.tolist(), k.j_col.tolist(), strict=True)
    found = lanes._Elimination(dict.fromkeys(places, ("c", 1.0)), n)
    assert found.order == plainly_ordered(n, (k.j_row, k.j_col))


def test_a_star_is_eliminated_from_its_tips():
    """Natural order starts at the hub and fills everything: n² for 3n − 2."""
    n = 30
    tips = [f"T{i}" for i in range(n - 1)]
    net = support.network(
        dict.fromkeys(["H", *tips], 1.0),
        {"k": 1.0},
        [reaction(f"r{tip}", f"H -> {tip}", f"k*H - k*{tip}") for tip in tips],
    )
    assert lane_programs(net).n_w == 3 * n - 2


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a cache folder of this test's own."""
    monkeypatch.setenv("MIR21SIM_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("piece", [1, 3, 7])
def test_programs_may_be_cut_anywhere(folder, monkeypatch, piece):
    model, whole, t, y, p = point_of("chain")
    right = np.ones((whole.n_state, LANES))
    monkeypatch.setattr(lanes, "PIECE", piece)
    cut = cache.lane_kernels(model.network)
    np.testing.assert_allclose(
        rates(cut, t, y, p)[1], rates(whole, t, y, p)[1], rtol=1e-13
    )
    np.testing.assert_allclose(
        solved(cut, t, y, p, right), solved(whole, t, y, p, right), rtol=1e-13
    )


# ---------------------------------------------------------------------- the cache
def lane_file(folder):
    (path,) = folder.glob("l_*.py")
    return path


def decay_rate(net=support.DECAY):
    """Return k·A of the decay through the cache, as a new process would."""
    cache._load_lanes.cache_clear()
    kernels = cache.lane_kernels(net)
    p = np.ones((kernels.n_param, LANES))
    return rates(kernels, np.zeros((1, LANES)), np.full((1, LANES), 3.0), p)[0][0, 0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: text.replace("'y'", "'p'"),
        lambda text: "\x00" * 100,
    ],
    ids=["truncated", "empty", "edited", "garbled"],
)
def test_a_damaged_program_file_is_replaced(folder, damage):
    assert decay_rate() == 3.0
    path = lane_file(folder)
    whole = path.read_text()
    path.write_text(damage(whole))
    assert decay_rate() == 3.0
    assert path.read_text() == whole


@pytest.mark.parametrize("suffix", [".code", ".nbc"])
def test_damaged_code_is_compiled_again(folder, suffix):
    decay_rate()
    found = list(folder.glob(f"l_*{suffix}"))
    assert found
    for path in found:
        path.write_bytes(b"\x00" * 64)
    assert decay_rate() == 3.0


def test_a_second_process_generates_and_compiles_nothing(folder, monkeypatch):
    def fail(network):
        raise AssertionError(f"generated {network.id} again")

    decay_rate()
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("l_*.nbc")}
    assert before
    monkeypatch.setattr(cache, "_generate_lanes", fail)
    assert decay_rate() == 3.0
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("l_*.nbc")} == before


# ---------------------------------------------------------------- what has no code
FACTORIAL = support.network(
    {"A": 10.0},
    {"k": 0.1, "n": 3.0},
    [reaction("r", "A ->", "k*A*factorial(n)")],
)


def test_a_function_without_vector_code_is_refused_by_name():
    with pytest.raises(CodegenError, match=r"Factorial\(.*\)` has no vector code"):
        lane_programs(FACTORIAL)


@pytest.fixture(scope="module")
def factorial():
    return support.compiled(FACTORIAL, backend="numba")


def test_a_model_without_vector_code_runs_by_lsoda(factorial):
    assert "Factorial" in rodas5p.METHOD.supports(factorial)
    assert methods.usable(factorial, rodas5p.METHOD).name == "LSODA"
    assert methods.usable(factorial, scipy_methods.BDF).name == "BDF"


@pytest.mark.parametrize("method", [None, "Rodas5P", "Rodas4"])
def test_its_result_says_so(factorial, method):
    options = Options(method=method, rtol=1e-8)
    result = sweep(factorial, {"k": [0.1, 0.2]}, times=[0.0, 1.0], options=options)
    assert result.attrs["method"] == "LSODA"
    want = 10.0 * np.exp(-6.0 * np.array([0.1, 0.2]))
    np.testing.assert_allclose(result["A"][:, 1], want, rtol=1e-6)


def test_plain_python_runs_by_lsoda(decay):
    assert decay.kernels.backend == "numpy"
    assert "numpy" in rodas5p.METHOD.supports(decay)
    assert methods.usable(decay, rodas5p.METHOD).name == "LSODA"
    result = sweep(decay, {"k": [0.1, 0.2]}, times=[0.0, 1.0])
    assert result.attrs["method"] == "LSODA"
