"""States left out of an integration are exact, or integrated after all."""

import numpy as np
import pytest
import scipy.integrate
import support
from hypothesis import given, settings
from hypothesis import strategies as st
from support import integrate, network, reaction, scaled_error

import mir21sim as ms
from mir21sim.compiler import load as library
from mir21sim.errors import SolverStatus
from mir21sim.simulation.steady_state import resting_states
from mir21sim.solvers.single import lsoda
from mir21sim.solvers.single.reduction import Reduction, moving_states, ties_of

RTOL, ATOL = 1e-7, 1e-7
TIMES = np.linspace(0.0, 8.0, 17)
MANY = 15.0  # tolerances that the errors of all steps of a run may add up to

DRUG = network(
    {"A": 10.0, "D": 0.0, "DA": 0.0, "W": 0.0},
    {"s": 5.0, "d": 0.5, "kf": 0.1, "kr": 0.3, "w": 1.0},
    [
        reaction("A_synthesis", "-> A", "s"),
        reaction("A_decay", "A ->", "d*A"),
        reaction("bind", "D + A -> DA", "kf*D*A - kr*DA"),
        reaction("waste", "DA -> W", "w*DA"),
    ],
)
"""A drug that is not given, its complex, and what is made of that."""

RING = network(
    {"A": 60.0, "B": 20.0, "C": 20.0},
    {"k1": 1.0, "k2": 2.0, "k3": 3.0},
    [
        reaction("one", "A -> B", "k1*A"),
        reaction("two", "B -> C", "k2*B"),
        reaction("three", "C -> A", "k3*C"),
    ],
)


def moving(model, y=None, *, inflow=None, frozen=None):
    """Return the names of the states that move from a state on."""
    y = model.y0 if y is None else np.array(y, float)
    inflow = np.zeros(len(y)) if inflow is None else np.array(inflow, float)
    mask = moving_states(model.kernels, y, inflow, frozen)
    return {n for n, m in zip(model.state_names, mask, strict=True) if m}


def states(model, times, **how):
    """Return the states of an integration of all of them, shape (time, state)."""
    return integrate(model, times, rtol=RTOL, atol=ATOL, **how).values[0]


def tight(net, names, y0, times):
    """Return all states by another integrator, from formulas read by other code."""
    found = scipy.integrate.solve_ivp(
        lambda t, y: support.slopes(net, names, y, t).real,
        times[[0, -1]],
        y0,
        method="Radau",
        t_eval=times,
        rtol=1e-10,
        atol=1e-10,
    )
    return found.y.T


@pytest.fixture(scope="module")
def drug():
    return support.compiled(DRUG)


@pytest.fixture(scope="module")
def ring():
    return support.compiled(RING)


# ---------------------------------------------------------------------- what can move
def test_what_is_not_given_and_what_comes_of_it_does_not_move(drug):
    assert moving(drug) == {"A"}


@pytest.mark.parametrize(
    ("y", "names"),
    [
        ([10, 1, 0, 0], {"A", "D", "DA", "W"}),
        ([10, 0, 1, 0], {"A", "D", "DA", "W"}),
        ([10, 0, 0, 1], {"A"}),  # waste that nothing takes away
        ([0, 0, 0, 0], {"A"}),  # made out of nothing
    ],
)
def test_what_is_there_moves_all_that_it_reaches(drug, y, names):
    assert moving(drug, y) == names


def test_what_flows_in_moves(drug):
    assert moving(drug, inflow=[0, 2, 0, 0]) == {"A", "D", "DA", "W"}


def test_what_is_held_does_not_move_and_moves_others_if_it_is_there(drug):
    held = np.array([False, True, False, False])
    assert moving(drug, [10, 1, 0, 0], frozen=held) == {"A", "DA", "W"}
    assert moving(drug, [10, 0, 0, 0], frozen=held) == {"A"}


def test_states_that_only_make_each_other_are_absent_together():
    net = network(
        {"X": 0.0, "Y": 0.0},
        {"k": 1.0},
        [reaction("a", "X -> X + Y", "k*X"), reaction("b", "Y -> Y + X", "k*Y")],
    )
    model = support.compiled(net)
    assert moving(model) == set()
    assert moving(model, [0, 1e-300]) == {"X", "Y"}


def test_a_rate_rule_moves_its_variable_unless_it_is_zero_too():
    rules = {"A": "k", "B": "k*B"}
    net = network({"A": 0.0, "B": 0.0}, {"k": 1.0}, [], rate_rules=rules)
    assert moving(support.compiled(net)) == {"A"}


def test_a_model_at_nothing_waits(drug):
    held = ms.Perturbations(clamp={"A": 0.0})
    result = ms.simulate(drug, 5.0, points=6, observe=["A", "DA"], perturb=held)
    assert (result["A"] == 0.0).all()
    assert (result["DA"] == 0.0).all()
    assert int(result["n_steps"]) == 0


@pytest.mark.parametrize("method", ["LSODA", "BDF", "Radau"])
@pytest.mark.parametrize(
    ("dose", "at"), [("D=30 molecule@3.3h", 3.3), ("D=9 molecule@4h:2h", 4.0)]
)
def test_what_is_absent_is_zero_exactly_until_it_is_given(drug, method, dose, at):
    times = np.union1d(TIMES, [at])
    got = states(drug, times, method=method, doses=[dose])
    assert (got[times < at, 1:] == 0.0).all()
    assert (got[times > at, 1:] > 0.0).all()


def test_events_wake_what_is_absent():
    given = support.event("give", "time > 3.2", "D = 30")
    net = network(
        {"A": 10.0, "D": 0.0},
        {"k": 0.4},
        [reaction("use", "D + A -> D", "k*D*A"), reaction("gone", "D ->", "k*D")],
        events=[given],
    )
    model = support.compiled(net, unit_policy="ignore")
    assert moving(model) == set()
    got = states(model, TIMES)
    since = np.maximum(TIMES - 3.2, 0.0)
    d = np.where(TIMES > 3.2, 30.0 * np.exp(-0.4 * since), 0.0)
    a = 10.0 * np.exp(-30.0 * (1.0 - np.exp(-0.4 * since)))
    assert scaled_error(got, np.stack([a, d], axis=1), rtol=RTOL, atol=ATOL) < MANY


# ---------------------------------------------------------------------- what follows
def ties(model, y=None, inflow=None, frozen=None):
    y = model.y0 if y is None else np.array(y, float)
    inflow = np.zeros(len(y)) if inflow is None else np.array(inflow, float)
    mask = moving_states(model.kernels, y, inflow, frozen)
    found = ties_of(model.kernels, mask, y, inflow, frozen)
    return set() if found is None else {model.state_names[i] for i in found.tied}


def test_the_largest_state_of_a_total_follows(ring):
    assert ties(ring) == {"A"}
    assert ties(ring, [20, 20, 60]) == {"C"}


@pytest.mark.parametrize(
    "case",
    [
        {"y": [100, 0, 0]},  # may turn over whole
        {"inflow": [0, 1, 0]},  # no total is conserved
        {"frozen": np.array([False, True, False])},
    ],
    ids=["untouched", "inflow", "held"],
)
def test_nothing_follows_where_the_total_is_not_safe(ring, case):
    assert ties(ring, **case) == set()


def test_totals_that_share_states_are_solved_for_one_each(binding):
    assert ties(binding, [80, 60, 20]) == {"A", "B"}


def test_totals_that_are_one_without_what_is_still_are_used_once():
    """0.1 A + 0.3 B + X and 0.1 A + 0.3 B + Y, of which X and Y do not change."""
    net = network(
        {"A": 50.0, "B": 20.0, "X": 7.0, "Y": 3.0},
        {"kf": 1.0, "kr": 2.0, "off": 0.0},
        [
            reaction("there", "3 A -> B", "kf*A"),
            reaction("back", "B -> 3 A", "kr*B"),
            reaction("never", "A -> 0.1 X + 0.1 Y", "off*A"),
        ],
    )
    model = support.compiled(net)
    held = np.array([False, False, True, True])
    assert len(ties(model, frozen=held)) <= 1
    got = states(model, TIMES)
    np.testing.assert_allclose(got[:, 0] + 3 * got[:, 1], 110.0, rtol=1e-12)


def test_the_jacobian_of_what_moves_is_that_of_the_whole_along_the_totals(binding):
    y = np.array([80.0, 60.0, 20.0])
    mask = np.ones(3, dtype=bool)
    found = Reduction.of(
        binding.kernels, mask, ties_of(binding.kernels, mask, y, np.zeros(3))
    )
    data = np.empty(len(binding.kernels.j_row))
    binding.kernels.jac(0.0, y, binding.p0, data)
    got = np.zeros((1, 1))
    np.add.at(got, (found.row, found.col), found.factor * data[found.source])
    kf, kr = 0.01, 0.3  # dC/dt = kf·(a0 − C)·(b0 − C) − kr·C
    assert got[0, 0] == pytest.approx(-kf * (80.0 + 60.0) - kr, rel=1e-14)


def test_a_total_is_conserved_to_the_last_digits_and_the_rest_is_right(ring):
    got = states(ring, TIMES)
    np.testing.assert_allclose(got.sum(axis=1), 100.0, rtol=1e-12)
    want = tight(RING, ring.state_names, ring.y0, TIMES)
    assert scaled_error(got, want, rtol=RTOL, atol=ATOL) < MANY


def test_a_state_that_drains_is_controlled_for_itself():
    """A falls from 100 to 1e-4, where it would drown in the error of B."""
    net = network(
        {"A": 100.0, "B": 1.0},
        {"kf": 2.0, "kr": 2e-6},
        [reaction("r", "A -> B", "kf*A - kr*B")],
    )
    model = support.compiled(net)
    assert ties(model) == {"A"}
    got = states(model, TIMES)[:, 0]
    rest, speed = 101.0 * 1e-6 / (1 + 1e-6), 2.0 + 2e-6
    want = rest + (100.0 - rest) * np.exp(-speed * TIMES)
    assert scaled_error(got, want, rtol=RTOL, atol=ATOL) < MANY


# ---------------------------------------------------------------- one call or by steps
@pytest.fixture
def by_steps(monkeypatch):
    monkeypatch.setattr(lsoda, "integrate_segment", lambda *_, **__: None)


def test_one_call_makes_the_steps_that_lsoda_makes_alone(robertson, monkeypatch):
    times = np.geomspace(1e-2, 1e5, 15)
    once = integrate(robertson, times, rtol=1e-6, atol=1e-10)
    monkeypatch.setattr(lsoda, "integrate_segment", lambda *_, **__: None)
    steps = integrate(robertson, times, rtol=1e-6, atol=1e-10)
    assert scaled_error(once.values, steps.values, rtol=1e-6, atol=1e-10) < 5
    assert once.results.n_steps[0] == pytest.approx(steps.results.n_steps[0], rel=0.1)


def test_a_stretch_too_long_for_one_call_is_stepped(binding, monkeypatch):
    want = states(binding, TIMES)
    monkeypatch.setattr(lsoda, "MOST_CALLS", 20)
    got = states(binding, TIMES)
    assert scaled_error(got, want, rtol=RTOL, atol=ATOL) < MANY


def test_a_failure_in_one_call_is_told_as_by_steps(by_steps):
    """A run that fails is stepped anyway, so that its message cannot differ."""
    net = network({"A": 10.0}, {"K": 5.0}, [reaction("loss", "A ->", "K")])
    done = integrate(support.compiled(net), np.linspace(0.0, 5.0, 11))
    assert done.results.status[0] == SolverStatus.NEGATIVE
    assert np.isfinite(done.values[0, :4]).all()


# -------------------------------------------------------------------- random networks
NAMES = "ABCDE"
sides = st.lists(st.sampled_from(NAMES), max_size=2, unique=True)
arrows = st.lists(st.tuples(sides, sides, st.floats(0.1, 2.0)), min_size=1, max_size=7)
starts = st.lists(st.one_of(st.just(0.0), st.floats(0.5, 20.0)), min_size=5, max_size=5)


def mass_action(arrows, start):
    """Return a network of mass action whose rates stay bounded."""
    reactions, rates = [], {}
    for i, (left, right, rate) in enumerate(arrows):
        rates[f"k{i}"] = rate
        factors = "*".join([f"k{i}", *(f"{s}/(1 + {s})" for s in left)])
        arrow = f"{' + '.join(left)} -> {' + '.join(right)}"
        reactions.append(reaction(f"r{i}", arrow, factors))
    return network(dict(zip(NAMES, start, strict=True)), rates, reactions)


@settings(max_examples=40)
@given(arrows, starts)
def test_a_random_network_is_that_of_all_its_states(arrows, start):
    net = mass_action(arrows, start)
    model = support.compiled(net, unit_policy="ignore")
    times = np.linspace(0.0, 3.0, 7)
    got = states(model, times)
    want = tight(net, model.state_names, model.y0, times)
    assert scaled_error(got, want, rtol=RTOL, atol=ATOL) < MANY
    still = [name not in moving(model) for name in model.state_names]
    np.testing.assert_array_equal(got[:, still], got[:1, still].repeat(7, axis=0))


# ------------------------------------------------------------------- the large models
@pytest.fixture(scope="module")
def large():
    return library.load("mir21_apoptosis")


def test_the_full_model_takes_no_more_work_than_it_should(large, monkeypatch):
    """40 ms at rtol 1e-6: 1,161 steps of 127 states and 45 ms were more."""
    sizes, cross = [], lsoda.integrate_segment

    def seen(reduced, *args, **how):
        found = cross(reduced, *args, **how)
        sizes.append((len(reduced), found is not None))
        return found

    monkeypatch.setattr(lsoda, "integrate_segment", seen)
    result = ms.simulate(large, 48.0, options=ms.Options(method="LSODA"))
    assert int(result["n_steps"]) < 1600
    assert all(crossed for _, crossed in sizes)
    # From 150 on OpenBLAS factorises in threads, which wait for whoever has the cores.
    assert max(n for n, _ in sizes) < 140 < large.kernels.n_state


def test_what_is_absent_rests_at_zero_exactly(large):
    """Newton steps would leave 1e-30 of every drug, and with it all that it acts on."""
    y, _ = resting_states(large, large.y0[np.newaxis], large.p0[np.newaxis])
    still = {*large.state_names} - moving(large, y[0])
    assert {"TRAIL", "anti_miR21_RISC", "cisplatin", "luciferase_WT"} <= still
    assert all(y[0, large.state_index(name)] == 0.0 for name in still)


def test_a_drug_is_absent_from_the_full_model_until_it_is_given(large):
    names = ["anti_miR21_cyt", "anti_miR21_RISC", "anti_miR21_miR21"]
    result = ms.simulate(
        large, 12.0, points=13, observe=names, doses="anti_miR21=100 nM@6h",
        options=ms.Options(method="LSODA"),
    )  # fmt: skip
    before, after = result.sel(time=slice(0, 5.9)), result.sel(time=slice(7, 12))
    for name in names:
        assert (before[name] == 0.0).all()
        assert (after[name] > 0.0).all()


def test_perturbed_cells_all_come_to_their_end(large):
    """All amounts and rate constants lognormal, CV 0.3; 1,000 such did."""
    random = np.random.default_rng(21)
    constant = {p.id for p in large.network.parameters if p.constant}

    def scattered(names, values):
        spread = np.exp(0.294 * random.standard_normal(len(values)))
        return {n: v * s for n, v, s in zip(names, values, spread, strict=True)}

    names = [n for n in large.param_names if n in constant]
    values = [large.p0[large.param_names.index(n)] for n in names]
    statuses = [
        int(
            ms.simulate(
                large, 48.0, points=49, doses="TRAIL=50 ng/ml@24h",
                parameters=scattered(names, values),
                initials=scattered(large.state_names, large.y0),
                options=ms.Options(method="LSODA", equilibrate=False),
            )["status"]
        )
        for _ in range(20)
    ]  # fmt: skip
    assert statuses == [SolverStatus.OK] * 20
