"""Resting states: closed forms, conserved totals, and models that have none."""

import numpy as np
import pytest
import support
from support import reaction

from mir21sim.compiler import load as library
from mir21sim.errors import FailedRunsWarning, ModelWarning, SolverError, SolverStatus
from mir21sim.simulation import rest_system
from mir21sim.simulation import steady_state as resting
from mir21sim.simulation.options import Options
from mir21sim.simulation.simulate import simulate
from mir21sim.simulation.sweep import sweep
from mir21sim.solvers.methods import NAMES

AT_REST = Options(equilibrate=True)


def settle(model, **changes):
    """Return the resting state of a model by name, and the status."""
    parameters = {k: np.array([v]) for k, v in changes.items()}
    y, p = model.start_values(1, parameters, {})
    states, status = resting.resting_states(model, y, p)
    return dict(zip(model.state_names, states[0], strict=True)), status[0]


def test_birth_and_death_rest_where_they_balance(birth_death):
    state, status = settle(birth_death)
    assert status == SolverStatus.OK
    assert state["A"] == pytest.approx(20.0 / 0.4, rel=1e-13)


def test_reversible_binding_rests_in_its_closed_form_and_keeps_its_totals(binding):
    state, _ = settle(binding)
    # C² − (A0 + B0 + kr/kf)·C + A0·B0 = 0, the smaller root
    c = min(np.roots([1.0, -(100.0 + 60.0 + 0.3 / 0.01), 6000.0]).real)
    assert state["C"] == pytest.approx(c, rel=1e-12)
    assert state["A"] + state["C"] == pytest.approx(100.0, rel=1e-12)
    assert state["B"] + state["C"] == pytest.approx(60.0, rel=1e-12)


def test_decay_rests_at_nothing(decay):
    state, status = settle(decay)
    assert status == SolverStatus.OK
    assert 0.0 <= abs(state["A"]) < 1e-6


def test_different_runs_rest_in_states_of_their_own(birth_death):
    births = np.array([20.0, 4.0, 20.0])
    y, p = birth_death.start_values(3, {"s": births}, {})
    states, status = resting.resting_states(birth_death, y, p)
    assert (status == SolverStatus.OK).all()
    np.testing.assert_allclose(states[:, 0], births / 0.4, rtol=1e-12)


def test_what_reactions_conserve_is_sought_once_for_all_runs(binding, monkeypatch):
    sought = []

    def counted(n_state, entries):
        sought.append(entries)
        return conserved_totals(n_state, entries)

    monkeypatch.setattr(resting, "HORIZON_S", 10 * 3600.0)  # Newton steps do the rest
    conserved_totals = rest_system.conserved_totals
    monkeypatch.setattr(rest_system, "conserved_totals", counted)
    rest_system._totals_of.cache_clear()
    y, p = binding.start_values(5, {"kr": np.linspace(0.31, 0.35, 5)}, {})
    states, status = resting.resting_states(binding, y, p)
    assert (status == SolverStatus.OK).all()
    assert len(sought) == 1
    together = states[:, [0, 1]] + states[:, [2]]
    assert together == pytest.approx(np.tile([100.0, 60.0], (5, 1)), rel=1e-12)


def test_a_signal_that_fades_leaves_its_hill_function_at_rest():
    """A trace below zero has no power of 2.5: the rates of a run would be NaN."""
    net = support.network(
        {"S": 10.0, "P": 0.0},
        {"k": 0.5, "V": 3.0, "K": 2.0, "n": 2.5, "d": 0.1},
        [
            reaction("fade", "S ->", "k*S"),
            reaction("make", "-> P", "V*S**n/(K**n + S**n)"),
            reaction("lose", "P ->", "d*P"),
        ],
    )
    state, status = settle(support.compiled(net))
    assert status == SolverStatus.OK
    assert min(state.values()) >= 0.0
    assert max(state.values()) < 1e-6


ACCUMULATING = support.network(
    {"A": 1.0}, {"s": 5.0}, [reaction("birth", "-> A", "s")], name="growing"
)
EXPLODING = support.network(
    {"A": 1.0}, {"s": 5.0}, [reaction("growth", "-> A", "s*A")], name="growing"
)


@pytest.mark.parametrize(
    "net",
    [ACCUMULATING, EXPLODING],
    ids=["accumulating", "exploding"],
)
def test_a_model_without_a_resting_state_is_an_error_with_a_remedy(net):
    words = r"growing: No resting state was found.*equilibrate=False"
    with pytest.raises(SolverError, match=words) as caught:
        simulate(support.compiled(net), 1.0, options=AT_REST)
    assert caught.value.status == SolverStatus.NO_RESTING_STATE


# Lotka and Volterra's hare and lynx, fast against the horizon of a resting state.
OSCILLATING = support.network(
    {"H": 30.0, "L": 4.0},
    {"a": 60.0, "b": 2.0, "c": 50.0},
    [
        reaction("breed", "H -> 2 H", "a*H"),
        reaction("hunt", "H + L -> 2 L", "b*H*L"),
        reaction("die", "L ->", "c*L"),
    ],
)


@pytest.mark.parametrize("method", ["BDF", "Rodas5P"])
def test_what_oscillates_is_given_up_by_its_steps_and_tried_once(method, monkeypatch):
    monkeypatch.setattr(resting, "MOST_STEPS", 500)
    tried = []

    def counted(*given, **options):
        tried.append(solve_of_now(*given, **options))
        return tried[-1]

    solve_of_now = resting.solve
    monkeypatch.setattr(resting, "solve", counted)
    model = support.compiled(OSCILLATING)
    y, p = model.y0[np.newaxis], model.p0[np.newaxis]
    states, status = resting.resting_states(model, y, p, method)
    assert status.tolist() == [SolverStatus.NO_RESTING_STATE]
    assert np.isnan(states).all()
    ((results, _),) = tried
    assert results.n_steps.tolist() == [500]
    assert NAMES[results.method[0]] == method


def test_a_run_of_a_sweep_without_rest_is_nan_and_the_others_are_not(birth_death):
    with pytest.warns(FailedRunsWarning, match=r"NO_RESTING_STATE.*d = 0"):
        result = sweep(birth_death, {"d": [0.4, 0.0]}, 1.0, options=AT_REST)
    assert np.isnan(result["A"].values[1]).all()
    np.testing.assert_allclose(result["A"].values[0], 50.0, rtol=1e-6)


def test_a_dose_acts_on_the_resting_state(birth_death):
    result = simulate(
        birth_death, times=[0.0, 1.0, 2.0], doses="A=10 molecule@1h", options=AT_REST
    )
    want = [50.0, 60.0, 50.0 + 10.0 * np.exp(-0.4)]
    np.testing.assert_allclose(result["A"], want, rtol=1e-6)


def test_an_initial_amount_that_rest_overrules_is_a_warning(birth_death):
    with pytest.warns(ModelWarning, match=r"`A` starts at 50 molecule, not at the 7"):
        simulate(birth_death, 1.0, initials={"A": 7.0}, options=AT_REST)


def test_the_leading_eigenvalue_is_the_slowest_rate(birth_death):
    y, p = np.array([50.0]), np.array(birth_death.p0)
    assert resting.leading_eigenvalue(birth_death, y, p) == pytest.approx(-0.4 / 3600)


def test_conserved_totals_do_not_count_as_modes(binding):
    """Binding relaxes at kf·(A + B) + kr; its two totals have no rate."""
    state, _ = settle(binding)
    y = np.array([state[name] for name in binding.state_names])
    slowest = resting.leading_eigenvalue(binding, y, np.array(binding.p0))
    want = -(0.01 * (state["A"] + state["B"]) + 0.3) / 3600
    assert slowest == pytest.approx(want, rel=1e-9)


def test_nothing_to_excite_is_stable():
    still = support.compiled(support.network({"A": 1.0}, {}, []))
    assert resting.leading_eigenvalue(still, still.y0, still.p0) == -np.inf


def test_earm_without_cycloheximide_cannot_rest():
    """With full synthesis a trace of active caspase-8 grows tenfold every 13 h."""
    model = library.load("earm_1_3", backend="numpy")
    changes = {"f_synthesis": np.array([1.0])}
    y, p = model.start_values(1, changes, {"L": np.array([0.0])})
    rate = resting.leading_eigenvalue(model, y[0], p[0])
    assert rate > 0
    assert np.log(10.0) / rate / 3600 == pytest.approx(13.0, abs=1.0)
