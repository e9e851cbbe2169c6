"""Vector kernels against scalar ones, NumPy and a small interpreter of programs."""

import math
from functools import cache as remembered

import numpy as np
import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st
from support import reaction

from mir21sim.compiler import cache, symbolic
from mir21sim.compiler import lane_programs as lanes
from mir21sim.compiler import load as library
from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.errors import CodegenError
from mir21sim.simulation.options import Options
from mir21sim.simulation.sweep import sweep
from mir21sim.solvers import methods
from mir21sim.solvers.batch import rodas5p
from mir21sim.solvers.single import scipy_methods

HG = 3.7
"""1/(hγ) at which systems are solved unless a test says otherwise."""


def amounts(net):
    return frozenset(s.id for s in net.species)


def lane_programs(net):
    return lanes.programs(symbolic.build(net), amounts(net))


# ---------------------------------------------------------- programs, interpreted
_BINARY = {
    "+": np.add, "*": np.multiply, "-": np.subtract, "/": np.divide, "pow": np.power,
    "<": np.less, ">": np.greater, "<=": np.less_equal, ">=": np.greater_equal,
    "and": np.logical_and, "or": np.logical_or, "least": np.fmin,
}  # fmt: skip
_UNARY = {
    "neg": np.negative, "exp": np.exp, "log": np.log, "sqrt": np.sqrt,
    "not": np.logical_not, "fabs": np.abs,
}  # fmt: skip


def value(node, arrays):
    """Return the value of an expression, one number or one for each lane."""
    op, *rest = node
    if op == "c":
        return rest[0]
    if op in arrays:
        return arrays[op][rest[0]]
    parts = [value(part, arrays) for part in rest]
    if op == "select":
        return np.where(*parts)
    if op == "max0":
        return np.maximum(parts[0], 0.0)
    if op in _UNARY:
        return _UNARY[op](*parts)
    result = parts[0]
    for part in parts[1:]:
        result = _BINARY[op](result, part)
    return result


def run(program, **arrays):
    """Run a program on one cell; rows are numbers."""
    for array, row, how, node in program:
        start = arrays[array][row] if how == "+=" else 0.0
        arrays[array][row] = start + value(node, arrays)


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


def cell_of(net, t=0.7):
    """Return the programs of a network with the arrays of one cell at its start."""
    system, made = symbolic.build(net), lane_programs(net)
    start = {s.id: s.initial for s in net.species} | {"cell": 1.0}
    start |= {p.id: p.value for p in net.parameters}
    arrays = {
        "t": [t],
        "y": [start[name] for name in system.state_names],
        "p": [start[name] for name in system.param_names],
        "a": np.zeros(made.n_a),
    }
    return made, arrays, system.state_names


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
def rows(*shape, seed=0, low=0.1, high=10.0):
    """Return positive numbers, spread evenly over their logarithms."""
    spread = np.random.default_rng(seed).uniform(np.log(low), np.log(high), shape)
    return np.exp(spread)


def rates(kernels, t, y, p):
    """Return the rates and the slopes of eight cells."""
    v = np.zeros((kernels.n_rate, LANES))
    out = np.zeros((kernels.n_state, LANES))
    kernels.rates(t, y, p, v, np.zeros((kernels.n_a, LANES)), out)
    return v, out


def solved(kernels, t, y, p, right, *, hg=HG):
    """Return W⁻¹·right of eight cells."""
    w, out = np.zeros((kernels.n_w, LANES)), right.copy()
    a, hg = np.zeros((kernels.n_a, LANES)), np.full((kernels.n_state, LANES), hg)
    kernels.matrix(t, y, p, a, w, hg)
    kernels.solve(w, out)
    return out


def scalar(kernel, n, t, y, p):
    """Return what a scalar kernel fills, for each of eight cells, shape (n, 8)."""
    out = np.full((LANES, n), np.nan)
    for lane in range(LANES):
        kernel(t[0, lane], y[:, lane].copy(), p[:, lane].copy(), out[lane])
    return out.T


CHAIN_OF_RULES = support.network(
    {"A": 10.0, "B": 2.0},
    {"k": 0.3, "K": 4.0, "n": 2.5, "X": 1.0},
    [
        reaction("use", "A -> B", "k*free*exp(-time/K)"),
        reaction("back", "B -> A", "k*gate*B*X"),
    ],
    rules={"free": "A/(1 + load)", "load": "B/K", "gate": "free**n/(1 + free**n)"},
    rate_rules={"X": "k*(load - X)*time"},
)
TINY = {
    "chain": CHAIN_OF_RULES,
    "hill": support.HILL,
    "robertson": support.ROBERTSON,
}
SHIPPED = ("earm_1_3", "earm2_m1a", "mir21_core", "mir21_apoptosis")


@remembered
def model_of(name):
    """Return a model whose scalar kernels are plain Python."""
    if name in TINY:
        return support.compiled(TINY[name])
    return library.load(name, backend="numpy")


@remembered
def point_of(name, seed=0):
    """Return a model with random times, states and parameters for eight cells."""
    model = model_of(name)
    scale_y = np.where(model.y0 > 0, model.y0, 1.0)[:, np.newaxis]
    scale_p = model.p0[:, np.newaxis]
    return (
        model,
        cache.lane_kernels(model.network),
        rows(1, LANES, seed=seed),
        scale_y * rows(len(model.y0), LANES, seed=seed + 1),
        scale_p * rows(len(model.p0), LANES, seed=seed + 2, low=0.5, high=2.0),
    )


each_model = pytest.mark.parametrize("name", [*TINY, *SHIPPED])


@each_model
def test_vector_rates_are_scalar_rates(name):
    """To 1e-14 in the tiny ones; a small net flow between large ones, or a high power,
    magnifies that a product and a sum may be one rounding here and are two there.
    """
    model, kernels, t, y, p = point_of(name)
    v, _ = rates(kernels, t, y, p)
    want = scalar(model.kernels.rates, kernels.n_rate, t, y, p)
    np.testing.assert_allclose(v, want, rtol=1e-14 if name in TINY else 1e-13)


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
